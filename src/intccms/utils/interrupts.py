"""Holds Ctrl-C back while processes are started: a terminal sends it to all of them, and only the first one decides."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["accept_interrupts", "interrupts_held", "revive_lost_interrupts"]

_MOMENT = 0.05
"""Time until an interrupt is raised again [s]."""

_CAN_HOLD = hasattr(signal, "pthread_sigmask")  # not on Windows


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold interrupts back in this thread, and in the threads and processes that it starts meanwhile."""
    if not _CAN_HOLD:
        yield
        return
    resource_tracker.ensure_running()  # it lets interrupts through when it starts, which the first process makes it do
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def accept_interrupts() -> None:
    """Let interrupts through again in a process that was started while they were held."""
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def revive_lost_interrupts() -> None:
    """Raise Ctrl-C again where Python drops it, because it came while an object was taken down (``__del__``)."""
    before = sys.unraisablehook
    if getattr(before, "revives", False):
        return

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # a moment later: raised in here, it would be dropped as well
            timer = threading.Timer(_MOMENT, _thread.interrupt_main)
            timer.daemon = True
            timer.start()
        else:
            before(unraisable)

    hook.revives = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook
