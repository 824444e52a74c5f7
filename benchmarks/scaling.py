"""Measures how the cost of variations grows with their number, and with the events of a chunk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.measure import fastest, in_fresh_process, peak_memory

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.schema import Config

__all__ = ["SCALING_LINES", "Kind", "Scaling", "measure_scaling"]

Kind = Literal["objects", "weights", "search"]
"""Variations of objects or of weights in the analysis of two jets; or all of `example_cms`."""

_OTHER_EVENTS = 50
"""Events that are processed before each measurement, so that none finds the results of the last one remembered."""


@dataclass(frozen=True)
class Scaling:
    """CPU times of one chunk [s], its columns in memory."""

    kind: Kind
    events: int
    """Events of the chunk, behind the skim."""
    variations: int
    nominal: float
    varied: float
    """Nominal and all variations."""
    peak_memory: float
    """Largest memory of the process [MiB]."""

    @property
    def of_each(self) -> float:
        """Time of one variation, in units of nominal."""
        return (self.varied / self.nominal - 1) / self.variations

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self) | {"of_each": self.of_each}


SCALING_LINES = (
    ("variations of", lambda one: one.kind),
    ("events of the chunk, behind the skim", lambda one: f"{one.events:,}"),
    ("variations", lambda one: f"{one.variations}"),
    ("nominal [s]", lambda one: f"{one.nominal:.3f}"),
    ("all variations [s]", lambda one: f"{one.varied:.3f}"),
    ("  ratio to nominal", lambda one: f"{one.varied / one.nominal:.2f}"),
    ("  of each variation [of nominal]", lambda one: f"{one.of_each:.3f}"),
    ("per event and variation [us]", lambda one: f"{_microseconds(one):.2f}"),
    ("peak memory [MiB]", lambda one: f"{one.peak_memory:.0f}"),
)
"""Lines of the table."""


def measure_scaling(path: Path, kind: Kind, *, events: int, variations: int, repeat: int) -> Scaling:
    """Return what a number of variations costs in a chunk, in a process of its own.

    Parameters
    ----------
    path
        A file with full content.
    kind
        What varies. ``search`` has the number of variations that it has.
    events
        Events of the chunk, behind the skim.
    variations
        Two for each source.
    repeat
        Repetitions; the fastest counts.
    """
    return in_fresh_process(_measure, path, kind, events, variations, repeat)


def _measure(path: Path, kind: Kind, events: int, variations: int, repeat: int) -> Scaling:
    from benchmarks.passes import skimmed_events

    varied, nominal = _configs(path, kind, variations)
    chunk = skimmed_events(varied, path, selected=events)
    chunk.sums()  # reads the columns
    memory = peak_memory()
    alone = skimmed_events(nominal, path, selected=events)
    other = skimmed_events(varied, path, selected=_OTHER_EVENTS, skip=events)
    for one in (alone, other):
        one.sums()
    plan = chunk.processor.plan(chunk.dataset.name)
    return Scaling(
        kind=kind,
        events=events,
        variations=len(plan.object_variations) + len(plan.weight_variations),
        nominal=fastest(alone.sums, repeat, before=other.sums),
        varied=fastest(chunk.sums, repeat, before=other.sums),
        peak_memory=memory,
    )


def _configs(path: Path, kind: Kind, variations: int) -> tuple[Config, Config]:
    """Return the configuration with variations, and the one without."""
    from benchmarks.varied_configurations import search, two_jets

    if kind == "search":
        return search(path), search(path, "nominal")
    sources = variations // 2
    if kind == "objects":
        return two_jets(path, object_sources=sources), two_jets(path, object_sources=0)
    return two_jets(path, object_sources=0, weight_sources=sources), two_jets(path, object_sources=0)


def _microseconds(one: Scaling) -> float:
    return 1e6 * (one.varied - one.nominal) / one.events / one.variations
