"""Texts on plots: the CMS line, the legend with room for it, and the small print.

Places texts so that they never lie over data, whatever their number and length.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import mplhep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from intccms.schema.plotting import PlottingConfig

__all__ = ["add_header", "add_notes", "incomplete_text", "label_cms", "lumi_text"]

HEADER_SIZE = 21  # points
NOTE_SIZE = 13
LEGEND_SIZES = (20, 18, 16, 14, 12, 10, 8, 6)
LEGEND_HEIGHT = 0.34  # of the axes, at most
TOP_MARGIN = 0.02
MAX_NOTES = 4


def lumi_text(report: Mapping[str, Any] | None) -> str | None:
    """Return the integrated luminosity of all years in fb^-1 as it is printed, or None if it is not known."""
    lumi = (report or {}).get("lumi") or {}
    total = sum(lumi.values()) / 1000.0  # pb^-1 to fb^-1
    if total <= 0:
        return None
    decimals = max(0, 2 - math.floor(math.log10(total)))  # three digits
    return f"{total:.{decimals}f}"


UNAPPROVED = "Private work"
"""What stands beside CMS unless the configuration says otherwise: no plot looks approved by default."""


def incomplete_text(report: Mapping[str, Any] | None) -> str:
    """Return the warning for histograms that lack part of the input, or an empty text."""
    if report is None or report.get("complete", True):
        return ""
    coverage = report.get("coverage")
    if coverage is None:
        return "INCOMPLETE"
    of = " in the worst dataset" if len(report.get("datasets", ())) > 1 else ""
    # Rounded down: 99.99 % must not read as 100 %.
    return f"INCOMPLETE: {math.floor(coverage * 1000) / 10:.1f} % of events{of}"


def label_cms(
    ax: Axes, plotting: PlottingConfig, report: Mapping[str, Any] | None, *, has_data: bool
) -> None:
    """Write the line above the axes: CMS, the configured text, luminosity and energy."""
    own = UNAPPROVED if plotting.cms_label is None else plotting.cms_label
    text = " ".join(part for part in ("" if has_data else "Simulation", own) if part)
    # mplhep's own room for the power of ten asks pyplot for a figure, which would open one.
    mplhep.cms.label(
        text,
        data=True,
        lumi=lumi_text(report),
        com=f"{plotting.com:g}",
        loc=0,
        ax=ax,
        fontsize=24,
        scilocator_adjust=False,
    )
    ax.yaxis.get_offset_text().set(horizontalalignment="right", x=-0.02)


def add_header(
    ax: Axes, text: str, warning: str, handles: Sequence[Any], labels: Sequence[str], *, top: float
) -> None:
    """Write the channel and the legend into the axes, and raise the vertical range until data lie below them.

    Parameters
    ----------
    ax
        Axes with everything drawn; the lower end of its vertical range stays.
    text
        Name of the channel.
    warning
        A warning for incomplete histograms, or an empty text.
    handles, labels
        What the legend shows.
    top
        Highest point of what is drawn, in the unit of the axis.
    """
    widest, position = _write_header(ax, [(text, "black"), (warning, "#bd1f01")])
    used = 1.0 - position
    if handles:
        used = max(used, _add_legend(ax, handles, labels, beside=widest, below=position))
    _raise_range(ax, top, used + 0.03)


def _write_header(ax: Axes, parts: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Write texts of given colours side by side, or in lines where too wide; return width and lower end."""
    left, widest, position, bottom = 0.03, 0.0, 1.0 - TOP_MARGIN, 1.0 - TOP_MARGIN
    for line, color in parts:
        if not line:
            continue
        artist = ax.text(
            left,
            position,
            line,
            transform=ax.transAxes,
            ha="left",
            va="top",
            fontsize=HEADER_SIZE,
            fontweight="bold",
            color=color,
        )
        _shrink(ax, artist, 0.94)
        width, height = _size(ax, artist)
        if left + width > 0.97:
            left, position = 0.03, bottom
            artist.set_position((left, position))
        left, widest, bottom = (
            left + width + 0.03,
            max(widest, left + width - 0.03),
            position - height - 0.012,
        )
    return widest, bottom


def _add_legend(
    ax: Axes, handles: Sequence[Any], labels: Sequence[str], *, beside: float, below: float
) -> float:
    """Add the legend in the largest letters that fit; return how much of the height is used from the top."""
    style = {
        "borderpad": 0.2,
        "labelspacing": 0.3,
        "columnspacing": 1.2,
        "handletextpad": 0.5,
        "borderaxespad": 0.0,
    }
    for size in LEGEND_SIZES:
        for columns in (1, 2, 3, 4):
            if columns > len(handles):
                break
            legend = ax.legend(
                handles,
                labels,
                ncols=columns,
                fontsize=size,
                loc="upper right",
                bbox_to_anchor=(0.98, 1.0 - TOP_MARGIN),
                **style,
            )
            width, height = _size(ax, legend)
            smallest = size == LEGEND_SIZES[-1] and columns == min(4, len(handles))
            if (width <= 0.95 and height <= LEGEND_HEIGHT) or smallest:
                if width + beside + 0.06 <= 0.98:
                    return height + TOP_MARGIN
                legend.set_bbox_to_anchor((0.98, below), ax.transAxes)
                return 1.0 - below + height
    return 0.0


def _size(ax: Axes, artist: Any) -> tuple[float, float]:
    """Return width and height of something drawn, as fractions of the axes."""
    canvas: Any = ax.figure.canvas
    box = artist.get_window_extent(canvas.get_renderer())
    frame = ax.get_window_extent()
    return box.width / frame.width, box.height / frame.height


def _shrink(ax: Axes, artist: Any, width: float) -> None:
    """Make a text smaller if it is wider than a fraction of the axes."""
    actual, _ = _size(ax, artist)
    if actual > width:
        artist.set_fontsize(artist.get_fontsize() * width / actual)


def _raise_range(ax: Axes, top: float, used: float) -> None:
    """Set the upper end of the vertical range so that `top` lies below the used fraction of the height."""
    low = ax.get_ylim()[0]
    free = max(1.0 - used, 0.25)
    if ax.get_yscale() == "log":
        decades = math.log10(max(top, low * 10.0)) - math.log10(low)
        exponent = min(math.log10(low) + decades / free, 300.0)
        ax.set_ylim(low, 10.0**exponent)
    else:
        high = low + (top - low) / free
        ax.set_ylim(low, high if high > low else low + 1.0)


def add_notes(ax: Axes, notes: Sequence[str], *, below: float = 0.0) -> None:
    """Write small print under the axes and their labels.

    Parameters
    ----------
    ax
        The lowest axes of the figure.
    notes
        One line each, wrapped; more than four are counted, not written.
    below
        Additional distance to the axes [points].
    """
    lines = [
        line
        for note in notes[:MAX_NOTES]
        for line in textwrap.wrap(note, 105, max_lines=2, placeholder=" ...")
    ]
    if len(notes) > MAX_NOTES:
        lines.append(f"... and {len(notes) - MAX_NOTES} more notes in the run report")
    if lines:
        ax.annotate(
            "\n".join(line.replace("$", r"\$") for line in lines),
            (0.0, 0.0),
            (0.0, -82.0 - below),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=NOTE_SIZE,
            color="#555555",
            annotation_clip=False,
        )
