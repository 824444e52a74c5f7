"""Sets of lumi sections as ranges, in the form of golden JSON files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.metadata.records import LumiRanges

__all__ = ["count_sections", "ranges_of", "union"]


def ranges_of(runs: Any, sections: Any) -> LumiRanges:
    """Return the distinct lumi sections of each run as ranges, runs in increasing order.

    Parameters
    ----------
    runs, sections
        ``run`` and ``luminosityBlock``, one per event or section, in any order.
    """
    runs, sections = np.asarray(runs), np.asarray(sections)
    ranges: LumiRanges = {}
    for run in np.unique(runs):
        numbers = np.unique(sections[runs == run]).astype(np.int64)
        breaks = np.flatnonzero(np.diff(numbers) > 1)
        firsts, lasts = numbers[np.r_[0, breaks + 1]], numbers[np.r_[breaks, len(numbers) - 1]]
        ranges[str(int(run))] = [[int(first), int(last)] for first, last in zip(firsts, lasts, strict=True)]
    return ranges


def union(parts: Iterable[LumiRanges]) -> LumiRanges:
    """Return the lumi sections that are in any of several sets.

    Examples
    --------
    >>> union([{"1": [[1, 3]]}, {"1": [[4, 5], [9, 9]], "2": [[1, 1]]}])
    {'1': [[1, 5], [9, 9]], '2': [[1, 1]]}
    """
    collected: dict[str, list[list[int]]] = {}
    for part in parts:
        for run, ranges in part.items():
            collected.setdefault(run, []).extend(ranges)
    return {run: _joined(collected[run]) for run in sorted(collected, key=int)}


def _joined(ranges: list[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def count_sections(lumis: LumiRanges) -> int:
    """Return the number of lumi sections.

    Examples
    --------
    >>> count_sections({"1": [[1, 5], [9, 9]], "2": [[1, 1]]})
    7
    """
    return sum(last - first + 1 for ranges in lumis.values() for first, last in ranges)
