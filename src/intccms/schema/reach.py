"""Which corrections, object masks and ghost observables reach a channel, from the columns that functors declare.

What does not reach a channel is not evaluated for it, and a change of it leaves the channel's results valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.schema.base import ObjVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from intccms.schema.config import Config
    from intccms.schema.corrections import Correction
    from intccms.schema.selection import Channel, GhostObservable

__all__ = ["AS_READ", "Reach", "columns_of", "is_as_read", "reach", "stand_ins"]

AS_READ = "_as_read"
"""Ending of the field under which corrections find a target as it stood in the file, whatever changed it since."""

_WHOLE_EVENTS = ObjVar("event")


def is_as_read(column: ObjVar, targets: Iterable[ObjVar]) -> ObjVar | None:
    """Return the target that a column such as ``Jet.pt_as_read`` stands for, None if it is another column."""
    if column.field is None or not column.field.endswith(AS_READ):
        return None
    target = ObjVar(column.collection, column.field.removesuffix(AS_READ))
    return target if target in set(targets) else None


@dataclass(frozen=True)
class Reach:
    """Positions in the lists of the configuration, in order."""

    masks: tuple[int, ...]
    """Of ``good_object_masks``."""
    ghosts: tuple[int, ...]
    """Of ``ghost_observables``."""
    corrections: tuple[int, ...] = ()
    """Of the corrections that were given."""


def reach(config: Config, channels: Iterable[Channel], corrections: Sequence[Correction] = ()) -> Reach:
    """Return what the selection and the observables of some channels depend on, directly or not.

    Parameters
    ----------
    config
        Gives masks, baseline selection and ghost observables.
    channels
        The channels; none: nothing but the skim is evaluated, and nothing reaches it.
    corrections
        Those of a dataset. Event corrections reach every channel; object corrections those that use what they change.
    """
    chosen = list(channels)
    if not chosen:
        return Reach((), ())
    needed = {column for channel in chosen for column in _uses(channel)}
    for correction in corrections:
        if correction.type == "event":
            needed |= _columns(correction.columns())
    collections: set[str] = set()
    ghosts = []
    for index in reversed(range(len(config.ghost_observables))):
        ghost = config.ghost_observables[index]
        if _makes_any(ghost, needed):
            ghosts.append(index)
            needed |= _columns(ghost.use)
            collections.add(ghost.collection)  # its quantities must fit what the masks left of the collection
    if config.baseline_selection is not None:
        needed |= _columns(config.baseline_selection.use)
    collections |= {column.collection for column in needed}
    masks = []
    for index in reversed(range(len(config.good_object_masks))):
        mask = config.good_object_masks[index]
        if mask.collection in collections or _WHOLE_EVENTS in needed:
            masks.append(index)
            needed |= _columns(mask.use)
            collections |= {column.collection for column in mask.use}
    reached = _reaching(corrections, collections, everything=_WHOLE_EVENTS in needed)
    return Reach(tuple(reversed(masks)), tuple(reversed(ghosts)), reached)


def stand_ins(corrections: Sequence[Correction]) -> dict[str, int]:
    """Return who leads where followers have no leader: name of the missing source -> position of a correction.

    That is the first object correction that varies with it, since weights can follow objects and not the other way
    round, or else the first event correction.
    """
    sources = [(index, source) for index, one in enumerate(corrections) for source in one.uncertainty_sources]
    leaders = {source.name for _, source in sources if source.varies_with is None}
    found: dict[str, int] = {}
    for kind in ("object", "event"):
        for index, source in sources:
            if source.varies_with and source.varies_with not in leaders and corrections[index].type == kind:
                found.setdefault(source.varies_with, index)
    return found


def _reaching(
    corrections: Sequence[Correction], collections: set[str], *, everything: bool
) -> tuple[int, ...]:
    """Return the corrections that change events, or objects that are used or that later corrections use."""
    found, used, instead = [], set(collections), stand_ins(corrections)
    leaders = {
        source.varies_with
        for correction in corrections
        if correction.type == "event"
        for source in correction.uncertainty_sources
    }
    for index in reversed(range(len(corrections))):
        correction = corrections[index]
        if correction.type == "normalisation":
            continue
        leads = any(
            source.name in leaders
            or (source.varies_with in leaders and instead.get(str(source.varies_with)) == index)
            for source in correction.uncertainty_sources
        )
        if correction.type == "event" or everything or leads or correction.targets_collection in used:
            found.append(index)
            if correction.type == "object":
                used |= {column.collection for column in correction.columns()}
                leaders |= {source.varies_with for source in correction.uncertainty_sources}
    return tuple(reversed(found))


def _uses(channel: Channel) -> set[ObjVar]:
    uses = set() if channel.selection is None else _columns(channel.selection.use)
    return uses.union(*(_columns(observable.use) for observable in channel.observables))


def _columns(uses: Iterable[tuple[str, str | None]]) -> set[ObjVar]:
    return {ObjVar(*column) for column in uses}


def _makes_any(ghost: GhostObservable, needed: set[ObjVar]) -> bool:
    made = {ObjVar(ghost.collection, name) for name in ghost.names}
    return not made.isdisjoint(needed) or ObjVar(ghost.collection) in needed or _WHOLE_EVENTS in needed


def columns_of(config: Config, channel: Channel, corrections: Sequence[Correction] = ()) -> set[ObjVar]:
    """Return every column that reaches a channel, whether it is read or made."""
    reached = reach(config, [channel], corrections)
    functors = [
        config.preprocess.skimming.functor(),
        config.baseline_selection,
        *(config.good_object_masks[index] for index in reached.masks),
        *(config.ghost_observables[index] for index in reached.ghosts),
    ]
    lists = [functor.use for functor in functors if functor is not None]
    lists += [corrections[index].columns() for index in reached.corrections]
    return _uses(channel).union(*map(_columns, lists))
