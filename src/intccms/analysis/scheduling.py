"""Hands work to an executor, and runs again what was lost with its worker."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from intccms.analysis.chunks import group_by_file
from intccms.analysis.executors import Executor, Lost
from intccms.analysis.results import Chunk, ChunkFailure, Halt, Receipt, Work
from intccms.analysis.stopping import NEVER, stoppable
from intccms.analysis.tasks import ProcessChunks, SumWeights
from intccms.datasets.health import HOSTS
from intccms.errors import OutputError, StoppedError
from intccms.utils.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from intccms.analysis.stopping import Stop
    from intccms.analysis.tasks import Outcome
    from intccms.schema import Config

__all__ = ["run_each", "run_work"]

logger = logging.getLogger(__name__)

_STOPPED = "stopped, as you wished: what ran was finished and saved, and the same command goes on from there."

_FEW = 32
"""Chunks that may run one at a time to find out which of them kills workers."""

_LONGEST_SILENCE = 5 * PATIENCE
"""Time [s] for which every skim part may be waited for in vain."""

_DEATHS = 3
"""Workers that may die of a chunk before it is given up."""


def run_work(
    executor: Executor, task: ProcessChunks, work: Sequence[Work], config: Config, *, stop: Stop = NEVER
) -> Generator[Receipt | ChunkFailure]:
    """Yield the outcome of every chunk once, in any order; after a requested stop, of those that ran.

    Results may be delivered more than once: by a worker that was thought dead, or a straggler that was started again.

    A worker's death takes along its group of chunks, and on Dask also what stood in line there. Each of them runs
    again for itself (unless it was committed before), and if they are few, with nothing beside it: a chunk that
    kills workers costs only itself. If memory may be the reason, such a chunk runs in smaller and smaller pieces.

    Raises
    ------
    OutputError
        If a worker could not write its output, or the storage of skims no longer answers.
    ConfigError
        If a worker found out that the configuration is wrong for every chunk.
    CredentialsError
        If a server does not accept the user on a worker.
    PayloadFileError
        If a worker could not open the payload of a correction.
    """
    delivered: set[str] = set()
    silence = _Silence()
    with closing(_run_work(executor, task, work, config, stop)) as outcomes:
        for outcome in outcomes:
            if outcome.chunk.label not in delivered:
                delivered.add(outcome.chunk.label)
                yield outcome
                silence.note(outcome)


class _Silence:
    """Ends a run on skims whose storage is gone: it would wait again for all the parts that are left."""

    def __init__(self) -> None:
        self._parts, self._since = 0, 0.0

    def note(self, outcome: Receipt | ChunkFailure) -> None:
        """Take notice of what became of a chunk.

        Raises
        ------
        OutputError
            If the storage did not answer for any of the last parts, for a long time.
        """
        if isinstance(outcome, Receipt):
            part = outcome.chunk.part
            if outcome.cpu_seconds and (part is None or part.kept):  # the storage was asked, and answered
                self._parts = 0
            return
        if not outcome.silent:
            return
        now = time.monotonic()
        self._since = self._since if self._parts else now
        self._parts += 1
        if now - self._since >= _LONGEST_SILENCE:
            message = (
                f"the storage of the skims does not answer: {self._parts} parts in a row were waited for in vain, the "
                f"last with {outcome.reason} What was done is kept."
            )
            raise OutputError(message)


def _run_work(
    executor: Executor, task: ProcessChunks, work: Sequence[Work], config: Config, stop: Stop
) -> Generator[Receipt | ChunkFailure]:
    deaths: Counter[str] = Counter()
    again: list[Work] = []
    with closing(_map(executor, task, group_by_file(work, executor.workers), stop=stop)) as results:
        for outcomes in results:
            if isinstance(outcomes, Lost):
                deaths.update({one.chunk.label: outcomes.deaths for one in outcomes.item})
                again += outcomes.item
            else:
                yield from _unless_halted(outcomes)
    given_up: dict[Chunk, str] = {}
    alone = len(again) <= _FEW
    while again and not stop.requested:
        waiting, again = again, []
        items = [[one] for one in waiting]
        with closing(_map(executor, task, items, width=1 if alone else None, stop=stop)) as results:
            for outcomes in results:
                if not isinstance(outcomes, Lost):
                    yield from _unless_halted(outcomes)
                    continue
                (one,) = outcomes.item
                deaths[one.chunk.label] += outcomes.deaths
                # a death beside others may be another's fault
                smaller = one.in_more_pieces() if alone and outcomes.memory else None
                if smaller is not None:
                    logger.warning(
                        "a worker died of %s; it runs again in %d pieces", one.chunk, smaller.pieces
                    )
                    again.append(smaller)
                elif alone and deaths[one.chunk.label] >= _DEATHS:
                    given_up[one.chunk] = outcomes.reason
                else:
                    again.append(one)
        alone = True
    if given_up:
        yield from _failures(executor, config, given_up)


def run_each(executor: Executor, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yield ``function(item)`` once for all items, in any order; `Lost` for one of which three workers died.

    Raises
    ------
    StoppedError
        If the user wants to stop, after what ran was yielded.
    """
    delivered: set[int] = set()
    deaths = dict.fromkeys(range(len(items)), 0)
    waiting, width = list(deaths), None
    with stoppable(executor) as stop:
        while waiting and not stop.requested:
            numbered, waiting = [(index, items[index]) for index in waiting], []
            with closing(_map(executor, _Numbered(function), numbered, width=width, stop=stop)) as results:
                for outcome in results:
                    if not isinstance(outcome, Lost):
                        index, result = outcome
                        if index not in delivered:
                            delivered.add(index)
                            yield result
                        continue
                    index, item = outcome.item
                    deaths[index] += outcome.deaths
                    if width == 1 and deaths[index] >= _DEATHS:
                        yield Lost(item, outcome.reason, deaths[index])
                    else:
                        waiting.append(index)
            width = 1
        if stop.requested:
            raise StoppedError(_STOPPED)


