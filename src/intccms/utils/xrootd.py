"""Files behind ``root://``: the limits that XRootD's client works with, and what storage needs of it.

Storage talks to the client itself: the file system of fsspec-xrootd cannot upload a file, says the same of a file
that is absent and of a server that is down, and kills the process when a server falls silent while it reads a
whole file.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from intccms.utils.patience import PATIENCE
from intccms.utils.temporaries import temporary_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from intccms.utils.patience import Deadline

__all__ = ["XRootDFiles", "forget_handle", "is_xrootd", "set_limits"]

_LIMITS = {
    "CONNECTIONWINDOW": 5,
    "CONNECTIONRETRY": 2,
    "STREAMERRORWINDOW": 5,
    "REQUESTTIMEOUT": math.ceil(PATIENCE),
    "STREAMTIMEOUT": math.ceil(PATIENCE),
    "TIMEOUTRESOLUTION": 1,
}
"""Seconds, and a number of attempts. XRootD's own values wait 480 s for a closed port and for ever for a server
that hangs; after a lost connection, `STREAMERRORWINDOW` is the time in which no new one is tried."""

_WRITTEN, _READ = 8 * 2**20, 16 * 2**20
"""Bytes of one request; each has to be answered before the deadline, and a far server takes its time for each."""

# numbers of XRootD's protocol (kXR_...) and of its client (XrdCl::err...)
_NOT_FOUND = 3011
_EXISTS = 3018
_REFUSED = frozenset({3010, 3025, 3030})  # not authorised, read-only, authentication failed
_BUSY = frozenset({3003, 3004, 3008, 3012, 3014, 3017, 3020, 3024, 3034, 3035})
_FULL = frozenset({3009, 3021})  # no space, over quota
_AUTHENTICATION = frozenset({203, 204})
_CONNECTION = frozenset({*range(102, 110), 202, 207})
_EXPIRED = frozenset({103, 206})


def is_xrootd(url: str) -> bool:
    """Tell whether XRootD serves a URL."""
    return url.startswith(("root://", "roots://", "xroot://", "xroots://"))


def set_limits() -> None:
    """Make XRootD's client give up in a bounded time; what the user has set in ``XRD_...`` stays.

    The client reads the variables when it is first imported in a process, and children inherit them. If somebody
    else has imported it, it is told directly.
    """
    imported = "XRootD.client" in sys.modules
    for name, value in _LIMITS.items():
        if f"XRD_{name}" in os.environ:
            continue
        os.environ[f"XRD_{name}"] = str(value)
        if imported:
            sys.modules["XRootD.client.env"].EnvPutInt(name, value)


def forget_handle(url: str, timeout: int) -> None:
    """Close the handle of a file that fsspec-xrootd keeps for 30 s after its last use, as good or broken as it is."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url, timeout=timeout)
    handles = filesystem._readonly_filehandle_cache  # noqa: SLF001 - its public way waits for a server that is down
    with suppress(OSError, ValueError):
        handles.close(filesystem.unstrip_protocol(path), 1)


