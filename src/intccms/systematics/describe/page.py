"""Shows a plan's description in a notebook, in the colours of whatever surrounds it, light or dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from intccms.systematics.describe.tables import headline, tables_of

if TYPE_CHECKING:
    from intccms.systematics.describe.model import PlanDescription
    from intccms.systematics.describe.tables import Table

__all__ = ["html_fragment"]

_STYLE = """\
.intccms-plan { --line: rgba(128, 128, 128, 0.35); line-height: 1.4; }
.intccms-plan .head { font-weight: 600; margin: 0.5rem 0; }
.intccms-plan .warning { border-left: 0.3rem solid #d08a00; background: rgba(128, 128, 128, 0.12);
  padding: 0.4rem 0.8rem; margin: 0.4rem 0; max-width: 75rem; overflow-wrap: anywhere; }
.intccms-plan .note { font-size: 0.9em; opacity: 0.8; margin: 0.3rem 0 0; }
.intccms-plan .wide { overflow-x: auto; }
.intccms-plan table { border-collapse: collapse; font-size: 0.93em; font-variant-numeric: tabular-nums; margin: 0; }
.intccms-plan caption { caption-side: top; text-align: left; font-weight: 600; padding: 1rem 0 0.3rem; }
.intccms-plan th, .intccms-plan td { padding: 0.2rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 36rem; }
.intccms-plan th { border-bottom-width: 2px; vertical-align: bottom; overflow-wrap: normal; }
.intccms-plan .number { text-align: right; white-space: nowrap; }
"""


def html_fragment(plan: PlanDescription) -> str:
    """Return the description as HTML without scripts and outside resources."""
    warnings = "".join(f'<p class="warning">{escape(text)}</p>\n' for text in plan.warnings)
    tables = "".join(_table(one) for one in tables_of(plan))
    return (
        f'<div class="intccms-plan">\n<style>\n{_STYLE}</style>\n<p class="head">{escape(headline(plan))}</p>\n'
        f"{warnings}{tables}</div>\n"
    )


def _table(table: Table) -> str:
    head = "".join(_cell("th", table, name, name) for name in table.columns)
    rows = "\n".join(
        f"<tr>{''.join(_cell('td', table, name, text) for name, text in zip(table.columns, row, strict=True))}</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<div class="wide"><table>\n<caption>{escape(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>\n{note}"
    )


def _cell(tag: str, table: Table, name: str, text: str) -> str:
    kind = ' class="number"' if name in table.numbers else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"
