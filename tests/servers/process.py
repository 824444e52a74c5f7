"""One server's process: started on a free port, stopped whatever happens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["HOST", "ServerProcess", "free_port", "needs", "server_folder"]

HOST = "127.0.0.1"

_PORTS = (20_000, 32_000)

_START = 20
"""Seconds that a server has to open its port."""


def needs(program: str, remedy: str) -> str:
    """Return the path of a program, or skip the test that asks for it.

    Where ``CI`` is ``true`` a missing program is a failure, so that no test is skipped unnoticed.
    """
    if sys.platform != "linux":
        pytest.skip("real servers are started on Linux only")
    # programs that pip has installed, also where its environment was not activated
    found = shutil.which(
        program, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    )
    if found:
        return found
    reason = f"this test starts a real server, and {program} is not installed: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on.

    It is none of those that the system gives out by itself: they may be in use when a server comes back.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port


@contextmanager
def server_folder() -> Iterator[Path]:
    """Yield a new folder that other users can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="intccms-server-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


class ServerProcess:
    """A server that can be hung, killed and started again on the same port.

    Parameters
    ----------
    command
        Gives the command for a port.
    log
        File for what the server says.
    user
        Whom it runs as, None for the user of the tests.
    environment
        Variables beyond those of the tests.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        log: Path,
        user: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        # dies with the tests, also if these are killed
        self._prefix = [needs("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"]
        if user is not None:
            self._prefix += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int | None:
        """Return the process, None if there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start on a free port; if somebody else takes it at the same moment, on another one."""
        for _ in range(3):
            self.port = free_port()
            if self._start():
                return
        self._give_up()

    def restart(self) -> None:
        """Kill what runs, and start anew on the same port.

        The server dies with the thread that has started it, so that is no work for a thread of a moment.
        """
        self.kill()
        end = time.monotonic() + _START
        while not self._start():  # connections of the one before may hold the port for a moment
            if time.monotonic() > end:
                self._give_up()
            time.sleep(0.2)

    def hang(self) -> None:
        """Let the server stand still: connections are accepted by the kernel, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        end = time.monotonic() + _START
        while self._process is not None and time.monotonic() < end and not self._stands_still():
            time.sleep(0.01)  # the signal is on its way to the threads

    def go_on(self) -> None:
        """End `hang`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server at once; its port is closed afterwards."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def mend(self) -> None:
        """End `hang`, and start again after `kill`."""
        self.go_on()
        if self._process is None or self._process.poll() is not None:
            self.restart()

    def _stands_still(self) -> bool:
        """Tell whether all threads are in the state ``T``, which proc(5) gives after the name in parentheses."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(") ")[2].startswith("T") for task in tasks)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _start(self) -> bool:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *self._command(self.port)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + _START
        while time.monotonic() < end and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _answers(self) -> bool:
        """Tell whether the server has started."""
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _give_up(self) -> None:
        text = self._log.read_text(errors="replace")[-2000:]
        pytest.fail(f"the server did not start: {' '.join(self._command(self.port))}\n{text}", pytrace=False)
