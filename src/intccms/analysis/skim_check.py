"""Looks for events that the analysis selects and the skim has lost, in a sample of the events before the skim."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.analysis.chunks import edges_of
from intccms.analysis.executors import Lost
from intccms.analysis.processor import AnalysisProcessor
from intccms.analysis.progress import show_progress
from intccms.analysis.scheduling import run_each
from intccms.analysis.skims import SkimIO
from intccms.datasets import DatasetManager, open_source
from intccms.datasets.reading import other_replicas
from intccms.datasets.sources import forget_sources
from intccms.errors import FunctorError, InputFileError, IntccmsError
from intccms.schema import ObjVar
from intccms.schema.secrets import masked_text
from intccms.schema.selection import Channel, Observable
from intccms.skimming import ColumnPlan, skim_folder
from intccms.skimming.columns import EVENT_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from intccms.analysis.columns import Columns
    from intccms.analysis.executors import Executor
    from intccms.analysis.ledger import DatasetPlan
    from intccms.analysis.results import Chunk, DatasetSums
    from intccms.datasets import EventSource, SourceFile
    from intccms.schema import Config
    from intccms.skimming.parts import SkimPart

__all__ = ["DatasetCheck", "LostEvent", "SkimCheck", "check_skims"]

_EVENTS = 5_000
"""Events of a slice: each has a bin of its own in every variation of every channel."""

_NAMED, _SHOWN = 1_000, 5
"""Lost events of a dataset that are kept with their places, and those that lines show."""

_POSITION = "positionInSlice"
_CONFIDENCE = -math.log(0.05)
"""Expected number of lost events that is excluded at 95 % confidence where none was found."""


@dataclass(frozen=True)
class LostEvent:
    """An event that is selected and not in the skim."""

    file: str
    entry: int
    """Entry in the source file."""
    channel: str
    variations: tuple[str, ...]
    """In which it is selected, ``nominal`` among them."""


@dataclass
class DatasetCheck:
    """What was found in the sample of a dataset."""

    name: str
    events: int = 0
    """Events before the skim that were looked at."""
    kept: int = 0
    """Those that are in the skim."""
    selected: int = 0
    """Those that are selected by some channel, in some variation."""
    lost: int = 0
    """Those of the selected ones that are not in the skim."""
    examples: list[LostEvent] = field(default_factory=list)
    """The first thousand of them."""
    unread: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""

    @property
    def limit(self) -> float | None:
        """Largest fraction of selected events that may be lost (95 % confidence level); None if some are or may be."""
        return _CONFIDENCE / self.selected if self.selected and not self.lost else None


@dataclass(frozen=True)
class SkimCheck:
    """What was found, by dataset."""

    datasets: tuple[DatasetCheck, ...]
    has_filter: bool = True
    """Whether there is a skim function at all."""
    written: bool = True
    """Whether written skims were looked at, rather than what the function would keep."""

    @property
    def sound(self) -> bool:
        """Whether all of the sample was looked at and no selected event was lost."""
        return not any(one.lost or one.unread for one in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return {
            "sound": self.sound,
            "written": self.written,
            "datasets": [{**asdict(one), "limit": one.limit} for one in self.datasets],
        }

    def lines(self) -> Iterator[str]:
        """Yield what people read."""
        for one in self.datasets:
            kept = f"{one.kept:,} {'in the skim' if self.written else 'kept by the skim function'}"
            yield f"{one.name}: {one.events:,} events, {kept}, {one.selected:,} selected, {one.lost:,} lost"
            if one.limit is not None:
                yield f"  fewer than {one.limit:.2g} of the selected events are lost (95 % CL)"
            for event in one.examples[:_SHOWN]:
                where = ", ".join(event.variations[:4]) + (" ..." if len(event.variations) > 4 else "")
                yield f"  lost: entry {event.entry} of {event.file}: selected by {event.channel} ({where})"
            if len(one.examples) > _SHOWN:
                yield f"  --json has the places of {'the first ' if len(one.examples) == _NAMED else ''}{len(one.examples):,}"
            yield from (f"  not looked at: {text}" for text in one.unread)
        if not self.has_filter:
            yield "There is no preprocess.skimming.function: skims hold all events that golden JSON files allow."
        elif any(one.lost for one in self.datasets):
            yield (
                "The skim is tighter than the analysis: loosen preprocess.skimming.function, for all variations, and "
                "write the skim again, or tighten the selections of the channels that are named."
            )


def check_skims(
    config: Config,
    plans: Sequence[DatasetPlan],
    executor: Executor,
    *,
    fraction: float,
    seed: int = 0,
    written: bool = True,
    show: bool = False,
) -> SkimCheck:
    """Run the selections without the skim on a sample of source events, and compare with what the skim keeps.

    Parameters
    ----------
    config
        The configuration. All channels are looked at, in all variations of objects.
    plans
        Datasets with the chunks of their skims; those without any are compared with the skim function.
    executor
        Where events are read.
    fraction
        Of the events; at least a few thousand of each dataset.
    seed
        Of the choice.
    written
        Whether the chunks are those of written skims.
    show
        Show a progress bar.
    """
    found = {
        plan.name: DatasetCheck(plan.name, unread=[*_unreadable(plan), *_absent(plan)]) for plan in plans
    }
    slices = [one for plan in plans for one in _sample(config, plan, fraction, seed)]
    events = sum(one.stop - one.start for one in slices)
    with show_progress("skim check", events, "events", show=show) as advance:
        for done in run_each(executor, _Check(config), slices):
            if isinstance(done, Lost):
                found[done.item.chunk.dataset].unread.append(masked_text(f"{done.item.place}: {done.reason}"))
                advance(done.item.stop - done.item.start, failures=1)
                continue
            part, error = done
            if error:
                found[part.name].unread.append(error)
            _add(found[part.name], part)
            advance(part.events, failures=int(bool(error)))
    return SkimCheck(tuple(found.values()), config.preprocess.skimming.function is not None, written)


@dataclass(frozen=True)
class _Slice:
    chunk: Chunk
    file: SourceFile
    start: int
    stop: int

    @property
    def place(self) -> str:
        return f"{self.file.name} [{self.start}:{self.stop}]"


def _unreadable(plan: DatasetPlan) -> list[str]:
    return [
        masked_text(f"{record.name}: {record.error}")
        for record in plan.metadata.files
        if record.error is not None
    ]


def _absent(plan: DatasetPlan) -> Iterator[str]:
    """Yield why chunks are not in the skim that is written, with the first one of each reason."""
    chunks: dict[str, list[Chunk]] = {}
    for chunk in (chunk for file in plan.files for chunk in file.chunks):
        if reason := plan.absent.get((chunk.file_index, chunk.start)):
            chunks.setdefault(reason, []).append(chunk)
    for reason, (first, *others) in chunks.items():
        more = f" and {len(others):,} more" if others else ""
        yield masked_text(f"{first.file.name} [{first.start}:{first.stop}]{more}: {reason}")


def _sample(config: Config, plan: DatasetPlan, fraction: float, seed: int) -> list[_Slice]:
    files = {one.name: one for one in DatasetManager(config).files(plan.name)}
    slices = []
    for chunk in (chunk for file in plan.files for chunk in file.chunks):
        if (chunk.file_index, chunk.start) in plan.absent:
            continue
        edges = edges_of(chunk.stop - chunk.start, _EVENTS) if chunk.stop > chunk.start else [0]
        file = files.get(chunk.file.name, chunk.file)
        for first, last in pairwise(edges):
            slices.append(_Slice(chunk, file, chunk.start + first, chunk.start + last))
    number = min(len(slices), max(1, math.ceil(fraction * len(slices))))
    chosen = random.Random(f"{seed} {plan.name}").sample(range(len(slices)), number)
    return [slices[index] for index in sorted(chosen)]


def _add(total: DatasetCheck, part: DatasetCheck) -> None:
    total.events += part.events
    total.kept += part.kept
    total.selected += part.selected
    total.lost += part.lost
    total.examples += part.examples[: max(0, _NAMED - len(total.examples))]


@dataclass(frozen=True)
class _Check:
    """The task: one slice of events."""

    config: Config

    def __call__(self, item: _Slice) -> tuple[DatasetCheck, str]:
        """Return what was found, and why nothing was if that is so."""
        try:
            with np.errstate(all="ignore"):
                return self._from_some_replica(item), ""
        except IntccmsError as exc:
            return DatasetCheck(item.chunk.dataset), masked_text(f"{item.place}: {exc}")

    def _from_some_replica(self, item: _Slice) -> DatasetCheck:
        while True:
            try:
                return self._checked(item)
            except Exception as exc:
                others = other_replicas(item.file, exc)
                if others is None:
                    raise
                forget_sources()
                item = replace(item, file=others[0])

    def _checked(self, item: _Slice) -> DatasetCheck:
        chunk = item.chunk
        source = open_source(item.file, chunk.tree_name)
        if chunk.uuid is not None and source.uuid != chunk.uuid:
            message = f"{source.url} is not the file that the skim was made of (uuid {source.uuid}, not {chunk.uuid})."
            raise InputFileError(message)
        dataset = next(one for one in self.config.selected_datasets() if one.name == chunk.dataset)
        branches = self._plan.branches(source.branches, dataset, where=source.url)

        def events(start: int = item.start, stop: int = item.stop) -> Any:
            metadata = {
                "dataset": chunk.dataset,
                "absent_triggers": branches.absent_triggers,
                "absent_corrections": branches.absent_corrections,
            }
            plain = source.events(branches.names, start, stop, metadata)
            numbered = ak.with_field(plain, np.arange(stop - start), _POSITION)
            numbered.metadata.update(plain.metadata)
            return numbered

        size = item.stop - item.start
        if chunk.part is None:
            kept, _ = self._passed(events(), size)
        else:
            kept = self._in_part(chunk, source, events)[item.start - chunk.start : item.stop - chunk.start]
        try:
            sums = self._selecting(size).sums(events())
        except FunctorError as exc:
            if self._passed(events(), size)[1]:
                raise
            message = f"the skim function makes columns that the selections need, so these cannot do without it: {exc}"
            raise FunctorError(message) from exc
        return _compared(item, kept, sums, size)

    @cached_property
    def _plan(self) -> ColumnPlan:
        return ColumnPlan(self.config, everything=True)

    def _passed(self, events: Any, size: int) -> tuple[NDArray[np.bool_], bool]:
        """Return which events the skim function keeps, and whether it returns a mask rather than events."""
        passed = np.zeros(size, dtype=bool)
        seen: list[Any] = []

        def note(columns: Columns, sums: DatasetSums) -> None:
            del sums
            seen.append(columns.positions)
            passed[np.asarray(columns[ObjVar("event", _POSITION)])] = True

        AnalysisProcessor(self.config, ()).sums(events, on_skim=note)
        return passed, seen[0] is not None

    def _in_part(
        self, chunk: Chunk, source: EventSource, events: Callable[[int, int], Any]
    ) -> NDArray[np.bool_]:
        """Return which events of a chunk are in its written part.

        Where run, luminosityBlock and event do not tell them apart: which ones the skim function keeps, if these are as
        many as were written.

        Raises
        ------
        InputFileError
            If the part cannot have come from these events.
        """
        assert chunk.part is not None
        kept = chunk.part.kept
        if not kept:
            return np.zeros(chunk.entries, dtype=bool)
        found = self._with_ids_of_part(chunk, chunk.part, source)
        # all that was written comes from the chunk, so that as many as there are in the part are those in the part
        if found is None or found.sum() > kept:
            found, _ = self._passed(events(chunk.start, chunk.stop), chunk.entries)
        if found.sum() != kept:
            message = (
                f"the skim has {kept} events of {chunk}, and {found.sum()} of those in {source.url} would be in it: it "
                "was made of other events, or with another filter. Write it again with general.run_skimming=True."
            )
            raise InputFileError(message)
        return found

    def _with_ids_of_part(
        self, chunk: Chunk, part: SkimPart, source: EventSource
    ) -> NDArray[np.bool_] | None:
        written = self._skims.read(chunk.dataset, part)
        if not set(EVENT_IDS) <= written.branches or not set(EVENT_IDS) <= source.branches:
            return None
        known = set(_ids(written, 0, written.entries))
        return np.array([one in known for one in _ids(source, chunk.start, chunk.stop)], dtype=bool)

    @cached_property
    def _skims(self) -> SkimIO:
        return SkimIO(self.config, skim_folder(self.config))

    def _selecting(self, size: int) -> AnalysisProcessor:
        """Return the analysis without the skim, with one bin for each event in every channel."""
        position = Observable(
            name="position",
            function=_same,
            use=[ObjVar("event", _POSITION)],
            binning={"bins": size, "start": -0.5, "stop": size - 0.5},
        )
        channels = [
            Channel(name=one.name, selection=one.selection, observables=[position])
            for one in self.config.channels
        ]
        skimming = self.config.preprocess.skimming.model_copy(update={"function": None, "use": []})
        # the skim serves runs with variations, also where this configuration does without them
        switches = {"channels": None, "run_histogramming": True, "run_systematics": True}
        general = self.config.general.model_copy(update=switches)
        return AnalysisProcessor(
            self.config.model_copy(
                update={
                    "general": general,
                    "preprocess": self.config.preprocess.model_copy(update={"skimming": skimming}),
                    "channels": channels,
                    "corrections": _of_objects(self.config),
                }
            )
        )


def _ids(source: EventSource, start: int, stop: int) -> Iterator[tuple[int, ...]]:
    columns = source.arrays(EVENT_IDS, start, stop)
    return zip(*(columns[name].to_list() for name in EVENT_IDS), strict=True)


def _same(position: Any) -> Any:
    return position


def _of_objects(config: Config) -> Any:
    """Return the corrections without those of weights, which select nothing."""
    if isinstance(config.corrections, dict):
        return {
            year: [one for one in corrections if one.type == "object"]
            for year, corrections in config.corrections.items()
        }
    return [one for one in config.corrections if one.type == "object"]


def _compared(item: _Slice, kept: NDArray[np.bool_], sums: DatasetSums, size: int) -> DatasetCheck:
    found = DatasetCheck(item.chunk.dataset, size, int(kept.sum()))
    selected = np.zeros(size, dtype=bool)
    for (channel, _), one in sums.histograms.items():
        masks = {"nominal": one.sumw2[1:-1] > 0} | {
            name: varied[1][1:-1] > 0 for name, varied in one.varied.items()
        }
        anywhere = np.logical_or.reduce(list(masks.values()))
        selected |= anywhere
        for position in np.flatnonzero(anywhere & ~kept)[:_NAMED]:
            names = tuple(name for name, mask in masks.items() if mask[position])
            found.examples.append(LostEvent(item.file.name, item.start + int(position), channel, names))
    found.selected = int(selected.sum())
    found.lost = int((selected & ~kept).sum())
    return found
