"""Fetches what is read next while something else is computed, so that waiting for a server costs no time."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["ReadAhead"]


_HELD = 2
"""What is taken next, and what comes after it."""


class ReadAhead[T]:
    """Two things ahead at most for each thread that reads, and the one that it took last, which may serve again."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def begin(self, key: Hashable, fetch: Callable[[], T]) -> None:
        """Start to fetch something; the oldest of what this thread began and did not take is dropped."""
        begun = self._begun
        if key in begun or key == self._last[0]:
            return
        begun[key] = self._pool.submit(fetch)
        while len(begun) > _HELD:
            begun.pop(next(iter(begun))).cancel()  # without effect on what runs or is done

    def take(self, key: Hashable, fetch: Callable[[], T]) -> T:
        """Return what was taken last or begun under the key, or fetch it now; raises whatever fetching raises."""
        last, held = self._last
        if key == last:
            again: T = held
            return again
        self._of_thread.last = (None, None)  # not held while the next one comes
        future = self._begun.pop(key, None)
        # what still waits for the fetching of other threads is faster fetched here
        value = fetch() if future is None or future.cancel() else future.result()
        self._of_thread.last = (key, value)
        return value

    @property
    def _last(self) -> tuple[Hashable, Any]:
        last: tuple[Hashable, Any] = self._of_thread.__dict__.setdefault("last", (None, None))
        return last

    @property
    def _begun(self) -> dict[Hashable, Future[T]]:
        begun: dict[Hashable, Future[T]] = self._of_thread.__dict__.setdefault("begun", {})
        return begun

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "read-ahead")
