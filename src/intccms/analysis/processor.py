"""One chunk: from events to small sums. A coffea processor on virtual arrays.

The steps: lumi mask and skim; cuts that no correction touches; object corrections, nominally and for every variation;
object masks, baseline, ghost observables, channels with their observables, in batches of variations. Only what reaches
the wanted channels is evaluated, and nothing where the skim leaves no event. Event weights are the generator weights
times the event corrections; cross-section, luminosity and sum of weights come in when datasets are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from intccms.analysis.batches import Batch
from intccms.analysis.columns import Columns
from intccms.analysis.layers import mask_objects
from intccms.analysis.results import DatasetSums
from intccms.analysis.tiling import Tiling, guarded
from intccms.errors import InputFileError
from intccms.histograms import empty, hist_axes
from intccms.metadata.lumis import ranges_of
from intccms.schema import Config, Dataset, Functor, ObjVar
from intccms.schema.reach import columns_of, reach
from intccms.selection import Cutflow, named_masks
from intccms.selection.lumimask import certified
from intccms.skimming.columns import event_column
from intccms.systematics.plan import SystematicsPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

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
        self._plans: dict[tuple[str, frozenset[str]], SystematicsPlan] = {}

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    def plan(self, dataset: str, absent: frozenset[str] = frozenset()) -> SystematicsPlan:
        """Return the variations of a dataset, for input that lacks columns of some corrections."""
        key = (dataset, absent)
        if key not in self._plans:
            self._plans[key] = SystematicsPlan(self._config, self._datasets[dataset], self._channels, absent)
        return self._plans[key]

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
            NanoEvents whose metadata hold ``dataset`` and, optionally, ``absent_triggers`` and
            ``absent_corrections``.
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
        absent = frozenset(events.metadata.get("absent_triggers", ())) - set(
            () if part is None else part.made
        )
        columns = Columns(events, absent, positions=np.arange(len(events)))
        weights = _generator_weights(columns, dataset)
        if part is None:
            sums = _sums_before_cuts(columns, weights, dataset)
            columns, weights = self._preselect(columns, weights, dataset, sums.common)
            if on_skim is not None:
                on_skim(columns, sums)
        else:
            sums = _sums_of_part(part)
        self._note_absent(sums, dataset, columns.absent)
        if len(columns):
            sums.absent_corrections = frozenset(events.metadata.get("absent_corrections", ()))
            self._analyse(columns, weights, sums, self.plan(dataset.name, sums.absent_corrections))
        else:
            self._fill_nothing(sums, dataset)
        return sums

    def nothing(self, dataset: str, part: SkimPart) -> DatasetSums:
        """Return the sums of a chunk of which the skim left no event, from its part."""
        sums = _sums_of_part(part)
        self._note_absent(sums, self._datasets[dataset], frozenset(part.absent_triggers) - set(part.made))
        self._fill_nothing(sums, self._datasets[dataset])
        return sums

    def postprocess(self, accumulator: Any) -> Any:
        """Return the sums as they are."""
        return accumulator

    def _note_absent(self, sums: DatasetSums, dataset: Dataset, absent: frozenset[str]) -> None:
        sums.absent_triggers = absent
        corrections = self.plan(dataset.name).corrections
        for channel in self._channels:
            used = map(str, columns_of(self._config, channel, corrections)) if absent else ()
            sums.absent_of[channel.name] = absent & set(used)

    def _fill_nothing(self, sums: DatasetSums, dataset: Dataset) -> None:
        plan = self.plan(dataset.name)
        for channel in self._channels:
            sums.channels[channel.name] = Cutflow()
            for observable in channel.observables if self._config.general.run_histogramming else ():
                axes = hist_axes(observable.all_axes())
                sums.histograms[channel.name, observable.name] = empty(axes, plan.of_channel(channel))

    def _analyse(
        self, columns: Columns, weights: NDArray[np.float64], sums: DatasetSums, plan: SystematicsPlan
    ) -> None:
        if not self._channels:
            return
        reached = reach(self._config, self._channels, plan.corrections)
        baseline = self._config.baseline_selection
        narrowed = guarded(columns, plan.targeted)
        for index in reached.masks:
            if index not in plan.corrects.masks:
                mask_objects(narrowed, self._config.good_object_masks[index], f"good_object_masks.{index}")
        if baseline is not None and not plan.corrects.baseline:
            passed = _passing(narrowed, weights, baseline, sums.common)
            columns, narrowed, weights = columns.select(passed), narrowed.select(passed), weights[passed]
        tiling = Tiling(plan, columns, narrowed, self._config.general.tile_rows)
        shared = tiling.shared()
        for index in reached.masks:
            if index in plan.corrects.masks - plan.touched.masks:
                mask_objects(shared, self._config.good_object_masks[index], f"good_object_masks.{index}")
        for number, (layers, rows) in enumerate(tiling.batches(shared)):
            batch = Batch(self._config, plan, layers, rows, weights, is_first=number == 0)
            batch.run(reached.masks, reached.ghosts, sums)
        tiling.finish(sums)
        for channel in self._channels:
            _put_in_order(sums, channel.name, plan.whole.of_channel(channel))

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
            passed = cutflow.apply(named_masks(result, len(weights), "preprocess.skimming"), weights)
            return (columns, weights) if passed.all() else (columns.select(passed), weights[passed])
        columns = columns.of_events(result)
        weights = _generator_weights(columns, dataset)
        cutflow.record("skimming", weights)
        return columns, weights


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


def _passing(
    columns: Columns, weights: NDArray[np.float64], functor: Functor, cutflow: Cutflow
) -> NDArray[np.bool_]:
    """Return which events pass the baseline selection."""
    where = "baseline_selection"
    return cutflow.apply(named_masks(columns.call(functor, where), len(columns), where), weights)


def _put_in_order(sums: DatasetSums, channel: str, variations: Sequence[str]) -> None:
    """Bring the variations of a channel's histograms into the order of the plan, whatever the batches were."""
    for (name, _), one in sums.histograms.items():
        if name == channel:
            one.varied = {variation: one.varied[variation] for variation in variations}
