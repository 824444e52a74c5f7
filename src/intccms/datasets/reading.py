"""What goes wrong while bytes are read that are not what they should be, as one error that names the file."""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cramjam
import uproot

from intccms.datasets.health import HOSTS
from intccms.errors import BrokenFileError, CredentialsError
from intccms.utils.credentials import is_user_refused, refusal_text
from intccms.utils.remote import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from intccms.datasets.replicas import SourceFile

__all__ = [
    "UNREADABLE",
    "broken_file",
    "other_replicas",
    "reading",
    "reason_of",
    "refuse_shorter",
    "refused_user",
    "unreadable",
]

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    StopIteration,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cramjam.DecompressionError,
    uproot.deserialization.DeserializationError,
)
"""What libraries raise when bytes are not what they should be."""


def unreadable() -> tuple[type[BaseException], ...]:
    """Return `UNREADABLE` with what file systems raise that have errors of their own."""
    return (*UNREADABLE, *storage_errors())


@contextmanager
def reading(url: str, what: str) -> Iterator[None]:
    """Make one error of whatever goes wrong while a part of an open file is read.

    Parameters
    ----------
    url
        The file.
    what
        The part.

    Raises
    ------
    BrokenFileError
        With the file as its ``url``.
    """
    try:
        yield
    except BrokenFileError:
        raise
    except unreadable() as exc:
        HOSTS.failed(url, exc)
        message = f"cannot read {what} of {url}: {reason_of(exc)}"
        error = BrokenFileError(message)
        error.url = url
        raise error from exc


def refuse_shorter(column: Any, entries: int) -> None:
    """Refuse a column that does not have all the entries asked for, as uproot makes them of broken lists of clusters.

    Raises
    ------
    ValueError
        For `reading`.
    """
    if len(column) != entries:
        message = f"there are {len(column)} entries"
        raise ValueError(message)


def broken_file(exc: BaseException | None) -> BrokenFileError | None:
    """Return the broken file behind an error, through whatever libraries and users' functions made of it."""
    while exc is not None and not (isinstance(exc, BrokenFileError) and exc.url):
        exc = exc.__cause__ or exc.__context__
    return exc


def other_replicas(file: SourceFile, exc: BaseException) -> tuple[SourceFile, str, str] | None:
    """Return what is left of a file when a replica has broken while it was read, the URL of that one, and the reason.

    None if the error is of another kind, or no other replica is left.
    """
    broken = broken_file(exc)
    if broken is None:
        return None
    left = tuple(url for url in file.urls if url != broken.url)
    if not 0 < len(left) < len(file.urls):
        return None
    return replace(file, urls=left), broken.url, reason_of(broken)


def refused_user(exc: BaseException | None) -> CredentialsError | None:
    """Return the error that ends a run, if a server no longer accepts the user while a file is read."""
    if isinstance(exc, CredentialsError):
        return exc
    broken = broken_file(exc)
    if broken is None or not is_user_refused(broken.__cause__):
        return None
    return CredentialsError(f"cannot read {refusal_text(broken.url, broken.__cause__ or broken)}")


def reason_of(exc: BaseException) -> str:
    """Return type and text of an error on one line; addresses of objects, which XRootD's errors name, say nothing."""
    line = re.sub(r"<bound method (\S+) of <.*?>>", r"\1", " ".join(str(exc).split()))
    return f"{type(exc).__name__}: {line[:300]}" if line else type(exc).__name__
