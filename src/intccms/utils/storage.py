"""Files in one folder, local or behind a URL, that appear whole or not at all.

Knows nothing of what the files hold.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.errors import ConfigError, CredentialsError, OutputError
from intccms.schema import WorkerEval
from intccms.schema.secrets import hide_in_error, masked_text
from intccms.utils.credentials import is_user_refused, refusal_text
from intccms.utils.patience import PATIENCE, Deadline
from intccms.utils.remote import FsspecFiles, error_text, persistently, s3_endpoint, storage_errors
from intccms.utils.temporaries import is_temporary, temporary_name
from intccms.utils.urls import is_s3, is_url
from intccms.utils.xrootd import XRootDFiles, is_xrootd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from intccms.utils.remote import RemoteFiles

__all__ = ["Storage", "evaluated"]

_NO_SECRETS = frozenset({"endpoint_url", "region_name"})
"""Options whose values errors may show."""


def evaluated(value: Any) -> Any:
    """Return options with the values of `WorkerEval` computed here, also inside lists and mappings."""
    if isinstance(value, WorkerEval):
        return value()
    if isinstance(value, Mapping):
        return {key: evaluated(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(evaluated(item) for item in value)
    return value


@dataclass(frozen=True)
class Storage:
    """One folder and the files below it, by names relative to it such as ``tt/file_0/part_3.parquet``."""

    folder: str
    """Local path, or URL of any protocol that fsspec knows."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Options of the file system; a `WorkerEval` among them is computed at each use."""
    patience: float = field(default=PATIENCE, compare=False)
    """Time [s] after which a server that does not answer, or fails again and again, counts as failed."""

    @property
    def is_local(self) -> bool:
        """Whether the files lie on a disk of this machine."""
        return not is_url(self.folder) or self.folder.startswith(("file://", "local://"))

    def url(self, name: str) -> str:
        """Return where a file is, for other programs; a local path for a local folder."""
        return str(self.local_path(name)) if self.is_local else f"{self.folder.rstrip('/')}/{name}"

    def local_path(self, name: str) -> Path:
        """Return the path of a file.

        Raises
        ------
        ValueError
            If the folder is not local.
        """
        if not self.is_local:
            message = f"{masked_text(self.folder)} is not a local folder"
            raise ValueError(message)
        return Path(self.folder.removeprefix("file://").removeprefix("local://")) / name

    def put(self, name: str, content: bytes) -> None:
        """Write a whole file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with self.staged(name) as temporary:
            temporary.write_bytes(content)

    @contextmanager
    def staged(self, name: str) -> Iterator[Path]:
        """Yield a local path to write to; what is there becomes the file if the block ends well.

        Raises
        ------
        OutputError
            If it cannot be written, be it in the block or after it.
        """
        with self._write_errors("write", name):
            if self.is_local:
                path = self.local_path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.parent / temporary_name(path.name)
                try:
                    yield temporary
                    temporary.replace(path)
                finally:
                    temporary.unlink(missing_ok=True)
            else:
                with tempfile.TemporaryDirectory(prefix="intccms-") as folder:
                    temporary = Path(folder) / Path(name).name
                    yield temporary
                    self._persistently(
                        name,
                        lambda files, path, deadline: files.upload(temporary, path, deadline),
                        size=temporary.stat().st_size,
                    )

    def get(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        OutputError
            If it cannot be read for another reason.
        """
        with self._read_errors("read", name):
            if self.is_local:
                return self.local_path(name).read_bytes()
            return self._persistently(name, lambda files, path, deadline: files.read(path, deadline))

    def download(self, name: str, path: Path) -> None:
        """Copy a file to a local path; errors as those of `get`."""
        with self._read_errors("read", name):
            if self.is_local:
                shutil.copyfile(self.local_path(name), path)
            else:
                self._persistently(
                    name, lambda files, remote, deadline: files.download(remote, path, deadline)
                )

    def size(self, name: str) -> int | None:
        """Return the size of a file [bytes], None if it is absent; other errors as those of `get`."""
        try:
            with self._read_errors("look at", name):
                if self.is_local:
                    return self.local_path(name).stat().st_size
                return self._persistently(name, lambda files, path, deadline: files.size(path, deadline))
        except FileNotFoundError:
            return None

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the sizes [bytes] of all files below a folder in one listing, without temporaries.

        An absent folder holds nothing; other errors are those of `get`.
        """
        found = {name: size for name, (size, _) in self._listing(folder).items()}
        return {name: size for name, size in found.items() if not is_temporary(name)}

    def check_bucket(self) -> None:
        """Tell a bucket of S3 that is not there from one without a file; other storage has none.

        Raises
        ------
        OutputError
            If there is none of this name, or the server cannot be asked.
        """
        if not is_s3(self.folder):
            return
        try:
            self._persistently("", lambda files, path, deadline: files.size(path.split("/")[0], deadline))
        except PermissionError:
            return  # those who may use one folder of it need not be allowed to look at it
        except FileNotFoundError:
            missing = FileNotFoundError("there is no such bucket")
            raise self._error(verb="find files in", name="", exc=missing) from None
        except storage_errors() as exc:
            hide_in_error(exc)
            raise self._error(verb="find files in", name="", exc=exc) from (None if self.options else exc)

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; absent ones are as good as removed.

        Raises
        ------
        OutputError
            If one cannot be removed.
        """
        for name in names:
            with self._write_errors("remove", name):
                try:
                    if self.is_local:
                        self.local_path(name).unlink()
                    else:
                        self._persistently(name, lambda files, path, deadline: files.remove(path, deadline))
                except FileNotFoundError:
                    continue

    def stale_temporaries(self, older_than_s: float, folder: str = "") -> list[str]:
        """Return temporaries that have not changed for some time [s], which killed processes leave behind.

        Times are those of the storage's own clock, which a file written for the purpose tells. Where the server does
        not tell the time of change, nothing is stale.
        """
        found = {name: changed for name, (_, changed) in self._listing(folder).items() if is_temporary(name)}
        if not found:
            return []
        limit = self._time_there(folder) - older_than_s
        return sorted(name for name, changed in found.items() if changed < limit)

    def _time_there(self, folder: str) -> float:
        """Return the time [s since 1970] by the clock of whoever keeps the files, minus infinity if it does not tell."""
        probe = f"{folder}/{temporary_name('clock')}".lstrip("/")
        self.put(probe, b"")
        try:
            _, changed = self._listing(folder).get(probe, (0, math.inf))
        finally:
            self.delete([probe])
        return changed if changed < math.inf else -math.inf

    def _listing(self, folder: str) -> dict[str, tuple[int, float]]:
        if self.is_local:
            root = self.local_path("")
            return dict(_walk(root / folder, root))
        try:
            with self._read_errors("list", folder):
                return self._persistently(folder, self._remote_listing)
        except FileNotFoundError:
            return {}

    def _remote_listing(
        self, files: RemoteFiles, path: str, deadline: Deadline
    ) -> dict[str, tuple[int, float]]:
        prefix = files.path(self.folder).rstrip("/") + "/"
        return {name.removeprefix(prefix): found for name, found in files.listing(path, deadline).items()}

    def _persistently[T](
        self, name: str, action: Callable[[RemoteFiles, str, Deadline], T], size: int = 0
    ) -> T:
        """Return what an action on the server gives, tried again while that may help."""
        url = f"{self.folder.rstrip('/')}/{name}".rstrip("/")
        files, deadline = self._remote(url), Deadline(self.patience, size)
        return persistently(lambda: action(files, files.path(url), deadline), deadline)

    def _remote(self, url: str) -> RemoteFiles:
        options = self._options()
        if is_xrootd(url) and options:
            message = (
                f"files in {masked_text(self.folder)} have storage_options {sorted(options)}, but those of XRootD take "
                "none. Leave them out; variables XRD_... set what its client does."
            )
            raise ConfigError(message)
        try:
            return XRootDFiles(url) if is_xrootd(url) else FsspecFiles(url, options)
        except ConfigError:
            raise
        except (ImportError, ValueError, TypeError) as exc:
            message = (
                f"files cannot be kept in {masked_text(self.folder)}: {self._text(exc)}. Correct the folder or its "
                "storage_options, or install what the protocol needs."
            )
            raise ConfigError(message) from None

    def _options(self) -> dict[str, Any]:
        try:
            options: dict[str, Any] = evaluated(self.options)
        except (LookupError, OSError, ValueError, TypeError, AttributeError) as exc:
            message = (
                f"a WorkerEval among the storage_options of {masked_text(self.folder)} raised {type(exc).__name__} on "
                f"{socket.gethostname()}. Are the environment variables or files that it reads there?"
            )
            raise ConfigError(message) from None
        return options

    @contextmanager
    def _write_errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except storage_errors() as exc:
            hide_in_error(exc)
            raise self._error(verb, name, exc) from (None if self.options else exc)

    @contextmanager
    def _read_errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as exc:
            hide_in_error(exc)
            message = f"{masked_text(self.url(name))} does not exist"
            raise FileNotFoundError(message) from (None if self.options else exc)
        except storage_errors() as exc:
            hide_in_error(exc)
            raise self._error(verb, name, exc) from (None if self.options else exc)

    def _error(self, verb: str, name: str, exc: BaseException) -> OutputError | CredentialsError:
        """Return the error for the user: what failed, where, and what to do."""
        if is_xrootd(self.folder) and is_user_refused(exc):
            return CredentialsError(f"cannot {verb} {refusal_text(self.url(name), exc)}")
        if self.is_local:
            remedy = "Check permissions and free space there."
        elif isinstance(exc, FileNotFoundError):
            remedy = "Create the bucket or folder, or correct its name."
        elif isinstance(exc, PermissionError) or is_user_refused(exc):
            remedy = "Check the credentials (storage_options, AWS_... variables, or the grid proxy) and what they allow."
        elif isinstance(exc, TimeoutError):
            remedy = (
                f"Check that the server is up and that its address is right{self._address()}, and run again."
            )
        else:
            remedy = "Check permissions, credentials and free space there, and the address."
        return OutputError(f"cannot {verb} {masked_text(self.url(name))}: {self._text(exc)}. {remedy}")

    def _address(self) -> str:
        """Return the address of the server, where the URL does not hold it."""
        if not is_s3(self.folder):
            return ""
        address, origin = s3_endpoint(self._options())
        return masked_text(f" ({address}{', from ' + origin if origin else '; AWS_ENDPOINT_URL is not set'})")

    def _text(self, exc: BaseException) -> str:
        """Return what an error says, without anything that the options hold: they may be credentials."""
        text = error_text(exc)
        for value in _texts_in({} if isinstance(exc, ConfigError) else self._options()):
            text = text.replace(value, "***")
        return masked_text(text)[:500].rstrip(".")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_SECRETS:
                yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str) and len(value) > 3:  # shorter ones would cut up ordinary words
        yield value


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, tuple[int, float]]]:
    for parent, _, names in os.walk(folder):
        # a Path of each of thousands of records would take most of the time
        inside = Path(parent).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in names:
            try:
                status = os.stat(f"{parent}{os.sep}{name}")  # noqa: PTH116
            except FileNotFoundError:  # a temporary that has just become a file
                continue
            yield f"{prefix}{name}", (status.st_size, status.st_mtime)
