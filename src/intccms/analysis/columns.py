"""The columns of a chunk as functors see them: the input, narrowed collections and ghost observables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np

from intccms.errors import FunctorError
from intccms.schema import Functor, ObjVar
from intccms.selection.calling import call
from intccms.systematics.references import declaring
from intccms.systematics.tile import Tile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Columns"]


class Columns:
    """Looks up declared columns of one chunk.

    Parameters
    ----------
    events
        NanoEvents with virtual arrays, or a tile of them.
    absent
        Triggers that the input lacks; they are False.
    narrowed
        Collections in place of those of the input: masked ones, or with further fields.
    made
        Computed quantities at event level (``event``) and in new collections, by name.
    positions
        Where the events stand in the chunk as it was read, shape ``(n_events,)``.
    """

    def __init__(
        self,
        events: Any,
        absent: frozenset[str] = frozenset(),
        narrowed: Mapping[str, Any] | None = None,
        made: Mapping[str, Mapping[str, Any]] | None = None,
        positions: NDArray[np.int64] | None = None,
    ) -> None:
        self.events = events
        self.positions = positions
        """Where the events stand in the chunk as it was read; None if a function made them."""
        self._absent = absent
        self._narrowed = dict(narrowed or {})
        self._made = {collection: dict(arrays) for collection, arrays in (made or {}).items()}

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, column: ObjVar) -> Any:
        """Return a column: shape ``(n_events,)``, or ``n_events * var`` for fields of collections."""
        collection, field = column
        made = self._made.get(collection, {})
        if field is not None and field in made:
            return made[field]
        if collection == "event":
            return self._whole_events() if field is None else self.events[field]
        if (name := str(column)) in self._absent:
            return ak.Array(np.zeros(len(self), dtype=bool))
        if field is not None and name in self.events.fields and not _is_field(self.events, name):
            return self.events[name]  # the skim function added it under the name of its branch
        if made:
            return _collection_of(made)
        objects = self._narrowed[collection] if collection in self._narrowed else self.events[collection]
        return objects if field is None else objects[field]

    @property
    def fields(self) -> list[str]:
        """Names of all collections and event-level columns."""
        return list(dict.fromkeys([*self.events.fields, *self._made, *self._made.get("event", {})]))

    def field(self, name: str) -> Any:
        """Return a collection or an event-level column by its name alone; all events for the empty name."""
        if not name:
            return self._whole_events()
        if name in self._made.get("event", {}):
            return self._made["event"][name]
        # there is a column of the name that stands for whole events: the event number
        return self.events[name] if name == "event" else self[ObjVar(name)]

    def _whole_events(self) -> Any:
        """Return the events with everything that was narrowed and made, so that no functor sees raw objects."""
        events = self.events.whole_events() if isinstance(self.events, Tile) else self.events
        made = {name: _collection_of(arrays) for name, arrays in self._made.items() if name != "event"}
        for name, values in {**self._narrowed, **made, **self._made.get("event", {})}.items():
            events = ak.with_field(events, values, name)
        return events

    def call(self, functor: Functor, where: str) -> Any:
        """Call a functor with the columns it declares and its constants.

        Values of `WorkerEval` among the constants, also inside lists and dicts, are computed now; no error shows
        them.

        Raises
        ------
        FunctorError
            If the function raises, or a column cannot be made of the branches that there are; the message names
            the functor, the cause is chained.
        """
        arrays = [self.declared(column, where) for column in functor.use]
        with declaring([ObjVar(*column) for column in functor.use]):
            return call(functor.function, arrays, functor.static_kwargs, where)

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column for a functor.

        Raises
        ------
        FunctorError
            If it cannot be made of the branches that there are.
        """
        try:
            return self[column]
        except (AttributeError, ValueError, LookupError) as exc:
            message = f"{where}: cannot have {tuple(column)!r}: {exc}"
            raise FunctorError(message) from exc

    def select(self, mask: Any) -> Self:
        """Return the columns of the events that pass a mask."""
        return type(self)(
            self.events[mask],
            self._absent,
            {name: objects[mask] for name, objects in self._narrowed.items()},
            {
                collection: {name: values[mask] for name, values in arrays.items()}
                for collection, arrays in self._made.items()
            },
            None if self.positions is None else self.positions[mask],
        )

    def copy(self) -> Self:
        """Return the same columns, which can be narrowed and added to without these."""
        return type(self)(self.events, self._absent, self._narrowed, self._made, self.positions)

    def over(self, events: Any) -> Self:
        """Return the same columns of events in the place of these, which hold what was narrowed and made."""
        return type(self)(events, self._absent)

    def of_events(self, events: Any) -> Self:
        """Return the columns of events that a function returned in the place of those it was given."""
        return type(self)(events, frozenset(name for name in self._absent if not _holds(events, name)))

    @property
    def absent(self) -> frozenset[str]:
        """Triggers that neither the input holds nor a function has made; they are False."""
        return self._absent

    def replace(self, collection: str, objects: Any) -> None:
        """Put other objects in the place of a collection."""
        self._narrowed[collection] = objects

    def add(self, collection: str, names: Sequence[str], values: Sequence[Any], where: str) -> None:
        """File computed quantities under a collection.

        Raises
        ------
        FunctorError
            If a quantity does not have one value per event (or per object, in an existing collection).
        """
        exists = collection in self._narrowed or collection in self.events.fields
        for name, value in zip(names, values, strict=True):
            array = self._per_event(value, name, where)
            if exists and collection != "event":
                objects = self[ObjVar(collection)]
                self._narrowed[collection] = _with_field(objects, array, name, where)
            else:
                self._made.setdefault(collection, {})[name] = array

    def _per_event(self, value: Any, name: str, where: str) -> Any:
        try:
            array = ak.Array(value)
        except (TypeError, ValueError) as exc:
            message = (
                f"{where}: {name!r} is {type(value).__name__}; expected an array with one element per event."
            )
            raise FunctorError(message) from exc
        if len(array) != len(self):
            message = (
                f"{where}: {name!r} has {len(array)} elements for {len(self)} events; expected one per event."
            )
            raise FunctorError(message)
        return array


