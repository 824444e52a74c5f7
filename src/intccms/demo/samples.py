"""What the demo is made of: its datasets, cross-sections and luminosity.

This module holds numbers only; how an event of a process looks is in `intccms.demo.physics`.

The cross-sections are *fiducial*: each simulated sample stands behind a generator filter that keeps only the
boosted part of the process (section "generator filter" of `intccms.demo.physics`), so that a small sample
populates the signal region. They are of the order of the real ones times such a filter's efficiency, chosen so
that about thirty thousand collisions show the resonance; they are not predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DEMO_SAMPLES",
    "LUMINOSITY",
    "SIGNAL_STRENGTH",
    "DemoSample",
    "select_samples",
    "simulated_samples",
]

LUMINOSITY = 500.0
"""Certified integrated luminosity of the demo's data at ``scale=1`` [pb^-1]; it grows with the scale."""

SIGNAL_STRENGTH = 1.0
"""Signal rate in the demo's data, in units of the signal cross-section."""


@dataclass(frozen=True, slots=True)
class DemoSample:
    """One dataset of the demo.

    Parameters
    ----------
    name
        Name of the dataset; its files are ``{name}_{i}.root``.
    process
        Process that its histograms are labelled with; ``data`` is drawn from all simulated processes.
    xsec_pb
        Fiducial cross-section [pb]; 0 for data.
    n_files
        Number of files, whatever the scale.
    events_per_file
        Generated events of a file at ``scale=1``; 0 for data, whose number is Poisson-distributed.
    negative_fraction
        Share of generated events with a negative ``genWeight``, independent of the kinematics.
    weight
        Median of ``|genWeight|``.
    weight_spread
        Width of the logarithm of ``|genWeight|``; 0 makes it constant.
    """

    name: str
    process: str
    xsec_pb: float = 0.0
    n_files: int = 2
    events_per_file: int = 0
    negative_fraction: float = 0.0
    weight: float = 1.0
    weight_spread: float = 0.0

    @property
    def is_data(self) -> bool:
        """Whether the dataset stands for recorded collisions."""
        return self.process == "data"

    def n_events(self, scale: float) -> int:
        """Return the generated events of one simulated file, at least one."""
        return max(1, round(self.events_per_file * scale))


DEMO_SAMPLES: tuple[DemoSample, ...] = (
    DemoSample("signal", "signal", xsec_pb=1.2, n_files=2, events_per_file=6_000),
    DemoSample(
        "ttbar_semilep",
        "ttbar_semilep",
        xsec_pb=34.0,
        n_files=3,
        events_per_file=28_000,
        negative_fraction=0.01,
        weight=300.0,
        weight_spread=0.02,
    ),
    DemoSample(
        "wjets",
        "wjets",
        xsec_pb=26.0,
        n_files=3,
        events_per_file=26_000,
        negative_fraction=0.16,
        weight=1.5e5,
    ),
    DemoSample(
        "single_top",
        "single_top",
        xsec_pb=5.0,
        n_files=2,
        events_per_file=14_000,
        negative_fraction=0.05,
        weight=35.0,
        weight_spread=0.1,
    ),
    DemoSample("data", "data", n_files=2),
)
"""The datasets of the demo, in the order in which a plot stacks them."""


def simulated_samples() -> tuple[DemoSample, ...]:
    """Return the simulated samples, which are also the mixture that data is drawn from."""
    return tuple(sample for sample in DEMO_SAMPLES if not sample.is_data)


def select_samples(names: Iterable[str] | None) -> tuple[DemoSample, ...]:
    """Return the samples of these names in the order of `DEMO_SAMPLES`; all for ``None``.

    Raises
    ------
    ConfigError
        If a name is not one of the demo's datasets, or no name is given.
    """
    if names is None:
        return DEMO_SAMPLES
    wanted = set(names)
    known = {sample.name for sample in DEMO_SAMPLES}
    if unknown := sorted(wanted - known):
        msg = f"the demo has no dataset {', '.join(map(repr, unknown))}; choose from {', '.join(sorted(known))}."
        raise ConfigError(msg)
    if not wanted:
        msg = f"no dataset of the demo was asked for; name at least one of {', '.join(sorted(known))}."
        raise ConfigError(msg)
    return tuple(sample for sample in DEMO_SAMPLES if sample.name in wanted)
