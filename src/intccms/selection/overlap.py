"""Distances between objects of two collections: overlap removal, and isolation from jets.

Pure functions of columns; collections are records with ``pt``, ``eta``, ``phi`` [GeV, rad], shape ``n_events * var``.
The arithmetic runs on flat arrays of pairs, so that a call costs the same few operations for any number of events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]
    type Integers = NDArray[np.int64]
    type Booleans = NDArray[np.bool_]

__all__ = ["delta_phi", "delta_r", "is_away_from", "is_isolated_2d"]


def delta_phi(first: Any, second: Any) -> Any:
    """Return the difference of two azimuths, from -pi up to pi [rad]; any shapes that broadcast."""
    return (first - second + np.pi) % (2 * np.pi) - np.pi


def delta_r(first_eta: Any, first_phi: Any, second_eta: Any, second_phi: Any) -> Any:
    """Return the distance in pseudorapidity and azimuth; any shapes that broadcast."""
    return np.hypot(first_eta - second_eta, delta_phi(first_phi, second_phi))


def is_away_from(objects: Any, others: Any, distance: float) -> Any:
    """Return which objects are farther than a distance from every object of another collection.

    Parameters
    ----------
    objects, others
        The collection that is judged, and the one that it is kept away from.
    distance
        Distance in eta and phi; an object at exactly this distance is too near.

    Returns
    -------
    awkward.Array
        ``n_events * var * bool``, as `objects`; True where the event has none of the others.
    """
    left, right = _pairs(objects, others)
    eta, phi = (_flat(objects[name]) for name in ("eta", "phi"))
    other_eta, other_phi = (_flat(others[name]) for name in ("eta", "phi"))
    near = delta_r(eta[left], phi[left], other_eta[right], other_phi[right]) <= distance
    return _as_jagged(~_any_of(left[near], len(eta)), objects)


def is_isolated_2d(
    leptons: Any,
    jets: Any,
    *,
    distance: float = 0.4,
    pt_rel: float = 25.0,
    jet_pt: float = 15.0,
    radius: float = 0.4,
) -> Any:
    """Return which leptons pass the two-dimensional isolation: far from the nearest jet, or not along its axis.

    Keeps leptons of boosted top quarks, which isolation cones lose: they are close to their b jet. Momenta of leptons
    are subtracted from the jets around them first, since particle-flow jets contain them; what remains counts as a jet
    if it is hard enough. The defaults are those of arXiv:1810.05905.

    Parameters
    ----------
    leptons, jets
        The jets also have ``mass``, which is not used: directions are all that matters.
    distance
        A lepton farther than this from the nearest jet is isolated.
    pt_rel
        So is one with a larger momentum transverse to the axis of the nearest jet [GeV].
    jet_pt
        Least transverse momentum of a jet, without the lepton [GeV].
    radius
        Leptons nearer than this to a jet's axis are subtracted from it.

    Returns
    -------
    awkward.Array
        ``n_events * var * bool``, as `leptons`; True where there is no such jet.
    """
    left, right = _pairs(leptons, jets)
    eta, phi = (_flat(leptons[name]) for name in ("eta", "phi"))
    apart = delta_r(eta[left], phi[left], _flat(jets["eta"])[right], _flat(jets["phi"])[right])
    inside = apart < radius
    # a jet that holds no lepton stays where it is, and fails none if it is farther than the limit
    near = inside | (apart <= distance)
    left, right, inside = left[near], right[near], inside[near]
    lepton, jet = _three_momenta(leptons, left), _three_momenta(jets, right)
    jet -= np.where(inside[:, np.newaxis], lepton, 0.0)

    transverse = np.hypot(jet[:, 0], jet[:, 1])
    hard = transverse > jet_pt
    left, lepton, jet, transverse = left[hard], lepton[hard], jet[hard], transverse[hard]
    separation = delta_r(
        eta[left], phi[left], np.arcsinh(jet[:, 2] / transverse), np.arctan2(jet[:, 1], jet[:, 0])
    )
    across = np.linalg.norm(np.cross(lepton, jet), axis=1) / np.linalg.norm(jet, axis=1)
    fails = _is_least(separation, left, len(eta)) & (separation <= distance) & (across <= pt_rel)
    return _as_jagged(~_any_of(left[fails], len(eta)), leptons)


def _pairs(objects: Any, others: Any) -> tuple[Integers, Integers]:
    """Return the flat positions of every pair of an event, in the order of the objects."""
    counts, other_counts = (_numbers(ak.num(one, axis=1)) for one in (objects, others))
    events = np.repeat(np.arange(len(counts)), counts)
    per_object = other_counts[events]
    left = np.repeat(np.arange(len(events)), per_object)
    within = np.arange(len(left)) - np.repeat(np.cumsum(per_object) - per_object, per_object)
    starts = np.cumsum(other_counts) - other_counts
    return left, starts[events][left] + within


def _is_least(values: Floats, groups: Integers, length: int) -> Booleans:
    """Return which values are the least of their group; groups come in order."""
    counts = np.bincount(groups, minlength=length)
    occupied = counts > 0
    if not occupied.any():
        return np.zeros(0, dtype=bool)
    starts = (np.cumsum(counts) - counts)[occupied]
    least: Booleans = values == np.repeat(np.minimum.reduceat(values, starts), counts[occupied])
    return least


def _any_of(groups: Integers, length: int) -> Booleans:
    found: Booleans = np.bincount(groups, minlength=length) > 0
    return found


def _three_momenta(objects: Any, chosen: Integers) -> Floats:
    pt, eta, phi = (_flat(objects[name])[chosen] for name in ("pt", "eta", "phi"))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def _flat(values: Any) -> Floats:
    return np.asarray(ak.flatten(values, axis=1), dtype=np.float64)


def _numbers(values: Any) -> Integers:
    return np.asarray(values, dtype=np.int64)


def _as_jagged(flat: Booleans, like: Any) -> Any:
    return ak.unflatten(flat, _numbers(ak.num(like, axis=1)))
