"""The numbers that a stack plot shows: stacked yields, uncertainty band, signals, data and their ratio.

Draws nothing, so that every number on a plot can be tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from intccms.plotting.binning import Contents
    from intccms.schema.plotting import PlottingConfig

__all__ = ["StackNumbers", "poisson_errors", "stack_numbers", "stack_order", "systematic_shifts"]

Floats = NDArray[np.float64]

ZERO_COUNT_EXPECTED = 1.0  # an empty data bin is drawn only where simulation expects at least one event
SHOWN_FLOW_WIDTH = 0.05  # width of a drawn flow bin, as a fraction of the plotted range


@dataclass(frozen=True)
class StackNumbers:
    """Everything that a stack plot of a 1-D observable shows; arrays have one entry per drawn bin."""

    edges: Floats
    """Edges of the drawn bins, with those of drawn flow bins."""
    flow_bins: tuple[bool, bool]
    """Whether the first and the last drawn bin are under- and overflow."""
    processes: tuple[str, ...]
    """Stacked processes, the lowest first."""
    stacked: Floats
    """Yields of the stacked processes, shape ``(n_processes, n_bins)``."""
    down: Floats
    """Size of the band below the sum of the stack."""
    up: Floats
    """Size of the band above the sum of the stack."""
    has_systematics: bool
    """Whether the band holds more than the statistical uncertainty."""
    signals: dict[str, Floats]
    """Yields of signals, not scaled."""
    data: Floats | None
    """Data counts, or None without data."""
    data_down: Floats
    """Length of the error bars below the data (zeros without data)."""
    data_up: Floats
    """Length of the error bars above the data."""
    outside: dict[str, tuple[float, float]]
    """Sums below and above the drawn range, of ``simulation`` (``background`` if signals are drawn apart) and ``data``, as far as they are there."""

    @property
    def total(self) -> Floats:
        """Sum of the stack."""
        return np.asarray(self.stacked.sum(axis=0), dtype=np.float64)

    @property
    def has_ratio(self) -> bool:
        """Whether there is data and a stack to divide by."""
        return self.data is not None and bool(self.processes)

    @property
    def shown_data(self) -> NDArray[np.bool_]:
        """Mask of the bins in which the data point is drawn."""
        if self.data is None:
            return np.zeros(len(self.edges) - 1, dtype=bool)
        return np.asarray((self.data != 0) | (self.total >= ZERO_COUNT_EXPECTED), dtype=bool)

    def over_total(self, numbers: Floats) -> Floats:
        """Return numbers divided by the sum of the stack; NaN where that is not positive."""
        total = self.total
        result = np.full_like(total, np.nan)
        np.divide(numbers, total, out=result, where=total > 0)
        return result


def poisson_errors(values: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Return the lengths of the error bars of data, down and up, at 68.27 % coverage.

    Unweighted counts (variance equal to value) get the Garwood interval (F. Garwood, Biometrika 28 (1936)
    437), which for zero counts reaches up to 1.84. Weighted data get the square root of the variance.
    """
    from hist.intervals import poisson_interval

    counts = np.clip(values, 0.0, None)
    low, high = poisson_interval(counts)
    root = np.sqrt(np.clip(variances, 0.0, None))
    unweighted = np.isclose(values, variances) & (values >= 0)
    return np.where(unweighted, values - low, root), np.where(unweighted, high - values, root)


def stack_order(yields: dict[str, float], order: Sequence[str]) -> tuple[str, ...]:
    """Return the processes from the bottom up: those not in `order` by yield, then those in it."""
    others = sorted((name for name in yields if name not in order), key=lambda name: (yields[name], name))
    return (*others, *(name for name in order if name in yields))


