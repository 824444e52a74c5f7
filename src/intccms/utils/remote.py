"""Files behind a URL, and what the file systems of fsspec do not do alike: uploads that appear whole, sizes, errors."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from intccms.errors import ConfigError
from intccms.schema.secrets import masked_text
from intccms.utils.temporaries import temporary_name
from intccms.utils.urls import is_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from intccms.utils.patience import Deadline

__all__ = [
    "FsspecFiles",
    "RemoteFiles",
    "error_text",
    "is_transient",
    "persistently",
    "raised_by",
    "s3_endpoint",
    "storage_errors",
]

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
"""Pauses between attempts [s]; each is twice as long as the one before."""

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"})
"""Protocols whose uploads become visible when they are complete; a move would copy everything once more."""

_BUSY = frozenset({errno.EBUSY, errno.EAGAIN, errno.EREMOTEIO if sys.platform == "linux" else errno.EIO})
"""What s3fs makes of answers such as SlowDown, ServiceUnavailable and InternalError."""

_BUSY_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class RemoteFiles(Protocol):
    """What storage needs of a server.

    Every method makes one attempt, which ends with the deadline, and raises ``FileNotFoundError`` for what is absent.
    """

    def path(self, url: str) -> str:
        """Return the path on the server that a URL names."""
        ...

    def read(self, path: str, deadline: Deadline) -> bytes:
        """Return the content of a file."""
        ...

    def download(self, path: str, local: Path, deadline: Deadline) -> None:
        """Copy a file to a local path."""
        ...

    def upload(self, local: Path, path: str, deadline: Deadline) -> None:
        """Put a local file in the place of a path, where it appears whole."""
        ...

    def size(self, path: str, deadline: Deadline) -> int:
        """Return the size of a file [bytes]."""
        ...

    def listing(self, path: str, deadline: Deadline) -> dict[str, tuple[int, float]]:
        """Return sizes [bytes] and times of change [s since 1970] of all files below a folder."""
        ...

    def remove(self, path: str, deadline: Deadline) -> None:
        """Remove a file."""
        ...


class FsspecFiles:
    """The files of one file system of fsspec; the deadline holds for those that work asynchronously, as S3's.

    Parameters
    ----------
    url
        Of any file there.
    options
        Of the file system.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._fs = _file_system(url, options)
        protocol = self._fs.protocol
        self._protocols = {protocol} if isinstance(protocol, str) else set(protocol)

    def path(self, url: str) -> str:
        """Return the path in the file system that a URL names."""
        return str(self._fs._strip_protocol(url))  # noqa: SLF001 - fsspec's interface for this

    def read(self, path: str, deadline: Deadline) -> bytes:
        """Return the content of a file."""
        if not self._fs.async_impl:
            content: bytes = self._fs.cat_file(path)
            return content
        # `cat_file` tells nothing of its progress, and that of S3 asks for the size first
        with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
            local = Path(folder) / "content"
            self.download(path, local, deadline)
            return local.read_bytes()

    def download(self, path: str, local: Path, deadline: Deadline) -> None:
        """Copy a file to a local path."""
        self._call("get_file", path, str(local), callback=_progress(deadline), deadline=deadline)

    def upload(self, local: Path, path: str, deadline: Deadline) -> None:
        """Put a local file in the place of a path, where it appears whole."""
        if "memory" in self._protocols:
            self._fs.pipe_file(
                path, local.read_bytes()
            )  # its `put_file` fills a file that can already be seen
        elif self._protocols & _OBJECT_STORES:
            self._call("put_file", str(local), path, deadline=deadline)
        else:
            self._upload_and_move(local, path, deadline)

    def size(self, path: str, deadline: Deadline) -> int:
        """Return the size of a file [bytes]."""
        self._fs.invalidate_cache(self._fs._parent(path))  # noqa: SLF001 - fsspec has no other way to name a parent
        return int(self._call("info", path, deadline=deadline)["size"])

    def listing(self, path: str, deadline: Deadline) -> dict[str, tuple[int, float]]:
        """Return sizes [bytes] and times of change [s since 1970], infinite if unknown, of all files below a folder."""
        self._fs.invalidate_cache()
        found = self._call("find", path, detail=True, deadline=deadline)
        return {
            name: (int(info.get("size") or 0), _change_time(info))
            for name, info in found.items()
            if info.get("type") != "directory"
        }

    def remove(self, path: str, deadline: Deadline) -> None:
        """Remove a file."""
        self._call("rm_file", path, deadline=deadline)

    def _upload_and_move(self, local: Path, path: str, deadline: Deadline) -> None:
        parent, _, last = path.rpartition("/")
        self._call("makedirs", parent, exist_ok=True, deadline=deadline)
        temporary = f"{parent}/{temporary_name(last)}"
        try:
            self._call("put_file", str(local), temporary, deadline=deadline)
            self._move(temporary, path)
        except BaseException:
            self._remove_quietly(temporary)
            raise

    def _move(self, temporary: str, path: str) -> None:
        try:
            self._fs.mv(temporary, path)
        except OSError:
            # servers that do not replace what exists: for a moment there is no file, never half of one
            if not self._fs.exists(path) or not self._fs.exists(temporary):
                raise
            self._fs.rm_file(path)
            self._fs.mv(temporary, path)

    def _remove_quietly(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except OSError:
            return  # it is a leftover with a name that listings ignore; the error that led here matters more

    def _call(self, method: str, *arguments: Any, deadline: Deadline, **more: Any) -> Any:
        """Call a method; what works asynchronously is cancelled at the deadline.

        Time limits of the file systems do not do: s3fs has none for an upload whose server falls silent.
        """
        if not self._fs.async_impl:
            return getattr(self._fs, method)(*arguments, **more)
        coroutine = getattr(self._fs, f"_{method}")(*arguments, **more)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._fs.loop)
        try:
            while True:
                try:
                    return future.result(max(deadline.left, 0))
                except TimeoutError:
                    if future.done():
                        return future.result()
                    if deadline.left <= 0:
                        # s3fs tries again by itself, and does not tell of what
                        message = "the server does not answer, or only that it is busy"
                        raise TimeoutError(message) from None
        finally:
            future.cancel()


