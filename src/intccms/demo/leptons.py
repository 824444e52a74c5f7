"""Muons and electrons of the parametric detector: the prompt lepton, soft leptons from jets, and fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Padded
from intccms.demo.kinematics import angular_distance, to_polar, wrap_phi

if TYPE_CHECKING:
    from intccms.demo.physics import HardEvents

__all__ = ["closest_jet", "electrons", "muons"]

type Floats = npt.NDArray[np.float64]
type Array = npt.NDArray[Any]

MUON_MASS, ELECTRON_MASS = 0.10566, 0.000511  # GeV
MUON_MAX_ETA, ELECTRON_MAX_ETA = 2.4, 2.5
MUON_MIN_PT, ELECTRON_MIN_PT = 3.0, 5.0  # GeV, the thresholds of NanoAODv9
MUON_EFFICIENCY, ELECTRON_EFFICIENCY = 0.97, 0.92
SOFT_MUON_RATE, FAKE_ELECTRON_RATE = 0.12, 0.05  # per event


def _pair(first: Array, second: Array) -> Array:
    return np.stack([first, second], axis=1)


def _distance_to_partons(events: HardEvents, eta: Floats, phi: Floats) -> Floats:
    _, parton_eta, parton_phi, _ = to_polar(events.partons)
    distance = angular_distance(eta[:, None], phi[:, None], parton_eta, parton_phi)
    return np.asarray(np.where(events.present, distance, np.inf).min(axis=1))


def _soft_source(rng: np.random.Generator, events: HardEvents) -> tuple[Floats, Floats]:
    """Return a direction within 0.2 of a b quark, or any direction where the event has none."""
    n = events.charge.size
    is_b = events.present & (events.flavour == 5)
    slot = np.argmax(is_b, axis=1)
    _, eta, phi, _ = to_polar(events.partons[np.arange(n), slot])
    has_b = is_b.any(axis=1)
    eta = np.where(has_b, eta + rng.normal(0.0, 0.1, n), rng.uniform(-2.4, 2.4, n))
    phi = np.where(has_b, wrap_phi(phi + rng.normal(0.0, 0.1, n)), rng.uniform(-np.pi, np.pi, n))
    return eta, phi


def _mini_isolation(rng: np.random.Generator, distance: Floats, pt: Floats) -> npt.NDArray[np.uint8]:
    """Return ``miniIsoId`` 0 to 4; the cone shrinks as 10 GeV / pt, between 0.05 and 0.2."""
    n = pt.size
    isolated = distance > np.clip(10.0 / np.maximum(pt, 1.0), 0.05, 0.2)
    level = np.where(
        isolated,
        rng.choice([4, 3, 2, 1, 0], n, p=[0.80, 0.11, 0.06, 0.02, 0.01]),
        rng.choice([4, 3, 2, 1, 0], n, p=[0.08, 0.07, 0.10, 0.25, 0.50]),
    )
    return level.astype(np.uint8)


def muons(rng: np.random.Generator, events: HardEvents) -> Padded:
    """Reconstruct the prompt muon and a soft one; falling in pt, without ``jetIdx``."""
    n = events.charge.size
    pt, eta, phi, _ = to_polar(events.lepton)
    # the resolution of a tracker: 1 % at low pt, growing with pt
    pt = pt * (1.0 + rng.normal(0.0, 1.0, n) * (0.01 + 0.04 * pt / 1000.0))
    soft_eta, soft_phi = _soft_source(rng, events)
    pt, eta, phi = (
        _pair(pt, MUON_MIN_PT + rng.exponential(7.0, n)), _pair(eta, soft_eta), _pair(phi, soft_phi)
    )  # fmt: skip
    source = _pair(
        (events.lepton_id == 13) & (rng.random(n) < MUON_EFFICIENCY), rng.random(n) < SOFT_MUON_RATE
    )
    distance = [_distance_to_partons(events, eta[:, i], phi[:, i]) for i in range(2)]
    activity = 0.02 + np.exp(-np.minimum(_pair(*distance), 10.0) / 0.1)
    fields = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": np.full((n, 2), MUON_MASS),
        "charge": _pair(events.charge, rng.choice([-1, 1], n)).astype(np.int32),
        "tightId": rng.random((n, 2)) < np.array([0.96, 0.30]),
        "miniIsoId": _pair(*(_mini_isolation(rng, distance[i], pt[:, i]) for i in range(2))),
        "pfRelIso04_all": rng.exponential(1.0, (n, 2)) * activity,
    }
    present = source & (pt > MUON_MIN_PT) & (np.abs(eta) < MUON_MAX_ETA)
    return Padded(present, fields).sorted_by_pt()


def electrons(rng: np.random.Generator, events: HardEvents) -> Padded:
    """Reconstruct the prompt electron and a fake one; falling in pt."""
    n = events.charge.size
    pt, eta, phi, _ = to_polar(events.lepton)
    pt = pt * (1.0 + rng.normal(0.0, 0.015, n))
    pt = _pair(pt, ELECTRON_MIN_PT + rng.exponential(8.0, n))
    eta = _pair(eta, rng.uniform(-ELECTRON_MAX_ETA, ELECTRON_MAX_ETA, n))
    phi = _pair(phi, rng.uniform(-np.pi, np.pi, n))
    source = _pair(
        (events.lepton_id == 11) & (rng.random(n) < ELECTRON_EFFICIENCY), rng.random(n) < FAKE_ELECTRON_RATE
    )
    fields = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": np.full((n, 2), ELECTRON_MASS),
        "charge": _pair(events.charge, rng.choice([-1, 1], n)).astype(np.int32),
        "cutBased": _pair(
            rng.choice([4, 3, 2, 1, 0], n, p=[0.72, 0.12, 0.08, 0.05, 0.03]),
            rng.choice([4, 3, 2, 1, 0], n, p=[0.02, 0.03, 0.05, 0.20, 0.70]),
        ).astype(np.int32),
    }
    present = source & (pt > ELECTRON_MIN_PT) & (np.abs(eta) < ELECTRON_MAX_ETA)
    return Padded(present, fields).sorted_by_pt()


def closest_jet(leptons: Padded, jets: Padded) -> npt.NDArray[np.int32]:
    """Return for each lepton the position of the closest jet within 0.4 among the event's jets, or -1."""
    distance = angular_distance(
        leptons.fields["eta"][:, :, None],
        leptons.fields["phi"][:, :, None],
        jets.fields["eta"][:, None, :],
        jets.fields["phi"][:, None, :],
    )
    distance = np.where(jets.present[:, None, :], distance, np.inf)
    closest = np.argmin(distance, axis=2)
    matched = np.take_along_axis(distance, closest[:, :, None], axis=2)[:, :, 0] < 0.4
    return np.where(matched, closest, -1).astype(np.int32)