def systematic_shifts(variations: dict[str, Floats], nominal: Floats) -> tuple[Floats, Floats]:
    """Return the sizes below and above nominal of all sources in quadrature.

    Parameters
    ----------
    variations
        Total yields by variation, ``{source}_up`` and ``{source}_down``.
    nominal
        Total nominal yields.

    Returns
    -------
    tuple
        Per bin and source, the lowest of (0, up - nominal, down - nominal) counts as downward and the highest
        as upward, so that a source that moves both ways in one direction is one-sided.
    """
    sources: dict[str, list[Floats]] = {}
    for name, yields in variations.items():
        sources.setdefault(name.removesuffix("_up").removesuffix("_down"), []).append(yields - nominal)
    down, up = np.zeros_like(nominal), np.zeros_like(nominal)
    for shifts in sources.values():
        both = np.stack([np.zeros_like(nominal), *shifts])
        down += both.min(axis=0) ** 2
        up += both.max(axis=0) ** 2
    return np.sqrt(down), np.sqrt(up)


def stack_numbers(given: Contents, plotting: PlottingConfig, data_names: Collection[str]) -> StackNumbers:
    """Return what a stack plot of a 1-D observable shows, for contents that are already in the plotted bins."""
    simulated = [name for name in given.processes if name not in data_names]
    sums = {name: float(given.of(name)[0].sum()) for name in simulated if name not in plotting.signals}
    stacked = stack_order(sums, plotting.order)
    signals = [name for name in plotting.signals if name in simulated]
    present = [name for name in given.processes if name in data_names]
    drawn, edges, flow_bins = _drawn_bins(given, plotting.flow)
    down, up, has_systematics = _band(drawn, stacked, plotting.band)
    data = _sum(drawn, present)
    data_down, data_up = poisson_errors(*data)
    outside = {}
    if plotting.flow in {"none", "hint"}:
        stack = "background" if signals else "simulation"
        for label, names in ((stack, stacked), ("data", tuple(present))):
            if names:
                values = _sum(given, names)[0]
                outside[label] = (float(values[0]), float(values[-1]))
    return StackNumbers(
        edges=edges,
        flow_bins=flow_bins,
        processes=stacked,
        stacked=np.array([drawn.of(name)[0] for name in stacked]).reshape(len(stacked), len(edges) - 1),
        down=down,
        up=up,
        has_systematics=has_systematics,
        signals={name: drawn.of(name)[0] for name in signals},
        data=data[0] if present else None,
        data_down=data_down,
        data_up=data_up,
        outside=outside,
    )


def _band(given: Contents, stacked: Sequence[str], kind: str) -> tuple[Floats, Floats, bool]:
    """Return the sizes of the band below and above the stack, and whether it holds systematic variations."""
    values, variances = _sum(given, stacked)
    statistical = np.sqrt(np.clip(variances, 0.0, None))
    names = [name for name in given.variations if name != "nominal"] if stacked and kind == "total" else []
    if not names:
        return statistical, statistical, False
    down, up = systematic_shifts({name: _sum(given, stacked, name)[0] for name in names}, values)
    return np.hypot(statistical, down), np.hypot(statistical, up), True


def _sum(given: Contents, names: Sequence[str], variation: str = "nominal") -> tuple[Floats, Floats]:
    """Return summed values and variances of some processes; zeros if there are none."""
    zeros = np.zeros(given.values.shape[2:])
    pairs = [given.of(name, variation) for name in names]
    values = np.sum([zeros, *(pair[0] for pair in pairs)], axis=0)
    return values, np.sum([zeros, *(pair[1] for pair in pairs)], axis=0)


def _drawn_bins(given: Contents, flow: str) -> tuple[Contents, Floats, tuple[bool, bool]]:
    """Return the contents with only the bins that are drawn, their edges, and which are flow bins."""
    edges = given.axes[0].edges
    below, above = False, False
    arrays = []
    if flow == "show":
        below, above = (bool(np.any(given.values[..., cell] != 0)) for cell in (0, -1))
    for array in (given.values, given.variances):
        inner = array[..., 1:-1].copy()
        if flow == "sum":
            inner[..., 0] += array[..., 0]
            inner[..., -1] += array[..., -1]
        parts = [array[..., :1]] * below + [inner] + [array[..., -1:]] * above
        arrays.append(np.concatenate(parts, axis=-1))
    width = SHOWN_FLOW_WIDTH * (edges[-1] - edges[0])
    edges = np.concatenate([[edges[0] - width] * below, edges, [edges[-1] + width] * above])
    return replace(given, values=arrays[0], variances=arrays[1]), edges, (below, above)
