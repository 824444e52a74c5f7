"""Datasets without event files: metadata and results that are drawn, under the names that a run would give them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from intccms.analysis.ledger.records import Record, record_of
from intccms.analysis.results import DatasetSums
from intccms.histograms import Sums
from intccms.metadata import FileMetadata, MetadataStore
from intccms.metadata.stage import source_key
from intccms.selection import Cutflow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from intccms.schema import Config

__all__ = ["ENTRIES", "Contents", "drawn_record", "remember_files", "remote_files"]

ENTRIES = 100_000
"""Entries of a chunk."""


@dataclass(frozen=True)
class Contents:
    """How large a result is."""

    channels: int
    histograms: int
    """Of each channel."""
    bins: int
    """Of each histogram, flow bins included."""
    filled: int
    """Bins of each histogram that something fell into."""

    def __str__(self) -> str:
        """Return the size as tables name it."""
        return f"{self.channels} x {self.histograms} x {self.bins:,} bins, {self.filled:,} filled"

    @property
    def dense_bytes(self) -> int:
        """Size of the arrays [bytes]: sums of weights, of their squares, and entries, eight bytes each."""
        return 24 * self.channels * self.histograms * self.bins


def drawn_record(contents: Contents, channels: Iterable[str], seed: int) -> Record:
    """Return a result with neighbouring bins filled, as in histograms with tails that are empty."""
    rng = np.random.default_rng(seed)
    sums = DatasetSums(ENTRIES, float(rng.normal(ENTRIES, 100.0)))
    sums.common = Cutflow({"all": (ENTRIES, sums.sumw), "skim": (ENTRIES // 5, sums.sumw / 5)})
    for channel in channels:
        sums.channels[channel] = Cutflow({"cut": (ENTRIES // 10, float(rng.normal(1000.0)))})
        for number in range(contents.histograms):
            sums.histograms[channel, f"observable_{number}"] = _drawn(rng, contents)
    return record_of(sums)


def _drawn(rng: np.random.Generator, contents: Contents) -> Sums:
    entries = np.zeros(contents.bins, dtype=np.int64)
    sumw, sumw2 = np.zeros(contents.bins), np.zeros(contents.bins)
    first = (contents.bins - contents.filled) // 2
    place = slice(first, first + contents.filled)
    entries[place] = rng.poisson(5.0, contents.filled) + 1
    sumw[place] = entries[place] * rng.normal(300.0, 6.0, contents.filled)
    sumw2[place] = sumw[place] ** 2 / entries[place]
    return Sums(sumw, sumw2, entries)


def remote_files(number: int, chunks: int) -> list[FileMetadata]:
    """Return the facts of files that are nowhere, as they are remembered after the first run."""
    names = [f"root://nowhere//store/mc/Run2/TTToSemiLeptonic/NANOAODSIM/{i:06d}.root" for i in range(number)]
    return [
        FileMetadata(
            name,
            (name,),
            url=name,
            uuid=f"07407064-e646-11f1-8d61-{index:012x}",
            size=2_000_000_000 + index,
            format="ttree",
            entries=chunks * ENTRIES,
            generated=chunks * ENTRIES,
            sumw=300.0 * chunks * ENTRIES,
            sumw_from="Runs",
        )
        for index, name in enumerate(names)
    ]


def remember_files(config: Config, files: list[FileMetadata], branches: Iterable[str]) -> None:
    """Put the facts of files into the metadata store of a run directory; the first has names of branches."""
    dataset = config.selected_datasets()[0]
    first = FileMetadata.from_json(json.loads(json.dumps(files[0].to_json() | {"branches": list(branches)})))
    store = MetadataStore(_metadata_folder(config))
    store.put(dataset.name, source_key(dataset), [first, *files[1:]])


def _metadata_folder(config: Config) -> Path:
    return config.general.metadata_dir or config.general.output_dir / "metadata"
