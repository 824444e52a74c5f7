"""What workers run: some chunks of one file, each committed as soon as it is done."""

from __future__ import annotations

import platform
import time
import traceback
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.analysis.ledger.records import encode, record_of
from intccms.analysis.processor import AnalysisProcessor
from intccms.analysis.results import Chunk, ChunkFailure, DatasetSums, Halt, Receipt, Work
from intccms.analysis.skims import SkimIO, part_to_bytes
from intccms.datasets import open_source
from intccms.datasets.reading import UNREADABLE, broken_file, reason_of
from intccms.errors import ConfigError, OutputError, PayloadFileError, ReplacedFileError
from intccms.skimming import ColumnPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.columns import Columns
    from intccms.analysis.ledger.names import Name
    from intccms.analysis.ledger.place import Place
    from intccms.datasets import EventSource
    from intccms.schema import Config, Dataset
    from intccms.skimming.columns import BranchList

__all__ = ["ProcessChunks", "SumWeights"]

Outcome = Receipt | ChunkFailure | Halt
Replicas = tuple[tuple[str, str], ...]
"""URL, and why it is not read."""


@dataclass(frozen=True)
class ProcessChunks:
    """The task that workers run; it never raises for bad input or user code."""

    config: Config
    place: Place
    """Where results are committed."""
    skims: str
    """Where skim parts are written or read; workers may work in another folder."""

    def __call__(self, work: Sequence[Work]) -> list[Outcome]:
        """Return a receipt or a failure for each chunk, in order; nothing more after our own output fails."""
        outcomes: list[Outcome] = []
        for one in work:
            outcomes.append(self._one(one))
            if isinstance(outcomes[-1], Halt):
                break
        return outcomes

    def _one(self, work: Work) -> Outcome:
        begin = time.thread_time()
        try:
            if all(self.place.has(name) for name in work.names):
                return Receipt(work)  # committed by a worker that died before it could tell
            with np.errstate(all="ignore"):  # empty chunks and divisions in user code: their NaN are counted
                sums, passed_over = self._from_some_replica(work)
            return self._commit(work, sums, time.thread_time() - begin, passed_over)
        except (OutputError, ConfigError) as exc:
            return Halt(
                type(exc)(str(exc))
            )  # without the cause, which another process may not be able to unpickle
        except Exception as exc:  # noqa: BLE001  the boundary where an error becomes a reported failure
            if _is_unopened_payload(exc):
                return Halt(PayloadFileError(f"{exc} (on the worker {platform.node()})"))
            text = traceback.format_exc()
            chunk = work.chunk
            sumw = sum_weights(chunk, self._datasets[chunk.dataset].weight_branch)
            reason = f"{type(exc).__name__}: {exc}"
            return ChunkFailure(chunk, reason, text, sumw, isinstance(exc, ReplacedFileError))

    def _from_some_replica(self, work: Work) -> tuple[DatasetSums, Replicas]:
        """Return the sums, from the next replica where one breaks while it is read, and the replicas passed over."""
        passed_over: list[tuple[str, str]] = []
        while True:
            try:
                return self._process(work, passed_over), tuple(dict.fromkeys(passed_over))
            except Exception as exc:
                broken, file = broken_file(exc), work.chunk.file
                left = tuple(url for url in file.urls if broken is not None and url != broken.url)
                if broken is None or work.chunk.part is not None or not 0 < len(left) < len(file.urls):
                    raise
                passed_over.append((broken.url, reason_of(broken)))
                work = replace(work, chunk=replace(work.chunk, file=replace(file, urls=left)))

    def sums(self, work: Work) -> DatasetSums:
        """Return the sums of one chunk, and raise whatever goes wrong; nothing is committed."""
        with np.errstate(all="ignore"):
            return self._process(work, [])

    def _process(self, work: Work, passed_over: list[tuple[str, str]]) -> DatasetSums:
        chunk = work.chunk
        processor = self._processor(work.channels)
        if chunk.part is not None and not chunk.part.kept:
            return processor.nothing(chunk.dataset, chunk.part)
        source = self._source(chunk)
        passed_over += source.passed_over
        dataset = self._datasets[chunk.dataset]
        plan = self._plan if work.part is None else self._wide_plan
        branches = plan.branches(source.branches, dataset, where=source.url)
        metadata = {
            "dataset": dataset.name,
            "absent_triggers": branches.absent_triggers,
            "absent_corrections": branches.absent_corrections,
        }
        if chunk.part is not None:
            events = source.events(branches.names, 0, source.entries, metadata)
            return processor.sums(events, part=chunk.part)
        events = source.events(branches.names, chunk.start, chunk.stop, metadata)
        return processor.sums(events, on_skim=self._writer(work, source, branches))

    def _source(self, chunk: Chunk) -> EventSource:
        if chunk.part is not None:
            return self._skims.read(chunk.dataset, chunk.part)
        source = open_source(chunk.file, chunk.tree_name)
        if chunk.uuid is not None and source.uuid != chunk.uuid:
            message = (
                f"{source.url} was replaced since its metadata were read (uuid {source.uuid}, not {chunk.uuid}). "
                "Run again: the metadata refresh themselves."
            )
            raise ReplacedFileError(message)
        return source

    def _writer(self, work: Work, source: EventSource, branches: BranchList) -> Any:
        target = work.part
        if target is None:
            return None

        def write(columns: Columns, sums: DatasetSums) -> None:
            sums.part = self._skims.write(columns, source, branches, work.chunk, target, sums)

        return write

    def _commit(self, work: Work, sums: DatasetSums, seconds: float, passed_over: Replicas = ()) -> Receipt:
        contents: list[tuple[Name, bytes]] = []
        if work.part is not None and sums.part is not None:
            contents.append((work.part.record, part_to_bytes(sums.part)))
        if work.record is not None:
            contents.append((work.record, encode(record_of(sums, seconds), str(work.record))))
        return Receipt(work, self.place.commit(contents), sums.part, seconds, passed_over)

    def _processor(self, channels: tuple[str, ...]) -> AnalysisProcessor:
        if channels not in self._processors:
            self._processors[channels] = AnalysisProcessor(self.config, channels)
        return self._processors[channels]

    # kept for the life of the worker: they walk through the whole configuration
    @cached_property
    def _processors(self) -> dict[tuple[str, ...], AnalysisProcessor]:
        return {}

    @cached_property
    def _plan(self) -> ColumnPlan:
        return ColumnPlan(self.config)

    @cached_property
    def _wide_plan(self) -> ColumnPlan:
        return ColumnPlan(self.config, everything=True)

    @cached_property
    def _skims(self) -> SkimIO:
        return SkimIO(self.config, self.skims)

    @cached_property
    def _datasets(self) -> dict[str, Dataset]:
        return {one.name: one for one in self.config.selected_datasets()}


def _is_unopened_payload(exc: BaseException | None) -> bool:
    """Tell whether an error goes back to a payload that cannot be opened, which no other chunk could open either."""
    while exc is not None and not isinstance(exc, PayloadFileError):
        exc = exc.__cause__
    return exc is not None


@dataclass(frozen=True)
class SumWeights:
    """The task that counts the generator weights of a chunk whose worker died."""

    weight_branches: Mapping[str, str | None]
    """dataset -> branch, None for data."""

    def __call__(self, chunk: Chunk) -> tuple[Chunk, float | None]:
        """Return the chunk with its sum of weights, None where it cannot be read."""
        return chunk, sum_weights(chunk, self.weight_branches[chunk.dataset])


def sum_weights(chunk: Chunk, branch: str | None) -> float | None:
    """Return what a chunk would have added to the sum of weights, None if that cannot be read."""
    if branch is None:
        return None
    if chunk.part is not None:
        return chunk.part.sumw
    try:
        source = open_source(chunk.file, chunk.tree_name)
        weights = source.arrays([branch], chunk.start, chunk.stop)[branch]
        return float(np.sum(np.asarray(weights, dtype=np.float64)))
    except UNREADABLE:
        return None
