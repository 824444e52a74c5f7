"""The hard process of the demo's events: which partons, leptons and neutrinos fly where.

Nothing here knows of a detector; `intccms.demo.detector` turns the result into reconstructed objects.

The physics is simple and honest: exact relativistic kinematics of resonance, top and W decays (isotropic in
the rest frames), recoil of the hard system against initial-state jets, and falling spectra. Masses are those
of the Particle Data Group. Matrix elements, parton densities, polarisation and showers are left out.

Generator filter: m(tt) > 800 GeV for ``ttbar_semilep``, m(tW) > 900 GeV for ``single_top``, pt(W) > 450 GeV
for ``wjets``. `generate_soft_events` makes what is below these thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intccms.demo.kinematics import breit_wigner, falling_spectrum, from_polar, two_body_decay
from intccms.errors import ConfigError

__all__ = ["CONTENT_HADRONIC_TOP", "HardEvents", "generate_hard_events", "generate_soft_events"]

type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]
type Ints = npt.NDArray[np.int64]

TOP_MASS, TOP_WIDTH = 172.5, 1.4  # GeV
W_MASS, W_WIDTH = 80.4, 2.1  # GeV
BOTTOM_MASS = 4.8  # GeV
RESONANCE_MASS, RESONANCE_WIDTH = 2000.0, 20.0  # GeV: a width of 1 %
SQRT_S = 13_000.0  # GeV

# parton slots; further initial-state or recoil jets follow
_B_HADRONIC, _Q1, _Q2, _B_LEPTONIC, _TAU_JET, _FIRST_JET = range(6)
N_JET_SLOTS = 4
N_SLOTS = _FIRST_JET + N_JET_SLOTS

CONTENT_HADRONIC_TOP = 0b111
"""Content bits of a jet that holds the b quark and both light quarks of a hadronic top decay."""

TAU_TO_MUON, TAU_TO_ELECTRON = 0.174, 0.178  # branching fractions, PDG


@dataclass(frozen=True, slots=True)
class HardEvents:
    """Partons and leptons of ``n`` events.

    Parameters
    ----------
    partons
        Four-vectors [GeV], shape ``(n, slots, 4)``; anything where ``present`` is false.
    present
        Which slots hold a parton, shape ``(n, slots)``.
    flavour
        5 for b, 4 for c, 0 for other partons, shape ``(n, slots)``.
    content
        Bits of `CONTENT_HADRONIC_TOP` that the parton stands for, shape ``(n, slots)``.
    lepton
        Four-vector of the charged lepton [GeV], shape ``(n, 4)``.
    lepton_id
        13 for a muon, 11 for an electron, 0 where no charged lepton comes out, shape ``(n,)``.
    charge
        Charge of the lepton, shape ``(n,)``.
    invisible
        Four-vector of what escapes [GeV], shape ``(n, 4)``.
    """

    partons: Floats
    present: Bools
    flavour: Ints
    content: Ints
    lepton: Floats
    lepton_id: Ints
    charge: Ints
    invisible: Floats


def _blank(n: int) -> HardEvents:
    return HardEvents(
        partons=np.zeros((n, N_SLOTS, 4)),
        present=np.zeros((n, N_SLOTS), dtype=np.bool_),
        flavour=np.zeros((n, N_SLOTS), dtype=np.int64),
        content=np.zeros((n, N_SLOTS), dtype=np.int64),
        lepton=np.zeros((n, 4)),
        lepton_id=np.zeros(n, dtype=np.int64),
        charge=np.zeros(n, dtype=np.int64),
        invisible=np.zeros((n, 4)),
    )


def _put(
    events: HardEvents, slot: int, rows: Bools, p4: Floats, *, flavour: int = 0, content: int = 0
) -> None:
    events.partons[rows, slot] = p4[rows]
    events.present[rows, slot] = True
    events.flavour[rows, slot] = flavour
    events.content[rows, slot] = content


def _decay_w_leptonic(rng: np.random.Generator, events: HardEvents, w: Floats) -> None:
    """Let every W decay to e, mu or tau with equal rates; tau decays are collinear."""
    n = w.shape[0]
    lepton, neutrino = two_body_decay(rng, w, 0.0, 0.0)
    kind = rng.choice([11, 13, 15], n)
    is_tau = kind == 15
    u = rng.random(n)
    to_muon = is_tau & (u < TAU_TO_MUON)
    to_electron = is_tau & ~to_muon & (u < TAU_TO_MUON + TAU_TO_ELECTRON)
    to_hadrons = is_tau & ~to_muon & ~to_electron
    visible = np.where(to_hadrons, rng.beta(3.0, 2.5, n), rng.beta(1.5, 2.5, n))
    visible = np.where(is_tau, visible, 1.0)[:, None]
    events.lepton[:] = lepton * visible
    events.invisible[:] = neutrino + lepton * (1.0 - visible)
    events.lepton_id[:] = np.where(to_muon, 13, np.where(to_electron, 11, np.where(to_hadrons, 0, kind)))
    events.charge[:] = rng.choice([-1, 1], n)
    _put(events, _TAU_JET, to_hadrons, events.lepton)


def _decay_w_hadronic(rng: np.random.Generator, events: HardEvents, w: Floats) -> None:
    every = np.ones(w.shape[0], dtype=np.bool_)
    q1, q2 = two_body_decay(rng, w, 0.0, 0.0)
    _put(events, _Q1, every, q1, content=0b010)
    _put(events, _Q2, every, q2, content=0b100)
    # half of the hadronic W decays have a charm quark
    events.flavour[rng.random(w.shape[0]) < 0.5, _Q1] = 4


def _w_from_top(rng: np.random.Generator, top: Floats) -> tuple[Floats, Floats]:
    w_mass = breit_wigner(rng, top.shape[0], W_MASS, W_WIDTH)
    b, w = two_body_decay(rng, top, BOTTOM_MASS, w_mass)
    return b, w


def _pseudorapidity(
    rng: np.random.Generator, shape: int | tuple[int, ...], width: float, limit: float
) -> Floats:
    """Draw normal pseudorapidities; the limit keeps energies below that of a beam."""
    return np.clip(rng.normal(0.0, width, shape), -limit, limit)


def _recoil_jets(rng: np.random.Generator, events: HardEvents, mean: float, first_slot: int) -> None:
    """Add a Poisson number of initial-state jets, 30 GeV and more, from ``first_slot`` on."""
    n, slots = events.present.shape[0], np.arange(first_slot, N_SLOTS)
    number = np.asarray(rng.poisson(mean, n))
    shape = (n, slots.size)
    pt = 30.0 + rng.exponential(45.0, shape)
    events.partons[:, slots] = from_polar(
        pt, _pseudorapidity(rng, shape, 1.6, 4.5), rng.uniform(-np.pi, np.pi, shape), 0.0
    )
    events.present[:, slots] = np.arange(slots.size) < number[:, None]


def _hard_system(rng: np.random.Generator, events: HardEvents, mass: Floats) -> Floats:
    """Return the four-vector of a system of this mass [GeV] that balances the jets of the event."""
    recoil = np.sum(events.partons * events.present[..., None], axis=1)[:, :2]
    # a third of the kinematic limit keeps heavy systems central, as parton densities do
    rapidity = rng.normal(0.0, 1.0, mass.shape[0]) * np.log(SQRT_S / mass) / 3.0
    transverse = np.sqrt(mass**2 + np.sum(recoil**2, axis=-1))
    return np.column_stack([-recoil, transverse * np.sinh(rapidity), transverse * np.cosh(rapidity)])


def _tt_events(rng: np.random.Generator, mass: Floats) -> HardEvents:
    """Return t tbar events of these masses [GeV], one top decaying to hadrons, the other to a lepton."""
    n = mass.shape[0]
    every = np.ones(n, dtype=np.bool_)
    events = _blank(n)
    _recoil_jets(rng, events, 0.9, _FIRST_JET)
    masses = breit_wigner(rng, n, TOP_MASS, TOP_WIDTH), breit_wigner(rng, n, TOP_MASS, TOP_WIDTH)
    hadronic, leptonic = two_body_decay(rng, _hard_system(rng, events, mass), *masses)
    b_hadronic, w_hadronic = _w_from_top(rng, hadronic)
    b_leptonic, w_leptonic = _w_from_top(rng, leptonic)
    _put(events, _B_HADRONIC, every, b_hadronic, flavour=5, content=0b001)
    _put(events, _B_LEPTONIC, every, b_leptonic, flavour=5)
    _decay_w_hadronic(rng, events, w_hadronic)
    _decay_w_leptonic(rng, events, w_leptonic)
    return events


def _tw_events(rng: np.random.Generator, n: int, low: float = 900.0, high: float = 5000.0) -> HardEvents:
    """Return single-top events with m(tW) [GeV] in a range: in one half the top decays to hadrons, else the W."""
    events = _blank(n)
    _recoil_jets(rng, events, 1.0, _FIRST_JET)
    system = _hard_system(rng, events, falling_spectrum(rng, n, low, high, 5.0))
    w_mass = breit_wigner(rng, n, W_MASS, W_WIDTH)
    top, w_prompt = two_body_decay(rng, system, breit_wigner(rng, n, TOP_MASS, TOP_WIDTH), w_mass)
    b, w_top = _w_from_top(rng, top)
    top_is_hadronic = rng.random(n) < 0.5
    _put(events, _B_HADRONIC, top_is_hadronic, b, flavour=5, content=0b001)
    _put(events, _B_LEPTONIC, ~top_is_hadronic, b, flavour=5)
    choose = top_is_hadronic[:, None]
    _decay_w_hadronic(rng, events, np.where(choose, w_top, w_prompt))
    _decay_w_leptonic(rng, events, np.where(choose, w_prompt, w_top))
    return events


def _w_jets_events(rng: np.random.Generator, n: int, low: float = 450.0, high: float = 3000.0) -> HardEvents:
    """Return W bosons with pt [GeV] in a range, against one jet and a few softer ones, some of heavy flavour."""
    events = _blank(n)
    _recoil_jets(rng, events, 1.2, _FIRST_JET + 1)
    pt_w, phi_w = falling_spectrum(rng, n, low, high, 5.0), rng.uniform(-np.pi, np.pi, n)
    w_mass = breit_wigner(rng, n, W_MASS, W_WIDTH)
    w = from_polar(pt_w, _pseudorapidity(rng, n, 1.0, 2.0), phi_w, w_mass)
    softer = np.sum(events.partons * events.present[..., None], axis=1)
    balance = -(w + softer)[:, :2]
    pt, phi = np.hypot(balance[:, 0], balance[:, 1]), np.arctan2(balance[:, 1], balance[:, 0])
    _put(
        events,
        _FIRST_JET,
        np.ones(n, dtype=np.bool_),
        from_polar(pt, _pseudorapidity(rng, n, 1.0, 2.0), phi, 0.0),
    )
    shape = (n, N_JET_SLOTS)
    events.flavour[:, _FIRST_JET:] = rng.choice([5, 4, 0], shape, p=[0.10, 0.12, 0.78])
    _decay_w_leptonic(rng, events, w)
    return events


def _unknown_process(process: str) -> str:
    return (
        f"no generator for process {process!r}; the demo knows signal, ttbar_semilep, single_top and wjets."
    )


def generate_hard_events(rng: np.random.Generator, process: str, n: int) -> HardEvents:
    """Generate ``n`` events of a process.

    Raises
    ------
    ConfigError
        If there is no generator for the process.
    """
    if process == "signal":
        return _tt_events(rng, breit_wigner(rng, n, RESONANCE_MASS, RESONANCE_WIDTH))
    if process == "ttbar_semilep":
        return _tt_events(rng, falling_spectrum(rng, n, 800.0, 5000.0, 5.0))
    if process == "single_top":
        return _tw_events(rng, n)
    if process == "wjets":
        return _w_jets_events(rng, n)
    raise ConfigError(_unknown_process(process))


def generate_soft_events(rng: np.random.Generator, process: str, n: int) -> HardEvents:
    """Generate ``n`` events of a process below the thresholds of its generator filter.

    For ``signal`` they have the topology of t tbar production, far below the resonance.

    Raises
    ------
    ConfigError
        If there is no generator for the process.
    """
    if process in ("signal", "ttbar_semilep"):
        # two tops of the largest mass that is drawn weigh 373 GeV
        return _tt_events(rng, falling_spectrum(rng, n, 380.0, 800.0, 5.0))
    if process == "single_top":
        return _tw_events(rng, n, low=300.0, high=900.0)
    if process == "wjets":
        return _w_jets_events(rng, n, low=20.0, high=450.0)
    raise ConfigError(_unknown_process(process))
