"""Which hosts did not answer lately, so that nobody waits for them again while another one has the file.

Health only changes the order in which replicas are tried: none is ever left out. Every process has its own, and a run
passes on what one of them has learnt, as times that are left, so that clocks need not agree.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from intccms.utils.remote import is_transient
from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["HOSTS", "HostHealth", "is_fault_of_host"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 900.0
"""Time for which a host goes last [s]; it doubles with every failure that follows such a time."""

_SILENCE = re.compile(
    r"operation expired|connection (error|refused|reset)|socket (timeout|error)|invalid address|timed out|"
    r"unable to connect|name or service not known|no route to host",
    re.IGNORECASE,
)
"""What XRootD's client says through libraries that make an ``OSError`` of everything."""

News = dict[str, tuple[int, float] | None]
"""Host -> failures, and the time for which it still goes last [s]; None for a host that works again."""


@dataclass
class _State:
    failures: int
    until: float


@dataclass
class HostHealth:
    """The health of hosts, as one process knows it.

    Parameters
    ----------
    clock
        Gives the time [s].
    """

    clock: Callable[[], float] = time.monotonic
    _states: dict[str, _State] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, urls: Iterable[str]) -> tuple[str, ...]:
        """Return URLs in the order given, but those whose hosts did not answer lately last."""
        now = self.clock()
        with self._lock:
            return tuple(sorted(urls, key=lambda url: self._rests(url, now)))

    def failed(self, url: str, error: BaseException) -> None:
        """Note an error, if it is the host's fault rather than the file's."""
        host = _host(url)
        if host is None or not is_fault_of_host(error):
            return
        with self._lock:
            now, known = self.clock(), self._states.get(host)
            if known is not None and known.until > now:
                return  # several threads or replicas waited for it at the same time
            failures = 1 if known is None else known.failures + 1
            pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
            self._states[host] = _State(failures, now + pause)
            self._changed.add(host)
        logger.warning("%s does not answer; for %.0f s other replicas are tried before it", host, pause)

    def worked(self, url: str) -> None:
        """Note that a host has answered."""
        host = _host(url)
        if host in self._states:
            with self._lock:
                self._states.pop(host, None)
                self._changed.add(host)

    def news(self) -> News:
        """Return what has changed since the last call."""
        if not self._changed:
            return {}
        with self._lock:
            changed, self._changed = self._changed, set()
            return {host: self._as_news(host) for host in changed}

    def known(self) -> News:
        """Return the hosts that go last."""
        now = self.clock()
        with self._lock:
            return {host: self._as_news(host) for host, state in self._states.items() if state.until > now}

    def learn(self, news: Mapping[str, tuple[int, float] | None]) -> None:
        """Take over what another process knows."""
        if not news:
            return
        now = self.clock()
        with self._lock:
            for host, told in news.items():
                if told is None:
                    self._states.pop(host, None)
                    continue
                known = self._states.setdefault(host, _State(0, now))
                known.failures, known.until = max(known.failures, told[0]), max(known.until, now + told[1])

    def _rests(self, url: str, now: float) -> bool:
        state = self._states.get(_host(url) or "")
        return state is not None and state.until > now

    def _as_news(self, host: str) -> tuple[int, float] | None:
        state = self._states.get(host)
        return None if state is None else (state.failures, max(0.0, state.until - self.clock()))


HOSTS = HostHealth()
"""Of this process."""


def is_fault_of_host(error: BaseException | None) -> bool:
    """Tell whether an error says that a host did not answer, rather than that a file is absent or broken."""
    while error is not None:
        if is_transient(error) or (isinstance(error, OSError) and _SILENCE.search(str(error))):
            return True
        error = error.__cause__
    return False


def _host(url: str) -> str | None:
    """Return scheme, host and port, without the user's name; None for what is on this machine."""
    if not is_url(url):
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else None
