"""One pass over a file, as a worker does it, and the same over events that are in memory already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from intccms.analysis.processor import AnalysisProcessor
    from intccms.analysis.results import DatasetSums, Work
    from intccms.metadata import FileMetadata
    from intccms.schema import Config, Dataset

__all__ = ["InMemory", "metadata_of", "process", "skimmed_events", "work_on"]


def metadata_of(path: Path, *, weight_branch: str = "genWeight") -> FileMetadata:
    """Return the facts of a file that a run starts from."""
    from intccms.datasets import SourceFile
    from intccms.metadata.reader import read_simulation_file

    file = SourceFile(str(path), (str(path),))
    return read_simulation_file(file, "Events", weight_branch, branches=False)


def work_on(config: Config, record: FileMetadata, chunk_size: int) -> list[Work]:
    """Return all channels on all chunks of a file."""
    from intccms.analysis.chunks import files_of
    from intccms.analysis.results import Work
    from intccms.metadata import DatasetMetadata

    channels = tuple(one.name for one in config.selected_channels())
    metadata = DatasetMetadata(config.selected_datasets()[0], (record,))
    return [Work(chunk, channels, None) for file in files_of(metadata, chunk_size) for chunk in file.chunks]


def process(config: Config, work: Sequence[Work]) -> list[DatasetSums]:
    """Process chunks as a worker does that has just been given the file; nothing is committed."""
    from intccms.analysis.ledger import Place
    from intccms.analysis.tasks import ProcessChunks
    from intccms.datasets.sources import forget_sources
    from intccms.utils.storage import Storage

    forget_sources()
    task = ProcessChunks(config, Place(Storage("not-written"), ""), skims="not-written")
    return [task.sums(one) for one in work]


@dataclass(frozen=True)
class InMemory:
    """Events that the skim has left, and the analysis behind it."""

    config: Config
    """The configuration, without a skim."""
    dataset: Dataset
    events: Any
    absent_triggers: frozenset[str]
    processor: AnalysisProcessor

    def sums(self) -> DatasetSums:
        """Return the sums of the events; the first call reads the columns."""
        import numpy as np

        with np.errstate(all="ignore"):
            return self.processor.sums(self.events)


def skimmed_events(config: Config, path: Path, *, selected: int, skip: int = 0) -> InMemory:
    """Return the events of a file that pass the skim, as one chunk.

    Parameters
    ----------
    config
        The configuration, of one dataset.
    path
        A file of it.
    selected
        How many events to return.
    skip
        How many to leave out before.

    Raises
    ------
    ValueError
        If the file has fewer, or the configuration no skim.
    """
    import numpy as np

    from intccms.analysis.columns import Columns
    from intccms.analysis.processor import AnalysisProcessor
    from intccms.datasets import SourceFile, open_source
    from intccms.schema import load_config
    from intccms.selection import named_masks
    from intccms.skimming import ColumnPlan

    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    dataset = config.selected_datasets()[0]
    branches = ColumnPlan(config).branches(source.branches, dataset, where=str(path))
    absent = frozenset(branches.absent_triggers)
    metadata = {
        "dataset": dataset.name,
        "absent_triggers": branches.absent_triggers,
        "absent_corrections": branches.absent_corrections,
    }
    events = source.events(branches.names, 0, source.entries, metadata)
    skim = config.preprocess.skimming.functor()
    if skim is None:
        message = "the configuration has no skim, which the number of events is counted behind."
        raise ValueError(message)
    result = Columns(events, absent, positions=np.arange(len(events))).call(skim, "skim")
    passed = np.logical_and.reduce([mask for _, mask in named_masks(result, len(events), "skim")])
    wanted = np.flatnonzero(passed)[skip : skip + selected]
    if len(wanted) < selected:
        message = f"{path} has {len(wanted)} events behind the skim, not {selected}. Generate a larger file."
        raise ValueError(message)
    start, stop = int(wanted[0]), int(wanted[-1]) + 1
    kept = source.events(branches.names, start, stop, metadata)[wanted - start]
    parts = {name: getattr(config, name) for name in type(config).model_fields if name != "preprocess"}
    behind = load_config(parts | {"preprocess": {"branches": config.preprocess.branches}})
    return InMemory(behind, dataset, kept, absent, AnalysisProcessor(behind))