_of_thread = threading.local()
_KEPT = 4
"""File systems that a thread keeps; those of fsspec are not all safe to be shared by threads."""
_LONGEST_SET_UP = 30
"""Seconds for a client of S3, in which it may ask others for credentials."""


def _file_system(url: str, options: Mapping[str, Any]) -> Any:
    """Return a file system, the same one while options and the credentials in the environment stay the same.

    The cache of fsspec does not look at the environment: after credentials were renewed it would give one with the
    old ones.
    """
    import fsspec

    kept: OrderedDict[Any, Any] = _of_thread.__dict__.setdefault("kept", OrderedDict())
    credentials = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS)))
    key = (os.getpid(), url.partition("://")[0], repr(options), credentials)
    if key not in kept:
        _check_endpoint(url, options)
        files = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)[0]
        if is_s3(url):
            files.close_session = _close_where_it_was_opened
            _set_up(files)
        kept[key] = files
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _set_up(files: Any) -> None:
    """Have a file system of s3fs make its client, which takes a busy machine longer than one request.

    Raises
    ------
    TimeoutError
        If it takes so long that something it asks for credentials must be silent.
    """
    future = asyncio.run_coroutine_threadsafe(files.set_session(), files.loop)
    try:
        future.result(_LONGEST_SET_UP)
    except TimeoutError:
        if future.done():
            raise
        message = f"no credentials were found within {_LONGEST_SET_UP} s"
        raise TimeoutError(message) from None
    finally:
        future.cancel()


def _close_where_it_was_opened(loop: asyncio.AbstractEventLoop, client: Any) -> None:
    """Close the connections of a file system of s3fs that is collected.

    The garbage collector may run in any thread. s3fs itself would use an event loop that runs there, such as Dask's, which
    fails and is told on the terminal.
    """
    import s3fs

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        s3fs.S3FileSystem.close_session(loop, client)
    else:
        asyncio.run_coroutine_threadsafe(client.__aexit__(None, None, None), loop)


