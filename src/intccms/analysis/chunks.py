"""Cuts files into chunks, and processes one."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.analysis.results import Chunk, ChunkFailure, ChunkResult
from intccms.datasets import SourceFile, open_source
from intccms.datasets.sources import UNREADABLE
from intccms.errors import ReplacedFileError
from intccms.skimming import ColumnPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from intccms.analysis.processor import AnalysisProcessor
    from intccms.metadata import DatasetMetadata
    from intccms.schema import Dataset

__all__ = ["ProcessChunks", "SumWeights", "chunks_of", "group_by_file"]


def chunks_of(metadata: DatasetMetadata, chunk_size: int) -> Iterator[Chunk]:
    """Yield the chunks of a dataset in canonical order: equally long ones of at most `chunk_size` entries."""
    for index, record in enumerate(metadata.files):
        entries = record.entries or 0
        if record.error is not None or entries == 0:
            continue
        count = math.ceil(entries / chunk_size)
        edges = [entries * i // count for i in range(count + 1)]
        # the replica that the metadata were read from goes first: it is known to work
        urls = tuple(dict.fromkeys([record.url or record.urls[0], *record.urls]))
        file = SourceFile(record.name, urls)
        for start, stop in pairwise(edges):
            yield Chunk(
                metadata.dataset.name, index, file, metadata.dataset.tree_name, record.uuid, start, stop
            )


def group_by_file(chunks: Sequence[Chunk], workers: int, *, longest: int = 8) -> list[list[Chunk]]:
    """Return neighbouring chunks of the same file in groups, so that a worker opens the file once.

    Groups are short enough that every worker gets several.
    """
    length = max(1, min(longest, len(chunks) // (4 * workers)))
    groups: list[list[Chunk]] = []
    for chunk in chunks:
        last = groups[-1] if groups else []
        if last and len(last) < length and (last[-1].dataset, last[-1].file) == (chunk.dataset, chunk.file):
            last.append(chunk)
        else:
            groups.append([chunk])
    return groups


@dataclass(frozen=True)
class ProcessChunks:
    """The task that workers run: some chunks of one file; never raises for bad input or user code."""

    processor: AnalysisProcessor

    def __call__(self, chunks: Sequence[Chunk]) -> list[ChunkResult | ChunkFailure]:
        """Return a result or a failure for each chunk, in order."""
        return [self._one(chunk) for chunk in chunks]

    def _one(self, chunk: Chunk) -> ChunkResult | ChunkFailure:
        try:
            with np.errstate(all="ignore"):  # empty chunks and divisions in user code: their NaN are counted
                return ChunkResult(chunk, self._process(chunk))
        except Exception as exc:  # noqa: BLE001  the boundary where an error becomes a reported failure
            text = traceback.format_exc()
            sumw = sum_weights(chunk, self._datasets[chunk.dataset].weight_branch)
            reason = f"{type(exc).__name__}: {exc}"
            return ChunkFailure(chunk, reason, text, sumw, isinstance(exc, ReplacedFileError))

    def _process(self, chunk: Chunk) -> Any:
        source = open_source(chunk.file, chunk.tree_name)
        if chunk.uuid is not None and source.uuid != chunk.uuid:
            message = (
                f"{source.url} was replaced since its metadata were read (uuid {source.uuid}, not {chunk.uuid}). "
                "Run again: the metadata refresh themselves."
            )
            raise ReplacedFileError(message)
        dataset = self._datasets[chunk.dataset]
        branches = self._plan.branches(source.branches, dataset, where=source.url)
        metadata = {"dataset": dataset.name, "absent_triggers": branches.absent_triggers}
        events = source.events(branches.names, chunk.start, chunk.stop, metadata)
        return self.processor.process(events)

    # kept for the life of the worker: both walk through the whole configuration
    @cached_property
    def _plan(self) -> ColumnPlan:
        return ColumnPlan(self.processor.config)

    @cached_property
    def _datasets(self) -> dict[str, Dataset]:
        return {one.name: one for one in self.processor.config.selected_datasets()}


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
    try:
        source = open_source(chunk.file, chunk.tree_name)
        weights = source.arrays([branch], chunk.start, chunk.stop)[branch]
        return float(np.sum(np.asarray(weights, dtype=np.float64)))
    except UNREADABLE:
        return None
