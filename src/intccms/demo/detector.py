"""A parametric detector: hard events in, reconstructed NanoAOD columns out.

Jets and fat jets are clusters of the same smeared partons, so a boosted top is one fat jet and a slow one three
jets; missing momentum carries the jets' mismeasurement. Tagger scores are drawn from the true content of a
jet. The rate of fat jets of other origin that pass the top tagger, 21 % at a score of 0.5, is far above a real
one, so that a small W+jets sample reaches the signal region.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import EventColumns, Padded
from intccms.demo.kinematics import angular_distance, from_polar, to_polar
from intccms.demo.leptons import closest_jet, electrons, muons
from intccms.demo.physics import CONTENT_HADRONIC_TOP, HardEvents
from intccms.demo.triggers import met_filters, pileup, trigger_decisions

__all__ = ["cluster_partons", "reconstruct"]

type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]
type Ints = npt.NDArray[np.int64]
type Array = npt.NDArray[Any]

JET_RADIUS, FAT_JET_RADIUS = 0.4, 0.8
JET_MIN_PT, FAT_JET_MIN_PT = 15.0, 170.0  # GeV, the thresholds of NanoAODv9
JET_MAX_ETA, FAT_JET_MAX_ETA, TRACKER_MAX_ETA = 4.7, 2.5, 2.5
N_PILEUP_SLOTS, MEAN_PILEUP_JETS = 4, 1.3
OUTSIDE_ACCEPTANCE = 0.003  # share of events of which the detector sees nothing but noise

# bits of mantissa kept, as in NanoAOD; floats not named keep all 23
_BITS: dict[str, dict[str, int]] = {
    "Muon": {"eta": 12, "phi": 12, "pfRelIso04_all": 10},
    "Electron": {"pt": 10, "eta": 12, "phi": 12, "mass": 10},
    "Jet": {"pt": 10, "eta": 12, "phi": 12, "mass": 10, "btagDeepB": 10, "btagDeepFlavB": 10, "area": 10,
            "rawFactor": 6},
    "FatJet": {"pt": 10, "eta": 12, "phi": 12, "mass": 10, "particleNet_TvsQCD": 10, "msoftdrop": 10},
}  # fmt: skip


def cluster_partons(
    partons: Floats, present: Bools, radius: float
) -> tuple[Floats, Bools, npt.NDArray[np.intp]]:
    """Cluster the partons of every event around the hardest ones that are left (a cone with hard seeds).

    Parameters
    ----------
    partons
        Four-vectors [GeV], shape ``(n_events, n_slots, 4)``.
    present
        Which slots hold a parton, shape ``(n_events, n_slots)``.
    radius
        Size of a jet in eta and phi.

    Returns
    -------
    jets, exists, owner
        Four-vectors of the jets at the slots of their seeds; which slots are seeds; and for each parton the
        slot of its jet, -1 where there is no parton.
    """
    n, slots = present.shape
    pt, eta, phi, _ = to_polar(partons)
    near = angular_distance(eta[:, :, None], phi[:, :, None], eta[:, None, :], phi[:, None, :]) < radius
    order = np.argsort(np.where(present, -pt, np.inf), axis=1)
    owner = np.full((n, slots), -1)
    rows = np.arange(n)
    for rank in range(slots):
        seed = order[:, rank]
        is_seed = present[rows, seed] & (owner[rows, seed] < 0)
        joins = near[rows, seed] & present & (owner < 0) & is_seed[:, None]
        owner = np.where(joins, seed[:, None], owner)
    member = owner[:, None, :] == np.arange(slots)[:, None]
    return np.asarray(member @ partons), member.any(axis=2), owner


def _jet_contents(owner: Array, values: Ints) -> Ints:
    """Return per jet slot the bitwise OR of its partons' values."""
    slots = owner.shape[1]
    member = owner[:, None, :] == np.arange(slots)[:, None]
    return np.asarray(np.bitwise_or.reduce(np.where(member, values[:, None, :], 0), axis=2))


def _smear(rng: np.random.Generator, events: HardEvents) -> Floats:
    """Return the partons as measured: pt resolution of a calorimeter, and a mass from showering."""
    pt, eta, phi, _ = to_polar(events.partons)
    safe = np.maximum(pt, 1.0)
    resolution = np.sqrt((4.0 / safe) ** 2 + 0.8**2 / safe + 0.04**2)
    measured = pt * np.clip(rng.normal(1.0, resolution), 0.3, 2.0)
    shower_mass = measured * np.clip(0.04 + rng.exponential(0.03, pt.shape), 0.0, 0.25)
    return from_polar(measured, eta, phi, shower_mass)


def _b_tag(u: Floats, flavour: Ints, eta: Floats) -> Floats:
    """Turn uniform numbers into b-tag scores; above 0.5 are 71 % of b, 16 % of c and 3 % of other jets."""
    score = np.where(flavour == 5, 1.0 - u**2, np.where(flavour == 4, u**4, u**20))
    return np.asarray(np.where(np.abs(eta) < TRACKER_MAX_ETA, score, -1.0))


