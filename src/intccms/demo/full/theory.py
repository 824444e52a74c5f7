"""Weights of the theory: generator weight, scale and PDF variations, parton shower, and their sums for `Runs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection, truncate_mantissa
from intccms.demo.samples import simulated_samples

if TYPE_CHECKING:
    from intccms.demo.columns import EventColumns
    from intccms.demo.full.draws import Draws

__all__ = ["WEIGHT_SETS", "WeightSums", "generator_weights", "weight_sets"]

type Array = npt.NDArray[Any]

N_PDF = 103
"""Central value, 100 Hessian members and two of alpha_s, as in NNPDF 3.1 (LHA 306000)."""

# shift of the weight for (mu_R, mu_F) in the order of NanoAOD: mu_R 0.5, 1, 2, and for each mu_F 0.5, 1, 2
SCALE_SHIFTS = np.array([0.28, 0.20, 0.13, 0.08, 0.0, -0.06, -0.10, -0.16, -0.21])
# ISR up, FSR up, ISR down, FSR down
SHOWER_SHIFTS = np.array([0.05, 0.06, -0.06, -0.09])

WEIGHT_SETS = ("LHEScaleWeight", "LHEPdfWeight", "PSWeight")

_MANTISSA = 14  # lheWeightPrecision of NanoAOD


def generator_weights(draws: Draws, process: str, n: int) -> npt.NDArray[np.float32]:
    """Return ``genWeight``, with the share of negative ones, the size and the spread of the demo's samples."""
    sample = next(one for one in simulated_samples() if one.process == process)
    rng = draws("genWeight")
    sign = np.where(rng.random(n) < sample.negative_fraction, -1.0, 1.0)
    spread = np.exp(rng.normal(0.0, 1.0, n) * sample.weight_spread)
    return (sign * sample.weight * spread).astype(np.float32)


def _set(weights: Array) -> Collection:
    n, members = weights.shape
    return Collection(
        np.full(n, members, dtype=np.int32), {"": truncate_mantissa(weights.ravel(), _MANTISSA)}
    )


def _pdf_weights(draws: Draws, n: int) -> Array:
    """Return PDF weights: each member a fixed mixture of a few properties of the event, and a little noise."""
    rng = draws("LHEPdfWeight")
    # the mixtures belong to the PDF set and are the same for all events of all files
    mixtures = np.random.default_rng(N_PDF).normal(0.0, 0.006, (4, N_PDF))
    weights = 1.0 + rng.normal(size=(n, 4)) @ mixtures + rng.normal(0.0, 0.004, (n, N_PDF))
    weights[:, 0] = 1.0
    return np.asarray(weights)


def weight_sets(draws: Draws, n: int) -> dict[str, Collection]:
    """Return the vectors of weights relative to ``genWeight``: 9 scales, 103 PDF members, 4 of the shower."""
    harder = draws("LHEScaleWeight").normal(1.0, 0.2, (n, 1))
    radiation = draws("PSWeight").normal(1.0, 0.4, (n, 1))
    return {
        "LHEScaleWeight": _set(1.0 + SCALE_SHIFTS * harder),
        "LHEPdfWeight": _set(_pdf_weights(draws, n)),
        "PSWeight": _set(1.0 + SHOWER_SHIFTS * radiation),
    }


@dataclass(slots=True)
class WeightSums:
    """Sums over the generated events of a file."""

    events: int = 0
    sumw: float = 0.0
    sumw2: float = 0.0
    sets: dict[str, Array] = field(default_factory=dict)

    def add(self, columns: EventColumns) -> None:
        """Add the events of one cluster."""
        weight = columns.flat["genWeight"].astype(np.float64)
        self.events += weight.size
        self.sumw += float(weight.sum())
        self.sumw2 += float(np.square(weight).sum())
        if weight.size == 0:
            return
        for name in WEIGHT_SETS:
            relative = columns.collections[name].fields[""].astype(np.float64).reshape(weight.size, -1)
            self.sets[name] = self.sets.get(name, 0.0) + weight @ relative

    def branches(self) -> dict[str, Any]:
        """Return the sums as branches of `Runs`; those of weight sets are relative to the sum of ``genWeight``."""
        vectors = {
            name.replace("Weight", "Sumw"): ak.Array([sums / self.sumw]) for name, sums in self.sets.items()
        }
        return {
            "genEventCount": np.array([self.events], dtype=np.int64),
            "genEventSumw": np.array([self.sumw]),
            "genEventSumw2": np.array([self.sumw2]),
            **vectors,
        }
