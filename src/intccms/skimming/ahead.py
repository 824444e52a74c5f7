"""Fetches what is read next while something else is computed, so that waiting for a server costs no time."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["ReadAhead"]


_HELD = 2
"""What is taken next, and what comes after it."""


class ReadAhead[T]:
    """Two things ahead at most for each thread that reads, so that no more than those are held in memory for it."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def begin(self, key: Hashable, fetch: Callable[[], T]) -> None:
        """Start to fetch something; the oldest of what this thread began and did not take is dropped."""
        begun = self._begun
        begun[key] = self._pool.submit(fetch)
        while len(begun) > _HELD:
            begun.pop(next(iter(begun))).cancel()  # without effect on what runs or is done

    def take(self, key: Hashable, fetch: Callable[[], T]) -> T:
        """Return what was begun under the key, or fetch it now; raises whatever fetching raises."""
        future = self._begun.pop(key, None)
        # what still waits for the fetching of other threads is faster fetched here
        return fetch() if future is None or future.cancel() else future.result()

    @property
    def _begun(self) -> dict[Hashable, Future[T]]:
        begun: dict[Hashable, Future[T]] = self._of_thread.__dict__.setdefault("begun", {})
        return begun

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "read-ahead")
