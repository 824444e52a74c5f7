"""The columns of a chunk as functors see them: the input, narrowed collections and ghost observables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np

from intccms.errors import FunctorError
from intccms.schema import Functor, ObjVar, WorkerEval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Columns"]


class Columns:
    """Looks up declared columns of one chunk.

    Parameters
    ----------
    events
        NanoEvents with virtual arrays.
    absent
        Triggers that the input lacks; they are False.
    own
        Collections that were narrowed or made, in place of those of the input.
    """

    def __init__(
        self, events: Any, absent: frozenset[str] = frozenset(), own: Mapping[str, Any] | None = None
    ) -> None:
        self.events = events
        self._absent = absent
        self._own = dict(own or {})

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, column: ObjVar) -> Any:
        """Return a column: shape ``(n_events,)``, or ``n_events * var`` for fields of collections."""
        collection, field = column
        if collection == "event":
            return self._event_level(field)
        if str(ObjVar(collection, field)) in self._absent:
            return ak.Array(np.zeros(len(self), dtype=bool))
        objects = self._own[collection] if collection in self._own else self.events[collection]
        return objects if field is None else objects[field]

    def _event_level(self, field: str | None) -> Any:
        if field is None:
            return self.events
        own = self._own.get("event", {})
        return own[field] if field in own else self.events[field]

    def call(self, functor: Functor, where: str) -> Any:
        """Call a functor with the columns it declares and its constants.

        Raises
        ------
        FunctorError
            If the function raises; the message names the functor, the cause is chained.
        """
        constants = {
            name: value() if isinstance(value, WorkerEval) else value
            for name, value in functor.static_kwargs.items()
        }
        arrays = [self[column] for column in functor.use]
        try:
            return functor.function(*arrays, **constants)
        except Exception as exc:
            message = f"{where} raised {type(exc).__name__}: {exc}"
            raise FunctorError(message) from exc

    def select(self, mask: Any) -> Self:
        """Return the columns of the events that pass a mask."""
        own = {
            name: {field: values[mask] for field, values in content.items()}
            if name == "event"
            else content[mask]
            for name, content in self._own.items()
        }
        return type(self)(self.events[mask], self._absent, own)

    def replace(self, collection: str, objects: Any) -> None:
        """Put other objects in the place of a collection."""
        self._own[collection] = objects

    def add(self, collection: str, names: Sequence[str], values: Sequence[Any], where: str) -> None:
        """File computed quantities under a collection.

        Raises
        ------
        FunctorError
            If a quantity does not have one value per event (or per object, in an existing collection).
        """
        for name, value in zip(names, values, strict=True):
            array = ak.Array(value)
            if len(array) != len(self):
                message = f"{where}: {name!r} has {len(array)} elements for {len(self)} events."
                raise FunctorError(message)
            if collection == "event":
                self._own.setdefault("event", {})[name] = array
            elif collection in self._own or collection in self.events.fields:
                self._own[collection] = _with_field(self[ObjVar(collection)], array, name, where)
            else:
                self._own[collection] = ak.zip({name: array}, depth_limit=1)


def _with_field(objects: Any, values: Any, name: str, where: str) -> Any:
    if objects.ndim > 1 and (values.ndim < 2 or not ak.all(ak.num(values) == ak.num(objects))):
        message = f"{where}: {name!r} needs one value per object of its collection ({objects.type.length} events * var)."
        raise FunctorError(message)
    return ak.with_field(objects, values, name)
