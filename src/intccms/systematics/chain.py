"""Takes events through the chain of object corrections, nominally and for every variation.

Varying a step replaces that step, and later steps run nominally on its result. Sources that vary with another one
take their key in the variations of that one. The result is numbers, no events: a flat array per target and variation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import FunctorError
from intccms.systematics.evaluate import object_values, place_of, same_call, shift_of
from intccms.systematics.states import Base, State, StateColumns

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

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
    targets = [target for one in plan.chain for target in one.target or []]
    # also of corrections that do not apply to the dataset: what was read is then what there is
    ever = [target for one in plan.config.all_corrections() for target in one.target or []]
    base = Base(columns, targets, "corrections", ever)
    states = ObjectStates(base, dict(base.as_read))
    for correction in plan.chain:
        _Step(plan, correction, states, max_rows).run()
    return states


class _Step:
    """One object correction, on all states that there are so far."""

    def __init__(
        self, plan: SystematicsPlan, correction: Correction, states: ObjectStates, max_rows: int
    ) -> None:
        self._plan, self._correction, self._states = plan, correction, states
        self._batch = max(1, max_rows // max(1, len(states.base)) - 1)
        self._targets = correction.target or []
        self._size = states.base.size(correction.targets_collection)
        self._uses = {column.collection for column in correction.columns()}

    def run(self) -> None:
        plan, states = self._plan, self._states
        own = plan.shifts(self._correction)
        following = {
            variation: shift
            for variation, leader in plan.object_variations.items()
            if leader is not self._correction
            and (shift := plan.following(self._correction, variation)) is not None
        }
        changed = {
            **self._of_earlier_variations(following),
            **self._of_following(following),
            **self._of_own_sources([one for one in own if not one.source.is_delta]),
            **self._of_own_deltas([one for one in own if one.source.is_delta]),
        }
        for variation, state in changed.items():
            states.varied[variation] = {**states.varied.get(variation, {}), **state}
        states.nominal = self._after

    @cached_property
    def _after(self) -> State:
        """The nominal state after the step."""
        before = self._states.nominal
        if not self._changes_nominally:
            return before
        return {**before, **self._applied(self._values(None, self._columns([before])), before)}

    @cached_property
    def _nominal_after(self) -> StateColumns:
        return self._columns([self._after])

    @property
    def _changes_nominally(self) -> bool:
        one = self._correction
        return one.uses_payload or one.nominal_function is not None

    def _of_earlier_variations(self, following: Container[str]) -> dict[str, State]:
        """Return what the step makes of the variations of earlier steps that touch what it uses."""
        if not self._changes_nominally:
            return {}
        touched = [
            variation
            for variation, state in self._states.varied.items()
            if variation not in following and self._uses & {target.collection for target in state}
        ]
        found: dict[str, State] = {}
        for names in self._batches(touched):
            # nominal comes first, so that functions can tell which objects a variation leaves as they are
            before: list[State] = [{}, *(self._state(name) for name in names)]
            whole = self._values(None, self._columns(before), len(before))
            for index, name in enumerate(["", *names]):
                mine = slice(index * self._size, (index + 1) * self._size)
                after = self._applied([one[mine] for one in whole], self._full(before[index]))
                if name:
                    found[name] = after
                else:
                    self._after = {**self._states.nominal, **after}
        return found

    def _of_following(self, shifts: Mapping[str, Shift]) -> dict[str, State]:
        """Return what the step makes of variations of other corrections with which sources of this one vary."""
        found: dict[str, State] = {}
        last: tuple[Shift, list[NDArray[Any]]] | None = None
        for name, shift in shifts.items():
            before = self._full(self._state(name))
            if not shift.source.is_delta:
                found[name] = self._applied(self._values(shift, self._columns([before])), before)
            elif self._uses & {target.collection for target in self._state(name)}:
                after = before
                if self._changes_nominally:
                    after = before | self._applied(self._values(None, self._columns([before])), before)
                found[name] = self._shifted(self._values(shift, self._columns([after])), shift, after)
            else:  # nothing that the step looks at differs from nominal
                if last is None or not same_call(self._correction, last[0], shift):
                    last = (shift, self._values(shift, self._nominal_after))
                found[name] = self._shifted(last[1], shift, self._after)
        return found

    def _of_own_sources(self, shifts: Sequence[Shift]) -> dict[str, State]:
        before = self._states.nominal
        columns = self._columns([before])
        return {shift.variation: self._applied(self._values(shift, columns), before) for shift in shifts}

    def _of_own_deltas(self, shifts: Sequence[Shift]) -> dict[str, State]:
        """Return the relative shifts of the nominal result; up and down of one source are one evaluation."""
        found: dict[str, State] = {}
        last: tuple[Shift, list[NDArray[Any]]] | None = None
        for shift in shifts:
            if last is None or not same_call(self._correction, last[0], shift):
                last = (shift, self._values(shift, self._nominal_after))
            found[shift.variation] = self._shifted(last[1], shift, self._after)
        return found

    def _state(self, variation: str) -> State:
        return self._states.varied.get(variation, {})

    def _full(self, state: State) -> State:
        return {**self._states.nominal, **state}

    def _columns(self, states: Sequence[State]) -> StateColumns:
        return StateColumns(self._states.base, states, self._states.nominal)

    def _values(self, shift: Shift | None, columns: Lookup, times: int = 1) -> list[NDArray[Any]]:
        where = place_of(self._correction, shift, self._plan.dataset.year)
        return object_values(self._correction, shift, columns, times * self._size, where, times)

    def _applied(self, values: Sequence[NDArray[Any]], before: State) -> State:
        """Return the targets after a step, from its result and the targets before."""
        operation = _OPERATIONS[self._correction.op]
        after = {
            target: operation(before[target], one) for target, one in zip(self._targets, values, strict=True)
        }
        self._check(before, after, None)
        return after

    def _check(self, before: State, after: State, shift: Shift | None) -> None:
        """Refuse values that no object can have: payloads give -999 outside of their range, functions NaN.

        A momentum is not turned around by a factor, as by a shift that was given in per cent.

        Raises
        ------
        FunctorError
            Naming the target and the values.
        """
        for target, values in after.items():
            wrong = ~np.isfinite(values) & np.isfinite(before[target])
            if target.field == "pt" and self._correction.op == "mult":
                wrong |= (values < 0) & (before[target] >= 0)
            if number := int(np.count_nonzero(wrong)):
                where = place_of(self._correction, shift, self._plan.dataset.year)
                message = (
                    f"{where} makes {number} of {len(values)} values of {target} impossible, such as {values[wrong][0]:.6g}. "
                    "Check op and the order of args (relative shifts are fractions, such as 0.02), and mask or clamp what the "
                    "correction is not made for, in transform_in."
                )
                raise FunctorError(message)

    def _shifted(self, values: Sequence[NDArray[Any]], shift: Shift, after: State) -> State:
        additive = self._correction.op in {"add", "subtract"}
        sign = 1.0 if shift.up or shift.source.down_function is not None else -1.0
        found = {
            target: after[target] + sign * one if additive else after[target] * shift_of(one, shift)
            for target, one in zip(self._targets, values, strict=True)
        }
        self._check(after, found, shift)
        return found

    def _batches(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        for start in range(0, len(names), self._batch):
            yield names[start : start + self._batch]


_OPERATIONS: dict[str, Any] = {
    "mult": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "replace": lambda _before, value: value,
}
