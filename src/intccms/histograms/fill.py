"""Fills one histogram with one chunk: flat or jagged values in any number of dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.errors import FunctorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Sums", "empty", "fill"]


@dataclass
class Sums:
    """The content of a histogram, flow bins included, in C order of its axes."""

    sumw: NDArray[np.float64]
    """Sum of weights per bin."""
    sumw2: NDArray[np.float64]
    """Sum of squared weights per bin."""
    entries: NDArray[np.int64]
    """Unweighted entries per bin."""
    nan: int = 0
    """Candidates that were NaN in one axis at least, and are in no bin."""

    def copy(self) -> Sums:
        """Return the same content in arrays of its own."""
        return Sums(self.sumw.copy(), self.sumw2.copy(), self.entries.copy(), self.nan)

    def add(self, other: Sums) -> None:
        """Add the content of another chunk, in place."""
        self.sumw += other.sumw
        self.sumw2 += other.sumw2
        self.entries += other.entries
        self.nan += other.nan


def fill(axes: Sequence[Any], values: Any, weights: NDArray[np.float64], where: str) -> Sums:
    """Return the histogram content of some events.

    Parameters
    ----------
    axes
        Axes of ``hist``, all with flow bins.
    values
        What an observable's function returned: one array, or a tuple of one per axis. Shape ``(n_events,)``,
        or ``n_events * var`` for one entry per candidate, with the event's weight for each; flat arrays
        broadcast to jagged ones. None is not filled, NaN is counted.
    weights
        Event weights, shape ``(n_events,)``.
    where
        Path of the observable in the configuration.

    Raises
    ------
    FunctorError
        If the number of arrays, their lengths, counts or types do not fit.
    """
    columns, flat_weights = _flatten(_checked(values, axes, len(weights), where), weights, where)
    shape = tuple(axis.extent for axis in axes)
    size = int(np.prod(shape))
    nan = np.zeros(len(flat_weights), dtype=bool)
    for column in columns:
        nan |= np.isnan(column)
    lost = int(np.count_nonzero(nan))
    if lost:
        columns, flat_weights = [column[~nan] for column in columns], flat_weights[~nan]
    # `index` gives -1 for underflow and the number of bins for overflow
    indices = [np.asarray(axis.index(column)) + 1 for axis, column in zip(axes, columns, strict=True)]
    bins = np.ravel_multi_index(indices, shape) if len(flat_weights) else np.zeros(0, dtype=np.int64)
    # bincount returns integers where there is nothing to count, weights or not
    return Sums(
        sumw=np.bincount(bins, flat_weights, size).astype(np.float64, copy=False).reshape(shape),
        sumw2=np.bincount(bins, flat_weights * flat_weights, size)
        .astype(np.float64, copy=False)
        .reshape(shape),
        entries=np.bincount(bins, minlength=size).astype(np.int64).reshape(shape),
        nan=lost,
    )


def empty(axes: Sequence[Any]) -> Sums:
    """Return the content of a histogram that nothing was filled into."""
    shape = tuple(axis.extent for axis in axes)
    return Sums(np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64))


def _checked(values: Any, axes: Sequence[Any], length: int, where: str) -> list[Any]:
    """Return one array of numbers per axis, all of the right length."""
    arrays = values if isinstance(values, tuple) else (values,)
    if len(arrays) != len(axes):
        names = ", ".join(axis.name for axis in axes)
        message = (
            f"{where} returned {len(arrays)} array(s) for {len(axes)} axes ({names}); expected "
            f"{'one array' if len(axes) == 1 else 'a tuple of one array per axis'}."
        )
        raise FunctorError(message)
    return [
        _numbers(array, length, f"{where}, axis {axis.name!r}:")
        for array, axis in zip(arrays, axes, strict=True)
    ]


def _numbers(values: Any, length: int, where: str) -> Any:
    try:
        array = ak.Array(values)
    except (TypeError, ValueError) as exc:
        message = f"{where} returned {type(values).__name__}; expected an array of numbers."
        raise FunctorError(message) from exc
    if array.fields:
        message = f"{where} returned records {array.fields}; expected numbers, such as x.pt."
        raise FunctorError(message)
    if len(array) != length:
        message = f"{where} returned {len(array)} elements for {length} events; expected one (or one list) per event."
        raise FunctorError(message)
    if not _is_numeric(ak.type(array).content):
        message = f"{where} returned {array.type}; expected numbers (or lists of numbers)."
        raise FunctorError(message)
    # a fixed inner length would be broadcast from the right, as NumPy does: one value per *column*
    return ak.from_regular(array, axis=None)


def _is_numeric(kind: Any) -> bool:
    """Tell whether a type is real numbers or booleans, in lists and options at most."""
    while isinstance(kind, ak.types.ListType | ak.types.RegularType | ak.types.OptionType):
        if kind.parameters.get("__array__") in {"string", "bytestring"}:
            return False
        kind = kind.content
    if isinstance(kind, ak.types.NumpyType):
        return not str(kind.primitive).startswith(("complex", "datetime", "timedelta"))
    return isinstance(kind, ak.types.UnknownType)  # nothing but empty lists, or None


def _flatten(
    arrays: Sequence[Any], weights: NDArray[np.float64], where: str
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return one flat column per axis and the weight of each candidate, without those that are None."""
    if all(array.ndim == 1 and not _has_none(array) for array in arrays):
        return [_as_floats(array) for array in arrays], weights
    try:
        *columns, spread = ak.broadcast_arrays(*arrays, weights)
    except ValueError as exc:
        types = ", ".join(str(array.type) for array in arrays)
        message = f"{where}: the arrays have unequal numbers of candidates ({types}); they must match event by event."
        raise FunctorError(message) from exc
    # broadcasting gives None to all arrays wherever one has it, so that flattening drops the same candidates
    flat = [_as_floats(ak.flatten(column, axis=None)) for column in columns]
    return flat, _as_floats(ak.flatten(spread, axis=None))


def _has_none(array: Any) -> bool:
    return isinstance(ak.type(array).content, ak.types.OptionType)


def _as_floats(array: Any) -> NDArray[np.float64]:
    return np.asarray(ak.to_numpy(array, allow_missing=False), dtype=np.float64)
