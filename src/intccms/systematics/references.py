"""Keeps the cross-references of NanoEvents true after objects were corrected, varied, put in order or repeated.

``Muon.matched_jet`` follows an index into the chunk as it was read, and stored indices (``Muon_jetIdx``) count objects
in the order in which they were read. For a collection that corrections change, both are made anew; where a functor
follows one into a collection that differs between variations without declaring it, that is an error.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema

from intccms.errors import FunctorError
from intccms.schema.base import ObjVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["BY_INDEX", "EventsView", "Link", "declaring", "falling_order", "rebuilt", "relinked"]

_ORIGINAL, _FACTORY = "@original_array", "@events_factory"
"""Attributes in which coffea keeps the events that references lead to."""

DECLARE = (
    "add ObjVar('{name}') to '{where}', so that the function is evaluated on corrected objects, for every variation. From "
    "objects that another reference led to, take those of '{where}' instead"
)
"""For functors."""
_declared: ContextVar[frozenset[str] | None] = ContextVar("intccms_declared_collections", default=None)
_declared_in: ContextVar[str] = ContextVar("intccms_declared_in", default="use")
"""Key under which the function at work declares its columns."""


@contextmanager
def declaring(columns: Iterable[ObjVar], where: str = "use") -> Iterator[None]:
    """Let references into corrected collections be followed only where a functor declares the collection.

    Whether such a function is evaluated on corrected objects, and for every variation, follows from its columns: what it
    reaches by references alone would be one thing or another, depending on what is computed beside it. The columns are
    declared under the key `where`, for messages.
    """
    names = frozenset(column.collection for column in columns if column != ObjVar("event"))
    token = _declared.set(None if ObjVar("event") in set(columns) else names)
    token_of_key = _declared_in.set(where)
    try:
        yield
    finally:
        _declared_in.reset(token_of_key)
        _declared.reset(token)


BY_INDEX = "take the objects of 'args' by the stored index instead, such as jets[muons.jetIdx]"
"""For object corrections, which see events between two steps."""


@dataclass(frozen=True)
class Link:
    """Where the objects of a collection went, for the rows of a tile."""

    offsets: NDArray[np.int64]
    """Position of the first object of each row, shape ``(n_rows + 1,)``."""
    position: NDArray[np.int64]
    """For each object, in the order in which it was read: its place in its row now."""


class EventsView:
    """The events that references lead to: collections as they are now in the place of those that were read.

    Parameters
    ----------
    collections
        Corrected collections, whole: no object mask narrows what a reference finds.
    forbidden
        Collections that differ between variations, seen from what is the same in all of them.
    beneath
        Attributes of the events as they were read, or of another view.
    remedy
        What to do instead of following a forbidden reference.
    """

    def __init__(
        self,
        collections: Mapping[str, Any],
        forbidden: frozenset[str],
        beneath: Mapping[str, Any],
        remedy: str = DECLARE,
    ) -> None:
        self._collections = dict(collections)
        self._remedy = remedy
        self._forbidden = forbidden
        self._beneath = dict(beneath)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        declared = _declared.get()
        is_declared = declared is None or name in declared
        if name in self._collections and is_declared:
            return self._collections[name]
        if name in self._forbidden or (not is_declared and self.changes(name)):
            remedy = self._remedy.format(name=name, where=_declared_in.get())
            message = f"a reference into {name} is followed, which corrections change: {remedy}"
            raise FunctorError(message)
        found = self._read[name]
        if isinstance(self._read, EventsView):
            return found
        return ak.Array(
            found.layout, behavior=found.behavior, attrs={**found.attrs, _ORIGINAL: _Detour(self, name)}
        )

    @cached_property
    def _read(self) -> Any:
        found = self._beneath.get(_ORIGINAL)
        return self._beneath[_FACTORY].events() if found is None else found

    def changes(self, name: str) -> bool:
        """Tell whether corrections change a collection, nominally or in variations."""
        return name in self._collections or name in self._forbidden

    def lead_to(self, collections: Mapping[str, Any]) -> None:
        """Set the corrected collections, which have to know this view before."""
        self._collections.update(collections)

    @property
    def as_attributes(self) -> dict[str, Any]:
        """Attributes of arrays whose references lead here."""
        return {_ORIGINAL: self}

    def given_to(self, array: Any) -> Any:
        """Return an array whose references lead here."""
        return ak.Array(array.layout, behavior=array.behavior, attrs={**array.attrs, **self.as_attributes})


class _Detour:
    """What references of objects lead to that were themselves reached by one and are as they were read.

    An object as it was read does not know in which variation it is looked at, so that from there no way leads to what
    corrections change.
    """

    def __init__(self, view: EventsView, through: str) -> None:
        self._view, self._through = view, through

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if self._view.changes(name):
            message = (
                f"a reference into {name}, which corrections change, is followed through {self._through}, which they do "
                f"not: take the {self._through} of '{_declared_in.get()}' instead, and select those that are referred to"
            )
            raise FunctorError(message)
        return self._view[name]


def rebuilt(
    collection: Any,
    fields: Mapping[str, NDArray[Any] | Any],
    *,
    take: NDArray[np.int64] | None = None,
    counts: NDArray[np.int64] | None = None,
) -> Any:
    """Return a jagged collection with other content, and with its names, behaviours and attributes.

    Parameters
    ----------
    collection
        Records, ``n_events * var``.
    fields
        Content by field, one element per object of the result, in place of the collection's own.
    take
        Objects of the result, as positions in the flat content of the collection; None for all, in order.
    counts
        Objects per row of the result; needed with `take`.
    """
    record = ak.to_layout(ak.flatten(collection, axis=1))
    length = record.length if take is None else len(take)
    index = take
    while not record.is_record:  # one index for all fields, instead of one above another for each
        own = np.asarray(record.index.data)
        index, record = own if index is None else own[index], record.content
    names = list(dict.fromkeys([*record.fields, *fields]))
    contents = [
        ak.to_layout(fields[name]) if name in fields else _taken(record.content(name), index, length)
        for name in names
    ]
    if counts is None:
        counts = ak.to_numpy(ak.num(collection, axis=1))
    offsets = np.concatenate(([0], np.cumsum(counts)))
    layout = ak.contents.ListOffsetArray(
        ak.index.Index64(offsets),
        ak.contents.RecordArray(contents, names, length=length, parameters=record.parameters),
        parameters=collection.layout.parameters,
    )
    return ak.Array(layout, behavior=collection.behavior, attrs=collection.attrs)


def _taken(content: Any, index: NDArray[np.int64] | None, length: int) -> Any:
    if index is None:
        return content[:length]
    return ak.contents.IndexedArray.simplified(ak.index.Index64(index), content)


def falling_order(pt: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the order that puts the objects of each row in falling pt; None if they are so already.

    Objects of equal pt keep their order.
    """
    rows = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), ak.contents.NumpyArray(pt)))
    local = ak.to_numpy(ak.flatten(ak.argsort(rows, axis=1, ascending=False, stable=True)))
    order: NDArray[np.int64] = local + np.repeat(offsets[:-1], np.diff(offsets))
    return None if np.array_equal(order, np.arange(len(pt))) else order


