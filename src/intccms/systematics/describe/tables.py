"""The words and tables of a plan's description, which terminal and notebook share; not how they look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from intccms.systematics.describe.steps import few

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from intccms.systematics.describe.model import (
        GroupDescription,
        MemoryEstimate,
        PlanDescription,
        SourceDescription,
        StepDescription,
    )

__all__ = ["Table", "headline", "memory_text", "tables_of"]

_KINDS = ("object", "weight", "member set", "normalisation")
_MOST_SOURCES = 2
_FEW = 6
"""Steps by which two kinds of chunks may differ to be shown as one and its differences."""


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    """Columns of numbers; the others are words."""
    note: str = ""
    """What stands below it."""

    def without(self, column: str) -> Table:
        """Return the table without a column, if it has it."""
        kept = [index for index, name in enumerate(self.columns) if name != column]
        rows = tuple(tuple(row[index] for index in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[index] for index in kept), rows=rows)


def headline(plan: PlanDescription) -> str:
    """Return the totals in a sentence."""
    if not plan.names:
        return "no variations: nominal only"
    nuisances = _count(plan.nuisances, "nuisance")
    if len(plan.years) == 1:
        return f"{nuisances}, {_count(plan.names, 'variation')}"
    most = max(plan.years, key=lambda one: one.variations)
    a_year = f"{_count(most.nuisances, 'nuisance')} and {_count(most.variations, 'variation')} a year"
    same = len({(one.nuisances, one.variations) for one in plan.years}) == 1
    return (
        f"{a_year if same else f'up to {a_year}'}; over {len(plan.years)} years {nuisances}, "
        f"{_count(plan.names, 'variation')} by name"
    )


def tables_of(plan: PlanDescription) -> Iterator[Table]:
    """Yield the tables of a description."""
    if plan.sources:
        yield _years(plan)
        yield _sources(plan)
    groups = [one for one in plan.groups if plan.full or not one.is_data]
    for number, one in enumerate(groups):
        table = _steps(one, full=plan.full)
        first = groups[0]
        differs = set(one.steps) ^ set(first.steps)
        if number and not plan.full and one.variations == first.variations and len(differs) <= _FEW:
            yield _differences(table, one, first)
        else:
            yield table


def memory_text(memory: MemoryEstimate) -> str:
    """Return an estimate in a sentence."""
    batches = "1 batch" if memory.batches == 1 else f"at most {memory.batches} batches"
    return (
        f"If {memory.events:,} events of a chunk are selected: {batches} of up to {memory.rows:,} rows, "
        f"about {_size(memory.rows * memory.bytes_per_row)} ({memory.bytes_per_row:,} B a row, by a rule "
        f"of thumb), and {_size(memory.state_bytes)} of corrected values."
    )


def _years(plan: PlanDescription) -> Table:
    kinds = [kind for kind in _KINDS if any(one.by_kind.get(kind) for one in plan.years)]
    titles = ("year", "nuisances", "variations", *(f"of {_PLURAL[kind]}" for kind in kinds))
    rows = [
        (
            one.year or "all",
            f"{one.nuisances:,}",
            f"{one.variations:,}",
            *(f"{one.by_kind.get(kind, 0):,}" for kind in kinds),
        )
        for one in plan.years
    ]
    if len(plan.years) > 1:
        rows.append(("together", f"{plan.nuisances:,}", f"{plan.names:,}", *("" for _ in kinds)))
    return Table("Variations", titles, tuple(rows), frozenset(titles[1:]))


_PLURAL = {
    "object": "objects",
    "weight": "weights",
    "member set": "member sets",
    "normalisation": "yields",
}


def _sources(plan: PlanDescription) -> Table:
    titles = (
        "correction",
        "varies",
        "sources",
        "variations",
        "correlation",
        "only for",
        "also varies",
        "needs",
    )
    grouped: dict[tuple[object, ...], list[SourceDescription]] = {}
    for number, one in enumerate(plan.sources):
        key = (one.correction, one.kind, one.decorrelated, one.years, one.moves, one.columns, one.datasets)
        grouped.setdefault((*key, number) if plan.full else key, []).append(one)
    rows = [_source_row(sources, plan) for sources in grouped.values()]
    table = Table("Sources of uncertainty", titles, tuple(rows), frozenset({"variations"}))
    return table if any(one.datasets for one in plan.sources) else table.without("only for")


def _source_row(sources: Sequence[SourceDescription], plan: PlanDescription) -> tuple[str, ...]:
    first = sources[0]
    return (
        first.correction,
        _PLURAL[first.kind],
        few([one.name for one in sources], _MOST_SOURCES),
        f"{sum(one.variations for one in sources):,}",
        _correlation(first, plan),
        few(first.datasets, len(first.datasets) if plan.full else _MOST_SOURCES),
        ", ".join(first.moves),
        _by_collection(first.columns) if plan.full else _collections(first.columns),
    )


def _correlation(source: SourceDescription, plan: PlanDescription) -> str:
    if not source.years:
        return ""
    if source.decorrelated:
        return "one a year" if source.is_everywhere else f"one a year: {', '.join(source.years)}"
    if len(plan.years) == 1:
        return source.years[0]
    return "all years" if source.is_everywhere else f"{', '.join(source.years)} together"


def _collections(columns: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(column.partition("_")[0] for column in columns))


def _by_collection(columns: Iterable[str]) -> str:
    fields: dict[str, list[str]] = {}
    for column in columns:
        collection, _, field = column.partition("_")
        fields.setdefault(collection, []).append(field)
    return ", ".join(f"{name}_{'/'.join(found)}" if any(found) else name for name, found in fields.items())


def _steps(group: GroupDescription, *, full: bool) -> Table:
    titles = ("step", "evaluated", "why")
    steps = list(group.steps)
    corrections = [one for one in steps if one.kind == "object correction"]
    weights = [one for one in steps if one.kind == "weight"]
    others = [one for one in steps if one.kind not in {"object correction", "weight"}]
    rows = [(one.name, _times(one, group), one.reason) for one in corrections]
    rows += [
        (name, _times(one, group), one.reason)
        for name, one in (_alone(others) if full else _condensed(others))
    ]
    rows += [(f"{one.name} (weight)", _times(one, group), one.reason) for one in weights]
    kind = "data" if group.is_data else "simulation"
    where = f", {', '.join(group.years)}" if group.years else ""
    title = f"One chunk of {kind}{where} ({_count(len(group.datasets), 'dataset')})"
    key = "A key is one direction of a source, or a relative shift that serves both. "
    return Table(
        title, titles, tuple(rows), note=f"{key}{memory_text(group.memory)}" if group.variations else ""
    )


def _differences(table: Table, group: GroupDescription, first: GroupDescription) -> Table:
    """Return what a kind of chunk has that the first one has not, and the other way round."""
    here = [one for one in group.steps if one not in first.steps]
    names = {one.name for one in here}
    rows = [(one.name, _times(one, group), one.reason) for one in here]
    rows += [
        (one.name, "not here", "") for one in first.steps if one not in group.steps and one.name not in names
    ]
    return Table(f"{table.title}: as before, but", table.columns, tuple(rows))


def _alone(steps: Iterable[StepDescription]) -> Iterator[tuple[str, StepDescription]]:
    yield from ((one.name, one) for one in steps)


def _condensed(steps: Sequence[StepDescription]) -> Iterator[tuple[str, StepDescription]]:
    """Yield steps with their names; selections and observables that are alike are one."""
    counts = Counter((one.kind, one.varies, one.reason) for one in steps)
    done = set()
    for one in steps:
        key = (one.kind, one.varies, one.reason)
        if one.kind not in {"selection", "observable"} or counts[key] == 1:
            yield one.name, one
        elif key not in done:
            done.add(key)
            yield f"{counts[key]} {one.kind}s ({one.name.removeprefix('channels.')}, ...)", one


def _times(step: StepDescription, group: GroupDescription) -> str:
    parts = []
    if step.kind in {"object correction", "weight"}:
        parts = ["nominal"]
        if step.kind == "weight" and step.varies and group.variations:
            parts.append(_count(group.variations, "variation"))
        if step.states:
            parts.append(_count(step.states, "variation"))
        if step.keys:
            parts.append(_count(step.keys, "key"))
        return " + ".join(parts)
    return f"nominal + {_count(group.variations, 'variation')}" if step.varies else "once"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(number: float) -> str:
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if number >= factor:
            return (
                f"{number / factor:.2g} {unit}" if number < 100 * factor else f"{number / factor:,.0f} {unit}"
            )
    return f"{number / 1e3:,.0f} kB"
