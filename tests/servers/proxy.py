"""A TCP proxy in a process of its own: slow, broken, hung or unwilling, as the test wants.

The process reads one JSON object per line from its standard input, answers with one line each, and ends when the
input ends; so it does not outlive the tests.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import socket
import struct
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Proxy", "proxy"]

HOST = "127.0.0.1"
_BLOCK = 1 << 16

_HANDSHAKE = struct.pack(">5I", 0, 0, 0, 4, 2012)
"""With which a client of XRootD begins a connection."""
_HEADER = struct.Struct(">2xH16xI")
"""Of each of its requests: number of the stream, kind, arguments, and how many bytes follow."""
_KINDS = {
    3000: "auth",
    3001: "query",
    3003: "close",
    3004: "dirlist",
    3006: "protocol",
    3007: "login",
    3009: "mv",
    3010: "open",
    3013: "read",
    3014: "rm",
    3017: "stat",
    3019: "write",
    3023: "endsess",
    3024: "bind",
    3025: "readv",
    3026: "pgwrite",
    3027: "locate",
    3030: "pgread",
}
"""As XProtocol.hh numbers them."""


class Proxy:
    """The test's end: orders for the process.

    Parameters
    ----------
    target
        Port that connections are passed on to.
    """

    def __init__(self, target: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._order(name="port"))

    @property
    def connections(self) -> int:
        """Number of connections so far."""
        return int(self._order(name="connections"))

    @property
    def round_trips(self) -> int:
        """How often a client has asked so far, and waited for the answer before it asked again, on any connection."""
        return int(self._order(name="round_trips"))

    def delay(self, there: float, back: float) -> None:
        """Hold back what is sent to the server, and its answers [s]."""
        self._order(name="delay", there=there, back=back)

    def reset(self, times: int, after: int = 0) -> None:
        """Reset the connections that there are, and the next ones after a number of bytes to the server."""
        self._order(name="reset", times=times, after=after)

    @property
    def passed(self) -> int:
        """Number of bytes that went to the server so far."""
        return int(self._order(name="passed"))

    @property
    def requests(self) -> dict[str, int]:
        """Number of requests of XRootD so far, by kind."""
        counts: dict[str, int] = json.loads(self._order(name="requests"))
        return counts

    def hang(self, after: int = 0) -> None:
        """Pass nothing on, in no direction, until `go_on`; begin after a number of further bytes to the server."""
        self._order(name="hang", after=after)

    def go_on(self) -> None:
        """End `hang`, and forget all orders."""
        self._order(name="go_on")

    def answer(self, status: int, code: str, times: int) -> None:
        """Answer the next requests of HTTP with an error of S3, one per connection."""
        self._order(name="answer", status=status, code=code, times=times)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _order(self, **order: Any) -> str:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Yield a proxy before a port."""
    started = Proxy(target)
    try:
        yield started
    finally:
        started.close()


