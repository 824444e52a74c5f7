"""Jagged columns as flat NumPy arrays, and back.

The physics is computed on flat arrays: one awkward operation costs as much as arithmetic on thousands of objects.
Nothing here knows what the columns mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["counts", "event_sums", "flat", "jagged", "parents", "per_event", "positions"]


def counts(column: Any) -> NDArray[np.int64]:
    """Return the number of objects of each event, shape ``(n_events,)``."""
    layout = ak.to_layout(column)
    if isinstance(layout, ak.contents.ListOffsetArray):
        return np.diff(np.asarray(layout.offsets.data, dtype=np.int64))
    if layout.purelist_depth == 1 and len(layout) == 0:
        return np.zeros(0, dtype=np.int64)  # no events: their type may be unknown
    return np.asarray(ak.to_numpy(ak.num(column, axis=1), allow_missing=False), dtype=np.int64)


def flat(column: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """Return the values of all objects, event after event, shape ``(n_objects,)``.

    Parameters
    ----------
    column
        ``n_events * var * number``, also virtual; or a flat array, which is returned as it is.
    dtype
        Type of the result.

    Raises
    ------
    ValueError
        If values are missing (None).
    """
    layout = ak.to_layout(column)
    if isinstance(layout, ak.contents.ListOffsetArray) and isinstance(layout.content, ak.contents.NumpyArray):
        offsets = np.asarray(layout.offsets.data)
        values = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    elif layout.purelist_depth == 1:
        values = ak.to_numpy(column, allow_missing=False)
    else:
        values = ak.to_numpy(ak.flatten(column, axis=1), allow_missing=False)
    return values.astype(dtype, copy=False)


def per_event(column: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """Return an event-level column as NumPy, shape ``(n_events,)``.

    Raises
    ------
    ValueError
        If values are missing (None).
    """
    return np.asarray(ak.to_numpy(column, allow_missing=False), dtype=dtype)


def jagged(values: NDArray[Any], sizes: NDArray[np.int64]) -> Any:
    """Return flat values as ``n_events * var``, with ``sizes`` objects in the events."""
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    content = ak.contents.NumpyArray(np.ascontiguousarray(values))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))


def parents(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each object the position of its event."""
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def positions(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each object its position in its event, from 0."""
    firsts = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum()), dtype=np.int64) - np.repeat(firsts, sizes)


def event_sums(values: NDArray[np.float64], events: NDArray[np.int64], n_events: int) -> NDArray[np.float64]:
    """Return the sum of the objects' values in each event; 0 where there are none.

    The terms are added one by one in their order, so that a sum does not depend on other events
    (``np.add.reduceat`` gives an event without objects the value of the next one's first).
    """
    return np.bincount(events, weights=values, minlength=n_events)
