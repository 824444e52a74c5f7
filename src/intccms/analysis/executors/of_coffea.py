"""Executor objects of coffea, called as ``executor(items, function, accumulator)``."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intccms.analysis.executors.base import Lost, pickled, unpickled
from intccms.analysis.stopping import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from intccms.analysis.stopping import Stop

__all__ = ["Coffea"]

logger = logging.getLogger(__name__)


@dataclass
class Coffea:
    """Any executor object of coffea."""

    executor: Any
    can_finish = False

    @property
    def workers(self) -> int:
        """Workers of the executor, as far as it tells."""
        return int(getattr(self.executor, "workers", None) or os.cpu_count() or 1)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        width: int | None = None,
        stop: Stop = NEVER,
    ) -> Generator[Any]:
        """Yield results once all are there: these executors hand over their sum.

        With a `width`, each item is a call of its own, so that an executor that fails as a whole when a worker
        dies fails for that item only.
        """
        del stop
        payload = pickled(function)
        numbered = list(enumerate(items))
        for batch in [numbered] if width is None else [[one] for one in numbered]:
            yield from self._call(payload, batch)

    def _call(self, payload: bytes, numbered: list[tuple[int, Any]]) -> Iterator[Any]:
        executor = self.executor.copy(desc="chunks", unit="chunk", compression=None)
        reason = "the executor returned no result for it"
        try:
            summed, _ = executor(numbered, _Keyed(payload), {})
        except Exception as exc:  # noqa: BLE001  whatever a worker's death looks like in this executor
            logger.warning("%s failed: %s: %s", type(executor).__name__, type(exc).__name__, exc)
            summed, reason = {}, f"{type(executor).__name__} failed: {type(exc).__name__}: {exc}"
        for index, item in numbered:
            yield summed[index] if index in summed else Lost(item, reason, 1)

    def close(self) -> None:
        """Leave the executor alone: it belongs to the caller."""


@dataclass(frozen=True)
class _Keyed:
    """Returns results under the number of their item, so that adding them up keeps them apart."""

    payload: bytes

    def __call__(self, numbered: tuple[int, Any]) -> dict[int, Any]:
        index, item = numbered
        return {index: unpickled(self.payload)(item)}
