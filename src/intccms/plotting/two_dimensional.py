"""Pictures of 2-D observables, one process at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from intccms.errors import ConfigError
from intccms.plotting.annotate import add_notes, incomplete_text, label_cms
from intccms.plotting.binning import Contents, contents
from intccms.plotting.options import apply_binning, data_processes
from intccms.plotting.style import checked_text, cms_style, new_figure
from intccms.schema.explain import did_you_mean
from intccms.schema.plotting import PlottingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

__all__ = ["draw_2d", "plot_2d"]


def plot_2d(
    histogram: Any,
    process: str,
    *,
    plotting: PlottingConfig | None = None,
    report: Mapping[str, Any] | None = None,
    channel: str = "",
    observable: str = "",
    color_scale: Literal["linear", "log"] | None = None,
) -> Figure:
    """Draw the nominal yields of one process in a 2-D histogram as colours.

    Empty bins stay white; on a logarithmic scale, so do negative ones.

    Parameters
    ----------
    histogram
        An entry of ``output["histograms"][channel]`` with two axes besides ``process`` and ``variation``.
    process
        Which process.
    plotting, report
        As for `stack_plot`.
    channel, observable
        Names for the text on the plot and for options by observable.
    color_scale
        Default: logarithmic if ``plotting.y_scale`` is ``log``.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that pyplot does not know of.

    Raises
    ------
    ConfigError
        If the histogram is not 2-D, has no such process, or the options do not fit it.
    """
    plotting = plotting or PlottingConfig()
    given = contents(histogram)
    if len(given.axes) != 2:
        names = [axis.name for axis in given.axes]
        message = (
            f"cannot draw a histogram with the axes {names} in 2-D: expected two. Use stack_plot for one."
        )
        raise ConfigError(message)
    scale = color_scale or ("log" if plotting.y_scale == "log" else "linear")
    return draw_2d(given, process, plotting, report, channel, observable, scale)


def draw_2d(
    given: Contents,
    process: str,
    plotting: PlottingConfig,
    report: Mapping[str, Any] | None,
    channel: str,
    observable: str,
    color_scale: str,
) -> Figure:
    """Draw contents that are already taken out of a 2-D histogram; see `plot_2d`."""
    if process not in given.processes:
        message = (
            f"the histogram has no process {process!r}.{did_you_mean(process, given.processes)} "
            f"Known: {', '.join(given.processes) or 'none'}."
        )
        raise ConfigError(message)
    given = apply_binning(given, plotting, channel, observable)
    with_flow, _ = given.of(process)
    values = with_flow[1:-1, 1:-1]
    with cms_style():
        figure = new_figure(11.5, 10.0)
        figure.subplots_adjust(left=0.14, right=0.93, bottom=0.12, top=0.88)
        ax = figure.add_subplot()
        norm = _norm(values, color_scale)
        hidden = (values <= 0) if color_scale == "log" else (values == 0)
        mesh = ax.pcolormesh(
            given.axes[0].edges,
            given.axes[1].edges,
            np.ma.masked_array(values, hidden).T,
            norm=norm,
            cmap="RdBu_r" if norm.vmin is not None and norm.vmin < 0 else "viridis",
            rasterized=True,
        )
        bar = figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.06)
        bar.set_label("Events / bin", loc="top")
        where = f"label of observable {observable!r}"
        ax.set_xlabel(checked_text(given.axes[0].title, where))
        ax.set_ylabel(checked_text(given.axes[1].title, where))
        label_cms(ax, plotting, report, has_data=process in data_processes(report, given.processes))
        name = checked_text(plotting.labels.get(process, process), f"plotting.labels[{process!r}]")
        _title(ax, f"{channel}: {name}" if channel else name, incomplete_text(report))
        add_notes(ax, [*_flow_notes(with_flow, plotting), *(report or {}).get("notes", [])])
    return figure


def _norm(values: Any, color_scale: str) -> Normalize:
    """Return the colour scale; symmetric about zero where there are negative bins."""
    if color_scale == "log":
        positive = values[values > 0]
        if not len(positive):
            return LogNorm(0.1, 1.0)
        high = float(positive.max())
        low = max(float(positive.min()), high * 1e-8)
        return LogNorm(low if low < high else high / 10, high)
    extreme = float(np.abs(values).max(initial=0.0)) or 1.0
    return Normalize(-extreme if np.any(values < 0) else 0.0, extreme)


def _title(ax: Any, text: str, warning: str) -> None:
    """Write process and channel above the line with CMS, where no bin can be hidden."""
    ax.text(0.0, 1.075, text, transform=ax.transAxes, ha="left", va="bottom", fontsize=22, fontweight="bold")
    ax.text(
        1.0, 1.075, warning, transform=ax.transAxes, ha="right", va="bottom", fontsize=18, fontweight="bold",
        color="#bd1f01",
    )  # fmt: skip


def _flow_notes(with_flow: Any, plotting: PlottingConfig) -> list[str]:
    outside = float(with_flow.sum() - with_flow[1:-1, 1:-1].sum())
    # A difference of sums: what is left by rounding is no event.
    if plotting.flow == "none" or abs(outside) <= 1e-9 * float(np.abs(with_flow).sum()):
        return []
    return [f"Outside the plotted range: {outside:.4g} of {float(with_flow.sum()):.4g}"]
