"""What is evaluated once for all variations of objects, what for each of them, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.schema.base import ObjVar
from intccms.schema.reach import reach
from intccms.systematics.describe.model import StepDescription
from intccms.systematics.evaluate import same_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from intccms.schema.corrections import Correction
    from intccms.systematics.plan import Shift, SystematicsPlan

__all__ = ["few", "steps_of"]

_WHOLE_EVENTS = ObjVar("event")
_MOST_NAMES = 3


def steps_of(plan: SystematicsPlan) -> Iterator[StepDescription]:
    """Yield what is evaluated for a chunk of a dataset, in order."""
    yield from _object_corrections(plan)
    config, touched = plan.config, plan.touched
    causes = _Causes(plan)
    reached = reach(config, plan.channels, plan.corrections)
    for index in reached.masks:
        mask = config.good_object_masks[index]
        varies = index in touched.masks
        reason = causes.reason([ObjVar(mask.collection), *mask.use])
        yield StepDescription(f"good_object_masks.{index} ({mask.collection})", "object mask", varies, reason)
        if varies:
            causes.add(ObjVar(mask.collection), f"good_object_masks.{index}")
    if config.baseline_selection is not None:
        reason = causes.reason(config.baseline_selection.use)
        yield StepDescription("baseline_selection", "baseline", touched.baseline, reason)
    for index in reached.ghosts:
        ghost = config.ghost_observables[index]
        varies = index in touched.ghosts
        name = f"ghost_observables.{index} ({', '.join(ghost.names)})"
        yield StepDescription(name, "ghost", varies, causes.reason(ghost.use))
        if varies:
            for made in ghost.names:
                causes.add(ObjVar(ghost.collection, made), f"ghost_observables.{index}")
    for channel in plan.channels:
        if channel.selection is not None:
            varies = channel.name in touched.selections
            reason = causes.reason(channel.selection.use)
            yield StepDescription(f"channels.{channel.name}.selection", "selection", varies, reason)
    for channel in plan.channels:
        for observable in channel.observables:
            varies = (channel.name, observable.name) in touched.observables
            name = f"channels.{channel.name}.observables.{observable.name}"
            yield StepDescription(name, "observable", varies, causes.reason(observable.use))
    for one in plan.weights:
        varies, reason = one.name in touched.weights, causes.reason(one.columns())
        yield StepDescription(one.name, "weight", varies, reason, keys=_keys_of_weight(plan, one))


def few(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Return names in a row, the last ones by their number.

    Examples
    --------
    >>> few(["jec"]), few(["a", "b", "c"]), few(["a", "b", "c", "d", "e"])
    ('jec', 'a, b, c', 'a, b, c and 2 more')
    """
    rest = len(names) - most
    return f"{', '.join(names[:most])} and {rest} more" if rest > 0 else ", ".join(names)


class _Causes:
    """What makes collections and columns differ between variations, as the steps go on."""

    def __init__(self, plan: SystematicsPlan) -> None:
        self._by: dict[ObjVar, list[str]] = {}
        for variation, collections in plan.touches(plan.object_variations).items():
            for collection in sorted(collections):
                self.add(ObjVar(collection), plan.object_variations[variation].name)
        self._corrected = {
            collection: [one.name for one in plan.chain if one.targets_collection == collection]
            for collection in plan.corrected
        }

    def add(self, what: ObjVar, by: str) -> None:
        """Note that a collection, or a column that a ghost observable made, differs because of something."""
        if what.collection != "event":
            what = ObjVar(what.collection)
        names = self._by.setdefault(what, [])
        if by not in names and not (by.startswith("good_object_masks") and names):
            names.append(by)

    def reason(self, used: Iterable[tuple[str, str | None]]) -> str:
        """Return why something that uses columns is evaluated for every variation, or need not be."""
        columns = [ObjVar(*column) for column in used]
        found = {}
        for column in columns:
            key = column if column.collection == "event" else ObjVar(column.collection)
            if key in self._by:
                found[_shown(key)] = self._by[key]
            elif column == _WHOLE_EVENTS and self._by:
                found["whole events"] = list(dict.fromkeys(by for names in self._by.values() for by in names))
        if found:
            first, *others = found
            by = found[first]
            also = f"; also {', '.join(others)}" if others else ""
            return f"reads {first}, which {few(by)} {_vary(by)}{also}"
        for column in columns:
            if by := self._corrected.get(column.collection, []):
                return f"reads {column.collection}, which {few(by)} corrects alike in all variations"
        return "nothing that it reads varies"


def _vary(names: Sequence[str]) -> str:
    return "vary" if len(names) > 1 else "varies"


def _shown(column: ObjVar) -> str:
    return column.collection if column.field is None else str(column)


def _object_corrections(plan: SystematicsPlan) -> Iterator[StepDescription]:
    """Yield the chain, with the number of evaluations of each step."""
    changed: dict[str, set[str]] = {}
    for one in plan.chain:
        uses = {column.collection for column in one.columns()}
        own = plan.shifts(one)
        own_names = {shift.variation for shift in own}
        following = {
            name: shift
            for name in plan.object_variations
            if name not in own_names and (shift := plan.following(one, name)) is not None
        }
        touched = [
            name for name, collections in changed.items() if name not in following and collections & uses
        ]
        changes = one.uses_payload or one.nominal_function is not None
        states = len(touched) if changes else 0
        keys = _calls(one, own)
        alike = []
        for name, shift in following.items():
            if shift.source.is_delta and not changed.get(name, set()) & uses:
                alike.append(shift)
                continue
            keys += 1
            states += int(shift.source.is_delta and changes)
        keys += _calls(one, alike)
        for name in (*own_names, *following, *(touched if changes else ())):
            changed.setdefault(name, set()).add(one.targets_collection)
        by = list(dict.fromkeys(plan.object_variations[name].name for name in touched)) if states else []
        reads = f"; reads what {few(by)} {_vary(by)}" if by else ""
        reason = f"changes {', '.join(map(str, one.target or []))}{reads}"
        yield StepDescription(one.name, "object correction", bool(states), reason, keys, states)


def _keys_of_weight(plan: SystematicsPlan, correction: Correction) -> int:
    own = plan.shifts(correction)
    following = sum(
        plan.following(correction, name) is not None
        for name in (*plan.object_variations, *plan.weight_variations)
    )
    return _calls(correction, own) + following


def _calls(correction: Correction, shifts: Sequence[Shift]) -> int:
    """Return the number of evaluations: up and down of a relative shift are one."""
    repeated = sum(same_call(correction, shifts[index - 1], shifts[index]) for index in range(1, len(shifts)))
    return len(shifts) - repeated
