"""The numbers of a histogram for plotting: flow kept, bins merged, ranges cut.

Works on plain arrays; draws nothing and knows no plot options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intccms.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Contents", "PlotAxis", "contents", "merge_indices", "range_indices"]

Floats = NDArray[np.float64]

CATEGORIES = ("process", "variation")


@dataclass(frozen=True)
class PlotAxis:
    """One axis of an observable."""

    name: str
    """Name of the axis."""
    title: str
    """Text for the plot, with the unit in brackets."""
    edges: Floats
    """Bin edges, shape ``(n_bins + 1,)``, in the unit of the axis."""

    @property
    def unit(self) -> str:
        """Unit of the axis, from the brackets that end its title; empty if there are none."""
        found = re.search(r"\[([^\[\]]+)\]\s*$", self.title)
        return found.group(1) if found else ""

    @property
    def bin_width(self) -> float | None:
        """Width of the bins, or None if they differ."""
        widths = np.diff(self.edges)
        return float(widths[0]) if np.allclose(widths, widths[0], rtol=1e-6, atol=0.0) else None


@dataclass(frozen=True)
class Contents:
    """Sums of weights and of squared weights of all processes and variations, with under- and overflow."""

    axes: tuple[PlotAxis, ...]
    """The axes of the observable."""
    processes: tuple[str, ...]
    """Names along the first dimension of the arrays."""
    variations: tuple[str, ...]
    """Names along the second dimension."""
    values: Floats
    """Shape ``(n_processes, n_variations, n_bins_1 + 2, ...)``; the first and last cell of an axis are flow."""
    variances: Floats
    """Sums of squared weights, same shape."""

    def of(self, process: str, variation: str = "nominal") -> tuple[Floats, Floats]:
        """Return values and variances of one process, flow included."""
        index = (self.processes.index(process), self.variations.index(variation))
        return self.values[index], self.variances[index]

    def keep_edges(self, axis: int, indices: Sequence[int] | NDArray[np.intp]) -> Contents:
        """Return the contents in coarser bins; what lies outside the kept edges goes to the flow cells.

        Parameters
        ----------
        axis
            Which axis of the observable.
        indices
            Increasing positions of the edges to keep, at least two.
        """
        starts = np.concatenate([[0], np.asarray(indices, dtype=np.intp) + 1])
        axes = list(self.axes)
        axes[axis] = replace(axes[axis], edges=axes[axis].edges[np.asarray(indices, dtype=np.intp)])
        return replace(
            self,
            axes=tuple(axes),
            values=np.add.reduceat(self.values, starts, axis=axis + 2),
            variances=np.add.reduceat(self.variances, starts, axis=axis + 2),
        )

    def project(self, axis: int) -> Contents:
        """Return the contents along one axis of the observable, summed over the others with their flow."""
        others = tuple(position + 2 for position in range(len(self.axes)) if position != axis)
        return replace(
            self,
            axes=(self.axes[axis],),
            values=self.values.sum(axis=others),
            variances=self.variances.sum(axis=others),
        )


def contents(histogram: Any) -> Contents:
    """Take the numbers out of a histogram.

    Parameters
    ----------
    histogram
        A ``hist.Hist`` with the axes of the observable, a category axis ``process`` and, optionally, one
        named ``variation``. Without the latter, everything counts as nominal.

    Raises
    ------
    ConfigError
        If there is no ``process`` axis, no axis of an observable, or no nominal variation.
    """
    names = [axis.name for axis in histogram.axes]
    own = [position for position, name in enumerate(names) if name not in CATEGORIES]
    if "process" not in names or not own:
        message = (
            f"cannot plot a histogram with the axes {names}: expected the axes of an observable and a category "
            "axis 'process'. Pass an entry of output['histograms'][channel]."
        )
        raise ConfigError(message)
    values = np.asarray(histogram.values(flow=True), dtype=np.float64)
    squares = histogram.variances(flow=True)
    variances = np.abs(values) if squares is None else np.asarray(squares, dtype=np.float64)
    processes = _categories(histogram, "process")
    variations: tuple[str, ...] = ("nominal",)
    order = [names.index("process"), *own]
    if "variation" in names:
        variations = _categories(histogram, "variation")
        order.insert(1, names.index("variation"))
    if processes and "nominal" not in variations:
        message = f"the variations of a histogram must contain 'nominal', not only {list(variations)}"
        raise ConfigError(message)
    arrays = [
        _arrange(array, histogram, order, len(processes), len(variations)) for array in (values, variances)
    ]
    axes = tuple(_plot_axis(histogram.axes[position]) for position in own)
    return Contents(axes, processes, variations, *arrays)


def _categories(histogram: Any, name: str) -> tuple[str, ...]:
    return tuple(str(item) for item in histogram.axes[name])


def _plot_axis(axis: Any) -> PlotAxis:
    return PlotAxis(axis.name, str(axis.label or axis.name), np.asarray(axis.edges, dtype=np.float64))


def _arrange(array: Floats, histogram: Any, order: list[int], n_processes: int, n_variations: int) -> Floats:
    """Return an array as (process, variation, bins with both flow cells, ...)."""
    for position, axis in enumerate(histogram.axes):
        if axis.name in CATEGORIES:
            continue
        pad = [(0, 0)] * array.ndim
        pad[position] = (int(not axis.traits.underflow), int(not axis.traits.overflow))
        array = np.pad(array, pad)
    array = array.transpose(order)
    if len(order) == len(histogram.axes) and "variation" not in [axis.name for axis in histogram.axes]:
        array = array[:, np.newaxis]
    return array[:n_processes, :n_variations]  # a category axis that does not grow has an overflow cell


def merge_indices(edges: Floats, option: int | Sequence[float], where: str) -> NDArray[np.intp]:
    """Return the positions of the edges that a rebinning keeps.

    Parameters
    ----------
    edges
        The stored edges.
    option
        How many bins to merge into one, or the edges wanted.
    where
        Name of the option, for the message.

    Raises
    ------
    ConfigError
        If the factor does not divide the number of bins, or an edge is not among the stored ones.
    """
    n_bins = len(edges) - 1
    stored = f"the stored binning has {n_bins} bins with the edges {_short(edges)}"
    if isinstance(option, int):
        if n_bins % option:
            message = (
                f"{where}: cannot merge {option} bins into one, {stored}. Give a divisor of {n_bins}: "
                f"{[factor for factor in range(1, n_bins + 1) if n_bins % factor == 0]}."
            )
            raise ConfigError(message)
        return np.arange(0, n_bins + 1, option)
    wanted = np.asarray(option, dtype=np.float64)
    nearest = np.abs(edges[np.newaxis, :] - wanted[:, np.newaxis]).argmin(axis=1)
    tolerance = 1e-6 * np.diff(edges).min()
    missing = wanted[np.abs(edges[nearest] - wanted) > tolerance]
    if len(missing):
        message = (
            f"{where}: the edges {_short(missing)} of {_short(wanted)} are not among the stored ones, {stored}. "
            "Choose edges from these, or change the binning of the observable and fill again."
        )
        raise ConfigError(message)
    return nearest.astype(np.intp)


def range_indices(edges: Floats, low: float, high: float, where: str) -> NDArray[np.intp]:
    """Return the positions of the edges of all bins that overlap a range.

    Raises
    ------
    ConfigError
        If the range lies outside the axis.
    """
    if high <= edges[0] or low >= edges[-1]:
        message = (
            f"{where}: the range ({low:g}, {high:g}) lies outside the axis, which goes from {edges[0]:g} to "
            f"{edges[-1]:g}."
        )
        raise ConfigError(message)
    first = max(int(np.searchsorted(edges, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(edges, high, side="left")), len(edges) - 1)
    return np.arange(first, last + 1)


def _short(numbers: Floats) -> str:
    texts = [f"{number:g}" for number in numbers]
    return f"[{', '.join(texts if len(texts) <= 12 else [*texts[:6], '...', *texts[-3:]])}]"
