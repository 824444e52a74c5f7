"""Numbers of values per event, which the lists of a collection must share: NanoEvents cut all of them by those of one.

NanoAOD has one counter for a collection (``nMuon``). Files of other origin may have lists of different lengths under one
prefix, whose values would go to other events without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Counts", "collections_of_lists"]


def collections_of_lists(columns: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """Return the collections of which all columns are lists: those whose counts must be equal.

    Parameters
    ----------
    columns
        Name of a column, and whether it is one of lists.
    """
    lists: dict[str, bool] = {}
    for name, is_list in columns:
        collection, _, field = name.partition("_")
        if field:
            lists[collection] = lists.get(collection, True) and is_list
    return frozenset(name for name, all_of_them in lists.items() if all_of_them)


class Counts:
    """Compares columns of one entry range, as they are read.

    Parameters
    ----------
    collections
        Those whose columns share their counts.
    """

    def __init__(self, collections: frozenset[str]) -> None:
        self._collections = collections
        self._known: dict[str, tuple[str, NDArray[np.integer]]] = {}

    def concern(self, name: str) -> bool:
        """Tell whether a column is a list of such a collection."""
        return name.partition("_")[0] in self._collections

    def compare(self, name: str, counts: NDArray[np.integer]) -> None:
        """Compare the counts of a column with those of the others of its collection.

        Raises
        ------
        ValueError
            If they differ.
        """
        first, known = self._known.setdefault(name.partition("_")[0], (name, counts))
        if not np.array_equal(known, counts):
            message = (
                f"{name} does not have as many values per event as {first}; fields of one collection must, or their "
                "values would go to other events. Give them different prefixes in the file."
            )
            raise ValueError(message)
