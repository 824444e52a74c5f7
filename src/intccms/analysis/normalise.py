"""How a dataset is scaled: ``xsec * lumi / sumw``, with what is missing accounted for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.metadata import wanted_sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from intccms.analysis.fold import DatasetFold, FileFact
    from intccms.metadata import DatasetMetadata, FileMetadata
    from intccms.schema import Config, Dataset

__all__ = ["Normalisation", "check_positions", "check_weight_sums", "normalise"]

_SCALES, _NOMINAL_SCALE = "LHEScaleWeight", 4
"""Positions of scale weights are those of nine members; a vector of eight leaves the nominal one out."""
_NINE = 9
_SHOWERS = "PSWeight"
"""A sample without weights of parton showers stores a single dummy."""


@dataclass(frozen=True)
class Normalisation:
    """The factor of one dataset, and how it came about."""

    factor: float
    """Multiplies sums of generator weights; 1 for data, 0 where nothing could be processed."""
    sumw: float | None
    """Sum of generator weights over the generated events that the processed part stands for."""
    notes: tuple[str, ...] = ()
    """What a reader of the histograms should know."""
    error: str | None = None
    """Why the dataset cannot be scaled; it then counts as missing."""
    variation_factors: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """(branch of theory weights, position) -> factor, for variations with `weight_sums` where files tell the sums."""

    def scale(self, branch: str | None, position: int | None) -> float:
        """Return what multiplies the histograms of a variation.

        Parameters
        ----------
        branch
            ``weight_sums`` of its source: the branch whose sums normalise it; None for nominal, and for sources without.
        position
            Its position in that branch.

        Returns
        -------
        float
            ``xsec * lumi`` over the sum of that position; `factor` where there are no such sums.
        """
        if branch is None or position is None:
            return self.factor
        return self.variation_factors.get((branch, position), self.factor)


def normalise(config: Config, metadata: DatasetMetadata, fold: DatasetFold) -> Normalisation:
    """Return the factors that scale a dataset to its luminosity.

    The sum of weights is that of the generated events, from ``Runs``. Where chunks are missing, each file counts
    with the fraction of its generator weight that was processed (of its entries, where the weights of the
    missing part cannot be read either, which is noted). The sums of theory weights count with the same fractions.

    Parameters
    ----------
    config
        Gives luminosity, and the variations with sums of their own.
    metadata
        The dataset and the sums of weights of its files.
    fold
        What was processed.
    """
    dataset = metadata.dataset
    if dataset.is_data:
        return Normalisation(1.0, None)
    notes = []
    if any(record.sumw_from == "Events" and record.entries for record in metadata.good):
        notes.append(
            f"sum of weights of {dataset.name} counted from Events: right only if its files are no skims"
        )
    fractions, by_entries = [], False
    for index, record in enumerate(metadata.files):
        fraction, estimated = _processed_fraction(record, fold.files.get(index))
        fractions.append(fraction)
        by_entries |= estimated
    total = _total(fractions, [record.sumw or 0.0 for record in metadata.files])
    if by_entries:
        notes.append(f"missing part of {dataset.name} estimated by its fraction of entries")
    if fold.sums.entries == 0:
        return Normalisation(0.0, total, tuple(notes))
    if not math.isfinite(total) or total == 0.0:
        error = (
            f"cannot normalise dataset {dataset.name!r}: the sum of generator weights is {total}, expected a finite "
            "non-zero number. Check its files and weight_branch."
        )
        return Normalisation(0.0, total, tuple(notes), error)
    if total < 0:
        notes.append(f"sum of weights of {dataset.name} is negative ({total:.6g}): its yields change sign")
    assert dataset.cross_section is not None
    expected = dataset.cross_section * config.lumi_of(dataset)
    try:
        sums = _sums_of_variations(config, metadata, fractions, notes)
    except ConfigError as exc:
        return Normalisation(0.0, total, tuple(notes), str(exc))
    factors = {key: expected / value for key, value in sums.items()}
    return Normalisation(expected / total, total, tuple(notes), variation_factors=factors)


def check_weight_sums(config: Config, metadata: DatasetMetadata, where: str) -> None:
    """Refuse skims of which it is unknown whether the source tells the sums that variations are normalised with.

    Parameters
    ----------
    config
        Says which variations there are.
    metadata
        A dataset, as the contract of its skims has it.
    where
        The folder of the skims, for the message.

    Raises
    ------
    ConfigError
        Naming the branches.
    """
    if not config.general.run_systematics:
        return
    wanted = wanted_sums(config, metadata.dataset)
    lacking = [branch for branch in wanted if any(record.lacks([branch]) for record in metadata.files)]
    if lacking:
        message = (
            f"the skim of dataset {metadata.dataset.name!r} in {where} was written without the sums of "
            f"{', '.join(lacking)} over generated events, with which 'weight_sums' normalises variations. Take them from "
            "the source once, with general.save_skimmed_output=True and general.use_skimmed_input=False (parts that fit "
            "are kept), or leave 'weight_sums' out."
        )
        raise ConfigError(message)


def check_positions(config: Config, metadata: DatasetMetadata) -> None:
    """Refuse positions of theory weights that files do not have, before any event is read.

    Parameters
    ----------
    config
        Says which variations there are.
    metadata
        A dataset and what its files tell.

    Raises
    ------
    ConfigError
        Naming source, dataset, year, position and length.
    """
    dataset = metadata.dataset
    if dataset.is_data or not config.general.run_systematics:
        return
    for source, branch, position in _positions(config, dataset):
        lengths = {record.name: len(_stored(record, branch)) for record in metadata.good}
        lengths = {name: length for name, length in lengths.items() if length}
        if lengths:
            name = min(lengths, key=lengths.__getitem__)
            _check_position(source, dataset, branch, position, lengths[name], name)


def _check_position(
    source: str, dataset: Dataset, branch: str, position: int, length: int, file: str
) -> None:
    if (at := _stored_at(branch, position, length)) is not None and at >= length:
        year = f" ({dataset.year})" if dataset.year else ""
        last = length if branch == _SCALES and length == _NINE - 1 else length - 1
        message = (
            f"cannot normalise source {source!r} of dataset {dataset.name!r}{year}: position {position} of {branch} is "
            f"outside the sums of {file}, of which there are {length} (positions 0 to {last}). Correct the systematic "
            "keys of the source, or let it apply to other datasets."
        )
        raise ConfigError(message)


def _stored(record: FileMetadata, branch: str) -> list[float]:
    """Return the sums of a branch over the generated events of a file; none if it has no weights of the kind."""
    values = record.weight_sums.get(branch, [])
    return [] if branch == _SHOWERS and len(values) == 1 else values  # a dummy


def _stored_at(branch: str, position: int, length: int) -> int | None:
    """Return where the sum of a position is stored, None for the nominal one that is not."""
    if branch != _SCALES or length != _NINE - 1 or position < _NOMINAL_SCALE:
        return position
    return None if position == _NOMINAL_SCALE else position - 1


def _total(fractions: Sequence[float], sums: Sequence[float]) -> float:
    total = 0.0
    for fraction, value in zip(fractions, sums, strict=True):
        total += fraction * value
    return total


def _positions(config: Config, dataset: Dataset) -> Iterator[tuple[str, str, int]]:
    """Yield source, branch and position of the variations with sums of their own."""
    for correction in config.corrections_of(dataset):
        for source in correction.uncertainty_sources:
            if source.weight_sums is not None:
                for _, position in source.variations():
                    yield source.name, source.weight_sums, position


def _sums_of_variations(
    config: Config, metadata: DatasetMetadata, fractions: Sequence[float], notes: list[str]
) -> dict[tuple[str, int], float]:
    """Return (branch, position) -> sum of weights that the processed part stands for, and note what is missing.

    Raises
    ------
    ConfigError
        If a position is beyond the sums of a file, or a sum is 0 or not finite.
    """
    if not config.general.run_systematics:
        return {}
    dataset, sums = metadata.dataset, {}
    with_sums = {
        branch: [record for record in metadata.good if _stored(record, branch)]
        for branch in wanted_sums(config, dataset)
    }
    for branch, records in with_sums.items():
        notes.extend(_notes_on(branch, records, metadata))
    for source, branch, position in _positions(config, dataset):
        if not with_sums[branch]:
            continue
        shortest = min(with_sums[branch], key=lambda record: len(_stored(record, branch)))
        length = len(_stored(shortest, branch))
        _check_position(source, dataset, branch, position, length, shortest.name)
        total = _total(fractions, [_sum_of(record, branch, position) for record in metadata.files])
        if not math.isfinite(total) or total == 0.0:
            message = (
                f"cannot normalise source {source!r} of dataset {dataset.name!r}: position {position} of {branch} has "
                f"the sum {total} over generated events, expected a finite non-zero number. Check the weights "
                "in its files, or leave 'weight_sums' out."
            )
            raise ConfigError(message)
        sums[branch, position] = total
    return sums


def _sum_of(record: FileMetadata, branch: str, position: int) -> float:
    """Return the sum of a position over the generated events of a file; that of genWeight if it tells none."""
    values = _stored(record, branch)
    at = _stored_at(branch, position, len(values)) if values else None
    return values[at] if values and at is not None else record.sumw or 0.0


def _notes_on(branch: str, records: Sequence[FileMetadata], metadata: DatasetMetadata) -> Iterator[str]:
    name, counting = metadata.dataset.name, [record for record in metadata.good if record.sumw]
    without = len([record for record in counting if not _stored(record, branch)])
    if not records:
        yield f"files of {name} have no sums of {branch}: its variations are scaled as nominal"
    elif without:
        yield f"{without} of {len(counting)} files of {name} have no sums of {branch}: they count with the nominal sum"
    if any(record.weight_sums_from.get(branch) == "Events" and record.entries for record in records):
        yield f"sums of {branch} of {name} counted from Events: right only if its files are no skims"


def _processed_fraction(record: FileMetadata, fact: FileFact | None) -> tuple[float, bool]:
    """Return the fraction of a file that was processed, and whether it had to be taken from entries."""
    if record.error is not None:
        return 0.0, False
    if fact is None or not fact.failures:
        return 1.0, False
    missing = [failure.sumw for failure in fact.failures]
    known = [value for value in missing if value is not None]
    if fact.sumw is not None and len(known) == len(missing):
        whole = fact.sumw + math.fsum(known)
        if whole != 0.0 and math.isfinite(whole):
            return fact.sumw / whole, False
    return fact.entries / (record.entries or 1), fact.entries > 0
