"""Brings the metadata of all datasets up to date, file by file, on any executor."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from intccms.datasets.reading import other_replicas, refused_user
from intccms.errors import CredentialsError, MetadataError, NoReachableReplicaError
from intccms.metadata.reader import read_data_file, read_simulation_file
from intccms.metadata.records import FileMetadata
from intccms.metadata.store import MetadataStore, state_of
from intccms.schema.secrets import masked_text
from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from intccms.datasets.manager import DatasetManager
    from intccms.datasets.replicas import SourceFile
    from intccms.schema import Dataset

__all__ = ["DatasetMetadata", "MetadataTask", "forget_files", "notes_on_shared_files", "read_metadata"]

logger = logging.getLogger(__name__)

_SAVE_EVERY = 200
"""Files after which the store is written, at least: so many are read again at most after a kill."""
_SAVE_SHARE = 20
"""The store is written whole, so a large one is written when this part of it is new."""


@dataclass(frozen=True)
class MetadataTask:
    """One file to look at."""

    dataset: str
    file: SourceFile
    tree_name: str
    weight_branch: str | None
    branches: bool
    weight_sums: tuple[str, ...] = ()
    """Branches of theory weights whose sums are wanted."""

    def __call__(self) -> tuple[MetadataTask, FileMetadata | CredentialsError]:
        """Return the facts of the file, or the reason why there are none; never raises for bad input.

        An error in their place is to end the run: the server does not accept the user, whatever file is asked for.
        """
        state = state_of(self.file)
        try:
            record = self._from_some_replica()
        except Exception as exc:  # noqa: BLE001 - the task boundary: whatever a bad file does, it is reported
            if (refused := refused_user(exc)) is not None:
                return self, CredentialsError(str(refused))  # without the cause, which may not be picklable
            logger.debug("metadata of %s failed:\n%s", self.file.name, traceback.format_exc())
            record = FileMetadata(
                self.file.name, self.file.urls, error=masked_text(f"{type(exc).__name__}: {exc}")
            )
        return self, replace(record, state=state)

    def _from_some_replica(self) -> FileMetadata:
        """Return the facts, from the next replica where one breaks while it is read."""
        file = self.file
        passed_over: list[tuple[str, str]] = []
        while True:
            try:
                record = self._read(file)
            except Exception as exc:
                others = other_replicas(file, exc)
                if others is None:
                    raise
                file, url, reason = others
                passed_over.append((url, reason))
            else:
                tried = dict.fromkeys((*passed_over, *record.passed_over))
                return replace(record, urls=self.file.urls, passed_over=tuple(tried))

    def _read(self, file: SourceFile) -> FileMetadata:
        if self.weight_branch is None:
            return read_data_file(file, self.tree_name, branches=self.branches)
        return read_simulation_file(
            file,
            self.tree_name,
            self.weight_branch,
            branches=self.branches,
            weight_sums=self.weight_sums,
        )


@dataclass(frozen=True)
class DatasetMetadata:
    """The facts of a dataset's files, in the order of the dataset."""

    dataset: Dataset
    files: tuple[FileMetadata, ...]

    @cached_property
    def good(self) -> tuple[FileMetadata, ...]:
        """Files that can be read."""
        return tuple(record for record in self.files if record.error is None)

    @cached_property
    def failed(self) -> tuple[FileMetadata, ...]:
        """Files that cannot, with the reason."""
        return tuple(record for record in self.files if record.error is not None)

    @property
    def entries(self) -> int:
        """Entries of the files that can be read."""
        return sum(record.entries or 0 for record in self.good)

    @property
    def twice(self) -> list[tuple[str, str]]:
        """Names of ROOT files that are the same file: equal in uuid, size and entries."""
        names: dict[tuple[str | None, int | None, int | None], str] = {}
        pairs = []
        for record in self.good:
            if record.format != "parquet":
                first = names.setdefault((record.uuid, record.size, record.entries), record.name)
                pairs += [(first, record.name)] if first != record.name else []
        return pairs

    @property
    def branches(self) -> frozenset[str] | None:
        """Columns of the first file that was looked at; None if none was."""
        names = next((record.branches for record in self.good if record.branches is not None), None)
        return None if names is None else frozenset(names)


