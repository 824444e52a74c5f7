"""Measures one file: metadata, skim filter and histogram pass, and plain reading beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import fastest, in_fresh_process, peak_memory
from benchmarks.passes import metadata_of, process, work_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intccms.analysis.results import Work
    from intccms.schema import Config

__all__ = ["THROUGHPUT_LINES", "Measurement", "measure_throughput"]


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
    peak_memory: float
    """Largest memory of the process after the histogram pass [MiB]."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


THROUGHPUT_LINES = (
    ("codec", lambda one: one.codec),
    ("events", lambda one: f"{one.events:,}"),
    ("chunks of", lambda one: f"{one.chunk_size:,}"),
    ("branches", lambda one: f"{one.branches:,}"),
    ("plain read of the same branches [s]", lambda one: f"{one.plain:.2f}"),
    ("histogram pass [s]", lambda one: f"{one.histogram:.2f}"),
    ("  ratio to the plain read", lambda one: f"{one.histogram / one.plain:.2f}"),
    ("  events per second", lambda one: f"{one.events / one.histogram:,.0f}"),
    ("plain read of the filter's branches [s]", lambda one: f"{one.plain_skim:.2f}"),
    ("skim filter [s]", lambda one: f"{one.skim:.2f}"),
    ("  ratio to the plain read", lambda one: f"{one.skim / one.plain_skim:.2f}"),
    ("  skim filter, events per second", lambda one: f"{one.events / one.skim:,.0f}"),
    ("uproot.open and the tree [ms]", lambda one: f"{1e3 * one.opening:.0f}"),
    ("metadata of the file [ms]", lambda one: f"{1e3 * one.metadata:.1f}"),
    ("  files per second", lambda one: f"{1 / one.metadata:,.0f}"),
    ("  ratio to opening", lambda one: f"{one.metadata / one.opening:.3f}"),
    ("peak memory of the worker [MiB]", lambda one: f"{one.peak_memory:.0f}"),
)
"""Lines of the table."""


def measure_throughput(path: Path, *, chunk_size: int, repeat: int) -> Measurement:
    """Return the measurement of a file, in a process of its own so that its memory is known."""
    return in_fresh_process(_measure, path, chunk_size, repeat)


def _measure(path: Path, chunk_size: int, repeat: int) -> Measurement:
    import uproot

    from benchmarks.configurations import analysis_on, skim_only

    nowhere = Path("not-written")  # nothing is committed
    config = analysis_on([str(path)], nowhere, chunk_size=chunk_size)
    filter_config = skim_only([str(path)], nowhere, chunk_size=chunk_size)
    read_metadata = partial(metadata_of, path)
    record = read_metadata()
    work, filter_work = (work_on(one, record, chunk_size) for one in (config, filter_config))
    with uproot.open(path) as opened:
        codec = str(opened.file.compression)
        branches = len(opened["Events"].keys())

    def plain(names: frozenset[str]) -> None:
        tree = uproot.open(path, object_cache=None, array_cache=None)["Events"]
        for one in work:
            tree.arrays(list(names), entry_start=one.chunk.start, entry_stop=one.chunk.stop)

    used, used_by_filter = _branches_read(config, work), _branches_read(filter_config, filter_work)
    return Measurement(
        codec=codec,
        events=record.entries or 0,
        branches=branches,
        chunk_size=chunk_size,
        # ours first: its memory must not be hidden behind that of the plain read
        histogram=fastest(lambda: process(config, work), repeat),
        peak_memory=peak_memory(),
        skim=fastest(lambda: process(filter_config, filter_work), repeat),
        plain=fastest(lambda: plain(used), repeat),
        plain_skim=fastest(lambda: plain(used_by_filter), repeat),
        opening=fastest(lambda: uproot.open(path, object_cache=None)["Events"], repeat),
        metadata=fastest(read_metadata, repeat),
    )


def _branches_read(config: Config, work: Sequence[Work]) -> frozenset[str]:
    """Return the branches that a chunk makes the package read, from uproot's own record of it."""
    import uproot

    read: set[str] = set()
    original = uproot.TBranch.array

    def noting(branch: Any, *args: Any, **kwargs: Any) -> Any:
        read.add(branch.name)
        return original(branch, *args, **kwargs)

    uproot.TBranch.array = noting
    try:
        process(config, work[:1])
    finally:
        uproot.TBranch.array = original
    return frozenset(read)
