"""Random numbers that are functions of what they belong to.

A number depends on its keys alone (run, event, position of an object, ...), not on the chunk, on the order of
calls or on the machine; so variations and reruns see the same ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hashed", "normal", "splitmix64", "uniform"]


def splitmix64(state: Any) -> NDArray[np.uint64]:
    """Return the output of the generator SplitMix64 for each state, uint64 of the same shape.

    Source: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014;
    constants of S. Vigna's ``splitmix64.c``.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        bits = np.asarray(state).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(bits ^ (bits >> np.uint64(31)))


def hashed(*keys: Any) -> NDArray[np.uint64]:
    """Return 64 well mixed bits for integer keys, which broadcast; their order counts.

    ``hashed(a, b, c)`` is ``hashed(hashed(a, b) ^ c)``: keys of the event can be mixed once for all its objects.
    """
    state = splitmix64(keys[0])
    for key in keys[1:]:
        state = splitmix64(state ^ np.asarray(key).astype(np.uint64))
    return state


def uniform(*keys: Any) -> NDArray[np.float64]:
    """Return numbers uniform in (0, 1), both ends excluded."""
    # with 52 bits the highest, 1 - 2^-53, is still a float64 below 1
    return ((hashed(*keys) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(*keys: Any) -> NDArray[np.float64]:
    """Return normal deviates of mean 0 and standard deviation 1; none is beyond 8.3."""
    return np.asarray(ndtri(uniform(*keys)), dtype=np.float64)
