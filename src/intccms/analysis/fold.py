"""Adds chunk results up in one fixed order, in whatever order they arrive.

Floating-point sums depend on their order in the last bits. Chunks are added in order of entries to their file,
files in order to their dataset; a result that comes early waits. So every executor gives the same bits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.analysis.results import Chunk, ChunkFailure, ChunkResult, DatasetSums

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DatasetFold", "FilePart", "Fold"]


@dataclass
class FilePart:
    """What one file contributed."""

    sums: DatasetSums = field(default_factory=DatasetSums)
    failures: list[ChunkFailure] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _waiting: dict[int, ChunkResult | ChunkFailure] = field(default_factory=dict)
    _next: int = 0

    def expect(self, chunk: Chunk) -> None:
        """Announce a chunk; chunks are announced in order of entries."""
        self._starts.append(chunk.start)

    def put(self, outcome: ChunkResult | ChunkFailure) -> None:
        """Take the outcome of a chunk, and add all that are in turn."""
        self._waiting[outcome.chunk.start] = outcome
        while self._next < len(self._starts) and self._starts[self._next] in self._waiting:
            ready = self._waiting.pop(self._starts[self._next])
            self._next += 1
            if isinstance(ready, ChunkResult):
                self.sums.add(ready.sums)
            else:
                self.failures.append(ready)

    @property
    def finished(self) -> bool:
        """Whether every announced chunk has come."""
        return self._next == len(self._starts)


@dataclass(frozen=True)
class FileFact:
    """What is kept of a file once its histograms are in the dataset's."""

    entries: int
    sumw: float
    failures: tuple[ChunkFailure, ...]


@dataclass
class DatasetFold:
    """What one dataset contributed."""

    sums: DatasetSums = field(default_factory=DatasetSums)
    files: dict[int, FileFact] = field(default_factory=dict)
    """file index -> what was read of it."""
    _parts: dict[int, FilePart] = field(default_factory=dict)
    _order: deque[int] = field(default_factory=deque)

    def expect(self, chunk: Chunk) -> None:
        """Announce a chunk; files are announced in order."""
        if chunk.file_index not in self._parts:
            self._parts[chunk.file_index] = FilePart()
            self._order.append(chunk.file_index)
        self._parts[chunk.file_index].expect(chunk)

    def put(self, outcome: ChunkResult | ChunkFailure) -> None:
        """Take an outcome, and add all files that are complete and in turn."""
        self._parts[outcome.chunk.file_index].put(outcome)
        while self._order and self._parts[self._order[0]].finished:
            index = self._order.popleft()
            part = self._parts.pop(index)
            self.files[index] = FileFact(part.sums.entries, part.sums.sumw, tuple(part.failures))
            self.sums.add(part.sums)

    @property
    def failures(self) -> list[ChunkFailure]:
        """All failed chunks, in order."""
        return [failure for fact in self.files.values() for failure in fact.failures]


class Fold:
    """Adds up the chunks of all datasets.

    Parameters
    ----------
    chunks
        All chunks that will come, in canonical order.
    datasets
        Names of all datasets, also of those without chunks.
    """

    def __init__(self, chunks: Sequence[Chunk], datasets: Sequence[str]) -> None:
        self.datasets = {name: DatasetFold() for name in datasets}
        for chunk in chunks:
            self.datasets[chunk.dataset].expect(chunk)

    def put(self, outcome: ChunkResult | ChunkFailure) -> None:
        """Take the outcome of one chunk."""
        self.datasets[outcome.chunk.dataset].put(outcome)
