"""Which hard events a file is made of: processes, and events that are too soft for a search among hard ones."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from intccms.demo.kinematics import to_polar
from intccms.demo.physics import HardEvents, generate_hard_events, generate_soft_events
from intccms.demo.samples import simulated_samples
from intccms.errors import ConfigError

if TYPE_CHECKING:
    from intccms.demo.full.draws import Draws

__all__ = ["HARD_EFFICIENCY", "hard_fraction", "mixed_events", "mixture", "mixture_efficiency"]

HARD_EFFICIENCY = {"signal": 0.232, "ttbar_semilep": 0.160, "single_top": 0.208, "wjets": 0.271}
"""Share of hard events that pass the loose muon-channel skim, measured on 100,000 events of each."""

SOFT_MUON_MAX_PT = 45.0  # GeV, well below the 55 GeV of the skim


def mixture(process: str) -> dict[str, float]:
    """Return the processes that events come from, with their shares; ``data`` is a mixture of all.

    Raises
    ------
    ConfigError
        If the process is unknown.
    """
    samples = {sample.process: sample.xsec_pb for sample in simulated_samples()}
    if process == "data":
        return {name: xsec / sum(samples.values()) for name, xsec in samples.items()}
    if process not in samples:
        msg = f"no generator for process {process!r}; expected data or one of {', '.join(samples)}."
        raise ConfigError(msg)
    return {process: 1.0}


def mixture_efficiency(process: str) -> float:
    """Return the share of a process's hard events that pass the loose skim."""
    return sum(share * HARD_EFFICIENCY[name] for name, share in mixture(process).items())


def hard_fraction(process: str, efficiency: float | None) -> float:
    """Return the share of hard events in a file of which ``efficiency`` pass the loose skim; all for ``None``.

    Raises
    ------
    ConfigError
        If the efficiency is negative, or larger than that of hard events alone.
    """
    most = mixture_efficiency(process)
    if efficiency is None:
        return 1.0
    if not 0.0 <= efficiency <= most:
        msg = (
            f"cannot make {process!r} with an efficiency of {efficiency} of the loose skim: hard events alone have "
            f"{most:.3f}. Choose 0 to {most:.3f}, or None for hard events only."
        )
        raise ConfigError(msg)
    return efficiency / most


def _joined(parts: list[HardEvents], order: npt.NDArray[np.intp]) -> HardEvents:
    return HardEvents(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
            for field in fields(HardEvents)
        }
    )


def _without_hard_muon(events: HardEvents) -> HardEvents:
    """Turn muons of high pt into electrons: no soft event passes the skim."""
    pt, _, _, _ = to_polar(events.lepton)
    events.lepton_id[(events.lepton_id == 13) & (pt > SOFT_MUON_MAX_PT)] = 11
    return events


def mixed_events(
    draws: Draws, process: str, n: int, fraction: float
) -> tuple[HardEvents, npt.NDArray[np.bool_]]:
    """Generate ``n`` events, of which about ``fraction`` are hard, in random order.

    Returns
    -------
    events, is_resonant
        The events, and which of them have a resonance.
    """
    rng = draws("kind of event")
    shares = mixture(process)
    origin = rng.choice(len(shares), n, p=list(shares.values()))
    kind = 2 * origin + (rng.random(n) < fraction)
    parts = []
    for position, name in enumerate(shares):
        n_soft, n_hard = int(np.sum(kind == 2 * position)), int(np.sum(kind == 2 * position + 1))
        parts.append(_without_hard_muon(generate_soft_events(draws(f"soft {name}"), name, n_soft)))
        parts.append(generate_hard_events(draws(f"hard {name}"), name, n_hard))
    # the parts stand one after the other; the inverse of a stable sort gives each event its place back
    order = np.argsort(np.argsort(kind, kind="stable"), kind="stable")
    resonant = [2 * position + 1 for position, name in enumerate(shares) if name == "signal"]
    return _joined(parts, order), np.isin(kind, resonant)
