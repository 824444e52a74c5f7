"""What travels: the unit of work, and what comes back for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from intccms.selection import Cutflow

if TYPE_CHECKING:
    from intccms.analysis.ledger.names import Name
    from intccms.datasets.replicas import SourceFile
    from intccms.errors import ConfigError, CredentialsError, OutputError, PayloadFileError
    from intccms.histograms import Sums
    from intccms.metadata import LumiRanges
    from intccms.skimming.parts import SkimPart

__all__ = [
    "NOT_RUN",
    "SMALLEST_PIECE",
    "Chunk",
    "ChunkFailure",
    "DatasetSums",
    "Halt",
    "PartTarget",
    "Receipt",
    "Work",
]

NOT_RUN = "not run: "
"""How the reason of a chunk begins that was left out or not reached."""

SMALLEST_PIECE = 500
"""Events of a piece of a chunk; where so few do not fit into memory, fewer will not help."""


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
    number: int = 0
    """Position of the chunk in its file."""
    key: str = ""
    """Identifies the content of the file, wherever it lies."""
    part: SkimPart | None = None
    """The skim of the chunk, if that is read in its place."""

    @property
    def entries(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    @property
    def label(self) -> str:
        """Short name: dataset, position of the file, position of the chunk."""
        return f"{self.dataset}/{self.file_index}/{self.number}"

    def __str__(self) -> str:
        """Return the chunk as reports name it."""
        return f"{self.dataset}: {self.file.name} [{self.start}:{self.stop}]"


@dataclass(frozen=True)
class PartTarget:
    """A skim part to be written."""

    path: str
    """Below the folder of the dataset's skims."""
    record: Name
    """Where its facts are noted in the ledger."""
    reason: str
    """Why it is written."""


@dataclass(frozen=True)
class Work:
    """What is to be done with a chunk, in one read."""

    chunk: Chunk
    channels: tuple[str, ...]
    """Channels to fill."""
    record: Name | None
    """Where their result goes; None if there are none."""
    part: PartTarget | None = None
    """The skim part to write; None if there is nothing to write."""
    pieces: int = 1
    """In how many pieces, one after the other, because memory is short; their sum stands for the whole chunk."""

    def in_more_pieces(self) -> Work | None:
        """Return the same work in smaller pieces, None if they are small already."""
        events = self.chunk.entries if self.chunk.part is None else self.chunk.part.kept
        pieces = min(4 * self.pieces, events // SMALLEST_PIECE)
        return replace(self, pieces=pieces) if pieces > self.pieces else None

    @property
    def names(self) -> tuple[Name, ...]:
        """Return the records that this makes."""
        part = None if self.part is None else self.part.record
        return tuple(name for name in (part, self.record) if name is not None)


@dataclass
class DatasetSums:
    """Small sums over the events of a chunk, or of a dataset."""

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
    absent_of: dict[str, frozenset[str]] = field(default_factory=dict)
    """Those of them that reach a channel."""
    absent_corrections: frozenset[str] = frozenset()
    """Corrections that changed nothing, because the input lacked a column of theirs."""
    lumis: LumiRanges = field(default_factory=dict)
    """Runs and lumi sections of the entries read (data)."""
    split: int = 0
    """Chunks that were processed in pieces, because memory was short."""


@dataclass(frozen=True)
class Receipt:
    """A chunk that was done; the result itself is in the ledger, or comes along where a worker cannot write there."""

    work: Work
    contents: tuple[tuple[Name, bytes], ...] = ()
    """Records that the client has to write."""
    part: SkimPart | None = None
    """The skim part that was written."""
    cpu_seconds: float = 0.0
    """CPU time of the chunk [s]; zero where it was found done."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Replicas of the file that could not be read, with reasons; another one served."""

    @property
    def chunk(self) -> Chunk:
        """The chunk."""
        return self.work.chunk


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
    silent: bool = False
    """Whether the storage of skims did not answer, where the chunk is read from a skim."""


@dataclass(frozen=True)
class Halt:
    """What ends the run: our own output cannot be written, or configuration, payloads or credentials will not do for any chunk."""

    error: OutputError | ConfigError | CredentialsError | PayloadFileError
