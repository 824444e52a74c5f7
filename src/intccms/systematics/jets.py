"""Calibrates jets in simulation and data: factors on the transverse momentum for energy scale and resolution.

Apply a factor to ``Jet_pt`` and ``Jet_mass`` alike. MET follows in `intccms.systematics.met`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError
from intccms.systematics.jagged import counts, flat, jagged, parents, per_event, positions
from intccms.systematics.named_inputs import Evaluator, evaluate
from intccms.systematics.random import hashed, normal
from intccms.systematics.repeats import period

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["corrected_pt", "jec_factor", "jer_factor"]

MIN_JET_ENERGY = 1e-2  # GeV, of a smeared jet; CMSSW, PhysicsTools/PatUtils/interface/SmearedJetProducerT.h
MATCHING_SIGMAS = 3.0  # TWiki JetResolution: |pt - gen pt| < 3 sigma pt


def jec_factor(
    pt: Any,
    raw_factor: Any,
    eta: Any,
    phi: Any,
    area: Any,
    rho: Any,
    run: Any,
    *levels: Evaluator,
) -> Any:
    """Return the factor that brings the stored transverse momentum of jets to the calibrated one.

    Parameters
    ----------
    pt, raw_factor, eta, phi, area
        ``Jet_pt`` [GeV], ``Jet_rawFactor``, ... as read, ``n_events * var``. The calibration starts from the raw
        ``pt * (1 - raw_factor)``.
    rho, run
        Median energy density [GeV] (``fixedGridRhoFastjetAll``) and run number, ``(n_events,)``.
    levels
        One compound payload, or its levels (L1FastJet, L2Relative, ...) one after the other, each of which sees
        the pt corrected so far. Of JetA, JetEta, JetPhi, JetPt, Rho and run a level gets those that it names.

    Returns
    -------
    awkward.Array
        ``n_events * var * float64``, finite and above 0. A jet keeps its pt (factor 1) where the raw or the
        corrected pt is not a finite number above 0.

    Raises
    ------
    ConfigError
        Without levels, or if a level takes another input.

    Notes
    -----
    Source: CMS, JINST 12 (2017) P02014, section 3; TWiki JECDataMC and IntroToJEC (factorised approach).
    """
    if not levels:
        message = "jec_factor needs a payload: a compound, or the levels in their order, after 'run' among its 'args'"
        raise ConfigError(message)
    sizes = counts(pt)
    events = parents(sizes)
    stored = flat(pt)
    corrected = corrected_pt(
        stored * (1.0 - flat(raw_factor)),
        flat(eta),
        flat(phi),
        flat(area),
        per_event(rho)[events],
        per_event(run)[events],
        *levels,
    )
    return jagged(_ratio_or_one(corrected, stored), sizes)


def corrected_pt(
    raw_pt: NDArray[np.float64],
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
    area: NDArray[np.float64],
    rho: NDArray[np.float64],
    run: NDArray[np.float64],
    *levels: Evaluator,
) -> NDArray[np.float64]:
    """Return the raw pt [GeV] after the levels of the calibration; all arrays are flat, one entry per jet.

    Where the raw pt is not above 0 it is returned as it is: payloads do not take it.
    """
    usable = raw_pt > 0
    pt = np.where(usable, raw_pt, 1.0)
    for level in levels:
        pt = pt * evaluate(level, JetA=area, JetEta=eta, JetPhi=phi, JetPt=pt, Rho=rho, run=run)
    return np.where(usable, pt, raw_pt)


def _ratio_or_one(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    good = np.isfinite(numerator) & np.isfinite(denominator) & (numerator > 0) & (denominator > 0)
    return np.divide(numerator, denominator, out=np.ones_like(numerator), where=good)


def jer_factor(
    pt: Any,
    eta: Any,
    phi: Any,
    rho: Any,
    gen_index: Any,
    gen_pt: Any,
    gen_eta: Any,
    gen_phi: Any,
    run: Any,
    luminosity_block: Any,
    event: Any,
    radius: float,
    key: Any,
    resolution: Evaluator,
    scale_factor: Evaluator,
) -> Any:
    """Return the factor that gives simulated jets the resolution of data (hybrid smearing).

    A jet with a matched generated jet is scaled by ``1 + (sf - 1) (pt - gen_pt) / pt``; another one by
    ``1 + N(0, sigma) sqrt(max(sf^2 - 1, 0))``. Matched are jets whose generated jet is nearer than ``radius / 2``
    in eta and phi, with ``|pt - gen_pt| < 3 sigma pt``.

    Parameters
    ----------
    pt, eta, phi
        Of the calibrated jets, ``n_events * var``; pt [GeV].
    rho
        Median energy density [GeV], ``(n_events,)``.
    gen_index
        ``Jet_genJetIdx``, ``n_events * var``: position in the event's generated jets; -1, or one beyond their
        number, is no match.
    gen_pt, gen_eta, gen_phi
        Of the generated jets, ``n_events * var`` with counts of their own; pt [GeV].
    run, luminosity_block, event
        ``(n_events,)``. With the position of a jet in its event, as the arrays come, they decide its normal
        deviate: the same for nominal, up and down, in any chunk or tile. So do not re-order jets in one variation
        before smearing and in another one after it.
    radius
        Of the jets: 0.4 for AK4, 0.8 for AK8.
    key
        Systematic key of the scale factor: ``nom``, ``up``, ``down``.
    resolution
        Payload of the relative resolution sigma, of (JetEta, JetPt, Rho).
    scale_factor
        Payload of the scale factor sf, of (JetEta, systematic), or of JetPt as well.

    Returns
    -------
    awkward.Array
        ``n_events * var * float64``, above 0: the energy of a jet does not fall below 0.01 GeV, or below what it
        was. A jet whose pt is not above 0 keeps it.

    Notes
    -----
    Source: TWiki JetResolution ("Smearing procedures"); CMSSW,
    ``PhysicsTools/PatUtils/interface/SmearedJetProducerT.h``, which matches by distance instead of by index.
    """
    sizes = counts(pt)
    jet_pt = flat(pt)
    identity = [per_event(one, np.uint64) for one in (run, luminosity_block, event)]
    once, times = _first_copy(identity, sizes, (flat(eta), flat(phi), flat(gen_index, np.int64)))
    jets = _Smeared.of(
        sizes[:once],
        tuple(flat(one[:once]) for one in (eta, phi)),
        flat(gen_index[:once], np.int64),
        (counts(gen_pt[:once]), flat(gen_pt[:once]), flat(gen_eta[:once]), flat(gen_phi[:once])),
        [one[:once] for one in identity],
        radius / 2,
    )
    jet_eta, near_pt, deviates = (np.tile(one, times) for one in (jets.eta, jets.near_pt, jets.deviates))
    good = jet_pt > 0
    usable = np.where(good, jet_pt, 1.0)
    sigma = _resolution(resolution, jet_eta, usable, per_event(rho)[parents(sizes)], times)
    if any(one.name == "JetPt" for one in scale_factor.inputs):
        sf = evaluate(scale_factor, JetEta=jet_eta, JetPt=usable, systematic=key)
    else:
        sf = np.tile(evaluate(scale_factor, JetEta=jets.eta, systematic=key), times)
    difference = jet_pt - near_pt  # NaN where there is no generated jet near enough
    matched = np.abs(difference) < MATCHING_SIGMAS * sigma * jet_pt
    shift = deviates * sigma * np.sqrt(np.maximum(sf * sf - 1.0, 0.0))
    np.divide((sf - 1.0) * difference, jet_pt, out=shift, where=good & matched)
    factor = _with_positive_energy(1.0 + shift, jet_pt * np.tile(np.cosh(jets.eta), times))
    return jagged(np.where(good & np.isfinite(factor), factor, 1.0), sizes)


def _resolution(
    payload: Evaluator,
    eta: NDArray[np.float64],
    pt: NDArray[np.float64],
    rho: NDArray[np.float64],
    times: int,
) -> NDArray[np.float64]:
    """Return the relative resolution; jets of later copies that have the pt of the first one are not evaluated again."""
    once = len(pt) // times
    first = evaluate(payload, JetEta=eta[:once], JetPt=pt[:once], Rho=rho[:once])
    sigma = np.tile(first, times)
    changed = np.flatnonzero(pt != np.tile(pt[:once], times))
    if len(changed):
        sigma[changed] = evaluate(payload, JetEta=eta[changed], JetPt=pt[changed], Rho=rho[changed])
    return sigma


@dataclass(frozen=True)
class _Smeared:
    """What the smearing of jets depends on besides their momenta; flat, one entry per jet."""

    eta: NDArray[np.float64]
    near_pt: NDArray[np.float64]
    """pt [GeV] of the generated jet that is near enough, NaN if there is none."""
    deviates: NDArray[np.float64]
    """Normal deviates."""

    @classmethod
    def of(
        cls,
        sizes: NDArray[np.int64],
        directions: tuple[NDArray[np.float64], ...],
        index: NDArray[np.int64],
        generated: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        identity: list[NDArray[np.uint64]],
        max_distance: float,
    ) -> _Smeared:
        """Return them for jets with eta and phi, the position of their generated jets, and their events' numbers."""
        events = parents(sizes)
        eta, phi = directions
        near_pt = _near_pt(eta, phi, index, generated, events, max_distance)
        seeds = hashed(*identity)
        return cls(eta, near_pt, normal(seeds[events] ^ positions(sizes).astype(np.uint64)))


