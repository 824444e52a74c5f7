"""Weights that NanoAOD stores: members of sets (scales, PDF, parton shower) and triples of nominal, up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError
from intccms.systematics.jagged import counts, flat, per_event
from intccms.systematics.keys import direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["member_weight", "scale_weight", "stored_weight"]

NOMINAL_SCALE = 4  # of the nine members: muR and muF from 0.5, 1, 2, the latter running fastest


def member_weight(weights: Any, key: int | None) -> NDArray[np.float64]:
    """Return one member of a set of weights relative to nominal.

    Parameters
    ----------
    weights
        ``LHEPdfWeight``, ``PSWeight``, ..., ``n_events * var``, relative to nominal.
    key
        Position of the member; None is the nominal weight.

    Returns
    -------
    numpy.ndarray
        ``(n_events,)``, float64; 1 for nominal, and for events that lack the member, as all do of a sample that
        stores none of them (an empty list, or the single dummy of ``PSWeight``).

    Raises
    ------
    ConfigError
        If ``key`` is not a position.

    Notes
    -----
    Of four ``PSWeight``: 0 and 2 are ISR up and down, 1 and 3 FSR up and down (documentation of NanoAOD).
    """
    sizes = counts(weights)
    if key is None:
        return np.ones(len(sizes))
    position = _position(key, "member_weight")
    return _members(weights, sizes, np.full(len(sizes), position, dtype=np.int64))


def scale_weight(weights: Any, key: int | None) -> NDArray[np.float64]:
    """Return one member of the variations of the renormalisation and factorisation scales.

    Keys are those of the nine members: (muR, muF) = 0 (0.5, 0.5), 1 (0.5, 1), 2 (0.5, 2), 3 (1, 0.5), 4 nominal,
    5 (1, 2), 6 (2, 0.5), 7 (2, 1), 8 (2, 2). Some samples leave the nominal out and have eight: the later members
    are then found one position earlier, event by event.

    Parameters
    ----------
    weights
        ``LHEScaleWeight``, ``n_events * var``, relative to nominal.
    key
        Member of the nine; None is the nominal weight.

    Returns
    -------
    numpy.ndarray
        ``(n_events,)``, float64; 1 for nominal, and for events that lack the member.

    Raises
    ------
    ConfigError
        If ``key`` is not a position in nine.

    Notes
    -----
    Source: documentation of NanoAOD, ``LHEScaleWeight``. An envelope leaves out 2 and 6, where the scales differ
    by a factor of four.
    """
    sizes = counts(weights)
    if key is None:
        return np.ones(len(sizes))
    position = _position(key, "scale_weight", 9)
    shorter = sizes == 8
    at = np.where(shorter & (position > NOMINAL_SCALE), position - 1, position)
    result = _members(weights, sizes, at)
    if position == NOMINAL_SCALE:
        result[shorter] = 1.0
    return result


def _members(weights: Any, sizes: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the entry at a position in each event, 1 where there is none."""
    result = np.ones(len(sizes))
    some = at < sizes
    result[some] = flat(weights)[(np.cumsum(sizes) - sizes + at)[some]]
    return result


def _position(key: Any, function: str, length: int | None = None) -> int:
    if (
        not isinstance(key, int | np.integer)
        or isinstance(key, bool)
        or key < 0
        or (length is not None and key >= length)
    ):
        wanted = "a position from 0" if length is None else f"a position from 0 to {length - 1}"
        message = (
            f"{function} has no systematic key {key!r}; expected {wanted}, or None for the nominal weight"
        )
        raise ConfigError(message)
    return int(key)


def stored_weight(nominal: Any, up: Any, down: Any, key: str | None) -> NDArray[np.float64]:
    """Return a weight of which NanoAOD stores nominal, up and down (``L1PreFiringWeight_Nom``, ``_Up``, ``_Dn``).

    Parameters
    ----------
    nominal, up, down
        The three columns, ``(n_events,)``.
    key
        ``nominal`` (or None), ``up``, ``down``.

    Returns
    -------
    numpy.ndarray
        ``(n_events,)``, float64.

    Raises
    ------
    ConfigError
        For another ``key``.
    """
    return per_event((nominal, up, down)[direction(key, "stored_weight")])
