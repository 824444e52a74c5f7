"""The selection and the observables of the workshop, as functions of columns. Nothing here knows of files."""

from __future__ import annotations

from typing import Any

import awkward as ak

from intccms.selection.library import combination_mass, count_is, has_at_least

__all__ = [
    "candidate_mass",
    "candidate_muon_abseta",
    "candidate_muon_pt",
    "is_b_jet",
    "is_good_muon",
    "is_top_jet",
    "one_muon_one_top_jet",
    "with_b_jet",
    "with_trigger_and_met",
]

MIN_MET = 50.0  # GeV
MIN_MUON_PT = 55.0  # GeV, above the turn-on of HLT_TkMu50
MAX_MUON_ABSETA = 2.4
MIN_LEPTONIC_W_PT = 150.0  # GeV, muon pt + missing transverse momentum
MIN_TOP_JET_PT = 500.0  # GeV
MIN_TOP_SCORE = 0.5  # particleNet, top against QCD
MIN_B_SCORE = 0.5  # DeepCSV
MIN_JET_ID = 4  # bit 2: tight identification with lepton veto


def with_trigger_and_met(trigger: Any, met_pt: Any) -> dict[str, Any]:
    """Keep events with the single-muon trigger and missing transverse momentum, shape ``(n_events,)`` each."""
    return {"HLT_TkMu50": trigger, "PuppiMET > 50 GeV": met_pt > MIN_MET}


def is_good_muon(muons: Any, met_pt: Any) -> Any:
    """Select identified, isolated muons that make a leptonic W of high momentum with the missing momentum.

    Returns
    -------
    awkward.Array
        ``n_events * var * bool``.
    """
    return (
        (muons.pt > MIN_MUON_PT)
        & (abs(muons.eta) < MAX_MUON_ABSETA)
        & muons.tightId
        & (muons.miniIsoId > 1)
        & (muons.pt + met_pt > MIN_LEPTONIC_W_PT)
    )


def is_top_jet(fat_jets: Any) -> Any:
    """Select fat jets tagged as a boosted top quark, ``n_events * var * bool``."""
    return (fat_jets.pt > MIN_TOP_JET_PT) & (fat_jets.particleNet_TvsQCD > MIN_TOP_SCORE)


def is_b_jet(jets: Any) -> Any:
    """Select identified jets tagged as a b quark, ``n_events * var * bool``."""
    return (jets.btagDeepB > MIN_B_SCORE) & (jets.jetId >= MIN_JET_ID)


def one_muon_one_top_jet(muons: Any, fat_jets: Any) -> dict[str, Any]:
    """Keep events with exactly one muon and exactly one top jet, shape ``(n_events,)`` each."""
    return {"one muon": count_is(muons, 1), "one top jet": count_is(fat_jets, 1)}


def with_b_jet(jets: Any) -> dict[str, Any]:
    """Keep events with at least one b jet; each of them makes a candidate."""
    return {"b jet": has_at_least(jets, 1)}


def candidate_mass(muons: Any, fat_jets: Any, jets: Any, met: Any) -> Any:
    """Return m(tt) [GeV] of every combination of muon, top jet and b jet, ``n_events * var * float64``.

    The neutrino is the missing transverse momentum with eta = 0 and no mass.
    """
    return combination_mass(muons, fat_jets, jets, met=met)


def candidate_muon_pt(muons: Any, fat_jets: Any, jets: Any) -> Any:
    """Return the muon pt [GeV] of every combination, in the order of `candidate_mass`."""
    return _of_candidates(muons.pt, fat_jets.pt, jets.pt)


def candidate_muon_abseta(muons: Any, fat_jets: Any, jets: Any) -> Any:
    """Return the muon's absolute pseudorapidity of every combination, in the order of `candidate_mass`."""
    return _of_candidates(abs(muons.eta), fat_jets.pt, jets.pt)


def _of_candidates(values: Any, *others: Any) -> Any:
    """Repeat the values of the first collection for every combination with the others."""
    return ak.unzip(ak.cartesian([values, *others], axis=1))[0]
