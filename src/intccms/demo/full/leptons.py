"""Muons and electrons with the identification, isolation and links that a Run 2 analysis reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.full.jagged import extended, local_index, nearest
from intccms.demo.kinematics import angular_distance

if TYPE_CHECKING:
    from intccms.demo.columns import Collection
    from intccms.demo.full.draws import Draws

__all__ = ["LEPTON_TRUTH", "full_electrons", "full_muons", "jet_of"]

type Array = npt.NDArray[Any]
type Bools = npt.NDArray[np.bool_]

LEPTON_TRUTH = ("genPartIdx", "genPartFlav")
"""Fields that collision data do not have."""

MUON_BITS = {"pfRelIso04_all": 10, "pfRelIso03_all": 10, "tkRelIso": 10, "miniPFRelIso_all": 10, "tunepRelPt": 6,
             "dxy": 10, "dz": 10, "sip3d": 10, "ptErr": 6}  # fmt: skip
ELECTRON_BITS = {"deltaEtaSC": 10, "dxy": 10, "dz": 10, "pfRelIso03_all": 10, "r9": 10, "sieie": 10}

# upper edges of pfRelIso04_all for the working points 1 (very loose) to 6 (very very tight), CMS-MUO-16-001
PF_ISOLATION = (0.40, 0.25, 0.20, 0.15, 0.10, 0.05)
TRACKER_ISOLATION = (0.10, 0.05)  # loose, tight
MOST_OF_A_JET = 0.8  # a lepton with a larger share of the pt is not one of a jet's particles


def jet_of(leptons: Collection, jets: Collection) -> npt.NDArray[np.int32]:
    """Return for each lepton the position of the jet that it is part of, or -1.

    That is the nearest jet within 0.4 whose raw pt leaves room for the lepton.
    """
    index = nearest(leptons, jets, 0.4)
    starts = np.cumsum(jets.counts) - jets.counts
    raw = jets.fields["pt"] * (1.0 - jets.fields["rawFactor"])
    found = index >= 0
    inside = np.zeros(index.size, dtype=np.bool_)
    target = starts[leptons.event_index()[found]] + index[found]
    inside[found] = leptons.fields["pt"][found] < MOST_OF_A_JET * raw[target]
    return np.where(inside, index, -1).astype(np.int32)


def _level(values: Array, edges: tuple[float, ...]) -> npt.NDArray[np.uint8]:
    """Return how many of the falling ``edges`` each value is below."""
    return np.sum(values[:, None] < np.array(edges), axis=1, dtype=np.uint8)


def _generated_lepton(
    leptons: Collection, particles: Collection, lepton: npt.NDArray[np.int32], pdg_id: int
) -> dict[str, Array]:
    """Return the link to the generated lepton of the hard process, if it is one of ``pdg_id`` within 0.1."""
    rows = leptons.event_index()
    own = (np.cumsum(particles.counts) - particles.counts + lepton)[rows]
    truth = {name: values[own] for name, values in particles.fields.items()}
    distance = angular_distance(leptons.fields["eta"], leptons.fields["phi"], truth["eta"], truth["phi"])
    is_it = (np.abs(truth["pdgId"]) == pdg_id) & (distance < 0.1)
    return {
        "genPartIdx": np.where(is_it, lepton[rows], -1).astype(np.int32),
        "genPartFlav": is_it.astype(np.uint8),
    }


def _impact(draws: Draws, name: str, prompt: Bools) -> dict[str, Array]:
    """Return dxy and dz [cm]: the resolution of a tracker, and the flight of a b hadron for soft leptons."""
    n = prompt.size
    scale = np.where(prompt, 1.0, 8.0)
    return {
        "dxy": draws(f"{name}_dxy").normal(0.0, 0.002, n) * scale,
        "dz": draws(f"{name}_dz").normal(0.0, 0.004, n) * scale,
    }


def full_muons(
    draws: Draws, muons: Collection, jets: Collection, particles: Collection, lepton: npt.NDArray[np.int32]
) -> Collection:
    """Return `Muon` with every field; ``lepton`` is the position of the generated lepton in each event."""
    fields = muons.fields
    n = fields["pt"].size
    truth = _generated_lepton(muons, particles, lepton, 13)
    tight, isolation = fields["tightId"], fields["pfRelIso04_all"].astype(np.float64)
    medium = tight | (draws("Muon_mediumId").random(n) < 0.5)
    loose = medium | (draws("Muon_looseId").random(n) < 0.9)
    tracker = isolation * draws("Muon_tkRelIso").uniform(0.2, 0.9, n)
    high_pt = draws("Muon_highPtId").choice([2, 1, 0], n, p=[0.96, 0.03, 0.01])
    impact = _impact(draws, "Muon", truth["genPartIdx"] >= 0)
    further: dict[str, Array] = {
        "pdgId": (-13 * fields["charge"]).astype(np.int32),
        "looseId": loose,
        "mediumId": medium,
        "highPtId": np.where(tight | (local_index(muons.counts) == 0), high_pt, 0).astype(np.uint8),
        "isGlobal": loose,
        "isTracker": loose | (draws("Muon_isTracker").random(n) < 0.8),
        "isPFcand": loose,
        "pfRelIso03_all": isolation * draws("Muon_pfRelIso03_all").uniform(0.6, 1.0, n),
        "miniPFRelIso_all": isolation * draws("Muon_miniPFRelIso_all").uniform(0.1, 0.8, n),
        "tkRelIso": tracker,
        "pfIsoId": _level(isolation, PF_ISOLATION),
        "tkIsoId": _level(tracker, TRACKER_ISOLATION),
        "tunepRelPt": np.maximum(draws("Muon_tunepRelPt").normal(1.0, 0.01, n), 0.5),
        "ptErr": fields["pt"] * draws("Muon_ptErr").uniform(0.008, 0.03, n),
        **impact,
        "sip3d": np.hypot(impact["dxy"], impact["dz"]) / 0.003,
        "jetIdx": jet_of(muons, jets),
        **truth,
    }
    return extended(muons, further, MUON_BITS)


def full_electrons(
    draws: Draws,
    electrons: Collection,
    jets: Collection,
    particles: Collection,
    lepton: npt.NDArray[np.int32],
) -> Collection:
    """Return `Electron` with every field; ``lepton`` is the position of the generated lepton in each event."""
    fields = electrons.fields
    n = fields["pt"].size
    truth = _generated_lepton(electrons, particles, lepton, 11)
    # the multivariate and the cut-based identification look at the same shower
    quality = fields["cutBased"] / 4.0 + draws("Electron_mva").normal(0.0, 0.15, n)
    isolation = draws("Electron_pfRelIso03_all").exponential(1.0, n) * np.where(
        fields["cutBased"] > 1, 0.03, 0.3
    )
    further: dict[str, Array] = {
        "pdgId": (-11 * fields["charge"]).astype(np.int32),
        "deltaEtaSC": draws("Electron_deltaEtaSC").normal(0.0, 0.02, n),
        "mvaFall17V2noIso_WPL": quality > 0.1,
        "mvaFall17V2noIso_WP90": quality > 0.4,
        "mvaFall17V2noIso_WP80": quality > 0.6,
        "mvaFall17V2Iso_WPL": quality - isolation > 0.1,
        "mvaFall17V2Iso_WP90": quality - isolation > 0.4,
        "mvaFall17V2Iso_WP80": quality - isolation > 0.6,
        "cutBased_HEEP": (quality > 0.4) & (fields["pt"] > 35.0),
        "convVeto": draws("Electron_convVeto").random(n) < 0.97,
        "lostHits": draws("Electron_lostHits").choice([0, 1, 2], n, p=[0.95, 0.04, 0.01]).astype(np.uint8),
        "r9": draws("Electron_r9").uniform(0.7, 1.0, n),
        "sieie": draws("Electron_sieie").normal(0.01, 0.001, n),
        "pfRelIso03_all": isolation,
        **_impact(draws, "Electron", truth["genPartIdx"] >= 0),
        "jetIdx": jet_of(electrons, jets),
        **truth,
    }
    return extended(electrons, further, ELECTRON_BITS)
