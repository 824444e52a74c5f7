"""The words and tables of a report, which terminal, notebook and page share; not how they look."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from intccms.schema.secrets import masked_text
from intccms.utils.output import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from intccms.analysis.report.model import DatasetReport, FailureGroup, RunReport

__all__ = [
    "COVERAGE",
    "Grid",
    "Row",
    "Verdict",
    "clean",
    "count_text",
    "coverage_text",
    "dataset_grid",
    "group_title",
    "group_where",
    "largest_groups",
    "nan_grid",
    "output_grid",
    "provenance_grid",
    "rate_text",
    "replay_command",
    "rerun_command",
    "run_facts",
    "skipped_grid",
    "verdict",
]

COVERAGE = "coverage"
"""Title of the column that may be drawn as a bar."""


@dataclass(frozen=True)
class Verdict:
    """Whether a run counts, in a word and a sentence."""

    level: Literal["complete", "accepted", "failed"]
    word: str
    sentence: str


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    cells: tuple[str, ...]
    coverage: float | None = None
    """Fraction for the coverage column; below 1 the line is to stand out."""


@dataclass(frozen=True)
class Grid:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    words: frozenset[str]
    """Columns of words; the others are numbers."""
    total: Row | None = None

    def without(self, column: str) -> Grid:
        """Return the table without a column, if it has it."""
        kept = [i for i, name in enumerate(self.columns) if name != column]

        def narrowed(row: Row) -> Row:
            return Row(tuple(row.cells[i] for i in kept), row.coverage)

        return Grid(
            self.title,
            tuple(self.columns[i] for i in kept),
            tuple(narrowed(row) for row in self.rows),
            self.words,
            None if self.total is None else narrowed(self.total),
        )


def clean(text: str) -> str:
    """Return a text with what would steer a terminal, or cannot be encoded, replaced."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> count_text(1, "chunk"), count_text(12345, "chunk"), count_text(2, "entry")
    ('1 chunk', '12,345 chunks', '2 entries')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def coverage_text(coverage: float) -> str:
    """Return a fraction in percent, rounded down, so that only what is complete reads as 100 %.

    Examples
    --------
    >>> coverage_text(1.0), coverage_text(0.999999), coverage_text(0.675), coverage_text(0.00001)
    ('100 %', '99.99 %', '67.5 %', '< 0.01 %')
    """
    if 0.0 < coverage < 1e-4:
        return "< 0.01 %"
    # the small number undoes the rounding of the product, as in 0.29 * 10000
    return "100 %" if coverage >= 1.0 else f"{math.floor(coverage * 1e4 + 1e-9) / 100:.4g} %"


def verdict(report: RunReport) -> Verdict:
    """Return whether the run counts, and why."""
    worst = report.worst
    if report.complete:
        entries = sum(one.entries for one in report.datasets)
        datasets = count_text(len(report.datasets), "dataset")
        everything = f"all {count_text(entries, 'entry')} of {datasets} were processed"
        return Verdict("complete", "complete", everything)
    assert worst is not None or report.failures
    share = "" if worst is None else f"{coverage_text(worst.coverage)} of {clean(worst.name)}"
    short = sum(one.coverage != 1.0 for one in report.datasets)
    if short > 1:
        share += f", the worst of {short} incomplete datasets,"
    asked = f"general.min_coverage={report.min_coverage:g}"
    if report.succeeded:
        return Verdict("accepted", "incomplete", f"{share} was processed; {asked} accepts that")
    if report.coverage < report.min_coverage:
        return Verdict("failed", "incomplete", f"only {share} was processed, below {asked}")
    return Verdict("failed", "incomplete", f"something went wrong that costs no entry, and {asked}")


def run_facts(report: RunReport) -> dict[str, str]:
    """Return what is to be known of the run as a whole, by name."""
    facts = {"rate": rate_text(report)}
    if report.failures:
        reasons = count_text(len(report.groups), "reason")
        facts["failures"] = f"{len(report.failures):,} for {reasons}"
    if report.lumi:
        parts = (
            f"{value:,.6g} pb^-1{f' ({clean(year)})' if year else ''}" for year, value in report.lumi.items()
        )
        facts["luminosity"] = ", ".join(parts)
    return facts


def rate_text(report: RunReport) -> str:
    """Return how fast the run was, counting only what it computed itself."""
    chunks, computed, reused = (
        sum(getattr(one, name) for one in report.datasets) for name in ("chunks", "computed", "reused")
    )
    in_ledger = f"{reused:,} of {count_text(chunks, 'chunk')} were in the ledger"
    if computed == 0:
        if chunks == 0:
            return "nothing was computed: there was no chunk to process"
        if reused == chunks:
            return f"nothing was computed: all {count_text(chunks, 'chunk')} were in the ledger"
        if reused == 0:
            return f"nothing was computed: all {count_text(chunks, 'chunk')} failed"
        return f"nothing was computed: {in_ledger}, and the others failed"
    rate, cpu = report.events_per_second, report.cpu_seconds_per_million_events
    parts = [f"{count_text(computed, 'chunk')} in {_rounded(report.seconds)} s"]
    parts += [f"{_rounded(rate)} events/s"] if rate is not None else []
    parts += [f"{_rounded(cpu)} s of CPU per million events"] if cpu else []
    return ", ".join(parts) + (f"; {in_ledger}" if reused else "")


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def rerun_command(report: RunReport) -> str:
    """Return the command that processes everything again that failed."""
    return masked_text(shlex.join(["intccms", "rerun", clean(report.path) or "RUN", "--failed"]))


