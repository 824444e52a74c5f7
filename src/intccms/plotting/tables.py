"""Tables for notebooks, terminals and files: cutflows and yields."""

from __future__ import annotations

import csv
import html
import io
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import OutputError
from intccms.plotting.binning import contents

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["Table", "cutflow_table", "yields_table"]

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Shows itself in notebooks and, with ``rich.print``, in terminals."""

    title: str
    """What the table says."""
    columns: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[Cell, ...], ...]
    """One cell per column; None is shown as a dash."""

    def to_csv(self) -> str:
        """Return comma-separated values in full precision, with a line of column names."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """Return a Markdown table with aligned columns under its title."""
        lines = [[text.replace("|", r"\|") for text in row] for row in [list(self.columns), *self._texts()]]
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(self.columns))]
        padded = [
            [
                text.ljust(width) if i == 0 else text.rjust(width)
                for i, (text, width) in enumerate(zip(line, widths, strict=True))
            ]
            for line in lines
        ]
        rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        body = "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])
        return f"### {self.title}\n\n{body}\n"

    def _texts(self) -> list[list[str]]:
        return [[_text(cell) for cell in row] for row in self.rows]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(_html_cell(i, text) for i, text in enumerate(row)) + "</tr>"
            for row in self._texts()
        )
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __rich__(self) -> Group:
        """Return the table for the terminal, in several parts if it is too wide for it."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        parts: list[RichTable] = []
        for columns in self._columns_that_fit(shutil.get_terminal_size().columns):
            table = RichTable(title=None if parts else Text(self.title))
            for i in columns:
                table.add_column(Text(self.columns[i]), justify="right" if i else "left", no_wrap=bool(i))
            for row in self._texts():
                table.add_row(*(Text(row[i]) for i in columns))
            parts.append(table)
        return Group(*parts)

    def _columns_that_fit(self, width: int) -> list[list[int]]:
        """Return groups of column numbers that fit into a width [characters]; each repeats the first column."""
        lines = [list(self.columns), *self._texts()]
        widths = [max(len(line[i]) for line in lines) + 3 for i in range(len(self.columns))]
        groups, used = [[0]], widths[0] + 1
        for i in range(1, len(self.columns)):
            if used + widths[i] > width and len(groups[-1]) > 1:
                groups.append([0])
                used = widths[0] + 1
            groups[-1].append(i)
            used += widths[i]
        return groups


def _html_cell(position: int, text: str) -> str:
    align = "left" if position == 0 else "right"
    return f'<td style="text-align: {align}">{html.escape(text)}</td>'


