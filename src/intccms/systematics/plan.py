"""Which variations a dataset has, what each of them changes, and what is therefore evaluated once for all of them.

The plan follows from the configuration alone: every functor and correction declares the columns that it uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from intccms.errors import ConfigError
from intccms.schema.base import ObjVar
from intccms.schema.correction_lists import years_named
from intccms.schema.reach import reach, stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from intccms.schema import Config, Dataset
    from intccms.schema.corrections import Correction, UncertaintySource
    from intccms.schema.selection import Channel

__all__ = ["NOMINAL", "Shift", "SystematicsPlan", "Touched"]

NOMINAL = "nominal"
"""Name of the variation that is none."""

_WHOLE_EVENTS = ObjVar("event")
_CANNOT_BE_REORDERED = frozenset({"GenPart", "JetPFCands", "FatJetPFCands", "GenJetCands", "GenFatJetCands"})
"""Collections to which NanoEvents keeps indices that are made from more than one stored index."""


@dataclass(frozen=True)
class Shift:
    """One direction of one source: how a correction is evaluated for a variation."""

    variation: str
    """Name of the variation that it is evaluated for."""
    source: UncertaintySource
    key: Any
    """Systematic key, in the place of SYS."""
    up: bool
    """Direction, where a function or a relative shift serves both."""


@dataclass(frozen=True)
class Touched:
    """What variations change of the events, as the analysis goes through its steps."""

    collections: frozenset[str]
    """Collections that differ between variations when the chain of object corrections is through."""
    masks: frozenset[int] = frozenset()
    """Object masks that differ, by position; others are applied once."""
    baseline: bool = False
    ghosts: frozenset[int] = frozenset()
    selections: frozenset[str] = frozenset()
    """Channels whose own selection differs."""
    observables: frozenset[tuple[str, str]] = frozenset()
    """(channel, observable) whose values differ."""
    weights: frozenset[str] = frozenset()
    """Event corrections whose nominal value differs."""


@dataclass
class SystematicsPlan:
    """The variations of one dataset.

    Parameters
    ----------
    config, dataset
        The configuration, and the dataset that it is about.
    channels
        The channels to fill.
    """

    config: Config
    dataset: Dataset
    channels: Sequence[Channel]
    absent: frozenset[str] = frozenset()
    """Corrections that change nothing here, because the input lacks a column of theirs."""
    _reached: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether there may be variations: never in data, and not with ``general.run_systematics=False``."""
        return self.config.general.run_systematics and not self.dataset.is_data

    @cached_property
    def corrections(self) -> list[Correction]:
        """The corrections of the dataset, in order, without those that are absent."""
        return [one for one in self.config.corrections_of(self.dataset) if one.name not in self.absent]

    @cached_property
    def whole(self) -> SystematicsPlan:
        """The plan for input that lacks nothing, with all variations that the dataset's histograms have."""
        return replace(self, absent=frozenset(), _reached={}) if self.absent else self

    @cached_property
    def _reach(self) -> list[Correction]:
        positions = reach(self.config, self.channels, self.corrections).corrections
        return [self.corrections[index] for index in positions]

    @cached_property
    def chain(self) -> list[Correction]:
        """The object corrections that reach a channel, in order.

        Raises
        ------
        ConfigError
            If one changes a collection that cannot be put in another order.
        """
        chain = [one for one in self._reach if one.type == "object"]
        for one in chain:
            if one.targets_collection in _CANNOT_BE_REORDERED and "pt" in one.targets_fields:
                message = (
                    f"correction {one.name!r} changes the pt of {one.targets_collection}, which would have to be put in order "
                    "again, and the references between generator particles or constituents would be lost. Change another field."
                )
                raise ConfigError(message)
        return chain

    @cached_property
    def weights(self) -> list[Correction]:
        """The event corrections, in order."""
        return [one for one in self._reach if one.type == "event"]

    @cached_property
    def normalisations(self) -> list[Correction]:
        """The uncertainties of yields, which no event is needed for."""
        return [one for one in self.corrections if one.type == "normalisation"]

    def sources(self, correction: Correction) -> list[UncertaintySource]:
        """Return the sources of a correction that have variations of their own."""
        if not self.varies:
            return []
        return [
            source
            for source in correction.uncertainty_sources
            if self._leads(correction, source) and not self._is_of_another_year(source)
        ]

    def _leads(self, correction: Correction, source: UncertaintySource) -> bool:
        """Tell whether a source has variations of its own.

        Of those that vary with a source that is not there, one leads in its place, under its name.
        """
        if source.varies_with is None:
            return True
        return self._stand_ins.get(source.varies_with) is correction

    @cached_property
    def _stand_ins(self) -> dict[str, Correction]:
        return {name: self.corrections[index] for name, index in stand_ins(self.corrections).items()}

    def _is_of_another_year(self, source: UncertaintySource) -> bool:
        """Tell whether a source is named after other years than that of the dataset."""
        named = years_named(source.name, self._years)
        return bool(named) and self.dataset.year not in named

    @cached_property
    def _years(self) -> list[str]:
        return self.config.years

    def shifts(self, correction: Correction) -> list[Shift]:
        """Return how a correction is evaluated for the variations of its own sources."""
        return [
            Shift(
                name if source.varies_with is None else name_in(source, up=index == 0),
                source,
                key,
                up=index == 0,
            )
            for source in self.sources(correction)
            for index, (name, key) in enumerate(source.variations())
        ]

    def following(self, correction: Correction, variation: str) -> Shift | None:
        """Return how a correction is evaluated in a variation of another one, None if nominally."""
        return self._following.get((correction.name, variation))

    @cached_property
    def _following(self) -> dict[tuple[str, str], Shift]:
        found = {}
        for correction in self._reach if self.varies else ():
            for source in correction.uncertainty_sources:
                if source.varies_with is None:
                    continue
                for is_up, (_, key) in zip((True, False), source.variations(), strict=True):
                    name = name_in(source, up=is_up)
                    found[correction.name, name] = Shift(name, source, key, up=is_up)
        return found

    @cached_property
    def object_variations(self) -> dict[str, Correction]:
        """Variation -> the object correction that it is a variation of, in order."""
        return {shift.variation: one for one in self.chain for shift in self.shifts(one)}

    @cached_property
    def weight_variations(self) -> dict[str, Correction]:
        """Variation -> the event correction that it is a variation of, in order."""
        return {shift.variation: one for one in self.weights for shift in self.shifts(one)}

    @cached_property
    def normalisation_factors(self) -> dict[str, float]:
        """Variation -> the factor on the nominal yield."""
        return {
            shift.variation: float(shift.key) for one in self.normalisations for shift in self.shifts(one)
        }

    def of_channel(self, channel: Channel) -> tuple[str, ...]:
        """Return the variations that reach a channel, weights first: those of its histograms, after nominal."""
        if channel.name not in self._reached:
            positions = reach(self.config, [channel], self.corrections).corrections
            self._reached[channel.name] = frozenset(self.corrections[index].name for index in positions)
        names = self._reached[channel.name]
        return (
            *self.weight_variations,
            *(variation for variation, one in self.object_variations.items() if one.name in names),
        )

    @property
    def corrected(self) -> frozenset[str]:
        """Collections that corrections change, whether or not there are variations."""
        return frozenset(one.targets_collection for one in self.chain)

    @cached_property
    def targeted(self) -> frozenset[str]:
        """Collections that corrections of the dataset change, whether or not these reach the channels at hand."""
        return frozenset(one.targets_collection for one in self.corrections if one.type == "object")

    @cached_property
    def touched(self) -> Touched:
        """What differs between variations, step by step."""
        return _follow(self, frozenset().union(*self.touches(self.object_variations).values()))

    @cached_property
    def corrects(self) -> Touched:
        """What corrections change, step by step, be it nominally: what must wait for them."""
        return _follow(self, self.corrected)

    def touches(self, variations: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return which collections each variation changes, through the chain of corrections."""
        return {variation: self._touched_by(variation) for variation in variations}

    def _touched_by(self, variation: str) -> frozenset[str]:
        changed: set[str] = set()
        leader = self.object_variations[variation]
        for one in self.chain:
            uses = {column.collection for column in one.columns()}
            if one is leader or self.following(one, variation) is not None or changed & uses:
                changed.add(one.targets_collection)
        return frozenset(changed)


def name_in(source: UncertaintySource, *, up: bool) -> str:
    """Return the variation in which a source takes a key: that of the source with which it varies."""
    return f"{source.varies_with or source.name}_{'up' if up else 'down'}"


def _follow(
    plan: SystematicsPlan, at_start: frozenset[str], together: frozenset[str] = frozenset()
) -> Touched:
    """Return what depends on some collections, through masks and ghost observables.

    All ghost observables that are filed under one of the collections `together` are made at the same time.
    """
    config = plan.config
    if not at_start:
        return Touched(frozenset())
    varied = set(at_start)
    columns: set[ObjVar] = set()

    def differs(used: Iterable[tuple[str, str | None]]) -> bool:
        one = {ObjVar(*column) for column in used}
        return _WHOLE_EVENTS in one or bool(one & columns) or any(each.collection in varied for each in one)

    reached = reach(config, plan.channels, plan.corrections)
    masks, ghosts = set(), set()
    looked_at: set[ObjVar] = set()
    for index in reached.masks:
        mask = config.good_object_masks[index]
        # what a mask that differs looks at must not be narrowed before: masks apply in order
        waits = bool(looked_at & {ObjVar(mask.collection), _WHOLE_EVENTS})
        if waits or differs([*mask.use, ObjVar(mask.collection)]):
            masks.add(index)
            varied.add(mask.collection)
            looked_at |= {
                _WHOLE_EVENTS if ObjVar(*one) == _WHOLE_EVENTS else ObjVar(ObjVar(*one).collection)
                for one in mask.use
            }
    baseline = config.baseline_selection is not None and differs(config.baseline_selection.use)
    for index in reached.ghosts:
        ghost = config.ghost_observables[index]
        if differs(ghost.use) or ghost.collection in varied | together:
            ghosts.add(index)
            if ghost.collection == "event":
                columns |= {ObjVar("event", name) for name in ghost.names}
            else:
                varied.add(ghost.collection)
    made = {config.ghost_observables[index].collection for index in ghosts} - {"event"}
    if not made <= together:
        return _follow(plan, at_start, together | made)
    return Touched(
        at_start,
        frozenset(masks),
        baseline,
        frozenset(ghosts),
        frozenset(one.name for one in plan.channels if one.selection and differs(one.selection.use)),
        frozenset(
            (one.name, observable.name)
            for one in plan.channels
            for observable in one.observables
            if differs(observable.use)
        ),
        frozenset(one.name for one in plan.weights if differs(one.columns())),
    )
