"""One chunk: from events to small sums. A coffea processor on virtual arrays.

The steps: lumi mask and skim, object masks, baseline, ghost observables, channels with their observables; only what
reaches the wanted channels is evaluated, and nothing where the skim leaves no event. Event weights are the generator
weights; cross-section, luminosity and sum of weights come in when datasets are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from intccms.analysis.columns import Columns
from intccms.analysis.results import DatasetSums
from intccms.errors import FunctorError, InputFileError
from intccms.histograms import empty, fill, hist_axes
from intccms.metadata.lumis import ranges_of
from intccms.schema import Config, Dataset, Functor, ObjVar
from intccms.schema.reach import columns_of, reach
from intccms.selection import Cutflow, named_masks, object_mask
from intccms.selection.lumimask import certified
from intccms.skimming.columns import event_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from intccms.schema.selection import Channel, GhostObservable
    from intccms.skimming.parts import SkimPart

__all__ = ["AnalysisProcessor"]


class AnalysisProcessor(ProcessorABC):  # type: ignore[misc,unused-ignore]
    """Applies a configuration to events.

    Parameters
    ----------
    config
        The configuration.
    channels
        Names of the channels to fill; None for all that ``general.channels`` lets pass.
    """

    def __init__(self, config: Config, channels: Sequence[str] | None = None) -> None:
        self._config = config
        self._datasets = {dataset.name: dataset for dataset in config.selected_datasets()}
        self._channels = [
            one for one in config.selected_channels() if channels is None or one.name in channels
        ]
        self._reach = reach(config, self._channels)
        self._columns = {one.name: set(map(str, columns_of(config, one))) for one in self._channels}

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    def process(self, events: Any) -> DatasetSums:
        """Return the sums of events of a source file; see `sums`."""
        return self.sums(events)

    def sums(
        self,
        events: Any,
        *,
        part: SkimPart | None = None,
        on_skim: Callable[[Columns, DatasetSums], None] | None = None,
    ) -> DatasetSums:
        """Return the sums of the events.

        Parameters
        ----------
        events
            NanoEvents whose metadata hold ``dataset`` and, optionally, ``absent_triggers``.
        part
            The skim part that the events come from; they have passed lumi mask and skim then.
        on_skim
            Called with the columns that the skim leaves and the sums so far.

        Raises
        ------
        FunctorError
            If a user function raises or returns something that cannot be used.
        """
        dataset = self._datasets[events.metadata["dataset"]]
        absent = frozenset(events.metadata.get("absent_triggers", ()))
        columns = Columns(events, absent, positions=np.arange(len(events)))
        weights = _generator_weights(columns, dataset)
        if part is None:
            sums = _sums_before_cuts(columns, weights, dataset)
            columns, weights = self._preselect(columns, weights, dataset, sums.common)
            if on_skim is not None:
                on_skim(columns, sums)
        else:
            sums = _sums_of_part(part)
        self._note_absent(sums, absent)
        if len(columns):
            self._analyse(columns, weights, sums)
        else:
            self._fill_nothing(sums)
        return sums

    def nothing(self, part: SkimPart) -> DatasetSums:
        """Return the sums of a chunk of which the skim left no event, from its part."""
        sums = _sums_of_part(part)
        self._note_absent(sums, frozenset(part.absent_triggers))
        self._fill_nothing(sums)
        return sums

    def postprocess(self, accumulator: Any) -> Any:
        """Return the sums as they are."""
        return accumulator

    def _note_absent(self, sums: DatasetSums, absent: frozenset[str]) -> None:
        sums.absent_triggers = absent
        for channel in self._channels:
            sums.absent_of[channel.name] = absent & self._columns[channel.name]

    def _fill_nothing(self, sums: DatasetSums) -> None:
        for channel in self._channels:
            sums.channels[channel.name] = Cutflow()
            for observable in channel.observables if self._config.general.run_histogramming else ():
                axes = hist_axes(observable.all_axes())
                sums.histograms[channel.name, observable.name] = empty(axes)

    def _analyse(self, columns: Columns, weights: NDArray[np.float64], sums: DatasetSums) -> None:
        self._mask_objects(columns)
        if self._channels:
            columns, weights = _cut(
                columns, weights, self._config.baseline_selection, "baseline_selection", sums.common
            )
        for index in self._reach.ghosts:
            _add_ghost(columns, self._config.ghost_observables[index], f"ghost_observables.{index}")
        for channel in self._channels:
            self._fill_channel(channel, columns, weights, sums)

    def _preselect(
        self, columns: Columns, weights: NDArray[np.float64], dataset: Dataset, cutflow: Cutflow
    ) -> tuple[Columns, NDArray[np.float64]]:
        if dataset.lumi_mask is not None:
            runs, sections = (columns[ObjVar("event", name)] for name in ("run", "luminosityBlock"))
            good = cutflow.apply([("lumi mask", certified(dataset.lumi_mask, runs, sections))], weights)
            columns, weights = columns.select(good), weights[good]
        skim = self._config.preprocess.skimming.functor()
        if skim is None:
            return columns, weights
        result = columns.call(skim, "preprocess.skimming")
        if not _are_events(result):
            return _passing(columns, weights, result, "preprocess.skimming", cutflow)
        columns = columns.of_events(result)
        weights = _generator_weights(columns, dataset)
        cutflow.record("skimming", weights)
        return columns, weights

    def _mask_objects(self, columns: Columns) -> None:
        for index in self._reach.masks:
            mask, where = self._config.good_object_masks[index], f"good_object_masks.{index}"
            objects = columns[ObjVar(mask.collection)]
            columns.replace(mask.collection, objects[object_mask(columns.call(mask, where), objects, where)])

    def _fill_channel(
        self, channel: Channel, columns: Columns, weights: NDArray[np.float64], sums: DatasetSums
    ) -> None:
        where = f"channels.{channel.name}"
        cutflow = sums.channels[channel.name] = Cutflow()
        columns, weights = _cut(columns, weights, channel.selection, f"{where}.selection", cutflow)
        if not self._config.general.run_histogramming:
            return
        for observable in channel.observables:
            place = f"{where}.observables.{observable.name}"
            values = columns.call(observable, place)
            axes = hist_axes(observable.all_axes())
            sums.histograms[channel.name, observable.name] = fill(axes, values, weights, place)


def _sums_before_cuts(columns: Columns, weights: NDArray[np.float64], dataset: Dataset) -> DatasetSums:
    sums = DatasetSums(entries=len(weights), sumw=0.0 if dataset.is_data else float(np.sum(weights)))
    if dataset.is_data and {"run", "luminosityBlock"} <= set(columns.events.fields):
        sums.lumis = ranges_of(columns.events["run"], columns.events["luminosityBlock"])
    sums.common.record("all", weights)
    return sums


def _sums_of_part(part: SkimPart) -> DatasetSums:
    """Return what is known of a chunk from its skim part: everything up to the skim filter."""
    steps = {name: (entries, sumw) for name, entries, sumw in part.steps}
    return DatasetSums(part.stop - part.start, part.sumw, Cutflow(steps), lumis=part.lumis)


def _are_events(result: Any) -> bool:
    """Tell whether a skim function returned events, rather than a mask or named cuts."""
    return isinstance(result, ak.Array) and result.ndim == 1 and bool(result.fields)


def _generator_weights(columns: Columns, dataset: Dataset) -> NDArray[np.float64]:
    if dataset.weight_branch is None:
        return np.ones(len(columns))
    weights = np.asarray(columns[event_column(dataset.weight_branch)], dtype=np.float64)
    if wrong := int(np.count_nonzero(~np.isfinite(weights))):
        message = (
            f"dataset {dataset.name!r}: {wrong} of {len(weights)} values of {dataset.weight_branch} are not finite, and "
            "would spoil every sum they enter. Leave the file out, or name another weight_branch."
        )
        raise InputFileError(message)
    return weights


def _cut(
    columns: Columns, weights: NDArray[np.float64], functor: Functor | None, where: str, cutflow: Cutflow
) -> tuple[Columns, NDArray[np.float64]]:
    if functor is None:
        return columns, weights
    return _passing(columns, weights, columns.call(functor, where), where, cutflow)


def _passing(
    columns: Columns, weights: NDArray[np.float64], result: Any, where: str, cutflow: Cutflow
) -> tuple[Columns, NDArray[np.float64]]:
    passed = cutflow.apply(named_masks(result, len(weights), where), weights)
    if passed.all():
        return columns, weights
    return columns.select(passed), weights[passed]


def _add_ghost(columns: Columns, ghost: GhostObservable, where: str) -> None:
    result = columns.call(ghost, where)
    values = list(_ghost_values(result, ghost.names, where))
    columns.add(ghost.collection, ghost.names, values, where)


def _ghost_values(result: Any, names: list[str], where: str) -> Iterator[Any]:
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
