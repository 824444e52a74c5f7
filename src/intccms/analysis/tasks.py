"""What workers run: some chunks of one file, each committed as soon as it is done."""

from __future__ import annotations

import gc
import logging
import platform
import time
import traceback
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from intccms.analysis.ledger.records import encode
from intccms.analysis.one_chunk import ChunkResult, OneChunk
from intccms.analysis.results import Chunk, ChunkFailure, DatasetSums, Halt, Receipt, Work
from intccms.analysis.skims import part_to_bytes
from intccms.analysis.stopping import asked_to_stop
from intccms.datasets import open_source
from intccms.datasets.health import is_fault_of_host
from intccms.datasets.reading import broken_file, other_replicas, refused_user, unreadable
from intccms.datasets.sources import forget_sources
from intccms.errors import (
    BrokenFileError,
    ConfigError,
    CredentialsError,
    InputFileError,
    OutputError,
    PayloadFileError,
    ReplacedFileError,
)
from intccms.schema.secrets import masked_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.ledger.names import Name
    from intccms.analysis.ledger.place import Place
    from intccms.schema import Config

__all__ = ["ProcessChunks", "SumWeights"]

logger = logging.getLogger(__name__)

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
        """Return a receipt or a failure for each chunk, in order; nothing more after our own output fails, or at a stop."""
        outcomes: list[Outcome] = []
        for one, following in zip_longest(work, work[1:]):
            if asked_to_stop():
                break
            outcomes.append(self._one(one, following))
            if isinstance(outcomes[-1], Halt):
                break
        return outcomes

    def _one(self, work: Work, following: Work | None) -> Outcome:
        begin = time.thread_time()
        try:
            if all(self.place.has(name) for name in work.names):
                return Receipt(work)  # committed by a worker that died before it could tell
            if following is not None:
                self._chunks.fetch(following)
            with np.errstate(all="ignore"):  # empty chunks and divisions in user code: their NaN are counted
                result, passed_over = self._with_memory_at_hand(work)
            return self._commit(work, result, time.thread_time() - begin, passed_over)
        except (OutputError, ConfigError, CredentialsError) as exc:
            # without the cause, which another process may not be able to unpickle
            return Halt(type(exc)(masked_text(str(exc))))
        except Exception as exc:  # noqa: BLE001  the boundary where an error becomes a reported failure
            if _goes_back_to(exc, PayloadFileError):
                return Halt(PayloadFileError(masked_text(f"{exc} (on the worker {platform.node()})")))
            if (refused := refused_user(exc)) is not None:
                return Halt(refused)
            # here: only this process knows the values that WorkerEval has computed
            text = masked_text(traceback.format_exc())
            chunk = work.chunk
            branch = self._chunks.datasets[chunk.dataset].weight_branch
            sumw = None if _could_not_open(chunk, exc) else sum_weights(chunk, branch)
            if broken_file(exc) is not None:
                forget_sources()  # the server may be back for the next chunk, and the open file is not
            reason = masked_text(f"{type(exc).__name__}: {exc}")
            return ChunkFailure(
                chunk,
                reason,
                text,
                sumw,
                replaced=isinstance(exc, ReplacedFileError),
                silent=chunk.part is not None and isinstance(exc, InputFileError) and is_fault_of_host(exc),
            )

    def _with_memory_at_hand(self, work: Work) -> tuple[ChunkResult, Replicas]:
        """Return what the work makes, in smaller and smaller pieces while memory does not do."""
        while True:
            try:
                return self._from_some_replica(work)
            except Exception as exc:
                smaller = work.in_more_pieces()
                if smaller is None or not _goes_back_to(exc, MemoryError):
                    raise
                logger.warning("%s does not fit into memory: in %d pieces", work.chunk, smaller.pieces)
                work = smaller
            gc.collect()  # what the failed attempt has built holds itself in cycles

    def _from_some_replica(self, work: Work) -> tuple[ChunkResult, Replicas]:
        """Return the result, from the next replica where one breaks while it is read, and the replicas passed over."""
        passed_over: list[tuple[str, str]] = []
        while True:
            try:
                return self._chunks.process(work, passed_over), tuple(dict.fromkeys(passed_over))
            except Exception as exc:
                others = None if work.chunk.part is not None else other_replicas(work.chunk.file, exc)
                if others is None:
                    raise
                file, url, reason = others
                passed_over.append((url, masked_text(reason)))
                forget_sources()
                work = replace(work, chunk=replace(work.chunk, file=file))

    def sums(self, work: Work) -> DatasetSums:
        """Return the sums of one chunk, and raise whatever goes wrong; nothing is committed."""
        with np.errstate(all="ignore"):
            return self._chunks.sums(work)

    def _commit(self, work: Work, result: ChunkResult, seconds: float, passed_over: Replicas) -> Receipt:
        contents: list[tuple[Name, bytes]] = []
        if work.part is not None and result.part is not None:
            contents.append((work.part.record, part_to_bytes(result.part)))
        if work.record is not None:
            result.record.cpu_seconds = seconds
            contents.append((work.record, encode(result.record, str(work.record))))
        return Receipt(work, self.place.commit(contents), result.part, seconds, passed_over)

    @cached_property
    def _chunks(self) -> OneChunk:
        return OneChunk(self.config, self.skims)


def _could_not_open(chunk: Chunk, exc: Exception) -> bool:
    """Tell whether no replica could be opened: to try it again for the weights would wait for dead servers twice."""
    if chunk.part is not None:  # the manifest knows the weights
        return False
    return isinstance(exc, InputFileError) and not isinstance(exc, BrokenFileError | ReplacedFileError)


def _goes_back_to(exc: BaseException | None, kind: type[BaseException]) -> bool:
    """Tell whether an error has another kind of error as its cause, however often it was translated."""
    while exc is not None and not isinstance(exc, kind):
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
    errors: tuple[type[BaseException], ...] = (*unreadable(), CredentialsError)
    try:
        source = open_source(chunk.file, chunk.tree_name)
        weights = source.arrays([branch], chunk.start, chunk.stop)[branch]
        return float(np.sum(np.asarray(weights, dtype=np.float64)))
    except errors:
        return None
