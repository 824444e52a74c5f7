"""Hands work to an executor, and runs again what was lost with its worker."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from intccms.analysis.chunks import group_by_file
from intccms.analysis.executors import Executor, Lost
from intccms.analysis.results import Chunk, ChunkFailure, Halt, Receipt, Work
from intccms.analysis.tasks import ProcessChunks, SumWeights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from intccms.analysis.tasks import Outcome
    from intccms.schema import Config

__all__ = ["run_work"]

_FEW = 32
"""Chunks that may run one at a time to find out which of them kills workers."""

_DEATHS = 3
"""Workers that may die of a chunk before it is given up."""


def run_work(
    executor: Executor, task: ProcessChunks, work: Sequence[Work], config: Config
) -> Iterator[Receipt | ChunkFailure]:
    """Yield the outcome of every chunk, in any order.

    A worker's death takes along its group of chunks, and on Dask also what stood in line there. Each of them runs
    again for itself (unless it was committed before), and if they are few, with nothing beside it: a chunk that
    kills workers costs only itself.

    Raises
    ------
    OutputError
        If a worker could not write its output.
    ConfigError
        If a worker found out that the configuration is wrong for every chunk.
    """
    deaths: Counter[str] = Counter()
    again: list[Work] = []
    for outcomes in executor.map(task, group_by_file(work, executor.workers)):
        if isinstance(outcomes, Lost):
            deaths.update({one.chunk.label: outcomes.deaths for one in outcomes.item})
            again += outcomes.item
        else:
            yield from _unless_halted(outcomes)
    given_up: dict[Chunk, str] = {}
    while again:
        width = 1 if len(again) <= _FEW else None
        alone, again = again, []
        for outcomes in executor.map(task, [[one] for one in alone], width=width):
            if not isinstance(outcomes, Lost):
                yield from _unless_halted(outcomes)
                continue
            (one,) = outcomes.item
            deaths[one.chunk.label] += outcomes.deaths
            if deaths[one.chunk.label] < _DEATHS:
                again.append(one)
            else:
                given_up[one.chunk] = outcomes.reason
    if given_up:
        yield from _failures(executor, config, given_up)


def _unless_halted(outcomes: Iterable[Outcome]) -> Iterator[Receipt | ChunkFailure]:
    for outcome in outcomes:
        if isinstance(outcome, Halt):
            raise outcome.error
        yield outcome


def _failures(executor: Executor, config: Config, lost: Mapping[Chunk, str]) -> Iterator[ChunkFailure]:
    """Yield a failure for each chunk whose workers died, with its sum of weights where that can be read."""
    branches = {one.name: one.weight_branch for one in config.selected_datasets()}
    for counted in executor.map(SumWeights(branches), list(lost)):
        chunk, sumw = (counted.item, None) if isinstance(counted, Lost) else counted
        yield ChunkFailure(chunk, lost[chunk], "", sumw)
