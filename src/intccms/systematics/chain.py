"""Takes events through the chain of object corrections, nominally and for every variation.

Varying a step replaces that step, and later steps run nominally on its result. Sources that vary with another one
take their key in the variations of that one. The result is numbers, no events: a flat array per target and variation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.systematics.evaluate import object_values, place_of, same_call, shift_of
from intccms.systematics.states import Base, State, StateColumns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from intccms.schema import ObjVar
    from intccms.schema.corrections import Correction
    from intccms.systematics.evaluate import Lookup
    from intccms.systematics.plan import Shift, SystematicsPlan

__all__ = ["ObjectStates", "corrected_objects"]


@dataclass
class ObjectStates:
    """What the chain makes of the targets."""

    base: Base
    nominal: State
    """Every target, corrected."""
    varied: dict[str, State] = field(default_factory=dict)
    """Variation -> the targets that it changes, corrected."""


def corrected_objects(plan: SystematicsPlan, columns: Lookup, max_rows: int) -> ObjectStates:
    """Return the corrected targets of all object corrections of a plan.

    Parameters
    ----------
    plan
        The corrections and their variations.
    columns
        The events, as read.
    max_rows
        Events, counted once for each variation, that are held at a time.

    Raises
    ------
    FunctorError, PayloadError
        Naming correction, source and year.
    """
    chain = [one for one in plan.chain if one.name not in plan.absent]
    targets = [target for one in chain for target in one.target or []]
    base = Base(columns, targets, "corrections")
    states = ObjectStates(base, dict(base.as_read))
    for correction in chain:
        _Step(plan, correction, states, max_rows).run()
    return states


class _Step:
    """One object correction, on all states that there are so far."""

    def __init__(
        self, plan: SystematicsPlan, correction: Correction, states: ObjectStates, max_rows: int
    ) -> None:
        self._plan, self._correction, self._states = plan, correction, states
        self._batch = max(1, max_rows // max(1, len(states.base)))
        self._targets = correction.target or []
        self._size = states.base.size(correction.targets_collection)

    def run(self) -> None:
        states, before = self._states, self._states.nominal
        changed = {
            **self._of_earlier_variations(),
            **self._of_own_sources(
                [one for one in self._plan.shifts(self._correction) if not one.source.is_delta]
            ),
        }
        if self._changes_nominally:
            columns = self._columns([{}], before)
            states.nominal = {**before, **self._applied(self._values(None, columns), before)}
        changed |= self._of_own_deltas()
        for variation, state in changed.items():
            states.varied[variation] = {**states.varied.get(variation, {}), **state}

    @property
    def _changes_nominally(self) -> bool:
        one = self._correction
        return one.uses_payload or one.nominal_function is not None

    def _of_earlier_variations(self) -> dict[str, State]:
        """Return what the step makes of the variations of earlier steps that touch what it uses."""
        following = {
            variation: shift
            for variation in self._plan.object_variations
            if (shift := self._plan.following(self._correction, variation)) is not None
            and self._plan.object_variations[variation] is not self._correction
        }
        used = {column.collection for column in self._correction.columns()}
        touched = [
            variation
            for variation, state in self._states.varied.items()
            if variation not in following and used & {target.collection for target in state}
        ]
        found: dict[str, State] = {}
        for names in self._batches(touched if self._changes_nominally else []):
            before = [self._state(name) for name in names]
            whole = self._values(None, self._columns(before, self._states.nominal), len(names))
            for index, name in enumerate(names):
                mine = slice(index * self._size, (index + 1) * self._size)
                found[name] = self._applied([one[mine] for one in whole], self._full(before[index]))
        for names in self._batches(list(following)):
            found |= self._of_following(names, following)
        return found

    def _of_following(self, names: Sequence[str], shifts: dict[str, Shift]) -> dict[str, State]:
        before = [self._full(self._state(name)) for name in names]
        found: dict[str, State] = {}
        relative = [name for name in names if shifts[name].source.is_delta]
        direct = [name for name in names if not shifts[name].source.is_delta]
        columns = self._columns(before, self._states.nominal)
        for name in direct:
            index = names.index(name)
            found[name] = self._applied(self._values(shifts[name], columns.part(index)), before[index])
        if relative:
            after = []
            for name in relative:
                index = names.index(name)
                values = self._values(None, columns.part(index)) if self._changes_nominally else None
                after.append(
                    before[index] | (self._applied(values, before[index]) if values is not None else {})
                )
            later = self._columns(after, self._states.nominal)
            for index, name in enumerate(relative):
                delta = self._values(shifts[name], later.part(index))
                found[name] = self._shifted(delta, shifts[name], after[index])
        return found

    def _of_own_sources(self, shifts: Sequence[Shift]) -> dict[str, State]:
        before = self._states.nominal
        columns = self._columns([{}], before)
        return {shift.variation: self._applied(self._values(shift, columns), before) for shift in shifts}

    def _of_own_deltas(self) -> dict[str, State]:
        """Return the relative shifts of the nominal result; up and down of one source are one evaluation."""
        after = self._states.nominal
        columns = self._columns([{}], after)
        found: dict[str, State] = {}
        last: tuple[Shift, list[NDArray[Any]]] | None = None
        for shift in self._plan.shifts(self._correction):
            if not shift.source.is_delta:
                continue
            if last is None or not same_call(self._correction, last[0], shift):
                last = (shift, self._values(shift, columns))
            found[shift.variation] = self._shifted(last[1], shift, after)
        return found

    def _state(self, variation: str) -> State:
        return self._states.varied.get(variation, {})

    def _full(self, state: State) -> State:
        return {**self._states.nominal, **state}

    def _columns(self, states: Sequence[State], nominal: State) -> StateColumns:
        return StateColumns(self._states.base, states, nominal)

    def _values(self, shift: Shift | None, columns: Lookup, times: int = 1) -> list[NDArray[Any]]:
        where = place_of(self._correction, shift, self._plan.dataset.year)
        return object_values(self._correction, shift, columns, times * self._size, where)

    def _applied(self, values: Sequence[NDArray[Any]], before: State) -> State:
        """Return the targets after a step, from its result and the targets before."""
        operation = _OPERATIONS[self._correction.op]
        return {
            target: operation(before[target], one) for target, one in zip(self._targets, values, strict=True)
        }

    def _shifted(self, values: Sequence[NDArray[Any]], shift: Shift, after: State) -> State:
        additive = self._correction.op in {"add", "subtract"}
        sign = 1.0 if shift.up or shift.source.down_function is not None else -1.0
        return {
            target: after[target] + sign * one if additive else after[target] * shift_of(one, shift)
            for target, one in zip(self._targets, values, strict=True)
        }

    def _batches(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        for start in range(0, len(names), self._batch):
            yield names[start : start + self._batch]


_OPERATIONS: dict[str, Any] = {
    "mult": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "replace": lambda _before, value: value,
}
