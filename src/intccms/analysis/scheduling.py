"""Hands chunks to an executor, and runs those again that were lost with their worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.analysis.chunks import ProcessChunks, SumWeights, group_by_file
from intccms.analysis.executors import Executor, Lost
from intccms.analysis.processor import AnalysisProcessor
from intccms.analysis.results import Chunk, ChunkFailure, ChunkResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from intccms.schema import Config

__all__ = ["run_chunks"]

_FEW = 32
"""Chunks that may run one at a time to find out which of them kills workers."""


def run_chunks(
    executor: Executor, config: Config, chunks: Sequence[Chunk]
) -> Iterator[ChunkResult | ChunkFailure]:
    """Yield the outcome of every chunk, in any order.

    A worker's death takes along its group of chunks, and on Dask also what stood in line there. Each of them runs
    again for itself, and if they are few, with nothing beside it: a chunk that kills workers costs only itself.
    """
    task = ProcessChunks(AnalysisProcessor(config))
    again: list[Chunk] = []
    for outcomes in executor.map(task, group_by_file(chunks, executor.workers)):
        if isinstance(outcomes, Lost):
            again += outcomes.item
        else:
            yield from outcomes
    if not again:
        return
    width = 1 if len(again) <= _FEW else None
    lost: dict[Chunk, str] = {}
    for outcomes in executor.map(task, [[chunk] for chunk in again], width=width):
        if isinstance(outcomes, Lost):
            lost[outcomes.item[0]] = outcomes.reason
        else:
            yield from outcomes
    yield from _failures(executor, config, lost)


def _failures(executor: Executor, config: Config, lost: Mapping[Chunk, str]) -> Iterator[ChunkFailure]:
    """Yield a failure for each chunk whose worker died, with its sum of weights where that can be read."""
    branches = {one.name: one.weight_branch for one in config.selected_datasets()}
    for counted in executor.map(SumWeights(branches), list(lost)):
        chunk, sumw = (counted.item, None) if isinstance(counted, Lost) else counted
        yield ChunkFailure(chunk, lost[chunk], "", sumw)
