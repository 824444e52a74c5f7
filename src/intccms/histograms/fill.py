"""Fills one histogram with one chunk: flat or jagged values in any number of dimensions, for any number of weights.

A candidate's bin is found once; the weights of all variations are added to it together. Sums are made in the order of
events, so that a variation gives the bits that it gives alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from scipy.sparse import csr_array

from intccms.errors import FunctorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Candidates", "Sums", "candidates", "empty", "fill", "fill_candidates", "sums_by_variation"]


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
    varied: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    """Variation -> sum of weights and of squared weights per bin, where it was filled."""

    def copy(self) -> Sums:
        """Return the same content in arrays of its own."""
        varied = {name: (one.copy(), other.copy()) for name, (one, other) in self.varied.items()}
        return Sums(self.sumw.copy(), self.sumw2.copy(), self.entries.copy(), self.nan, varied)

    def add(self, other: Sums) -> None:
        """Add the content of another chunk with the same variations, in place."""
        self.sumw += other.sumw
        self.sumw2 += other.sumw2
        self.entries += other.entries
        self.nan += other.nan
        for name, own in self.varied.items():
            for total, one in zip(own, other.varied[name], strict=True):
                np.add(total, one, out=total)


@dataclass(frozen=True)
class Candidates:
    """Where in a histogram each candidate of some rows of events falls."""

    bins: NDArray[np.int64]
    """Bin of each candidate, flow bins included, in C order of the axes; candidates of a row stand together."""
    counts: NDArray[np.int64] | None
    """Candidates per row; None if there is one for each."""
    nan: NDArray[np.int64]
    """Rows of the candidates that were NaN in one axis at least, and are in no bin."""

    def of_rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the bins of the candidates of some rows, and their numbers (None: one each)."""
        if self.counts is None:
            return self.bins[rows], None
        counts = self.counts[rows]
        total = int(counts.sum())
        ends = np.cumsum(counts)
        first = np.cumsum(self.counts) - self.counts
        position = np.arange(total) + np.repeat(first[rows] - (ends - counts), counts)
        return self.bins[position], counts

    def nan_in(self, rows: NDArray[np.int64]) -> int:
        """Return how many candidates of some rows were NaN."""
        return int(np.count_nonzero(np.isin(self.nan, rows))) if len(self.nan) else 0


def candidates(axes: Sequence[Any], values: Any, length: int, where: str) -> Candidates:
    """Return where the candidates of some rows fall.

    Parameters
    ----------
    axes
        Axes of ``hist``, all with flow bins.
    values
        What an observable's function returned: one array, or a tuple of one per axis. Shape ``(n_rows,)``, or
        ``n_rows * var`` for one entry per candidate; flat arrays broadcast to jagged ones. None is not filled, NaN is
        counted.
    length
        Number of rows.
    where
        Path of the observable in the configuration.

    Raises
    ------
    FunctorError
        If the number of arrays, their lengths, counts or types do not fit.
    """
    columns, rows = _flatten(_checked(values, axes, length, where), length, where)
    nan = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        nan |= np.isnan(column)
    lost = np.zeros(0, dtype=np.int64)
    if nan.any():
        rows = np.arange(length) if rows is None else rows
        lost, rows = rows[nan], rows[~nan]
        columns = [column[~nan] for column in columns]
    # `index` gives -1 for underflow and the number of bins for overflow
    indices = [np.asarray(axis.index(column)) + 1 for axis, column in zip(axes, columns, strict=True)]
    shape = tuple(axis.extent for axis in axes)
    bins = np.ravel_multi_index(indices, shape) if len(columns[0]) else np.zeros(0, dtype=np.int64)
    return Candidates(bins, None if rows is None else np.bincount(rows, minlength=length), lost)


def fill(axes: Sequence[Any], values: Any, weights: NDArray[np.float64], where: str) -> Sums:
    """Return the histogram content of some events.

    Parameters
    ----------
    axes, values, where
        As for `candidates`.
    weights
        Event weights, shape ``(n_events,)``; that of an event counts for each of its candidates.

    Raises
    ------
    FunctorError
        As `candidates`.
    """
    found = candidates(axes, values, len(weights), where)
    return fill_candidates(axes, found, weights[:, None], ())


def fill_candidates(
    axes: Sequence[Any],
    found: Candidates,
    weights: NDArray[np.float64],
    variations: Sequence[str],
    rows: NDArray[np.int64] | None = None,
) -> Sums:
    """Return the content of a histogram for several weights of the same events.

    Parameters
    ----------
    axes
        Axes of ``hist``.
    found
        Where candidates fall.
    weights
        Weights of the rows, shape ``(n_rows, 1 + n_variations)``: nominal, then that of each variation.
    variations
        Names of the variations.
    rows
        Rows to fill; None for all.
    """
    shape = tuple(axis.extent for axis in axes)
    size = int(np.prod(shape))
    bins, counts = (found.bins, found.counts) if rows is None else found.of_rows(rows)
    sumw, sumw2 = _sums_of(bins, counts, weights, size)
    entries = np.bincount(bins, minlength=size).astype(np.int64).reshape(shape)
    nan = len(found.nan) if rows is None else found.nan_in(rows)
    varied = {
        name: (sumw[index].reshape(shape), sumw2[index].reshape(shape))
        for index, name in enumerate(variations, start=1)
    }
    return Sums(sumw[0].reshape(shape), sumw2[0].reshape(shape), entries, nan, varied)


