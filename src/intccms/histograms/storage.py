"""Histograms on disk: ``.coffea`` for Python, ``.root`` for everybody."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import uproot
from coffea.util import load, save

from intccms.errors import OutputError
from intccms.histograms.merge import NOMINAL
from intccms.utils.files import DAMAGED_PICKLE, atomic_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from intccms.histograms.merge import HistogramSet

__all__ = ["load_output", "save_histograms", "save_output"]

logger = logging.getLogger(__name__)

_ROOT_DIMENSIONS = 3
_CATEGORY_AXES = 2
"""Process and variation."""


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
    except DAMAGED_PICKLE as exc:
        message = f"cannot read {path}: {type(exc).__name__}: {exc}. Fill the histograms again."
        raise OutputError(message) from exc
    return content


def save_histograms(
    folder: Path,
    by_dataset: HistogramSet,
    by_process: HistogramSet,
    facts: Mapping[str, Any] | None = None,
    *,
    data: Collection[str] = (),
) -> None:
    """Write ``by_dataset.coffea`` and ``histograms.root``, atomically.

    In the ROOT file stands one histogram per channel, observable, process and variation, under
    ``{channel}/{observable}/{process}/{variation}``; data have nominal only. ROOT has histograms of up to three
    dimensions; those of more are left out, which is logged. `facts` stand in the text ``status``, as JSON; `data` are
    the processes that are data.
    """
    save_output(
        folder / "by_dataset.coffea", {"histograms": by_dataset.histograms, "entries": by_dataset.entries}
    )
    with atomic_path(folder / "histograms.root") as temporary, uproot.recreate(temporary) as file:
        if facts is not None:
            file["status"] = json.dumps(dict(facts))
        for channel, observables in by_process.histograms.items():
            for observable, histogram in observables.items():
                if histogram.ndim - _CATEGORY_AXES > _ROOT_DIMENSIONS:
                    logger.warning(
                        "%s/%s has %d dimensions and is not in histograms.root, for ROOT knows at most %d; "
                        "output.coffea has it",
                        channel,
                        observable,
                        histogram.ndim - _CATEGORY_AXES,
                        _ROOT_DIMENSIONS,
                    )
                    continue
                for process in histogram.axes["process"]:
                    for variation in [NOMINAL] if process in data else histogram.axes["variation"]:
                        one = histogram[{"process": process, "variation": variation}]
                        file[f"{channel}/{observable}/{process}/{variation}"] = one
