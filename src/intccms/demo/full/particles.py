"""Generated particles: `GenPart` with tops, W bosons, their products and initial-state partons, and `GenMET`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Padded, truncate_mantissa
from intccms.demo.kinematics import to_polar
from intccms.demo.physics import N_JET_SLOTS, N_SLOTS

if TYPE_CHECKING:
    from intccms.demo.columns import Collection
    from intccms.demo.full.draws import Draws
    from intccms.demo.physics import HardEvents

__all__ = ["generated_met", "generated_particles", "hadronic_activity"]

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]
type Ints = npt.NDArray[np.int64]

_B_HADRONIC, _Q1, _Q2, _B_LEPTONIC = range(4)  # the slots of the hard process
_FIRST_JET = N_SLOTS - N_JET_SLOTS

# slots of the particles of an event; initial-state partons follow
_ZPRIME, _TOP_H, _TOP_L, _W_H, _W_L, _BOTTOM_H, _BOTTOM_L, _UP, _DOWN, _LEPTON, _NEUTRINO, _FIRST_ISR = range(
    12
)
_MOTHERS = (-1, _ZPRIME, _ZPRIME, _TOP_H, _TOP_L, _TOP_H, _TOP_L, _W_H, _W_H, _W_L, _W_L)

ZPRIME_ID = 6000047
# isPrompt, isHardProcess, fromHardProcess, isFirstCopy, isLastCopy, isLastCopyBeforeFSR (NanoAOD documentation)
HARD_LAST_COPY = sum(1 << bit for bit in (0, 7, 8, 12, 13, 14))

BITS = {"pt": 8, "eta": 8, "phi": 8, "mass": 8}


def _four_vectors(events: HardEvents) -> Floats:
    """Return the four-vectors [GeV] of all particle slots; mothers are the sums of their daughters."""
    partons = events.partons * events.present[..., None]
    w_hadronic = partons[:, _Q1] + partons[:, _Q2]
    w_leptonic = events.lepton + events.invisible
    top_hadronic, top_leptonic = partons[:, _B_HADRONIC] + w_hadronic, partons[:, _B_LEPTONIC] + w_leptonic
    own = [
        top_hadronic + top_leptonic, top_hadronic, top_leptonic, w_hadronic, w_leptonic,
        partons[:, _B_HADRONIC], partons[:, _B_LEPTONIC], partons[:, _Q1], partons[:, _Q2],
        events.lepton, events.invisible,
    ]  # fmt: skip
    return np.concatenate([np.stack(own, axis=1), partons[:, _FIRST_JET:]], axis=1)


def _present(events: HardEvents, is_signal: Bools) -> Bools:
    n = events.charge.size
    top_h, top_l, w_h = (events.present[:, slot] for slot in (_B_HADRONIC, _B_LEPTONIC, _Q1))
    every = np.ones(n, dtype=np.bool_)
    own = [is_signal, top_h, top_l, w_h, every, top_h, top_l, w_h, w_h, every, every]
    return np.concatenate([np.stack(own, axis=1), events.present[:, _FIRST_JET:]], axis=1)


def _identities(rng: np.random.Generator, events: HardEvents) -> Ints:
    """Return PDG identities; the charges follow from that of the lepton."""
    sign = events.charge
    # lepton_id is 0 for a tau that decayed to hadrons
    lepton = np.where(events.lepton_id == 0, 15, events.lepton_id)
    charm = events.flavour[:, _Q1] == 4
    own = [
        np.full_like(sign, ZPRIME_ID), -6 * sign, 6 * sign, -24 * sign, 24 * sign, -5 * sign, 5 * sign,
        -np.where(charm, 4, 2) * sign, np.where(charm, 3, 1) * sign, -lepton * sign, (lepton + 1) * sign,
    ]  # fmt: skip
    flavour = events.flavour[:, _FIRST_JET:]
    light = rng.choice([21, 1, 2, -1, -2], flavour.shape, p=[0.6, 0.1, 0.15, 0.07, 0.08])
    isr = np.where(flavour > 0, flavour * rng.choice([-1, 1], flavour.shape), light)
    return np.concatenate([np.stack(own, axis=1), isr], axis=1)


def _mothers(present: Bools) -> Ints:
    """Return the positions of the mothers among the particles that exist; -1 without one."""
    place = np.cumsum(present, axis=1) - 1
    mothers = np.full(present.shape, -1)
    for slot, mother in enumerate(_MOTHERS):
        if mother >= 0:
            mothers[:, slot] = np.where(present[:, mother], place[:, mother], -1)
    return mothers


def generated_particles(
    draws: Draws, events: HardEvents, is_signal: Bools
) -> tuple[Collection, npt.NDArray[np.int32]]:
    """Return `GenPart`, and the position of the charged lepton in each event.

    Parameters
    ----------
    draws
        Random generators of the cluster.
    events
        Hard events, before any is lost in the detector.
    is_signal
        Which events have a resonance that decays to the two tops.
    """
    present = _present(events, is_signal)
    pt, eta, phi, mass = to_polar(_four_vectors(events))
    mass[:, _UP:] = 0.0
    identity = _identities(draws("GenPart_pdgId"), events)
    stable = np.isin(np.abs(identity), (11, 12, 13, 14, 16))
    intermediate = np.arange(pt.shape[1]) <= _W_L
    fields: dict[str, Array] = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": mass,
        "pdgId": identity.astype(np.int32),
        "status": np.where(intermediate, 62, np.where(stable, 1, 23)).astype(np.int32),
        "statusFlags": np.full(pt.shape, HARD_LAST_COPY, dtype=np.int32),
        "genPartIdxMother": _mothers(present).astype(np.int32),
    }
    lepton = np.asarray(np.cumsum(present, axis=1)[:, _LEPTON] - 1, dtype=np.int32)
    return Padded(present, fields).collection(BITS), lepton


def generated_met(events: HardEvents) -> dict[str, Array]:
    """Return pt [GeV] and phi of what escapes, as generated."""
    pt, _, phi, _ = to_polar(events.invisible)
    return {"GenMET_pt": truncate_mantissa(pt, 10), "GenMET_phi": truncate_mantissa(phi, 10)}


def hadronic_activity(events: HardEvents) -> Array:
    """Return the scalar sum of the partons' pt [GeV], as the generator's HT."""
    pt, _, _, _ = to_polar(events.partons)
    return truncate_mantissa(np.sum(pt * events.present, axis=1), 10)
