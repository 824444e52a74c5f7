"""Shows a plan's description in a terminal; warnings come last, where the eye is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import rich.table
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from intccms.systematics.describe.tables import headline, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from intccms.systematics.describe.model import PlanDescription
    from intccms.systematics.describe.tables import Table

__all__ = ["render"]

_WIDE = 130
"""Columns of a terminal from which on all columns of tables are shown."""
_NARROW = 100
"""Columns of a terminal below which any text may be broken."""
_LESS_IMPORTANT = "needs"
_WHOLE = frozenset({"correction", "varies", "year"})
"""Columns of which no text is broken."""
_UNBROKEN = frozenset({"sources", "correlation", "step"})
"""Columns of which no word is broken, unless it is very long."""
_LONGEST = 28


def render(plan: PlanDescription) -> RenderableType:
    """Return the description for a terminal."""
    parts: list[RenderableType] = []
    for table in tables_of(plan):
        parts.append(_Fitted(table))
        parts += [Text(table.note, style="dim")] if table.note else []
        parts.append(Text(""))
    parts.append(Text(headline(plan), style="bold"))
    parts += [Text.assemble(("warning: ", "bold yellow"), text) for text in plan.warnings]
    return Group(*parts)


@dataclass(frozen=True)
class _Fitted:
    """A table that leaves the least important column out of a narrow terminal."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = self.table if options.max_width >= _WIDE else self.table.without(_LESS_IMPORTANT)
        is_narrow = options.max_width < _NARROW  # then words are broken, rather than columns cut off
        shown = rich.table.Table(title=table.title, title_justify="left")
        for name in table.columns:
            is_number = name in table.numbers
            shown.add_column(
                name,
                justify="right" if is_number else "left",
                overflow="fold",
                no_wrap=not is_narrow and (is_number or name in _WHOLE),
                min_width=None if is_narrow or name not in _UNBROKEN else _longest_word(table, name),
            )
        for row in table.rows:
            shown.add_row(*map(Text, row))
        yield shown
        if table is not self.table and _LESS_IMPORTANT in self.table.columns:
            yield Text(f"(terminals of {_WIDE} columns also show what each {_LESS_IMPORTANT})", style="dim")


def _longest_word(table: Table, name: str) -> int:
    index = table.columns.index(name)
    words = [word for row in table.rows for word in row[index].split()]
    return min(_LONGEST, max(map(len, words), default=0))
