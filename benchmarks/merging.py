"""How long it takes to add thousands of results up, and in how much memory."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import in_fresh_process, peak_memory
from benchmarks.records import ENTRIES, Contents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.analysis.ledger import DatasetPlan, Name

__all__ = ["CONTENTS", "MERGING_LINES", "Merging", "measure_merging"]

CONTENTS = (
    Contents(channels=2, histograms=4, bins=40, filled=20),
    Contents(channels=8, histograms=30, bins=1_700, filled=300),
    Contents(channels=8, histograms=30, bins=1_700, filled=1_700),
)
"""Small results, and those of 10 MB before compression: bins that a chunk of events fills in part, or wholly."""

_LINKED = "original"
"""The name that records carry; they stand under many."""
_DISTINCT = 8
"""Different contents; further records are the same files under other names, to save the disk."""


@dataclass(frozen=True)
class Merging:
    """What adding results up takes."""

    contents: Contents
    results: int
    record_bytes: float
    """Mean size of a record [bytes]."""
    cpu: float
    """CPU time of listing and adding [s]."""
    before: float
    """Largest memory of the process before [MiB]."""
    peak_memory: float
    """Largest memory of the process [MiB]."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


MERGING_LINES = (
    ("contents", lambda one: str(one.contents)),
    ("  as arrays [MB]", lambda one: f"{one.contents.dense_bytes / 1e6:.2f}"),
    ("  as a record [kB]", lambda one: f"{one.record_bytes / 1e3:,.1f}"),
    ("results", lambda one: f"{one.results:,}"),
    ("listing and adding [s]", lambda one: f"{one.cpu:.2f}"),
    ("  of each result [ms]", lambda one: f"{1e3 * one.cpu / one.results:.2f}"),
    ("memory before [MiB]", lambda one: f"{one.before:.0f}"),
    ("peak memory [MiB]", lambda one: f"{one.peak_memory:.0f}"),
)
"""Lines of the table."""


def measure_merging(folder: Path, contents: Contents, *, results: int) -> Merging:
    """Return what adding up the results of as many files takes, in a new process; the folder is removed."""
    try:
        size = in_fresh_process(_prepare, folder, contents, results)
        cpu, before, peak = in_fresh_process(_merge, folder, contents, results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Merging(contents, results, size, cpu, before, peak)


def _prepare(folder: Path, contents: Contents, results: int) -> float:
    """Make a ledger in which each of many files has a record, and return their mean size [bytes]."""
    from benchmarks.records import drawn_record
    from intccms.analysis.ledger import Name
    from intccms.analysis.ledger.names import batch_of
    from intccms.analysis.ledger.records import encode

    plan = _plan(contents, results)
    (folder / plan.name).mkdir(parents=True)
    originals = [folder / f"original_{seed}" for seed in range(_DISTINCT)]
    for seed, path in enumerate(originals):
        path.write_bytes(encode(drawn_record(contents, plan.units, seed), _LINKED))
    batch = batch_of(plan.digests)
    for file in plan.files:
        name = Name(plan.name, "chunk", file.key, f"0-{ENTRIES}", batch)
        os.link(originals[file.index % _DISTINCT], folder / str(name))
    return sum(path.stat().st_size for path in originals) / _DISTINCT


def _merge(folder: Path, contents: Contents, results: int) -> tuple[float, float, float]:
    """Return CPU time, memory before, and peak memory of adding up."""
    from intccms.analysis.ledger import Ledger, Record, fold_dataset
    from intccms.analysis.ledger.records import decode
    from intccms.utils.storage import Storage

    class Linked(Ledger):
        """Takes the few records that stand under many names for those of these names."""

        def get(self, name: Name, channels: Mapping[str, Any] | None = None) -> Record:
            return decode(self.storage.get(str(name)), _LINKED, channels)

    plan, ledger = _plan(contents, results), Linked(Storage(str(folder)))
    ledger.describe(plan.units.values())
    before, begin = peak_memory(), time.process_time()
    ledger.look(plan.name)
    fold = fold_dataset(plan, {}, ledger)
    cpu = time.process_time() - begin
    if fold.sums.entries != results * ENTRIES or len(fold.sums.histograms) != (
        contents.channels * contents.histograms
    ):
        message = f"{fold.sums.entries} entries were added up, expected {results * ENTRIES}"
        raise RuntimeError(message)
    return cpu, before, peak_memory()


def _plan(contents: Contents, results: int) -> DatasetPlan:
    """Return a dataset of as many files, each one chunk."""
    from benchmarks.configurations import analysis_on
    from benchmarks.records import remote_files
    from intccms.analysis.chunks import files_of
    from intccms.analysis.ledger import DatasetPlan, Unit
    from intccms.metadata import DatasetMetadata

    (dataset,) = analysis_on(["x.root"], Path("not-written")).selected_datasets()
    metadata = DatasetMetadata(dataset, tuple(remote_files(results, 1)))
    names = [f"channel_{number}" for number in range(contents.channels)]
    units = {name: Unit(name, {"selection": "drawn"}) for name in names}
    return DatasetPlan(metadata, list(files_of(metadata, ENTRIES)), units)
