"""What an executor is, and the simplest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cloudpickle

from intccms.analysis.stopping import NEVER
from intccms.errors import ConfigError
from intccms.schema.secrets import exposed_by
from intccms.utils.pickling import pickled_by_value

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from intccms.analysis.stopping import Stop

__all__ = ["Executor", "Iterative", "Lost", "pickled", "unpickled"]


@dataclass(frozen=True)
class Lost:
    """Stands in for the result of a task that never came back.

    Attributes
    ----------
    item
        What the task was given.
    reason
        What happened, for the report.
    deaths
        Worker processes that died in the course of it, as far as the executor knows, in this `map`. A task lost
        in another way counts as one death, so that whoever repeats tasks comes to an end.
    memory
        Whether its worker may have run out of memory, as far as the executor can tell.
    """

    item: Any
    reason: str
    deaths: int = 1
    memory: bool = False


class Executor(Protocol):
    """Runs a function over items somewhere."""

    @property
    def workers(self) -> int:
        """How many items run at a time."""
        ...

    @property
    def can_finish(self) -> bool:
        """Whether it can end early and still finish what runs."""
        ...

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        width: int | None = None,
        stop: Stop = NEVER,
    ) -> Generator[Any]:
        """Yield ``function(item)`` for all items, in any order, or `Lost` in the place of a result.

        Parameters
        ----------
        function, items
            Both must be picklable.
        width
            Run at most so many at a time; None for as many as there are workers.
        stop
            Once it is requested no item begins; functions that run learn of it with `asked_to_stop`.
        """
        ...

    def close(self) -> None:
        """Release workers that the executor started itself."""
        ...


@dataclass
class Iterative:
    """One item after the other, in this process."""

    workers: int = 1
    can_finish = True

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        width: int | None = None,
        stop: Stop = NEVER,
    ) -> Generator[Any]:
        """Yield results in order."""
        del width
        for item in items:
            if stop.requested:
                return
            yield function(item)

    def close(self) -> None:
        """There is nothing to release."""


def pickled(function: Any) -> bytes:
    """Return the pickle of a function for workers.

    Raises
    ------
    ConfigError
        If it holds the value of a credential that this process knows.
    """
    content = pickled_by_value(function)
    if origins := exposed_by(content):
        message = (
            f"the configuration, or a function of it, holds a credential ({', '.join(origins)}), which would be sent to "
            "the workers. Let each worker look it up at the moment of use: WorkerEval(lambda: os.environ[NAME]), not a "
            "variable that was set to it before."
        )
        raise ConfigError(message)
    return content


_kept: dict[str, tuple[bytes, Any]] = {}


def unpickled(payload: bytes) -> Any:
    """Return the function that a pickle holds, unpickled once per worker process."""
    known = _kept.get("last")
    if known is None or known[0] != payload:
        known = _kept["last"] = (payload, cloudpickle.loads(payload))
    return known[1]