class _Relay:
    """The process's end."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delays = {"there": 0.0, "back": 0.0}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._resets, self._reset_after = 0, 0
        self._answers, self._answer = 0, b""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = self._passed = self._round_trips = 0
        self._requests: Counter[str] = Counter()
        self._stop_at = math.inf
        self._port = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, HOST, 0)
        self._port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            print(getattr(self, "order_" + order.pop("name"))(**order), flush=True)
        os._exit(0)  # the system closes what is open; tasks that wait would only complain

    def order_port(self) -> int:
        return self._port

    def order_connections(self) -> int:
        return self._count

    def order_round_trips(self) -> int:
        return self._round_trips

    def order_delay(self, there: float, back: float) -> str:
        self._delays = {"there": there, "back": back}
        return "ok"

    def order_reset(self, times: int, after: int) -> str:
        self._resets, self._reset_after = times, after
        self._reset_all()
        return "ok"

    def order_passed(self) -> int:
        return self._passed

    def order_requests(self) -> str:
        return json.dumps(self._requests)

    def order_hang(self, after: int) -> str:
        self._stop_at = self._passed + after
        if after == 0:
            self._flowing.clear()
        return "ok"

    def order_go_on(self) -> str:
        self._delays = {"there": 0.0, "back": 0.0}
        self._resets = self._answers = 0
        self._stop_at = math.inf
        self._flowing.set()
        return "ok"

    def order_answer(self, status: int, code: str, times: int) -> str:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as ordered</Message></Error>"
        self._answers = times
        self._answer = (
            f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}"
        ).encode()
        self._reset_all()  # further requests would come on connections that are open
        return "ok"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._answers > 0:
                self._answers -= 1
                await self._refuse(reader, writer)
                return
            limit = None
            if self._resets > 0:
                self._resets -= 1
                limit = self._reset_after
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
            self._open |= {writer, server_writer}
            turns = _Turns()
            await asyncio.gather(
                self._pass_on(reader, server_writer, "there", limit, writer, turns),
                self._pass_on(server_reader, writer, "back", None, writer, turns),
                return_exceptions=True,
            )
            self._open -= {writer, server_writer}
        writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"\ncontent-length: *(\d+)", head)
        if length is not None and b"100-continue" not in head:
            await reader.readexactly(int(length[1]))
        writer.write(self._answer)
        await writer.drain()
        writer.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: str,
        limit: int | None,
        client: asyncio.StreamWriter,
        turns: _Turns,
    ) -> None:
        """Copy one direction; reading goes on during the delay, so that it costs time and not throughput."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.create_task(self._send(queue, writer, counted=direction == "there"))
        loop, passed = asyncio.get_running_loop(), 0
        requests = _Requests(self._requests) if direction == "there" else None
        try:
            while data := await reader.read(_BLOCK):
                passed += len(data)
                self._round_trips += turns.begins_round_trip(direction)
                if requests is not None:
                    requests.see(data)
                if limit is not None and passed > limit:
                    _reset(client)
                    return
                queue.put_nowait((loop.time() + self._delays[direction], data))
        finally:
            queue.put_nowait((loop.time() + self._delays[direction], b""))
            await sender

    async def _send(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flowing.wait()
            if not data:
                break
            writer.write(data)
            await writer.drain()
            if counted:
                self._passed += len(data)
                if self._passed >= self._stop_at:
                    self._flowing.clear()
        writer.close()

    def _reset_all(self) -> None:
        for writer in self._open:
            _reset(writer)


class _Turns:
    """Who spoke last on one connection."""

    def __init__(self) -> None:
        self._last = "back"

    def begins_round_trip(self, direction: str) -> bool:
        """Return if somebody asks after an answer, or for the first time."""
        begins = direction == "there" and self._last == "back"
        self._last = direction
        return begins


class _Requests:
    """Counts the requests of XRootD on one connection; where another protocol is spoken, nothing."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._awaited, self._understood = _HANDSHAKE, True
        self._skip, self._header = 0, b""

    def see(self, data: bytes) -> None:
        """Look at what a client sends next."""
        head, data = data[: len(self._awaited)], data[len(self._awaited) :]
        self._understood &= self._awaited.startswith(head)
        self._awaited = self._awaited[len(head) :]
        while data and self._understood:
            if self._skip:
                skipped = min(self._skip, len(data))
                self._skip, data = self._skip - skipped, data[skipped:]
                continue
            missing = _HEADER.size - len(self._header)
            self._header, data = self._header + data[:missing], data[missing:]
            if len(self._header) == _HEADER.size:
                kind, self._skip = _HEADER.unpack(self._header)
                self._header = b""
                if kind in _KINDS:
                    self._counts[_KINDS[kind]] += 1


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a server does that crashes."""
    socket_ = writer.get_extra_info("socket")
    if socket_ is not None and socket_.fileno() >= 0:
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(_Relay(int(sys.argv[1])).serve())