_AT_ONCE = 64
"""Columns of weights that are spread to candidates at a time, which bounds memory."""


def _sums_of(
    bins: NDArray[np.int64], counts: NDArray[np.int64] | None, weights: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums of weights and of their squares, shape ``(n_weights, size)``, added in the order of candidates."""
    n_weights = weights.shape[1]
    if n_weights == 1:
        one = weights[:, 0] if counts is None else np.repeat(weights[:, 0], counts)
        # bincount returns integers where there is nothing to count, weights or not
        sums = (np.bincount(bins, values, size).astype(np.float64, copy=False) for values in (one, one * one))
        sumw, sumw2 = sums
        return sumw[None], sumw2[None]
    sumw, sumw2 = np.empty((n_weights, size)), np.empty((n_weights, size))
    # a matrix of ones and zeros, bins by candidates: its product adds the candidates of each bin one after the other
    ones = csr_array((np.ones(len(bins)), (bins, np.arange(len(bins)))), shape=(size, len(bins)))
    for start in range(0, n_weights, _AT_ONCE):
        columns = weights[:, start : start + _AT_ONCE]
        spread = np.array(columns, order="C") if counts is None else np.repeat(columns, counts, axis=0)
        stop = start + columns.shape[1]
        sumw[start:stop] = (ones @ spread).T
        np.multiply(spread, spread, out=spread)
        sumw2[start:stop] = (ones @ spread).T
    return sumw, sumw2


def sums_by_variation(
    found: Candidates,
    rows: NDArray[np.int64],
    variation: NDArray[np.int64],
    weights: NDArray[np.float64],
    number: int,
    size: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of several variations of objects, which fill different rows.

    Parameters
    ----------
    found
        Where candidates fall.
    rows, variation, weights
        Row, variation (0 to `number` - 1) and weight of each event of each variation, shape ``(n,)``; the events of
        a variation in their order.
    number, size
        Number of variations and of bins.

    Returns
    -------
    tuple of numpy.ndarray
        Sums of weights and of squared weights, shape ``(number, size)``, added in the order of events.
    """
    bins, counts = found.of_rows(rows)
    if counts is not None:
        variation, weights = np.repeat(variation, counts), np.repeat(weights, counts)
    place = variation * size + bins
    total = number * size
    sumw = np.bincount(place, weights, total).astype(np.float64, copy=False)
    sumw2 = np.bincount(place, weights * weights, total).astype(np.float64, copy=False)
    return sumw.reshape(number, size), sumw2.reshape(number, size)


def empty(axes: Sequence[Any], variations: Sequence[str] = ()) -> Sums:
    """Return the content of a histogram that nothing was filled into."""
    shape = tuple(axis.extent for axis in axes)
    varied = {name: (np.zeros(shape), np.zeros(shape)) for name in variations}
    return Sums(np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64), 0, varied)


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
    if _is_plain(array.layout):
        return array
    if not _is_numeric(ak.type(array).content):
        message = f"{where} returned {array.type}; expected numbers (or lists of numbers)."
        raise FunctorError(message)
    # a fixed inner length would be broadcast from the right, as NumPy does: one value per *column*
    return ak.from_regular(array, axis=None)


def _is_plain(layout: Any) -> bool:
    """Tell whether a layout is one real number or boolean per event, and nothing else."""
    return (
        isinstance(layout, ak.contents.NumpyArray)
        and layout.purelist_depth == 1
        and layout.dtype.kind in "fiub"
    )


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
    arrays: Sequence[Any], length: int, where: str
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64] | None]:
    """Return one flat column per axis and the row of each candidate, without those that are None.

    Rows are None where there is one candidate in each.
    """
    if all(_is_plain(array.layout) or (array.ndim == 1 and not _has_none(array)) for array in arrays):
        return [_as_floats(array) for array in arrays], None
    try:
        *columns, rows = ak.broadcast_arrays(*arrays, np.arange(length))
    except ValueError as exc:
        types = ", ".join(str(array.type) for array in arrays)
        message = f"{where}: the arrays have unequal numbers of candidates ({types}); they must match event by event."
        raise FunctorError(message) from exc
    # broadcasting gives None to all arrays wherever one has it, so that flattening drops the same candidates
    flat = [_as_floats(ak.flatten(column, axis=None)) for column in columns]
    return flat, np.asarray(ak.to_numpy(ak.flatten(rows, axis=None), allow_missing=False), dtype=np.int64)


def _has_none(array: Any) -> bool:
    return isinstance(ak.type(array).content, ak.types.OptionType)


def _as_floats(array: Any) -> NDArray[np.float64]:
    return np.asarray(ak.to_numpy(array, allow_missing=False), dtype=np.float64)
