"""One chunk: from events to small sums. A coffea processor on virtual arrays.

The steps: lumi mask and skim, object masks, baseline, ghost observables, channels with their observables. Event
weights are the generator weights; cross-section, luminosity and sum of weights come in when datasets are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from intccms.analysis.columns import Columns
from intccms.analysis.results import DatasetSums
from intccms.errors import FunctorError, InputFileError
from intccms.histograms import fill, hist_axes
from intccms.schema import Config, Dataset, Functor, ObjVar
from intccms.selection import Cutflow, named_masks, object_mask
from intccms.selection.lumimask import certified
from intccms.skimming.columns import event_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from intccms.schema.selection import Channel, GhostObservable

__all__ = ["AnalysisProcessor"]


class AnalysisProcessor(ProcessorABC):  # type: ignore[misc,unused-ignore]
    """Applies a configuration to events.

    Parameters
    ----------
    config
        The configuration.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._datasets = {dataset.name: dataset for dataset in config.selected_datasets()}

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    def process(self, events: Any) -> DatasetSums:
        """Return the sums of the events.

        Parameters
        ----------
        events
            NanoEvents whose metadata hold ``dataset`` and, optionally, ``absent_triggers``.

        Raises
        ------
        FunctorError
            If a user function raises or returns something that cannot be used.
        """
        dataset = self._datasets[events.metadata["dataset"]]
        absent = frozenset(events.metadata.get("absent_triggers", ()))
        columns = Columns(events, absent)
        weights = _generator_weights(columns, dataset)
        sums = DatasetSums(entries=len(weights), sumw=0.0 if dataset.is_data else float(np.sum(weights)))
        sums.absent_triggers = absent
        sums.common.record("all", weights)
        columns, weights = self._preselect(columns, weights, dataset, sums.common)
        self._mask_objects(columns)
        columns, weights = _cut(
            columns, weights, self._config.baseline_selection, "baseline_selection", sums.common
        )
        for index, ghost in enumerate(self._config.ghost_observables):
            _add_ghost(columns, ghost, f"ghost_observables.{index}")
        for channel in self._config.selected_channels():
            self._fill_channel(channel, columns, weights, sums)
        return sums

    def postprocess(self, accumulator: Any) -> Any:
        """Return the sums as they are."""
        return accumulator

    def _preselect(
        self, columns: Columns, weights: NDArray[np.float64], dataset: Dataset, cutflow: Cutflow
    ) -> tuple[Columns, NDArray[np.float64]]:
        if dataset.lumi_mask is not None:
            runs, sections = (columns[ObjVar("event", name)] for name in ("run", "luminosityBlock"))
            good = cutflow.apply([("lumi mask", certified(dataset.lumi_mask, runs, sections))], weights)
            columns, weights = columns.select(good), weights[good]
        return _cut(
            columns, weights, self._config.preprocess.skimming.functor(), "preprocess.skimming", cutflow
        )

    def _mask_objects(self, columns: Columns) -> None:
        for index, mask in enumerate(self._config.good_object_masks):
            where = f"good_object_masks.{index}"
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
    passed = cutflow.apply(named_masks(columns.call(functor, where), len(weights), where), weights)
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
