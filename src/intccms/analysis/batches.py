"""One batch of variations of a chunk: the cuts, channels and histograms of rows of events, nominal rows among them.

The first batch also gives what is nominal: cutflows, entries, and the histograms of all variations of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.histograms import fill_candidates, hist_axes, sums_by_variation
from intccms.selection import Cutflow
from intccms.systematics.weights import nominal_factors, object_variation_weights, weight_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from intccms.analysis.layers import Layers
    from intccms.analysis.results import DatasetSums
    from intccms.histograms import Candidates, Sums
    from intccms.schema import Config, Functor
    from intccms.schema.selection import Channel
    from intccms.systematics.plan import SystematicsPlan
    from intccms.systematics.tile import Rows

__all__ = ["Batch"]


@dataclass
class Batch:
    """Fills histograms of some variations of objects."""

    config: Config
    plan: SystematicsPlan
    layers: Layers
    """All rows, as objects were corrected and what is the same in all of them was masked."""
    rows: Rows
    """Which row each event of each variation is; the nominal rows come first."""
    weights: NDArray[np.float64]
    """Generator weights of the events."""
    is_first: bool

    def run(self, masks: Sequence[int], ghosts: Sequence[int], sums: DatasetSums) -> None:
        """Add what the batch fills to the sums.

        Parameters
        ----------
        masks, ghosts
            Object masks and ghost observables that reach the channels, by position.
        sums
            Cutflows and histograms of the chunk.
        """
        touched, config, layers = self.plan.touched, self.config, self.layers
        for index in masks:
            if index in touched.masks:
                layers.mask_objects(config.good_object_masks[index], f"good_object_masks.{index}")
        if self.plan.corrects.baseline:  # else it was applied before objects were corrected
            functor = config.baseline_selection
            layers = self._cut(layers, functor, "baseline_selection", sums.common, touched=touched.baseline)
        for index in ghosts:
            layers.add_ghost(
                config.ghost_observables[index], f"ghost_observables.{index}", touched=index in touched.ghosts
            )
        selected = {channel.name: self._select(channel, layers, sums) for channel in self.plan.channels}
        if config.general.run_histogramming and any(channel.observables for channel in self.plan.channels):
            weights = _Weights(self, _union(layers, list(selected.values())))
            for channel in self.plan.channels:
                filling = _Filling(self, channel, selected[channel.name], weights)
                if self.is_first and self.plan.weights:
                    sums.channels[channel.name].record("event corrections", filling.nominal_weights())
                filling.run(sums)

    def _select(self, channel: Channel, layers: Layers, sums: DatasetSums) -> Layers:
        cutflow = Cutflow()
        where = f"channels.{channel.name}.selection"
        touched = channel.name in self.plan.touched.selections
        selected = self._cut(layers, channel.selection, where, cutflow, touched=touched)
        if self.is_first:
            sums.channels[channel.name] = cutflow
        return selected

    def _cut(
        self, layers: Layers, functor: Functor | None, where: str, cutflow: Cutflow, *, touched: bool
    ) -> Layers:
        if functor is None:
            return layers
        masks = layers.masks(functor, where, touched=touched)
        if self.is_first:
            nominal = layers.origin < self.n_events
            events = self.weights[layers.origin[nominal]]
            cutflow.apply([(name, mask[nominal]) for name, mask in masks], events)
        passed = np.ones(len(layers), dtype=bool)
        for _, mask in masks:
            passed &= mask
        return layers.select(passed)

    @property
    def n_events(self) -> int:
        """Number of events, which is that of the nominal rows."""
        return len(self.weights)

    @cached_property
    def variations(self) -> list[str]:
        """The variations of objects in the batch."""
        return list(self.rows.of_variation)


def _union(layers: Layers, selected: Sequence[Layers]) -> Layers:
    """Return the rows that are in one channel at least."""
    if not selected:
        return layers
    origins = np.unique(np.concatenate([one.origin for one in selected]))
    return layers.select(np.isin(layers.origin, origins))


class _Weights:
    """Weights of the rows that are in any channel."""

    def __init__(self, batch: Batch, layers: Layers) -> None:
        self._batch, self._layers = batch, layers
        self._plan = batch.plan
        self._generator = batch.weights[batch.rows.event[layers.origin]]
        self._position = layers.where_is(len(batch.rows.event))
        shared = nominal_factors(
            self._plan,
            lambda touched: layers.tiled if touched and layers.tiled is not None else layers.shared,
        )
        self._factors = {
            name: values
            if name in self._plan.touched.weights and layers.tiled is not None
            else values[layers.rows]
            for name, values in shared.items()
        }

    @cached_property
    def nominal(self) -> NDArray[np.float64]:
        """Weights of nominal events, shape ``(n_events_left, 1 + n_weight_variations)``."""
        rows = self._nominal_rows
        factors = {name: values[rows] for name, values in self._factors.items()}
        return weight_block(
            self._plan,
            self._generator[rows],
            factors,
            lambda touched: self._layers.take(rows, touched=touched),
        )

    @cached_property
    def _nominal_rows(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._layers.origin < self._batch.n_events)

    def of_nominal(self, origin: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the block of some nominal rows."""
        positions = np.searchsorted(self._layers.origin[self._nominal_rows], origin)
        return self.nominal if len(positions) == len(self.nominal) else self.nominal[positions]

    @cached_property
    def of_variations(self) -> NDArray[np.float64]:
        """Weights of each event in each variation of objects, shape ``(n_variations, n_events)``; else NaN."""
        batch = self._batch
        found = np.full((len(batch.variations), batch.n_events), np.nan)
        rows, events = {}, {}
        for name in batch.variations:
            position = self._position[batch.rows.of_variation[name]]
            events[name] = np.flatnonzero(position >= 0)
            rows[name] = position[events[name]]
        weights = object_variation_weights(
            self._plan,
            self._generator,
            self._factors,
            rows,
            lambda index, touched: self._layers.take(index, touched=touched),
        )
        for index, name in enumerate(batch.variations):
            found[index, events[name]] = weights[name]
        return found


