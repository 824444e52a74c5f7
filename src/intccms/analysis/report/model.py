"""What a run report holds, and its JSON form; not how it is made or shown."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

__all__ = ["DatasetReport", "Failure", "FailureGroup", "RunReport", "Skipped"]

_Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""JSON has no numbers that are not finite; they are null there."""


@dataclass(frozen=True)
class Failure:
    """A part of the input that was not processed."""

    dataset: str
    file: str
    """Empty if it is no fault of one file."""
    start: int | None
    """First entry; None if the whole file is missing."""
    stop: int | None
    reason: str
    traceback: str = ""
    chunk: str | None = None
    """What ``intccms replay`` takes; None for a whole file."""
    entries: int | None = None
    """Entries that are missing because of it; None if that is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return what tells this failure from others of its group as JSON data."""
        names = ("dataset", "file", "start", "stop", "chunk")
        data = {name: getattr(self, name) for name in names}
        return data if self.entries == _length(self.start, self.stop) else {**data, "entries": self.entries}


@dataclass(frozen=True)
class FailureGroup:
    """Failures at one place in the code, whose reasons differ in numbers, paths and checksums at most."""

    reason: str
    """That of the first one."""
    traceback: str
    """That of the first one, and kept for all."""
    failures: tuple[Failure, ...]

    @property
    def entries(self) -> int:
        """Entries that are missing; those of files of unknown length are not in it."""
        return sum(one.entries or 0 for one in self.failures)

    @property
    def varies(self) -> bool:
        """Whether the reasons are alike and not the same."""
        return any(one.reason != self.reason for one in self.failures)

    @property
    def chunk(self) -> str | None:
        """The first chunk that can be replayed."""
        return next((one.chunk for one in self.failures if one.chunk is not None), None)

    def to_json(self) -> dict[str, Any]:
        """Return the group as JSON data."""
        return {
            "reason": self.reason,
            "traceback": self.traceback,
            "count": len(self.failures),
            "entries": self.entries,
            "chunks": [
                one.to_json() if one.reason == self.reason else {**one.to_json(), "reason": one.reason}
                for one in self.failures
            ],
        }


@dataclass(frozen=True)
class Skipped:
    """Input that was left out on purpose; it does not make a run incomplete."""

    dataset: str
    files: int
    entries: int | None
    """None if nobody looked."""
    reason: str