def s3_endpoint(options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the address of S3 that is used, and where it was set, if it was."""
    given = options.get("endpoint_url") or (options.get("client_kwargs") or {}).get("endpoint_url")
    if given:
        return str(given), "storage_options"
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if value := os.environ.get(name):
            return value, name
    return "that of Amazon", ""


def _check_endpoint(url: str, options: Mapping[str, Any]) -> None:
    """Refuse an address that botocore only stumbles over.

    Raises
    ------
    ConfigError
        If it is no URL of HTTP.
    """
    address, origin = s3_endpoint(options)
    if is_s3(url) and origin and not address.startswith(("http://", "https://")):
        message = masked_text(
            f"the address of S3 in {origin} is {address!r}, expected https://... (or http://...)."
        )
        raise ConfigError(message)


_SETTINGS = ("AWS_", "FSSPEC_", "GOOGLE_", "AZURE_")
"""Variables that file systems read."""


def _progress(deadline: Deadline) -> Any:
    """Return a callback for fsspec that renews a deadline."""
    from fsspec.callbacks import Callback

    class Progress(Callback):
        def call(self, *_: Any, **__: Any) -> None:
            deadline.reached(self.value)

    return Progress()


def persistently[T](attempt: Callable[[], T], deadline: Deadline) -> T:
    """Return what an attempt gives, made again until the deadline while its errors are transient.

    Raises
    ------
    TimeoutError
        If the deadline passed, with the number of attempts and the error of the last one.
    """
    pause, count = _FIRST_PAUSE, 1
    while True:
        try:
            return attempt()
        except storage_errors() as exc:
            if not is_transient(exc):
                raise
            if deadline.left <= pause:
                attempts = "one attempt" if count == 1 else f"{count} attempts"
                message = f"given up after {deadline.passed:.0f} s and {attempts}: {error_text(exc)}"
                raise TimeoutError(message) from exc
            logger.info("attempt %d failed, trying again: %s", count, type(exc).__name__)
        time.sleep(pause)
        pause, count = min(2 * pause, _LONGEST_PAUSE), count + 1


def error_text(exc: BaseException) -> str:
    """Return what an error says, on one line."""
    text = " ".join((getattr(exc, "strerror", None) or str(exc)).split())
    return text if text not in {"", "None"} else type(exc).__name__


def is_transient(exc: BaseException) -> bool:
    """Tell whether an error may be gone in a moment: the server was silent, busy, or the connection broke."""
    if isinstance(exc, FileNotFoundError | PermissionError | FileExistsError):
        return False
    broken: tuple[type[BaseException], ...] = (
        ConnectionError,
        TimeoutError,
        *raised_by(
            "botocore.exceptions", "HTTPClientError", "EndpointConnectionError", "ConnectTimeoutError"
        ),
        *raised_by("aiohttp", "ClientConnectionError", "ClientPayloadError"),
    )
    if isinstance(exc, broken):
        return True
    answer = getattr(exc.__cause__ or exc, "response", None)
    if isinstance(answer, dict):
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode") in _BUSY_STATUS
    return isinstance(exc, OSError) and exc.errno in _BUSY


def storage_errors() -> tuple[type[BaseException], ...]:
    """Return what file systems raise; the libraries named here have bases of their own and may not be installed."""
    return (
        OSError,
        NotImplementedError,
        *raised_by("botocore.exceptions", "BotoCoreError", "ClientError"),
        *raised_by("aiohttp", "ClientError"),
        *raised_by("google.auth.exceptions", "GoogleAuthError"),
        *raised_by("azure.core.exceptions", "AzureError"),
        *raised_by("fsspec.exceptions", "BlocksizeMismatchError", "FSTimeoutError"),
    )


def raised_by(module: str, *names: str) -> tuple[type[BaseException], ...]:
    """Return types of errors of a module; only what was imported can have been raised."""
    return tuple(getattr(sys.modules[module], name) for name in names) if module in sys.modules else ()


def _change_time(info: Mapping[str, Any]) -> float:
    for key in ("mtime", "LastModified", "last_modified", "modified", "created"):
        value = info.get(key)
        if isinstance(value, int | float):
            return float(value)
        if value is not None and hasattr(value, "timestamp"):
            return float(value.timestamp())
    return float("inf")
