"""Pictures of cutflows: how many events are left after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.plotting.annotate import add_header, add_notes, incomplete_text, label_cms
from intccms.plotting.options import data_processes
from intccms.plotting.style import checked_text, cms_style, new_figure, process_colors
from intccms.schema.plotting import PlottingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

__all__ = ["cutflow_plot"]


def cutflow_plot(
    cutflow: Mapping[str, Any],
    *,
    plotting: PlottingConfig | None = None,
    report: Mapping[str, Any] | None = None,
    channel: str = "",
) -> Figure:
    """Draw the normalised yields of all processes, and the data, after each step of a selection.

    Parameters
    ----------
    cutflow
        An entry of ``output["cutflow"]``: ``steps``, ``entries`` and ``weighted`` by process.
    plotting, report, channel
        As for `stack_plot`.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that pyplot does not know of. The vertical axis is logarithmic if anything is positive.
    """
    plotting = plotting or PlottingConfig()
    steps, weighted = list(cutflow["steps"]), cutflow["weighted"]
    data_names = data_processes(report, weighted)
    simulated = [process for process in weighted if process not in data_names]
    colors = process_colors(simulated, plotting.colors)
    simulated.sort(key=lambda process: -sum(weighted[process]))
    total = np.sum([np.zeros(len(steps)), *(weighted[process] for process in simulated)], axis=0)
    drawn = np.concatenate([total, *(weighted[process] for process in weighted)])
    positive = drawn[drawn > 0]
    with cms_style():
        figure = new_figure(max(10.0, 1.1 * len(steps) + 3.0), 10.0)
        figure.subplots_adjust(left=0.15, right=0.95, bottom=0.25, top=0.93)
        ax = figure.add_subplot()
        ax.set_xlim(0, max(len(steps), 1))
        if len(positive):
            ax.set_yscale("log", nonpositive="mask")
            ax.set_ylim(max(0.5 * positive.min(), positive.max() * 1e-8), positive.max() * 10)
        handles = _draw(ax, cutflow, simulated, data_names, plotting, colors)
        if len(simulated) > 1:
            handles["Total simulation"] = ax.stairs(
                total, np.arange(len(steps) + 1), baseline=None, color="black", linewidth=2, linestyle="--"
            )
        label_cms(ax, plotting, report, has_data=bool(data_names))
        top = float(positive.max()) if len(positive) else 1.0
        add_header(ax, channel, incomplete_text(report), list(handles.values()), list(handles), top=top * 1.3)
        ax.set_xticks(
            np.arange(len(steps)) + 0.5, steps, rotation=35, ha="right", rotation_mode="anchor", fontsize=17
        )
        ax.tick_params(axis="x", which="minor", bottom=False, top=False)
        ax.set_ylabel("Events")
        add_notes(ax, (report or {}).get("notes", []), below=_depth(ax))
    return figure


def _draw(
    ax: Any,
    cutflow: Mapping[str, Any],
    simulated: list[str],
    data_names: list[str],
    plotting: PlottingConfig,
    colors: dict[str, str],
) -> dict[str, Any]:
    """Draw a line per simulated process and points for data; return the handles of the legend."""
    edges = np.arange(len(cutflow["steps"]) + 1)
    handles: dict[str, Any] = {}
    for process in data_names:
        name = checked_text(
            plotting.labels.get(process, "Data" if len(data_names) == 1 else process), "plotting.labels"
        )
        counts = np.asarray(cutflow["weighted"][process], dtype=np.float64)
        color = plotting.colors.get(process, "black")
        handles[name] = ax.errorbar(
            edges[:-1] + 0.5,
            counts,
            yerr=np.sqrt(np.clip(counts, 0, None)),
            fmt="o",
            color=color,
            markersize=9,
            zorder=5,
        )
    for process in simulated:
        name = checked_text(plotting.labels.get(process, process), f"plotting.labels[{process!r}]")
        values = np.asarray(cutflow["weighted"][process], dtype=np.float64)
        handles[name] = ax.stairs(values, edges, baseline=None, color=colors[process], linewidth=3)
    return handles


def _depth(ax: Any) -> float:
    """Return how far the names of the steps reach below the usual place of the small print [points]."""
    renderer = ax.figure.canvas.get_renderer()
    lowest = min((label.get_window_extent(renderer).y0 for label in ax.get_xticklabels()), default=0.0)
    depth = (ax.get_window_extent().y0 - lowest) * 72.0 / ax.figure.dpi
    return max(float(depth) - 60.0, 0.0)
