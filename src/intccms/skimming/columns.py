"""Which branches to read, from what the functors of a configuration declare, each with the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from coffea.nanoevents import NanoAODSchema

from intccms.errors import ConfigError, MissingBranchError
from intccms.schema import Config, Dataset, ObjVar
from intccms.schema.explain import did_you_mean
from intccms.schema.reach import is_as_read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from intccms.schema.corrections import Correction

__all__ = ["EVENT_IDS", "BranchList", "ColumnPlan", "Use", "event_column"]

_TRIGGERS = frozenset({"HLT", "L1"})
"""Collections whose fields come and go with the menu of a run: an absent one counts as False."""

_BEHAVIOUR = ("pt", "eta", "phi", "mass", "charge", "x", "y", "z")
"""Fields that the behaviours of NanoEvents ask for when a collection is used as a whole."""

EVENT_IDS = ("run", "luminosityBlock", "event")


@dataclass(frozen=True)
class Use:
    """A column that something uses."""

    column: ObjVar
    reason: str
    """Path of the functor in the configuration."""
    stage: int
    """Position in the order of evaluation; ghosts serve later stages only."""
    optional: bool = False
    """The input may hold it or not: a whole collection with ghost observables, or what the skim function may make."""


@dataclass(frozen=True)
class BranchList:
    """What to read from one file."""

    names: frozenset[str]
    """Branches that functors can reach; virtual, so those never touched cost nothing."""
    absent_triggers: tuple[str, ...]
    """Triggers that the file lacks and that count as False."""
    absent_corrections: tuple[str, ...] = ()
    """Corrections that change nothing, because the file lacks a column of theirs and they say ``ignore_missing``."""


@dataclass(frozen=True)
class ColumnPlan:
    """The columns that a configuration uses, in order of evaluation.

    Parameters
    ----------
    config
        The configuration.
    everything
        The columns of all channels, also of those that ``general.channels`` leaves out: a skim serves them all.
    """

    config: Config
    everything: bool = False

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """Every column that functors read from the input; what corrections read depends on the dataset."""
        return tuple(self._read(_declared(self.config, everything=self.everything)))

    @cached_property
    def _ghosts(self) -> dict[ObjVar, int]:
        """Ghost observables with the stages at which they are made."""
        ghosts: dict[ObjVar, int] = {}
        for index, ghost in enumerate(self.config.ghost_observables):
            for name in ghost.names:
                ghosts.setdefault(ObjVar(ghost.collection, name), _GHOST_STAGE + index)
        return ghosts

    def _read(self, uses: Iterable[Use]) -> Iterator[Use]:
        """Yield the uses of columns that are not made before; those that may be made are optional."""
        ghosts = self._ghosts
        for use in uses:
            collection, field = use.column
            late = self._skim_may_make_columns and use.stage > _SKIM_STAGE
            if field is None:
                made = [stage for column, stage in ghosts.items() if column.collection == collection]
                yield replace(use, optional=late or any(stage < use.stage for stage in made))
            elif ghosts.get(use.column, use.stage) >= use.stage:
                yield replace(use, optional=late)

    def of_correction(self, correction: Correction) -> tuple[Use, ...]:
        """Return the columns that a correction reads from the input."""
        stage = _CORRECTION_STAGE if correction.type == "object" else _CHANNEL_STAGE
        reason, targets = f"correction {correction.name!r}", set(self._targets)
        columns = [is_as_read(column, targets) or column for column in correction.columns()]
        return tuple(self._read(Use(column, reason, stage) for column in dict.fromkeys(columns)))

    @cached_property
    def _targets(self) -> list[ObjVar]:
        return [target for one in self.config.all_corrections() for target in one.target or []]

    @property
    def _skim_may_make_columns(self) -> bool:
        """Tell whether the skim function is given whole events: it may return them with columns of its own."""
        return ObjVar("event") in {ObjVar(*column) for column in self.config.preprocess.skimming.use}

    def for_dataset(self, dataset: Dataset) -> tuple[Use, ...]:
        """Return the uses of a dataset that its files must serve: the plan's, weight, lumi mask, corrections."""
        return self._for_dataset(dataset, lambda one: not one.ignore_missing)

    def wished_for(self, dataset: Dataset) -> tuple[Use, ...]:
        """Return the uses of a dataset, with those of corrections that do without what a file lacks."""
        return self._for_dataset(dataset, lambda _: True)

    def _for_dataset(self, dataset: Dataset, applies: Callable[[Correction], bool]) -> tuple[Use, ...]:
        corrections = filter(applies, self.config.corrections_of(dataset))
        extra = [use for one in corrections for use in self.of_correction(one)]
        if dataset.weight_branch is not None:
            extra.append(Use(event_column(dataset.weight_branch), "weight_branch", 0))
        if dataset.lumi_mask is not None:
            extra += [Use(ObjVar("event", name), "lumi_mask", 0) for name in EVENT_IDS[:2]]
        return (*extra, *self.uses)

    def branches(self, available: Collection[str], dataset: Dataset, *, where: str) -> BranchList:
        """Return the branches to read from a file.

        Parameters
        ----------
        available
            Columns of the file.
        dataset
            Decides on generator weight and lumi mask.
        where
            The file, for the error.

        Raises
        ------
        MissingBranchError
            If a declared branch is absent; it names dataset, file, the functor and the nearest names.
        """
        names: set[str] = {name for name in available if name in EVENT_IDS or _is_counter(name)}
        absent: list[str] = []
        missing: dict[str, list[str]] = {}
        for use in self.for_dataset(dataset):
            found, lost = self._expand(use.column, available, is_data=dataset.is_data)
            names |= found
            if lost and _is_trigger(use.column):
                absent.append(str(use.column))
            elif not use.optional:
                for branch in lost:
                    missing.setdefault(branch, []).append(use.reason)
        if any(name.startswith("Gen") and name.partition("_")[2] for name in names):
            # without a field of GenPart coffea takes the file for data, and makes no references to generated objects
            names |= {_OF_GENERATED_PARTICLES} & set(available)
        if missing:
            raise MissingBranchError(_explain_missing(missing, available, dataset, where))
        without = []
        for correction in self.config.corrections_of(dataset):
            if correction.ignore_missing:
                found, complete = self._of_optional(correction, available, is_data=dataset.is_data)
                names |= found
                without += [] if complete else [correction.name]
        return BranchList(frozenset(names), tuple(dict.fromkeys(absent)), tuple(without))

    def counted(self, available: Collection[str], dataset: Dataset) -> str:
        """Return how many columns of a file are read, and how many of them whole collections stand for.

        Parameters
        ----------
        available, dataset
            As for `branches`, with its errors.
        """
        names = self.branches(available, dataset, where="(a first file)").names & set(available)
        whole = dict.fromkeys(use.column for use in self.for_dataset(dataset) if use.column.field is None)
        shares = {
            str(column): len(self._expand(column, available, is_data=dataset.is_data)[0]) for column in whole
        }
        listed = ", ".join(f"{count:,} {name}" for name, count in shares.items() if count)
        return f"{len(names):,} of {len(available):,} columns{f', among them {listed}' if listed else ''}"

    def _of_optional(
        self, correction: Correction, available: Collection[str], *, is_data: bool
    ) -> tuple[set[str], bool]:
        """Return the branches that a correction reads, and whether all of them are there."""
        names: set[str] = set()
        complete = True
        for use in self.of_correction(correction):
            found, lost = self._expand(use.column, available, is_data=is_data)
            names |= found
            complete &= use.optional or not lost
        return names, complete

    def unknown_to(self, samples: Collection[tuple[frozenset[str], bool]]) -> list[tuple[str, Use]]:
        """Return branches that none of several files has, each with what uses it: names that are surely wrong.

        Parameters
        ----------
        samples
            The columns of each file, and whether it holds collision data.
        """
        unknown = []
        for use in self.uses:
            if use.optional or _is_trigger(use.column):
                continue
            lost = [set(self._expand(use.column, names, is_data=is_data)[1]) for names, is_data in samples]
            unknown += [(branch, use) for branch in sorted(set.intersection(*lost))] if lost else []
        return unknown

    def check(self, samples: Collection[tuple[frozenset[str], bool]]) -> None:
        """Refuse columns that not one of several files could serve; the argument is that of `unknown_to`.

        Raises
        ------
        ConfigError
            Naming the functor, the column and the nearest branches.
        """
        available = {name for names, _ in samples for name in names}
        ghosts = [name for ghost in self.config.ghost_observables for name in ghost.names]
        known = [*ghosts, *available, *{name.partition("_")[0] for name in available}]
        lines = [
            f"{use.reason} uses {tuple(use.column)!r}: no dataset has a branch {branch}."
            f"{did_you_mean(branch.removesuffix('_*'), known)}"
            for branch, use in self.unknown_to(samples)
        ]
        whole = {use.column.collection for use in self.uses if use.column.field is None}
        preprocess = self.config.preprocess
        lines += [
            f"preprocess: branches of {name!r} are listed, but nothing uses that collection as a whole."
            f"{did_you_mean(name, whole)}"
            for name in dict.fromkeys([*preprocess.branches, *preprocess.mc_branches])
            if name not in whole
        ]
        if lines:
            raise ConfigError("\n".join(dict.fromkeys(lines)))

    def check_corrections(self, samples: Collection[tuple[Dataset, frozenset[str]]]) -> list[str]:
        """Refuse corrections whose columns none of the datasets has that they apply to.

        Parameters
        ----------
        samples
            Datasets, each with the columns of one of its files.

        Returns
        -------
        list of str
            Warnings of those that say ``ignore_missing`` and change nothing anywhere.

        Raises
        ------
        ConfigError
            Naming the correction, its years, the column and the nearest branches.
        """
        refused: dict[tuple[str, str], list[str]] = {}
        warned: dict[tuple[str, str], list[str]] = {}
        known = {branch for _, available in samples for branch in available}
        for (name, year), applied in self._applied(samples).items():
            for column in self._lost(applied):
                is_target = any(column in (one.target or []) for one, _, _ in applied)
                text = f"{'its target' if is_target else 'the column'} {column} is in none of the files looked at."
                text += did_you_mean(str(column).removesuffix("_*"), known - {str(column)})
                found = warned if all(one.ignore_missing for one, _, _ in applied) else refused
                years = found.setdefault((name, text), [])
                years += [year] if year else [one.year for _, one, _ in applied if one.year]
        remedy = " Correct the name, or restrict the correction with applies_to."
        lines = [text + remedy for text in _with_years(refused)]
        if lines:
            raise ConfigError("\n".join(lines))
        return [f"{text} It changes nothing." for text in _with_years(warned)]

    def _applied(
        self, samples: Collection[tuple[Dataset, frozenset[str]]]
    ) -> dict[tuple[str, str], list[tuple[Correction, Dataset, frozenset[str]]]]:
        """Return (correction, year) -> itself with each dataset that it applies to; no year for a list of all years."""
        by_year = isinstance(self.config.corrections, dict)
        found: dict[tuple[str, str], list[tuple[Correction, Dataset, frozenset[str]]]] = {}
        for dataset, available in samples:
            for one in self.config.corrections_of(dataset):
                year = (dataset.year or "") if by_year else ""
                found.setdefault((one.name, year), []).append((one, dataset, available))
        return found

    def _lost(self, applied: Sequence[tuple[Correction, Dataset, frozenset[str]]]) -> list[ObjVar]:
        """Return the columns of a correction that none of the datasets has that it applies to."""
        lacking = [
            {
                use.column
                for use in self.of_correction(one)
                if not use.optional and self._expand(use.column, available, is_data=dataset.is_data)[1]
            }
            for one, dataset, available in applied
        ]
        return sorted(set.intersection(*lacking)) if lacking else []

    def unsure(self, samples: Collection[tuple[frozenset[str], bool]]) -> list[str]:
        """Return a warning for each column that no file has and that only the skim function can make."""
        available = {name for names, _ in samples for name in names}
        return [
            f"{use.column} (read by {use.reason}) is in none of the files looked at: preprocess.skimming has to make it."
            f"{did_you_mean(str(use.column), available)}"
            for use in self.uses
            if samples
            and self._skim_may_make_columns
            and use.stage > _SKIM_STAGE
            and not _is_trigger(use.column)
            and all(self._expand(use.column, names, is_data=is_data)[1] for names, is_data in samples)
        ]

    def absent_triggers(self, samples: Collection[tuple[frozenset[str], bool]]) -> list[str]:
        """Return a warning for each trigger that none of several files has; the argument is that of `unknown_to`."""
        available = {name for names, _ in samples for name in names}
        triggers = {str(use.column): use.reason for use in self.uses if _is_trigger(use.column)}
        unless = ", unless preprocess.skimming makes it" if self._skim_may_make_columns else ""
        return [
            f"{name} (read by {reason}) is in none of the files looked at and counts as False{unless}."
            f"{did_you_mean(name, available)}"
            for name, reason in triggers.items()
            if samples and name not in available and not name.endswith("_*")
        ]

    def _expand(
        self, column: ObjVar, available: Collection[str], *, is_data: bool
    ) -> tuple[set[str], tuple[str, ...]]:
        """Return the branches behind a column, and those among them that the file lacks."""
        collection, field = column
        if field is None:
            return self._whole(collection, available, is_data=is_data)
        if collection == "event":
            if field not in available:
                return set(), (field,)
            return {field, f"n{field}"} & set(available), ()
        branch = f"{collection}_{field}"
        behaviour = {f"{collection}_{name}" for name in _BEHAVIOUR} & set(available)
        if branch in available:
            return {branch} | behaviour, ()
        if branch in NanoAODSchema.full_like_items and f"n{collection}" in available:
            return behaviour, ()
        return set(), (branch,)

    def _whole(
        self, collection: str, available: Collection[str], *, is_data: bool
    ) -> tuple[set[str], tuple[str, ...]]:
        prefix = "" if collection == "event" else f"{collection}_"
        if collection == "event":
            branches = {name for name in available if "_" not in name and not _is_counter(name)}
        else:
            # a branch of the collection's very name: one without fields, such as LHEPdfWeight
            branches = {name for name in available if name.startswith(prefix) or name == collection}
        if not branches:
            return set(), (str(ObjVar(collection)),)
        listed = self.config.preprocess.branches.get(collection)
        if listed is None:
            return branches, ()
        simulated = [] if is_data else self.config.preprocess.mc_branches.get(collection, [])
        wanted = {prefix + field for field in (*listed, *simulated)}
        lost = () if self.config.preprocess.ignore_missing else tuple(sorted(wanted - branches))
        return (wanted | {prefix + field for field in _BEHAVIOUR}) & branches, lost


