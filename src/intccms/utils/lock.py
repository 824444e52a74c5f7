"""One run at a time in a run directory: a lock that goes away with the process that holds it, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.errors import LockedError, OutputError
from intccms.schema.secrets import masked_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lock_holder", "run_lock"]

LOCK_NAME = ".lock"
OWNER_NAME = ".lock.owner"
"""The file whose existence is the lock, on file systems whose kernel cannot lock."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_PATIENCE = 0.5
"""Time within which a holder writes who it is [s]."""
_CLOCK_MARGIN = 60.0
"""Difference of two readings of one process's start that a clock set meanwhile may make [s]."""


@dataclass
class _Held:
    """A lock of this process; ``is_file`` where the existence of the file is the lock."""

    thread: int
    handle: int
    path: Path
    is_file: bool = False
    depth: int = 1


_held: dict[str, _Held] = {}
_guard = threading.Lock()


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run directory for this thread as long as the block runs.

    The block may be entered again with the same folder by the thread that holds it. Processes that are started
    within it do not hold the lock. Who holds it stands in ``{folder}/.lock``, a file that stays, empty, behind.

    Parameters
    ----------
    folder
        The run directory; made if need be.

    Raises
    ------
    LockedError
        If another process, or another thread of this one, holds it; the message says which, and since when.
    OutputError
        If the folder cannot be written.
    """
    key = os.path.realpath(folder)
    with _guard:
        held = _held.get(key)
        if held is None:
            held = _held[key] = _acquire(Path(key), Path(folder))
        elif held.thread != threading.get_ident():
            raise LockedError(_refusal(Path(folder), held.path, _read(held.path)))
        else:
            held.depth += 1
    try:
        yield
    finally:
        with _guard:
            held.depth -= 1
            if not held.depth and _held.get(key) is held:  # not in the child of a fork
                del _held[key]
                _release(held)


def lock_holder(folder: Path) -> dict[str, Any] | None:
    """Return who holds a run directory: ``pid``, ``host``, ``started``, ``command``; None if nobody does."""
    path, owner_path = folder / LOCK_NAME, folder / OWNER_NAME
    if owner_path.is_file():
        owner = _read(owner_path)
        return None if _is_gone(owner) else owner
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    except OSError:
        return None
    finally:
        os.close(handle)
    return None


def _acquire(folder: Path, shown: Path) -> _Held:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _by_kernel(folder / LOCK_NAME, shown)
        except OSError as exc:
            if exc.errno not in _NO_LOCKS:
                raise
        return _by_existence(folder / OWNER_NAME, shown)
    except OSError as exc:
        message = (
            f"cannot lock the run directory {shown}: {exc.strerror or exc}. Check its space and permissions."
        )
        raise OutputError(message) from exc


def _by_kernel(path: Path, shown: Path) -> _Held:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited by processes that are started
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # somebody may have deleted the file between the two calls: that lock would keep nobody out
            if _is_at(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, _owner(), 0)
                return _Held(threading.get_ident(), handle, path)
        except BlockingIOError:
            os.close(handle)
            raise LockedError(_refusal(shown, path, _read(path))) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _by_existence(path: Path, shown: Path) -> _Held:
    """Create the file, in the place of one whose process is gone."""
    for _ in range(2):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            owner = _read(path)
            if not _is_gone(owner) or not _remove(path, owner):
                raise LockedError(_refusal(shown, path, owner, is_file=True)) from None
            continue
        try:
            os.write(handle, _owner())
        except BaseException:
            path.unlink()
            os.close(handle)
            raise
        return _Held(threading.get_ident(), handle, path, is_file=True)
    raise LockedError(_refusal(shown, path, _read(path), is_file=True))


def _remove(path: Path, owner: dict[str, Any]) -> bool:
    """Remove a file of a process that is gone; False if it was another's by the time."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    if _read(aside) != owner:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
        return False
    aside.unlink()
    return True


def _is_gone(owner: dict[str, Any]) -> bool:
    """Tell whether the process that wrote the file surely runs no more."""
    pid, begun = owner.get("pid"), owner.get("process_started")
    if owner.get("host") != socket.gethostname() or not isinstance(pid, int) or not isinstance(begun, float):
        return False
    now = _process_start(pid)
    return now is None or abs(now - begun) > _CLOCK_MARGIN


def _process_start(pid: int) -> float | None:
    """Return when a process of this machine began, in seconds since 1970; None if there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _release(held: _Held) -> None:
    with contextlib.suppress(OSError):  # a vanished file system must not hide what the block raised
        if not held.is_file:
            os.ftruncate(held.handle, 0)
        elif _is_at(held.handle, held.path):  # else somebody deleted it, and it is another's by now
            held.path.unlink()
    os.close(held.handle)


def _owner() -> bytes:
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "process_started": _process_start(os.getpid()),
        "command": [masked_text(argument) for argument in sys.argv],
    }
    return json.dumps(owner).encode()


def _read(path: Path) -> dict[str, Any]:
    """Return who holds the lock; empty if that is not to be known."""
    end = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads(path.read_bytes())
            if isinstance(owner, dict):
                return owner
        if time.monotonic() > end:
            return {}
        time.sleep(0.02)


def _refusal(folder: Path, path: Path, owner: dict[str, Any], *, is_file: bool = False) -> str:
    if not owner:
        holder = f"a process that is not named in {path}"
    elif (owner.get("pid"), owner.get("host")) == (os.getpid(), socket.gethostname()):
        holder = f"another thread of this process (since {owner.get('started')})"
    else:
        command = " ".join(map(str, owner.get("command") or ()))
        holder = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('started')} ({command})"
    remedy = "Wait for it or stop it, or set general.output_dir to another folder."
    if is_file:
        remedy += f" If it runs no more, delete {path}."
    return f"the run directory {folder} is in use by {holder}; expected one run at a time. {remedy}"


def _forget() -> None:
    """Close the locks in the child of a fork: they would last as long as the child."""
    global _guard  # noqa: PLW0603  another thread may have held it when the process forked
    _guard = threading.Lock()
    for held in _held.values():
        os.close(held.handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
