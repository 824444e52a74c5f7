"""Histograms on disk: ``.coffea`` for Python, ``.root`` for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uproot
from coffea.util import load, save

from intccms.errors import OutputError
from intccms.utils.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.histograms.merge import HistogramSet

__all__ = ["load_output", "save_histograms", "save_output"]


def save_output(path: Path, content: dict[str, Any]) -> None:
    """Write a dict that ``coffea.util.load`` opens, atomically."""
    with atomic_path(path) as temporary:
        save(content, str(temporary))


def load_output(path: Path) -> dict[str, Any]:
    """Read what `save_output` wrote.

    Raises
    ------
    OutputError
        If there is no such file, or it is not one of ours.
    """
    if not path.is_file():
        message = f"there are no histograms at {path}. Fill them first, with general.run_processor=True."
        raise OutputError(message)
    try:
        content: dict[str, Any] = load(str(path))
    except (OSError, EOFError, ValueError, RuntimeError, AttributeError, ImportError) as exc:
        message = f"cannot read {path}: {type(exc).__name__}: {exc}. Fill the histograms again."
        raise OutputError(message) from exc
    return content


def save_histograms(folder: Path, by_dataset: HistogramSet, by_process: HistogramSet) -> None:
    """Write ``by_dataset.coffea`` and ``histograms.root``, atomically.

    In the ROOT file stands one histogram per channel, observable, process and variation, under
    ``{channel}/{observable}/{process}/{variation}``; data have nominal only.
    """
    save_output(
        folder / "by_dataset.coffea", {"histograms": by_dataset.histograms, "entries": by_dataset.entries}
    )
    with atomic_path(folder / "histograms.root") as temporary, uproot.recreate(temporary) as file:
        for channel, observables in by_process.histograms.items():
            for observable, histogram in observables.items():
                for process in histogram.axes["process"]:
                    for variation in histogram.axes["variation"]:
                        one = histogram[{"process": process, "variation": variation}]
                        file[f"{channel}/{observable}/{process}/{variation}"] = one
