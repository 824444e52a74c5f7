"""How far a run directory is: what its last run wanted, what of it the ledger has, and who works in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from intccms.analysis.ledger import Ledger, Name
from intccms.analysis.ledger.names import edges_key
from intccms.analysis.reopen import read_plan
from intccms.analysis.report import read_report
from intccms.analysis.results import NOT_RUN
from intccms.errors import OutputError
from intccms.utils.lock import lock_holder
from intccms.utils.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.analysis.report import RunReport
    from intccms.utils.output import RunDirectory

__all__ = ["DatasetStatus", "RunStatus", "run_status"]


@dataclass(frozen=True)
class DatasetStatus:
    """Chunks of one dataset."""

    name: str
    files: int
    chunks: int
    done: int
    """Chunks of which all wanted channels are in the ledger."""
    failed: int
    """Those of the others that failed in the last run that came to its end, and are not tried now."""

    @property
    def left(self) -> int:
        """Chunks that are to be done and have not failed."""
        return self.chunks - self.done - self.failed


@dataclass(frozen=True)
class RunStatus:
    """How far a run directory is."""

    datasets: tuple[DatasetStatus, ...]
    holder: dict[str, Any] | None
    """Process that works in it now: ``pid``, ``host``, ``started``, ``command``."""
    report: RunReport | None
    """The report of the last run that came to its end."""
    is_current: bool
    """Whether that report is of the chunks and channels that were wanted last."""
    path: str

    @property
    def done(self) -> bool:
        """Whether the ledger has everything that was wanted."""
        return all(one.done == one.chunks for one in self.datasets)

    def __rich__(self) -> RenderableType:
        """Return the status for a terminal."""
        table = Table(title="Chunks in the ledger", title_justify="left")
        table.add_column("dataset")
        for name in ("files", "chunks", "done", "failed", "left"):
            table.add_column(name, justify="right")
        for one in self.datasets:
            cells = (one.files, one.chunks, one.done, one.failed, one.left)
            table.add_row(one.name, *(f"{cell:,}" for cell in cells), style="red" if one.failed else "")
        return Group(
            table,
            *(Text(line, style=style, no_wrap=True, overflow="ignore") for line, style in self._lines()),
        )

    def _lines(self) -> list[tuple[str, str]]:
        lines = []
        if self.holder is not None:
            who = f"process {self.holder.get('pid')} on {self.holder.get('host')}"
            lines.append((f"running: {who} since {self.holder.get('started')}", "green"))
        if self.report is None:
            lines.append(("no run has come to its end yet", "yellow"))
        else:
            verdict = (
                "complete"
                if self.report.complete
                else f"incomplete, {100 * self.report.coverage:.4g} % of the dataset with least"
            )
            when = self.report.provenance.get("ended", "")
            lines.append((f"last report: {verdict} ({when})", "green" if self.report.succeeded else "red"))
            if not self.is_current:
                lines.append(("what is wanted has changed since that report", "yellow"))
        if self.holder is None and not self.done:
            lines.append((f"go on with: intccms rerun {self.path}", "bold"))
        return lines


def run_status(directory: RunDirectory) -> RunStatus:
    """Return how far a run directory is; no configuration is loaded and no input is looked at.

    Raises
    ------
    OutputError
        If no run has begun to process events there, or its ledger cannot be read.
    """
    plan = read_plan(directory)
    ledger = Ledger(Storage(plan["ledger"] or str(directory.ledger)))
    try:
        report = read_report(directory.path)
    except OutputError:
        report = None
    failed: dict[str, int] = {}
    holder = lock_holder(directory.path)
    for one in report.failures if report is not None and holder is None else ():
        if one.reason.startswith(NOT_RUN):
            continue
        failed[one.dataset] = failed.get(one.dataset, 0) + int(one.start is not None)
    datasets = tuple(_dataset_status(one, ledger, failed.get(one["name"], 0)) for one in plan["datasets"])
    return RunStatus(
        datasets,
        holder,
        report,
        report is not None and directory.report.stat().st_mtime >= directory.plan.stat().st_mtime,
        str(directory.path),
    )


def _dataset_status(plan: Mapping[str, Any], ledger: Ledger, failed: int) -> DatasetStatus:
    ledger.look(plan["name"])
    chunks = sum(len(file["edges"]) - 1 for file in plan["files"])
    whole = Name.parse(plan["whole"])
    if whole is not None and whole.batch in ledger.batches(plan["name"], "whole", whole.key, ""):
        done = chunks
    else:
        done = sum(_done_of(file, plan, ledger) for file in plan["files"])
    return DatasetStatus(plan["name"], len(plan["files"]), chunks, done, min(failed, chunks - done))


def _done_of(file: Mapping[str, Any], plan: Mapping[str, Any], ledger: Ledger) -> int:
    """Return how many chunks of a file have everything that is wanted of them."""
    wanted = set(plan["channels"].items())
    at_file = _pairs(plan["name"], "file", file["key"], edges_key(file["edges"]), ledger)
    if not wanted:  # a skim: its parts are noted in the ledger until the manifest is committed
        return len(file["edges"]) - 1 - int(plan["skims"].get(str(file["index"]), 0))
    return sum(
        wanted <= at_file | _pairs(plan["name"], "chunk", file["key"], f"{start}-{stop}", ledger)
        for start, stop in pairwise(file["edges"])
    )


def _pairs(dataset: str, kind: str, key: str, extent: str, ledger: Ledger) -> set[tuple[str, str]]:
    return {
        pair for batch in ledger.batches(dataset, kind, key, extent) for pair in ledger.digests(batch).items()
    }
