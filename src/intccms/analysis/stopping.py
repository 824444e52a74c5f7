"""Ends work early at the user's wish: Ctrl-C once lets what runs be finished and saved, twice stops at once."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intccms.analysis.executors import Executor

__all__ = ["NEVER", "Stop", "asked_to_stop", "listening", "stoppable"]

logger = logging.getLogger(__name__)


class Stop:
    """Whether work is to end early; executors look at it before each item that they hand out."""

    def __init__(self) -> None:
        self.requested = False
        """What runs is finished, nothing new begins."""
        self.at_once = False
        """What runs is thrown away as well."""
        self._listeners: list[Callable[[], None]] = []

    def request(self) -> None:
        """Let nothing new begin."""
        self.requested = True
        # not here: this may be a signal handler, which has interrupted whoever holds the locks that are needed now
        threading.Thread(target=self._tell, daemon=True).start()

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call a listener, from another thread, when the stop is requested within the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _tell(self) -> None:
        logger.warning("stopping: what runs is finished and saved (Ctrl-C once more stops at once)")
        for listener in list(self._listeners):
            listener()


NEVER = Stop()
"""For work that runs to its end."""

_current: list[Stop] = []
"""Of this process; the innermost last."""
_ears = threading.local()


def asked_to_stop() -> bool:
    """Tell a task whether to begin nothing new, in whatever process or thread an executor runs it."""
    ear: Callable[[], bool] | None = getattr(_ears, "of_thread", None)
    return ear() if ear is not None else bool(_current and _current[-1].requested)


@contextmanager
def listening(ear: Callable[[], bool]) -> Iterator[None]:
    """Have `asked_to_stop` ask a function, in this thread."""
    _ears.of_thread = ear
    try:
        yield
    finally:
        del _ears.of_thread


@contextmanager
def stoppable(executor: Executor) -> Iterator[Stop]:
    """Yield what the first Ctrl-C within the block requests; the second one raises ``KeyboardInterrupt``.

    Nothing changes outside of the main thread, where Ctrl-C does not arrive, where somebody else handles the signal,
    and for executors that cannot end early.
    """
    stop = Stop()

    def interrupt(*_: object) -> None:
        if stop.requested:
            stop.at_once = True
            raise KeyboardInterrupt
        stop.request()

    ours = (
        executor.can_finish
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    _current.append(stop)
    try:
        yield stop
    finally:
        _current.remove(stop)
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
