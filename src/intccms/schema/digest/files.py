"""The content of files that a configuration or its functions name: payloads, masks, tables.

A file counts by its content in the place of its path, so the same file elsewhere is the same content. Folders,
addresses of remote files and names of files that do not exist count as written.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import time
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from intccms.schema.digest.forms import Form, UndigestibleError, leaf
from intccms.schema.digest.syntax import iter_codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType

__all__ = ["LARGE", "changed_files", "content_of_files", "files_in_code", "named_file", "noting"]

LARGE = 256 * 2**20
"""Size above which a file counts by size and time of change instead of its content [bytes]."""

_SETTLED = 2 * 10**9
"""Age of a file's last change from which a further change is sure to show in its time [ns]."""
_LONGEST = 4096
_REMEDY = "Make the file readable, or name another"


def named_file(value: object) -> Form | None:
    """Return the form of the file that a text with a suffix, or a path, names; None if it names none."""
    if type(value) is str:
        return _content(value) if _looks_like_file(value) else None
    return _content(str(value)) if isinstance(value, PurePath) else None


def files_in_code(code: CodeType, scope: Mapping[str, Any]) -> Iterator[tuple[str, Form]]:
    """Yield the files that literal texts in a function name, each with the text.

    Parameters
    ----------
    code
        Of the function; the functions inside it count as well.
    scope
        Its globals: names are also looked up beside the module, for ``Path(__file__).parent / "table.json"``.
    """
    texts = _texts(code)
    if not texts:
        return
    folders = _folders(code, scope)
    for text in texts:
        form = _content(text)
        for folder in folders:
            form = form or _content(os.path.join(folder, text))  # noqa: PTH118  an absolute text stays what it is
        if form is not None:
            yield text, form


def _folders(code: CodeType, scope: Mapping[str, Any]) -> list[str]:
    """Return the folders that a function may join a name to: that of its module, and those that it names itself."""
    module = scope.get("__file__")
    folders = [os.path.dirname(module)] if isinstance(module, str) and os.path.dirname(module) else []  # noqa: PTH120
    for inner in iter_codes(code):
        named = [scope[name] for name in inner.co_names if isinstance(scope.get(name), str | PurePath)]
        folders += [
            str(value) for value in named if 0 < len(str(value)) <= _LONGEST and _is_folder(str(value))
        ]
    parts = [text for inner in iter_codes(code) for text in _words(inner)]
    below = [os.path.join(folder, part) for folder in folders for part in parts]  # noqa: PTH118
    return list(dict.fromkeys([*folders, *filter(_is_folder, below)]))


@functools.lru_cache(maxsize=8192)
def _words(code: CodeType) -> tuple[str, ...]:
    """Return the short texts in a function that may be names of folders."""
    return tuple(
        sorted(
            {
                text
                for text in code.co_consts
                if isinstance(text, str) and re.fullmatch(r"[\w./-]{1,64}", text)
            }
        )
    )


def _is_folder(text: str) -> bool:
    return "://" not in text and os.path.isdir(text)  # noqa: PTH112


_noted: list[dict[str, tuple[int, int, int]]] = []


@contextmanager
def noting(files: dict[str, tuple[int, int, int]]) -> Iterator[None]:
    """Note the files whose content enters digests that are taken in the block, as they are then."""
    _noted.append(files)
    try:
        yield
    finally:
        _noted.pop()


def changed_files(noted: Mapping[str, tuple[int, int, int]]) -> list[str]:
    """Return which of some files are no longer as they were: written anew, moved away, or replaced and put back."""
    changed = []
    for path, stamp in noted.items():
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            changed.append(path)
            continue
        if (status.st_ino, status.st_size, status.st_mtime_ns) != stamp:
            changed.append(path)
    return changed


def content_of_files(value: object) -> object:
    """Return a path, or the paths in a list, with the content of the files in their place."""
    if isinstance(value, str | PurePath):
        return _content(str(value)) or leaf("no file", str(value))
    if isinstance(value, list | tuple):
        return [content_of_files(item) for item in value]
    return value


@functools.lru_cache(maxsize=8192)
def _texts(code: CodeType) -> tuple[str, ...]:
    found: set[str] = set()
    for inner in iter_codes(code):
        constants = list(inner.co_consts)
        while constants:
            constant = constants.pop()
            if isinstance(constant, str) and _looks_like_file(constant):
                found.add(constant)
            elif isinstance(constant, tuple | frozenset):
                constants.extend(constant)
    return tuple(sorted(found))


def _looks_like_file(text: str) -> bool:
    if not 2 < len(text) <= _LONGEST or "://" in text or "\n" in text:
        return False
    return len(os.path.splitext(text)[1]) > 1  # noqa: PTH122  a fifth of the time, and asked of every text


def _content(text: str) -> Form | None:
    if "://" in text:
        return None
    path = os.path.abspath(os.path.expanduser(os.path.expandvars(text)))  # noqa: PTH100, PTH111  for speed
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    if status.st_size > LARGE:
        for files in _noted:
            files[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return leaf("large file", str(status.st_size), str(status.st_mtime_ns))
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
    for files in _noted:
        files[path] = stamp
    # two changes within one tick of the file system's clock have the same time
    is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED
    try:
        return leaf("file", _sha256(path, stamp) if is_settled else _sha256.__wrapped__(path, stamp))
    except OSError as exc:
        message = f"the file {path}, which it names, cannot be read: {exc.strerror or exc}"
        raise UndigestibleError(message, remedy=_REMEDY) from exc


@functools.lru_cache(maxsize=4096)
def _sha256(path: str, stamp: tuple[int, int, int]) -> str:
    """Return the sha256 of a file; ``stamp`` only makes the cache forget a file that was changed."""
    del stamp
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
