"""From ``general.executor`` to an executor."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import cloudpickle

from intccms.analysis.executors.base import Executor, Iterative
from intccms.analysis.executors.of_coffea import Coffea
from intccms.analysis.executors.on_dask import Dask
from intccms.analysis.executors.processes import Futures
from intccms.errors import ConfigError
from intccms.facilities import acquire_client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["make_executor"]


def make_executor(
    choice: Any, *, workers: int | None, client: Any, modules: Sequence[ModuleType]
) -> Executor:
    """Return the executor that ``general.executor`` names.

    Parameters
    ----------
    choice
        ``iterative``, ``futures``, ``dask`` or a coffea executor object.
    workers
        Processes of ``futures`` and of a local Dask cluster; None for the cores of this machine.
    client
        Dask client to use; with ``dask`` and None, a local cluster is started.
    modules
        The user's own modules: they are sent along by value, so that workers need not have them.

    Raises
    ------
    ConfigError
        If the choice is none of these.
    """
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    if choice == "iterative":
        return Iterative()
    if choice == "futures":
        return Futures(workers or _cores())
    if choice == "dask":
        if client is not None:
            return Dask(client)
        own = ExitStack()
        started, _ = own.enter_context(acquire_client("local", num_workers=workers))
        return Dask(started, own)
    if callable(choice) and hasattr(choice, "copy"):
        return Coffea(choice)
    message = f"general.executor: expected 'iterative', 'futures', 'dask' or a coffea executor object, not {choice!r}."
    raise ConfigError(message)


def _cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
