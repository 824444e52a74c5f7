"""Conditions of the years: pileup, triggers, filters, prefiring, and the runs that events were recorded in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import truncate_mantissa
from intccms.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.demo.columns import Collection
    from intccms.demo.full.draws import Draws

__all__ = [
    "YEARS",
    "Year",
    "filters",
    "full_pileup",
    "prefiring",
    "sections_of",
    "triggers",
    "year_conditions",
]

type Array = npt.NDArray[Any]

EVENTS_PER_SECTION = 500


@dataclass(frozen=True, slots=True)
class Year:
    """What differs between the years.

    Parameters
    ----------
    pileup
        Mean number of interactions, and its spread.
    prefired
        Mean probability that the trigger fired one crossing too early.
    extra_triggers
        Triggers of high-pt muons besides ``HLT_Mu50``, with their thresholds [GeV].
    bad_calibration
        Whether there is the filter ``Flag_ecalBadCalibFilter``.
    runs
        Run, first and last luminosity section of data; some of the sections are not certified.
    """

    pileup: tuple[float, float]
    prefired: float
    extra_triggers: Mapping[str, float]
    bad_calibration: bool
    runs: tuple[tuple[int, int, int], ...]


_HIGH_PT = {"HLT_OldMu100": 100.0, "HLT_TkMu100": 100.0}

YEARS = {
    "2016preVFP": Year(
        (23.0, 6.5), 0.03, {"HLT_TkMu50": 50.0}, False, ((273725, 83, 2556), (276831, 60, 2711))
    ),
    "2016postVFP": Year((24.0, 6.5), 0.03, {"HLT_TkMu50": 50.0}, False, ((279931, 80, 3030),)),
    "2017": Year((33.0, 9.0), 0.04, _HIGH_PT, True, ((304797, 20, 2960), (306125, 1, 3010))),
    "2018": Year((32.0, 8.0), 0.005, _HIGH_PT, True, ((319579, 35, 3175), (321305, 15, 2660))),
}
"""Conditions by year, of the size of the real ones."""

MUON_TRIGGERS = ("HLT_IsoMu24", "HLT_Mu50", "HLT_TkMu50", "HLT_OldMu100", "HLT_TkMu100")


def year_conditions(year: str) -> Year:
    """Return the conditions of a year.

    Raises
    ------
    ConfigError
        If there are none.
    """
    if year not in YEARS:
        msg = f"no conditions for year {year!r}; expected one of {', '.join(YEARS)}."
        raise ConfigError(msg)
    return YEARS[year]


def full_pileup(draws: Draws, year: Year, n: int) -> dict[str, Array]:
    """Return interactions, vertices and the energy density ``fixedGridRhoFastjetAll`` [GeV]."""
    true = np.clip(draws("Pileup_nTrueInt").normal(*year.pileup, n), 1.0, 95.0)
    happened = draws("Pileup_nPU").poisson(true)
    vertices = 1 + draws("PV_npvs").binomial(happened, 0.72)
    rho = np.maximum(draws("fixedGridRhoFastjetAll").normal(0.75 * happened, 2.0), 0.5)
    position = draws("PV_x").normal(size=(3, n))
    return {
        "Pileup_nTrueInt": truncate_mantissa(true, 10),
        "Pileup_nPU": happened.astype(np.int32),
        "PV_npvs": vertices.astype(np.int32),
        "PV_npvsGood": draws("PV_npvsGood").binomial(vertices, 0.85).astype(np.int32),
        "PV_x": truncate_mantissa(0.11 + 0.002 * position[0], 10),
        "PV_y": truncate_mantissa(0.17 + 0.002 * position[1], 10),
        "PV_z": truncate_mantissa(3.5 * position[2], 16),
        "fixedGridRhoFastjetAll": truncate_mantissa(rho, 10),
        "fixedGridRhoFastjetCentralNeutral": truncate_mantissa(0.2 * rho, 10),
    }


def triggers(
    draws: Draws, year: Year, base: Mapping[str, Array], muons: Collection, *, is_data: bool
) -> dict[str, Array]:
    """Return the ``HLT_*`` decisions of a year.

    Parameters
    ----------
    draws
        Random generators of the cluster.
    year
        Conditions.
    base
        Branches of the parametric detector, with the triggers of all years among them.
    muons
        `Muon`.
    is_data
        True: events that fired no muon trigger count as recorded by ``HLT_IsoMu24``, because events of the primary
        dataset SingleMuon fired one.
    """
    fired = {
        name: values for name, values in base.items() if name.startswith("HLT_") and name != "HLT_TkMu50"
    }
    leading = np.zeros(muons.counts.size)
    np.maximum.at(leading, muons.event_index(), muons.fields["pt"])
    for name, threshold in year.extra_triggers.items():
        fired[name] = draws(name).random(leading.size) < np.where(leading > threshold, 0.92, 0.0)
    if is_data:
        none = ~np.any([fired[name] for name in MUON_TRIGGERS if name in fired], axis=0)
        fired["HLT_IsoMu24"] = fired["HLT_IsoMu24"] | none
    return fired


def filters(draws: Draws, year: Year, base: Mapping[str, Array]) -> dict[str, Array]:
    """Return the ``Flag_*`` decisions of a year, and ``Flag_METFilters``, which is their conjunction."""
    flags = {name: values for name, values in base.items() if name.startswith("Flag_")}
    if year.bad_calibration:
        n = next(iter(flags.values())).size
        flags["Flag_ecalBadCalibFilter"] = draws("Flag_ecalBadCalibFilter").random(n) < 0.998
    return {**flags, "Flag_METFilters": np.all(list(flags.values()), axis=0)}


def prefiring(draws: Draws, year: Year, n: int) -> dict[str, Array]:
    """Return the weights for events that the trigger did not lose to prefiring; Up means fewer lost."""
    lost = year.prefired * draws("L1PreFiringWeight").exponential(1.0, n)
    weights = {"Nom": 1.0 - lost, "Up": 1.0 - 0.8 * lost, "Dn": 1.0 - 1.2 * lost}
    return {
        f"L1PreFiringWeight_{name}": np.clip(values, 0.0, 1.0).astype(np.float32)
        for name, values in weights.items()
    }


def sections_of(number: Array, year: Year, *, is_data: bool) -> tuple[Array, Array]:
    """Return run and luminosity section of events with these numbers (from 0), 500 events to a section."""
    section = number // EVENTS_PER_SECTION
    if not is_data:
        return np.ones(number.size, dtype=np.uint32), (1 + section).astype(np.uint32)
    runs = np.concatenate([np.full(last - first + 1, run) for run, first, last in year.runs])
    lumis = np.concatenate([np.arange(first, last + 1) for _, first, last in year.runs])
    section = section % runs.size
    return runs[section].astype(np.uint32), lumis[section].astype(np.uint32)
