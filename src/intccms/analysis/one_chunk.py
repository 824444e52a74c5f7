"""What is made of one chunk: its record for the ledger, and its skim part; at once, or in pieces that need less memory."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from intccms.analysis.ledger.merge import Total
from intccms.analysis.ledger.records import Record, record_of
from intccms.analysis.processor import AnalysisProcessor
from intccms.analysis.skims import PartPiece, SkimIO
from intccms.datasets import open_source
from intccms.errors import ReplacedFileError
from intccms.skimming import ColumnPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intccms.analysis.columns import Columns
    from intccms.analysis.results import Chunk, DatasetSums, Work
    from intccms.datasets import EventSource
    from intccms.schema import Config, Dataset
    from intccms.skimming.columns import BranchList
    from intccms.skimming.parts import SkimPart

__all__ = ["ChunkResult", "OneChunk"]


class ChunkResult(NamedTuple):
    """What was made of a chunk."""

    record: Record
    part: SkimPart | None
    """The skim part that was written."""


class OneChunk:
    """Processes chunks of a configuration, one after the other; kept for the life of a worker.

    Parameters
    ----------
    config
        The configuration.
    skims
        Where skim parts are written or read.
    """

    def __init__(self, config: Config, skims: str) -> None:
        self._config = config
        self._skims = SkimIO(config, skims)
        self._processors: dict[tuple[str, ...], AnalysisProcessor] = {}
        self.datasets: dict[str, Dataset] = {one.name: one for one in config.selected_datasets()}

    def fetch(self, work: Work) -> None:
        """Begin to fetch what the work will read, if it is a skim part behind a server."""
        part = work.chunk.part
        if part is not None and part.kept:
            self._skims.fetch(work.chunk.dataset, part)

    def process(self, work: Work, passed_over: list[tuple[str, str]]) -> ChunkResult:
        """Return what the work makes of its chunk, and raise whatever goes wrong.

        Parameters
        ----------
        work
            In how many pieces is part of it; their sums are added in the order of the entries.
        passed_over
            Gets the replicas that are not read, each with the reason.
        """
        pieces: list[PartPiece] = []
        parts: list[SkimPart] = []
        records = [record_of(sums) for sums in self._sums(work, passed_over, pieces, parts)]
        part = parts[0] if parts else None
        if len(records) == 1:
            return ChunkResult(records[0], part)
        total = Total()
        for record in records:
            total.add(record)
        record = total.record()
        record.split = 1
        return ChunkResult(record, part)

    def sums(self, work: Work) -> DatasetSums:
        """Return the sums of a chunk as a whole; nothing is written."""
        (sums,) = self._sums(work, [], [], [])
        return sums

    def _sums(
        self,
        work: Work,
        passed_over: list[tuple[str, str]],
        pieces: list[PartPiece],
        parts: list[SkimPart],
    ) -> Iterator[DatasetSums]:
        """Yield the sums of each piece; with the last one the skim part is written."""
        chunk = work.chunk
        processor = self._processor(work.channels)
        if chunk.part is not None and not chunk.part.kept:
            yield processor.nothing(chunk.dataset, chunk.part)
            return
        source = self._source(chunk)
        passed_over += source.passed_over
        dataset = self.datasets[chunk.dataset]
        plan = self._plan if work.part is None else self._wide_plan
        branches = plan.branches(source.branches, dataset, where=source.url)
        metadata = {
            "dataset": dataset.name,
            "absent_triggers": branches.absent_triggers,
            "absent_corrections": branches.absent_corrections,
        }
        for start, stop, part in _ranges(work):
            events = source.events(branches.names, start, stop, metadata)
            if part is not None:
                yield processor.sums(events, part=part)
                continue
            write = None
            if work.part is not None:
                write = self._writer(work, source, branches, (start, stop), pieces, parts)
            yield processor.sums(events, on_skim=write)

    def _writer(
        self,
        work: Work,
        source: EventSource,
        branches: BranchList,
        entries: tuple[int, int],
        pieces: list[PartPiece],
        parts: list[SkimPart],
    ) -> Callable[[Columns, DatasetSums], None]:
        target = work.part
        assert target is not None

        def write(columns: Columns, sums: DatasetSums) -> None:
            pieces.append(self._skims.piece(columns, source, branches, entries, sums))
            if len(pieces) == work.pieces:
                parts.append(self._skims.write(pieces, source, branches, work.chunk, target))

        return write

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

    def _processor(self, channels: tuple[str, ...]) -> AnalysisProcessor:
        if channels not in self._processors:
            self._processors[channels] = AnalysisProcessor(self._config, channels)
        return self._processors[channels]

    # they walk through the whole configuration

    @cached_property
    def _plan(self) -> ColumnPlan:
        return ColumnPlan(self._config)

    @cached_property
    def _wide_plan(self) -> ColumnPlan:
        return ColumnPlan(self._config, everything=True)


def _ranges(work: Work) -> Iterator[tuple[int, int, SkimPart | None]]:
    """Yield the entries of each piece, and the skim part that they come from; counts before cuts stay with the first."""
    part = work.chunk.part
    first, last = (work.chunk.start, work.chunk.stop) if part is None else (0, part.kept)
    edges = [first + (last - first) * number // work.pieces for number in range(work.pieces + 1)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        yield start, stop, part if part is None or number == 0 else part.without_counts()
