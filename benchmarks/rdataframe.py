"""Measures the analysis of two jets with ROOT RDataFrame and ``Vary``, and the same with this package.

ROOT comes as a wheel from PyPI (250 MB, 660 MB on disk) into a virtual environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import venv
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import uproot

from benchmarks.measure import in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RDATAFRAME_LINES", "Comparison", "Passes", "measure_rdataframe", "python_with_root"]

ROOT_WHEEL = "root==0.1a12"
"""ROOT 6.40.00; still called alpha on PyPI."""

SOURCES = 27


@dataclass(frozen=True)
class Passes:
    """CPU times of one process [s], user and system."""

    start: float
    """Interpreter and imports; of ROOT, its interpreter of C++ as well."""
    first: float
    """The first pass: building the graph, just-in-time compilation and the loop; or validation, plan and the pass."""
    again: float
    """The fastest of further passes in the same process, everything built anew; ROOT compiles nothing then."""


@dataclass(frozen=True)
class Comparison:
    """The same analysis of one file, with both; one thread, the file opened anew in each pass."""

    file: str
    codec: str
    events: int
    selected: int
    variations: int
    root_version: str
    ours: Passes
    ours_varied: Passes
    root: Passes
    root_varied: Passes
    different_counts: int
    """Bins of histograms, of nominal and all variations, whose numbers of entries differ."""
    bins: int
    """All bins."""
    largest_difference: float
    """Relative difference of weighted bins."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


def _lines_of(who: str, title: str) -> Sequence[tuple[str, Any]]:
    """Return the lines of one of the two."""

    def passes(one: Comparison) -> tuple[Passes, Passes]:
        return getattr(one, who), getattr(one, f"{who}_varied")

    return (
        (title, lambda _: ""),
        ("  start of the process [s]", lambda one: f"{passes(one)[1].start:.2f}"),
        ("  nominal, first pass [s]", lambda one: f"{passes(one)[0].first:.2f}"),
        ("  nominal, again [s]", lambda one: f"{passes(one)[0].again:.3f}"),
        ("  all variations, first pass [s]", lambda one: f"{passes(one)[1].first:.2f}"),
        ("  all variations, again [s]", lambda one: f"{passes(one)[1].again:.3f}"),
        ("    ratio to nominal", lambda one: f"{passes(one)[1].again / passes(one)[0].again:.1f}"),
    )


RDATAFRAME_LINES = (
    ("file", lambda one: one.file),
    ("codec", lambda one: one.codec),
    ("events", lambda one: f"{one.events:,}"),
    ("selected", lambda one: f"{one.selected:,}"),
    ("variations of objects", lambda one: f"{one.variations}"),
    *_lines_of("ours", "intccms"),
    *_lines_of("root", "RDataFrame"),
    ("RDataFrame / intccms", lambda _: ""),
    ("  a process with one pass", lambda one: f"{_whole(one.root_varied) / _whole(one.ours_varied):.2f}"),
    ("  first pass", lambda one: f"{one.root_varied.first / one.ours_varied.first:.2f}"),
    ("  again", lambda one: f"{one.root_varied.again / one.ours_varied.again:.2f}"),
    ("bins with other counts", lambda one: f"{one.different_counts} of {one.bins:,}"),
    ("largest relative difference of weights", lambda one: f"{one.largest_difference:.0e}"),
)
"""Lines of the table."""


def python_with_root(folder: Path) -> Path:
    """Return a Python interpreter that has ROOT; its environment is made on the first call.

    Parameters
    ----------
    folder
        Where the environment is kept.
    """
    home = folder / "root-venv"
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        venv.create(home, symlinks=True, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", ROOT_WHEEL]
        subprocess.run(command, check=True)
        done.touch()
    return python


def measure_rdataframe(path: Path, python: Path, *, met: str, repeat: int) -> Comparison:
    """Return CPU times of both, and how far their histograms agree.

    Parameters
    ----------
    path
        A file of simulated events.
    python
        Interpreter that has ROOT.
    met
        Collection of the missing momentum.
    repeat
        Further passes; the fastest counts.
    """
    root, root_varied = (_with_root(python, path, sources, met, repeat) for sources in (0, SOURCES))
    ours, ours_varied = (in_fresh_process(_with_us, path, sources, met, repeat) for sources in (0, SOURCES))
    with uproot.open(path) as opened:
        codec = str(opened.file.compression)
    counts = _bins(ours_varied, root_varied, "counted")
    weights = _bins(ours_varied, root_varied, "weighted")
    filled = weights.any(axis=0)
    difference = np.abs(weights[0] - weights[1])[filled] / np.abs(weights).max(axis=0)[filled]
    return Comparison(
        file=path.stem,
        codec=codec,
        events=ours_varied["events"],
        selected=root_varied["selected"],
        variations=len(ours_varied["weighted"]["ht"]) - 1,
        root_version=root_varied["version"],
        ours=_passes(ours),
        ours_varied=_passes(ours_varied),
        root=_passes(root),
        root_varied=_passes(root_varied),
        different_counts=int(np.sum(counts[0] != counts[1])),
        bins=counts[0].size,
        largest_difference=float(np.max(difference, initial=0.0)),
    )


def _whole(passes: Passes) -> float:
    return passes.start + passes.first


def _passes(found: dict[str, Any]) -> Passes:
    first, *further = found["passes"]
    return Passes(found["start"], first, min(further))


def _bins(ours: dict[str, Any], root: dict[str, Any], content: str) -> np.ndarray:
    """Return the bins of all histograms and variations in one row of ours and one of ROOT's."""
    pairs = [
        (ours[content][name][variation], values)
        for name, histograms in root[content].items()
        for variation, values in histograms.items()
    ]
    return np.stack([np.concatenate(one) for one in zip(*pairs, strict=True)])


def _with_root(python: Path, path: Path, sources: int, met: str, repeat: int) -> dict[str, Any]:
    script = Path(__file__).with_name("rdataframe_vary.py")
    options = {"--sources": sources, "--met": met, "--repeat": repeat}
    words = [str(word) for option in options.items() for word in option]
    command = [str(python), str(script), str(path), *words]
    # the interpreter does not optimise otherwise, and the loop takes twice as long
    environment = os.environ | {"EXTRA_CLING_ARGS": "-O2"}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _with_us(path: Path, sources: int, met: str, repeat: int) -> dict[str, Any]:
    from benchmarks.passes import metadata_of, process, work_on
    from benchmarks.varied_configurations import two_jets
    from intccms.analysis import AnalysisRunner  # noqa: F401  what a run imports belongs to the start

    def one_pass(*, unit_weights: bool = False) -> Any:
        config = two_jets(path, object_sources=sources, met=met, unit_weights=unit_weights)
        record = metadata_of(path)
        return process(config, work_on(config, record, record.entries or 1))[0]

    times = [time.process_time()]
    for _ in range(1 + repeat):
        sums = one_pass()
        times.append(time.process_time())
    return {
        "start": times[0],
        "passes": [after - before for before, after in pairwise(times)],
        "events": sums.entries,
        "weighted": _contents(sums),
        "counted": _contents(one_pass(unit_weights=True)),
    }


def _contents(sums: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {"nominal": one.sumw, **{variation: sumw for variation, (sumw, _) in one.varied.items()}}
        for (_, name), one in sums.histograms.items()
    }
