"""Dask workers: those of a client, or of a local cluster that starts with the first use."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intccms.analysis.executors.base import Lost, pickled, unpickled
from intccms.analysis.stopping import NEVER, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from intccms.analysis.stopping import Stop

__all__ = ["Dask"]

logger = logging.getLogger(__name__)


@dataclass
class Dask:
    """Runs tasks with a Dask client; a task of which as many workers die as its scheduler allows is `Lost`."""

    client: Any
    can_finish = True
    _own: ExitStack = field(default_factory=ExitStack)
    """Closes the local cluster, if one was started for this executor."""
    _level: int | None = None
    """Of Dask's log, while it is hushed."""

    @property
    def workers(self) -> int:
        """Threads of all workers at this moment."""
        return max(1, sum(int(threads) for threads in self.client.nthreads().values()))

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        width: int | None = None,
        stop: Stop = NEVER,
    ) -> Generator[Any]:
        """Yield results as they come."""
        from distributed import as_completed

        # a task that returns the function, not scattered data: Dask runs it again when the worker that held it dies
        payload = self.client.submit(_same, pickled(function), pure=False)
        token = secrets.token_hex(8)
        waiting = iter(items)
        under_way: dict[Any, Any] = {}
        completed = as_completed()

        def submit_next() -> None:
            for item in () if stop.requested else waiting:
                future = self.client.submit(_run, payload, item, token, pure=False, retries=0)
                under_way[future] = item
                completed.add(future)
                return

        try:
            # tasks that wait in line are not cancelled: they run, and begin nothing
            with stop.telling(lambda: self._tell_workers(token)):
                # enough under way that no worker waits for the client, not so many that 100,000 sit at the scheduler
                for _ in range(max(16, 4 * self.workers) if width is None else width):
                    submit_next()
                for future in completed:
                    item = under_way.pop(future)
                    yield future.result() if future.status == "finished" else _lost(item, future)
                    submit_next()
        except (KeyboardInterrupt, GeneratorExit) as exc:
            if stop.at_once or isinstance(exc, KeyboardInterrupt):
                self._hush()
            raise
        finally:
            if under_way:
                self.client.cancel(list(under_way), force=True)

    def _tell_workers(self, token: str) -> None:
        try:
            self.client.run(_ask_to_stop, token, on_error="ignore")
        except (
            OSError,
            asyncio.CancelledError,
        ) as exc:  # the client was closed meanwhile: nothing runs any more
            logger.debug("workers were not told to stop: %s: %s", type(exc).__name__, exc)

    def _hush(self) -> None:
        """Keep Dask from telling of connections that end in mid-sentence, as they do when everything stops at once."""
        dask_logger = logging.getLogger("distributed")
        if self._level is None:
            self._level = dask_logger.level
        dask_logger.setLevel(logging.CRITICAL)

    def close(self) -> None:
        """Close the local cluster, if it was started here."""
        self._own.close()
        if self._level is not None:
            logging.getLogger("distributed").setLevel(self._level)
            self._level = None


def _same(payload: bytes) -> bytes:
    return payload


_asked: set[str] = set()
"""Calls of `Dask.map` that are to end early; of a worker process."""


def _ask_to_stop(token: str) -> None:
    _asked.add(token)


def _run(payload: bytes, item: Any, token: str) -> Any:
    with listening(lambda: token in _asked):
        return unpickled(payload)(item)


def _lost(item: Any, future: Any) -> Lost:
    error = future.exception() if future.status == "error" else None
    if error is None:
        return Lost(item, f"Dask {future.status} the task", 1)
    if type(error).__name__ == "KilledWorker":
        # the scheduler's own setting: that of a scheduler elsewhere is not in our configuration of Dask
        deaths = int(error.allowed_failures) + 1
        times = f" {deaths} times" if deaths > 1 else ""
        reason = f"its worker process died{times} (out of memory, or a crash in compiled code): {error}"
        return Lost(item, reason, deaths, memory=True)
    return Lost(item, f"{type(error).__name__}: {error}", 1)
