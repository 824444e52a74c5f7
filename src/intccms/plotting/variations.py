"""Pages that show every systematic source of an observable relative to nominal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError
from intccms.plotting.annotate import UNAPPROVED, add_notes, incomplete_text
from intccms.plotting.binning import Contents, contents
from intccms.plotting.options import apply_binning, data_processes
from intccms.plotting.style import checked_text, cms_style, new_figure
from intccms.schema.plotting import PlottingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["LARGEST", "draw_variations", "largest", "relative_variations", "variations_plot"]

UP, DOWN = "#bd1f01", "#3f90da"
COLUMNS = 4
BULK = 0.99
"""Part of the yield whose bins set the range of a panel."""
LARGEST = 40
"""Sources that are drawn: a panel takes a third of a second, and nobody looks at two hundred."""


def relative_variations(given: Contents, data_names: list[str]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the total simulation of every variation divided by nominal, by source and direction.

    Returns
    -------
    dict
        ``{source: {"up": ratio, "down": ratio}}``, shape ``(n_bins,)`` without flow; NaN where nominal is not
        positive.
    """
    totals, nominal = _simulation(given, data_names)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, total in zip(given.variations, totals, strict=True):
        source, _, direction = name.rpartition("_")
        if direction in {"up", "down"}:
            ratio = np.full_like(nominal, np.nan)
            np.divide(total, nominal, out=ratio, where=nominal > 0)
            found.setdefault(source, {})[direction] = ratio
    return found


