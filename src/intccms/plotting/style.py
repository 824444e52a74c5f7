"""The look of all plots: CMS style without touching global settings, colours, texts and files.

Importing this package or calling its functions changes no global Matplotlib setting and opens no window.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import mplhep
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from intccms.errors import ConfigError
from intccms.utils.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["CMSFigure", "checked_text", "cms_style", "new_figure", "process_colors", "save_figure"]

# Accessible colour sequences by M. Petroff, arXiv:2107.02270, which CMS recommends for 1-D plots.
PETROFF_6 = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")
PETROFF_8 = ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364")
PETROFF_10 = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)

_math_parser = MathTextParser("path")


@contextmanager
def cms_style() -> Iterator[None]:
    """Apply the CMS style of mplhep within a ``with`` block, and restore all settings after it."""
    extra: dict[str, Any] = {
        "svg.hashsalt": "intccms",
        "axes.formatter.limits": (-3, 5),
        "axes.formatter.use_mathtext": True,
    }
    settings: Any = mplhep.style.CMS | extra
    with mpl.rc_context(settings):
        yield


class CMSFigure(Figure):
    """A figure that is drawn in the CMS style wherever and whenever it is drawn.

    Matplotlib makes ticks and mathematical text only when it draws; a figure shown by a notebook after the
    style context has ended would mix two styles.
    """

    def draw(self, renderer: Any) -> None:
        """Draw the figure in the CMS style."""
        with cms_style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Show the figure in notebooks, which only know figures that pyplot has made."""
        buffer = io.BytesIO()
        FigureCanvasAgg(self)
        with cms_style():
            self.savefig(buffer, format="png", bbox_inches="tight", dpi=72)
        return buffer.getvalue()


def new_figure(width: float = 10.0, height: float = 10.0) -> CMSFigure:
    """Return an empty figure [inches] that no pyplot state knows of."""
    figure = CMSFigure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def process_colors(processes: Sequence[str], configured: dict[str, str]) -> dict[str, str]:
    """Return a colour for every process: the configured one, or the next of the smallest palette that does.

    Parameters
    ----------
    processes
        All simulated processes of a run, so that a process has one colour in all plots.
    configured
        ``plotting.colors``.

    Raises
    ------
    ConfigError
        If a configured colour is none.
    """
    for process, color in configured.items():
        if not is_color_like(color):
            message = (
                f"plotting.colors[{process!r}]: {color!r} is not a colour. Write it as '#5790fc', 'tab:blue' or "
                "a CSS name such as 'steelblue'."
            )
            raise ConfigError(message)
    free = [process for process in processes if process not in configured]
    palette: tuple[str, ...] = next(
        (colors for colors in (PETROFF_6, PETROFF_8) if len(free) <= len(colors)), PETROFF_10
    )
    unused = [color for color in palette if color not in configured.values()]
    palette = tuple(unused) if len(unused) >= len(free) else palette
    return configured | {process: palette[i % len(palette)] for i, process in enumerate(free)}


def checked_text(text: str, where: str) -> str:
    r"""Return a text if Matplotlib can draw it.

    Raises
    ------
    ConfigError
        If the LaTeX between dollar signs cannot be read; `where` names the place of the text.
    """
    if text.replace(r"\$", "").count("$") < 2:
        return text
    try:
        _math_parser.parse(text)
    except ValueError as exc:
        reason = str(exc).strip().splitlines()[-1]
        message = (
            f"{where}: cannot draw {text!r}: {reason}. Only Matplotlib's subset of LaTeX is known; backslashes "
            r"need a raw string, r'$t\bar{t}$'."
        )
        raise ConfigError(message) from exc
    return text


def save_figure(figure: Figure, stem: Path, formats: Iterable[str], dpi: int) -> list[Path]:
    """Write a figure in several formats, each file whole or not at all, and return the paths.

    Parameters
    ----------
    stem
        Path without the ending; its folder is made.
    dpi
        Resolution of PNG files [dots per inch].

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written = []
    # Without dates, the same histogram gives the same bytes.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    for ending in formats:
        target = stem.with_name(f"{stem.name}.{ending}")
        with atomic_path(target) as partial, cms_style():
            figure.savefig(
                partial, format=ending, dpi=dpi, bbox_inches="tight", pad_inches=0.2, metadata=undated[ending]
            )
        written.append(target)
    return written
