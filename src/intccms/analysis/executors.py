"""Where tasks run: one after the other, in local processes, on Dask, or on a coffea executor.

All of them are given a picklable function and a list of items and yield the results in any order. A task that
brings its worker down is not waited for: `Lost` stands in for its result.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import cloudpickle

from intccms.errors import ConfigError
from intccms.facilities import acquire_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

__all__ = ["Executor", "Lost", "make_executor"]

logger = logging.getLogger(__name__)

_STRIKES = 3
"""Times that a worker may die on a task before the task is given up."""


@dataclass(frozen=True)
class Lost:
    """Stands in for the result of a task that never came back."""

    item: Any
    reason: str


class Executor(Protocol):
    """Runs a function over items somewhere."""

    workers: int
    """How many items run at a time."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for all items, in any order, or `Lost` in the place of a result."""
        ...

    def close(self) -> None:
        """Release workers that the executor started itself."""
        ...


@dataclass
class Iterative:
    """One item after the other, in this process."""

    workers: int = 1

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield results in order."""
        return (function(item) for item in items)

    def close(self) -> None:
        """There is nothing to release."""


def _start_worker(payload: bytes) -> None:
    global _function
    _function = cloudpickle.loads(payload)


def _run_in_worker(item: bytes) -> Any:
    return _function(cloudpickle.loads(item))


_function: Callable[[Any], Any]


@dataclass
class Futures:
    """Local processes. A process that dies is replaced; its items run again, alone, at most three times."""

    workers: int

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield results as they come."""
        payload = cloudpickle.dumps(function)
        strikes: Counter[int] = Counter()
        queue = list(range(len(items)))
        workers = min(self.workers, max(1, len(items)))
        while queue:
            done: set[int] = set()
            try:
                for index, result in self._round(payload, items, queue, workers):
                    done.add(index)
                    yield result
            except BrokenProcessPool:
                queue = [index for index in queue if index not in done]
                running = self._running & set(queue)
                strikes.update(running)
                lost = [index for index in running if strikes[index] >= _STRIKES]
                for index in lost:
                    yield Lost(
                        items[index],
                        f"its worker process died {_STRIKES} times (out of memory, or a crash in compiled code)",
                    )
                # suspects go first and one at a time, so that the next death has one culprit
                suspects = [index for index in queue if strikes[index] and index not in lost]
                queue = suspects + [index for index in queue if index not in running]
                logger.warning("a worker process died; %d tasks run again", len(queue))
                if suspects:
                    yield from self._alone(payload, items, suspects, strikes)
                    queue = [index for index in queue if index not in suspects]
            else:
                return

    def _alone(
        self, payload: bytes, items: Sequence[Any], suspects: Sequence[int], strikes: Counter[int]
    ) -> Iterator[Any]:
        for index in suspects:
            while True:
                try:
                    yield from (result for _, result in self._round(payload, items, [index], 1))
                    break
                except BrokenProcessPool:
                    strikes[index] += 1
                    if strikes[index] >= _STRIKES:
                        reason = f"its worker process died {_STRIKES} times (out of memory, or a crash in compiled code)"
                        yield Lost(items[index], reason)
                        break

    def _round(
        self, payload: bytes, items: Sequence[Any], queue: Sequence[int], workers: int
    ) -> Iterator[tuple[int, Any]]:
        """Run items in a fresh pool, a few ahead of the workers; `_running` is what was under way."""
        context = multiprocessing.get_context("spawn")
        self._running: set[int] = set()
        futures: dict[Future[Any], int] = {}
        waiting = iter(queue)
        with ProcessPoolExecutor(workers, context, _start_worker, (payload,)) as pool:
            try:
                while True:
                    while len(futures) < workers + 1 and (index := next(waiting, None)) is not None:
                        self._running.add(index)
                        futures[pool.submit(_run_in_worker, cloudpickle.dumps(items[index]))] = index
                    if not futures:
                        return
                    for future in wait(futures, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        index = futures.pop(future)
                        self._running.discard(index)
                        yield index, result
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Pools end with each `map`."""


@dataclass
class Dask:
    """Dask workers: those of a client, or of a local cluster that starts with the first use."""

    client: Any
    _own: ExitStack = field(default_factory=ExitStack)
    _modules: Sequence[ModuleType] = ()

    @property
    def workers(self) -> int:
        """Threads of all workers at this moment."""
        return max(1, sum(self.client.nthreads().values()))

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield results as they come; a task that kills its workers, as Dask counts, is `Lost`."""
        from distributed import as_completed

        payload = self.client.scatter(cloudpickle.dumps(function), broadcast=False, hash=False)
        waiting = iter(items)
        under_way: dict[Any, Any] = {}
        completed = as_completed()

        def submit_one() -> None:
            item = next(waiting, None)
            if item is not None:
                future = self.client.submit(_run_on_dask, payload, item, pure=False, retries=0)
                under_way[future] = item
                completed.add(future)

        try:
            # enough under way that no worker waits for the client, not so many that 100,000 sit at the scheduler
            for _ in range(max(16, 4 * self.workers)):
                submit_one()
            for future in completed:
                item = under_way.pop(future)
                if future.status == "finished":
                    yield future.result()
                else:
                    yield Lost(item, _explain_lost(future))
                submit_one()
        finally:
            if under_way:
                self.client.cancel(list(under_way), force=True)

    def close(self) -> None:
        """Close the local cluster, if it was started here."""
        self._own.close()


def _run_on_dask(payload: bytes, item: Any) -> Any:
    return _unpickled(payload)(item)


_last: tuple[bytes, Any] = (b"", None)


def _unpickled(payload: bytes) -> Any:
    """Return the function, unpickled once per worker process."""
    global _last
    if _last[0] != payload:
        _last = (payload, cloudpickle.loads(payload))
    return _last[1]


def _explain_lost(future: Any) -> str:
    error = future.exception() if future.status == "error" else None
    if error is None:
        return f"Dask {future.status} the task"
    if type(error).__name__ == "KilledWorker":
        return f"its worker process died repeatedly (out of memory, or a crash in compiled code): {error}"
    return f"{type(error).__name__}: {error}"


@dataclass
class Coffea:
    """Any executor object of coffea, called as ``executor(items, function, accumulator)``."""

    executor: Any

    @property
    def workers(self) -> int:
        """Workers of the executor, as far as it tells."""
        return int(getattr(self.executor, "workers", None) or os.cpu_count() or 1)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield results once all are there: coffea's executors hand over their sum."""
        executor = self.executor.copy(desc="chunks", unit="chunk", compression=None)
        numbered = list(enumerate(items))
        summed, _ = executor(numbered, _Keyed(cloudpickle.dumps(function)), {})
        yield from (summed[index] for index, _ in numbered if index in summed)
        yield from (
            Lost(item, "the executor returned no result for it")
            for index, item in numbered
            if index not in summed
        )

    def close(self) -> None:
        """The executor belongs to the caller."""


@dataclass(frozen=True)
class _Keyed:
    """Returns results under the number of their item, so that adding them up keeps them apart."""

    payload: bytes

    def __call__(self, numbered: tuple[int, Any]) -> dict[int, Any]:
        index, item = numbered
        return {index: _unpickled(self.payload)(item)}


def make_executor(
    choice: Any, *, workers: int | None, client: Any, modules: Sequence[ModuleType]
) -> Executor:
    """Return the executor that ``general.executor`` names.

    Parameters
    ----------
    choice
        ``iterative``, ``futures``, ``dask`` or a coffea executor object.
    workers
        Processes of ``futures`` and of a local Dask cluster; None for the cores of this machine.
    client
        Dask client to use; with ``dask`` and None, a local cluster is started.
    modules
        The user's own modules: they are sent along by value, so that workers need not have them.

    Raises
    ------
    ConfigError
        If the choice is none of these.
    """
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    count = (
        workers or len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else workers or os.cpu_count() or 1
    )
    if choice == "iterative":
        return Iterative()
    if choice == "futures":
        return Futures(count)
    if choice == "dask":
        if client is not None:
            return Dask(client)
        own = ExitStack()
        started, _ = own.enter_context(acquire_client("local", num_workers=count))
        return Dask(started, own)
    if callable(choice) and hasattr(choice, "copy"):
        return Coffea(choice)
    message = f"general.executor: expected 'iterative', 'futures', 'dask' or a coffea executor object, not {choice!r}."
    raise ConfigError(message)
