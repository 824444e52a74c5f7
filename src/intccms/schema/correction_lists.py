"""Corrections of all years: which apply to a dataset, and the checks that need more than one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.schema.base import YearKey
from intccms.schema.corrections import Correction, UncertaintySource
from intccms.schema.explain import did_you_mean, near_year

if TYPE_CHECKING:
    from intccms.schema.datasets import Dataset

__all__ = ["CorrectionLists", "applies", "check_corrections", "years_named"]

KINDS_OF_DATASETS = ("simulation", "data")
"""What `applies_to` may name besides processes and datasets."""

CorrectionLists = list[Correction] | dict[YearKey, list[Correction]]
"""Corrections of all years, or by year; an empty list says that a year has none."""


def years_named(name: str, years: Iterable[str]) -> list[str]:
    """Return the years that a name ends in, which are those of its nuisance; none if it is one of all years.

    Examples
    --------
    >>> years_named("pileup_2017", ["2017", "2018"])
    ['2017']
    >>> years_named("lumi_2017_2018", ["2016preVFP", "2017", "2018"])
    ['2017', '2018']
    """
    known, found, left = list(years), list[str](), name
    while ending := next((year for year in known if left.endswith(f"_{year}")), None):
        found.insert(0, ending)
        left = left.removesuffix(f"_{ending}")
    return found


def applies(correction: Correction, dataset: Dataset) -> bool:
    """Tell whether a correction applies to a dataset."""
    kind = "data" if dataset.is_data else "simulation"
    return not {kind, dataset.process, dataset.name}.isdisjoint(correction.applies_to)


def check_corrections(
    lists: CorrectionLists, datasets: Sequence[Dataset], selected: Sequence[Dataset]
) -> None:
    """Check what concerns several corrections, years and datasets.

    Raises
    ------
    ConfigError
        Naming correction, source and year.
    """
    if isinstance(lists, Mapping):
        _check_years(lists, selected)
        for year, corrections in lists.items():
            _check_list(corrections, f"corrections of {year}", datasets)
        _check_suffixes(lists)
        _check_sets(lists)
    else:
        _check_list(lists, "corrections", datasets)


def _check_suffixes(lists: Mapping[str, list[Correction]]) -> None:
    """Refuse sources that are named after other years than that of their list."""
    for year, corrections in lists.items():
        for one in corrections:
            for source in one.uncertainty_sources:
                named = years_named(source.name, lists)
                if named and year not in named:
                    message = (
                        f"corrections of {year}: source {source.name!r} of correction {one.name!r} is named after "
                        f"{', '.join(named)}. Name it after {year}, or without a year if it is one nuisance in several."
                    )
                    raise ConfigError(message)


def _check_sets(lists: Mapping[str, list[Correction]]) -> None:
    """Refuse sets of members that are one nuisance and differ between years."""
    known: dict[str, tuple[str, UncertaintySource]] = {}
    for year, corrections in lists.items():
        for source in (source for one in corrections for source in one.uncertainty_sources):
            if source.varies_with is not None:
                continue
            other, first = known.setdefault(source.name, (year, source))
            if _set_text(source) != _set_text(first):
                message = (
                    f"corrections: source {source.name!r} is one nuisance in {other} and {year}, but has {_set_text(first)} "
                    f"in the one and {_set_text(source)} in the other. Make them alike, or give each year its own name, "
                    f"such as {source.name}_{year}."
                )
                raise ConfigError(message)


def _set_text(source: UncertaintySource) -> str:
    """Return what a source is merged as."""
    if source.members is None:
        return "up and down"
    return f"{len(source.members)} members ({source.combine})"


def _check_years(lists: Mapping[str, list[Correction]], selected: Sequence[Dataset]) -> None:
    for dataset in selected:
        if dataset.year is None:
            message = (
                f"corrections are given by year ({', '.join(lists)}), but dataset {dataset.name!r} has none. "
                "Give it 'years'."
            )
            raise ConfigError(message)
        if dataset.year not in lists:
            message = (
                f"corrections: none for year {dataset.year!r} of dataset {dataset.name!r}; there are those of "
                f"{', '.join(lists) or 'no year'}.{near_year(dataset.year, lists)} Add them, or say that there are "
                f"none with corrections[{dataset.year!r}] = []."
            )
            raise ConfigError(message)


def _check_list(corrections: Sequence[Correction], where: str, datasets: Sequence[Dataset]) -> None:
    names = [one.name for one in corrections]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"{where}: the names {twice} stand twice. Give each correction a name of its own."
        raise ConfigError(message)
    _check_sources_of_data(corrections, where, datasets)
    known = [*KINDS_OF_DATASETS, *(one.process for one in datasets), *(one.name for one in datasets)]
    for one in corrections:
        for name in one.applies_to:
            if name not in known:
                message = (
                    f"{where}, correction {one.name!r}: applies_to names {name!r}, which is neither a process nor a "
                    f"dataset.{did_you_mean(name, known)} Known: {', '.join(dict.fromkeys(known))}."
                )
                raise ConfigError(message)
    _check_nuisances(corrections, where)


def _check_sources_of_data(
    corrections: Sequence[Correction], where: str, datasets: Sequence[Dataset]
) -> None:
    """Refuse uncertainty sources where a correction applies to data only, which have no variations."""
    data = {"data", *(name for one in datasets if one.is_data for name in (one.process, one.name))}
    for one in corrections:
        if one.applies_to and data.issuperset(one.applies_to) and one.uncertainty_sources:
            sources = ", ".join(repr(source.name) for source in one.uncertainty_sources)
            message = (
                f"{where}, correction {one.name!r}: applies_to names data only ({', '.join(one.applies_to)}), which have nominal "
                f"values only: the sources {sources} would have no effect. Remove them, or add 'simulation' to applies_to."
            )
            raise ConfigError(message)


def _check_nuisances(corrections: Sequence[Correction], where: str) -> None:
    """Check that each nuisance has one home, and that those which vary with another one find it."""
    homes: dict[str, tuple[int, Correction]] = {}
    for position, one in enumerate(corrections):
        for source in one.uncertainty_sources:
            if source.varies_with is not None:
                continue
            if source.name in homes:
                other = homes[source.name][1]
                alike = (
                    "Give one of them another name: a normalisation varies with nothing."
                    if "normalisation" in (other.type, one.type)
                    else f"If they are one nuisance, give one of them varies_with={source.name!r}; if not, other names."
                )
                message = f"{where}: source {source.name!r} stands in the corrections {other.name!r} and {one.name!r}. {alike}"
                raise ConfigError(message)
            homes[source.name] = (position, one)
    for position, one in enumerate(corrections):
        _check_leaders(one, where)
        for source in one.uncertainty_sources:
            if source.varies_with is not None:
                _check_twin(position, one, source, homes, where, corrections)
    _check_distinct_variations(corrections, where)


def _check_leaders(correction: Correction, where: str) -> None:
    """Refuse two sources of one correction that vary with the same source: it can take one value per variation."""
    first: dict[str, str] = {}
    for source in correction.uncertainty_sources:
        leader = source.varies_with
        if leader is not None and first.setdefault(leader, source.name) != source.name:
            message = (
                f"{where}: the sources {first[leader]!r} and {source.name!r} of correction {correction.name!r} both have "
                f"varies_with={leader!r}, but a correction can take one value in a variation. Make one source of the "
                "two, or two corrections."
            )
            raise ConfigError(message)


def _check_twin(
    position: int,
    correction: Correction,
    source: UncertaintySource,
    homes: Mapping[str, tuple[int, Correction]],
    where: str,
    corrections: Sequence[Correction],
) -> None:
    place = f"{where}: source {source.name!r} of correction {correction.name!r} has varies_with={source.varies_with!r}"
    objects = [name for name, (_, one) in homes.items() if one.type == "object"]
    if source.varies_with not in homes:
        message = f"{place}, {_no_leader(source, corrections, objects)}"
        raise ConfigError(message)
    home, owner = homes[str(source.varies_with)]
    if owner.type != "object" and (owner.type != "event" or correction.type != "event"):
        message = f"{place}, a source of {owner.name!r}, which varies no objects. Object corrections lead, others follow."
        raise ConfigError(message)
    if owner is correction:
        message = f"{place}, a source of the same correction. Make one source of the two."
        raise ConfigError(message)
    leader = next(one for one in owner.uncertainty_sources if one.name == source.varies_with)
    if leader.members is not None:
        message = f"{place}, a set of members, which has no up and down to vary with."
        raise ConfigError(message)
    if correction.type == "object" and home > position:
        message = (
            f"{place}, a source of {owner.name!r}, which comes later. The correction that leads comes first."
        )
        raise ConfigError(message)
    if correction.type == "normalisation":
        message = f"{place}, but a normalisation varies with nothing."
        raise ConfigError(message)


def _no_leader(source: UncertaintySource, corrections: Sequence[Correction], leaders: Sequence[str]) -> str:
    """Return why a source varies with nothing, and what it may vary with."""
    wanted = str(source.varies_with)
    if wanted == source.name:
        return "its own name. Name the source of another correction, or leave varies_with out."
    for one in corrections:
        own = [other.name for other in one.uncertainty_sources if other.varies_with is None]
        if one.name == wanted:
            return f"which is a correction; name one of its sources: {', '.join(own) or 'it has none'}."
        if any(other.name == wanted for other in one.uncertainty_sources):
            return f"a source of {one.name!r} that itself varies with another one. Name that one."
    return f"which is the name of no source.{did_you_mean(wanted, leaders)}"


def _check_distinct_variations(corrections: Sequence[Correction], where: str) -> None:
    """Refuse names of which one is another with a suffix: their variations would have one name."""
    sources = [
        source for one in corrections for source in one.uncertainty_sources if source.varies_with is None
    ]
    names = sorted(
        (name, source.name)
        for source in sources
        for name in {*(name for name, _ in source.variations()), f"{source.name}_up", f"{source.name}_down"}
    )
    for (name, one), (following, other) in pairwise(names):
        if name == following and one != other:
            message = f"{where}: the sources {one!r} and {other!r} both have a variation {name!r}. Rename one of them."
            raise ConfigError(message)
