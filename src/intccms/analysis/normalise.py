"""How a dataset is scaled: ``xsec * lumi / sumw``, with what is missing accounted for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intccms.analysis.fold import DatasetFold, FileFact
    from intccms.metadata import DatasetMetadata, FileMetadata
    from intccms.schema import Config

__all__ = ["Normalisation", "normalise"]


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


def normalise(config: Config, metadata: DatasetMetadata, fold: DatasetFold) -> Normalisation:
    """Return the factor that scales a dataset to its luminosity.

    The sum of weights is that of the generated events, from ``Runs``. Where chunks are missing, each file counts
    with the fraction of its generator weight that was processed (of its entries, where the weights of the
    missing part cannot be read either, which is noted).

    Parameters
    ----------
    config
        Gives luminosity.
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
    total, by_entries = 0.0, False
    for index, record in enumerate(metadata.files):
        fraction, estimated = _processed_fraction(record, fold.files.get(index))
        total += fraction * (record.sumw or 0.0)
        by_entries |= estimated
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
    return Normalisation(dataset.cross_section * config.lumi_of(dataset) / total, total, tuple(notes))


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
