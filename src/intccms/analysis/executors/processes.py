"""Local processes, each of which has one task at a time: a process that dies tells which task killed it.

They end with the process that started them, however that ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import cloudpickle

from intccms.analysis.executors.base import Lost, unpickled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Futures"]

logger = logging.getLogger(__name__)

_LOOK = 1.0
"""Time between two looks at the parent, in the case that somebody else keeps its end of the pipe open [s]."""


@dataclass
class Futures:
    """Local processes, kept from one `map` to the next. One that dies is replaced, and its task is `Lost`."""

    workers: int
    _idle: list[ProcessPoolExecutor] = field(default_factory=list, repr=False)

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], *, width: int | None = None
    ) -> Iterator[Any]:
        """Yield results as they come."""
        limit = self.workers if width is None else min(width, self.workers)
        crew = _Crew(cloudpickle.dumps(function), self._idle)
        queue = deque(range(len(items)))
        try:
            while queue or crew.busy:
                while queue and len(crew.busy) < limit:
                    index = queue.popleft()
                    crew.start(index, items[index])
                for index, result in crew.finished():
                    if isinstance(result, _Died):
                        logger.warning("a worker process died (out of memory, or a crash in compiled code)")
                        yield Lost(items[index], _REASON, 1)
                    else:
                        yield result
        except BaseException:
            crew.dismiss()
            raise

    def close(self) -> None:
        """End all processes."""
        _Crew(b"", self._idle).dismiss()


_REASON = "its worker process died (out of memory, or a crash in compiled code)"


class _Died:
    """In the place of a result: the process is gone."""


@dataclass
class _Crew:
    """Pools of one process each, started when first needed; `idle` has those that wait for work."""

    payload: bytes
    idle: list[ProcessPoolExecutor]
    busy: dict[Future[Any], tuple[ProcessPoolExecutor, int]] = field(default_factory=dict)

    def start(self, index: int, item: Any) -> None:
        """Give an item to an idle process, or to a new one."""
        pool = self.idle.pop() if self.idle else _pool()
        try:
            future = pool.submit(_run, self.payload, cloudpickle.dumps(item))
        except BrokenProcessPool:  # it died while it was idle
            pool.shutdown()
            pool = _pool()
            future = pool.submit(_run, self.payload, cloudpickle.dumps(item))
        self.busy[future] = (pool, index)

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Wait for the next results; yield each with the index of its item."""
        for future in wait(self.busy, return_when=FIRST_COMPLETED).done:
            pool, index = self.busy.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                pool.shutdown()
                result = _Died()
            except BaseException:
                self.idle.append(pool)
                raise
            else:
                self.idle.append(pool)
            yield index, result

    def dismiss(self) -> None:
        """End all processes; what is under way is waited for, not interrupted."""
        pools = [pool for pool, _ in self.busy.values()] + self.idle
        self.busy.clear()
        self.idle.clear()
        if pools:
            with ThreadPoolExecutor(len(pools)) as threads:
                list(threads.map(lambda pool: pool.shutdown(cancel_futures=True), pools))


def _pool() -> ProcessPoolExecutor:
    # spawned, not forked: a fork copies locks that threads of XRootD or Arrow hold at that moment
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let this process end when its parent is gone: one that was killed does not tell its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_outlive_nobody, args=(parent.pid, parent.sentinel), daemon=True).start()


def _outlive_nobody(parent: int | None, sentinel: int) -> None:
    while os.getppid() == parent and not connection.wait([sentinel], timeout=_LOOK):
        pass
    os._exit(1)  # the main thread may be in compiled code, where no exception reaches it


def _run(payload: bytes, item: bytes) -> Any:
    return unpickled(payload)(cloudpickle.loads(item))
