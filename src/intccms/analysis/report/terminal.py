"""Shows a report in a terminal; the verdict comes last, where the eye is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from intccms.analysis.report import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from intccms.analysis.report.content import Grid, Row
    from intccms.analysis.report.model import FailureGroup, RunReport

__all__ = ["render"]

MOST_GROUPS = 12
MOST_LINES = 12
"""Of a reason; what is longer is in report.json."""
MOST_NOTES = 30
_STYLES = {"complete": "bold green", "accepted": "bold yellow", "failed": "bold red"}
_LESS_IMPORTANT = (
    "CPU s per million",
    "from ledger",
    "expected sum",
    "chunks",
    "lumi sections",
    "sum of weights",
    "files",
)
"""Columns that a narrow terminal does without, the first ones first."""


def render(report: RunReport) -> RenderableType:
    """Return the report for a terminal."""
    parts: list[RenderableType] = [_Fitted(content.dataset_grid(report))] if report.datasets else []
    for grid in (content.skipped_grid(report), content.output_grid(report)):
        parts += [_table(grid)] if grid.rows else []
    parts += [Text(f"note: {line}", style="yellow") for line in _notes(report)]
    parts += _failures(report) if report.failures else []
    parts += [Text(f"{name}: {text}") for name, text in content.run_facts(report).items()]
    verdict = content.verdict(report)
    parts.append(Text.assemble((verdict.word, _STYLES[verdict.level]), ": ", verdict.sentence))
    return Group(*parts)


def _notes(report: RunReport) -> Iterator[str]:
    notes = [
        *(content.clean(note) for note in report.notes),
        *(
            f"{count:,} NaN in {content.clean(name)}, in no bin"
            for name, count in report.nan.items()
            if count
        ),
    ]
    yield from notes[:MOST_NOTES]
    if len(notes) > MOST_NOTES:
        yield f"{content.count_text(len(notes) - MOST_NOTES, 'more note')} in report.json"


def _failures(report: RunReport) -> Iterator[RenderableType]:
    groups, more = content.largest_groups(report, MOST_GROUPS)
    yield Text(f"\n{len(report.failures):,} file(s) or chunk(s) failed:", style="bold red")
    for group in groups:
        yield from _group(report, group)
    rest = f", and {content.count_text(more, 'more reason')}" if more else ""
    yield Text(f"\nreport.json has every chunk and traceback{rest}")
    yield _command(f"process them again: {content.rerun_command(report)}\n", "bold")


def _group(report: RunReport, group: FailureGroup) -> Iterator[RenderableType]:
    yield _indented(f"\n{content.group_title(group)} in {content.group_where(group)}", 2)
    lines = content.clean(group.reason).splitlines()
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES
        lines = [*lines[:MOST_LINES], f"... {content.count_text(left_out, 'more line')}"]
    yield _indented("\n".join(lines), 4, style="red")
    if (command := content.replay_command(report, group)) is not None:
        yield _command(f"    look at one: {command}", "dim")


def _command(text: str, style: str) -> Text:
    """Return a line to copy, which is never broken; it has to be printed without cropping."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def _indented(text: str, columns: int, *, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, columns))


@dataclass(frozen=True)
class _Fitted:
    """A table that leaves less important columns out where it would be too wide."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        grid, left_out = self.grid, []
        for column in _LESS_IMPORTANT:
            if _width(grid) <= options.max_width:
                break
            if column in grid.columns:
                grid = grid.without(column)
                left_out.append(column)
        yield _table(grid)
        if left_out:
            yield Text(f"report.html has more: {', '.join(reversed(left_out))}", style="dim")


def _width(grid: Grid) -> int:
    rows = [grid.columns, *(row.cells for row in _rows(grid))]
    # a border on the left, and for each column two blanks and the border on its right
    return 1 + sum(3 + max(map(len, column)) for column in zip(*rows, strict=True))


def _rows(grid: Grid) -> tuple[Row, ...]:
    return grid.rows if grid.total is None else (*grid.rows, grid.total)


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left")
    for name in grid.columns:
        words = name in grid.words
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in grid.rows:
        whole = row.coverage is None or row.coverage == 1.0
        table.add_row(*map(Text, row.cells), style="" if whole else "red")
    if grid.total is not None:
        table.add_section()
        table.add_row(*map(Text, grid.total.cells), style="bold")
    return table
