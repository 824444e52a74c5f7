"""What the ledger costs in a run: CPU time inside it against that of the whole pass, and bytes per chunk."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Stopwatch, in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LEDGER_LINES", "LedgerCost", "measure_ledger"]

_BLOCK = 4096
"""What a small file takes on most disks [bytes]."""


@dataclass(frozen=True)
class LedgerCost:
    """CPU times [s] and sizes of one pass."""

    events: int
    chunks: int
    files: int
    whole: float
    """The pass: reading, filling, ledger, histograms and report written."""
    parts: dict[str, float]
    """What of it is spent in the ledger, by what it does."""
    record_bytes: float
    """Mean size of a chunk's record [bytes]."""
    record_disk: float
    """The same on disk [bytes]."""
    compact_bytes: float
    """Size of the ledger after the pass, per chunk [bytes]."""
    compact_disk: float
    """The same on disk [bytes]."""

    @property
    def inside(self) -> float:
        """CPU time inside the ledger [s]."""
        return sum(self.parts.values())

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Return the rows of the table: title, seconds, milliseconds per chunk, share of the pass."""
        rows = [*self.parts.items(), ("ledger", self.inside), ("rest of the pass", self.whole - self.inside)]
        return [
            (title, f"{one:.3f}", f"{1e3 * one / self.chunks:.3f}", f"{100 * one / self.whole:.2f} %")
            for title, one in rows
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


LEDGER_LINES = (
    ("events", lambda one: f"{one.events:,}"),
    ("files", lambda one: f"{one.files:,}"),
    ("chunks", lambda one: f"{one.chunks:,}"),
    ("bytes per chunk, before compaction", lambda one: f"{one.record_bytes:,.0f}"),
    ("  on disk, in blocks of 4,096", lambda one: f"{one.record_disk:,.0f}"),
    ("bytes per chunk, after compaction", lambda one: f"{one.compact_bytes:,.0f}"),
    ("  on disk, in blocks of 4,096", lambda one: f"{one.compact_disk:,.0f}"),
)
"""Lines of the table of sizes."""


def measure_ledger(files: Sequence[Path], folder: Path, *, chunk_size: int) -> LedgerCost:
    """Return what the ledger costs in a pass over these files, one chunk after the other in a new process.

    Parameters
    ----------
    files
        Files with events.
    folder
        A new folder, for the run directory.
    chunk_size
        Events in a chunk.
    """
    return in_fresh_process(_measure, [str(file) for file in files], folder, chunk_size)


def _measure(files: list[str], folder: Path, chunk_size: int) -> LedgerCost:
    from benchmarks.configurations import analysis_on
    from intccms.analysis import AnalysisRunner

    runner = AnalysisRunner(analysis_on(files, folder, chunk_size=chunk_size), progress=False)
    runner.metadata()
    watch, sizes = Stopwatch(), list[int]()
    _watch_ledger(watch, sizes)
    begin = time.process_time()
    result = runner.histogram()
    whole = time.process_time() - begin
    if result.report is None or not result.report.complete:
        message = f"the measured run is not complete, see {folder}/report.json"
        raise RuntimeError(message)
    left = [path.stat().st_size for path in (folder / "ledger").rglob("*") if path.is_file()]
    return LedgerCost(
        events=sum(one.processed for one in result.report.datasets),
        chunks=len(sizes),
        files=len(files),
        whole=whole,
        parts=dict(watch.seconds),
        record_bytes=sum(sizes) / len(sizes),
        record_disk=sum(map(_on_disk, sizes)) / len(sizes),
        compact_bytes=sum(left) / len(sizes),
        compact_disk=sum(map(_on_disk, left)) / len(sizes),
    )


def _watch_ledger(watch: Stopwatch, sizes: list[int]) -> None:
    """Put a clock around everything that a run would not do without a ledger, and note the sizes of records."""
    from intccms.analysis import one_chunk, processing, runner, tasks
    from intccms.analysis.ledger import Ledger, Place, Units

    for owner, name, title in (
        (Units, "channels", "digests of channels"),
        (runner, "write_context", "configuration and plan written"),
        (runner, "write_plan", "configuration and plan written"),
        (processing.Processing, "missing", "finding out what is missing"),
        (Ledger, "look", "listing"),
        (Place, "open", "token"),
        (Place, "close", "token"),
        (Place, "has", "looking whether it is there"),
        (one_chunk, "record_of", "record made and compressed"),
        (Place, "commit", "commit"),
        (processing.Processing, "_take", "receipt noted"),
        (processing.Processing, "_close_file", "compaction"),
        (processing, "fold_dataset", "sum of all files"),
    ):
        watch.watch(owner, name, title)
    made = "record made and compressed"
    watch.watch(tasks, "encode", made, note=lambda content: sizes.append(len(content)))


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
