"""The lock of a run directory, with real processes that hold it, end and are killed."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from intccms.errors import LockedError, OutputError
from intccms.utils import lock
from intccms.utils.lock import run_lock

HOLDER = """
import fcntl, sys, time
from pathlib import Path
from intccms.utils import lock
if "without-kernel" in sys.argv:
    def refuse(*args):
        raise OSError({errno}, "not supported")
    fcntl.flock = refuse
with lock.run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

KINDS = ["kernel", "without-kernel"]


@pytest.fixture
def kind(request, monkeypatch):
    """Give the way in which this process locks: by the kernel, or as on a file system that cannot."""
    if request.param == "without-kernel":
        monkeypatch.setattr(fcntl, "flock", _refuse)
    return request.param


def _refuse(*_args):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture
def hold():
    """Give a function that starts a process which holds a folder, and returns when it does."""
    started = []

    def start(folder, *options):
        program = HOLDER.replace("{errno}", str(errno.ENOLCK))
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), *options, "token=geheim"],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_second_process_is_refused_with_the_first_ones_pid_host_and_time(kind, hold, tmp_path):
    first = hold(tmp_path / "run", kind)
    with pytest.raises(LockedError) as caught, run_lock(tmp_path / "run"):
        pytest.fail("two processes hold the folder")
    message = str(caught.value)
    assert f"the run directory {tmp_path / 'run'} is in use by process {first.pid} on " in message
    assert socket.gethostname() in message
    assert time.strftime(" since %Y-%m-%dT%H", time.gmtime()) in message
    assert "general.output_dir" in message
    assert "token=***" in message
    assert "geheim" not in message
    assert ("delete" in message) is (kind == "without-kernel")


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_the_lock_of_a_killed_process_is_free(kind, hold, tmp_path):
    first = hold(tmp_path, kind)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with run_lock(tmp_path):
        name = lock.LOCK_NAME if kind == "kernel" else lock.OWNER_NAME
        assert json.loads((tmp_path / name).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_it_can_be_taken_again_after_the_block_and_after_an_exception(kind, tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
            raise ZeroDivisionError
    assert lock._held == {}


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_the_thread_that_holds_it_may_enter_again_and_the_outermost_block_releases(kind, hold, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "run")
    with run_lock(tmp_path / "run"):
        with run_lock(link):
            pass
        assert _attempt(tmp_path / "run") == "LockedError"
    assert _attempt(tmp_path / "run") == "held"


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_another_thread_of_the_process_is_refused(kind, tmp_path):
    found = []
    with run_lock(tmp_path):
        thread = threading.Thread(target=lambda: found.append(_attempt(tmp_path, text=True)))
        thread.start()
        thread.join()
    assert "another thread of this process" in found[0]


def test_two_folders_are_held_independently(hold, tmp_path):
    hold(tmp_path / "one")
    with run_lock(tmp_path / "two"):
        pass


def _attempt(folder, *, text=False):
    """Try to lock in a new thread; return what happened."""
    found = []

    def run():
        try:
            with run_lock(folder):
                found.append("held")
        except LockedError as exc:
            found.append(str(exc) if text else "LockedError")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def _wait(ready, release):
    ready.set()
    release.wait()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of other tests
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_does_not_keep_the_lock_of_its_parent(method, hold, tmp_path):
    context = multiprocessing.get_context(method)
    ready, release = context.Event(), context.Event()
    child = context.Process(target=_wait, args=(ready, release))
    with run_lock(tmp_path):
        child.start()
        assert ready.wait(30)
    try:
        hold(tmp_path)  # the child lives, and another process gets the lock
        assert child.is_alive()
    finally:
        release.set()
        child.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of other tests
def test_a_forked_child_that_leaves_the_block_does_not_release_its_parents_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", _refuse)
    stack = ExitStack()
    stack.enter_context(run_lock(tmp_path))
    child = os.fork()
    if child == 0:
        stack.close()
        os._exit(0 if lock._held == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / lock.OWNER_NAME).exists()
    stack.close()
    assert not (tmp_path / lock.OWNER_NAME).exists()


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_the_end_of_a_run_whose_lock_was_deleted_leaves_the_next_ones_lock_alone(kind, hold, tmp_path):
    with run_lock(tmp_path):
        (tmp_path / (lock.LOCK_NAME if kind == "kernel" else lock.OWNER_NAME)).unlink()
        hold(tmp_path, kind)
    with pytest.raises(LockedError), run_lock(tmp_path):
        pytest.fail("the other process still holds it")


@pytest.mark.parametrize(
    ("change", "is_taken_over"),
    [
        ({}, True),
        ({"host": "elsewhere.example"}, False),
        ({"pid": os.getppid(), "process_started": 1.0}, True),
        ({"pid": "?"}, False),
    ],
    ids=["process gone", "another host", "number given to a new process", "nonsense"],
)
def test_a_file_left_behind_is_taken_over_only_if_its_process_is_surely_gone(
    change, is_taken_over, tmp_path, monkeypatch
):
    monkeypatch.setattr(fcntl, "flock", _refuse)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = {"pid": gone.pid, "host": socket.gethostname(), "process_started": time.time(), "command": []}
    path = tmp_path / lock.OWNER_NAME
    path.write_text(json.dumps(owner | change))
    if is_taken_over:
        with run_lock(tmp_path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
        assert not path.exists()
        return
    with pytest.raises(LockedError, match=f"If it runs no more, delete {path}"), run_lock(tmp_path):
        pytest.fail("it may be held")
    assert json.loads(path.read_text()) == owner | change


def test_a_file_that_another_process_took_over_meanwhile_is_given_back(tmp_path):
    path = tmp_path / lock.OWNER_NAME
    path.write_text(json.dumps({"pid": 2}))
    assert not lock._remove(path, {"pid": 1})
    assert json.loads(path.read_text()) == {"pid": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_processes_that_begin_together_one_gets_the_lock(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom intccms.errors import LockedError\n"
        "from intccms.utils.lock import run_lock\n"
        "try:\n    with run_lock(Path(sys.argv[1])):\n        print('held', flush=True)\n        sys.stdin.read()\n"
        "except LockedError:\n    print('refused', flush=True)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        said = [process.stdout.readline().strip() for process in processes]
    finally:
        for process in processes:
            process.communicate()
    assert sorted(said) == ["held", "refused", "refused", "refused"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="cannot lock the run directory .*file/run: Not a directory"),
        run_lock(tmp_path / "file" / "run"),
    ):
        pytest.fail("a file is no folder")


def test_other_errors_of_the_kernel_are_not_taken_for_a_free_folder(tmp_path, monkeypatch):
    def fail(*_args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OutputError, match="Input/output error"), run_lock(tmp_path):
        pytest.fail("it is not locked")
    assert not (tmp_path / lock.OWNER_NAME).exists()


def test_a_lock_file_that_is_deleted_just_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    locked = []

    def delete_first(handle, flags):
        if not locked:
            (tmp_path / lock.LOCK_NAME).unlink()
        locked.append(os.fstat(handle).st_ino)
        flock(handle, flags)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", delete_first)
    with run_lock(tmp_path):
        assert (tmp_path / lock.LOCK_NAME).stat().st_ino == locked[-1]
        assert len(locked) == 2
        assert _attempt(tmp_path) == "LockedError"
