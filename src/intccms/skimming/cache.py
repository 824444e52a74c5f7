"""Local copies of remote skim parts, keyed by checksum, for workers that read the same part more than once."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.errors import InputFileError

if TYPE_CHECKING:
    from intccms.schema import Config
    from intccms.utils.storage import Storage

__all__ = ["cache_folder", "cached_copy", "check_content", "checksum_of_bytes", "checksum_of_file"]

logger = logging.getLogger(__name__)


def cache_folder(config: Config) -> Path | None:
    """Return where this machine keeps copies of skim parts, None if they are switched off."""
    if not config.general.read_from_cache:
        return None
    if config.general.cache_dir is not None:
        return config.general.cache_dir / "skims"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "intccms" / "skims"


def cached_copy(storage: Storage, name: str, checksum: str, folder: Path) -> Path | None:
    """Return the path of a local copy of a part, which is made if there is none, or if it is damaged.

    Processes may do so at the same time: each writes its own temporary, the last one to be renamed stays.

    Parameters
    ----------
    storage, name
        The part.
    checksum
        As the manifest has it; part of the copy's name.
    folder
        Where copies are kept.

    Returns
    -------
    pathlib.Path or None
        None, after one warning in the log, if the folder cannot be written.

    Raises
    ------
    FileNotFoundError
        If the part is absent.
    OutputError
        If the part cannot be read for another reason.
    InputFileError
        If the part has another checksum.
    """
    digest = checksum.removeprefix("sha256:")
    path = folder / digest[:2] / f"{digest}{Path(name).suffix}"
    if _is_sound(path, checksum):
        return path
    # read outside of the block below, whose errors are those of the local disk
    content = storage.get(name)
    check_content(checksum_of_bytes(content), checksum, storage.url(name))
    temporary = path.parent / f".{path.name}-{secrets.token_hex(6)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as exc:
        _warn_once(str(folder), exc.strerror or str(exc))
        _remove_quietly(temporary)
        return None
    return path


def checksum_of_bytes(content: bytes) -> str:
    """Return ``sha256:`` and the hexadecimal digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def checksum_of_file(path: Path) -> str:
    """Return the checksum of a local file, computed once per process while its size and change time stay."""
    status = path.stat()
    return _checksum(path, status.st_size, status.st_mtime_ns, status.st_ino)


def check_content(got: str, expected: str, where: str) -> None:
    """Compare checksums.

    Raises
    ------
    InputFileError
        Naming the part, both checksums and the remedy.
    """
    if got != expected:
        message = (
            f"skim part {where} is not the one that was recorded: its checksum is {got}, expected {expected}. "
            "Write it again with general.run_skimming=True."
        )
        raise InputFileError(message)


@lru_cache(maxsize=100_000)
def _checksum(path: Path, size: int, changed: int, inode: int) -> str:
    del size, changed, inode  # parts of the key: a file that was written anew is read anew
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _is_sound(path: Path, checksum: str) -> bool:
    try:
        return checksum_of_file(path) == checksum
    except OSError:
        return False


@lru_cache(maxsize=64)
def _warn_once(folder: str, reason: str) -> None:
    logger.warning(
        "skim parts are read from where they are: no copy can be kept in %s (%s). Set general.cache_dir to a folder "
        "with space, or general.read_from_cache=False.",
        folder,
        reason,
    )


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder cannot be written, which has been said
