"""Which object masks and ghost observables reach a channel, from the columns that functors declare.

What does not reach a channel is not evaluated for it, and a change of it leaves the channel's results valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.schema.base import ObjVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.schema.config import Config
    from intccms.schema.selection import Channel, GhostObservable

__all__ = ["Reach", "columns_of", "reach"]

_WHOLE_EVENTS = ObjVar("event")


@dataclass(frozen=True)
class Reach:
    """Positions in the lists of the configuration, in order."""

    masks: tuple[int, ...]
    """Of ``good_object_masks``."""
    ghosts: tuple[int, ...]
    """Of ``ghost_observables``."""


def reach(config: Config, channels: Iterable[Channel]) -> Reach:
    """Return what the selection and the observables of some channels depend on, directly or not.

    Parameters
    ----------
    config
        Gives masks, baseline selection and ghost observables.
    channels
        The channels; none: nothing but the skim is evaluated, and nothing reaches it.
    """
    chosen = list(channels)
    if not chosen:
        return Reach((), ())
    needed = {column for channel in chosen for column in _uses(channel)}
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
    return Reach(tuple(reversed(masks)), tuple(reversed(ghosts)))


def _uses(channel: Channel) -> set[ObjVar]:
    uses = set() if channel.selection is None else _columns(channel.selection.use)
    return uses.union(*(_columns(observable.use) for observable in channel.observables))


def _columns(uses: Iterable[tuple[str, str | None]]) -> set[ObjVar]:
    return {ObjVar(*column) for column in uses}


def _makes_any(ghost: GhostObservable, needed: set[ObjVar]) -> bool:
    made = {ObjVar(ghost.collection, name) for name in ghost.names}
    return not made.isdisjoint(needed) or ObjVar(ghost.collection) in needed or _WHOLE_EVENTS in needed


def columns_of(config: Config, channel: Channel) -> set[ObjVar]:
    """Return every column that reaches a channel, whether it is read or made."""
    reached = reach(config, [channel])
    functors = [
        config.preprocess.skimming.functor(),
        config.baseline_selection,
        *(config.good_object_masks[index] for index in reached.masks),
        *(config.ghost_observables[index] for index in reached.ghosts),
    ]
    return _uses(channel).union(*(_columns(functor.use) for functor in functors if functor is not None))