def replay_command(report: RunReport, group: FailureGroup) -> str | None:
    """Return the command that replays the first chunk of a group; None if it has none."""
    if group.chunk is None:
        return None
    directory = RunDirectory(Path(report.path or "RUN"))
    kept = directory.pickled_config.exists() or not directory.origin.exists()
    command = ["intccms", "replay", clean(report.path) or "RUN", clean(group.chunk)]
    return masked_text(shlex.join(command if kept else [*command, "--current"]))


def largest_groups(report: RunReport, most: int) -> tuple[list[FailureGroup], int]:
    """Return the groups with most failures first, and how many more there are."""
    ordered = sorted(report.groups, key=lambda group: -len(group.failures))
    return ordered[:most], max(0, len(ordered) - most)


def group_title(group: FailureGroup) -> str:
    """Return how much failed for one reason, as in ``12 chunks, 1,200 entries``."""
    kinds = Counter(
        "chunk" if one.start is not None else "file" if one.file else "dataset" for one in group.failures
    )
    parts = [count_text(count, kind) for kind, count in kinds.items()]
    if group.entries:
        parts.append(count_text(group.entries, "entry"))
    return ", ".join(parts) + (", with messages such as this one" if group.varies else "")


def group_where(group: FailureGroup, most: int = 6) -> str:
    """Return the datasets of a group with the number of failures in each."""
    counts = Counter(one.dataset for one in group.failures).most_common()
    named = ", ".join(f"{clean(name)} ({count:,})" for name, count in counts[:most])
    more = len(counts) - most
    return f"{named} and {count_text(more, 'more dataset')}" if more > 0 else named


def dataset_grid(report: RunReport) -> Grid:
    """Return expected against processed by dataset; columns without any content are left out."""
    wanted = [(title, text) for title, text in _COLUMNS.items() if any(text(one) for one in report.datasets)]
    titles = ("dataset", *(title for title, _ in wanted))
    rows = [
        Row((clean(one.name), *(text(one) for _, text in wanted)), one.coverage) for one in report.datasets
    ]
    total = _total(report, titles) if len(rows) > 1 else None
    return Grid("Datasets", titles, tuple(rows), frozenset({"dataset"}), total)


def _total(report: RunReport, titles: Iterable[str]) -> Row:
    def added(name: str) -> int:
        return sum(getattr(one, name) for one in report.datasets)

    cells = {
        "dataset": "total",
        "files": _part(added("files") - added("failed_files"), added("files")),
        "entries": f"{added('entries'):,}",
        "processed": f"{added('processed'):,}",
        "chunks": _part(added("chunks") - added("failed_chunks"), added("chunks")),
        "from ledger": f"{added('reused'):,}",
    }
    return Row(tuple(cells.get(title, "") for title in titles))


def _part(done: int | None, expected: int | None) -> str:
    """Return ``done/expected``, or only the number where all is done."""
    if expected is None:
        return ""
    done = done or 0
    return f"{expected:,}" if done == expected else f"{done:,}/{expected:,}"


def _sum_of_weights(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"


def _cpu(one: DatasetReport) -> str:
    return _rounded(1e6 * one.cpu_seconds / one.computed_entries) if one.computed_entries else ""


_COLUMNS: Mapping[str, Callable[[DatasetReport], str]] = {
    "files": lambda one: _part(one.files - one.failed_files, one.files),
    "entries": lambda one: f"{one.entries:,}",
    "processed": lambda one: f"{one.processed:,}",
    COVERAGE: lambda one: coverage_text(one.coverage),
    "sum of weights": lambda one: _sum_of_weights(one.sumw),
    "expected sum": lambda one: "" if one.sumw_expected == one.sumw else _sum_of_weights(one.sumw_expected),
    "lumi sections": lambda one: _part(one.processed_lumi_sections, one.lumi_sections),
    "chunks": lambda one: _part(one.chunks - one.failed_chunks, one.chunks) if one.chunks else "",
    "from ledger": lambda one: f"{one.reused:,}" if one.reused else "",
    "CPU s per million": _cpu,
}


def skipped_grid(report: RunReport) -> Grid:
    """Return what was left out on purpose."""
    rows = [
        Row((clean(one.dataset), f"{one.files:,}", _entries(one.entries), clean(one.reason)))
        for one in report.skipped
    ]
    titles = ("dataset", "files", "entries", "reason")
    return Grid("Left out on purpose", titles, tuple(rows), frozenset({"dataset", "reason"}))


def _entries(entries: int | None) -> str:
    return "unknown" if entries is None else f"{entries:,}"


def nan_grid(report: RunReport) -> Grid:
    """Return the candidates that are in no bin, by observable."""
    rows = [Row((clean(name), f"{count:,}")) for name, count in report.nan.items() if count]
    return Grid("NaN, in no bin", ("observable", "candidates"), tuple(rows), frozenset({"observable"}))


def output_grid(report: RunReport) -> Grid:
    """Return what the run left in its directory."""
    rows = [Row((clean(path), clean(what))) for path, what in report.outputs]
    return Grid("Outputs", ("path", "content"), tuple(rows), frozenset({"path", "content"}))


def provenance_grid(report: RunReport) -> Grid:
    """Return where the results come from, one fact a line."""
    rows = [Row((clean(name), clean(value))) for name, value in _flat(report.provenance)]
    return Grid("Provenance", ("fact", "value"), tuple(rows), frozenset({"fact", "value"}))


def _flat(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            known = [f"{key} {one}" for key, one in value.items() if one is not None]
            yield from [(name, ", ".join(known))] if known else []
        elif isinstance(value, list | tuple):
            yield name, " ".join(map(str, value))
        elif value is not None:
            yield name, str(value)
