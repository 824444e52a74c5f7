"""Whether functions are event-local: what they say of an event must not depend on the events beside it.

Variations are evaluated on tiles of repeated events, chunks may be cut anywhere, and cuts may come earlier than they stand
in the configuration. All of that is right only if a function gives the same bits for an event in any company.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.errors import FunctorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from rich.console import RenderableType

__all__ = ["Difference", "LocalityReport", "check_function", "first_difference"]

_SEED = 20
_LONGEST = 80
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Difference:
    """The first event for which a function says something else in other company."""

    where: str
    """Path in the configuration, or correction and source."""
    how: str
    """What was done to the events."""
    event: int
    """Position among the events given."""
    alone: str
    """What it said of the event when all events were given in order."""
    then: str
    """What it said then."""

    def __str__(self) -> str:
        return (
            f"{self.where} depends on other events: with the events {self.how} it gives {self.then} for event "
            f"{self.event}, {self.alone} otherwise"
        )


@dataclass(frozen=True)
class LocalityReport:
    """What was evaluated on events in several orders and parts."""

    events: int
    """Events given."""
    checked: tuple[str, ...]
    """Functions and corrections that were compared."""
    unchecked: tuple[str, ...] = ()
    """Those that no two events reached."""
    differences: tuple[Difference, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether nothing depends on other events, as far as it was checked."""
        return not self.differences

    def raise_if_not(self) -> None:
        """Raise if anything depends on other events.

        Raises
        ------
        FunctorError
            Naming each function, the event and both results.
        """
        if self.differences:
            raise FunctorError("\n".join(map(str, self.differences)))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield what is to be said of it."""
        yield from map(str, self.differences)
        if self.unchecked:
            yield f"not checked, because cuts left less than two of the events: {', '.join(self.unchecked)}"
        many = f"{len(self.checked)} functions and corrections on {self.events:,} events"
        yield f"{many}: {len(self.differences) or 'none'} of them depend{'s' if len(self.differences) < 2 else ''} on other events"

    def __rich__(self) -> RenderableType:
        """Return it for a terminal."""
        from rich.text import Text

        return Text("\n".join(self.lines()))

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.lines())


def check_function(
    evaluate: Callable[[NDArray[np.int64]], Sequence[Any]], n_events: int, where: str
) -> Difference | None:
    """Return how the results of a function depend on the company of events, None if they do not.

    Parameters
    ----------
    evaluate
        Returns the results for some events, by position: arrays with one element per event, in that order.
    n_events
        Number of events.
    where
        Names the function.
    """
    whole = evaluate(np.arange(n_events))
    for how, chosen in _selections(n_events):
        part = evaluate(chosen)
        for one, expected in zip(part, whole, strict=True):
            found = first_difference(ak.Array(expected)[chosen], ak.Array(one))
            if found is not None:
                position, before, after = found
                return Difference(where, how, int(chosen[position]), before, after)
    return None


def first_difference(expected: Any, found: Any) -> tuple[int, str, str] | None:
    """Return the first element in which two arrays differ by a bit, with both values; None if there is none.

    NaN is equal to NaN, and an option that is never None to no option.
    """
    if ak.array_equal(expected, found, equal_nan=True, dtype_exact=False, check_parameters=False):
        return None
    one, other = ak.to_list(expected), ak.to_list(found)
    if len(one) != len(other):
        return min(len(one), len(other)), f"{len(one)} elements", f"{len(other)}"
    for position, (first, second) in enumerate(zip(one, other, strict=True)):
        if repr(first) != repr(second):
            return position, repr(first)[:_LONGEST], repr(second)[:_LONGEST]
    return None


def _selections(n_events: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    everything, third = np.arange(n_events), n_events // 3
    yield "in another order", np.random.default_rng(_SEED).permutation(n_events)
    yield "in two parts", everything[:third]
    yield "in two parts", everything[third:]
    yield "repeated", np.tile(everything[-third - 1 :], 2)
