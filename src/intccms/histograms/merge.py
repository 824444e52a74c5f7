"""From sums per dataset to histograms per process, scaled to cross-section and luminosity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hist
import numpy as np

from intccms.histograms.axes import hist_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from intccms.histograms.fill import Sums
    from intccms.schema.selection import Channel

__all__ = ["HistogramSet", "merge_processes", "to_datasets"]

NOMINAL = "nominal"


@dataclass(frozen=True)
class HistogramSet:
    """Histograms and unweighted entries of all channels and observables."""

    histograms: dict[str, dict[str, Any]]
    """channel -> observable -> ``hist.Hist`` (observable axes, process or dataset, variation), weight storage."""
    entries: dict[str, dict[str, Any]]
    """The same without the variation axis: unweighted nominal entries."""


def to_datasets(
    channels: Sequence[Channel],
    sums: Mapping[str, Mapping[tuple[str, str], Sums]],
    datasets: Sequence[str],
    facts: Mapping[str, Any] | None = None,
) -> HistogramSet:
    """Return the sums of each dataset as histograms, as they were filled: not scaled.

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
    return _book(channels, "dataset", {name: [(name, 1.0)] for name in datasets}, sums, facts)


def merge_processes(
    channels: Sequence[Channel],
    sums: Mapping[str, Mapping[tuple[str, str], Sums]],
    processes: Mapping[str, Iterable[str]],
    scale: Callable[[str], float],
    facts: Mapping[str, Any] | None = None,
) -> HistogramSet:
    """Return the datasets of each process added up, each scaled to its luminosity.

    Parameters
    ----------
    channels, sums
        As for `to_datasets`.
    processes
        process -> its datasets, in the order in which they are added.
    scale
        Factor of a dataset: ``xsec * lumi / sumw`` for simulation, 1 for data.
    facts
        Kept as ``metadata`` of each histogram: whether anything is missing in it.
    """
    parts = {process: [(name, scale(name)) for name in names] for process, names in processes.items()}
    return _book(channels, "process", parts, sums, facts)


def _book(
    channels: Sequence[Channel],
    category: str,
    parts: Mapping[str, Sequence[tuple[str, float]]],
    sums: Mapping[str, Mapping[tuple[str, str], Sums]],
    facts: Mapping[str, Any] | None,
) -> HistogramSet:
    histograms: dict[str, dict[str, Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for channel in channels:
        histograms[channel.name], entries[channel.name] = {}, {}
        for observable in channel.observables:
            axes = hist_axes(observable.all_axes())
            names = hist.axis.StrCategory(list(parts), name=category, label=category)
            variations = hist.axis.StrCategory([NOMINAL], name="variation", label="variation")
            kept = None if facts is None else dict(facts)
            weighted = hist.Hist(*axes, names, variations, storage=hist.storage.Weight(), metadata=kept)
            counted = hist.Hist(*axes, names, storage=hist.storage.Int64(), metadata=kept)
            for index, datasets in enumerate(parts.values()):
                for dataset, factor in datasets:
                    content = sums.get(dataset, {}).get((channel.name, observable.name))
                    if content is not None:
                        _add(weighted, counted, index, content, factor)
            histograms[channel.name][observable.name] = weighted
            entries[channel.name][observable.name] = counted
    return HistogramSet(histograms, entries)


def _add(weighted: Any, counted: Any, index: int, content: Sums, factor: float) -> None:
    view = weighted.view(flow=True)
    # a category axis keeps one overflow bin when it does not grow, after its names
    view["value"][..., index, 0] += content.sumw * factor
    view["variance"][..., index, 0] += content.sumw2 * (factor * factor)
    counted.view(flow=True)[..., index] += content.entries.astype(np.int64)
