"""Where tasks run: one after the other, in local processes, on Dask, or on a coffea executor.

All executors are given a picklable function and a list of items, and yield the results in any order. A task that
brings its worker down is not waited for: `Lost` stands in for its result.
"""

from __future__ import annotations

from intccms.analysis.executors.base import Executor, Lost
from intccms.analysis.executors.choose import make_executor

__all__ = ["Executor", "Lost", "make_executor"]
