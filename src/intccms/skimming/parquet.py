"""Skim parts as parquet files of flat columns."""

from __future__ import annotations

import inspect
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
from coffea.nanoevents import NanoEventsFactory

from intccms.datasets.nanoevents import Schema, quiet_schema
from intccms.datasets.sources import EventSource
from intccms.errors import ConfigError
from intccms.utils.storage import evaluated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Parquet"]

_DEFAULTS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 5,
    "extensionarray": False,
    "parquet_byte_stream_split": True,
}
"""As fast to read as without, and a quarter smaller: bytes of floating-point numbers compress better side by side."""

_WITH_LEVELS = frozenset({"zstd", "gzip", "brotli"})


class Parquet:
    """Written by ``awkward.to_parquet``, read by ``NanoEventsFactory.from_parquet``; has no place for `Runs`."""

    name = "parquet"
    extension = "parquet"
    keeps_runs = False

    def write(
        self,
        blocks: Sequence[Mapping[str, Any]],
        path: Path,
        options: Mapping[str, Any],
        runs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write columns to a local file, as `PartFormat.write` describes it."""
        del runs
        chosen = {**_DEFAULTS, **{key: value for key, value in options.items() if key != "storage_options"}}
        known = set(inspect.signature(ak.to_parquet).parameters)
        if unknown := sorted(set(chosen) - known):
            message = (
                f"preprocess.skimming.output.to_kwargs: awkward.to_parquet has no option {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known - {'array', 'destination'}))}."
            )
            raise ConfigError(message)
        if "compression_level" not in options and str(chosen["compression"]).lower() not in _WITH_LEVELS:
            chosen["compression_level"] = None
        arrays = [ak.zip(dict(columns), depth_limit=1) for columns in blocks]
        try:
            if len(arrays) == 1:
                ak.to_parquet(arrays[0], str(path), **evaluated(chosen))
            else:  # a row group for each part, so that one can be read without the others
                ak.to_parquet_row_groups(iter(arrays), str(path), **evaluated(chosen))
        except (TypeError, ValueError, LookupError, RuntimeError, pa.ArrowException) as exc:
            if (failure := _failed_write(exc)) is not None:
                raise failure from None
            reason = f"{type(exc).__name__}: {' '.join(str(exc).partition('This error')[0].split())[:300]}"
            message = f"awkward.to_parquet refuses: {reason}. Correct preprocess.skimming.output.to_kwargs."
            raise ConfigError(message) from exc

    def open(
        self,
        target: Path | bytes,
        *,
        url: str,
        uuid: str,
        size: int,
        options: Mapping[str, Any],
        first: int = 0,
        entries: int | None = None,
    ) -> EventSource:
        """Open a file, as `PartFormat.open` describes it."""
        footer = pq.read_metadata(_opened(target))
        names = frozenset(footer.schema.to_arrow_schema().names)
        rows = int(footer.num_rows) - first if entries is None else entries
        groups = None if rows == footer.num_rows else _groups(footer, first, rows)
        reader = _Reader(target, options, groups)
        return EventSource(url, uuid, "parquet", rows, size, names, reader.events, reader.arrays)


class _Rows(pq.ParquetFile):
    """A parquet file of which there are only some row groups."""

    def __init__(self, target: Any, groups: Sequence[int], **options: Any) -> None:
        super().__init__(target, **options)
        self._groups = list(groups)

    def read(self, columns: Any = None, **options: Any) -> Any:
        """Read columns of the row groups."""
        return self.read_row_groups(self._groups, columns, **options)


class _Reader:
    """Makes events and arrays of one parquet file, or of some row groups of it, on disk or in memory."""

    def __init__(
        self, target: Path | bytes, options: Mapping[str, Any], groups: Sequence[int] | None
    ) -> None:
        self._target, self._groups = target, groups
        # the file system has been asked already
        self._options = {key: value for key, value in options.items() if key != "storage_options"}

    def events(self, branches: frozenset[str], start: int, stop: int) -> Any:
        """Return NanoEvents; no column is left out, because finding columns costs nothing here."""
        del branches
        options = {"schemaclass": Schema, **evaluated(self._options)}
        target = _opened(self._target)
        if self._groups is not None:
            target = _Rows(target, self._groups, **options.pop("parquet_options", {}))
        with quiet_schema():
            factory = NanoEventsFactory.from_parquet(
                target, entry_start=start, entry_stop=stop, metadata={}, **options
            )
        return factory.events()

    def arrays(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Return plain arrays."""
        names, target = list(columns), _opened(self._target)
        file = pq.ParquetFile(target) if self._groups is None else _Rows(target, self._groups)
        found = ak.from_arrow(file.read(names, use_threads=False))[start:stop]
        return {name: found[name] for name in names}


def _groups(footer: Any, first: int, rows: int) -> list[int]:
    """Return the row groups that hold a range of rows.

    Raises
    ------
    ValueError
        If the range is not that of whole row groups.
    """
    begins = list(
        accumulate((footer.row_group(index).num_rows for index in range(footer.num_row_groups)), initial=0)
    )
    chosen = [index for index, begin in enumerate(begins[:-1]) if first <= begin < first + rows]
    if not chosen or begins[chosen[0]] != first or begins[chosen[-1] + 1] != first + rows:
        message = (
            f"rows {first} to {first + rows} are no row groups of the file, which begin at {begins[:20]}"
        )
        raise ValueError(message)
    return chosen


def _opened(target: Path | bytes) -> Any:
    return pa.BufferReader(target) if isinstance(target, bytes) else target


def _failed_write(exc: BaseException | None) -> OSError | None:
    """Return the failed write behind an error; closing a file that could not be written (disk full) raises another."""
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc
