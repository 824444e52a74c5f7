"""Facilities: this machine, and schedulers that run already."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from intccms.errors import FacilityError
from intccms.utils.interrupts import accept_interrupts, interrupts_held

__all__ = ["AddressFacility", "LocalFacility"]

CONNECT_TIMEOUT = 30
"""Time within which a scheduler must answer [s]."""

WORKERS_TIMEOUT = 60
"""Time within which the workers asked for must be there [s]."""


NO_WORKERS_TIMEOUT = 300
"""Time after which a task fails that no worker is there for [s]."""

ALLOWED_FAILURES = 0
"""Workers that may die of a task before it is lost: who hands out the tasks decides whether one runs again."""


class LocalFacility:
    """A Dask cluster of processes on this machine."""

    name = "local"

    def open(self, num_workers: int | None) -> tuple[Any, Any]:
        """Start one single-threaded worker process per core, or as many as asked for."""
        import dask
        from distributed import Client, LocalCluster

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        settings = {
            # by default a task waits for ever where there are no workers left
            "distributed.scheduler.no-workers-timeout": f"{NO_WORKERS_TIMEOUT}s",
            "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        }
        with dask.config.set(settings), interrupts_held():
            cluster = LocalCluster(
                n_workers=num_workers or cores,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
            )
        client = Client(cluster)
        client.register_plugin(_led_by_the_client(), name="intccms-led-by-the-client")
        return client, cluster


def _led_by_the_client() -> Any:
    """Return a plugin for workers: what Ctrl-C and the end of the cluster mean, the client decides and tells.

    A terminal sends Ctrl-C to the workers too; and the scheduler lives in the process of the client, so that a worker
    whose heartbeat no longer reaches it has nothing to tell but that the client ends.
    """
    from distributed import WorkerPlugin

    class LedByTheClient(WorkerPlugin):  # type: ignore[misc,unused-ignore]
        def setup(self, worker: Any) -> None:
            del worker
            logging.getLogger("distributed.worker").addFilter(_tells_of_more_than_the_end)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                accept_interrupts()

    return LedByTheClient()


def _tells_of_more_than_the_end(record: logging.LogRecord) -> bool:
    from distributed.comm.core import CommClosedError

    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, CommClosedError)


class AddressFacility:
    """A scheduler that runs already.

    Parameters
    ----------
    address
        Such as ``tcp://localhost:8786``.
    """

    name = "address"

    def __init__(self, address: str) -> None:
        self._address = address

    def open(self, num_workers: int | None) -> tuple[Any, None]:
        """Connect; if a number of workers is asked for, wait until there are as many.

        Raises
        ------
        FacilityError
            If the scheduler does not answer, or the workers do not come.
        """
        from distributed import Client

        try:
            client = Client(self._address, timeout=f"{CONNECT_TIMEOUT}s")
        except (OSError, TypeError, ValueError) as exc:
            message = f"cannot use the Dask scheduler at {self._address}: {exc}. Is it running, and reachable from here?"
            raise FacilityError(message) from exc
        try:
            if num_workers:
                client.wait_for_workers(num_workers, timeout=WORKERS_TIMEOUT)
        except TimeoutError as exc:
            here = len(client.nthreads())
            client.close()
            message = (
                f"the Dask scheduler at {self._address} has {here} worker(s) after {WORKERS_TIMEOUT} s, and "
                f"{num_workers} were asked for. Start more, or ask for fewer."
            )
            raise FacilityError(message) from exc
        return client, None
