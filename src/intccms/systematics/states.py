"""Columns of the same events in several states, one after another: what corrections are evaluated on.

A state is what one variation makes of the targets of object corrections: flat arrays of one number per object, in the
order of the input. Everything that no state changes is repeated by index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.errors import FunctorError
from intccms.schema.base import ObjVar
from intccms.schema.reach import is_as_read
from intccms.systematics.references import BY_INDEX, EventsView

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from intccms.systematics.evaluate import Lookup

__all__ = ["Base", "Kept", "Part", "State", "StateColumns", "changed_events", "flat_content"]

State = dict[ObjVar, "NDArray[np.float64]"]
"""Target -> one number per object, flat, in double precision."""


def flat_content(values: Any) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return a column as flat numbers and the objects per event; None for one number per event."""
    if values.ndim == 1:
        return ak.to_numpy(values), None
    counts = ak.to_numpy(ak.num(values, axis=1))
    return ak.to_numpy(ak.flatten(values, axis=1)), counts


class Base:
    """The events that states are of, with the targets as they were read.

    Parameters
    ----------
    columns
        The events.
    targets
        What corrections change.
    as_read
        What can also be asked for as it was read; default: the targets.

    Raises
    ------
    FunctorError
        If a target does not exist.
    """

    def __init__(
        self, columns: Lookup, targets: Sequence[ObjVar], where: str, as_read: Collection[ObjVar] = ()
    ) -> None:
        self.columns = columns
        self.targets = frozenset(targets)
        self.named_as_read = self.targets | frozenset(as_read)
        self.as_read: State = {}
        self.counts: dict[str, NDArray[np.int64] | None] = {}
        for target in dict.fromkeys(targets):
            values = columns.declared(target, where)
            flat, self.counts[target.collection] = flat_content(values)
            # in one precision, whatever a correction returns: rows of a tile are in one array, and nominal must not
            # depend on what stands beside it
            self.as_read[target] = flat.astype(np.float64)

        self._kept: dict[ObjVar, Any] = {}
        self._events: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, column: ObjVar, where: str) -> Any:
        """Return a column as it was read; fields in one piece, since every variation goes through them again."""
        if column not in self._kept:
            values = self.columns.declared(column, where)
            if values.fields:
                changed = frozenset(target.collection for target in self.targets)
                values = EventsView({}, changed, values.attrs, BY_INDEX).given_to(values)
            self._kept[column] = values if values.fields else ak.to_packed(values)
        return self._kept[column]

    def event_of_values(self, collection: str) -> NDArray[np.int64]:
        """Return the event of each value of a collection that has targets."""
        if collection not in self._events:
            counts, events = self.counts[collection], np.arange(len(self))
            self._events[collection] = events if counts is None else np.repeat(events, counts)
        return self._events[collection]

    def size(self, collection: str) -> int:
        """Return the number of objects of a collection that has targets."""
        counts = self.counts[collection]
        return len(self) if counts is None else int(counts.sum())


class Kept:
    """Columns that are looked up once, and parts of them.

    Parameters
    ----------
    columns
        Where they are looked up.
    """

    def __init__(self, columns: Lookup) -> None:
        self._columns = columns
        self._kept: dict[ObjVar, Any] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column."""
        if column not in self._kept:
            values = self._columns.declared(column, where)
            # in one piece: every systematic key goes through it again
            self._kept[column] = (
                values if not isinstance(values, ak.Array) or values.fields else ak.to_packed(values)
            )
        return self._kept[column]

    def part(self, start: int, length: int) -> Part:
        """Return the columns of a range of events."""
        return Part(self, start, length)


class StateColumns:
    """Looks up columns of K states: shape ``(K * n_events,)``, or ``K * n_events * var``.

    Parameters
    ----------
    base
        The events.
    states
        The states; a target that one does not hold is as `nominal` has it.
    nominal
        The targets as nominal corrections have left them so far.
    """

    def __init__(self, base: Base, states: Sequence[State], nominal: State) -> None:
        self._base = base
        self._states = states
        self._nominal = nominal
        self._kept: dict[ObjVar, Any] = {}

    def __len__(self) -> int:
        return len(self._states) * len(self._base)

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column; see the class."""
        if column not in self._kept:
            self._kept[column] = self._look_up(column, where)
        return self._kept[column]

    def _look_up(self, column: ObjVar, where: str) -> Any:
        base = self._base
        as_read = is_as_read(column, base.named_as_read)
        if as_read is not None:
            return self._repeated(base.column(as_read, where))
        if column in base.targets:
            return self._of_target(column)
        if column == ObjVar("event"):
            message = f"{where}: a correction cannot use whole events. Name the columns that it uses."
            raise FunctorError(message)
        values = self._repeated(base.column(column, where))
        if column.field is None:
            for target in sorted(base.targets):
                if target.collection == column.collection:
                    values = ak.with_field(values, self._of_target(target), target.field)
        return values

    def _of_target(self, target: ObjVar) -> Any:
        arrays = [state.get(target, self._nominal[target]) for state in self._states]
        return self._shaped(
            arrays[0] if len(arrays) == 1 else np.concatenate(arrays), target.collection, len(arrays)
        )

    def _shaped(self, flat: NDArray[Any], collection: str, times: int = 1) -> Any:
        counts = self._base.counts[collection]
        if counts is None:
            return ak.Array(flat)
        offsets = np.zeros(times * len(counts) + 1, dtype=np.int64)
        np.cumsum(np.tile(counts, times), out=offsets[1:])
        content = ak.contents.NumpyArray(flat)
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content))

    def _repeated(self, values: Any) -> Any:
        if len(self._states) == 1:
            return values
        return values[np.tile(np.arange(len(self._base)), len(self._states))]


class Part:
    """A range of events of other columns.

    Parameters
    ----------
    columns
        The columns.
    start, length
        The range.
    """

    def __init__(self, columns: Lookup, start: int, length: int) -> None:
        self._columns, self._start, self._length = columns, start, length

    def __len__(self) -> int:
        return self._length

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column of the range."""
        return self._columns.declared(column, where)[self._start : self._start + self._length]


def changed_events(state: Mapping[ObjVar, NDArray[Any]], base: Base, nominal: State) -> NDArray[np.bool_]:
    """Return the events in which a state differs from nominal, shape ``(n_events,)``."""
    changed = np.zeros(len(base), dtype=bool)
    for target, values in state.items():
        other = nominal[target]
        differs = values != other
        if not differs.any():
            continue
        differs &= ~(np.isnan(values) & np.isnan(other))
        changed[base.event_of_values(target.collection)[differs]] = True
    return changed