def relinked(name: str, objects: Any, links: Mapping[str, Link], rows: NDArray[np.int64]) -> Any:
    """Return a collection with its references into linked collections made anew.

    Parameters
    ----------
    name
        Name of the collection.
    objects
        Its records, one row for each of `rows`; narrowed by masks or not.
    links
        Linked collections by name.
    rows
        Row of the tile that each row of `objects` belongs to.
    """
    references = {
        field: target
        for field in objects.fields
        if (target := NanoAODSchema.all_cross_references.get(f"{name}_{field}")) in links
    }
    if not references or objects.ndim != 2:
        return objects
    row = np.repeat(rows, ak.to_numpy(ak.num(objects, axis=1)))
    flat = ak.flatten(objects, axis=1)
    fields: dict[str, Any] = {}
    for field, target in references.items():
        fields[field], fields[f"{field}G"] = _moved(ak.to_numpy(flat[field]), links[target], row)
    for nested, (one, other) in NanoAODSchema.nested_items.items():
        collection, _, field = nested.partition("_")
        parts = [part.partition("_")[2] for part in (one, other)]
        if collection == name and field in objects.fields and set(parts) & fields.keys():
            fields[field] = _pairs(*(np.asarray(fields.get(part, flat[part])) for part in parts))
    return rebuilt(objects, fields)


def _moved(local: NDArray[Any], link: Link, row: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return stored indices as places in the row, and as places in the whole collection; -1 where there is none."""
    first, size = link.offsets[row], link.offsets[row + 1] - link.offsets[row]
    valid = (local >= 0) & (local < size)
    place = np.full(len(local), -1, dtype=np.int64)
    place[valid] = link.position[first[valid] + local[valid]]
    return place.astype(local.dtype), np.where(valid, first + place, -1)


def _pairs(one: NDArray[Any], other: NDArray[Any]) -> Any:
    content = np.stack([one, other], axis=1).ravel()
    offsets = np.arange(0, len(content) + 1, 2)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), ak.contents.NumpyArray(content)))
