"""Work on collections as NanoAOD stores them, counts and flat contents: order, neighbours and indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection, truncate_mantissa
from intccms.demo.kinematics import angular_distance

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "extended",
    "first_two",
    "local_index",
    "nearest",
    "ordered_by_pt",
    "sum_by_event",
    "truncated",
    "without_fields",
]

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]
type Ints = npt.NDArray[np.int64]


def truncated(fields: Mapping[str, Array], bits: Mapping[str, int]) -> dict[str, Array]:
    """Round the floats among ``fields`` to their ``bits`` of mantissa, 23 where none are given."""
    return {
        name: truncate_mantissa(values, bits.get(name, 23))
        if np.issubdtype(values.dtype, np.floating)
        else values
        for name, values in fields.items()
    }


def extended(collection: Collection, fields: Mapping[str, Array], bits: Mapping[str, int]) -> Collection:
    """Return the collection with further or replaced fields, their mantissas truncated."""
    return Collection(collection.counts, {**collection.fields, **truncated(fields, bits)})


def without_fields(collection: Collection, names: tuple[str, ...]) -> Collection:
    """Return the collection without some fields; names that it lacks do not matter."""
    return Collection(collection.counts, {k: v for k, v in collection.fields.items() if k not in names})


def local_index(counts: npt.NDArray[np.int32]) -> Ints:
    """Return for every object its position within its event, shape ``(sum of counts,)``."""
    starts = np.cumsum(counts) - counts
    return np.asarray(np.arange(counts.sum()) - np.repeat(starts, counts), dtype=np.int64)


def ordered_by_pt(
    n_events: int, event: Ints, fields: Mapping[str, Array]
) -> tuple[Collection, npt.NDArray[np.int32]]:
    """Make a collection of objects in any order.

    Parameters
    ----------
    n_events
        Number of events.
    event
        Position of the event of each object.
    fields
        Values by name, of the shape of ``event``; ``pt`` is one of them.

    Returns
    -------
    collection, place
        The objects with falling pt within each event, and for each given object its position in its event.
    """
    order = np.lexsort((-fields["pt"], event))
    counts = np.bincount(event, minlength=n_events).astype(np.int32)
    place = np.empty(event.size, dtype=np.int32)
    place[order] = local_index(counts)
    return Collection(counts, {name: values[order] for name, values in fields.items()}), place


def _rectangle(collection: Collection, values: Array, fill: float) -> Floats:
    """Return the values as ``n_events * (largest count, at least 1)``, with ``fill`` in the gaps."""
    width = max(1, int(collection.counts.max(initial=0)))
    padded = np.full((collection.counts.size, width), fill)
    padded[collection.event_index(), local_index(collection.counts)] = values
    return padded


def nearest(
    objects: Collection, others: Collection, radius: float, *, allowed: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int32]:
    """Return for each object the position of the nearest of the ``others`` of its event within ``radius``, or -1.

    Only others that are ``allowed`` (shape of their flat contents) count.
    """
    rows = objects.event_index()
    # a gap is infinitely far in eta
    eta = others.fields["eta"].astype(np.float64)
    eta = _rectangle(others, eta if allowed is None else np.where(allowed, eta, np.inf), np.inf)[rows]
    phi = _rectangle(others, others.fields["phi"], 0.0)[rows]
    distance = angular_distance(
        objects.fields["eta"][:, None].astype(np.float64), objects.fields["phi"][:, None], eta, phi
    )
    closest = np.argmin(distance, axis=1)
    found = distance[np.arange(rows.size), closest] < radius
    return np.where(found, closest, -1).astype(np.int32)


def first_two(
    n_objects: npt.NDArray[np.int32], pointing: Collection, index: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return for each object the first two of ``pointing`` whose ``index`` is the object, -1 where there is none.

    Parameters
    ----------
    n_objects
        Counts of the objects that are pointed to.
    pointing
        Collection that points.
    index
        Position in its event that each points to, or -1.
    """
    links = [np.full(int(n_objects.sum()), -1, dtype=np.int32) for _ in range(2)]
    starts = np.cumsum(n_objects) - n_objects
    target = np.where(index >= 0, starts[pointing.event_index()] + index, -1)
    own = local_index(pointing.counts)
    for position in range(int(own.max(initial=-1)) + 1):
        chosen = (own == position) & (target >= 0)
        place, value = target[chosen], position
        free = links[0][place] < 0
        links[1][place] = np.where(~free & (links[1][place] < 0), value, links[1][place])
        links[0][place] = np.where(free, value, links[0][place])
    return links[0], links[1]


def sum_by_event(collection: Collection, values: Array) -> Floats:
    """Return the sum of the values of each event's objects, shape ``(n_events,)``; 0 where there is none."""
    return np.bincount(collection.event_index(), weights=values, minlength=collection.counts.size)