def _text(cell: Cell) -> str:
    """Return a cell for people: integers with separators, other numbers with about four digits."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int | np.integer):
        return f"{int(cell):,}"
    if abs(cell) >= 1e7 or 0 < abs(cell) < 1e-2:
        return f"{cell:.3e}"
    return f"{cell:,.1f}" if abs(cell) >= 100 else f"{cell:.3g}" if abs(cell) < 1 else f"{cell:.2f}"


def cutflow_table(
    cutflow: Mapping[str, Any],
    *,
    data_processes: Collection[str] = ("data",),
    entries: bool = False,
    title: str = "Cutflow",
) -> Table:
    """Return what is left after each step of a selection.

    Parameters
    ----------
    cutflow
        An entry of ``output["cutflow"]``: ``steps``, ``entries`` and ``weighted`` by process.
    data_processes
        Processes whose events are counted, not weighted.
    entries
        Whether to give the unweighted entries of simulated processes as well.
    title
        What stands above the table.

    Returns
    -------
    Table
        Per simulated process the yield normalised to the luminosity; the sum of the simulation and its
        efficiency with respect to the first step; per data process the entries.

    Raises
    ------
    OutputError
        If the numbers do not fit the steps.
    """
    steps = list(cutflow["steps"])
    counts, weighted = cutflow["entries"], cutflow["weighted"]
    for process in counts:
        for kind, numbers in (("entries", counts), ("weighted", weighted)):
            if len(numbers.get(process, ())) != len(steps):
                message = (
                    f"cutflow: {kind} of process {process!r} has {len(numbers.get(process, ()))} numbers for "
                    f"{len(steps)} steps {steps}. The output is damaged: run the histograms again."
                )
                raise OutputError(message)
    simulated = [process for process in counts if process not in data_processes]
    columns: dict[str, Sequence[Cell]] = {"step": steps}
    for process in simulated:
        columns[process] = [float(number) for number in weighted[process]]
        if entries:
            columns[f"{process} entries"] = [int(number) for number in counts[process]]
    if simulated:
        total = [sum(float(weighted[process][i]) for process in simulated) for i in range(len(steps))]
        columns["simulation"] = total
        columns["efficiency [%]"] = [100 * number / total[0] if total[0] else None for number in total]
    for process in counts:
        if process in data_processes:
            columns[process] = [int(number) for number in counts[process]]
    return Table(title, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def yields_table(
    source: Any, *, data_processes: Collection[str] | None = None, title: str = "Yields"
) -> Table:
    """Return yields with statistical uncertainties, by process.

    Parameters
    ----------
    source
        A histogram (one column: its integral with under- and overflow), or the output of a run (one column
        per channel: the last step of its cutflow).
    data_processes
        Processes that are data; default: what the report of the output says, else ``data``.
    title
        What stands above the table.

    Returns
    -------
    Table
        A row per process, and the sum of the simulation. Uncertainties of channels come from an observable
        that was filled once per selected event; without any, the column of uncertainties is empty.
    """
    if isinstance(source, Mapping):
        report_says = source.get("report", {}).get("data_processes", ["data"])
        data = report_says if data_processes is None else data_processes
        by_channel = {name: _channel_yields(source, name) for name in source["cutflow"]}
    else:
        data = ["data"] if data_processes is None else data_processes
        by_channel = {"yield": _integrals(source)}
    processes = list(dict.fromkeys(process for yields in by_channel.values() for process in yields))
    simulated = [process for process in processes if process not in data]
    rows = [(process, *_row(by_channel, [process])) for process in simulated]
    if simulated:
        rows.append(("simulation", *_row(by_channel, simulated)))
    rows += [(process, *_row(by_channel, [process])) for process in processes if process in data]
    columns = [name for channel in by_channel for name in (channel, "stat. unc.")]
    return Table(title, ("process", *columns), tuple(rows))


Yields = dict[str, tuple[float, float | None]]


def _row(by_channel: Mapping[str, Yields], processes: Sequence[str]) -> list[Cell]:
    """Return yield and uncertainty of the sum of some processes, channel by channel."""
    cells: list[Cell] = []
    for yields in by_channel.values():
        found = [yields[process] for process in processes if process in yields]
        variances = [variance for _, variance in found if variance is not None]
        known = bool(found) and len(variances) == len(found)
        cells += [
            sum(value for value, _ in found) if found else None,
            sum(variances) ** 0.5 if known else None,
        ]
    return cells


def _integrals(histogram: Any) -> Yields:
    """Return the sums of weights and of squared weights of all processes, flow included."""
    given = contents(histogram)
    pairs = {process: given.of(process) for process in given.processes}
    return {
        process: (float(values.sum()), float(squares.sum())) for process, (values, squares) in pairs.items()
    }


def _channel_yields(output: Mapping[str, Any], channel: str) -> Yields:
    """Return the last step of a cutflow, with variances of an observable that counts each event once."""
    cutflow = output["cutflow"][channel]
    if not cutflow["steps"]:
        return {}
    selected = {process: int(numbers[-1]) for process, numbers in cutflow["entries"].items()}
    weighted = {process: float(numbers[-1]) for process, numbers in cutflow["weighted"].items()}
    for observable, counts in output.get("entries", {}).get(channel, {}).items():
        filled = {process: round(pair[0]) for process, pair in _integrals(counts).items()}
        if all(filled.get(process, 0) == number for process, number in selected.items()):
            integrals = _integrals(output["histograms"][channel][observable])
            return {
                process: (value, integrals.get(process, (0.0, 0.0))[1]) for process, value in weighted.items()
            }
    return {process: (value, None) for process, value in weighted.items()}