def _collection_of(arrays: Mapping[str, Any]) -> Any:
    """Return arrays as one collection: of objects where all are jagged alike, else of one record per event."""
    jagged = all(array.ndim > 1 for array in arrays.values())
    if jagged:
        first, *others = (ak.num(array, axis=1) for array in arrays.values())
        jagged = all(ak.array_equal(first, other) for other in others)
    return ak.zip(dict(arrays), depth_limit=2 if jagged else 1)


def _with_field(objects: Any, values: Any, name: str, where: str) -> Any:
    if objects.ndim > 1 and not _same_counts(values, objects):
        message = (
            f"{where}: {name!r} is {values.type}; its collection needs one value per object "
            f"({objects.type.length} events * var)."
        )
        raise FunctorError(message)
    try:
        return ak.with_field(objects, values, name)
    except (TypeError, ValueError) as exc:
        reason = str(exc).partition("\n")[0]
        message = f"{where}: {name!r} cannot be a field of its collection: {reason}. Give it another name."
        raise FunctorError(message) from exc


def _same_counts(values: Any, objects: Any) -> bool:
    return values.ndim > 1 and bool(
        ak.array_equal(ak.num(values, axis=1), ak.num(objects, axis=1), dtype_exact=False)
    )


def _holds(events: Any, name: str) -> bool:
    """Tell whether events have a column, as field of its collection or under the name of its branch."""
    return name in events.fields or _is_field(events, name)


def _is_field(events: Any, name: str) -> bool:
    collection, _, field = name.partition("_")
    return collection in events.fields and field in events[collection].fields
