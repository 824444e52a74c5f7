"""Stack plots of 1-D observables: simulation, its uncertainty, signals, data and their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from intccms.errors import ConfigError
from intccms.plotting.annotate import add_header, add_notes, incomplete_text, label_cms
from intccms.plotting.binning import Contents, PlotAxis, contents
from intccms.plotting.options import apply_binning, data_processes
from intccms.plotting.stack_numbers import StackNumbers, stack_numbers
from intccms.plotting.style import checked_text, cms_style, new_figure, process_colors
from intccms.schema.plotting import PlottingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_stack", "stack_plot"]

BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "#444444", "hatch": "////", "linewidth": 0.0}
LOG_DECADES = 8.0  # a logarithmic axis shows at most this many decades below the highest bin


def stack_plot(
    histogram: Any,
    *,
    plotting: PlottingConfig | None = None,
    report: Mapping[str, Any] | None = None,
    channel: str = "",
    observable: str | None = None,
    y_scale: Literal["linear", "log"] | None = None,
) -> Figure:
    """Draw a 1-D histogram as a stack of simulated processes with data on top, in the CMS style.

    Parameters
    ----------
    histogram
        An entry of ``output["histograms"][channel]``: axes of one observable, ``process``, ``variation``.
    plotting
        How plots look; default: as an empty ``plotting`` section.
    report
        ``output["report"]``: tells which processes are data, the luminosity [pb^-1] and what is missing.
        Without it, a process named ``data`` is data, and no luminosity is printed.
    channel, observable
        Names for the text on the plot and for options by observable; default of the latter: the axis name.
    y_scale
        Overrides the option of the same name.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that pyplot does not know of: it shows itself in notebooks and needs no closing.

    Raises
    ------
    ConfigError
        If the histogram is not 1-D or the options do not fit it.
    """
    plotting = plotting or PlottingConfig()
    given = contents(histogram)
    if len(given.axes) != 1:
        names = [axis.name for axis in given.axes]
        message = (
            f"cannot stack a histogram with the axes {names}: expected one axis besides process and variation. "
            "Use plot_2d, or project it first: histogram.project(axis, 'process', 'variation')."
        )
        raise ConfigError(message)
    scale = y_scale or ("log" if plotting.y_scale == "log" else "linear")
    return draw_stack(given, plotting, report, channel, observable or given.axes[0].name, scale)


def draw_stack(
    given: Contents,
    plotting: PlottingConfig,
    report: Mapping[str, Any] | None,
    channel: str,
    observable: str,
    y_scale: str,
) -> Figure:
    """Draw contents that are already taken out of a 1-D histogram; see `stack_plot`."""
    given = apply_binning(given, plotting, channel, observable)
    data_names = data_processes(report, given.processes)
    numbers = stack_numbers(given, plotting, data_names)
    colors = process_colors([name for name in given.processes if name not in data_names], plotting.colors)
    with cms_style():
        figure = new_figure()
        with_ratio = plotting.ratio and numbers.has_ratio
        main, ratio = _make_axes(figure, with_ratio=with_ratio)
        _set_range(main, numbers, plotting, y_scale)
        legend = _draw_main(main, numbers, plotting, colors, data_names)
        _mark_flow_bins(main, numbers)
        label_cms(main, plotting, report, has_data=numbers.data is not None)
        add_header(
            main,
            channel,
            incomplete_text(report),
            list(legend.values()),
            list(legend),
            top=_highest(numbers, plotting),
        )
        main.set_ylabel(_y_label(given.axes[0]))
        lowest = main
        if ratio is not None:
            _draw_ratio(ratio, numbers, plotting)
            main.tick_params(labelbottom=False)
            lowest = ratio
        lowest.set_xlabel(checked_text(given.axes[0].title, f"label of observable {observable!r}"))
        add_notes(lowest, [*_flow_notes(numbers, plotting), *(report or {}).get("notes", [])])
    return figure


def _make_axes(figure: Figure, *, with_ratio: bool) -> tuple[Axes, Axes | None]:
    figure.subplots_adjust(left=0.15, right=0.95, bottom=0.12, top=0.93)
    if not with_ratio:
        return figure.add_subplot(), None
    main, ratio = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1], gridspec_kw={"hspace": 0.09})
    return main, ratio


def _draw_main(
    ax: Axes, numbers: StackNumbers, plotting: PlottingConfig, colors: dict[str, str], data_names: list[str]
) -> dict[str, Any]:
    """Draw stack, band, signals and data; return the handles of the legend by their text, from the top."""

    def text(process: str) -> str:
        return checked_text(plotting.labels.get(process, process), f"plotting.labels[{process!r}]")

    legend: dict[str, Any] = {}
    base = np.zeros(len(numbers.edges) - 1)
    stack: dict[str, Any] = {}
    for process, yields in zip(numbers.processes, numbers.stacked, strict=True):
        # An edge in the colour of the filling closes the hairlines between bins in PDF viewers.
        stack[text(process)] = ax.stairs(
            base + yields, numbers.edges, baseline=base, fill=True, color=colors[process], linewidth=0.3
        )
        base = base + yields
    band = None
    if numbers.processes:
        low, high = base - numbers.down, base + numbers.up
        band = ax.stairs(high, numbers.edges, baseline=low, fill=True, zorder=3, **BAND)
    for process, yields in numbers.signals.items():
        factor = plotting.scale_of(process)
        name = text(process) if factor == 1.0 else rf"{text(process)} $\times$ {factor:g}"
        legend[name] = ax.stairs(
            yields * factor, numbers.edges, baseline=None, color=colors[process], linewidth=3, zorder=4
        )
    if numbers.data is not None:
        name, color = _data_look(plotting, data_names)
        shown = numbers.shown_data
        legend = {
            name: _points(
                ax, numbers, numbers.data, np.stack([numbers.data_down, numbers.data_up]), shown, color
            )
        } | legend
    legend |= dict(reversed(stack.items()))
    if band is not None:
        legend["Stat. + syst. unc." if numbers.has_systematics else "Stat. unc."] = band
    return legend


def _data_look(plotting: PlottingConfig, data_names: list[str]) -> tuple[str, str]:
    """Return text and colour of the data points; those of the first data process that has any configured."""
    label = next((plotting.labels[name] for name in data_names if name in plotting.labels), "Data")
    color = next((plotting.colors[name] for name in data_names if name in plotting.colors), "black")
    return checked_text(label, "plotting.labels of data"), color


def _points(ax: Axes, numbers: StackNumbers, values: Any, errors: Any, shown: Any, color: str) -> Any:
    centers = (numbers.edges[1:] + numbers.edges[:-1]) / 2
    return ax.errorbar(
        centers[shown],
        values[shown],
        yerr=errors[:, shown],
        fmt="o",
        color=color,
        markersize=8 if len(centers) <= 60 else 5,
        elinewidth=2 if len(centers) <= 60 else 1.2,
        zorder=5,
    )


def _highest(numbers: StackNumbers, plotting: PlottingConfig) -> float:
    """Return the highest point of what is drawn."""
    heights = [numbers.total + numbers.up]
    heights += [yields * plotting.scale_of(name) for name, yields in numbers.signals.items()]
    if numbers.data is not None:
        heights.append(np.where(numbers.shown_data, numbers.data + numbers.data_up, 0.0))
    top = float(np.max(heights))
    return top if top > 0 else 1.0


def _set_range(ax: Axes, numbers: StackNumbers, plotting: PlottingConfig, y_scale: str) -> None:
    """Set the lower ends of the axes; the upper end of the vertical one depends on the legend."""
    ax.set_xlim(numbers.edges[0], numbers.edges[-1])
    top = _highest(numbers, plotting)
    if y_scale == "log":
        drawn = np.concatenate(
            [numbers.total, *numbers.signals.values(), numbers.data if numbers.data is not None else []]
        )
        positive = drawn[drawn > 0]
        smallest = float(positive.min()) if len(positive) else 0.1 * top
        low = max(0.3 * smallest, top * 10.0**-LOG_DECADES)
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(low, max(top, low) * 10.0)
        return
    lowest = float(min(0.0, (numbers.total - numbers.down).min(), numbers.stacked.min(initial=0.0)))
    ax.set_ylim(1.1 * lowest, top)


def _mark_flow_bins(ax: Axes, numbers: StackNumbers) -> None:
    """Separate and name drawn under- and overflow bins."""
    for is_flow, edge, center, name in (
        (numbers.flow_bins[0], numbers.edges[1], numbers.edges[:2].mean(), "underflow"),
        (numbers.flow_bins[1], numbers.edges[-2], numbers.edges[-2:].mean(), "overflow"),
    ):
        if is_flow:
            ax.axvline(edge, ymax=0.5, color="#717581", linestyle="--", linewidth=1.2, zorder=6)
            ax.text(
                center,
                0.02,
                name,
                transform=ax.get_xaxis_transform(),
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=13,
                zorder=6,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
            )


def _draw_ratio(ax: Axes, numbers: StackNumbers, plotting: PlottingConfig) -> None:
    assert numbers.data is not None
    low, high = plotting.ratio_range
    ax.axhline(1.0, color="black", linewidth=1, linestyle="--")
    ratio = numbers.over_total(numbers.data)
    down, up = numbers.over_total(numbers.down), numbers.over_total(numbers.up)
    ax.stairs(
        np.nan_to_num(1.0 + up, nan=1.0),
        numbers.edges,
        baseline=np.nan_to_num(1.0 - down, nan=1.0),
        fill=True,
        **BAND,
    )
    errors = np.stack([numbers.over_total(numbers.data_down), numbers.over_total(numbers.data_up)])
    shown = numbers.shown_data & np.isfinite(ratio)
    _points(ax, numbers, ratio, errors, shown & (ratio >= low) & (ratio <= high), "black")
    centers = (numbers.edges[1:] + numbers.edges[:-1]) / 2
    for beyond, height, marker in ((ratio > high, 0.93, "^"), (ratio < low, 0.07, "v")):
        where = centers[shown & beyond]
        ax.plot(
            where,
            np.full(len(where), height),
            marker,
            color="black",
            markersize=9,
            transform=ax.get_xaxis_transform(),
        )
    ax.set_ylim(low, high)
    # signals are lines over the stack, not in it
    ax.set_ylabel("Data / Bkg." if plotting.signals else "Data / Sim.", loc="center", fontsize=22)


def _y_label(axis: PlotAxis) -> str:
    """Return what a bin counts: ``Events / 60 GeV``, or ``Events / bin`` where widths differ."""
    if axis.bin_width is None:
        return "Events / bin"
    return f"Events / {axis.bin_width:.4g} {axis.unit}".rstrip()


def _flow_notes(numbers: StackNumbers, plotting: PlottingConfig) -> list[str]:
    """Return a line on what lies outside the plotted range, if anything does."""
    if plotting.flow != "hint":
        return []
    parts = []
    for name, (below, above) in numbers.outside.items():
        sides = [f"{value:.4g} {side}" for value, side in ((below, "below"), (above, "above")) if value]
        if sides:
            parts.append(f"{name} {' and '.join(sides)}")
    return [f"Outside the plotted range: {'; '.join(parts)}"] if parts else []
