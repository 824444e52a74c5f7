"""Makes the description of a configuration: nuisances over all years, and the evaluation of each kind of dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.schema.base import ObjVar
from intccms.schema.explain import did_you_mean
from intccms.systematics.describe.memory import estimate
from intccms.systematics.describe.model import (
    GroupDescription,
    PlanDescription,
    SourceDescription,
    YearTotals,
)
from intccms.systematics.describe.steps import steps_of
from intccms.systematics.describe.warn import warnings_of
from intccms.systematics.describe.years import corrections_of, is_of_year, years_by_source, years_of
from intccms.systematics.plan import SystematicsPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from intccms.schema import Config
    from intccms.schema.corrections import Correction, UncertaintySource
    from intccms.systematics.describe.model import Kind

__all__ = ["describe_plan"]

EVENTS = 4_000
"""Selected events of a chunk, where nobody says how many: some per cent of 100,000."""


def describe_plan(config: Config, *, year: str | None = None, events: int = EVENTS) -> PlanDescription:
    """Describe the variations of the selected datasets and channels.

    Parameters
    ----------
    config
        The configuration.
    year
        Only this year; default: all.
    events
        Selected events of a chunk, for the estimate of memory.

    Returns
    -------
    PlanDescription
        Sources, totals by year, steps of evaluation, an estimate of memory, and warnings.

    Raises
    ------
    ConfigError
        For a year that no selected dataset has, and for corrections that cannot be applied (`SystematicsPlan.chain`).
    """
    channels = config.selected_channels()
    datasets = config.selected_datasets()
    if year is not None:
        known = [one.year for one in datasets if one.year is not None]
        if year not in known:
            years = ", ".join(dict.fromkeys(known)) or "no years"
            message = (
                f"no selected dataset has the year {year!r}; there are {years}.{did_you_mean(year, known)}"
            )
            raise ConfigError(message)
        datasets = [one for one in datasets if one.year == year]
    plans = [SystematicsPlan(config, dataset, channels) for dataset in datasets]
    sources = _sources(plans)
    groups = _groups(plans, events)
    return PlanDescription(
        tuple(sources),
        tuple(_totals(plans)),
        len({name for plan in plans for name in _variations(plan)}),
        tuple(groups),
        tuple(warnings_of(plans)),
    )


def _variations(plan: SystematicsPlan) -> dict[str, str]:
    """Return the variations that a dataset fills, with the kind of each."""
    return {
        shift.variation: kind_of(one, shift.source)
        for one in corrections_of(plan)
        for shift in plan.shifts(one)
    }


def kind_of(correction: Correction, source: UncertaintySource) -> Kind:
    """Return what kind of nuisance a source is."""
    if source.members is not None:
        return "member set"
    return {"object": "object", "event": "weight", "normalisation": "normalisation"}[correction.type]  # type: ignore[return-value]


def _totals(plans: Sequence[SystematicsPlan]) -> Iterable[YearTotals]:
    for year in years_of(plans):
        mine = [plan for plan in plans if plan.dataset.year in {year, None} and not plan.dataset.is_data]
        kinds = {name: kind for plan in mine for name, kind in _variations(plan).items()}
        nuisances = {
            source.name for plan in mine for one in corrections_of(plan) for source in plan.sources(one)
        }
        yield YearTotals(year, len(nuisances), len(kinds), dict(Counter(kinds.values())))


@dataclass
class _Found:
    """A source, while years are gone through."""

    first: SourceDescription
    years: dict[str, None] = field(default_factory=dict)


def _sources(plans: Sequence[SystematicsPlan]) -> list[SourceDescription]:
    found: dict[tuple[str, str], _Found] = {}
    years = years_by_source(plans)
    for plan in plans:
        year = plan.dataset.year or ""
        for one in corrections_of(plan):
            for source in plan.sources(one):
                described = _source(plan, one, source, is_of_year(source.name, years[source.name]))
                here = found.setdefault((described.name, one.name), _Found(described))
                here.years[year] = None
    everywhere = years_of(plans)
    return [
        replace(
            one.first,
            years=tuple(year for year in one.years if year),
            is_everywhere=set(one.years) == set(everywhere),
        )
        for one in found.values()
    ]


def _source(
    plan: SystematicsPlan, correction: Correction, source: UncertaintySource, decorrelated: bool
) -> SourceDescription:
    name = source.name
    variations = [variation for variation, _ in source.variations()]
    moved = [
        one.name
        for one in (*plan.chain, *plan.weights)
        if one is not correction and any(plan.following(one, variation) for variation in variations)
    ]
    columns = [str(column) for column in _columns(correction, source)]
    applies = [one for one in correction.applies_to if one not in {"simulation", "data"}]
    return SourceDescription(
        name=f"{name.removesuffix(str(plan.dataset.year))}{{year}}" if decorrelated else name,
        kind=kind_of(correction, source),
        correction=correction.name,
        decorrelated=decorrelated,
        years=(),
        is_everywhere=False,
        variations=len(variations),
        moves=tuple(moved),
        columns=tuple(dict.fromkeys(columns)),
        datasets=() if "simulation" in correction.applies_to else tuple(applies),
    )


def _columns(correction: Correction, source: UncertaintySource) -> list[ObjVar]:
    return [one for one in correction.arguments_of(source) if isinstance(one, ObjVar)]


def _groups(plans: Sequence[SystematicsPlan], events: int) -> list[GroupDescription]:
    """Return the kinds of evaluation; years and datasets that are evaluated alike are one."""
    found: dict[tuple[object, ...], GroupDescription] = {}
    known: dict[tuple[object, ...], GroupDescription] = {}
    for plan in plans:
        # what depends on the dataset is in its corrections
        key = (plan.dataset.is_data, *(id(one) for one in plan.corrections))
        if key not in known:
            steps = tuple(steps_of(plan))
            memory = estimate(plan, events)
            known[key] = GroupDescription(
                (), plan.dataset.is_data, (), len(plan.object_variations), steps, memory
            )
        one = known[key]
        year = (plan.dataset.year,) if plan.dataset.year else ()
        before = found.setdefault((one.is_data, one.steps, one.memory), one)
        found[one.is_data, one.steps, one.memory] = replace(
            before,
            years=tuple(dict.fromkeys((*before.years, *year))),
            datasets=(*before.datasets, plan.dataset.name),
        )
    return list(found.values())
