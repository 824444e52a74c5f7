"""Events repeated for variations: rows of a tile, each an event in one state.

Collections that variations change hold the content of every row; everything else is looked up in the events beneath
and repeated by index. An event that a variation leaves as it is has no row of its own: the nominal one serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.schema.base import ObjVar
from intccms.systematics.references import EventsView, Link, falling_order, rebuilt, relinked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from intccms.systematics.chain import ObjectStates
    from intccms.systematics.states import Base

__all__ = ["Rows", "Tile", "make_tile", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """Which event each row is, and which row each event of a variation is."""

    event: NDArray[np.int64]
    """Event of each row; the first ``n_events`` rows are the nominal ones, in order."""
    of_variation: dict[str, NDArray[np.int64]]
    """Variation -> row of each event, shape ``(n_events,)``."""
    changed: dict[str, NDArray[np.bool_]]
    """Variation -> events that have a row of their own."""


def rows_of(changed: Mapping[str, NDArray[np.bool_]], n_events: int) -> Rows:
    """Return the rows of a tile in which each variation has one for every event that it changes."""
    events, of_variation, first = [np.arange(n_events)], {}, n_events
    for variation, mask in changed.items():
        own = np.flatnonzero(mask)
        row = np.arange(n_events)
        row[own] = first + np.arange(len(own))
        of_variation[variation] = row
        events.append(own)
        first += len(own)
    return Rows(np.concatenate(events), of_variation, dict(changed))


class Tile:
    """Events in the place of NanoEvents: collections by name, for every row.

    Parameters
    ----------
    beneath
        Gives what is the same in all rows of an event, by name.
    rows
        Event of each row; None if they are the events themselves.
    collections
        Collections that differ between the rows of an event.
    fields
        Names of everything.
    links, view
        Where the objects of corrected collections went, and what references lead to.
    origin
        Row of the tile, as it was made, of each row that is left.
    """

    def __init__(
        self,
        beneath: Callable[[str], Any],
        rows: NDArray[np.int64] | None,
        collections: Mapping[str, Any],
        fields: Sequence[str],
        links: Mapping[str, Link],
        view: EventsView,
        origin: NDArray[np.int64],
    ) -> None:
        self._beneath, self._rows, self._view, self._origin = beneath, rows, view, origin
        self._links = links
        self._collections = dict(collections)
        self._kept: dict[str, Any] = {}
        self.fields = list(fields)

    def __len__(self) -> int:
        return len(self._origin)

    def stand_on(self, beneath: Callable[[str], Any], rows: NDArray[np.int64]) -> None:
        """Look up what is the same in all rows of an event in other events from now on."""
        self._beneath, self._rows = beneath, rows
        self._kept = {}

    @property
    def links(self) -> Mapping[str, Link]:
        """Where the objects of its corrected collections went."""
        return self._links

    @property
    def seen(self) -> dict[str, Any]:
        """Attributes of arrays that look references up here."""
        return self._view.as_attributes

    @property
    def events(self) -> NDArray[np.int64]:
        """Event of each row."""
        return self._origin if self._rows is None else self._rows

    def __getitem__(self, what: Any) -> Any:
        """Return a collection or an event-level column by name, or the rows that pass a mask."""
        if not isinstance(what, str):
            return self._select(what)
        if what not in self._kept:
            self._kept[what] = self._look_up(what)
        return self._kept[what]

    def _look_up(self, name: str) -> Any:
        if name in self._collections:
            return self._collections[name]
        values = self._beneath(name)
        if self._rows is not None:
            values = values[self._rows]
        return self._with_references(name, values) if values.fields else values

    def _with_references(self, name: str, objects: Any) -> Any:
        linked = relinked(name, objects, self._links, self._origin)
        return self._view.given_to(linked)

    def _select(self, mask: Any) -> Tile:
        return Tile(
            self._beneath,
            self.events[mask],
            {name: objects[mask] for name, objects in self._collections.items()},
            self.fields,
            self._links,
            self._view,
            self._origin[mask],
        )

    def whole_events(self) -> Any:
        """Return all rows as one array of records, as a functor of whole events gets them."""
        events = self._beneath("")
        if self._rows is not None:
            events = events[self._rows]
        for name in self.fields:
            linked = name in self._collections or self._refers(name, events)
            if linked:
                events = ak.with_field(events, self[name], name)
        return self._view.given_to(events)

    def _refers(self, name: str, events: Any) -> bool:
        from coffea.nanoevents import NanoAODSchema

        references = NanoAODSchema.all_cross_references
        return any(references.get(f"{name}_{field}") in self._links for field in events[name].fields)


def make_tile(
    states: ObjectStates,
    rows: Rows,
    collections: Collection[str],
    *,
    fields: Sequence[str],
    beneath: Callable[[str], Any],
    attributes: Mapping[str, Any],
    forbidden: frozenset[str] = frozenset(),
    links_beneath: Mapping[str, Link] | None = None,
) -> Tile:
    """Return a tile.

    Parameters
    ----------
    states
        The events, and the targets of corrections in every variation and nominally.
    rows
        Events of the rows.
    collections
        Corrected collections to be made; those of them whose pt is a target are put in falling order of it.
    fields, beneath
        As for `Tile`.
    attributes
        Those of the events beneath, which lead to what references find there.
    forbidden
        Collections that a reference must not be followed into.
    links_beneath
        Where the objects of collections went that are corrected in the events beneath.
    """
    base = states.base
    made, links = {}, {}
    for name in sorted(collections):
        whole = base.columns.declared(ObjVar(name), "corrections")
        targets = sorted(target for target in base.targets if target.collection == name)
        content = {str(target.field): _content(target, states, rows) for target in targets}
        if base.counts[name] is None:
            made[name] = _flat_records(whole, content, rows.event)
        else:
            made[name], links[name] = _ordered(whole, content, base, rows, name)
    origin = np.arange(len(rows.event))
    view = EventsView({}, forbidden, attributes)
    done = {}
    for name, objects in made.items():
        linked = relinked(name, objects, links, origin)
        done[name] = view.given_to(relinked(name, linked, links_beneath or {}, rows.event))
    view.lead_to(done)
    is_once = len(rows.event) == len(base)
    return Tile(beneath, None if is_once else rows.event, done, fields, links, view, origin)


def _content(target: ObjVar, states: ObjectStates, rows: Rows) -> NDArray[Any]:
    """Return a target of all rows, flat: nominal first, then the events that each variation changes."""
    counts = states.base.counts[target.collection]
    nominal = states.nominal[target]
    parts = [nominal]
    for variation, mask in rows.changed.items():
        values = states.varied.get(variation, {}).get(target, nominal)
        parts.append(values[mask if counts is None else np.repeat(mask, counts)])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _flat_records(whole: Any, content: Mapping[str, NDArray[Any]], events: NDArray[np.int64]) -> Any:
    records = whole if len(events) == len(whole) else whole[events]
    for field, values in content.items():
        records = ak.with_field(records, values, field)
    return records


def _ordered(
    whole: Any, content: Mapping[str, NDArray[Any]], base: Base, rows: Rows, name: str
) -> tuple[Any, Link]:
    counts = base.counts[name]
    assert counts is not None
    size = int(counts.sum())
    objects = [np.arange(size)]
    objects += [np.flatnonzero(np.repeat(mask, counts)) for mask in rows.changed.values()]
    take = np.concatenate(objects)
    per_row = counts[rows.event]
    offsets = np.concatenate(([0], np.cumsum(per_row)))
    order = falling_order(content["pt"], offsets) if "pt" in content else None
    local = np.arange(len(take)) - np.repeat(offsets[:-1], per_row)
    if order is None:
        position = local
    else:
        take, content = take[order], {field: values[order] for field, values in content.items()}
        position = np.empty(len(order), dtype=np.int64)
        position[order] = local
    plain = len(take) == size and order is None
    collection = rebuilt(whole, content, take=None if plain else take, counts=per_row)
    return collection, Link(offsets, position)