@dataclass(frozen=True)
class DatasetReport:
    """Expected against processed, for one dataset."""

    name: str
    process: str
    year: str | None
    is_data: bool
    files: int
    failed_files: int
    """Files of which not even the metadata could be read."""
    entries: int
    """Entries of the files that could be read."""
    processed: int
    """Entries that were processed."""
    failed_chunks: int
    sumw: float | None
    """Sum of generator weights over generated events of the processed part (simulation)."""
    scale: _Number
    """Factor applied: ``xsec * lumi / sumw``."""
    error: str | None = None
    """Why the dataset could not be scaled; nothing of it is then in the histograms of its process."""
    sumw_expected: float | None = None
    """Sum of generator weights over all generated events of the files that could be read (simulation)."""
    lumi_sections: int | None = None
    """Lumi sections of the files that could be read (data)."""
    processed_lumi_sections: int | None = None
    """Lumi sections of which events were processed (data)."""
    chunks: int = 0
    computed: int = 0
    """Chunks computed in this run."""
    reused: int = 0
    """Chunks taken from the ledger."""
    computed_entries: int = 0
    """Entries of the chunks computed in this run."""
    cpu_seconds: _Number = 0.0
    """CPU time of the chunks computed in this run [s]."""

    @property
    def coverage(self) -> float:
        """Fraction of entries processed; files of unknown length count as average ones.

        Zero for a dataset that could not be scaled.
        """
        known = self.files - self.failed_files
        if known <= 0 or self.error is not None:
            return 0.0
        fraction = self.processed / self.entries if self.entries else 1.0
        return fraction * known / self.files


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    datasets: tuple[DatasetReport, ...]
    failures: tuple[Failure, ...]
    """Kept with those that share reason and traceback side by side."""
    notes: tuple[str, ...]
    lumi: dict[str, _Number]
    """Luminosity by year [pb^-1]; the key is empty where there is one number."""
    data_processes: tuple[str, ...]
    nan: dict[str, int]
    """``channel/observable`` -> candidates that were NaN and are in no bin."""
    seconds: _Number
    """Wall time of reading and filling [s]."""
    min_coverage: float
    skipped: tuple[Skipped, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    """What the run left: path relative to the run directory, and what it is."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Versions, host, command and times."""
    path: str = ""
    """The run directory, as commands take it."""

    def __post_init__(self) -> None:
        ordered = tuple(
            one if one.traceback == group.traceback else replace(one, traceback=group.traceback)
            for group in _grouped(self.failures)
            for one in group.failures
        )
        object.__setattr__(self, "failures", ordered)

    @cached_property
    def groups(self) -> tuple[FailureGroup, ...]:
        """Failures of one sort together, in the order of their first appearance."""
        return _grouped(self.failures)

    @property
    def worst(self) -> DatasetReport | None:
        """The dataset with the lowest coverage."""
        return min(self.datasets, key=lambda one: one.coverage, default=None)

    @property
    def coverage(self) -> float:
        """Coverage of the worst dataset, in entries."""
        return 1.0 if self.worst is None else self.worst.coverage

    @property
    def complete(self) -> bool:
        """Whether nothing failed and each dataset has as many processed entries as expected."""
        return not self.failures and all(one.processed == one.entries for one in self.datasets)

    @property
    def succeeded(self) -> bool:
        """Whether the run counts as a success: nothing is missing, or as little as the configuration allows."""
        return self.complete or (self.min_coverage < 1.0 and self.coverage >= self.min_coverage)

    @property
    def events_per_second(self) -> float | None:
        """Entries computed in this run per second of wall time; None if nothing was computed."""
        entries = sum(one.computed_entries for one in self.datasets)
        return entries / self.seconds if entries and self.seconds else None

    @property
    def cpu_seconds_per_million_events(self) -> float | None:
        """CPU time of the computed chunks [s] per million of their entries; None if nothing was computed."""
        entries = sum(one.computed_entries for one in self.datasets)
        return 1e6 * sum(one.cpu_seconds for one in self.datasets) / entries if entries else None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data; failures are grouped, so that each traceback is there once."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            "complete": self.complete,
            "succeeded": self.succeeded,
            "coverage": self.coverage,
            "events_per_second": self.events_per_second,
            "cpu_seconds_per_million_events": self.cpu_seconds_per_million_events,
            **plain,
            "datasets": [{**asdict(one), "coverage": one.coverage} for one in self.datasets],
            "skipped": [asdict(one) for one in self.skipped],
            "failures": tuple(group.to_json() for group in self.groups),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the report that `to_json` made.

        Raises
        ------
        ValueError
            If a fact is missing or of the wrong type.
        """
        try:
            failures = [one for group in data["failures"] for one in _failures_of(group)]
        except (KeyError, TypeError) as exc:
            message = f"the failures are not as expected: {exc!r}"
            raise ValueError(message) from exc
        try:
            report: Self = TypeAdapter(cls).validate_python({**data, "failures": failures})
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise ValueError(message) from exc
        return report

    def __rich__(self) -> RenderableType:
        """Return the report for a terminal."""
        from intccms.analysis.report.terminal import render

        return render(self)

    def _repr_html_(self) -> str:
        from intccms.analysis.report.page import html_fragment

        return html_fragment(self)


def _length(start: int | None, stop: int | None) -> int | None:
    return None if start is None or stop is None else stop - start


def _grouped(failures: Iterable[Failure]) -> tuple[FailureGroup, ...]:
    groups: dict[tuple[str, str], list[Failure]] = {}
    for one in failures:
        groups.setdefault((_alike(one.reason), _places(one.traceback)), []).append(one)
    return tuple(
        FailureGroup(members[0].reason, members[0].traceback, tuple(members)) for members in groups.values()
    )


@lru_cache(maxsize=4096)
def _alike(reason: str) -> str:
    """Return a reason without what differs from chunk to chunk: checksums, paths and numbers."""
    text = re.sub(r"\b[0-9a-f]{12,}\b", "#", reason)
    # not one pattern with a slash in its middle: that takes the square of the length of a long word
    text = re.sub(r"[^\s'\"]+", lambda word: "/" if "/" in word[0] else word[0], text)
    return re.sub(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?", "#", text)


@lru_cache(maxsize=4096)
def _places(traceback: str) -> str:
    """Return the places in the code that a traceback went through; the whole of one that names none."""
    places = [line for line in traceback.splitlines() if line.startswith("  File ")]
    return "\n".join(places) if places else traceback


def _failures_of(group: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for chunk in group["chunks"]:
        entries = _length(chunk["start"], chunk["stop"])
        yield {"entries": entries, "reason": group["reason"], "traceback": group["traceback"], **chunk}