def _jets(rng: np.random.Generator, events: HardEvents, measured: Floats) -> Padded:
    p4, exists, owner = cluster_partons(measured, events.present, JET_RADIUS)
    # an OR of 4 and 5 is 5, of any of them with 0 itself: the heaviest flavour wins, as in CMS
    flavour = _jet_contents(owner, events.flavour)
    n = exists.shape[0]
    extra = (n, N_PILEUP_SLOTS)
    soft = from_polar(
        JET_MIN_PT - 2.0 + rng.exponential(9.0, extra),
        rng.uniform(-JET_MAX_ETA, JET_MAX_ETA, extra),
        rng.uniform(-np.pi, np.pi, extra),
        2.0,
    )
    number = np.asarray(rng.poisson(MEAN_PILEUP_JETS, n))
    p4 = np.concatenate([p4, soft], axis=1)
    exists = np.concatenate([exists, np.arange(N_PILEUP_SLOTS) < number[:, None]], axis=1)
    flavour = np.concatenate([flavour, np.zeros(extra, dtype=np.int64)], axis=1)
    pt, eta, phi, mass = to_polar(p4)
    u, v = rng.random(pt.shape), rng.random(pt.shape)
    fields: dict[str, Array] = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": mass,
        "jetId": rng.choice(np.array([6, 2, 0], dtype=np.int32), pt.shape, p=[0.97, 0.02, 0.01]),
        "btagDeepB": _b_tag(u, flavour, eta),
        # the two taggers look at the same tracks, so their scores are correlated
        "btagDeepFlavB": _b_tag(0.8 * u + 0.2 * v, flavour, eta),
        "hadronFlavour": flavour.astype(np.int32),
        "area": rng.normal(0.503, 0.012, pt.shape),
        "rawFactor": rng.normal(0.06, 0.02, pt.shape),
    }
    present = exists & (pt > JET_MIN_PT) & (np.abs(eta) < JET_MAX_ETA) & (rng.random(pt.shape) < 0.98)
    return Padded(present, fields).sorted_by_pt()


def _fat_jets(rng: np.random.Generator, events: HardEvents, measured: Floats) -> Padded:
    p4, exists, owner = cluster_partons(measured, events.present, FAT_JET_RADIUS)
    content = _jet_contents(owner, events.content)
    prongs = np.bitwise_count(content)
    pt, eta, phi, mass = to_polar(p4)
    shape = pt.shape
    # 94 % of complete tops pass 0.5, half of those that lost a prong, and 21 % of everything else
    score = np.where(
        content == CONTENT_HADRONIC_TOP,
        rng.beta(4.0, 1.0, shape),
        np.where(prongs == 2, rng.beta(1.2, 1.2, shape), rng.random(shape) ** 3),
    )
    groomed = np.where(prongs >= 2, mass * rng.normal(0.95, 0.04, shape), mass * rng.beta(1.5, 2.5, shape))
    fields = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": mass,
        "particleNet_TvsQCD": score,
        "msoftdrop": np.maximum(groomed, 0.0),
    }
    present = exists & (pt > FAT_JET_MIN_PT) & (np.abs(eta) < FAT_JET_MAX_ETA)
    return Padded(present, fields).sorted_by_pt()


def _missing_momentum(
    rng: np.random.Generator, events: HardEvents, measured: Floats, soft: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return pt [GeV] and phi of what escapes and of what was mismeasured, plus ``soft`` GeV of noise."""
    lost = np.sum((events.partons - measured) * events.present[..., None], axis=1)
    vector = (events.invisible + lost)[:, :2] + rng.normal(0.0, soft, (lost.shape[0], 2))
    pt, phi = np.hypot(vector[:, 0], vector[:, 1]), np.arctan2(vector[:, 1], vector[:, 0])
    return pt.astype(np.float32), phi.astype(np.float32)


def _lose_events(rng: np.random.Generator, events: HardEvents) -> None:
    lost = rng.random(events.charge.size) < OUTSIDE_ACCEPTANCE
    events.present[lost] = False
    events.lepton_id[lost] = 0
    events.invisible[lost] = 0.0


def reconstruct(rng: np.random.Generator, events: HardEvents) -> EventColumns:
    """Simulate the detector for hard events.

    ``events`` is changed: the few that are outside the acceptance lose their partons and leptons.

    Returns
    -------
    EventColumns
        All columns of simulated NanoAOD but event numbers and ``genWeight``, mantissas truncated; every
        collection is ordered in falling pt.
    """
    _lose_events(rng, events)
    measured = _smear(rng, events)
    padded = {
        "Muon": muons(rng, events),
        "Electron": electrons(rng, events),
        "Jet": _jets(rng, events, measured),
        "FatJet": _fat_jets(rng, events, measured),
    }
    muon = padded["Muon"]
    padded["Muon"] = Padded(muon.present, {**muon.fields, "jetIdx": closest_jet(muon, padded["Jet"])})
    met, met_phi = _missing_momentum(rng, events, measured, 20.0)
    puppi, puppi_phi = _missing_momentum(rng, events, measured, 14.0)
    n = events.charge.size
    flat: dict[str, Array] = {
        "MET_pt": met,
        "MET_phi": met_phi,
        "PuppiMET_pt": puppi,
        "PuppiMET_phi": puppi_phi,
        **pileup(rng, n),
        **trigger_decisions(
            rng, muon, padded["Electron"], padded["Jet"], padded["FatJet"], met.astype(np.float64)
        ),
        **met_filters(rng, n),
    }
    return EventColumns(flat, {name: objects.collection(_BITS[name]) for name, objects in padded.items()})
