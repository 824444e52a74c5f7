"""Runs one chunk again, here, so that what goes wrong can be looked at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.analysis.ledger import Place
from intccms.analysis.reopen import read_plan
from intccms.analysis.results import Work
from intccms.analysis.tasks import ProcessChunks
from intccms.errors import ConfigError
from intccms.schema.explain import did_you_mean
from intccms.schema.secrets import masked_text
from intccms.skimming.places import skim_folder
from intccms.utils.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intccms.analysis.ledger import DatasetPlan
    from intccms.analysis.results import Chunk, DatasetSums
    from intccms.schema import Config
    from intccms.utils.output import RunDirectory

__all__ = ["Replay", "find_chunk", "replay"]


@dataclass(frozen=True)
class Replay:
    """A chunk that went through."""

    chunk: Chunk
    sums: DatasetSums
    seconds: float
    """Wall time [s]."""


def find_chunk(directory: RunDirectory, plans: Sequence[DatasetPlan], label: str) -> Chunk:
    """Return the chunk that a report calls by a label such as ``ttbar/3/2``.

    Parameters
    ----------
    directory
        The run directory, which knows what the last run called so.
    plans
        The datasets with their chunks as they are now.
    label
        Dataset, position of the file, position of the chunk in it.

    Raises
    ------
    ConfigError
        If there is no such chunk.
    """
    dataset, _, rest = label.partition("/")
    index, _, number = rest.partition("/")
    wanted = {one["name"]: one for one in read_plan(directory)["datasets"]}
    if dataset not in wanted or not index.isdigit() or not number.isdigit():
        near = did_you_mean(dataset, wanted)
        message = f"no chunk {label!r}: expected dataset/file/chunk, such as {next(iter(wanted), 'data')}/0/0.{near}"
        raise ConfigError(message)
    file = next((one for one in wanted[dataset]["files"] if one["index"] == int(index)), None)
    if file is None or int(number) >= len(file["edges"]) - 1:
        message = (
            f"no chunk {label!r}: the last run had {_extent(wanted[dataset]['files'], file)} in {dataset!r}."
        )
        raise ConfigError(message)
    start = file["edges"][int(number)]
    for plan in plans:
        for one in plan.files if plan.name == dataset else ():
            for chunk in one.chunks:
                if (masked_text(chunk.file.name), chunk.start) == (file["name"], start):
                    return chunk
    message = (
        f"chunk {label!r} was the entries from {start} of {file['name']}, which the configuration no longer reads so. "
        "Run the analysis again for a new list of chunks."
    )
    raise ConfigError(message)


def _extent(files: Sequence[dict[str, list[int]]], file: dict[str, list[int]] | None) -> str:
    if file is None:
        return f"{len(files)} file{'' if len(files) == 1 else 's'}"
    count = len(file["edges"]) - 1
    return f"{count} chunk{'' if count == 1 else 's'} of that file"


def replay(config: Config, chunk: Chunk) -> Replay:
    """Process one chunk in this process, and raise whatever goes wrong; nothing is written."""
    channels = tuple(one.name for one in config.selected_channels()) if config.analyses else ()
    task = ProcessChunks(config, Place(Storage(str(config.general.output_dir)), ""), skim_folder(config))
    begin = time.monotonic()
    sums = task.sums(Work(chunk, channels, None))
    return Replay(chunk, sums, time.monotonic() - begin)
