"""Compares what an analysis of the demo found with what was put in."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.demo.truth import DemoTruth

__all__ = ["Comparison", "compare_with_truth"]

_TOLERANCE = 1e-6
"""Relative agreement asked of yields: the generator counts in double precision, from the same weights."""


@dataclass(frozen=True)
class Row:
    """One process: candidates and yield, found and true."""

    process: str
    candidates: int
    true_candidates: int
    yield_found: float
    yield_true: float

    @property
    def agrees(self) -> bool:
        """Whether every candidate was found, and the yield is the true one."""
        close = math.isclose(self.yield_found, self.yield_true, rel_tol=_TOLERANCE)
        return self.candidates == self.true_candidates and close


@dataclass(frozen=True)
class Comparison:
    """The demo's answer beside the truth."""

    rows: tuple[Row, ...]
    data: int
    """Selected events in data."""
    expected: float
    """Selected events that simulation predicts for data, with the signal strength that was put in."""
    channel: str
    observable: str

    @property
    def agrees(self) -> bool:
        """Whether every process agrees with the truth."""
        return all(row.agrees for row in self.rows)

    def lines(self) -> list[tuple[str, ...]]:
        """Return the table as texts: process, found, true, yield found, yield true, verdict."""
        return [
            (
                row.process,
                f"{row.candidates:,}",
                f"{row.true_candidates:,}",
                f"{row.yield_found:,.2f}",
                f"{row.yield_true:,.2f}",
                "yes" if row.agrees else "NO",
            )
            for row in self.rows
        ]

    @property
    def summary(self) -> str:
        """One sentence about data."""
        pull = (self.data - self.expected) / math.sqrt(self.expected) if self.expected > 0 else math.nan
        return (
            f"Data: {self.data:,} events where the mixture that was put in predicts {self.expected:,.1f} "
            f"({pull:+.1f} standard deviations)."
        )

    def __rich__(self) -> Group:
        """Return the comparison for a terminal."""
        table = Table(title=f"Found against put in ({self.channel}, {self.observable})", title_justify="left")
        table.add_column("process")
        for name in _COLUMNS[1:]:
            table.add_column(name, justify="right")
        for row, line in zip(self.rows, self.lines(), strict=True):
            table.add_row(*line, style="green" if row.agrees else "bold red")
        return Group(table, Text(self.summary))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
            for line in self.lines()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{html.escape(self.summary)}</p>"


_COLUMNS = ("process", "candidates", "true", "yield", "true", "agrees")


def compare_with_truth(
    output: Mapping[str, Any], truth: DemoTruth, *, channel: str = "SR", observable: str = "mtt"
) -> Comparison:
    """Return the comparison of a run's output with the truth of its input.

    Parameters
    ----------
    output
        Content of ``output.coffea``.
    truth
        Of the input, from `generate` or ``truth.json``.
    channel, observable
        The histogram with the resonance mass.
    """
    histogram, entries = output["histograms"][channel][observable], output["entries"][channel][observable]
    rows = []
    for name, dataset in truth.datasets.items():
        found = histogram[{"process": name, "variation": "nominal"}].values(flow=True).sum()
        count = entries[{"process": name}].values(flow=True).sum()
        selected = dataset.selected
        expected = float(selected.candidates) if dataset.is_data else candidates_expected(truth, name)
        rows.append(Row(name, round(float(count)), selected.candidates, float(found), expected))
    left = output["cutflow"][channel]["entries"]
    data = sum(left[name][-1] for name, dataset in truth.datasets.items() if dataset.is_data)
    mixture = sum(
        truth.expected_events(name) * (truth.signal_strength if name == "signal" else 1.0)
        for name, dataset in truth.datasets.items()
        if not dataset.is_data
    )
    return Comparison(tuple(rows), data, mixture, channel, observable)


def candidates_expected(truth: DemoTruth, name: str) -> float:
    """Return the candidates that a simulated dataset predicts for the data's luminosity."""
    dataset = truth.datasets[name]
    sumw = math.fsum((*dataset.selected.mtt_sumw, dataset.selected.overflow_sumw))
    return dataset.xsec_pb * truth.luminosity_pb * sumw / dataset.sumw
