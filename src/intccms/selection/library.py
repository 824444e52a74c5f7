"""Cuts and quantities that many analyses share. Pure functions of columns, for use in configurations.

What belongs to one experiment's year or one analysis (working points, trigger names) is an argument.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import awkward as ak
import numpy as np

__all__ = ["any_trigger", "combination_mass", "count_is", "has_at_least"]


def any_trigger(*triggers: Any) -> Any:
    """Return the events in which at least one trigger fired.

    Parameters
    ----------
    triggers
        Trigger decisions, each of shape ``(n_events,)``.
    """
    return reduce(np.logical_or, triggers)


def count_is(objects: Any, number: int = 1) -> Any:
    """Return the events with exactly so many objects, shape ``(n_events,)``."""
    return ak.num(objects, axis=1) == number


def has_at_least(objects: Any, number: int = 1) -> Any:
    """Return the events with so many objects or more, shape ``(n_events,)``."""
    return ak.num(objects, axis=1) >= number


def combination_mass(*collections: Any, met: Any = None) -> Any:
    """Return the invariant mass of every combination of one object from each collection.

    Computed in double precision; a mass squared below zero by rounding counts as zero.

    Parameters
    ----------
    collections
        Records with ``pt``, ``eta``, ``phi`` and ``mass`` [GeV, rad], shape ``n_events * var``.
    met
        Missing transverse momentum with ``pt`` and ``phi``, shape ``(n_events,)``; taken along with eta = 0 and
        no mass.

    Returns
    -------
    awkward.Array
        Masses [GeV], ``n_events * var * float64``; the last collection runs fastest.
    """
    momenta = [_momentum(one) for one in collections]
    if met is not None:
        pt, phi = (ak.values_astype(met[name], np.float64) for name in ("pt", "phi"))
        extra = (pt, pt * np.cos(phi), pt * np.sin(phi), ak.zeros_like(pt))
    sums = []
    for component in range(4):
        combined = ak.unzip(ak.cartesian([momentum[component] for momentum in momenta], axis=1))
        sums.append(reduce(add, combined) + (extra[component] if met is not None else 0.0))
    energy, x, y, z = sums
    squared = energy * energy - x * x - y * y - z * z
    return np.sqrt(np.maximum(squared, 0.0))


def _momentum(objects: Any) -> tuple[Any, Any, Any, Any]:
    """Return ``(E, px, py, pz)`` [GeV]."""
    pt, eta, phi, mass = (
        ak.values_astype(objects[name], np.float64) for name in ("pt", "eta", "phi", "mass")
    )
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.sqrt(x * x + y * y + z * z + mass * mass), x, y, z
