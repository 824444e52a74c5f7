"""How many events each cut leaves, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Cutflow"]


@dataclass
class Cutflow:
    """Entries and sums of weights after each step, in order; those of a channel follow the common ones."""

    steps: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Name of the step -> (events left, sum of their weights)."""
    mixed: bool = False
    """Parts with other steps, or another order of them, were added: the numbers do not follow from each other."""

    def record(self, step: str, weights: NDArray[np.float64]) -> None:
        """Note what is left after a step, from the weights of the events left."""
        name, number = step, 2
        while name in self.steps:
            name, number = f"{step} ({number})", number + 1
        self.steps[name] = (len(weights), float(np.sum(weights)))

    def apply(
        self, cuts: Iterable[tuple[str, NDArray[np.bool_]]], weights: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Note cuts one after the other and return the events that pass all of them."""
        passed = np.ones(len(weights), dtype=bool)
        for name, mask in cuts:
            passed &= mask
            self.record(name, weights[passed])
        return passed

    def __add__(self, other: Self) -> Self:
        """Add the same steps of two parts of a dataset."""
        names = dict.fromkeys([*self.steps, *other.steps])
        mixed = self.mixed or other.mixed
        mixed |= not (_begins(self.steps, other.steps) or _begins(other.steps, self.steps))
        zero = (0, 0.0)
        pairs: dict[str, Any] = {
            name: tuple(
                a + b for a, b in zip(self.steps.get(name, zero), other.steps.get(name, zero), strict=True)
            )
            for name in names
        }
        return type(self)(pairs, mixed)


def _begins(one: dict[str, tuple[int, float]], other: dict[str, tuple[int, float]]) -> bool:
    """Tell whether one has the steps of the other, or its first ones and no event left for the rest."""
    names = list(one)
    same = names == list(other)[: len(names)]
    return same and (len(names) == len(other) or not names or one[names[-1]][0] == 0)
