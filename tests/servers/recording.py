"""A TCP proxy that keeps every byte it passes on, in both directions."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Recorder", "recorder"]


class Recorder:
    """What went through.

    Parameters
    ----------
    target
        Port that connections are passed on to.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.streams: list[bytearray] = []
        """One per connection and direction."""
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Accept no more connections, and wait for the end of those that there are."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._connect, args=(near,), daemon=True))
            self._threads[-1].start()

    def _connect(self, near: socket.socket) -> None:
        with near, socket.create_connection((HOST, self._target)) as far:
            streams = bytearray(), bytearray()
            self.streams += streams
            back = threading.Thread(target=_pass_on, args=(far, near, streams[1]), daemon=True)
            back.start()
            _pass_on(near, far, streams[0])
            back.join()


def _pass_on(source: socket.socket, target: socket.socket, stream: bytearray) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            stream += block
            target.sendall(block)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def recorder(target: int) -> Iterator[Recorder]:
    """Yield a proxy before a port."""
    found = Recorder(target)
    try:
        yield found
    finally:
        found.close()
