"""Shows how far a stage is: rate, time left and failures, in a terminal and in a notebook."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Advance", "show_progress"]


class Advance(Protocol):
    """Tells a progress display what was done."""

    def __call__(self, amount: int, *, failures: int = 0) -> None:
        """Count an amount of work as done, and failures that came with it."""
        ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the mean rate since the start."""
        elapsed = task.elapsed or 0.0
        unit = task.fields["unit"]
        if elapsed == 0.0 or not task.completed:
            return Text(f"-- {unit}/s")
        return Text(f"{_short(task.completed / elapsed)} {unit}/s", style="cyan")


class _Failures(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the number of failures so far, red if there are any."""
        count = task.fields["failures"]
        return Text(f"{count} failed", style="bold red" if count else "dim")


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


@contextmanager
def show_progress(title: str, total: int, unit: str, *, show: bool = True) -> Iterator[Advance]:
    """Show a progress bar for the length of the block.

    Parameters
    ----------
    title
        What is going on.
    total
        Amount of work, in units.
    unit
        Name of the unit, such as ``events``.
    show
        False: show nothing.
    """
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _Failures(),
    )
    with Progress(*columns, console=Console(), disable=not show) as progress:
        task = progress.add_task(title, total=total, unit=unit, failures=0)
        failed = 0

        def advance(amount: int, *, failures: int = 0) -> None:
            nonlocal failed
            failed += failures
            progress.update(task, advance=amount, failures=failed)

        try:
            yield advance
        finally:
            progress.refresh()  # in a notebook nothing else shows the last update
