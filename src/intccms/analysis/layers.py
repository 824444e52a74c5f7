"""Events in two layers: what is the same in all variations, and rows of events for what is not.

What no variation touches is evaluated once, on the shared layer, for the events that are left in any row; the rows take
it by index. Without variations of objects there is one layer, and each event is one row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.errors import FunctorError
from intccms.histograms import Candidates, candidates
from intccms.schema import ObjVar
from intccms.selection import named_masks, object_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from intccms.analysis.columns import Columns
    from intccms.schema import Functor
    from intccms.schema.selection import GhostObservable, ObjectMask, Observable

__all__ = ["Layers", "ghost_values", "mask_objects"]


class Layers:
    """The events of a chunk in all the states that are looked at together.

    Parameters
    ----------
    shared
        The events, once each.
    tiled
        The rows; None if nothing differs between them.
    rows
        Event of each row, shape ``(n_rows,)``.
    origin
        Row, as the tile was made, of each row that is left.
    """

    def __init__(
        self,
        shared: Columns,
        tiled: Columns | None = None,
        rows: NDArray[np.int64] | None = None,
        origin: NDArray[np.int64] | None = None,
    ) -> None:
        self.shared, self.tiled = shared, tiled
        self.rows = np.arange(len(shared)) if rows is None else rows
        self.origin = np.arange(len(self.rows)) if origin is None else origin

    def __len__(self) -> int:
        return len(self.rows)

    def where_is(self, number: int) -> NDArray[np.int64]:
        """Return where each of the rows of the tile, as it was made, is now; -1 if it was cut away."""
        position = np.full(number, -1, dtype=np.int64)
        position[self.origin] = np.arange(len(self.origin))
        return position

    def mask_objects(self, mask: ObjectMask, where: str) -> None:
        """Narrow a collection that differs between rows."""
        mask_objects(self._layer(touched=True), mask, where)

    def masks(self, functor: Functor, where: str, *, touched: bool) -> list[tuple[str, NDArray[np.bool_]]]:
        """Return the named cuts of a selection, one boolean per row."""
        layer = self._layer(touched=touched)
        found = named_masks(layer.call(functor, where), len(layer), where)
        return [(name, self._to_rows(mask, touched=touched)) for name, mask in found]

    def select(self, passed: NDArray[np.bool_]) -> Layers:
        """Return the rows that pass, over the events that are left in any of them."""
        if passed.all():
            return self
        rows = self.rows[passed]
        alive = np.zeros(len(self.shared), dtype=bool)
        alive[rows] = True
        shared = self.shared if alive.all() else self.shared.select(alive)
        rows = (np.cumsum(alive) - 1)[rows]
        tiled = None
        if self.tiled is not None:
            tiled = self.tiled.select(passed)
            tiled.events.stand_on(shared.field, rows)
        return Layers(shared, tiled, rows, self.origin[passed])

    def take(self, rows: NDArray[np.int64], *, touched: bool) -> Columns:
        """Return the columns of some rows, in that order and as often, as evaluations that touch them or not see them."""
        layer = self._layer(touched=touched)
        index = rows if touched and self.tiled is not None else self.rows[rows]
        if len(index) == len(layer) and np.array_equal(index, np.arange(len(layer))):
            return layer
        return layer.select(index)

    def add_ghost(self, ghost: GhostObservable, where: str, *, touched: bool) -> None:
        """Compute quantities for later functors."""
        layer = self._layer(touched=touched)
        values = list(ghost_values(layer.call(ghost, where), ghost.names, where))
        layer.add(ghost.collection, ghost.names, values, where)
        if layer is self.shared and self.tiled is not None:
            self.tiled.events.stand_on(self.shared.field, self.rows)

    def candidates(
        self, observable: Observable, axes: Sequence[Any], where: str, *, touched: bool
    ) -> Candidates:
        """Return where the candidates of each row fall in the histogram of an observable."""
        layer = self._layer(touched=touched)
        found = candidates(axes, layer.call(observable, where), len(layer), where)
        if layer is not self.shared or self.tiled is None:
            return found
        bins, counts = found.of_rows(self.rows)
        lost = np.bincount(found.nan, minlength=len(layer))[self.rows]
        return Candidates(bins, counts, np.repeat(np.arange(len(self.rows)), lost))

    def _layer(self, *, touched: bool) -> Columns:
        return self.shared if self.tiled is None or not touched else self.tiled

    def _to_rows(self, values: NDArray[Any], *, touched: bool) -> NDArray[Any]:
        return values if self.tiled is None or touched else values[self.rows]


def mask_objects(columns: Columns, mask: ObjectMask, where: str) -> None:
    """Narrow a collection to the objects that pass a mask."""
    objects = columns[ObjVar(mask.collection)]
    columns.replace(mask.collection, objects[object_mask(columns.call(mask, where), objects, where)])


def ghost_values(result: Any, names: list[str], where: str) -> Iterator[Any]:
    """Yield what a ghost observable's function returned, one array per name."""
    if isinstance(result, dict) or (len(names) > 1 and isinstance(result, ak.Array)):
        given = list(result) if isinstance(result, dict) else result.fields
        if missing := [name for name in names if name not in given]:
            message = f"{where} returned {given}, without {missing}."
            raise FunctorError(message)
        yield from (result[name] for name in names)
        return
    values = result if isinstance(result, tuple | list) and len(names) > 1 else (result,)
    if len(values) != len(names):
        message = f"{where} returned {len(values)} array(s) for the names {names}; expected one each."
        raise FunctorError(message)
    yield from values