def notes_on_shared_files(metadata: Sequence[DatasetMetadata]) -> Iterator[str]:
    """Yield a warning for datasets that have ROOT files in common, as a pattern that is too wide makes them."""
    owners: dict[tuple[str | None, int | None, int | None], str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for one in metadata:
        for record in one.good:
            if record.format != "parquet" and record.entries:
                owner = owners.setdefault((record.uuid, record.size, record.entries), one.dataset.name)
                if owner != one.dataset.name:
                    shared.setdefault((owner, one.dataset.name), []).append(record.name)
    for (first, second), names in shared.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield f"{masked_text(names[0])}{more} of {second} is in {first} too: events count in both"


def read_metadata(
    manager: DatasetManager,
    store: MetadataStore,
    run: Callable[[Sequence[MetadataTask]], Iterator[tuple[MetadataTask, FileMetadata]]],
    *,
    refresh: bool = True,
    weight_sums: Mapping[str, Sequence[str]] | None = None,
) -> list[DatasetMetadata]:
    """Return the metadata of all datasets; files that are unknown, changed or failed before are read.

    So are files of which a sum of weights is wanted that was not looked for before.

    Parameters
    ----------
    manager
        The datasets with their files.
    store
        What is known already; it is kept up to date while results come in.
    run
        Runs tasks somewhere and yields their results in any order.
    refresh
        False: read nothing and use what is stored.
    weight_sums
        Dataset -> branches of theory weights whose sums over generated events are wanted.

    Raises
    ------
    MetadataError
        If nothing may be read and the store does not cover the datasets.
    NoReachableReplicaError
        If not a single file of any dataset can be read.
    """
    known = _Known(store, weight_sums or {})
    tasks = [task for dataset in manager.datasets for task in _missing(dataset, manager, known)]
    if tasks and not refresh:
        _refuse(tasks, known, manager)
    elif tasks:
        _read_missing(tasks, store, manager, run)
        # the file that was to be looked at for its columns may have been a bad one: then another one tells
        looks = [task for dataset in manager.datasets for task in _look(dataset, manager, known)]
        if looks:
            _read_missing(looks, store, manager, run)
    result = [_collect(dataset, manager, known) for dataset in manager.datasets]
    if not any(one.good for one in result):
        raise NoReachableReplicaError(_nothing_readable(result, manager))
    return result


@dataclass(frozen=True)
class _Known:
    """What the store knows, as far as it is enough for what is wanted."""

    store: MetadataStore
    weight_sums: Mapping[str, Sequence[str]]
    """Dataset -> branches of theory weights whose sums are wanted."""

    def wanted(self, dataset: Dataset) -> tuple[str, ...]:
        return () if dataset.is_data else tuple(self.weight_sums.get(dataset.name, ()))

    def get(self, dataset: Dataset, file: SourceFile) -> FileMetadata | None:
        """Return the fresh record of a file, None if it does not know of all sums that are wanted."""
        record = self.store.get(dataset.name, source_key(dataset), file)
        return None if record is None or record.lacks(self.wanted(dataset)) else record

    def failed(self, dataset: Dataset, file: SourceFile) -> FileMetadata | None:
        return self.store.failed(dataset.name, source_key(dataset), file)


def forget_files(
    store: MetadataStore, dataset: Dataset, names: set[str], files: Sequence[SourceFile]
) -> None:
    """Make the records of some files stale, so that they are read again the next time."""
    replaced = [
        FileMetadata(file.name, file.urls, error="replaced since it was looked at")
        for file in files
        if file.name in names
    ]
    if replaced:
        store.put(dataset.name, source_key(dataset), replaced)


def source_key(dataset: Dataset) -> str:
    """Return what facts of a file depend on besides the file."""
    kind = "data" if dataset.is_data else f"simulation, weight {dataset.weight_branch}"
    return f"tree {dataset.tree_name}, {kind}"


def _missing(dataset: Dataset, manager: DatasetManager, known: _Known) -> list[MetadataTask]:
    """Return the tasks for files without facts; one file per dataset is looked at for its columns as well.

    So a misspelt column is found before events are read.
    """
    look = _look(dataset, manager, known)
    files = manager.files(dataset.name)
    tasks = [_task(dataset, file, known) for file in files if known.get(dataset, file) is None]
    if not tasks:
        return look
    has_columns = len(tasks) < len(files) and not look
    return tasks if has_columns else [replace(tasks[0], branches=True), *tasks[1:]]


def _look(dataset: Dataset, manager: DatasetManager, known: _Known) -> list[MetadataTask]:
    """Return the task that reads the columns of a known good file; nothing if they are known, or no file is."""
    records = {file: known.get(dataset, file) for file in manager.files(dataset.name)}
    good = [file for file, record in records.items() if record is not None]
    if not good or any(record is not None and record.branches for record in records.values()):
        return []
    return [replace(_task(dataset, good[0], known), branches=True)]


def _task(dataset: Dataset, file: SourceFile, known: _Known) -> MetadataTask:
    return MetadataTask(
        dataset.name,
        file,
        dataset.tree_name,
        dataset.weight_branch,
        branches=False,
        weight_sums=known.wanted(dataset),
    )


def _read_missing(
    tasks: Sequence[MetadataTask],
    store: MetadataStore,
    manager: DatasetManager,
    run: Callable[[Sequence[MetadataTask]], Iterator[tuple[MetadataTask, FileMetadata]]],
) -> None:
    pending: dict[str, list[FileMetadata]] = {}
    try:
        for task, record in run(tasks):
            mine = pending.setdefault(task.dataset, [])
            mine.append(record)
            known = store.count(task.dataset, source_key(manager[task.dataset]))
            if len(mine) >= max(_SAVE_EVERY, known // _SAVE_SHARE):
                store.put(task.dataset, source_key(manager[task.dataset]), mine)
                mine.clear()
    finally:
        for name, records in pending.items():
            if records:
                store.put(name, source_key(manager[name]), records)


def _collect(dataset: Dataset, manager: DatasetManager, known: _Known) -> DatasetMetadata:
    records = []
    for file in manager.files(dataset.name):
        record = known.get(dataset, file) or known.failed(dataset, file)
        records.append(
            record or FileMetadata(file.name, file.urls, error="no result came back for this file")
        )
    return DatasetMetadata(dataset, tuple(records))


def _refuse(tasks: Sequence[MetadataTask], known: _Known, manager: DatasetManager) -> None:
    """Raise if files are unknown that the run needs; known failures and unread column names may stay."""
    store = known.store
    unknown = [
        task
        for task in tasks
        if known.get(manager[task.dataset], task.file) is None
        and known.failed(manager[task.dataset], task.file) is None
    ]
    if unknown:
        message = (
            f"general.run_metadata_generation=False, but the metadata in {store.folder} do not cover, or not as they are now, {len(unknown)} "
            f"file(s), such as {unknown[0].file.name} of dataset {unknown[0].dataset!r}. Run once with "
            "general.run_metadata_generation=True."
        )
        raise MetadataError(message)


def _nothing_readable(result: Sequence[DatasetMetadata], manager: DatasetManager) -> str:
    redirectors = manager.get_redirector()
    files = [record for one in result for record in one.failed]
    where = f" behind {', '.join(redirectors)}" if redirectors else ""
    remedy = (
        "Check the network, the names and, for restricted files, the grid proxy; or point datasets.base_dir to a local "
        "folder."
        if any(is_url(url) for record in files for url in record.urls)
        else "Check the names, the permissions and tree_name."
    )
    # the same reason for many files is said once, with one of the names in it
    reasons = {
        (record.error or "").replace(record.name.lstrip("/"), ""): record for record in reversed(files)
    }
    lines = "\n".join(f"  {record.error}" for record in list(reasons.values())[-3:])
    return (
        f"none of {len(files)} input files can be read{where}:\n{lines}\n"
        f"{remedy} `intccms demo` runs without a network."
    )
