"""What travels: the unit of work, and what comes back for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.selection import Cutflow

if TYPE_CHECKING:
    from intccms.datasets.replicas import SourceFile
    from intccms.histograms import Sums

__all__ = ["Chunk", "ChunkFailure", "ChunkResult", "DatasetSums"]


@dataclass(frozen=True)
class Chunk:
    """A range of entries of one file: the unit of work."""

    dataset: str
    file_index: int
    """Position of the file in its dataset; files are added up in this order."""
    file: SourceFile
    tree_name: str
    uuid: str | None
    """As the metadata have it; another one means that the file was replaced."""
    start: int
    stop: int

    @property
    def entries(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    def __str__(self) -> str:
        """Return the chunk as reports name it."""
        return f"{self.dataset}: {self.file.name} [{self.start}:{self.stop}]"


@dataclass
class DatasetSums:
    """Small sums over events; they add up over chunks, files and datasets."""

    entries: int = 0
    """Entries read, before any cut."""
    sumw: float = 0.0
    """Sum of the generator weight of the entries read (simulation)."""
    common: Cutflow = field(default_factory=Cutflow)
    """Steps that all channels share."""
    channels: dict[str, Cutflow] = field(default_factory=dict)
    """Steps of each channel."""
    histograms: dict[tuple[str, str], Sums] = field(default_factory=dict)
    """(channel, observable) -> content."""
    absent_triggers: frozenset[str] = frozenset()
    """Triggers that the input lacked and that counted as False."""

    def add(self, other: DatasetSums) -> None:
        """Add another part, in place; the order of calls decides the last bits of sums."""
        self.entries += other.entries
        self.sumw += other.sumw
        self.common += other.common
        for channel, steps in other.channels.items():
            self.channels[channel] = self.channels[channel] + steps if channel in self.channels else steps
        for key, content in other.histograms.items():
            if key in self.histograms:
                self.histograms[key].add(content)
            else:
                self.histograms[key] = content.copy()  # what is added up here must not change the other part
        self.absent_triggers |= other.absent_triggers


@dataclass(frozen=True)
class ChunkResult:
    """A chunk that was done."""

    chunk: Chunk
    sums: DatasetSums


@dataclass(frozen=True)
class ChunkFailure:
    """A chunk that was not, and why."""

    chunk: Chunk
    reason: str
    """Type and message of the error."""
    traceback: str
    sumw: float | None = None
    """Sum of its generator weights, where that could still be read."""
    replaced: bool = False
    """Whether the file is not the one whose metadata were read."""