def _with_years(found: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[str]:
    """Yield what is said of corrections, with their years."""
    for (name, text), years in found.items():
        when = f" ({', '.join(dict.fromkeys(years))})" if years else ""
        yield f"correction {name!r}{when}: {text}"


def event_column(branch: str) -> ObjVar:
    """Return where NanoEvents files a branch: ``Generator_weight`` is the field ``weight`` of ``Generator``."""
    collection, _, field = branch.partition("_")
    return ObjVar(collection, field) if field else ObjVar("event", branch)


def _is_trigger(column: ObjVar) -> bool:
    return column.collection in _TRIGGERS and column.field is not None


_OF_GENERATED_PARTICLES = "GenPart_pdgId"

_SKIM_STAGE = 1
_CORRECTION_STAGE = 2
_GHOST_STAGE = 1_000
_CHANNEL_STAGE = 1_000_000


def _declared(config: Config, *, everything: bool) -> Iterator[Use]:
    def uses(columns: Collection[ObjVar], reason: str, stage: int) -> Iterator[Use]:
        return (Use(ObjVar(*column), reason, stage) for column in columns)

    skim = config.preprocess.skimming.functor()
    if skim is not None:
        yield from uses(skim.use, "preprocess.skimming", _SKIM_STAGE)
    for index, mask in enumerate(config.good_object_masks):
        yield from uses([ObjVar(mask.collection)], f"good_object_masks.{index}", 3)
        yield from uses(mask.use, f"good_object_masks.{index}", 3)
    if config.baseline_selection is not None:
        yield from uses(config.baseline_selection.use, "baseline_selection", 4)
    for index, ghost in enumerate(config.ghost_observables):
        yield from uses(ghost.use, f"ghost_observables.{index}", _GHOST_STAGE + index)
    for channel in config.channels if everything else config.selected_channels():
        if channel.selection is not None:
            yield from uses(channel.selection.use, f"channels.{channel.name}.selection", _CHANNEL_STAGE)
        for observable in channel.observables:
            reason = f"channels.{channel.name}.observables.{observable.name}"
            yield from uses(observable.use, reason, _CHANNEL_STAGE)


def _is_counter(name: str) -> bool:
    return len(name) > 1 and name[0] == "n" and name[1].isupper() and "_" not in name


def _explain_missing(
    missing: Mapping[str, Sequence[str]], available: Collection[str], dataset: Dataset, where: str
) -> str:
    names = [*available, *{name.partition("_")[0] for name in available}]
    parts = []
    for branch, reasons in missing.items():
        near = did_you_mean(branch.removesuffix("_*"), names)
        parts.append(f"no branch {branch} (read by {', '.join(dict.fromkeys(reasons))}).{near}")
    return (
        f"dataset {dataset.name!r}, file {where}: {' '.join(parts)} Correct the name, {_for_corrections(missing, dataset)}or "
        "leave the dataset out with general.processes; preprocess.ignore_missing=True leaves out listed fields that a file lacks."
    )


def _for_corrections(missing: Mapping[str, Sequence[str]], dataset: Dataset) -> str:
    """Return what to do where corrections read what a file lacks."""
    if not any(reason.startswith("correction ") for reasons in missing.values() for reason in reasons):
        return ""
    data = " (without 'data', if only simulation has that branch)" if dataset.is_data else ""
    return f"restrict the correction with its applies_to{data}, set its ignore_missing=True, "
