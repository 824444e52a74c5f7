"""What a run reads: the metadata of the source, and the columns declared, checked before any event is read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from intccms.analysis.executors import Executor, Lost
from intccms.analysis.normalise import check_positions
from intccms.analysis.preflight import check_weights
from intccms.analysis.progress import show_progress
from intccms.analysis.report import Skipped
from intccms.analysis.scheduling import run_each
from intccms.datasets import DatasetManager
from intccms.errors import CredentialsError, MissingBranchError
from intccms.metadata import (
    FileMetadata,
    MetadataStore,
    MetadataTask,
    forget_files,
    notes_on_shared_files,
    read_metadata,
    wanted_sums,
)
from intccms.schema.secrets import masked_text
from intccms.selection.lumimask import check_golden_json
from intccms.skimming import ColumnPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from intccms.analysis.fold import DatasetFold
    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config

__all__ = ["check_columns", "column_notes", "forget_replaced", "left_out", "source_metadata"]

logger = logging.getLogger(__name__)


def source_metadata(
    config: Config,
    store: MetadataStore,
    executor: Callable[[], Executor],
    *,
    show: bool,
    before_reading: Callable[[], None],
) -> list[DatasetMetadata]:
    """Bring the metadata of all datasets up to date, and check the declared columns against them.

    Parameters
    ----------
    config
        The configuration.
    store
        What is known of files.
    executor
        Gives the executor when it is first needed.
    show
        Show progress bars.
    before_reading
        Called before any file is looked at, if one has to be: what takes shorter than that is to fail first.

    Raises
    ------
    ConfigError
        If a dataset is empty, a declared column is in none of the files looked at, or a position of theory weights is
        beyond those of a file.
    CredentialsError
        If a server does not accept the user.
    MetadataError, NoReachableReplicaError
        As `read_metadata`.
    """
    manager = DatasetManager(config)
    for dataset in manager.datasets:
        if not dataset.is_data:
            config.lumi_of(dataset)
        elif dataset.lumi_mask is not None:
            check_golden_json(dataset.lumi_mask)
        manager.files(dataset.name)

    def run(tasks: Sequence[MetadataTask]) -> Iterator[tuple[MetadataTask, FileMetadata]]:
        before_reading()
        with show_progress("metadata", len(tasks), "files", show=show) as advance:
            for done in run_each(executor(), MetadataTask.__call__, tasks):
                task, record = (done.item, _lost(done)) if isinstance(done, Lost) else done
                if isinstance(record, CredentialsError):
                    raise record
                advance(1, failures=int(record.error is not None))
                yield task, record

    metadata = read_metadata(
        manager,
        store,
        run,
        refresh=config.general.run_metadata_generation,
        weight_sums={dataset.name: wanted_sums(config, dataset) for dataset in manager.datasets},
    )
    check_columns(config, metadata)
    for one in metadata:
        check_positions(config, one)
    return metadata


def check_columns(config: Config, metadata: Sequence[DatasetMetadata]) -> None:
    """Refuse columns that no dataset has, and warn of triggers that none has.

    Raises
    ------
    ConfigError
        Naming the functor, the column and the nearest branches.
    """
    samples = [(one.branches, one.dataset.is_data) for one in metadata if one.branches is not None]
    plan = ColumnPlan(config)
    plan.check(samples)
    check_weights(metadata)
    looked = [(one.dataset, one.branches) for one in metadata if one.branches is not None]
    without = plan.check_corrections(looked)
    simulated = [
        one.dataset.name for one in metadata if one.dataset.is_data and "genWeight" in (one.branches or ())
    ]
    doubtful = [f"{name} is data, and its files have genWeight: are they simulation?" for name in simulated]
    shared = notes_on_shared_files(metadata)
    for warning in (*plan.absent_triggers(samples), *without, *doubtful, *shared):
        logger.warning("%s", warning)
    for note in plan.unsure(samples):  # a near name may be what was meant
        logger.log(logging.WARNING if "Did you mean" in note else logging.INFO, "%s", note)


def column_notes(
    config: Config, metadata: Sequence[DatasetMetadata], *, writes_skims: bool
) -> tuple[str, ...]:
    """Return how many columns are read, and go into skims; one line for datasets that are alike."""
    plan = ColumnPlan(config, everything=writes_skims)
    counts: dict[str, list[str]] = {}
    for one in metadata:
        if one.branches is not None:
            try:
                counts.setdefault(plan.counted(one.branches, one.dataset), []).append(one.dataset.name)
            except MissingBranchError:  # its chunks will fail, and say so
                continue
    verb = "read and written to skims" if writes_skims else "read"
    return tuple(f"{', '.join(names)}: {text} {verb}" for text, names in counts.items())


def forget_replaced(config: Config, store: MetadataStore, folds: Mapping[str, DatasetFold]) -> bool:
    """Have files that were replaced behind a URL looked at again by the next run, and tell whether there are any.

    Nothing else tells of them.
    """
    manager, found = DatasetManager(config), False
    for dataset in manager.datasets:
        names = {failure.chunk.file.name for failure in folds[dataset.name].failures if failure.replaced}
        if names:
            forget_files(store, dataset, names, manager.files(dataset.name))
            found = True
    return found


def left_out(config: Config) -> list[Skipped]:
    """Return the input that filters and limits leave out on purpose."""
    selected = {one.name for one in config.selected_datasets()}
    skipped = [
        Skipped(dataset.name, 0, None, "general.processes leaves the process out")
        for dataset in config.datasets.expand(config.general.weight_branch)
        if dataset.name not in selected
    ]
    if config.datasets.max_files is not None:
        manager = DatasetManager(config)
        for dataset in manager.datasets:
            more = len(manager.names(dataset.name)) - len(manager.files(dataset.name))
            if more:
                reason = f"datasets.max_files={config.datasets.max_files}"
                skipped.append(Skipped(dataset.name, more, None, reason))
    return skipped


def _lost(lost: Any) -> FileMetadata:
    file = lost.item.file
    return FileMetadata(file.name, file.urls, error=masked_text(f"reading it failed: {lost.reason}"))