def _map(
    executor: Executor, function: Callable[[Any], Any], items: Sequence[Any], **options: Any
) -> Generator[Any]:
    """Yield what `Executor.map` does; processes tell each other through this one which hosts do not answer."""
    with closing(executor.map(_Sharing(function), _Told(items), **options)) as results:
        for result in results:
            if isinstance(result, Lost):
                yield replace(result, item=result.item[1])
            else:
                outcome, news = result
                HOSTS.learn(news)
                yield outcome


class _Told(Sequence[Any]):
    """Items, each with what is known of hosts when it is handed out."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return HOSTS.known(), self._items[index]


@dataclass(frozen=True)
class _Sharing:
    function: Callable[[Any], Any]

    def __call__(self, told: tuple[Any, Any]) -> tuple[Any, Any]:
        known, item = told
        HOSTS.learn(known)
        outcome = self.function(item)
        return outcome, HOSTS.news()


@dataclass(frozen=True)
class _Numbered:
    function: Callable[[Any], Any]

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        return numbered[0], self.function(numbered[1])


def _unless_halted(outcomes: Iterable[Outcome]) -> Iterator[Receipt | ChunkFailure]:
    for outcome in outcomes:
        if isinstance(outcome, Halt):
            raise outcome.error
        yield outcome


def _failures(executor: Executor, config: Config, lost: Mapping[Chunk, str]) -> Iterator[ChunkFailure]:
    """Yield a failure for each chunk whose workers died, with its sum of weights where that can be read."""
    branches = {one.name: one.weight_branch for one in config.selected_datasets()}
    for counted in run_each(executor, SumWeights(branches), list(lost)):
        chunk, sumw = (counted.item, None) if isinstance(counted, Lost) else counted
        yield ChunkFailure(chunk, lost[chunk], "", sumw)