def _first_copy(
    identity: list[NDArray[np.uint64]], sizes: NDArray[np.int64], columns: tuple[NDArray[Any], ...]
) -> tuple[int, int]:
    """Return how many events there are before the same ones come again, and how often they come.

    In a tile of variations, events come again with other momenta; jets are in the same order in all of them.
    """
    n_events = len(sizes)
    once = period(identity) if n_events else 0
    if once in {0, n_events}:
        return n_events, 1
    times = n_events // once
    copies = [
        sizes.reshape(times, once),
        *(column.reshape(times, -1) for column in columns if len(column) % times == 0),
    ]
    same = len(copies) == 1 + len(columns) and all((one == one[0]).all() for one in copies)
    return (once, times) if same else (n_events, 1)


def _near_pt(
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
    index: NDArray[np.int64],
    generated: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    events: NDArray[np.int64],
    max_distance: float,
) -> NDArray[np.float64]:
    """Return the pt [GeV] of the generated jets with an index, NaN where there is none or it is too far away."""
    sizes, gen_pt, gen_eta, gen_phi = generated
    result = np.full_like(eta, np.nan)
    some = np.flatnonzero((index >= 0) & (index < sizes[events]))
    at = (np.cumsum(sizes) - sizes)[events[some]] + index[some]
    delta_phi = (phi[some] - gen_phi[at] + np.pi) % (2 * np.pi) - np.pi
    near = np.hypot(eta[some] - gen_eta[at], delta_phi) < max_distance
    result[some[near]] = gen_pt[at[near]]
    return result


def _with_positive_energy(factor: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return factors that leave at least `MIN_JET_ENERGY`; the energy [GeV] is that of a massless jet, the lowest."""
    floor = np.divide(MIN_JET_ENERGY, energy, out=np.ones_like(energy), where=energy > MIN_JET_ENERGY)
    return np.maximum(factor, floor)
