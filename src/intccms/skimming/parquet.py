"""Writes and reads skim parts as parquet files of flat columns."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from coffea.nanoevents import NanoEventsFactory

from intccms.datasets.nanoevents import Schema, quiet_schema
from intccms.datasets.sources import UNREADABLE, EventSource
from intccms.errors import ConfigError, InputFileError, OutputError
from intccms.skimming.cache import (
    cached_copy,
    check_content,
    checksum_of_bytes,
    checksum_of_file,
)
from intccms.utils.storage import evaluated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from intccms.utils.storage import Storage

__all__ = ["EXTENSION", "check_options", "read_part", "write_part"]

EXTENSION = "parquet"

_DEFAULTS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 5,
    "extensionarray": False,
    "parquet_byte_stream_split": True,
}
"""As fast to read as without, and a quarter smaller: bytes of floating-point numbers compress better side by side."""

_WITH_LEVELS = frozenset({"zstd", "gzip", "brotli"})

_REWRITE = "Write it again with general.run_skimming=True."


def write_part(
    columns: Mapping[str, Any], storage: Storage, name: str, options: Mapping[str, Any]
) -> tuple[int, str]:
    """Write one part and return its size [bytes] and its checksum; equal columns give equal bytes.

    Parameters
    ----------
    columns
        As `flat_columns` returns them.
    storage, name
        Where.
    options
        ``to_kwargs`` of the configuration, over the defaults (zstd at level 5, byte streams split).

    Raises
    ------
    OutputError
        If the file cannot be written.
    ConfigError
        If the options are refused.
    """
    with storage.staged(name) as temporary:
        _write(columns, temporary, options)
        size, checksum = temporary.stat().st_size, checksum_of_file(temporary)
    return size, checksum


def read_part(
    storage: Storage,
    name: str,
    *,
    checksum: str,
    size: int,
    cache: Path | None = None,
    from_kwargs: Mapping[str, Any] | None = None,
) -> EventSource:
    """Open one part, after making sure that it is the one that was recorded.

    Parameters
    ----------
    storage, name
        Where it is.
    checksum, size
        As the manifest has them; the size [bytes].
    cache
        Where to keep a local copy of a remote part; None: the part is read into memory each time.
    from_kwargs
        Further options of ``NanoEventsFactory.from_parquet``.

    Raises
    ------
    InputFileError
        If the part is gone, was changed or cannot be read; it says how to have it written again.
    """
    where = storage.url(name)
    try:
        target = _verified(storage, name, checksum, size, cache)
    except FileNotFoundError as exc:
        message = f"skim part {where} is gone; expected {size} bytes with checksum {checksum}. {_REWRITE}"
        raise InputFileError(message) from exc
    except OutputError as exc:
        message = f"cannot read skim part {where}: {exc}"
        raise InputFileError(message) from exc
    try:
        footer = pq.read_metadata(_opened(target))
        schema = pq.read_schema(_opened(target))
    except UNREADABLE as exc:
        message = f"cannot read skim part {where} as parquet: {exc}. {_REWRITE}"
        raise InputFileError(message) from exc
    reader = _Reader(target, dict(from_kwargs or {}))
    uuid = checksum.removeprefix("sha256:")[:32]
    names = frozenset(schema.names)
    return EventSource(
        where, uuid, "parquet", int(footer.num_rows), size, names, reader.events, reader.arrays
    )


def check_options(to_kwargs: Mapping[str, Any], from_kwargs: Mapping[str, Any]) -> None:
    """Write and read three events with the configured options, so that wrong ones are found before a run.

    Raises
    ------
    ConfigError
        Naming the option, or with the words of the library that refused it.
    """
    columns = {"event": ak.Array(np.arange(3)), "nThing": ak.Array(np.array([1, 0, 2], dtype=np.int32))}
    columns["Thing_x"] = ak.Array([[1.0], [], [2.0, 3.0]])
    with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
        path = Path(folder) / "trial.parquet"
        _write(columns, path, to_kwargs)
        try:
            events = _Reader(path, dict(from_kwargs)).events(frozenset(columns), 0, 3)
            found = [events.event.tolist(), ak.flatten(events.Thing.x).tolist()]
        except UNREADABLE as exc:
            message = f"preprocess.skimming.output.from_kwargs: {type(exc).__name__}: {exc}"
            raise ConfigError(message) from exc
    if found != [[0, 1, 2], [1.0, 2.0, 3.0]]:
        message = (
            f"preprocess.skimming.output: with to_kwargs {sorted(to_kwargs)} and from_kwargs {sorted(from_kwargs)}, "
            f"three events read back as {found}. Leave out the option that changes values."
        )
        raise ConfigError(message)


class _Reader:
    """Makes events and arrays of one parquet file, on disk or in memory."""

    def __init__(self, target: Path | bytes, options: dict[str, Any]) -> None:
        self._target = target
        # the file system has been asked already
        self._options = {key: value for key, value in options.items() if key != "storage_options"}

    def events(self, branches: frozenset[str], start: int, stop: int) -> Any:
        """Return NanoEvents; no column is left out, because finding columns costs nothing here."""
        del branches
        options = {"schemaclass": Schema, **evaluated(self._options)}
        with quiet_schema():
            factory = NanoEventsFactory.from_parquet(
                _opened(self._target), entry_start=start, entry_stop=stop, metadata={}, **options
            )
        return factory.events()

    def arrays(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Return plain arrays."""
        names = list(columns)
        table = pq.ParquetFile(_opened(self._target)).read(names, use_threads=False)
        found = ak.from_arrow(table)[start:stop]
        return {name: found[name] for name in names}


def _opened(target: Path | bytes) -> Any:
    return pa.BufferReader(target) if isinstance(target, bytes) else target


def _verified(storage: Storage, name: str, checksum: str, size: int, cache: Path | None) -> Path | bytes:
    """Return a local file, or the bytes of a remote one, with the right checksum."""
    where = storage.url(name)
    if storage.is_local:
        path = storage.local_path(name)
        found = path.stat().st_size
        if found != size:  # no need to read it
            message = f"skim part {where} has {found} bytes, expected {size}. {_REWRITE}"
            raise InputFileError(message)
        check_content(checksum_of_file(path), checksum, where)
        return path
    if cache is not None:
        copy = cached_copy(storage, name, checksum, cache)
        if copy is not None:
            return copy
    content = storage.get(name)
    check_content(checksum_of_bytes(content), checksum, where)
    return content


def _write(columns: Mapping[str, Any], path: Path, options: Mapping[str, Any]) -> None:
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
    array = ak.zip({name: columns[name] for name in columns}, depth_limit=1)
    try:
        ak.to_parquet(array, str(path), **evaluated(chosen))
    except (TypeError, ValueError, LookupError, RuntimeError, pa.ArrowException) as exc:
        if (failure := _failed_write(exc)) is not None:
            raise failure from None
        reason = f"{type(exc).__name__}: {' '.join(str(exc).partition('This error')[0].split())[:300]}"
        message = f"awkward.to_parquet refuses: {reason}. Correct preprocess.skimming.output.to_kwargs."
        raise ConfigError(message) from exc


def _failed_write(exc: BaseException | None) -> OSError | None:
    """Return the failed write behind an error; closing a file that could not be written (disk full) raises another."""
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc
