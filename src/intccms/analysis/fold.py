"""What one dataset contributed, after everything was added up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.analysis.results import ChunkFailure, DatasetSums

if TYPE_CHECKING:
    from intccms.metadata import LumiRanges

__all__ = ["DatasetFold", "FileFact"]


@dataclass(frozen=True)
class FileFact:
    """What was read of a file of which something is missing."""

    entries: int
    sumw: float | None
    """None where only skims were written, which do not add weights up here."""
    failures: tuple[ChunkFailure, ...]


@dataclass
class DatasetFold:
    """What one dataset contributed."""

    sums: DatasetSums = field(default_factory=DatasetSums)
    files: dict[int, FileFact] = field(default_factory=dict)
    """file index -> what was read of it, for files of which chunks are missing."""
    lumis: LumiRanges = field(default_factory=dict)
    """Runs and lumi sections that were processed (data)."""
    chunks: int = 0
    """Chunks that were wanted."""
    computed: int = 0
    """Chunks of them that this run computed."""
    computed_entries: int = 0
    """Entries of those."""
    cpu_seconds: float = 0.0
    """CPU time of those [s]."""
    passed_over: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Replica that could not be read, where another one served -> chunks of them, first reason."""

    @property
    def failures(self) -> list[ChunkFailure]:
        """All failed chunks, in order."""
        return [failure for index in sorted(self.files) for failure in self.files[index].failures]

    @property
    def reused(self) -> int:
        """Chunks that were in the ledger already."""
        return self.chunks - self.computed - len(self.failures)
