"""What skims are worth: histograms from the source against histograms from skims, and what writing them costs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SKIM_LINES", "Pass", "Skims", "measure_skims"]


@dataclass(frozen=True)
class Pass:
    """CPU times of one pass [s]."""

    whole: float
    """Everything: what is to be done, chunks, sums, histograms, report, manifests."""
    chunks: float
    """The chunks alone: opening files, reading, filtering, filling, writing parts, committing results."""


@dataclass(frozen=True)
class Skims:
    """The passes over the same files, each in a process of its own, the fastest of several."""

    files: int
    events: int
    kept: int
    """Events that the filter keeps."""
    chunk_size: int
    source_bytes: int
    skim_bytes: int
    on_the_fly: Pass
    """Histograms from the source, filtered on the fly."""
    write: Pass
    """Skims written, no histograms."""
    one_pass: Pass
    """Skims written and histograms filled from one read."""
    on_skims: Pass
    """Histograms from the skims."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


SKIM_LINES = (
    ("chunks of", lambda one: f"{one.chunk_size:,}"),
    ("files", lambda one: f"{one.files:,}"),
    ("events", lambda one: f"{one.events:,}"),
    ("events kept", lambda one: f"{100 * one.kept / one.events:.1f} %"),
    ("source [MB]", lambda one: f"{one.source_bytes / 1e6:,.0f}"),
    ("skims [MB]", lambda one: f"{one.skim_bytes / 1e6:,.1f}"),
    ("histograms from the source, whole run [s]", lambda one: f"{one.on_the_fly.whole:.2f}"),
    ("  chunks alone [s]", lambda one: f"{one.on_the_fly.chunks:.2f}"),
    ("histograms from skims, whole run [s]", lambda one: f"{one.on_skims.whole:.2f}"),
    ("  chunks alone [s]", lambda one: f"{one.on_skims.chunks:.2f}"),
    ("times faster, whole run", lambda one: f"{one.on_the_fly.whole / one.on_skims.whole:.1f}"),
    ("times faster, chunks alone", lambda one: f"{one.on_the_fly.chunks / one.on_skims.chunks:.1f}"),
    ("writing skims [s]", lambda one: f"{one.write.whole:.2f}"),
    ("  events read per second", lambda one: f"{one.events / one.write.whole:,.0f}"),
    ("  source [MB] per second", lambda one: f"{one.source_bytes / 1e6 / one.write.whole:,.0f}"),
    ("  written [MB] per second", lambda one: f"{one.skim_bytes / 1e6 / one.write.whole:,.2f}"),
    ("skims and histograms in one pass [s]", lambda one: f"{one.one_pass.whole:.2f}"),
    ("  ratio to histograms alone", lambda one: f"{one.one_pass.whole / one.on_the_fly.whole:.2f}"),
    (
        "  ratio to writing, then reading skims",
        lambda one: f"{one.one_pass.whole / (one.write.whole + one.on_skims.whole):.2f}",
    ),
)
"""Lines of the table."""


def measure_skims(
    files: Sequence[Path], folder: Path, *, chunk_size: int, missing_momentum: float, repeat: int
) -> Skims:
    """Return the passes in all modes.

    Parameters
    ----------
    files
        Files with events.
    folder
        A new folder, for run directories.
    chunk_size
        Events in a chunk.
    missing_momentum
        Threshold of the skim filter [GeV].
    repeat
        Processes for each pass; the fastest counts.
    """

    def fastest(name: str, *, fresh: bool = True, **switches: bool) -> Pass:
        passes = []
        for number in range(repeat):
            # another cut each time: nothing that is asked for is in the ledger
            general = {"output_dir": folder / (f"{name}_{number}" if fresh else "write_0"), **switches}
            cut = 55.0 + (not fresh) * (1.0 + number)
            passes.append(in_fresh_process(_pass, names, general, chunk_size, missing_momentum, cut))
        return min(passes, key=lambda one: one.whole)

    names = [str(file) for file in files]
    write = fastest("write", save_skimmed_output=True, run_analysis=False)
    on_skims = fastest("skims", fresh=False, use_skimmed_input=True)
    one_pass = fastest("one_pass", save_skimmed_output=True)
    on_the_fly = fastest("on_the_fly")
    events, kept = _counts(folder / "write_0" / "skimmed")
    return Skims(
        files=len(files),
        events=events,
        kept=kept,
        chunk_size=chunk_size,
        source_bytes=sum(file.stat().st_size for file in files),
        skim_bytes=sum(path.stat().st_size for path in (folder / "write_0" / "skimmed").rglob("*.parquet")),
        on_the_fly=on_the_fly,
        write=write,
        one_pass=one_pass,
        on_skims=on_skims,
    )


def _pass(
    files: list[str], general: dict[str, Any], chunk_size: int, missing_momentum: float, cut: float
) -> Pass:
    from benchmarks.configurations import analysis_on
    from intccms.analysis import AnalysisRunner

    config = analysis_on(
        files, chunk_size=chunk_size, missing_momentum=missing_momentum, muon_pt=cut, **general
    )
    runner = AnalysisRunner(config, progress=False)
    if not config.general.use_skimmed_input:
        runner.metadata()
    begin = time.process_time()
    result = runner.histogram() if config.analyses else runner.skim()
    whole = time.process_time() - begin
    if result.report is None or not result.report.complete:
        message = f"the measured run is not complete, see {result.path}/report.json"
        raise RuntimeError(message)
    if result.report.datasets[0].computed_entries != result.report.datasets[0].entries:
        message = f"the measured run in {result.path} found results of an earlier one"
        raise RuntimeError(message)
    return Pass(whole, sum(one.cpu_seconds for one in result.report.datasets))


def _counts(skims: Path) -> tuple[int, int]:
    """Return how many events went into skims, and how many are in them."""
    from benchmarks.configurations import DATASET
    from intccms.skimming.manifest import Manifest
    from intccms.utils.storage import Storage

    manifest = Manifest.load(Storage(str(skims)), DATASET)
    if manifest is None:
        message = f"no skim in {skims}"
        raise RuntimeError(message)
    parts = [part for file in manifest.files for part in file.parts.values()]
    return sum(part.stop - part.start for part in parts), sum(part.kept for part in parts)
