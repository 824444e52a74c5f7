"""AK4 jets: `Jet` with soft and forward ones, `GenJet`, and the jets below threshold, `CorrT1METJet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection
from intccms.demo.detector import JET_MAX_ETA, JET_MIN_PT, TRACKER_MAX_ETA
from intccms.demo.full.jagged import extended, first_two, ordered_by_pt, truncated
from intccms.demo.kinematics import wrap_phi

if TYPE_CHECKING:
    from intccms.demo.full.draws import Draws

__all__ = [
    "JET_TRUTH",
    "generated_jets",
    "jets_below_threshold",
    "linked_jets",
    "pt_resolution",
    "reconstructed_jets",
]

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]

JET_TRUTH = ("genJetIdx", "hadronFlavour", "partonFlavour")
"""Fields that collision data do not have."""

JET_BITS = {"pt": 10, "eta": 12, "phi": 12, "mass": 10, "area": 10, "rawFactor": 6, "muonSubtrFactor": 6, "chEmEF": 6,
            "neEmEF": 6, "chHEF": 6, "neHEF": 6, "btagDeepB": 10, "btagDeepFlavB": 10, "qgl": 10}  # fmt: skip
GEN_JET_BITS = {"pt": 10, "eta": 10, "phi": 10, "mass": 10}
CORR_JET_BITS = {"rawPt": 10, "eta": 12, "phi": 12, "area": 10, "muonSubtrFactor": 6}

MEAN_SOFT_JETS, FORWARD_SHARE = 1.3, 0.4
MEAN_UNMATCHED_GEN_JETS, GEN_JET_MIN_PT = 1.5, 10.0  # GeV, the threshold of NanoAODv9
MEAN_BELOW_THRESHOLD = 17.0


def pt_resolution(pt: Floats) -> Floats:
    """Return the relative resolution of a jet's pt [GeV], that of the detector's calorimeter."""
    safe = np.maximum(pt, 1.0)
    return np.asarray(np.sqrt((4.0 / safe) ** 2 + 0.8**2 / safe + 0.04**2))


def _soft_jets(draws: Draws, n_events: int) -> tuple[npt.NDArray[np.int64], dict[str, Array]]:
    """Return the events and the fields of soft jets from pileup, many of them forward."""
    number = draws("soft jets").poisson(MEAN_SOFT_JETS, n_events)
    n = int(number.sum())
    rng = draws("soft jets, momenta")
    pt = JET_MIN_PT + rng.exponential(6.0, n)
    forward = rng.random(n) < FORWARD_SHARE
    edge = np.where(
        forward, rng.uniform(TRACKER_MAX_ETA, JET_MAX_ETA, n), rng.uniform(0.0, TRACKER_MAX_ETA, n)
    )
    eta = edge * rng.choice([-1.0, 1.0], n)
    tracked = np.abs(eta) < TRACKER_MAX_ETA
    score = np.where(tracked, rng.random(n) ** 20, -1.0)
    fields: dict[str, Array] = {
        "pt": pt,
        "eta": eta,
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": pt * rng.uniform(0.05, 0.25, n),
        "jetId": rng.choice(np.array([6, 2, 0], dtype=np.int32), n, p=[0.95, 0.03, 0.02]),
        "btagDeepB": score,
        "btagDeepFlavB": np.where(tracked, score * rng.uniform(0.5, 1.0, n), -1.0),
        "hadronFlavour": np.zeros(n, dtype=np.int32),
        "area": rng.normal(0.5, 0.03, n),
    }
    return np.repeat(np.arange(n_events), number), truncated(fields, JET_BITS)


def _raw_factor(rng: np.random.Generator, eta: Array) -> Floats:
    """Draw the share of a jet's pt that calibration added, larger in the endcaps."""
    endcap = np.abs(eta) > 1.3
    return np.clip(rng.normal(np.where(endcap, 0.09, 0.06), 0.025), 0.0, 0.2)