class _Filling:
    """Fills the histograms of one channel."""

    def __init__(self, batch: Batch, channel: Channel, layers: Layers, weights: _Weights) -> None:
        self._batch, self._channel, self._layers, self._weights = batch, channel, layers, weights
        names = batch.plan.of_channel(channel)
        self._of_weights = [name for name in names if name in batch.plan.weight_variations]
        self._of_objects = [name for name in batch.variations if name in set(names)]

    def run(self, sums: DatasetSums) -> None:
        """Add to the sums."""
        batch, channel = self._batch, self._channel
        for observable in channel.observables:
            place = f"channels.{channel.name}.observables.{observable.name}"
            axes = hist_axes(observable.all_axes())
            touched = (channel.name, observable.name) in batch.plan.touched.observables
            found = self._layers.candidates(observable, axes, place, touched=touched)
            key = (channel.name, observable.name)
            if batch.is_first:
                sums.histograms[key] = self._fill_nominal(axes, found)
            self._fill_objects(found, sums.histograms[key])

    def nominal_weights(self) -> NDArray[np.float64]:
        """Return the weights of the nominal events of the channel."""
        origin = self._layers.origin
        return self._weights.of_nominal(origin[origin < self._batch.n_events])[:, 0]

    def _fill_nominal(self, axes: Sequence[Any], found: Candidates) -> Sums:
        rows = np.flatnonzero(self._layers.origin < self._batch.n_events)
        block = self._weights.of_nominal(self._layers.origin[rows])
        everything = len(rows) == len(self._layers)
        return fill_candidates(axes, found, block, self._of_weights, None if everything else rows)

    def _fill_objects(self, found: Candidates, sums: Sums) -> None:
        if not self._of_objects:
            return
        shape, size = sums.sumw.shape, sums.sumw.size
        rows, variation, weights = self._events_of_variations
        sumw, sumw2 = sums_by_variation(found, rows, variation, weights, len(self._of_objects), size)
        for index, name in enumerate(self._of_objects):
            sums.varied[name] = (sumw[index].reshape(shape), sumw2[index].reshape(shape))

    @cached_property
    def _events_of_variations(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Row, variation and weight of every event that is in the channel, variation by variation."""
        batch = self._batch
        position = self._layers.where_is(len(batch.rows.event))
        places = np.stack([position[batch.rows.of_variation[name]] for name in self._of_objects])
        variation, event = np.nonzero(places >= 0)
        index = {name: number for number, name in enumerate(batch.variations)}
        number = np.array([index[name] for name in self._of_objects])
        weights = self._weights.of_variations[number[variation], event]
        return places[variation, event], variation, weights
