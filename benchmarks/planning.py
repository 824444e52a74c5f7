"""How long it takes to find out that nothing is to be done: a finished run of thousands of chunks is planned again."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.measure import in_fresh_process, peak_memory

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.analysis.ledger import DatasetPlan, Ledger
    from intccms.schema import Config

__all__ = ["PLANNING_LINES", "Planning", "measure_planning"]

State = Literal["chunk", "file", "whole"]
"""What the records are of: of chunks as they come, of files, or of the dataset as well."""


@dataclass(frozen=True)
class Planning:
    """What planning a finished run takes."""

    files: int
    chunks: int
    """Of each file."""
    state: State
    records: int
    """Records in the ledger."""
    wall: float
    """The fastest of several processes [s]."""
    cpu: float
    """The same, CPU time [s]."""
    peak_memory: float
    """Largest memory of the process [MiB]."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


PLANNING_LINES = (
    ("files", lambda one: f"{one.files:,}"),
    ("chunks of a file", lambda one: f"{one.chunks:,}"),
    ("records of", lambda one: {"chunk": "chunks", "file": "files", "whole": "files, dataset"}[one.state]),
    ("records", lambda one: f"{one.records:,}"),
    ("wall time [s]", lambda one: f"{one.wall:.2f}"),
    ("CPU time [s]", lambda one: f"{one.cpu:.2f}"),
    ("peak memory [MiB]", lambda one: f"{one.peak_memory:.0f}"),
)
"""Lines of the table."""


def measure_planning(
    folder: Path, *, files: int, chunks: int, branches: list[str], repeat: int
) -> list[Planning]:
    """Return what planning takes while the ledger holds chunks, then files, then the whole dataset.

    Parameters
    ----------
    folder
        A new folder, for listing, metadata and run directory.
    files, chunks
        Number of files, and of chunks in each.
    branches
        Names of the branches of a file.
    repeat
        Processes that plan; the fastest counts.
    """
    in_fresh_process(_prepare, folder, files, chunks, branches)
    found = []
    states: tuple[State, ...] = ("chunk", "file", "whole") if chunks > 1 else ("chunk", "whole")
    for state in states:
        records = in_fresh_process(_bring_to, folder, state)
        runs = [in_fresh_process(_plan, folder, files * chunks) for _ in range(repeat)]
        wall, cpu, memory = (min(values) for values in zip(*runs, strict=True))
        found.append(Planning(files, chunks, state, records, wall, cpu, memory))
    return found


def _plan(folder: Path, chunks: int) -> tuple[float, float, float]:
    """Return wall time, CPU time and memory of planning, after everything is imported."""
    from intccms.analysis import AnalysisRunner

    runner = AnalysisRunner(_config(folder), progress=False)
    wall, cpu = time.perf_counter(), time.process_time()
    missing = runner.plan()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if missing.work or missing.chunks != chunks:
        message = f"{folder} is not finished: {missing.lines()}"
        raise RuntimeError(message)
    return wall, cpu, peak_memory()


def _prepare(folder: Path, files: int, chunks: int, branches: list[str]) -> None:
    """Make a run directory in which every chunk has a record."""
    from benchmarks.records import Contents, drawn_record, remember_files, remote_files
    from intccms.analysis.ledger import find_missing

    folder.mkdir(parents=True)
    records = remote_files(files, chunks)
    _listing(folder).write_text("\n".join(record.name for record in records), encoding="utf-8")
    config = _config(folder)
    remember_files(config, records, branches)
    plans, ledger = _plans_and_ledger(config)
    contents = Contents(channels=2, histograms=4, bins=42, filled=20)
    record = drawn_record(contents, [one.name for one in config.channels], seed=1)
    for work in find_missing(plans, ledger).work:
        if work.record is not None:
            ledger.put(work.record, record)


def _bring_to(folder: Path, state: State) -> int:
    """Compact the records of a run as far as asked for, and return how many there are."""
    from intccms.analysis.ledger import compact_file, fold_dataset

    plans, ledger = _plans_and_ledger(_config(folder))
    for plan in plans:
        ledger.look(plan.name)
        for file in plan.files if state == "file" else ():
            compact_file(plan, file, ledger)
        if state == "whole":
            fold_dataset(plan, {}, ledger)
    return sum(len(ledger.names(plan.name)) for plan in plans)


def _plans_and_ledger(config: Config) -> tuple[list[DatasetPlan], Ledger]:
    from intccms.analysis import AnalysisRunner
    from intccms.analysis.context import open_ledger

    logging.disable(logging.WARNING)
    return AnalysisRunner(config, progress=False).plans(), open_ledger(config)


def _config(folder: Path) -> Config:
    from benchmarks.configurations import analysis_on
    from benchmarks.records import ENTRIES

    return analysis_on([str(_listing(folder))], folder / "output", chunk_size=ENTRIES)


def _listing(folder: Path) -> Path:
    return folder / "files.txt"