def _parton_flavour(rng: np.random.Generator, hadron: Array, from_pileup: Bools) -> Array:
    light = rng.choice([21, 1, 2, 3], hadron.size, p=[0.5, 0.2, 0.2, 0.1])
    sign = rng.choice([-1, 1], hadron.size)
    flavour = np.where(hadron > 0, hadron * sign, np.where(light == 21, 21, light * sign))
    return np.where(from_pileup, 0, flavour).astype(np.int32)


def _pileup_id(draws: Draws, pt: Array, from_pileup: Bools) -> Array:
    """Return the pileup identification: bits tight, medium, loose, so 7 passes all; 7 above 50 GeV."""
    n = pt.size
    real = draws("Jet_puId").choice([7, 6, 4, 0], n, p=[0.90, 0.04, 0.03, 0.03])
    pileup = draws("Jet_puId, pileup").choice([7, 6, 4, 0], n, p=[0.15, 0.10, 0.15, 0.60])
    return np.where(pt > 50.0, 7, np.where(from_pileup, pileup, real)).astype(np.int32)


def reconstructed_jets(draws: Draws, jets: Collection) -> tuple[Collection, Bools]:
    """Return `Jet` without links to other collections, and which jets are from pileup.

    Parameters
    ----------
    draws
        Random generators of the cluster.
    jets
        Jets of the parametric detector.
    """
    n_events = jets.counts.size
    event, soft = _soft_jets(draws, n_events)
    joined = {name: np.concatenate([jets.fields[name], values]) for name, values in soft.items()}
    from_soft = np.arange(joined["pt"].size) >= jets.fields["pt"].size
    joined["from_soft"] = from_soft
    collection, _ = ordered_by_pt(n_events, np.concatenate([jets.event_index(), event]), joined)
    fields = dict(collection.fields)
    from_soft = fields.pop("from_soft")
    pt, eta, n = fields["pt"], fields["eta"], fields["pt"].size
    chance = np.where(
        from_soft, 0.8, 0.5 * np.exp(-(pt - JET_MIN_PT) / 10.0) * (fields["hadronFlavour"] == 0)
    )
    from_pileup = np.asarray(draws("jets from pileup").random(n) < chance)
    tracked = np.abs(eta) < TRACKER_MAX_ETA
    further: dict[str, Array] = {
        "rawFactor": _raw_factor(draws("Jet_rawFactor"), eta),
        "chEmEF": np.where(tracked, draws("Jet_chEmEF").beta(0.3, 12.0, n), 0.0),
        "neEmEF": draws("Jet_neEmEF").beta(2.0, 6.0, n),
        "chHEF": np.where(tracked, draws("Jet_chHEF").beta(6.0, 4.0, n), 0.0),
        "neHEF": draws("Jet_neHEF").beta(1.0, 9.0, n),
        "qgl": np.where(tracked, draws("Jet_qgl").beta(1.2, 1.0, n), -1.0),
        "puId": _pileup_id(draws, pt, from_pileup),
        "partonFlavour": _parton_flavour(draws("Jet_partonFlavour"), fields["hadronFlavour"], from_pileup),
    }
    return extended(Collection(collection.counts, fields), further, JET_BITS), from_pileup


def linked_jets(jets: Collection, muons: Collection, electrons: Collection) -> Collection:
    """Return the jets with their leptons, and the share of the raw pt that muons have."""
    muon_links = first_two(jets.counts, muons, muons.fields["jetIdx"])
    electron_links = first_two(jets.counts, electrons, electrons.fields["jetIdx"])
    starts = np.cumsum(muons.counts) - muons.counts
    in_muons = np.zeros(jets.fields["pt"].size)
    for link in muon_links:
        found = link >= 0
        in_muons[found] += muons.fields["pt"][starts[jets.event_index()[found]] + link[found]]
    raw = jets.fields["pt"] * (1.0 - jets.fields["rawFactor"])
    links: dict[str, Array] = {
        "muonIdx1": muon_links[0],
        "muonIdx2": muon_links[1],
        "electronIdx1": electron_links[0],
        "electronIdx2": electron_links[1],
        "nMuons": np.sum([link >= 0 for link in muon_links], axis=0, dtype=np.int32),
        "nElectrons": np.sum([link >= 0 for link in electron_links], axis=0, dtype=np.int32),
        "muonSubtrFactor": np.minimum(in_muons / raw, 0.99),
    }
    return extended(jets, links, JET_BITS)


