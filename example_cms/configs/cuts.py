"""The selection of events: the loose skim, the baseline and the channels, as functions of columns."""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Any

import awkward as ak

from intccms.schema import ObjVar
from intccms.selection.library import any_trigger, count_is, has_at_least

from .objects import is_b_tagged

__all__ = [
    "BASELINE",
    "CHANNELS",
    "MET_FILTERS",
    "MET_FILTER_SINCE_2017",
    "SKIM",
    "baseline",
    "no_b_tag",
    "no_top_tag_with_b_tag",
    "passes_met_filters",
    "skim",
    "top_tag_with_b_tag",
]

TRIGGERS = ("Mu50", "TkMu50", "OldMu100", "TkMu100")
"""TkMu50 in 2016, OldMu100 and TkMu100 since 2017; one that a file lacks counts as False."""

MET_FILTERS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "HBHENoiseFilter",
    "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "eeBadScFilter",
)
"""Recommended for all of Run 2, ultra-legacy, in data and simulation."""

MET_FILTER_SINCE_2017 = "ecalBadCalibFilter"
"""Recommended in 2017 and 2018. In 2016 some files lack it; where they have it, `systematics` makes it pass."""

MIN_LEADING_JET_PT, MIN_SECOND_JET_PT = 150.0, 50.0  # GeV
MIN_MET = 50.0  # GeV
MIN_LEPTONIC_W_PT = 150.0  # GeV, missing transverse momentum + muon pt
MAX_CHI2 = 30.0

# The skim sees columns as they are stored. Corrections move MET by a few per cent of the momentum of all jets: in simulated
# signal and top pairs, 12,000 events in 59 states, 7.6 % of HT was the most that separated a MET above 50 GeV from the
# stored one (events with a muon). A fixed threshold loses events of hard jets: 40 GeV 1.3 %, 25 GeV 0.3 % of them.
SKIM_MUON_PT, SKIM_MUON_ABSETA = 55.0, 2.4  # GeV; muons are not corrected
SKIM_MET_SHIFT = 0.1  # of HT
SKIM_JET_PT, SKIM_FAT_JET_PT = (
    20.0,
    300.0,
)  # GeV; of jets that become 50 and 400 GeV, the least were 25 and 349 GeV


def skim(muon_pt: Any, muon_eta: Any, met_pt: Any, jet_pt: Any, fat_jet_pt: Any, *triggers: Any) -> Any:
    """Keep events with a trigger, a muon, some missing momentum and two jets or a fat jet."""
    muons = (muon_pt > SKIM_MUON_PT) & (abs(muon_eta) < SKIM_MUON_ABSETA)
    return {
        "trigger": any_trigger(*triggers),
        "muon": ak.any(muons, axis=1),
        "MET + HT / 10 > 50 GeV": met_pt + SKIM_MET_SHIFT * ak.sum(jet_pt, axis=1) > MIN_MET,
        "jets": (ak.sum(jet_pt > SKIM_JET_PT, axis=1) >= 2) | ak.any(fat_jet_pt > SKIM_FAT_JET_PT, axis=1),
    }


SKIM: dict[str, Any] = {
    "function": skim,
    "use": [
        ObjVar("Muon", "pt"),
        ObjVar("Muon", "eta"),
        ObjVar("MET", "pt"),
        ObjVar("Jet", "pt"),
        ObjVar("FatJet", "pt"),
        *(ObjVar("HLT", name) for name in TRIGGERS),
    ],
}


def passes_met_filters(flags: Any) -> Any:
    """Tell which events pass all MET filters, shape ``(n_events,)``."""
    since_2017 = [MET_FILTER_SINCE_2017] if MET_FILTER_SINCE_2017 in flags.fields else []
    # a flag that a correction has replaced is a number
    return reduce(and_, (flags[name] > 0 for name in (*MET_FILTERS, *since_2017)))


def baseline(muons: Any, electrons: Any, jets: Any, top_jets: Any, met_pt: Any, flags: Any) -> dict[str, Any]:
    """Keep events with one muon, no electron, hard jets and missing momentum.

    Top jets count as jets here: jets within them are left out of the collection.
    """
    muon_pt = ak.fill_none(ak.firsts(muons.pt, axis=1), 0.0)
    return {
        "MET filters": passes_met_filters(flags),
        "one muon": count_is(muons, 1),
        "no electron": count_is(electrons, 0),
        "jet": has_at_least(jets, 1),
        "leading jet > 150 GeV": _number_above(MIN_LEADING_JET_PT, jets, top_jets) >= 1,
        "second jet > 50 GeV": _number_above(MIN_SECOND_JET_PT, jets, top_jets) >= 2,
        "MET > 50 GeV": met_pt > MIN_MET,
        "MET + muon > 150 GeV": met_pt + muon_pt > MIN_LEPTONIC_W_PT,
    }


BASELINE: dict[str, Any] = {
    "function": baseline,
    "use": [
        *(ObjVar(name) for name in ("Muon", "Electron", "Jet", "FatJet")),
        ObjVar("MET", "pt"),
        ObjVar("Flag"),
    ],
}


def top_tag_with_b_tag(jets: Any, top_jets: Any, chi2: Any) -> dict[str, Any]:
    """Keep events with one top jet and a b jet, well reconstructed."""
    return {"one top tag": count_is(top_jets, 1), **_with_b_tag(jets, chi2)}


def no_top_tag_with_b_tag(jets: Any, top_jets: Any, chi2: Any) -> dict[str, Any]:
    """Keep events without a top jet and with a b jet, well reconstructed."""
    return {"no top tag": count_is(top_jets, 0), **_with_b_tag(jets, chi2)}


def no_b_tag(jets: Any, top_jets: Any, chi2: Any) -> dict[str, Any]:
    """Keep events without a b jet and with one top jet at most: mostly W + jets."""
    return {
        "at most one top tag": ak.num(top_jets, axis=1) <= 1,
        "no b tag": ~ak.any(is_b_tagged(jets), axis=1),
        "chi2 < 30": chi2 < MAX_CHI2,
    }


CHANNELS: dict[str, Any] = {
    "SR_1t": top_tag_with_b_tag,
    "SR_0t": no_top_tag_with_b_tag,
    "CR_0b": no_b_tag,
}
"""Selection functions of the channels; each takes jets, top jets and chi2."""


def _with_b_tag(jets: Any, chi2: Any) -> dict[str, Any]:
    return {"b tag": ak.any(is_b_tagged(jets), axis=1), "chi2 < 30": chi2 < MAX_CHI2}


def _number_above(pt: float, *collections: Any) -> Any:
    return sum(ak.sum(one.pt > pt, axis=1) for one in collections)
