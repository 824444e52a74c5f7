"""Measures a search with all its variations on a file, against the nominal pass over the same file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.measure import fastest, in_fresh_process, peak_memory

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.varied_configurations import Part
    from intccms.schema import Config

__all__ = ["FULL_SET_LINES", "FullSet", "measure_full_set"]

_OTHER_EVENTS = 500
"""Events at the end of the file that are processed before each measurement, so that none finds the results of the last one
remembered."""


@dataclass(frozen=True)
class FullSet:
    """CPU times of one file [s], the fastest of several repetitions; reading included."""

    codec: str
    events: int
    chunk_size: int
    skimmed: int
    """Events that the skim leaves."""
    selected: int
    """Events that pass the baseline selection, nominally."""
    object_variations: int
    weight_variations: int
    nominal: float
    full: float
    weights: float
    """Weight variations alone."""
    objects: float
    """Object variations alone, with the weights that follow them."""
    peak_memory: float
    """Largest memory of the process after the full set [MiB]."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


FULL_SET_LINES = (
    ("codec", lambda one: one.codec),
    ("events", lambda one: f"{one.events:,}"),
    ("chunks of", lambda one: f"{one.chunk_size:,}"),
    ("events behind the skim", lambda one: f"{one.skimmed:,}"),
    ("events behind the baseline selection", lambda one: f"{one.selected:,}"),
    ("variations of objects", lambda one: f"{one.object_variations}"),
    ("variations of weights", lambda one: f"{one.weight_variations}"),
    ("nominal pass [s]", lambda one: f"{one.nominal:.2f}"),
    ("all variations [s]", lambda one: f"{one.full:.2f}"),
    ("  ratio to nominal", lambda one: f"{one.full / one.nominal:.2f}"),
    ("weights alone [s]", lambda one: f"{one.weights:.2f}"),
    ("  ratio to nominal", lambda one: f"{one.weights / one.nominal:.2f}"),
    ("objects alone [s]", lambda one: f"{one.objects:.2f}"),
    ("  ratio to nominal", lambda one: f"{one.objects / one.nominal:.2f}"),
    ("peak memory of the worker [MiB]", lambda one: f"{one.peak_memory:.0f}"),
)
"""Lines of the table."""


def measure_full_set(path: Path, *, chunk_size: int, repeat: int) -> FullSet:
    """Return what the variations of the search cost on a file, in a process of its own.

    Parameters
    ----------
    path
        A file with full content.
    chunk_size
        Events in a chunk.
    repeat
        Repetitions, in turn; the fastest of each counts.
    """
    return in_fresh_process(_measure, path, chunk_size, repeat)


def _measure(path: Path, chunk_size: int, repeat: int) -> FullSet:
    import uproot

    from benchmarks.passes import metadata_of, process, work_on
    from benchmarks.varied_configurations import search
    from intccms.analysis.processor import AnalysisProcessor

    record = metadata_of(path)
    parts: tuple[Part, ...] = ("nominal", "all", "weights", "objects")
    configs: dict[Part, Config] = {part: search(path, part) for part in parts}
    work = work_on(configs["all"], record, chunk_size)
    # opens the payloads, which stay open; and its memory must not be hidden behind that of another pass
    process(configs["all"], work)
    memory = peak_memory()
    last = work_on(configs["all"], record, _OTHER_EVENTS)[-1:]
    times: dict[Part, list[float]] = {part: [] for part in parts}
    # in turn: what else the machine does then slows all of them down
    for _ in range(repeat):
        for part, config in configs.items():
            one = fastest(partial(process, config, work), 1, before=partial(process, configs["all"], last))
            times[part].append(one)
    sums = process(configs["nominal"], work)
    plan = AnalysisProcessor(configs["all"]).plan(configs["all"].selected_datasets()[0].name)
    steps = [list(one.common.steps) for one in sums]
    with uproot.open(path) as opened:
        codec = str(opened.file.compression)
    return FullSet(
        codec=codec,
        events=sum(one.entries for one in sums),
        chunk_size=chunk_size,
        skimmed=sum(one.common.steps["jets"][0] for one in sums),
        selected=sum(one.common.steps[names[-1]][0] for one, names in zip(sums, steps, strict=True)),
        object_variations=len(plan.object_variations),
        weight_variations=len(plan.weight_variations),
        nominal=min(times["nominal"]),
        full=min(times["all"]),
        weights=min(times["weights"]),
        objects=min(times["objects"]),
        peak_memory=memory,
    )
