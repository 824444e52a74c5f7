"""A Dask scheduler and its workers, each a process of its own that tests kill, starve and set the clock of."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distributed import Client

from tests.servers.process import HOST, ServerProcess, needs, server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DaskProcesses", "dask_processes"]


class DaskProcesses:
    """A scheduler, and workers that come and go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scheduler = ServerProcess(self._arguments, folder / "scheduler.log")
        self._scheduler.start()
        self.address = f"tcp://{HOST}:{self._scheduler.port}"
        self.client = Client(self.address)
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_worker(self, *, hours_ahead: int = 0) -> None:
        """Start one, whose clock may be ahead of that of the others, or behind it."""
        before = len(self.client.nthreads())
        clock = (
            [needs("faketime", "apt-get install faketime"), "-f", f"{hours_ahead:+d}h"] if hours_ahead else []
        )
        with (self._folder / f"worker{len(self._workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [
                    *(needs("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"),
                    *(*clock, sys.executable, "-m", "distributed.cli.dask_worker", self.address),
                    *("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", HOST),
                    *("--local-directory", str(self._folder), "--death-timeout", "60"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._workers.append(worker)
        self.client.wait_for_workers(before + 1, timeout=60)

    def kill_workers(self) -> None:
        """Kill all of them at once."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()

    def close(self) -> None:
        """End everything."""
        self.kill_workers()
        self.client.close()
        self._scheduler.kill()

    def _arguments(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", HOST, "--port", str(port)),
            *("--no-dashboard", "--no-show"),
        ]


@contextmanager
def dask_processes() -> Iterator[DaskProcesses]:
    """Yield a scheduler without workers."""
    with server_folder() as folder:
        started = DaskProcesses(folder)
        try:
            yield started
        finally:
            started.close()
