"""Measures one file: metadata, skim filter and histogram pass, and plain reading beside them."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Measurement", "measure_in_fresh_process"]


@dataclass(frozen=True)
class Measurement:
    """CPU times of one file [s], the fastest of several repetitions."""

    codec: str
    events: int
    branches: int
    chunk_size: int
    plain: float
    """``tree.arrays`` of the branches that the analysis reads, chunk by chunk, the tree opened once."""
    histogram: float
    """The whole pass of this package over the same chunks: opening, filter, cuts, observables, filling."""
    plain_skim: float
    """``tree.arrays`` of the branches that the skim filter reads."""
    skim: float
    """The pass with the skim filter and nothing behind it."""
    opening: float
    """``uproot.open`` and parsing the description of the tree."""
    metadata: float
    """Entries, identity and sums of weights of the file."""
    peak_rss: float
    """Largest memory of the process after everything [MiB]."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


def measure_in_fresh_process(path: Path, *, chunk_size: int, repeat: int) -> Measurement:
    """Return the measurement of a file, in a process of its own so that its memory is known."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, path, chunk_size, repeat).result()


def _measure(path: Path, chunk_size: int, repeat: int) -> Measurement:
    import uproot

    from intccms.analysis.chunks import chunks_of
    from intccms.datasets import SourceFile
    from intccms.metadata.reader import read_simulation_file
    from intccms.metadata.stage import DatasetMetadata

    config, skim_only = _configurations()
    file = SourceFile(str(path), (str(path),))
    record = read_simulation_file(file, "Events", "genWeight", branches=False)
    chunks = list(chunks_of(DatasetMetadata(config.selected_datasets()[0], (record,)), chunk_size))
    with uproot.open(path) as opened:
        codec = str(opened.file.compression)
        branches = len(opened["Events"].keys())

    def fastest(action: Callable[[], Any]) -> float:
        times = []
        for _ in range(repeat):
            begin = time.process_time()
            action()
            times.append(time.process_time() - begin)
        return min(times)

    def plain(names: frozenset[str]) -> None:
        tree = uproot.open(path, object_cache=None, array_cache=None)["Events"]
        for chunk in chunks:
            tree.arrays(list(names), entry_start=chunk.start, entry_stop=chunk.stop)

    used, used_by_skim = (_branches_read(one, chunks) for one in (config, skim_only))
    return Measurement(
        codec=codec,
        events=record.entries or 0,
        branches=branches,
        chunk_size=chunk_size,
        # ours first: its memory must not be hidden behind that of the plain read
        histogram=fastest(lambda: _process(config, chunks)),
        peak_rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        skim=fastest(lambda: _process(skim_only, chunks)),
        plain=fastest(lambda: plain(used)),
        plain_skim=fastest(lambda: plain(used_by_skim)),
        opening=fastest(lambda: uproot.open(path, object_cache=None)["Events"]),
        metadata=fastest(lambda: read_simulation_file(file, "Events", "genWeight", branches=False)),
    )


def _configurations() -> tuple[Any, Any]:
    """Return the demo's configuration for one simulated dataset, and one with the skim filter only."""
    from intccms.demo.config import demo_config
    from intccms.schema import load_config

    whole = demo_config()
    names = ("good_object_masks", "baseline_selection", "ghost_observables")
    skim = {name: part for name, part in whole.items() if name not in names} | {"channels": [{"name": "all"}]}
    only = ["general.processes=ttbar_semilep"]
    return load_config(whole, only), load_config(skim, only)


def _process(config: Any, chunks: list[Any]) -> list[Any]:
    """Process chunks as a worker does that has just been given the file."""
    from intccms.analysis.chunks import ProcessChunks
    from intccms.analysis.processor import AnalysisProcessor
    from intccms.datasets.sources import forget_sources

    forget_sources()
    outcomes = ProcessChunks(AnalysisProcessor(config))(chunks)
    if failed := [outcome for outcome in outcomes if hasattr(outcome, "traceback")]:
        raise RuntimeError(failed[0].traceback)
    return outcomes


def _branches_read(config: Any, chunks: list[Any]) -> frozenset[str]:
    """Return the branches that a chunk makes the package read, from uproot's own record of it."""
    import uproot

    read: set[str] = set()
    original = uproot.TBranch.array

    def noting(branch: Any, *args: Any, **kwargs: Any) -> Any:
        read.add(branch.name)
        return original(branch, *args, **kwargs)

    uproot.TBranch.array = noting
    try:
        _process(config, chunks[:1])
    finally:
        uproot.TBranch.array = original
    return frozenset(read)
