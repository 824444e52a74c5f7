"""Computes a function of single objects once for objects that come again: in the copies of a tile, in the next call.

What is given back is what computing anew would give, to the bit: the objects are compared by value.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Last", "Repeats", "forget", "period"]


_known: weakref.WeakSet[Last | Repeats] = weakref.WeakSet()


def forget() -> None:
    """Let go of everything that is remembered in this thread: of the events of a chunk, when it is done."""
    for one in list(_known):
        one.forget()


class Last(threading.local):
    """Remembers the last result of a function, and the very objects that it was called with, in each thread by itself."""

    def __init__(self) -> None:
        _known.add(self)
        self.forget()

    def forget(self) -> None:
        """Let go of it."""
        self._last: tuple[tuple[object, ...], Any] | None = None

    def get[T](self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """Return ``function(*arguments)``; what is remembered, if every argument is the same object as then."""
        if (
            self._last is None
            or len(self._last[0]) != len(arguments)
            or any(one is not other for one, other in zip(self._last[0], arguments, strict=True))
        ):
            self._last = (arguments, function(*arguments))
        result: T = self._last[1]
        return result


class Repeats(threading.local):
    """Remembers the last objects and their results, in each thread by itself."""

    def __init__(self) -> None:
        _known.add(self)
        self.forget()

    def forget(self) -> None:
        """Let go of them."""
        self._last: tuple[object, list[NDArray[np.float64]], NDArray[np.float64]] | None = None

    def compute(
        self,
        function: Callable[..., NDArray[np.float64]],
        columns: Sequence[NDArray[np.float64]],
        constant: object,
    ) -> NDArray[np.float64]:
        """Return ``function(*columns, constant)``, whose entries depend on the entries at their positions only.

        Parameters
        ----------
        function
            The same in all calls.
        columns
            Flat, of one length.
        constant
            A further argument; results of another one are not used.
        """
        once = period(columns)
        length = len(columns[0])
        if once == 0:
            return function(*columns, constant)
        first = [column[:once] for column in columns]
        if (
            self._last is None
            or self._last[0] is not constant
            or not all(map(np.array_equal, first, self._last[1]))
        ):
            # copies: columns may be views of arrays that their owners change or that are large
            self._last = (constant, [one.copy() for one in first], function(*first, constant))
        return np.tile(self._last[2], length // once)


def period(columns: Sequence[NDArray[Any]]) -> int:
    """Return after how many entries the columns repeat to their end; their length if they do not.

    Only the first place where the first entry comes again is tried; in a tile of different events it is the right one.
    """
    length = len(columns[0])
    again = np.logical_and.reduce([column == column[:1] for column in columns])
    places = np.flatnonzero(again[1:]) + 1
    if not len(places) or length % places[0]:
        return length
    candidate = int(places[0])
    repeated = all(np.array_equal(column[candidate:], column[:-candidate]) for column in columns)
    return candidate if repeated else length