class XRootDFiles:
    """The files of one server.

    Parameters
    ----------
    url
        Of the server, or of any file there.
    """

    def __init__(self, url: str) -> None:
        set_limits()
        from XRootD import client

        parsed = client.URL(url)
        if not parsed.is_valid():
            message = f"{url} is not a valid URL of XRootD"
            raise ValueError(message)
        self._host = f"{parsed.protocol}://{parsed.hostid}"
        self._server = client.FileSystem(self._host)

    def path(self, url: str) -> str:
        """Return the path on the server that a URL names."""
        from XRootD import client

        return str(client.URL(url).path).rstrip("/") or "/"

    def read(self, path: str, deadline: Deadline) -> bytes:
        """Return the content of a file."""
        return b"".join(self._blocks(path, deadline))

    def download(self, path: str, local: Path, deadline: Deadline) -> None:
        """Copy a file to a local path."""
        with local.open("wb") as target:
            for block in self._blocks(path, deadline):
                target.write(block)

    def upload(self, local: Path, path: str, deadline: Deadline) -> None:
        """Put a local file in the place of a path, where it appears whole."""
        from XRootD.client.flags import OpenFlags

        parent, _, last = path.rpartition("/")
        temporary = f"{parent}/{temporary_name(last)}"
        # persist-on-successful-close: servers remove what a writer that was killed has left
        flags = OpenFlags.DELETE | OpenFlags.UPDATE | OpenFlags.MAKEPATH | OpenFlags.POSC
        try:
            with _File(f"{self._host}/{temporary}", flags, deadline) as file, local.open("rb") as source:
                offset = 0
                while block := source.read(_WRITTEN):
                    file.call("write", block, offset)
                    offset += len(block)
                    deadline.reached(offset)
            self._move(temporary, path, deadline)
        except BaseException:
            self._server.rm(temporary, timeout=1)  # if it fails, there is a leftover that listings ignore
            raise

    def size(self, path: str, deadline: Deadline) -> int:
        """Return the size of a file [bytes]."""
        return int(self._ask("stat", path, deadline=deadline).size)

    def listing(self, path: str, deadline: Deadline) -> dict[str, tuple[int, float]]:
        """Return sizes [bytes] and times of change [s since 1970] of all files below a folder."""
        from XRootD.client.flags import DirListFlags, StatInfoFlags

        flags = DirListFlags.STAT | DirListFlags.RECURSIVE
        return {
            f"{path}/{entry.name}": (int(entry.statinfo.size), float(entry.statinfo.modtime))
            for entry in self._ask("dirlist", path, flags, deadline=deadline)
            if not entry.statinfo.flags & StatInfoFlags.IS_DIR
        }

    def remove(self, path: str, deadline: Deadline) -> None:
        """Remove a file."""
        self._ask("rm", path, deadline=deadline)

    def _move(self, temporary: str, path: str, deadline: Deadline) -> None:
        try:
            self._ask("mv", temporary, path, deadline=deadline)
        except FileExistsError:
            # servers that do not replace what exists: for a moment there is no file, never half of one
            self.remove(path, deadline)
            self._ask("mv", temporary, path, deadline=deadline)

    def _blocks(self, path: str, deadline: Deadline) -> Iterator[bytes]:
        from XRootD.client.flags import OpenFlags

        with _File(f"{self._host}/{path}", OpenFlags.READ, deadline) as file:
            size, offset = int(file.call("stat").size), 0
            while offset < size:
                # without a length the client would look for the size itself, and crash if nobody answers
                block: bytes = file.call("read", offset, min(_READ, size - offset))
                if not block:
                    message = f"the file has ended at {offset} of {size} bytes"
                    raise ConnectionError(message)
                yield block
                offset += len(block)
                deadline.reached(offset)

    def _ask(self, method: str, *arguments: Any, deadline: Deadline) -> Any:
        return _checked(getattr(self._server, method)(*arguments, timeout=deadline.whole_seconds))


class _File:
    """An open file, which is closed whatever happens; without a deadline its end would wait for a dead server."""

    def __init__(self, url: str, flags: int, deadline: Deadline) -> None:
        from XRootD import client

        self._file = client.File()
        self._deadline = deadline
        _checked(self._file.open(url, flags, timeout=deadline.whole_seconds))

    def call(self, method: str, *arguments: Any) -> Any:
        """Return what a method gives, or raise what its status says."""
        return _checked(getattr(self._file, method)(*arguments, timeout=self._deadline.whole_seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.call("close")
        else:
            self._file.close(timeout=1)


def _checked(answer: tuple[Any, Any]) -> Any:
    """Return the result of a request, or raise the error that the status stands for."""
    status, result = answer
    if status.ok:
        return result
    text = " ".join(status.message.split())
    if status.errno == _NOT_FOUND:
        raise FileNotFoundError(errno.ENOENT, text)
    if status.errno == _EXISTS:
        raise FileExistsError(errno.EEXIST, text)
    if status.errno in _REFUSED or status.code in _AUTHENTICATION:
        raise PermissionError(errno.EACCES, text)
    if status.errno in _FULL:
        raise OSError(errno.ENOSPC, text)
    if status.code in _EXPIRED:
        raise TimeoutError(errno.ETIMEDOUT, text)
    if status.code in _CONNECTION or status.errno in _BUSY:
        raise ConnectionError(text)
    raise OSError(text)
