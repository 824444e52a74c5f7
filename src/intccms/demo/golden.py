"""Runs and luminosity sections of the demo's data, and the golden JSON that certifies most of them.

Every data file covers three runs of its own: one with a gap in the middle, one whose first sections are bad,
and a short one that is not certified at all, so that each way in which a lumi mask can go wrong is met.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "GOLDEN_FILE",
    "certified",
    "certified_fraction",
    "data_lumi_sections",
    "golden_json",
    "write_golden_json",
]

type GoldenJSON = Mapping[str, Sequence[Sequence[int]]]

GOLDEN_FILE = "golden.json"

_FIRST_RUN = 278_820  # the first run of the era 2016G

# for each run of a file: its number of luminosity sections and the certified ranges, ends included
_RUN_PLAN: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = (
    (40, ((1, 18), (23, 40))),
    (36, ((3, 36),)),
    (4, ()),
)


def _run_number(file_index: int, position: int) -> int:
    return _FIRST_RUN + len(_RUN_PLAN) * file_index + position


def data_lumi_sections(file_index: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return run and section number of every luminosity section that a data file covers, in order."""
    runs = [np.full(n, _run_number(file_index, i), dtype=np.uint32) for i, (n, _) in enumerate(_RUN_PLAN)]
    lumis = [np.arange(1, n + 1, dtype=np.uint32) for n, _ in _RUN_PLAN]
    return np.concatenate(runs), np.concatenate(lumis)


def golden_json(n_files: int) -> dict[str, list[list[int]]]:
    """Return the certified sections of ``n_files`` data files in CMS format, ``{run: [[first, last], ...]}``."""
    return {
        str(_run_number(file_index, position)): [list(span) for span in good]
        for file_index in range(n_files)
        for position, (_, good) in enumerate(_RUN_PLAN)
        if good
    }


def certified_fraction() -> float:
    """Return the share of the luminosity sections of a data file that is certified."""
    good = sum(last - first + 1 for _, spans in _RUN_PLAN for first, last in spans)
    return good / sum(n for n, _ in _RUN_PLAN)


def certified(
    run: npt.NDArray[np.uint32], luminosity_block: npt.NDArray[np.uint32], golden: GoldenJSON
) -> npt.NDArray[np.bool_]:
    """Mark the events whose luminosity section is in the golden JSON; ends of ranges count as inside."""
    mask = np.zeros(run.shape, dtype=np.bool_)
    for number, spans in golden.items():
        for first, last in spans:
            mask |= (run == int(number)) & (luminosity_block >= first) & (luminosity_block <= last)
    return mask


def write_golden_json(path: Path, n_files: int) -> None:
    """Write the golden JSON of ``n_files`` data files, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(golden_json(n_files)) + "\n", encoding="utf-8")
    temporary.replace(path)
