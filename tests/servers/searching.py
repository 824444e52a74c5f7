"""Searches for a secret: in bytes and what they pack, in files, in errors with all that hangs on them."""

from __future__ import annotations

import base64
import io
import lzma
import traceback
import zipfile
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Search", "everything_in"]

_DEPTH = 3
"""Packings within packings that are opened."""


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """Give what stands in base64 whatever comes before and after: the digits that only the secret decides."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            digits = encode(bytes(before) + secret).rstrip(b"=")
            first = -(-before * 8 // 6)
            yield digits[first : (before + len(secret)) * 8 // 6]


def _forms(secret: str) -> dict[str, bytes]:
    forms = {
        "plain": secret.encode(),
        "utf-16": secret.encode("utf-16-le"),
        "utf-16, big": secret.encode("utf-16-be"),
        "utf-32": secret.encode("utf-32-le"),
        "url": quote(secret, safe="").encode(),
        "url, slashes": quote(secret).encode(),
        "form": quote_plus(secret).encode(),
        "hex": secret.encode().hex().encode(),
        "backwards": secret[::-1].encode(),
    }
    return forms | {f"base64 {number}": one for number, one in enumerate(_base64_forms(secret.encode()))}


def _zipped(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def _streamed(codec: str) -> Callable[[bytes], bytes]:
    """Return what unpacks as much as there is of one stream, whatever comes behind it."""

    def unpack(data: bytes) -> bytes:
        found = b""
        with suppress(OSError, pa.ArrowException):
            stream = pa.CompressedInputStream(pa.BufferReader(data), codec)
            while block := stream.read(1 << 14):
                found += block
        return found

    return unpack


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data)


_PACKINGS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"\x1f\x8b\x08", _streamed("gzip")),
    (b"\x28\xb5\x2f\xfd", _streamed("zstd")),
    (b"\x04\x22\x4d\x18", _streamed("lz4")),
    (b"BZh", _streamed("bz2")),
    (b"PK\x03\x04", _zipped),
    (b"\xfd7zXZ\x00", lzma.decompress),
    *((start, _inflated) for start in (b"\x78\x9c", b"\x78\xda", b"\x78\x5e", b"\x78\x01")),
]
"""How packed content begins, wherever in a file, and what unpacks it."""

_NOT_PACKED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class Search:
    """Looks for secrets, and keeps the places where it found one.

    Parameters
    ----------
    secrets
        What must be nowhere.
    """

    def __init__(self, *secrets: str) -> None:
        self._forms = {(secret, name): form for secret in secrets for name, form in _forms(secret).items()}
        self.searched = 0
        """Bytes looked at, unpacked ones included."""
        self.found: list[str] = []

    def bytes(self, data: bytes, place: str, depth: int = _DEPTH) -> None:
        """Look into bytes, and into what is packed in them."""
        self.searched += len(data)
        self.found += [f"{place}: {name}" for (_, name), form in self._forms.items() if form in data]
        if depth:
            for start, unpack in _PACKINGS:
                position = data.find(start)
                while position >= 0:
                    try:
                        content = unpack(data[position:])
                    except _NOT_PACKED:
                        content = b""
                    if content:
                        self.bytes(content, f"{place}, unpacked at {position}", depth - 1)
                    position = data.find(start, position + 1)

    def text(self, text: str, place: str) -> None:
        """Look into a text."""
        self.bytes(text.encode("utf-8", "surrogateescape"), place)

    def files(self, folder: Path) -> int:
        """Look into all files below a folder, and their names; return how many there are."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in paths:
            name = str(path.relative_to(folder))
            self.text(name, "name of a file")
            self.bytes(path.read_bytes(), name)
        return len(paths)

    def error(self, error: BaseException, place: str) -> None:
        """Look into an error, those behind it, their notes and arguments."""
        for text in everything_in(error):
            self.text(text, place)


def everything_in(error: BaseException) -> Iterator[str]:
    """Give all texts of an error and of those behind it, suppressed ones included."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield "".join(traceback.format_exception(one))
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
