"""Writes skim parts to a storage and reads them back, after making sure that they are those that were written.

What the files look like inside is the business of the formats.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np

from intccms.datasets.reading import UNREADABLE
from intccms.errors import BrokenFileError, ConfigError, InputFileError, OutputError
from intccms.skimming.cache import cached_copy, check_content, checksum_of_bytes, checksum_of_file
from intccms.skimming.formats import format_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.datasets.sources import EventSource
    from intccms.skimming.formats import PartFormat
    from intccms.utils.storage import Storage

__all__ = ["PartFile", "check_options", "fetch_part", "open_part", "write_part"]

_REWRITE = "Write it again with general.run_skimming=True."


class PartFile(NamedTuple):
    """What is noted of a file that was written."""

    size: int
    """Size [bytes]."""
    checksum: str
    """``sha256:`` and the hexadecimal digest of its bytes."""
    changed: int
    """Time of its last change [ns since 1970]; 0 where it is not local."""


def write_part(
    form: PartFormat,
    blocks: Sequence[Mapping[str, Any]],
    storage: Storage,
    name: str,
    options: Mapping[str, Any],
    runs: Mapping[str, Any] | None = None,
) -> PartFile:
    """Write one part, or several into one file, and return what is to be noted of it; equal columns give equal bytes.

    Parameters
    ----------
    form
        The format.
    blocks
        The columns of each part, as `flat_columns` returns them.
    storage, name
        Where.
    options
        ``to_kwargs`` of the configuration, over the defaults of the format.
    runs
        Columns of the tree `Runs`, for formats that keep it.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ConfigError
        If the options are refused.
    """
    with storage.staged(name) as temporary:
        form.write(blocks, temporary, options, runs)
        status = temporary.stat()
        changed = status.st_mtime_ns if storage.is_local else 0  # renaming does not touch it
        return PartFile(status.st_size, checksum_of_file(temporary), changed)


def fetch_part(storage: Storage, name: str, written: PartFile, cache: Path | None = None) -> Path | bytes:
    """Return a local file, or the bytes of a remote one, after making sure that it is the part that was recorded.

    Parameters
    ----------
    storage, name
        Where it is.
    written
        As the manifest has it. A local file with the same time of change is not read for its checksum.
    cache
        Where to keep a local copy of a remote part; None: the part is read into memory each time.

    Raises
    ------
    InputFileError
        If the part is gone, was changed or cannot be read; it says how to have it written again.
    """
    where = storage.url(name)
    try:
        return _verified(storage, name, written, cache)
    except FileNotFoundError as exc:
        message = f"skim part {where} is gone; expected {written.size} bytes with checksum {written.checksum}. {_REWRITE}"
        raise InputFileError(message) from exc
    except OutputError as exc:
        message = f"cannot read skim part {where}: {exc}"
        raise InputFileError(message) from exc


def open_part(
    form: PartFormat,
    target: Path | bytes,
    where: str,
    written: PartFile,
    *,
    from_kwargs: Mapping[str, Any] | None = None,
    first: int = 0,
    entries: int | None = None,
) -> EventSource:
    """Open a part that was fetched.

    Parameters
    ----------
    form
        The format.
    target
        What `fetch_part` returned.
    where
        What the source shall say of its place.
    written
        As the manifest has it.
    from_kwargs
        Further options of the library that reads.
    first, entries
        Rows of the part in a file of several; None: all that follow.

    Raises
    ------
    InputFileError
        If the part cannot be read; it says how to have it written again.
    """
    uuid = written.checksum.removeprefix("sha256:")[:32]
    try:
        return form.open(
            target,
            url=where,
            uuid=uuid,
            size=written.size,
            options=from_kwargs or {},
            first=first,
            entries=entries,
        )
    except UNREADABLE as exc:
        reason = " ".join(str(exc).split())
        message = f"cannot read skim part {where} as {form.name}: {reason}. {_REWRITE}"
        raise InputFileError(message) from exc


def check_options(format_name: str, to_kwargs: Mapping[str, Any], from_kwargs: Mapping[str, Any]) -> None:
    """Write and read three events with the configured options, so that wrong ones are found before a run.

    Raises
    ------
    ConfigError
        Naming the option, or with the words of the library that refused it.
    """
    form = format_named(format_name)
    columns = {"event": ak.Array(np.arange(3)), "nThing": ak.Array(np.array([1, 0, 2], dtype=np.int32))}
    columns["Thing_x"] = ak.Array([[1.0], [], [2.0, 3.0]])
    with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
        path = Path(folder) / f"trial.{form.extension}"
        form.write([columns], path, to_kwargs)
        try:
            source = form.open(path, url=str(path), uuid="", size=0, options=from_kwargs)
            events = source.events(columns, 0, 3, {})
            found = [events.event.tolist(), ak.flatten(events.Thing.x).tolist()]
        except UNREADABLE as exc:
            cause = (exc.__cause__ or exc) if isinstance(exc, BrokenFileError) else exc
            message = f"preprocess.skimming.output.from_kwargs: {type(cause).__name__}: {cause}"
            raise ConfigError(message) from exc
    if found != [[0, 1, 2], [1.0, 2.0, 3.0]]:
        message = (
            f"preprocess.skimming.output: with to_kwargs {sorted(to_kwargs)} and from_kwargs {sorted(from_kwargs)}, "
            f"three events read back as {found}. Leave out the option that changes values."
        )
        raise ConfigError(message)


def _verified(storage: Storage, name: str, written: PartFile, cache: Path | None) -> Path | bytes:
    """Return a local file, or the bytes of a remote one, with the right checksum."""
    where, checksum = storage.url(name), written.checksum
    if storage.is_local:
        path = storage.local_path(name)
        status = path.stat()
        if status.st_size != written.size:  # no need to read it
            message = f"skim part {where} has {status.st_size} bytes, expected {written.size}. {_REWRITE}"
            raise InputFileError(message)
        if status.st_mtime_ns != written.changed:
            check_content(checksum_of_file(path), checksum, where)
        return path
    if cache is not None:
        copy = cached_copy(storage, name, checksum, cache)
        if copy is not None:
            return copy
    content = storage.get(name)
    check_content(checksum_of_bytes(content), checksum, where)
    return content
