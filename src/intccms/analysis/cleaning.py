"""Removes what no present configuration reaches from a ledger."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from intccms.analysis.context import open_ledger
from intccms.analysis.ledger import Name, Unit, Units
from intccms.analysis.ledger.names import BATCHES, RUNS, batch_of, batch_path, file_key
from intccms.metadata import MetadataStore
from intccms.metadata.stage import source_key
from intccms.utils.output import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intccms.analysis.ledger import Ledger
    from intccms.schema import Config, Dataset

__all__ = ["Rubbish", "find_rubbish"]

_STALE = 3600.0
"""Age at which the temporary of a killed process is surely nobody's [s]."""


@dataclass
class Rubbish:
    """What may go."""

    ledger: Ledger
    names: dict[str, int] = field(default_factory=dict)
    """Path below the ledger -> size [bytes]."""
    kept: int = 0
    """Records that stay."""
    trimmed: dict[Name, dict[str, str]] = field(default_factory=dict)
    """Records of which only some channels stay -> those, with their digests."""

    @property
    def size(self) -> int:
        """Size of it all [bytes]."""
        return sum(self.names.values())

    def remove(self) -> None:
        """Remove it.

        Raises
        ------
        OutputError
            If something cannot be removed.
        """
        for name, digests in self.trimmed.items():
            self._trim(name, digests)
        self.ledger.storage.delete(self.names)

    def _trim(self, name: Name, digests: dict[str, str]) -> None:
        record = self.ledger.get(name, digests)
        units = [Unit(channel, self.ledger.parts(name.batch, channel)) for channel in digests]
        self.ledger.put(replace(name, batch=self.ledger.describe(units)), record)
        self.ledger.delete([name])


def find_rubbish(configs: Sequence[Config]) -> Rubbish:
    """Return what is in the ledger of the first configuration and is reached by none of them.

    A record stays if any of its channels is wanted under its digest, filters apart, and its file is among the files
    of the dataset whose metadata are known.

    Raises
    ------
    ConfigError
        If a configuration cannot be digested.
    OutputError
        If the ledger cannot be read.
    """
    ledger = open_ledger(configs[0])
    wanted, files = _wanted(configs)
    rubbish = Rubbish(ledger)
    sizes = ledger.storage.sizes()
    for dataset in {path.partition("/")[0] for path in sizes if "/" in path} - {BATCHES, RUNS}:
        ledger.look(dataset)
    described = set()
    for path, size in sizes.items():
        name = Name.parse(path)
        if name is None:
            continue
        known = files.get(name.dataset, set())
        if name.kind != "skim" and not ledger.digests(name.batch):
            rubbish.kept += 1  # its description is lost, and with it what it holds
            continue
        stays = _staying(name, wanted.get(name.dataset, set()), ledger)
        if name.kind != "skim" and (not stays or (name.kind != "whole" and known and name.key not in known)):
            rubbish.names[path] = size
            continue
        rubbish.kept += 1
        described.add(batch_path(batch_of(stays)))
        if name.kind != "skim" and stays != ledger.digests(name.batch):
            rubbish.trimmed[name] = stays
    rubbish.names |= {
        path: size for path, size in sizes.items() if path.startswith(f"{BATCHES}/") and path not in described
    }
    rubbish.names |= dict.fromkeys(ledger.storage.stale_temporaries(_STALE), 0)
    return rubbish


def _staying(name: Name, wanted: set[tuple[str, str]], ledger: Ledger) -> dict[str, str]:
    """Return the channels of a record that are wanted; of a whole dataset all or none."""
    if name.kind == "skim":  # until the manifest holds it, its facts are nowhere else
        return {}
    digests = ledger.digests(name.batch)
    stays = dict(set(digests.items()) & wanted)
    return {} if name.kind == "whole" and stays != digests else stays


def _wanted(configs: Sequence[Config]) -> tuple[dict[str, set[tuple[str, str]]], dict[str, set[str]]]:
    """Return the channels with their digests, and the keys of the known files, by dataset."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    files: dict[str, set[str]] = {}
    for config in configs:
        units = Units(config)
        folder = config.general.metadata_dir or RunDirectory(config.general.output_dir).metadata
        store = MetadataStore(folder)
        for dataset in config.datasets.expand(config.general.weight_branch):
            channels = units.channels(dataset, everything=True)
            wanted.setdefault(dataset.name, set()).update((one.name, one.digest) for one in channels.values())
            files.setdefault(dataset.name, set()).update(_keys(store, dataset))
    return wanted, files


def _keys(store: MetadataStore, dataset: Dataset) -> Iterator[str]:
    for record in store.records(dataset.name, source_key(dataset)):
        if record.error is None:
            yield file_key(record, dataset.tree_name)
