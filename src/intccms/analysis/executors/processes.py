"""Local processes, each of which has one task at a time: a process that dies tells which task killed it.

They end with the process that started them, however that ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import cloudpickle

from intccms.analysis.executors.base import Lost, pickled, unpickled
from intccms.analysis.stopping import NEVER, listening
from intccms.utils.interrupts import accept_interrupts, interrupts_held

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from intccms.analysis.stopping import Stop

__all__ = ["Futures"]

logger = logging.getLogger(__name__)

_LOOK = 1.0
"""Time between two looks at the parent, in the case that somebody else keeps its end of the pipe open [s]."""


# spawned, not forked: a fork copies locks that threads of XRootD or Arrow hold at that moment
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass
class Futures:
    """Local processes, kept from one `map` to the next. One that dies is replaced, and its task is `Lost`."""

    workers: int
    can_finish = True
    _idle: list[_Worker] = field(default_factory=list, repr=False)
    _asked: Any = field(default_factory=lambda: _CONTEXT.RawValue("b", 0), repr=False)
    """Shared with the processes: whether they are to begin nothing new. Without a lock, which a dying one might keep."""

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        width: int | None = None,
        stop: Stop = NEVER,
    ) -> Generator[Any]:
        """Yield results as they come."""
        limit = self.workers if width is None else min(width, self.workers)
        self._asked.value = stop.requested
        crew = _Crew(pickled(function), self._idle, self._asked)
        queue = deque(range(len(items)))
        try:
            with stop.telling(self._ask):
                while queue or crew.busy:
                    while queue and len(crew.busy) < limit and not stop.requested:
                        index = queue.popleft()
                        crew.start(index, items[index])
                    if not crew.busy:
                        return
                    for index, result in crew.finished():
                        yield _lost(items[index], result) if isinstance(result, _Died) else result
        except BaseException as exc:
            crew.dismiss(at_once=stop.at_once or isinstance(exc, KeyboardInterrupt))
            raise

    def close(self) -> None:
        """End all processes."""
        _Crew(b"", self._idle, self._asked).dismiss()

    def _ask(self) -> None:
        self._asked.value = True


@dataclass(frozen=True)
class _Died:
    """In the place of a result: the process is gone."""

    status: int | None
    """Exit status, negative for the signal that killed it; None if unknown."""


def _lost(item: Any, died: _Died) -> Lost:
    logger.warning("a worker process died (out of memory, or a crash in compiled code)")
    killed = died.status in (None, -signal.SIGKILL)
    how = "killed, as the system does when memory is short" if killed else f"exit status {died.status}"
    return Lost(item, f"its worker process died ({how})", 1, memory=killed)


@dataclass
class _Worker:
    """A pool of one process."""

    asked: Any
    pool: ProcessPoolExecutor = field(init=False)
    process: Any = None

    def __post_init__(self) -> None:
        self.pool = ProcessPoolExecutor(1, _CONTEXT, initializer=_begin, initargs=(self.asked,))

    def submit(self, payload: bytes, item: bytes) -> Future[Any]:
        with interrupts_held():
            future = self.pool.submit(_run, payload, item)
        if self.process is None:
            # the pool forgets its processes when one has died, and has no way to kill them before Python 3.14
            (self.process,) = self.pool._processes.values()  # noqa: SLF001
        return future

    def died(self) -> _Died:
        self.pool.shutdown()
        self.process.join()
        return _Died(self.process.exitcode)

    def end(self, *, at_once: bool) -> None:
        if at_once and self.process is not None:
            self.process.kill()
        self.pool.shutdown(cancel_futures=True)


@dataclass
class _Crew:
    """Workers, started when first needed; `idle` has those that wait for work."""

    payload: bytes
    idle: list[_Worker]
    asked: Any
    busy: dict[Future[Any], tuple[_Worker, int]] = field(default_factory=dict)

    def start(self, index: int, item: Any) -> None:
        """Give an item to an idle process, or to a new one."""
        worker, content = self.idle.pop() if self.idle else _Worker(self.asked), cloudpickle.dumps(item)
        try:
            future = worker.submit(self.payload, content)
        except BrokenProcessPool:  # it died while it was idle
            worker.died()
            worker = _Worker(self.asked)
            future = worker.submit(self.payload, content)
        self.busy[future] = (worker, index)

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Wait for the next results; yield each with the index of its item."""
        for future in wait(self.busy, return_when=FIRST_COMPLETED).done:
            worker, index = self.busy.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                result = worker.died()
            except BaseException:
                self.idle.append(worker)
                raise
            else:
                self.idle.append(worker)
            yield index, result

    def dismiss(self, *, at_once: bool = False) -> None:
        """End all processes; what is under way is waited for, unless it is to end at once."""
        workers = [worker for worker, _ in self.busy.values()] + self.idle
        self.busy.clear()
        self.idle.clear()
        if workers:
            with ThreadPoolExecutor(len(workers)) as threads:
                list(threads.map(lambda worker: worker.end(at_once=at_once), workers))


_of_parent: Any = None
"""In a worker: what `Futures` shares with it."""


def _begin(asked: Any) -> None:
    global _of_parent  # noqa: PLW0603 - the process has one parent
    _of_parent = asked
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C arrives here too; the parent decides what it means
    accept_interrupts()  # what users' functions start is to be interrupted as ever
    _end_with_parent()


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
    with listening(lambda: bool(_of_parent.value)):
        return unpickled(payload)(cloudpickle.loads(item))
