"""What goes wrong while bytes are read that are not what they should be, as one error that names the file."""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import cramjam
import uproot

from intccms.errors import BrokenFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNREADABLE", "broken_file", "reading", "reason_of"]

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
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cramjam.DecompressionError,
    uproot.deserialization.DeserializationError,
)
"""What libraries raise when bytes are not what they should be."""


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
    except UNREADABLE as exc:
        message = f"cannot read {what} of {url}: {reason_of(exc)}"
        error = BrokenFileError(message)
        error.url = url
        raise error from exc


def broken_file(exc: BaseException | None) -> BrokenFileError | None:
    """Return the broken file behind an error, through whatever libraries and users' functions made of it."""
    while exc is not None and not (isinstance(exc, BrokenFileError) and exc.url):
        exc = exc.__cause__ or exc.__context__
    return exc


def reason_of(exc: BaseException) -> str:
    """Return type and text of an error on one line; addresses of objects, which XRootD's errors name, say nothing."""
    line = re.sub(r"<bound method (\S+) of <.*?>>", r"\1", " ".join(str(exc).split()))
    return f"{type(exc).__name__}: {line[:300]}" if line else type(exc).__name__
