"""What the file systems of fsspec do not do alike: uploads that appear whole, sizes, times and errors."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["change_time", "is_temporary", "remote_size", "storage_errors", "temporary_name", "upload"]

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"})
"""Protocols whose uploads become visible when they are complete; a move would copy everything once more."""

_TEMPORARY = ".tmp"


def temporary_name(name: str) -> str:
    """Return a name beside another one, new each time, that listings leave out."""
    return f".{name}-{secrets.token_hex(6)}{_TEMPORARY}"


def is_temporary(name: str) -> bool:
    """Tell whether a path is one that `temporary_name` gave."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(_TEMPORARY)


def upload(fs: Any, local: Path, path: str) -> None:
    """Put a local file into a file system, where it appears when all of it has arrived."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if "memory" in protocols:
        fs.pipe_file(path, local.read_bytes())  # its `put_file` fills a file that can already be seen
        return
    if protocols & _OBJECT_STORES:
        fs.put_file(str(local), path)
        return
    parent, _, last = path.rpartition("/")
    fs.makedirs(parent, exist_ok=True)
    temporary = f"{parent}/{temporary_name(last)}"
    try:
        fs.put_file(str(local), temporary)
        _move(fs, temporary, path)
    except BaseException:
        _remove_quietly(fs, temporary)
        raise


def remote_size(fs: Any, path: str) -> int:
    """Return the size of a file [bytes].

    Raises
    ------
    FileNotFoundError
        If it is absent.
    """
    fs.invalidate_cache(fs._parent(path))  # noqa: SLF001 - fsspec has no other way to name a parent
    try:
        return int(fs.info(path)["size"])
    except FileNotFoundError:
        raise
    except OSError as exc:
        # XRootD says the same of a file that is absent and of one that cannot be reached, but not here
        if type(fs).__name__ == "XRootDFileSystem" and not fs.exists(path):
            raise FileNotFoundError(path) from exc
        raise


def storage_errors() -> tuple[type[BaseException], ...]:
    """Return what file systems raise; the libraries named here have bases of their own and may not be installed."""
    found: list[type[BaseException]] = [OSError, NotImplementedError]
    for module, names in (
        ("botocore.exceptions", ("BotoCoreError", "ClientError")),
        ("aiohttp", ("ClientError",)),
        ("google.auth.exceptions", ("GoogleAuthError",)),
        ("azure.core.exceptions", ("AzureError",)),
        ("fsspec.exceptions", ("BlocksizeMismatchError", "FSTimeoutError")),
    ):
        if module in sys.modules:  # only what was imported can have been raised
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def change_time(info: Mapping[str, Any]) -> float:
    """Return when a file changed [s since 1970], infinity where the file system does not tell."""
    for key in ("mtime", "LastModified", "last_modified", "modified", "created"):
        value = info.get(key)
        if isinstance(value, int | float):
            return float(value)
        if value is not None and hasattr(value, "timestamp"):
            return float(value.timestamp())
    return float("inf")


def _move(fs: Any, temporary: str, path: str) -> None:
    try:
        fs.mv(temporary, path)
    except OSError:
        # servers that do not replace what exists (XRootD): for a moment there is no file, never half of one
        if not fs.exists(path) or not fs.exists(temporary):
            raise
        fs.rm_file(path)
        fs.mv(temporary, path)


def _remove_quietly(fs: Any, path: str) -> None:
    try:
        fs.rm_file(path)
    except OSError:
        return  # it is a leftover with a name that listings ignore; the error that led here matters more
