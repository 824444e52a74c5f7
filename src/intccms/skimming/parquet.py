"""Skim parts as parquet files of flat columns."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import awkward as ak
import pyarrow as pa

from intccms.datasets.parquet_input import ParquetEvents
from intccms.datasets.sources import EventSource
from intccms.errors import ConfigError
from intccms.utils.storage import evaluated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
        # the file system has been asked already
        chosen = {key: value for key, value in options.items() if key != "storage_options"}
        file = ParquetEvents(lambda: _opened(target), url, evaluated(chosen))
        source = EventSource(url, uuid, "parquet", file.rows, size, file.columns, file.events, file.arrays)
        return source.part(first, file.rows - first if entries is None else entries)


def _opened(target: Path | bytes) -> Any:
    return pa.BufferReader(target) if isinstance(target, bytes) else target


def _failed_write(exc: BaseException | None) -> OSError | None:
    """Return the failed write behind an error; closing a file that could not be written (disk full) raises another."""
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc
