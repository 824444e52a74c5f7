"""Shows a report as HTML: one page that needs nothing else, and the part of it that a notebook shows.

Without scripts and outside resources, in the colours of whatever surrounds it, light or dark.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from intccms.analysis.report import content
from intccms.analysis.report.content import COVERAGE, Grid, Row, clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.analysis.report.model import Failure, FailureGroup, RunReport

__all__ = ["html_fragment", "html_page"]


@dataclass(frozen=True)
class _Limits:
    """How much is shown, so that a page can be opened however much failed."""

    groups: int
    chunks: int
    """Of a group."""
    lines: int
    """Rows of a table, and notes; more datasets than that are shown all the same."""
    text: int
    """Characters of a traceback or a reason."""


_PAGE = _Limits(groups=40, chunks=25, lines=200, text=6_000)
_NOTEBOOK = _Limits(groups=10, chunks=0, lines=20, text=4_000)


def html_page(report: RunReport) -> str:
    """Return the report as a page, below about 2 MB however much failed."""
    verdict = content.verdict(report)
    title = f"Run report{f': {_escape(report.path)}' if report.path else ''}"
    body = "".join(
        [
            *_sections(report, _PAGE),
            _section("Outputs", _output_list(report)),
            _section("Provenance", _table(content.provenance_grid(report), _PAGE)),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}: {verdict.word}</title>\n<style>\n{_style()}</style>\n</head>\n"
        f'<body class="intccms-report intccms-page">\n<h1>{title}</h1>\n{body}</body>\n</html>\n'
    )


def html_fragment(report: RunReport) -> str:
    """Return the report for a notebook: the page without outputs and provenance, and cut shorter."""
    body = "".join(_sections(report, _NOTEBOOK))
    return f'<div class="intccms-report">\n<style>\n{_style()}</style>\n{body}</div>\n'


def _style() -> str:
    return (files("intccms.analysis.report") / "report.css").read_text(encoding="utf-8")


def _sections(report: RunReport, limits: _Limits) -> Iterable[str]:
    verdict = content.verdict(report)
    yield (
        f'<p class="verdict {verdict.level}"><strong>{verdict.word}</strong> {_escape(verdict.sentence)}</p>\n'
    )
    facts = content.run_facts(report).items()
    yield f'<p class="facts">{"<br>".join(f"{name}: {_escape(text)}" for name, text in facts)}</p>\n'
    yield _section("Datasets", _table(content.dataset_grid(report), limits))
    yield _section("Failures", _failures(report, limits))
    for grid in (content.skipped_grid(report), content.nan_grid(report)):
        yield _section(grid.title, _table(grid, limits))
    yield _section("Notes", _notes(report.notes, limits))


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>\n{body}" if body else ""


def _table(grid: Grid, limits: _Limits) -> str:
    if not grid.rows:
        return ""
    head = "".join(_cell("th", grid, name, name) for name in grid.columns)
    shown = grid.rows if COVERAGE in grid.columns else grid.rows[: limits.lines]
    body = "\n".join(_row(grid, row) for row in shown)
    foot = "" if grid.total is None else f"\n<tfoot>{_row(grid, grid.total)}</tfoot>"
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>{foot}\n</table></div>\n'
        f"{_more(len(grid.rows) - len(shown), 'line')}"
    )


def _row(grid: Grid, row: Row) -> str:
    cells = "".join(
        _cell("td", grid, name, text, row.coverage)
        for name, text in zip(grid.columns, row.cells, strict=True)
    )
    short = row.coverage is not None and row.coverage != 1.0
    return f"<tr{' class="short"' if short else ''}>{cells}</tr>"


def _cell(tag: str, grid: Grid, name: str, text: str, coverage: float | None = None) -> str:
    kind = ' class="word"' if name in grid.words else ""
    shown = _escape(text)
    if name == COVERAGE and coverage is not None:
        width = 100.0 * min(max(coverage, 0.0), 1.0)
        bar = f'<span class="bar"><span style="width:{width:.4g}%"></span></span>'
        shown = f'{bar}<span class="share">{shown}</span>'
    return f"<{tag}{kind}>{shown}</{tag}>"


def _failures(report: RunReport, limits: _Limits) -> str:
    if not report.failures:
        return ""
    groups, more = content.largest_groups(report, limits.groups)
    return (
        f"<p>Process them again: <code>{_escape(content.rerun_command(report))}</code></p>\n"
        f"{''.join(_group(report, group, limits) for group in groups)}"
        f"{_more(more, 'reason')}"
    )


def _group(report: RunReport, group: FailureGroup, limits: _Limits) -> str:
    parts = [
        f"<p><strong>{content.group_title(group)}</strong> in {_escape(content.group_where(group, 12))}</p>\n",
        f'<pre class="reason">{_escape(_shortened(group.reason, limits.text // 4))}</pre>\n',
    ]
    if (command := content.replay_command(report, group)) is not None:
        parts.append(f"<p>Look at one: <code>{_escape(command)}</code></p>\n")
    if group.traceback:
        text = _escape(_shortened(group.traceback, limits.text))
        parts.append(f"<details><summary>Traceback</summary><pre>{text}</pre></details>\n")
    if limits.chunks:
        items = "\n".join(f"<li>{_place(one)}</li>" for one in group.failures[: limits.chunks])
        more = _more(len(group.failures) - limits.chunks, "failure")
        parts.append(f"<details><summary>Where</summary><ul>\n{items}\n</ul>{more}</details>\n")
    return f'<div class="failure">\n{"".join(parts)}</div>\n'


def _place(failure: Failure) -> str:
    file = f": <code>{_escape(failure.file)}</code>" if failure.file else ""
    part = "" if failure.start is None else f" [{failure.start:,} to {failure.stop:,}]"
    name = failure.dataset if failure.chunk is None else failure.chunk
    return f"{_escape(name)}{file}{part}"


def _notes(notes: Iterable[str], limits: _Limits) -> str:
    lines = [f"<li>{_escape(note)}</li>" for note in notes]
    if not lines:
        return ""
    return f"<ul>\n{'\n'.join(lines[: limits.lines])}\n</ul>\n{_more(len(lines) - limits.lines, 'note')}"


def _output_list(report: RunReport) -> str:
    items = [
        f'<li><a href="./{quote(path, errors="replace")}"><code>{_escape(path)}</code></a> {_escape(what)}</li>'
        for path, what in report.outputs
    ]
    return f"<ul>\n{'\n'.join(items)}\n</ul>\n" if items else ""


def _more(count: int, noun: str) -> str:
    return f"<p>and {content.count_text(count, f'more {noun}')} in report.json</p>\n" if count > 0 else ""


def _shortened(text: str, most: int) -> str:
    """Return a text with its middle left out if it is long: the ends of a traceback say most."""
    if len(text) <= most:
        return text
    return f"{text[: most // 3]}\n[... shortened, report.json has it all ...]\n{text[-2 * most // 3 :]}"


def _escape(text: str) -> str:
    return html.escape(clean(text))
