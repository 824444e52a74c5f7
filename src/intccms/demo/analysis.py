"""The cuts and observables of the demo: a heavy resonance that decays to t tbar, in muon + jets.

One top quark decays to a muon, a neutrino and a b jet; the other, boosted, is one fat jet.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from intccms.selection.library import combination_mass, count_is, has_at_least

__all__ = [
    "b_jets",
    "good_muons",
    "jet_energy_uncertainty",
    "leading_pt",
    "met_of_varied_jets",
    "muon_efficiency",
    "one_muon",
    "resonance_mass",
    "search_region",
    "skim",
    "top_jets",
]


def jet_energy_uncertainty(eta: Any, pt: Any) -> Any:
    """Return the relative uncertainty of the energy of jets: 1 %, more at low momentum and at large angles."""
    return 0.01 + 0.005 * abs(eta) + 0.5 / pt


def met_of_varied_jets(
    met_pt: Any, met_phi: Any, jet_pt: Any, stored_pt: Any, jet_phi: Any
) -> tuple[Any, Any]:
    """Return missing momentum [GeV] and its azimuth after what was added to jets was taken from it."""
    change = jet_pt - stored_pt
    x = met_pt * np.cos(met_phi) - ak.sum(change * np.cos(jet_phi), axis=1)
    y = met_pt * np.sin(met_phi) - ak.sum(change * np.sin(jet_phi), axis=1)
    return np.hypot(x, y), np.arctan2(y, x)


def muon_efficiency(pt: Any, key: str) -> Any:
    """Return the factor for each muon: 1, give or take 1 % and a tenth of it per 100 GeV."""
    sign = {"nominal": 0.0, "up": 1.0, "down": -1.0}[key]
    return 1.0 + sign * (0.01 + 1e-5 * pt)


def skim(trigger: Any, met_pt: Any) -> dict[str, Any]:
    """Keep events that fired the trigger and have some missing momentum; the loose filter."""
    return {"HLT_TkMu50": trigger, "PuppiMET > 50 GeV": met_pt > 50}


def good_muons(muons: Any, met_pt: Any) -> Any:
    """Select isolated, central muons of pt > 55 GeV; the muon and the missing momentum make the W boson."""
    return (
        (muons.pt > 55)
        & (abs(muons.eta) < 2.4)
        & muons.tightId
        & (muons.miniIsoId > 1)
        & (muons.pt + met_pt > 150)
    )


def top_jets(fat_jets: Any) -> Any:
    """Select fat jets that look like a boosted top quark."""
    return (fat_jets.pt > 500) & (fat_jets.particleNet_TvsQCD > 0.5)


def b_jets(jets: Any) -> Any:
    """Select jets that pass the identification and look like a b quark."""
    return (jets.btagDeepB > 0.5) & (jets.jetId >= 4)


def one_muon(muons: Any) -> dict[str, Any]:
    """Keep events with exactly one muon: the baseline."""
    return {"one muon": count_is(muons, 1)}


def search_region(fat_jets: Any, jets: Any) -> dict[str, Any]:
    """Keep events with one top jet and at least one b jet."""
    return {"one top jet": count_is(fat_jets, 1), "b jet": has_at_least(jets, 1)}


def resonance_mass(muons: Any, fat_jets: Any, jets: Any, met: Any) -> Any:
    """Return m(tt) [GeV] for every combination of muon, top jet and b jet, shape ``n_events * var``."""
    return combination_mass(muons, fat_jets, jets, met=met)


def leading_pt(objects: Any) -> Any:
    """Return the largest pt [GeV] of each event, None where there is no object; shape ``(n_events,)``."""
    return ak.max(objects.pt, axis=1)
