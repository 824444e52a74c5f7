"""The quantities that are histogrammed, and those that several functions share."""

from __future__ import annotations

from typing import Any

import awkward as ak

from intccms.schema import ObjVar

from .reconstruction import reconstruct_top_pair

__all__ = ["GHOSTS", "OBSERVABLES", "TOP_JET_MASS", "first_pt", "momentum_sums"]

MUON, JET, FAT_JET = (ObjVar(name) for name in ("Muon", "Jet", "FatJet"))
MET_PT, MET_PHI = ObjVar("MET", "pt"), ObjVar("MET", "phi")


def momentum_sums(muon_pt: Any, jet_pt: Any, top_jet_pt: Any, met_pt: Any) -> tuple[Any, Any]:
    """Return HT, the sum of pt of jets and top jets, and ST, which has muon and MET as well [GeV]."""
    ht = ak.sum(jet_pt, axis=1) + ak.sum(top_jet_pt, axis=1)
    return ht, ht + ak.sum(muon_pt, axis=1) + met_pt


def value(values: Any) -> Any:
    """Return a column as it is; of a collection, one entry per object."""
    return values


def first_pt(objects: Any) -> Any:
    """Return the pt of the first object [GeV], None where there is none."""
    return ak.firsts(objects.pt, axis=1)


def number(objects: Any) -> Any:
    """Return how many objects there are."""
    return ak.num(objects, axis=1)


GHOSTS: list[dict[str, Any]] = [
    {
        "names": ["mtt", "chi2"],
        "function": reconstruct_top_pair,
        "use": [MUON, MET_PT, MET_PHI, JET, FAT_JET],
    },
    {
        "names": ["ht", "st"],
        "function": momentum_sums,
        "use": [ObjVar("Muon", "pt"), ObjVar("Jet", "pt"), ObjVar("FatJet", "pt"), MET_PT],
    },
]

MTT_EDGES = [0, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000, 2300, 2600, 3000, 3500, 4000, 6000]  # GeV


def _observable(name: str, function: Any, use: ObjVar, binning: Any, label: str, unit: str = "GeV") -> Any:
    if isinstance(binning, tuple):
        binning = dict(zip(("bins", "start", "stop"), binning, strict=True))
    return {
        "name": name,
        "function": function,
        "use": [use],
        "binning": binning,
        "label": label,
        "unit": unit,
    }


OBSERVABLES: list[dict[str, Any]] = [
    _observable("mtt", value, ObjVar("event", "mtt"), MTT_EDGES, r"$m_{t\bar{t}}$"),
    _observable("muon_pt", value, ObjVar("Muon", "pt"), (45, 50, 950), r"Muon $p_T$"),
    _observable("muon_eta", value, ObjVar("Muon", "eta"), (24, -2.4, 2.4), r"Muon $\eta$", ""),
    _observable("jet_pt", first_pt, JET, (50, 0, 1500), r"Leading jet $p_T$"),
    _observable("n_jets", number, JET, (10, -0.5, 9.5), "Number of jets", ""),
    _observable("met", value, MET_PT, (40, 50, 850), r"$p_T^{miss}$"),
    _observable("ht", value, ObjVar("event", "ht"), (50, 0, 3000), r"$H_T$"),
    _observable("st", value, ObjVar("event", "st"), (50, 0, 4000), r"$S_T$"),
    _observable("chi2", value, ObjVar("event", "chi2"), (30, 0, 30), r"$\chi^2$", ""),
]
"""Those of every channel."""

TOP_JET_MASS: dict[str, Any] = _observable(
    "top_jet_mass", value, ObjVar("FatJet", "msoftdrop"), (21, 105, 210), "Top jet soft-drop mass"
)
"""Where there are top jets: one entry for each."""
