"""Measures variations against the loop that everyone writes first: the whole analysis anew for each variation.

The loop is that of the tests (`tests.systematics.one_by_one`): plain awkward, the same functions, nothing shared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.measure import fastest, in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.passes import InMemory
    from benchmarks.varied_configurations import Part
    from intccms.analysis.results import DatasetSums

__all__ = ["LOOP_LINES", "Analysis", "Loop", "measure_loop"]

Analysis = Literal["search", "two jets"]

Results = dict[str, dict[tuple[str, str], tuple[Any, Any, Any]]]
"""Variation -> histogram -> weights, squared weights and entries of its bins."""

_OTHER_EVENTS = 50
"""Events that are processed before each measurement, so that none finds the results of the last one remembered."""


@dataclass(frozen=True)
class Loop:
    """CPU times of one chunk [s], its columns in memory; nominal and all variations of objects."""

    analysis: Analysis
    events: int
    """Events of the chunk, behind the skim."""
    variations: int
    sampled: int
    """Variations that the loop was run for; its time is scaled to all of them."""
    nominal: float
    """This package without variations."""
    tiled: float
    """This package with all of them."""
    loop: float
    different_counts: int
    """Bins of histograms, of nominal and sampled variations, whose numbers of entries differ."""
    largest_difference: float
    """Of a weighted bin to that of the loop, in units of its statistical uncertainty."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


LOOP_LINES = (
    ("analysis", lambda one: one.analysis),
    ("events of the chunk, behind the skim", lambda one: f"{one.events:,}"),
    ("variations of objects", lambda one: f"{one.variations}"),
    ("  of these in the loop, scaled", lambda one: f"{one.sampled}"),
    ("nominal [s]", lambda one: f"{one.nominal:.3f}"),
    ("all variations [s]", lambda one: f"{one.tiled:.3f}"),
    ("  ratio to nominal", lambda one: f"{one.tiled / one.nominal:.2f}"),
    ("loop over variations [s]", lambda one: f"{one.loop:.2f}"),
    ("  times slower", lambda one: f"{one.loop / one.tiled:.1f}"),
    ("bins with other counts", lambda one: f"{one.different_counts}"),
    ("largest difference of a bin [its uncertainty]", lambda one: f"{one.largest_difference:.0e}"),
)
"""Lines of the table."""


def measure_loop(path: Path, analysis: Analysis, *, events: int, every: int, repeat: int) -> Loop:
    """Return what the variations of objects cost, and what they cost in a loop, in a process of its own.

    Parameters
    ----------
    path
        A file with full content.
    analysis
        ``search``: `example_cms` with calibrations from payloads. ``two jets``: some 30 array operations, and
        functions as sources.
    events
        Events of the chunk, behind the skim.
    every
        The loop is run for nominal and each so many-th variation, and its time scaled.
    repeat
        Repetitions; the fastest of each counts. The loop is run once.
    """
    return in_fresh_process(_measure, path, analysis, events, every, repeat)


def _measure(path: Path, analysis: Analysis, events: int, every: int, repeat: int) -> Loop:
    varied, nominal, other = (
        _chunk(path, analysis, events),
        _chunk(path, analysis, events, varied=False),
        _chunk(path, analysis, _OTHER_EVENTS, skip=events),
    )
    for one in (varied, nominal, other):
        one.sums()  # reads the columns
    names = list(varied.processor.plan(varied.dataset.name).object_variations)
    sample = names[::every]
    _loop(varied, sample[:1])  # opens the payloads, reads what the tiles had no use for
    results: list[Results] = []
    of_nominal = fastest(lambda: results.append(_loop(varied, ["nominal"])), 1)
    of_sample = fastest(lambda: results.append(_loop(varied, sample)), 1)
    counted = _chunk(path, analysis, events, unit_weights=True)
    return Loop(
        analysis=analysis,
        events=events,
        variations=len(names),
        sampled=len(sample),
        nominal=fastest(nominal.sums, repeat, before=other.sums),
        tiled=fastest(varied.sums, repeat, before=other.sums),
        loop=of_nominal + of_sample * len(names) / len(sample),
        different_counts=_different_counts(counted.sums(), _loop(counted, ["nominal", *sample])),
        largest_difference=_largest_difference(varied.sums(), results[0] | results[1]),
    )


def _chunk(
    path: Path,
    analysis: Analysis,
    events: int,
    *,
    skip: int = 0,
    varied: bool = True,
    unit_weights: bool = False,
) -> InMemory:
    from benchmarks.passes import skimmed_events
    from benchmarks.varied_configurations import search, two_jets

    if analysis == "search":
        part: Part = "objects" if varied else "nominal"
        config = search(path, part, theory=False, unit_weights=unit_weights)
    else:
        config = two_jets(path, object_sources=27 if varied else 0, unit_weights=unit_weights)
    return skimmed_events(config, path, selected=events, skip=skip)


def _loop(chunk: InMemory, variations: Sequence[str]) -> Results:
    from intccms.systematics.repeats import forget
    from tests.systematics.one_by_one import one_variation

    results = {}
    with np.errstate(all="ignore"):
        for name in variations:
            forget()  # nothing is shared between variations, neither by the functions of the physics
            results[name] = one_variation(
                chunk.config, chunk.dataset, chunk.events, name, chunk.absent_triggers
            )
    return results


def _pairs(sums: DatasetSums, results: Results) -> Iterator[tuple[Any, Any]]:
    """Yield weights and squared weights of each histogram of each variation, ours and those of the loop."""
    for variation, histograms in results.items():
        for key, (sumw, sumw2, _) in histograms.items():
            own = sums.histograms[key]
            ours = (own.sumw, own.sumw2) if variation == "nominal" else own.varied[variation]
            yield ours, (sumw, sumw2)


def _different_counts(sums: DatasetSums, results: Results) -> int:
    return sum(int(np.sum(ours[0] != loop[0])) for ours, loop in _pairs(sums, results))


def _largest_difference(sums: DatasetSums, results: Results) -> float:
    largest = 0.0
    for (ours, _), (loop, squares) in _pairs(sums, results):
        with np.errstate(divide="ignore"):  # infinite where the loop has nothing
            difference = np.abs(ours - loop)[ours != loop] / np.sqrt(squares[ours != loop])
        largest = max(largest, float(np.max(difference, initial=0.0)))
    return largest