def _simulation(given: Contents, data_names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the total simulation of all variations, shape ``(n_variations, n_bins)``, and nominally."""
    simulated = [i for i, name in enumerate(given.processes) if name not in data_names]
    totals = given.values[simulated].sum(axis=0)[:, 1:-1]
    return totals, totals[given.variations.index("nominal")] if simulated else np.zeros(totals.shape[1:])


def bulk(nominal: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the fullest bins, which together hold nearly all of the yield."""
    order = np.argsort(-nominal, kind="stable")
    before = np.cumsum(nominal[order]) - nominal[order]
    mask = np.zeros(len(nominal), dtype=bool)
    mask[order] = (before < BULK * np.sum(nominal)) & (nominal[order] > 0)
    return mask


def largest(
    ratios: dict[str, dict[str, NDArray[np.float64]]], number: int = LARGEST
) -> tuple[dict[str, dict[str, NDArray[np.float64]]], int]:
    """Return the sources that change most in any bin, in their order, and how many are left out."""
    if len(ratios) <= number:
        return ratios, 0

    def change(source: str) -> float:
        shifts = np.abs(np.stack(list(ratios[source].values())) - 1.0)
        return float(np.max(shifts, where=np.isfinite(shifts), initial=0.0))

    kept = set(sorted(ratios, key=change, reverse=True)[:number])
    return {source: one for source, one in ratios.items() if source in kept}, len(ratios) - number


def variations_plot(
    histogram: Any,
    *,
    plotting: PlottingConfig | None = None,
    report: Mapping[str, Any] | None = None,
    channel: str = "",
    observable: str | None = None,
) -> Figure:
    """Draw systematic sources of a 1-D histogram, a panel each, as ratios of the total simulation to nominal.

    Of more than `LARGEST` sources those are drawn that change most; the plot says how many it leaves out.

    Parameters
    ----------
    histogram, plotting, report, channel, observable
        As for `stack_plot`.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that pyplot does not know of.

    Raises
    ------
    ConfigError
        If the histogram is not 1-D or has no variations.
    """
    given = contents(histogram)
    if len(given.axes) != 1:
        message = f"cannot draw variations of a histogram with {len(given.axes)} axes: expected one."
        raise ConfigError(message)
    return draw_variations(
        given, plotting or PlottingConfig(), report, channel, observable or given.axes[0].name
    )


def draw_variations(
    given: Contents, plotting: PlottingConfig, report: Mapping[str, Any] | None, channel: str, observable: str
) -> Figure:
    """Draw contents that are already taken out of a 1-D histogram; see `variations_plot`."""
    given = apply_binning(given, plotting, channel, observable)
    data = data_processes(report, given.processes)
    ratios, filled = relative_variations(given, data), bulk(_simulation(given, data)[1])
    if not ratios:
        message = (
            f"observable {observable!r} of channel {channel!r} has no variations but {list(given.variations)}. "
            "Switch on general.run_systematics and fill again, or set plotting.variations to False."
        )
        raise ConfigError(message)
    ratios, left_out = largest(ratios)
    columns = min(COLUMNS, max(2, len(ratios)))
    rows = math.ceil(len(ratios) / columns)
    title = checked_text(given.axes[0].title, f"label of observable {observable!r}")
    with cms_style():
        figure, panels = _make_panels(rows, columns)
        for panel, (source, directions) in zip(panels.flat, ratios.items(), strict=False):
            _draw_source(panel, given.axes[0].edges, source, directions, filled)
        for panel in panels.flat[len(ratios) :]:
            panel.set_axis_off()
        for column in range(columns):  # the lowest panel of each column carries the axis
            lowest = panels[(len(ratios) - 1 - column) // columns, column] if column < len(ratios) else None
            if lowest is not None:
                lowest.tick_params(labelbottom=True)
                lowest.set_xlabel(title, fontsize=18)
        more = f"{left_out} sources with smaller effects not shown" if left_out else ""
        _write_headline(figure, plotting, channel, incomplete_text(report), more)
        handles = {line.get_label(): line for panel in panels.flat for line in panel.patches}
        figure.legend(
            handles.values(),
            handles,
            loc="upper right",
            bbox_to_anchor=(1.0, 1.0 - 0.1 / figure.get_figheight()),
            ncols=2,
            fontsize=18,
        )
        add_notes(panels[(len(ratios) - 1) // columns, 0], (report or {}).get("notes", []))
    return figure


def _make_panels(rows: int, columns: int) -> tuple[Figure, Any]:
    """Return a figure that grows with its panels, and the panels, shape ``(rows, columns)``."""
    width, height = 4.6 * columns, 3.4 * rows + 1.6
    figure = new_figure(width, height)
    figure.subplots_adjust(
        left=0.9 / width, right=0.99, bottom=0.8 / height, top=1 - 1.0 / height, hspace=0.42, wspace=0.3
    )
    return figure, figure.subplots(rows, columns, sharex=True, squeeze=False)


def _write_headline(
    figure: Figure, plotting: PlottingConfig, channel: str, warning: str, remark: str
) -> None:
    """Write CMS, the configured text, the channel, a warning and a remark in one line above all panels."""
    left, height = 0.9 / figure.get_figwidth(), 1.0 - 0.2 / figure.get_figheight()
    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    parts: list[tuple[str, dict[str, Any]]] = [
        ("CMS", {"fontweight": "bold", "fontsize": 28}),
        (
            " ".join(
                part
                for part in ("Simulation", UNAPPROVED if plotting.cms_label is None else plotting.cms_label)
                if part
            ),
            {"fontstyle": "italic", "fontsize": 21},
        ),
        (channel, {"fontweight": "bold", "fontsize": 20}),
        (warning, {"fontweight": "bold", "fontsize": 20, "color": UP}),
        (remark, {"fontsize": 16}),
    ]
    for text, style in parts:
        if text:
            artist = figure.text(left, height, text, ha="left", va="top", **style)
            left += (artist.get_window_extent(renderer).width / figure.dpi + 0.2) / figure.get_figwidth()


def _draw_source(
    panel: Any,
    edges: NDArray[np.float64],
    source: str,
    directions: dict[str, NDArray[np.float64]],
    filled: NDArray[np.bool_],
) -> None:
    """Draw one source; the range is symmetric about one."""
    for direction, color in (("up", UP), ("down", DOWN)):
        if direction in directions:
            panel.stairs(
                directions[direction], edges, baseline=None, color=color, linewidth=2, label=direction
            )
    panel.axhline(1.0, color="black", linewidth=1, linestyle="--")
    reach = _reach(np.stack(list(directions.values())), filled)
    panel.set_ylim(1.0 - reach, 1.0 + reach)
    panel.set_xlim(edges[0], edges[-1])
    panel.set_title(source, fontsize=17, loc="left", pad=8)
    panel.tick_params(labelsize=14)


def _reach(ratios: NDArray[np.float64], filled: NDArray[np.bool_]) -> float:
    """Return how far from one a panel reaches: to the largest shift, and never below a ratio of 0.

    A few events make shifts of any size in a nearly empty tail: such a shift is shown up to three times the largest one of
    the bins that hold the yield.
    """
    shifts = np.abs(ratios - 1.0)
    there = np.isfinite(shifts)
    largest_of_all = float(np.max(shifts, where=there, initial=0.0))
    of_bulk = float(np.max(shifts, where=there & filled, initial=0.0))
    return min(max(min(1.25 * largest_of_all, 3.0 * of_bulk), 0.01), 1.0)
