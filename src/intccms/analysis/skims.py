"""Skim parts as workers write and read them."""

from __future__ import annotations

import functools
import json
import operator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from intccms.metadata.lumis import union
from intccms.selection import Cutflow
from intccms.skimming.ahead import ReadAhead
from intccms.skimming.cache import cache_folder
from intccms.skimming.flat import concatenated, flat_columns, made_columns, packed_columns
from intccms.skimming.formats import format_named
from intccms.skimming.part_files import PartFile, fetch_part, open_part, write_part
from intccms.skimming.parts import SkimPart
from intccms.skimming.places import skim_storage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from intccms.analysis.columns import Columns
    from intccms.analysis.results import Chunk, DatasetSums, PartTarget
    from intccms.datasets import EventSource
    from intccms.metadata import LumiRanges
    from intccms.schema import Config
    from intccms.schema.preprocess import SkimOutput
    from intccms.skimming.columns import BranchList
    from intccms.skimming.formats import PartFormat
    from intccms.utils.storage import Storage

__all__ = ["PartPiece", "SkimIO", "part_from_bytes", "part_to_bytes"]


class PartPiece(NamedTuple):
    """What a skim keeps of some entries of a chunk."""

    columns: dict[str, Any]
    """Flat columns of the events left."""
    kept: int
    """Number of those events."""
    sumw: float
    """Sum of generator weights of the entries before any cut."""
    steps: Cutflow
    """Up to and including the skim."""
    lumis: LumiRanges
    """Run and lumi-section content of the entries (data)."""


class SkimIO:
    """Writes and reads the parts of a configuration's skims.

    Parameters
    ----------
    config
        Says with which options they are written and read.
    folder
        Where they are.
    """

    def __init__(self, config: Config, folder: str) -> None:
        self._config = config
        self._folder = folder
        self._ahead: ReadAhead[Path | bytes] = ReadAhead()

    def piece(
        self,
        columns: Columns,
        source: EventSource,
        branches: BranchList,
        entries: tuple[int, int],
        sums: DatasetSums,
    ) -> PartPiece:
        """Return what is to be written of some entries of a chunk.

        Parameters
        ----------
        columns
            The events that the skim left of them.
        source, branches
            Where they come from, and the branches to write.
        entries
            First entry, and the entry after the last one.
        sums
            What is known of the entries so far: number, weights and cutflow up to the skim.

        Raises
        ------
        ConfigError, FunctorError
            If a column cannot be written.
        """
        flat = _flat(columns, source, branches, entries)
        # a copy: the steps after the skim are yet to come
        steps = Cutflow(dict(sums.common.steps), sums.common.mixed)
        return PartPiece(flat, len(columns), sums.sumw, steps, sums.lumis)

    def write(
        self,
        pieces: Sequence[PartPiece],
        source: EventSource,
        branches: BranchList,
        chunk: Chunk,
        target: PartTarget,
    ) -> SkimPart:
        """Write the part of a chunk, and return what there is to know of it.

        Parameters
        ----------
        pieces
            Of all its entries, in order.
        source, branches
            As for `piece`.
        chunk, target
            The chunk, and the part that it becomes.

        Raises
        ------
        OutputError
            If the part cannot be written.
        """
        path, file = None, PartFile(0, "", 0)
        made: tuple[str, ...] = ()
        kept = sum(piece.kept for piece in pieces)
        runs = _runs(source, chunk) if self._format.keeps_runs else None
        if kept or _has_rows(runs):
            name, options = f"{chunk.dataset}/{target.path}", self._output.to_kwargs
            flat = concatenated([piece.columns for piece in pieces])
            file = write_part(self._format, [flat], self._to, name, options, runs)
            path, made = target.path, _made(set(flat), source.branches)
        steps = functools.reduce(operator.add, [piece.steps for piece in pieces]).steps
        return SkimPart(
            start=chunk.start,
            stop=chunk.stop,
            kept=kept,
            sumw=sum(piece.sumw for piece in pieces),
            steps=tuple((name, *left) for name, left in steps.items()),
            path=path,
            size=file.size,
            checksum=file.checksum,
            changed=file.changed,
            absent_triggers=branches.absent_triggers,
            made=made,
            lumis=union(piece.lumis for piece in pieces),
        )

    def fetch(self, dataset: str, part: SkimPart) -> None:
        """Begin to fetch a part that is read next, if it is behind a server; errors are those of reading it."""
        if part.path is not None and not self._from.is_local:
            self._ahead.begin(_key(dataset, part), partial(self._fetched, dataset, part))

    def read(self, dataset: str, part: SkimPart) -> EventSource:
        """Return the events of a part.

        Raises
        ------
        InputFileError
            If it is gone, or not the one that was written.
        """
        fetch = partial(self._fetched, dataset, part)
        return open_part(
            self._format,
            fetch() if self._from.is_local else self._ahead.take(_key(dataset, part), fetch),
            self._from.url(f"{dataset}/{part.path}"),
            _written(part),
            from_kwargs=self._output.from_kwargs,
            first=part.first,
            entries=part.kept,
        )

    def _fetched(self, dataset: str, part: SkimPart) -> Path | bytes:
        return fetch_part(self._from, f"{dataset}/{part.path}", _written(part), cache_folder(self._config))

    @cached_property
    def _output(self) -> SkimOutput:
        return self._config.preprocess.skimming.output

    @cached_property
    def _format(self) -> PartFormat:
        return format_named(self._output.format)

    @cached_property
    def _to(self) -> Storage:
        return skim_storage(self._config, self._folder)

    @cached_property
    def _from(self) -> Storage:
        return skim_storage(self._config, self._folder, reading=True)