def generated_jets(draws: Draws, jets: Collection, from_pileup: Bools) -> tuple[Collection, Collection]:
    """Return `GenJet`, and the jets with the index of the generated one that they are matched to.

    A jet that is not from pileup has a generated one, whose pt differs by the resolution; those of less than 10 GeV
    are not stored. Further generated jets are matched to none.
    """
    n_events, fields = jets.counts.size, jets.fields
    n = fields["pt"].size
    response = 1.0 + pt_resolution(fields["pt"].astype(np.float64)) * np.clip(
        draws("GenJet_pt").normal(size=n), -1.5, 2.5
    )
    own_pt = fields["pt"] / response
    has_own = ~from_pileup & (own_pt > GEN_JET_MIN_PT)
    shift = draws("GenJet_direction").normal(0.0, 0.02, (2, n))
    number = draws("further GenJet").poisson(MEAN_UNMATCHED_GEN_JETS, n_events)
    m = int(number.sum())
    rng = draws("further GenJet, momenta")
    soft = GEN_JET_MIN_PT + rng.exponential(3.0, m)
    light = np.zeros(m, dtype=np.int32)
    columns: dict[str, Array] = {
        "pt": np.concatenate([own_pt[has_own], soft]),
        "eta": np.concatenate([(fields["eta"] + shift[0])[has_own], rng.uniform(-5.0, 5.0, m)]),
        "phi": np.concatenate([wrap_phi(fields["phi"] + shift[1])[has_own], rng.uniform(-np.pi, np.pi, m)]),
        "mass": np.concatenate([(fields["mass"] / response)[has_own], soft * rng.uniform(0.05, 0.2, m)]),
        "hadronFlavour": np.concatenate([fields["hadronFlavour"][has_own], light]).astype(np.uint8),
        "partonFlavour": np.concatenate([fields["partonFlavour"][has_own], light + 21]),
    }
    event = np.concatenate([jets.event_index()[has_own], np.repeat(np.arange(n_events), number)])
    collection, place = ordered_by_pt(n_events, event, truncated(columns, GEN_JET_BITS))
    index = np.full(n, -1, dtype=np.int32)
    index[has_own] = place[: np.sum(has_own)]
    return collection, extended(jets, {"genJetIdx": index}, {})


def jets_below_threshold(draws: Draws, n_events: int) -> Collection:
    """Return `CorrT1METJet`: jets whose calibrated pt is below 15 GeV, for missing momentum with other calibrations."""
    counts = draws("CorrT1METJet").poisson(MEAN_BELOW_THRESHOLD, n_events).astype(np.int32)
    n = int(counts.sum())
    raw = np.minimum(5.0 + draws("CorrT1METJet_rawPt").exponential(3.5, n), 14.9)
    with_muon = draws("CorrT1METJet_muonSubtrFactor").random((2, n))
    fields = {
        "rawPt": raw,
        "eta": np.clip(draws("CorrT1METJet_eta").normal(0.0, 2.4, n), -5.1, 5.1),
        "phi": draws("CorrT1METJet_phi").uniform(-np.pi, np.pi, n),
        "area": np.clip(draws("CorrT1METJet_area").normal(0.48, 0.08, n), 0.05, 0.8),
        "muonSubtrFactor": np.where(with_muon[0] < 0.01, with_muon[1], 0.0),
    }
    return Collection(counts, truncated(fields, CORR_JET_BITS))
