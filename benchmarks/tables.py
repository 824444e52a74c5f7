"""Shows figures as tables, one column per measurement, and keeps them as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["as_table", "keep", "of_parts"]


class _Figures(Protocol):
    def to_json(self) -> dict[str, Any]: ...


def as_table[T](title: str, lines: Sequence[tuple[str, Callable[[T], str]]], columns: Sequence[T]) -> Table:
    """Return a table with a line for each figure and a column for each measurement."""
    table = Table(title=title, show_header=False)
    table.add_column()
    for _ in columns:
        table.add_column(justify="right")
    for name, text in lines:
        table.add_row(Text(name), *(text(one) for one in columns))
    return table


def of_parts(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of what a whole is made of."""
    table = Table(title=title)
    table.add_column("")
    for head in heads:
        table.add_column(Text(head), justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def keep(path: Path, measured: Sequence[_Figures]) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([one.to_json() for one in measured], indent=2), encoding="utf-8")