def _key(dataset: str, part: SkimPart) -> tuple[str, str | None, str]:
    """Return what identifies the file of a part, which may hold its neighbours too."""
    return dataset, part.path, part.checksum


def _written(part: SkimPart) -> PartFile:
    return PartFile(part.size, part.checksum, part.changed)


def _flat(
    columns: Columns, source: EventSource, branches: BranchList, entries: tuple[int, int]
) -> dict[str, Any]:
    names = branches.names & source.branches

    def selected(wanted: Collection[str]) -> dict[str, Any]:
        arrays = source.arrays(wanted, *entries)
        return {name: values[columns.positions] for name, values in arrays.items()}

    def types(wanted: Collection[str]) -> dict[str, Any]:
        return source.arrays(wanted, entries[0], entries[0])

    if columns.positions is None:
        return made_columns(columns.events, names, types)
    return flat_columns(columns.events, names, selected)


def _made(names: set[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the columns that a source does not have, with ``X_*`` for collections of which it has nothing."""
    made = names - set(known)
    old = {name.partition("_")[0] for name in known}
    new = {
        f"{name.partition('_')[0]}_*" for name in made if "_" in name and name.partition("_")[0] not in old
    }
    return tuple(sorted(made | new))


def _runs(source: EventSource, chunk: Chunk) -> dict[str, Any] | None:
    """Return the tree `Runs` for a part: whole for the first chunk of a file, so that sums over its parts are right.

    The others get its columns without rows.
    """
    if source.runs is None:
        return None
    packed = packed_columns(source.runs)
    return packed if chunk.start == 0 else {name: values[:0] for name, values in packed.items()}


def _has_rows(columns: dict[str, Any] | None) -> bool:
    return columns is not None and any(len(values) for values in columns.values())


def part_to_bytes(part: SkimPart) -> bytes:
    """Return the facts of a part, as they stand in the ledger."""
    return json.dumps(part.to_json()).encode()


def part_from_bytes(content: bytes) -> SkimPart:
    """Return what `part_to_bytes` was given.

    Raises
    ------
    ValueError
        If it is something else.
    """
    return SkimPart.from_json(json.loads(content))
