"""Evaluates every functor and correction of a configuration on some events, to see whether they are event-local."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.analysis.columns import Columns
from intccms.analysis.layers import ghost_values, mask_objects
from intccms.analysis.tiling import Tiling
from intccms.datasets import SourceFile, open_source
from intccms.errors import ConfigError
from intccms.schema import ObjVar
from intccms.schema.explain import did_you_mean
from intccms.schema.reach import reach
from intccms.selection import named_masks, object_mask
from intccms.skimming import ColumnPlan
from intccms.systematics.evaluate import event_factors, object_values, place_of, same_call
from intccms.systematics.locality import Difference, LocalityReport, check_function
from intccms.systematics.plan import SystematicsPlan
from intccms.systematics.states import Base, StateColumns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from intccms.schema import Config, Dataset, Functor
    from intccms.schema.corrections import Correction
    from intccms.systematics.evaluate import Lookup
    from intccms.systematics.plan import Shift

__all__ = ["check_locality"]

EVENTS = 2_000
_MANY_ROWS = 10**9


def check_locality(
    config: Config,
    events: Any,
    *,
    dataset: str | None = None,
    n_events: int = EVENTS,
    cuts: bool = True,
) -> LocalityReport:
    """Compare every functor and correction on events as they are, in another order, in parts and repeated.

    Cuts apply as in the analysis, so that functions see what they are made for; each correction is evaluated nominally and
    for every source, on nominal objects.

    Parameters
    ----------
    config
        The configuration.
    events
        A file (path or URL), or NanoEvents with all columns that are used.
    dataset
        Name of the dataset that they are of; default: that of the events' metadata, or the first one.
    n_events
        Events of a file that are read; NanoEvents are taken as they are.
    cuts
        False: every function gets all events, which it has to survive; for few events, of which cuts would leave none.

    Returns
    -------
    LocalityReport
        With the first event that differs, for each function.

    Raises
    ------
    ConfigError
        If the dataset is not known.
    IntccmsError
        As a run would, if the file cannot be read, or a function raises.
    """
    given = events.metadata.get("dataset") if hasattr(events, "metadata") else None
    chosen = _dataset(config, dataset or given)
    columns, missing = _columns(config, events, chosen, n_events)
    checks = _Checks()
    with np.errstate(all="ignore"):
        _Walk(config, chosen, missing, checks, cuts=cuts).run(columns)
    return LocalityReport(
        len(columns),
        tuple(name for name, count in checks.seen.items() if count > 1),
        tuple(name for name, count in checks.seen.items() if count < 2),
        tuple(checks.differences),
    )


def _dataset(config: Config, name: str | None) -> Dataset:
    known = {one.name: one for one in config.selected_datasets()}
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        message = f"no dataset {name!r} is selected.{did_you_mean(name, known)} There are {', '.join(known)}."
        raise ConfigError(message)
    return known[name]


def _columns(config: Config, events: Any, dataset: Dataset, n_events: int) -> tuple[Columns, frozenset[str]]:
    """Return the columns of events, and the corrections that change nothing there."""
    if isinstance(events, str | Path | SourceFile):
        file = events if isinstance(events, SourceFile) else SourceFile(str(events), (str(events),))
        source = open_source(file, dataset.tree_name)
        branches = ColumnPlan(config).branches(source.branches, dataset, where=source.url)
        metadata = {
            "absent_triggers": branches.absent_triggers,
            "absent_corrections": branches.absent_corrections,
        }
        events = source.events(branches.names, 0, min(n_events, source.entries), metadata)
    absent = frozenset(events.metadata.get("absent_triggers", ()))
    columns = Columns(events, absent, positions=np.arange(len(events)))
    return columns, frozenset(events.metadata.get("absent_corrections", ()))


@dataclass
class _Checks:
    """What was found so far."""

    seen: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def compare(
        self, where: str, n_events: int, evaluate: Callable[[NDArray[np.int64]], Sequence[Any]]
    ) -> None:
        """Compare what a function says of events."""
        self.seen[where] = max(self.seen[where], n_events)
        if n_events > 1 and (found := check_function(evaluate, n_events, where)) is not None:
            self.differences.append(found)


class _Walk:
    """Goes through the steps of an analysis with nominal objects; see `intccms.analysis.processor`."""

    def __init__(
        self, config: Config, dataset: Dataset, missing: frozenset[str], checks: _Checks, *, cuts: bool
    ) -> None:
        channels = config.selected_channels()
        general = config.general.model_copy(update={"run_systematics": False})
        alone = config.model_copy(update={"general": general})
        self._config, self._checks, self._cuts = config, checks, cuts
        self._plan = SystematicsPlan(config, dataset, channels, missing)
        self._nominal = SystematicsPlan(alone, dataset, channels, missing)
        self._reached = reach(config, channels, self._plan.corrections)

    def run(self, columns: Columns) -> None:
        """Check everything on some events."""
        columns = self._skim(columns)
        waiting, config = self._nominal.corrects, self._config
        narrowed = columns.copy()
        for index in self._reached.masks:
            if index not in waiting.masks:
                self._mask(narrowed, index)
        if config.baseline_selection is not None and not waiting.baseline:
            passed = self._cut(narrowed, config.baseline_selection, "baseline_selection")
            columns, narrowed = columns.select(passed), narrowed.select(passed)
        self._object_corrections(columns)
        corrected = Tiling(self._nominal, columns, narrowed, _MANY_ROWS).shared().copy()
        for index in self._reached.masks:
            if index in waiting.masks:
                self._mask(corrected, index)
        if config.baseline_selection is not None and waiting.baseline:
            corrected = corrected.select(
                self._cut(corrected, config.baseline_selection, "baseline_selection")
            )
        for index in self._reached.ghosts:
            self._ghost(corrected, index)
        for channel in self._plan.channels:
            where = f"channels.{channel.name}"
            selected = corrected
            if channel.selection is not None:
                selected = corrected.select(self._cut(corrected, channel.selection, f"{where}.selection"))
            for observable in channel.observables:
                self._functor(selected, observable, f"{where}.observables.{observable.name}")
        self._weights(corrected)

    def _skim(self, columns: Columns) -> Columns:
        skim = self._config.preprocess.skimming.functor()
        if skim is None:
            return columns
        result = columns.call(skim, "preprocess.skimming")
        if not (isinstance(result, ak.Array) and result.ndim == 1 and result.fields):
            return columns.select(self._cut(columns, skim, "preprocess.skimming"))

        def passing(index: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
            part = columns.select(index)
            kept = set(_ids(part.call(skim, "preprocess.skimming")))
            return [np.array([one in kept for one in _ids(part.events)], dtype=bool)]

        self._checks.compare("preprocess.skimming", len(columns), passing)
        return columns.of_events(result)

    def _cut(self, columns: Columns, functor: Functor, where: str) -> NDArray[np.bool_]:
        def masks(index: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
            result = columns.select(index).call(functor, where)
            return [mask for _, mask in named_masks(result, len(index), where)]

        self._checks.compare(where, len(columns), masks)
        passed = np.ones(len(columns), dtype=bool)
        for mask in masks(np.arange(len(columns))) if self._cuts else ():
            passed &= mask
        return passed

    def _mask(self, columns: Columns, index: int) -> None:
        mask, where = self._config.good_object_masks[index], f"good_object_masks.{index}"

        def passing(chosen: NDArray[np.int64]) -> list[Any]:
            part = columns.select(chosen)
            return [object_mask(part.call(mask, where), part[ObjVar(mask.collection)], where)]

        self._checks.compare(where, len(columns), passing)
        mask_objects(columns, mask, where)

    def _ghost(self, columns: Columns, index: int) -> None:
        ghost, where = self._config.ghost_observables[index], f"ghost_observables.{index}"

        def values(chosen: NDArray[np.int64]) -> list[Any]:
            return list(ghost_values(columns.select(chosen).call(ghost, where), ghost.names, where))

        self._checks.compare(where, len(columns), values)
        columns.add(ghost.collection, ghost.names, values(np.arange(len(columns))), where)

    def _functor(self, columns: Columns, functor: Functor, where: str) -> None:
        def values(chosen: NDArray[np.int64]) -> list[Any]:
            result = columns.select(chosen).call(functor, where)
            return list(result) if isinstance(result, tuple | list) else [result]

        self._checks.compare(where, len(columns), values)

    def _weights(self, columns: Columns) -> None:
        for one in self._plan.weights:
            for shift in self._shifts(one):
                where = place_of(one, shift, self._plan.dataset.year)

                def factors(
                    chosen: NDArray[np.int64],
                    one: Correction = one,
                    shift: Shift | None = shift,
                    where: str = where,
                ) -> list[Any]:
                    return [event_factors(one, shift, columns.select(chosen), where)]

                self._checks.compare(where, len(columns), factors)

    def _object_corrections(self, columns: Columns) -> None:
        chain = self._plan.chain
        targets = [target for one in chain for target in one.target or []]
        base = Base(columns, targets, "corrections")
        state = dict(base.as_read)
        for one in chain:
            before = StateColumns(base, [state], state)
            counts = base.counts[one.targets_collection]
            for shift in self._shifts(one):
                if shift is None or not shift.source.is_delta:
                    self._object_correction(one, shift, before, counts)
            if one.uses_payload or one.nominal_function is not None:
                where = place_of(one, None, self._plan.dataset.year)
                values = object_values(one, None, before, base.size(one.targets_collection), where)
                changed = {
                    target: _OPERATIONS[one.op](state[target], value)
                    for target, value in zip(one.target or [], values, strict=True)
                }
                state = {**state, **changed}
            after = StateColumns(base, [state], state)
            for shift in self._shifts(one):
                if shift is not None and shift.source.is_delta:
                    self._object_correction(one, shift, after, counts)

    def _object_correction(
        self, one: Correction, shift: Shift | None, columns: Lookup, counts: NDArray[np.int64] | None
    ) -> None:
        where = place_of(one, shift, self._plan.dataset.year)

        def values(chosen: NDArray[np.int64]) -> list[Any]:
            sizes = None if counts is None else counts[chosen]
            size = len(chosen) if sizes is None else int(sizes.sum())
            flat = object_values(one, shift, _Picked(columns, chosen), size, where)
            return flat if sizes is None else [ak.unflatten(values, sizes) for values in flat]

        self._checks.compare(where, len(columns), values)

    def _shifts(self, correction: Correction) -> Iterator[Shift | None]:
        """Yield all ways in which a correction is evaluated: nominally, for its own sources and along with others."""
        if correction.uses_payload or correction.nominal_function is not None:
            yield None
        last: Shift | None = None
        for shift in (*self._plan.shifts(correction), *self._following(correction)):
            if last is None or not same_call(correction, last, shift):
                yield shift
            last = shift

    def _following(self, correction: Correction) -> Iterator[Shift]:
        for name in (*self._plan.object_variations, *self._plan.weight_variations):
            if (shift := self._plan.following(correction, name)) is not None:
                yield shift


class _Picked:
    """Some events of other columns."""

    def __init__(self, columns: Lookup, chosen: NDArray[np.int64]) -> None:
        self._columns, self._chosen = columns, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column of the events."""
        return self._columns.declared(column, where)[self._chosen]


def _ids(events: Any) -> list[tuple[int, ...]]:
    names = ("run", "luminosityBlock", "event")
    return list(zip(*(np.asarray(events[name]).tolist() for name in names), strict=True))


_OPERATIONS: dict[str, Any] = {
    "mult": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "replace": lambda _before, value: value,
}
