"""Keeps the skim contracts: which parts are to be written, which are there, and whether they fit the configuration."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.analysis.chunks import chunks_of
from intccms.analysis.contract import (
    columns_used,
    described,
    differences_from,
    lacking_columns,
    why_all,
)
from intccms.analysis.ledger import DatasetPlan, FilePlan, Name
from intccms.analysis.ledger.names import short_hash
from intccms.analysis.normalise import check_positions, check_weight_sums
from intccms.analysis.results import PartTarget
from intccms.analysis.skims import part_from_bytes
from intccms.datasets import DatasetManager
from intccms.errors import ConfigError, OutputError
from intccms.metadata import DatasetMetadata, FileMetadata
from intccms.schema.secrets import masked_text
from intccms.skimming.cache import checksum_of_file
from intccms.skimming.formats import format_named
from intccms.skimming.manifest import Manifest, manifest_name
from intccms.skimming.parts import part_path
from intccms.skimming.places import skim_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from intccms.analysis.ledger import Ledger, Unit, Units
    from intccms.analysis.results import ChunkFailure, Receipt
    from intccms.schema import Config, Dataset
    from intccms.skimming.manifest import ManifestFile
    from intccms.skimming.parts import SkimPart
    from intccms.utils.storage import Storage

__all__ = ["SkimReader", "SkimWriter"]

logger = logging.getLogger(__name__)


@dataclass
class _Book:
    """The manifest of a dataset while its parts are being written."""

    plan: DatasetPlan
    manifest: Manifest
    numbers: dict[int, int] = field(default_factory=dict)
    """file index in the listing -> number of the file in the manifest"""
    uncommitted: list[Name] = field(default_factory=list)
    """Facts of parts in the ledger, until the manifest holds them."""
    outdated: list[Name] = field(default_factory=list)
    """Facts of parts in the ledger that are written anew, or are gone."""
    written: dict[tuple[int, int], Name] = field(default_factory=dict)
    """(number of the file, first entry) of the parts that this run wrote -> where their facts are noted."""
    written_at: int = 0
    """When the manifest was last written [ns since 1970]."""


class SkimWriter:
    """Finds out which parts a run has to write, and commits the manifests.

    Parameters
    ----------
    config
        The configuration.
    units
        Its units.
    ledger
        Notes facts of parts as soon as they are written.
    """

    def __init__(self, config: Config, units: Units, ledger: Ledger) -> None:
        self._config = config
        self._units = units
        self._ledger = ledger
        self._storage = skim_storage(config)
        self._manager = DatasetManager(config)
        self._books: dict[str, _Book] = {}

    def prepare(self, plans: Iterable[DatasetPlan], *, force: bool) -> None:
        """Set the parts to be written in the plans; nothing is written yet.

        Parameters
        ----------
        plans
            What the run wants.
        force
            Write all parts anew.

        Raises
        ------
        OutputError
            If a manifest cannot be read.
        """
        for plan in plans:
            self._ledger.look(plan.name)
            self._books[plan.name] = self._prepared(plan, force=force)

    def begin(self) -> None:
        """Commit the lists of chunks that parts will belong to, before any of them is written.

        Raises
        ------
        OutputError
            If the skims or the ledger cannot be written.
        """
        for book in self._books.values():
            book.manifest.save(self._storage)
            self._ledger.delete(book.outdated)

    def take(self, receipt: Receipt) -> None:
        """Take notice of a part that was written."""
        if receipt.part is not None and receipt.work.part is not None:
            book = self._books[receipt.chunk.dataset]
            number = book.numbers[receipt.chunk.file_index]
            book.manifest.add_part(number, receipt.part)
            book.written[number, receipt.part.start] = receipt.work.part.record

    def commit(self, failures: Mapping[str, Iterable[ChunkFailure]]) -> None:
        """Write the manifests with all parts there are, and remove what no manifest lists any more.

        Parameters
        ----------
        failures
            dataset -> chunks that could not be processed.

        Raises
        ------
        OutputError
            If the skims or the ledger cannot be written.
        """
        for book in self._books.values():
            self._ledger.look(book.plan.name)
            there = [name for name in book.uncommitted if self._is_noted(name)]
            self._drop_taken_back(book)
            self._take_noted(book, there)
            for failure in failures.get(book.plan.name, ()):
                chunk = failure.chunk
                number = book.numbers[chunk.file_index]
                if chunk.start not in book.manifest.file(number).parts:
                    book.manifest.add_failure(number, chunk.start, failure.reason)
            unseen = self._drop_unseen(book)
            book.manifest.save(self._storage)
            if unseen:
                raise OutputError(_unseen_text(self._storage, book.plan.name, unseen))
            book.manifest.sweep(self._storage)
            self._ledger.delete(there)

    def _prepared(self, plan: DatasetPlan, *, force: bool) -> _Book:
        dataset, name = plan.metadata.dataset, plan.name
        manifest = Manifest.load(self._storage, name) or Manifest(name, dataset.is_data)
        book = _Book(plan, manifest, written_at=self._written_at(name))
        unit, uses = self._units.skim(dataset), columns_used(self._config, dataset)
        contract = self._units.contract(dataset)
        reason = why_all(manifest, contract, uses, self._config, force=force)
        if reason:
            for entry in manifest.files:
                manifest.forget_parts(entry.index)
        manifest.contract, manifest.described = contract, described(self._config)
        manifest.format = self._config.preprocess.skimming.output.format
        manifest.listing = self._manager.names(name)
        names, sizes = {one.name for one in plan.metadata.files}, self._storage.sizes(name)
        digest = short_hash(unit.digest, uses)
        for file in plan.files:
            number = manifest.index_for(plan.metadata.files[file.index], names)
            book.numbers[file.index] = number
            self._plan_file(book, file, manifest.file(number), unit, digest, sizes, reason)
        for record in plan.metadata.good:
            if not record.entries:  # no event passed its production: what it generated counts all the same
                manifest.set_chunks(manifest.index_for(record, names), [0])
        if plan.targets or not manifest.uses:
            manifest.uses = uses  # what all parts have, new ones and old ones
        return book

    def _plan_file(
        self,
        book: _Book,
        file: FilePlan,
        entry: ManifestFile,
        unit: Unit,
        digest: str,
        sizes: Mapping[str, int],
        reason: str,
    ) -> None:
        plan, manifest = book.plan, book.manifest
        had_parts = bool(entry.parts)
        recut = manifest.set_chunks(entry.index, file.edges) and had_parts
        if entry.parts and entry.digest != unit.digest:
            reason = reason or "versions of packages or of intccms changed"
            manifest.forget_parts(entry.index)
        entry.digest = unit.digest
        extension = format_named(manifest.format).extension
        for number, chunk in enumerate(file.chunks):
            name = Name(plan.name, "skim", chunk.key, f"{chunk.start}-{chunk.stop}", digest)
            known = self._is_noted(name)
            book.uncommitted.append(name)
            if reason.startswith("run_skimming") and known:
                book.outdated.append(name)
                known = False
            part = entry.parts.get(chunk.start) or (self._noted(name) if known else None)
            if part is not None and _is_there(part, sizes, plan.name) and self._is_sound(book, part):
                manifest.add_part(entry.index, part)
                continue
            if known:
                book.outdated.append(name)
            gone = "the part is gone" if part is not None else ""
            why = reason or gone or ("chunks are cut anew" if recut else "not written yet")
            path = part_path(entry.index, number, extension)
            plan.targets[file.index, chunk.start] = PartTarget(path, name, why)

    def _drop_taken_back(self, book: _Book) -> None:
        """Drop parts of which the ledger no longer has a note: a file that they depend on changed meanwhile."""
        for (number, start), name in list(book.written.items()):
            if not self._is_noted(name):
                book.manifest.add_failure(
                    number, start, "taken back: a file that it depends on changed meanwhile"
                )
                del book.written[number, start]

    def _drop_unseen(self, book: _Book) -> list[str]:
        """Drop parts that were written in this run and are not where they should be; return their paths."""
        sizes, unseen = self._storage.sizes(book.plan.name), []
        for number, start in book.written:
            part = book.manifest.file(number).parts[start]
            if not _is_there(part, sizes, book.plan.name):
                unseen.append(str(part.path))
                book.manifest.add_failure(number, start, "the part was written and is not there")
        return unseen

    def _take_noted(self, book: _Book, names: Iterable[Name]) -> None:
        """Take the parts of which no receipt came from the ledger to the manifest."""
        # a file may be listed under several names: its parts serve all of them
        chunks: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for file in book.plan.files:
            for chunk in file.chunks:
                place = (book.numbers[file.index], chunk.start)
                chunks.setdefault((chunk.key, f"{chunk.start}-{chunk.stop}"), []).append(place)
        for name in dict.fromkeys(names):
            lacking = [
                (number, start)
                for number, start in chunks[name.key, name.extent]
                if start not in book.manifest.file(number).parts
            ]
            part = self._noted(name) if lacking else None
            if part is not None:
                for number, _ in lacking:
                    book.manifest.add_part(number, part)

    def _is_sound(self, book: _Book, part: SkimPart) -> bool:
        """Tell whether a local part that changed after the manifest was written is still the one that was written."""
        if part.path is None or not self._storage.is_local:
            return True
        path = self._storage.local_path(f"{book.plan.name}/{part.path}")
        return path.stat().st_mtime_ns <= book.written_at or checksum_of_file(path) == part.checksum

    def _written_at(self, dataset: str) -> int:
        """Return when the manifest of a dataset was written [ns since 1970]; 0 if there is none."""
        if not self._storage.is_local:
            return 0
        path = self._storage.local_path(manifest_name(dataset))
        return path.stat().st_mtime_ns if path.is_file() else 0

    def _is_noted(self, name: Name) -> bool:
        return name.batch in self._ledger.batches(name.dataset, "skim", name.key, name.extent)

    def _noted(self, name: Name) -> SkimPart | None:
        try:
            return part_from_bytes(self._ledger.storage.get(str(name)))
        except (FileNotFoundError, ValueError) as exc:
            logger.warning("the record %s is lost (%s); the part is written again", name, exc)
            return None


class SkimReader:
    """Gives what a run on skims reads: files and chunks as the manifests have them.

    Parameters
    ----------
    config
        The configuration.
    units
        Its units.
    """

    def __init__(self, config: Config, units: Units) -> None:
        self._config = config
        self._units = units
        self._storage = skim_storage(config, reading=True)
        self._manager = DatasetManager(config)

    @property
    def is_written(self) -> bool:
        """Whether there is a skim of any dataset."""
        return any(self._storage.size(manifest_name(one.name)) is not None for one in self._manager.datasets)

    def plans(self) -> list[DatasetPlan]:
        """Return the datasets with their chunks; those without a part have none.

        Raises
        ------
        ConfigError
            If there is no skim of a dataset, or one that was written for another configuration.
        OutputError
            If a manifest cannot be read.
        """
        return [self._plan(dataset) for dataset in self._manager.datasets]

    def _plan(self, dataset: Dataset) -> DatasetPlan:
        manifest = Manifest.load(self._storage, dataset.name)
        if manifest is None:
            message = (
                f"dataset {dataset.name!r} has no skim in {masked_text(self._storage.url(dataset.name))}. Write it "
                "first, with general.save_skimmed_output=True, or read the source with general.use_skimmed_input=False."
            )
            raise ConfigError(message)
        self._check(dataset, manifest)
        by_name = {file.name: file for file in manifest.files}
        records, files = [], []
        absent: dict[tuple[int, int], str] = {}
        for index, name in enumerate(self._listed(dataset, manifest)):
            entry = by_name.get(name)
            record = _absent(name) if entry is None else entry.metadata()
            records.append(record)
            if entry is not None and record.entries:
                chunks = chunks_of(dataset, index, record, entry.edges, entry.parts)
                files.append(FilePlan(tuple(chunks)))
                absent |= {(index, start): _why_absent(entry, start) for start, _ in entry.missing}
        metadata = DatasetMetadata(dataset, tuple(records))
        check_weight_sums(self._config, metadata, masked_text(self._storage.url(dataset.name)))
        check_positions(self._config, metadata)
        units = self._units.channels(dataset)
        return DatasetPlan(metadata, files, units, named=self._units.files, absent=absent)

    def _listed(self, dataset: Dataset, manifest: Manifest) -> list[str]:
        """Return the names of the files in the order of the source, which need not be there any more."""
        try:
            return [file.name for file in self._manager.files(dataset.name)]
        except (ConfigError, OSError) as exc:
            logger.info("%s: the files are taken from the skim (%s)", dataset.name, exc)
        return manifest.listing[: self._config.datasets.max_files]

    def _check(self, dataset: Dataset, manifest: Manifest) -> None:
        wanted = self._config.preprocess.skimming.output.format
        if manifest.format and manifest.format != wanted:
            message = (
                f"the skim of dataset {dataset.name!r} in {masked_text(self._storage.url(dataset.name))} is in format "
                f"{manifest.format!r}, and preprocess.skimming.output.format is {wanted!r}. Set it to "
                f"{manifest.format!r}, or write the skim again with general.run_skimming=True."
            )
            raise ConfigError(message)
        uses = columns_used(self._config, dataset, everything=False)
        changes = differences_from(manifest, self._units.contract(dataset), self._config)
        if lacking := lacking_columns(uses, manifest, self._config):
            changes.append(f"columns {', '.join(lacking)} are not in it")
        if changes:
            message = (
                f"the skim of dataset {dataset.name!r} in {masked_text(self._storage.url(dataset.name))} does not fit "
                f"the configuration: {'; '.join(changes)}. Write it again with general.run_skimming=True, or restore "
                "what it was written with."
            )
            raise ConfigError(message)


def _is_there(part: SkimPart, sizes: Mapping[str, int], dataset: str) -> bool:
    return part.path is None or sizes.get(f"{dataset}/{part.path}") == part.size


def _unseen_text(storage: Storage, dataset: str, paths: list[str]) -> str:
    where = masked_text(storage.url(f"{dataset}/{paths[0]}"))
    return (
        f"{len(paths)} skim part(s) of dataset {dataset!r}, such as {where}, were written by workers and are not seen "
        "from here. Set preprocess.skimming.output.output_dir to a place that all machines share."
    )


def _why_absent(entry: ManifestFile, start: int) -> str:
    reason = entry.failed.get(start, "it was not reached when the skim was written")
    return (
        f"not in the skim: {reason.rstrip('.')}. Write what is missing with general.save_skimmed_output=True."
    )


def _absent(name: str) -> FileMetadata:
    reason = "the file is not in the skim: it was added later, or could not be read when the skim was written"
    return FileMetadata(name, (name,), error=reason)
