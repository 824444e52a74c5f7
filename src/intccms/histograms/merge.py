"""From sums per dataset to histograms per process, scaled to cross-section and luminosity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hist
import numpy as np

from intccms.histograms.axes import hist_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from intccms.histograms.fill import Sums
    from intccms.histograms.members import MemberSet
    from intccms.schema.selection import Channel, Observable

__all__ = ["HistogramSet", "Scale", "merge_processes", "to_datasets"]

NOMINAL = "nominal"


@dataclass(frozen=True)
class HistogramSet:
    """Histograms and unweighted entries of all channels and observables."""

    histograms: dict[str, dict[str, Any]]
    """channel -> observable -> ``hist.Hist`` (observable axes, process or dataset, variation), weight storage."""
    entries: dict[str, dict[str, Any]]
    """The same without the variation axis: unweighted nominal entries."""


@dataclass(frozen=True)
class Scale:
    """How a dataset counts in its process."""

    factor: float
    """``xsec * lumi / sumw`` for simulation, 1 for data."""
    variations: Mapping[str, float] = field(default_factory=dict)
    """Variations that are scaled by another factor, because they have a sum of weights of their own."""
    yields: Mapping[str, float] = field(default_factory=dict)
    """Variations of the yield: the nominal content counts so many times."""
    is_data: bool = False
    """Data have nominal content only."""

    def of(self, variation: str) -> float:
        """Return the factor of a variation that was filled."""
        return self.variations.get(variation, self.factor)


def to_datasets(
    channels: Sequence[Channel],
    sums: Mapping[str, Mapping[tuple[str, str], Sums]],
    datasets: Sequence[str],
    facts: Mapping[str, Any] | None = None,
) -> HistogramSet:
    """Return the sums of each dataset as histograms, as they were filled: not scaled.

    A variation that a dataset did not fill is empty; ``metadata["filled"]`` says what each dataset filled.

    Parameters
    ----------
    channels
        The channels with their observables.
    sums
        dataset -> (channel, observable) -> content.
    datasets
        Names on the category axis, whether or not anything was filled for them.
    facts
        Kept as ``metadata`` of each histogram.
    """
    histograms: dict[str, dict[str, Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for channel in channels:
        booked = _Book(channel, "dataset", list(datasets), _variations(channel, sums.values()), facts)
        for observable in channel.observables:
            contents = {name: sums.get(name, {}).get((channel.name, observable.name)) for name in datasets}
            weighted, counted = booked.book(observable)
            for index, one in enumerate(contents.values()):
                if one is not None:
                    for variation, (sumw, sumw2) in [(NOMINAL, (one.sumw, one.sumw2)), *one.varied.items()]:
                        booked.add(weighted, index, variation, sumw, sumw2, 1.0)
                    counted.view(flow=True)[..., index] += one.entries.astype(np.int64)
            filled = {name: [NOMINAL, *one.varied] for name, one in contents.items() if one is not None}
            weighted.metadata = {**(weighted.metadata or {}), "filled": filled}
            histograms.setdefault(channel.name, {})[observable.name] = weighted
            entries.setdefault(channel.name, {})[observable.name] = counted
        histograms.setdefault(channel.name, {})
        entries.setdefault(channel.name, {})
    return HistogramSet(histograms, entries)


def merge_processes(
    channels: Sequence[Channel],
    sums: Mapping[str, Mapping[tuple[str, str], Sums]],
    processes: Mapping[str, Iterable[str]],
    scale: Callable[[str], float | Scale],
    facts: Mapping[str, Any] | None = None,
    *,
    sets: Sequence[MemberSet] = (),
    variations: Mapping[str, Sequence[str]] | None = None,
) -> HistogramSet:
    """Return the datasets of each process added up, each scaled to its luminosity.

    A variation that a dataset did not fill, because it belongs to another year or does not apply to it, counts as the
    nominal content of that dataset, value and variance. Data have nominal content only.

    Parameters
    ----------
    channels, sums
        As for `to_datasets`.
    processes
        process -> its datasets, in the order in which they are added.
    scale
        How a dataset counts; a number is its factor in all variations.
    facts
        Kept as ``metadata`` of each histogram: whether anything is missing in it.
    sets
        Sets of members, each of which is made one source with up and down.
    variations
        channel -> variations that there should be, also where no dataset could fill them; default: those filled.
    """
    scales = {name: _as_scale(scale(name)) for names in processes.values() for name in names}
    histograms: dict[str, dict[str, Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for channel in channels:
        names = list(
            dict.fromkeys([*(variations or {}).get(channel.name, ()), *_variations(channel, sums.values())])
        )
        of_yields = [name for one in scales.values() for name in one.yields]
        combined = [name for one in sets for name in one.combined if set(one.members) <= set(names)]
        all_names = list(dict.fromkeys([*names, *of_yields, *combined]))
        booked = _Book(channel, "process", list(processes), all_names, facts)
        for observable in channel.observables:
            weighted, counted = booked.book(observable)
            for index, datasets in enumerate(processes.values()):
                for dataset in datasets:
                    one = sums.get(dataset, {}).get((channel.name, observable.name))
                    if one is not None:
                        booked.add_scaled(weighted, index, one, scales[dataset])
                        counted.view(flow=True)[..., index] += one.entries.astype(np.int64)
                if not all(scales[dataset].is_data for dataset in datasets):
                    booked.combine(weighted, index, sets)
            histograms.setdefault(channel.name, {})[observable.name] = weighted
            entries.setdefault(channel.name, {})[observable.name] = counted
        histograms.setdefault(channel.name, {})
        entries.setdefault(channel.name, {})
    return HistogramSet(histograms, entries)


def _as_scale(scale: float | Scale) -> Scale:
    return scale if isinstance(scale, Scale) else Scale(scale)


def _variations(channel: Channel, sums: Iterable[Mapping[tuple[str, str], Sums]]) -> list[str]:
    """Return the variations that any dataset filled in a channel, in order."""
    found: dict[str, None] = {}
    for one in sums:
        for observable in channel.observables:
            content = one.get((channel.name, observable.name))
            if content is not None:
                found |= dict.fromkeys(content.varied)
    return list(found)


class _Book:
    """Makes and fills the histograms of one channel."""

    def __init__(
        self,
        channel: Channel,
        category: str,
        names: Sequence[str],
        variations: Sequence[str],
        facts: Mapping[str, Any] | None,
    ) -> None:
        self._channel, self._category, self._names, self._facts = channel, category, names, facts
        self._positions = {name: index for index, name in enumerate([NOMINAL, *variations])}

    def book(self, observable: Observable) -> tuple[Any, Any]:
        """Return an empty histogram of weights, and one of entries."""
        axes = hist_axes(observable.all_axes())
        category = hist.axis.StrCategory(list(self._names), name=self._category, label=self._category)
        variations = hist.axis.StrCategory(list(self._positions), name="variation", label="variation")
        kept = None if self._facts is None else dict(self._facts)
        weighted = hist.Hist(*axes, category, variations, storage=hist.storage.Weight(), metadata=kept)
        counted = hist.Hist(*axes, category, storage=hist.storage.Int64(), metadata=kept)
        return weighted, counted

    def add(self, weighted: Any, index: int, variation: str, sumw: Any, sumw2: Any, factor: float) -> None:
        """Add content to one category and variation."""
        view = weighted.view(flow=True)
        # a category axis keeps one overflow bin when it does not grow, after its names
        view["value"][..., index, self._positions[variation]] += sumw * factor
        view["variance"][..., index, self._positions[variation]] += sumw2 * (factor * factor)

    def add_scaled(self, weighted: Any, index: int, sums: Sums, scale: Scale) -> None:
        """Add a dataset to a process: what it filled, and nominal content for what it did not."""
        self.add(weighted, index, NOMINAL, sums.sumw, sums.sumw2, scale.factor)
        for variation in self._positions:
            if variation == NOMINAL or scale.is_data:
                continue
            if variation in sums.varied:
                self.add(weighted, index, variation, *sums.varied[variation], scale.of(variation))
            else:
                factor = scale.factor * scale.yields.get(variation, 1.0)
                self.add(weighted, index, variation, sums.sumw, sums.sumw2, factor)

    def combine(self, weighted: Any, index: int, sets: Sequence[MemberSet]) -> None:
        """Make up and down of the members of each set, for one process."""
        view = weighted.view(flow=True)
        contents = {
            name: (view["value"][..., index, position], view["variance"][..., index, position])
            for name, position in self._positions.items()
        }
        for one in sets:
            if not set(one.members) <= self._positions.keys():
                continue
            made = one.combine(contents[NOMINAL], [contents[name] for name in one.members])
            for name, (value, variance) in zip(one.combined, made, strict=True):
                view["value"][..., index, self._positions[name]] = value
                view["variance"][..., index, self._positions[name]] = variance
