"""How long a server is waited for that fails or says nothing."""

from __future__ import annotations

import math
import os
import time

from intccms.errors import ConfigError

__all__ = ["PATIENCE", "Deadline"]


def _chosen_patience() -> float:
    text = os.environ.get("INTCCMS_PATIENCE") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds < math.inf:
        message = f"the environment variable INTCCMS_PATIENCE is {text!r}, expected a number of seconds, at least 1."
        raise ConfigError(message)
    return seconds


PATIENCE = _chosen_patience()
"""Time [s] after which a server that does not answer, or fails again and again, counts as failed.

The variable is read when a process starts, so workers elsewhere need it in their own environment.
"""

_SLOWEST = 1e6
"""Rate [bytes/s] of the slowest upload that is waited for."""


class Deadline:
    """The end of an operation, which its requests and all its attempts share.

    Parameters
    ----------
    patience
        Time [s] to wait for a server.
    size
        Number of bytes to move at once, which take their own time beyond that.
    """

    def __init__(self, patience: float = PATIENCE, size: int = 0) -> None:
        self._patience = patience
        self._start = time.monotonic()
        self._end = self._start + patience + size / _SLOWEST
        self._furthest = 0

    @property
    def left(self) -> float:
        """Return the time left [s], negative afterwards."""
        return self._end - time.monotonic()

    @property
    def whole_seconds(self) -> int:
        """Return the time left [s] for interfaces that count whole seconds and take 0 for no limit."""
        return max(1, math.ceil(self.left))

    @property
    def passed(self) -> float:
        """Return the time since the start [s]."""
        return time.monotonic() - self._start

    def reached(self, position: int) -> None:
        """Start waiting anew, because more bytes were moved than in any attempt before."""
        if position > self._furthest:
            self._furthest = position
            self._end = max(self._end, time.monotonic() + self._patience)
