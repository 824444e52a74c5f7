"""Takes times and memory: CPU time of one thread, the largest memory of a process, in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stopwatch", "fastest", "in_fresh_process", "peak_memory"]


def in_fresh_process[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns in a new process: nothing is imported, kept open or in memory there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def fastest(action: Callable[[], Any], repeat: int, *, before: Callable[[], Any] | None = None) -> float:
    """Return the CPU time of the fastest of several repetitions [s]; what comes before each does not count."""
    times = []
    for _ in range(repeat):
        if before is not None:
            before()
        begin = time.process_time()
        action()
        times.append(time.process_time() - begin)
    return min(times)


def peak_memory() -> float:
    """Return the largest memory of this process so far [MiB]; Linux only."""
    # getrusage would not do: on Linux a new process begins with the peak of the one that started it
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Stopwatch:
    """Adds up the CPU time that is spent inside some functions, each second once, for the innermost of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def watch(
        self, owner: Any, name: str, title: str, *, note: Callable[[Any], object] | None = None
    ) -> None:
        """Put a clock around a function of a module, or a method of a class, for good.

        Parameters
        ----------
        owner, name
            Module or class, and name of the function in it.
        title
            What the time is counted as; several functions may share one.
        note
            Called with everything that the function returns.
        """
        found = vars(owner)[name]
        if isinstance(found, classmethod):
            setattr(owner, name, classmethod(self._timed(found.__func__, title, note)))
        else:
            setattr(owner, name, self._timed(found, title, note))

    def _timed(
        self, function: Callable[..., Any], title: str, note: Callable[[Any], object] | None
    ) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._count()
            self._running.append(title)
            try:
                result = function(*args, **kwargs)
            finally:
                self._count()
                self._running.pop()
            if note is not None:
                note(result)
            return result

        return timed

    def _count(self) -> None:
        now = time.thread_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
