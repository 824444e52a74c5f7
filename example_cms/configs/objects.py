"""Which muons, electrons, fat jets and jets count: functions of collections, and their order."""

from __future__ import annotations

from typing import Any

from intccms.schema import ObjVar
from intccms.selection.overlap import is_away_from, is_isolated_2d

__all__ = [
    "BRANCHES",
    "B_TAG",
    "OBJECT_MASKS",
    "is_b_tagged",
    "is_good_jet",
    "is_high_pt_muon",
    "is_isolated",
    "is_separate_jet",
    "is_top_jet",
    "is_veto_electron",
]

MIN_MUON_PT = 55.0  # GeV, above the turn-on of Mu50
MAX_MUON_ABSETA = 2.4
GLOBAL_HIGH_PT = 2  # Muon_highPtId: 1 tracker, 2 global

MIN_ELECTRON_PT, MAX_ELECTRON_ABSETA = 35.0, 2.5  # GeV
LOOSE_ELECTRON = 2  # Electron_cutBased: 1 veto, 2 loose, 3 medium, 4 tight

MIN_JET_PT = 30.0  # GeV
MAX_JET_ABSETA = 2.4  # the tracker; scale factors of b tagging end at 2.5
TIGHT, TIGHT_LEPTON_VETO = 2, 4  # bits of Jet_jetId and FatJet_jetId

MIN_TOP_JET_PT = 400.0  # GeV
TOP_MASS_WINDOW = (105.0, 210.0)  # GeV, soft-drop mass
MIN_TOP_SCORE = 0.5  # ParticleNet, top against QCD; no working point of a physics object group
TOP_JET_TO_MUON = 0.8  # the radius of a fat jet
JET_TO_TOP_JET = 1.2  # arXiv:1810.05905

B_TAG = 0.3040
"""Least DeepJet score of a b jet: the medium working point of 2017, the highest of the four (2016 0.2598 and 0.2489, 2018
0.2783). One number serves all eras, since the scale factors correct the whole distribution of the score."""


def is_high_pt_muon(muons: Any) -> Any:
    """Select muons with the global high-pt identification, ``n_events * var * bool``."""
    return (muons.pt > MIN_MUON_PT) & (abs(muons.eta) < MAX_MUON_ABSETA) & (muons.highPtId == GLOBAL_HIGH_PT)


def is_isolated(muons: Any, jets: Any) -> Any:
    """Select muons with the two-dimensional isolation from all jets that are stored (pt > 15 GeV)."""
    return is_isolated_2d(muons, jets, distance=0.4, pt_rel=25.0, jet_pt=15.0)


def is_veto_electron(electrons: Any) -> Any:
    """Select electrons that veto an event, ``n_events * var * bool``."""
    return (
        (electrons.pt > MIN_ELECTRON_PT)
        & (abs(electrons.eta) < MAX_ELECTRON_ABSETA)
        & (electrons.cutBased >= LOOSE_ELECTRON)
    )


def is_top_jet(fat_jets: Any, muons: Any) -> Any:
    """Select fat jets tagged as a top quark that decays to hadrons, away from the muon."""
    low, high = TOP_MASS_WINDOW
    return (
        (fat_jets.pt > MIN_TOP_JET_PT)
        & (abs(fat_jets.eta) < MAX_JET_ABSETA)
        & ((fat_jets.jetId & TIGHT) > 0)
        & (fat_jets.msoftdrop > low)
        & (fat_jets.msoftdrop < high)
        & (fat_jets.particleNet_TvsQCD > MIN_TOP_SCORE)
        & is_away_from(fat_jets, muons, TOP_JET_TO_MUON)
    )


def is_good_jet(jets: Any) -> Any:
    """Select jets with the tight identification and lepton veto, ``n_events * var * bool``."""
    return (jets.pt > MIN_JET_PT) & (abs(jets.eta) < MAX_JET_ABSETA) & ((jets.jetId & TIGHT_LEPTON_VETO) > 0)


def is_separate_jet(jets: Any, top_jets: Any) -> Any:
    """Select jets that are no part of a top jet."""
    return is_away_from(jets, top_jets, JET_TO_TOP_JET)


def is_b_tagged(jets: Any) -> Any:
    """Tell which jets carry a b tag, ``n_events * var * bool``."""
    return jets.btagDeepFlavB > B_TAG


MUON, ELECTRON, FAT_JET, JET = (ObjVar(name) for name in ("Muon", "Electron", "FatJet", "Jet"))

OBJECT_MASKS: list[dict[str, Any]] = [
    {"collection": "Muon", "function": is_high_pt_muon, "use": [MUON]},
    # sees all jets, since those are narrowed later
    {"collection": "Muon", "function": is_isolated, "use": [MUON, JET]},
    {"collection": "Electron", "function": is_veto_electron, "use": [ELECTRON]},
    {"collection": "FatJet", "function": is_top_jet, "use": [FAT_JET, MUON]},
    {"collection": "Jet", "function": is_good_jet, "use": [JET]},
    {"collection": "Jet", "function": is_separate_jet, "use": [JET, FAT_JET]},
]
"""Each mask sees what those before it have left."""

KINEMATICS = ["pt", "eta", "phi", "mass"]
BRANCHES: dict[str, list[str]] = {
    "Muon": [*KINEMATICS, "highPtId"],
    "Electron": [*KINEMATICS, "cutBased"],
    "FatJet": [*KINEMATICS, "jetId", "msoftdrop", "particleNet_TvsQCD"],
    "Jet": [*KINEMATICS, "jetId", "btagDeepFlavB"],
}
"""What is read of a whole collection; corrections name what they use besides."""
