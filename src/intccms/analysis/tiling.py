"""From corrected objects to layers of events: what is shared by all variations, and batches of rows for what is not."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from intccms.analysis.layers import Layers
from intccms.systematics.chain import ObjectStates, corrected_objects
from intccms.systematics.references import EventsView
from intccms.systematics.repeats import forget
from intccms.systematics.states import changed_events
from intccms.systematics.tile import Rows, Tile, make_tile, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from intccms.analysis.columns import Columns
    from intccms.analysis.results import DatasetSums
    from intccms.systematics.plan import SystematicsPlan

__all__ = ["Tiling", "guarded"]


def guarded(columns: Columns, changed: frozenset[str]) -> Columns:
    """Return events in which no reference into collections is followed that corrections will change."""
    if not changed:
        return columns.copy()
    view = EventsView({}, changed, columns.events.attrs)
    return columns.over(Tile(columns.field, None, {}, columns.fields, {}, view, np.arange(len(columns))))


class Tiling:
    """Corrects the objects of a chunk, and lays its events out for evaluation.

    Parameters
    ----------
    plan
        Corrections and variations.
    columns
        The events, with objects as they were read.
    narrowed
        The same events, with collections narrowed that no correction touches.
    max_rows
        Rows that are held at a time.
    """

    def __init__(self, plan: SystematicsPlan, columns: Columns, narrowed: Columns, max_rows: int) -> None:
        self._plan, self._columns, self._narrowed, self._max_rows = plan, columns, narrowed, max_rows

    @cached_property
    def _states(self) -> ObjectStates:
        return corrected_objects(self._plan, self._columns, self._max_rows)

    @cached_property
    def _corrected(self) -> Tile:
        """The events with the collections that corrections change, and change in the same way in all variations."""
        varied = self._plan.touched.collections
        return make_tile(
            self._states,
            rows_of({}, len(self._columns)),
            self._plan.corrected - varied,
            fields=self._narrowed.fields,
            beneath=self._narrowed.field,
            attributes=self._columns.events.attrs,
            forbidden=self._plan.targeted - (self._plan.corrected - varied),
        )

    def shared(self) -> Columns:
        """Return the events as they are in all variations; what differs between these must not be looked up there."""
        return self._narrowed.over(self._corrected) if self._plan.chain else self._narrowed

    def batches(self, shared: Columns) -> Iterator[tuple[Layers, Rows]]:
        """Yield layers of all nominal rows and those of some variations, within the budget of rows."""
        if not self._plan.touched.collections:
            yield Layers(shared), rows_of({}, len(shared))
            return
        for names in self._divided(len(shared)):
            rows = rows_of({name: self._changed[name] for name in names}, len(shared))
            once = shared.copy()
            tile = make_tile(
                self._states,
                rows,
                self._plan.touched.collections,
                fields=once.fields,
                beneath=once.field,
                attributes=self._corrected.seen,
                links_beneath=self._corrected.links,
            )
            yield Layers(once, once.over(tile), rows.event), rows

    def finish(self, sums: DatasetSums) -> None:
        """Give variations that change nothing in the chunk the nominal content, and let go of the chunk."""
        forget()
        plan = self._plan
        unchanged = set(self._unchanged if plan.touched.collections else ())
        missing = {
            channel.name: [
                name
                for name in plan.whole.of_channel(channel)
                if name in unchanged or name not in set(plan.of_channel(channel))
            ]
            for channel in (plan.channels if unchanged or plan.absent else ())
        }
        for (channel, _), one in sums.histograms.items():
            for name in missing.get(channel, ()):
                one.varied[name] = (one.sumw.copy(), one.sumw2.copy())

    @cached_property
    def _changed(self) -> dict[str, NDArray[np.bool_]]:
        """Events that each variation changes."""
        states = self._states
        return {
            name: changed_events(states.varied.get(name, {}), states.base, states.nominal)
            for name in self._plan.object_variations
        }

    @cached_property
    def _unchanged(self) -> list[str]:
        """Variations that change no object of the chunk, and no weight."""
        plan = self._plan
        return [
            name
            for name, changed in self._changed.items()
            if not changed.any() and not any(plan.following(one, name) for one in plan.weights)
        ]

    def _divided(self, n_events: int) -> Iterator[list[str]]:
        """Yield the names of the variations of each batch; the first has none if there are none."""
        batch: list[str] = []
        rows = n_events
        for name in self._changed:
            if name in self._unchanged:
                continue
            own = int(np.count_nonzero(self._changed[name]))
            if batch and rows + own > self._max_rows:
                yield batch
                batch, rows = [], n_events
            batch.append(name)
            rows += own
        yield batch
