"""Which years have which sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from intccms.schema.corrections import Correction
    from intccms.systematics.plan import SystematicsPlan

__all__ = ["corrections_of", "is_of_year", "years_by_source", "years_of"]


def years_of(plans: Iterable[SystematicsPlan]) -> list[str]:
    """Return the years of simulated datasets, in order."""
    return list(dict.fromkeys(plan.dataset.year or "" for plan in plans if not plan.dataset.is_data))


def corrections_of(plan: SystematicsPlan) -> list[Correction]:
    """Return the corrections of a dataset that are evaluated, in order."""
    return [*plan.chain, *plan.weights, *plan.normalisations]


def years_by_source(plans: Iterable[SystematicsPlan]) -> dict[str, list[str]]:
    """Return the years that have each source, in order."""
    found: dict[str, list[str]] = {}
    for plan in plans:
        for one in corrections_of(plan):
            for source in plan.sources(one):
                years = found.setdefault(source.name, [])
                if (plan.dataset.year or "") not in years:
                    years.append(plan.dataset.year or "")
    return found


def is_of_year(name: str, years: Sequence[str]) -> bool:
    """Tell whether a source is of one year alone, and says so: another year that has its name shares the nuisance."""
    return len(years) == 1 and bool(years[0]) and name.endswith(f"_{years[0]}")
