"""Ctrl-C in a real run: once, what runs is finished and saved; twice, the run ends at once; then it goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

from intccms.analysis.executors.base import Iterative
from intccms.analysis.executors.of_coffea import Coffea
from intccms.analysis.scheduling import run_each
from intccms.analysis.status import run_status
from intccms.analysis.stopping import Stop, asked_to_stop, stoppable
from intccms.errors import StoppedError
from intccms.utils.output import RunDirectory
from tests.analysis.breaking import (
    assert_same_bits,
    bits,
    calls_in,
    counted_skim,
    datasets_of,
    report_of,
    start,
    toy_events,
)

CHUNK_SIZE = 40
EXECUTORS = ["iterative", "futures", "dask"]

CONFIG = """
from tests.analysis.test_stopping import slow_skim
from tests.analysis.toys import toy_config

config = toy_config({datasets!r}, {output!r}, chunk_size={chunk_size}, workers=2)
config["preprocess"]["skimming"] |= {{
    "function": slow_skim,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"calls": {calls!r}}},
}}
"""


def slow_skim(met: Any, events: Any, *, calls: str) -> dict[str, Any]:
    """Skim of the toys that notes its calls and takes the seconds that a file beside the notes tells."""
    seconds = Path(f"{calls}.seconds")
    return counted_skim(
        met, events, calls=calls, seconds=float(seconds.read_text()) if seconds.exists() else 0
    )


@pytest.fixture
def seconds(tmp_path):
    """Where the time is written that each chunk takes [s]."""
    return tmp_path / "calls.seconds"


def write_config(folder, toys):
    path = folder / "analysis_to_be_stopped.py"
    path.write_text(
        CONFIG.format(
            datasets=datasets_of(toys),
            output=str(folder / "out"),
            chunk_size=CHUNK_SIZE,
            calls=str(folder / "calls"),
        )
    )
    return path


@pytest.fixture
def config(toys, tmp_path):
    return write_config(tmp_path, toys)


@pytest.fixture(scope="module")
def uninterrupted(toys, tmp_path_factory):
    """Bits of a run that nobody stops."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    status, text = start(write_config(folder, toys)).wait()
    assert status == 0, text
    return bits(folder / "out")


def children_of(run):
    return psutil.Process(run.pid).children(recursive=True)


def assert_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def assert_all_are_accounted_for(report, toys):
    for one in report["datasets"]:
        entries = sum(len(toy.columns["event"]) for toy in toys[one["name"]])
        failed = sum(
            chunk["stop"] - chunk["start"]
            for failure in report["failures"]
            for chunk in failure["chunks"]
            if chunk["dataset"] == one["name"]
        )
        assert one["processed"] + failed == one["entries"] == entries


@pytest.mark.parametrize(
    ("executor", "to_all"),
    [
        ("iterative", False),
        pytest.param("futures", False, marks=pytest.mark.slow),
        pytest.param("futures", True, marks=pytest.mark.slow),
        pytest.param("dask", True, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "to all processes" if value else "to the run",
)
def test_once_what_runs_is_finished_and_saved_and_the_same_command_goes_on(
    executor, to_all, config, seconds, toys, tmp_path, uninterrupted
):
    calls = tmp_path / "calls"
    seconds.write_text("0.3")
    run = start(config, f"general.executor={executor}", command="run")
    assert run.until(lambda: len(calls_in(calls)) >= 5)
    children = children_of(run)
    (os.killpg if to_all else os.kill)(run.pid, signal.SIGINT)
    begin = time.monotonic()
    status, text = run.wait()
    assert time.monotonic() - begin < 15
    assert status == 130, text
    shown = " ".join(text.split())
    assert "stopping: what runs is finished and saved" in shown
    assert "stopped, as you wished: " in shown
    assert "the same command goes on from there" in shown
    assert "Traceback" not in text
    assert_gone(children)
    report, begun = report_of(tmp_path / "out"), calls_in(calls)
    assert_all_are_accounted_for(report, toys)
    assert not report["complete"]
    assert {one["reason"] for one in report["failures"]} == {"not run: the run was stopped"}
    assert not (tmp_path / "out/plots").exists()
    found = run_status(RunDirectory(tmp_path / "out")).datasets
    assert {one.failed for one in found} == {0}
    assert sum(one.done for one in found) == len(begun)
    assert sum(one.left for one in found) == len(toy_events(toys, CHUNK_SIZE)) - len(begun)
    # nothing that was begun is begun again
    seconds.unlink()
    status, text = start(config, f"general.executor={executor}").wait()
    assert status == 0, text
    assert len(begun) < len(toy_events(toys, CHUNK_SIZE))
    assert Counter(calls_in(calls)) == Counter(toy_events(toys, CHUNK_SIZE))
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0, 0.2, 0.6])
@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_processes_that_are_being_started_do_not_notice(executor, pause, config, tmp_path):
    run = start(config, f"general.executor={executor}", command="run")
    assert run.until(lambda: any("spawn_main" in " ".join(one.cmdline()) for one in children_of(run)))
    children = children_of(run)
    time.sleep(pause)
    os.killpg(run.pid, signal.SIGINT)
    status, text = run.wait()
    assert status == 130, text
    assert "Traceback" not in text
    assert "died" not in text
    assert "the same command goes on from there" in " ".join(text.split())
    assert_gone(children)


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_twice_it_ends_at_once_and_what_was_saved_is_kept(executor, config, seconds, tmp_path):
    calls = tmp_path / "calls"
    run = start(config, f"general.executor={executor}", "general.workers=1")
    assert run.wait()[0] == 0
    done = len(calls_in(calls))
    # one more cut: everything is to be computed anew, and takes long
    seconds.write_text("60")
    changed = "good_object_masks.0.static_kwargs.pt=16"
    run = start(config, f"general.executor={executor}", changed, command="run")
    assert run.until(lambda: len(calls_in(calls)) > done)
    children = children_of(run)
    os.kill(run.pid, signal.SIGINT)
    time.sleep(0.5)
    begin = time.monotonic()
    os.kill(run.pid, signal.SIGINT)
    status, text = run.wait()
    assert time.monotonic() - begin < 20
    assert status == 130, text
    assert "interrupted: what was done is kept" in " ".join(text.split())
    assert "Traceback" not in text
    assert_gone(children)
    # what the first run has computed is there
    seconds.unlink()
    again = len(calls_in(calls))
    assert start(config, f"general.executor={executor}").wait()[0] == 0
    assert len(calls_in(calls)) == again


NOTEBOOK = """
from intccms import AnalysisRunner, load_config
runner = AnalysisRunner(load_config({config!r}, ["general.executor=futures"]), progress=False)
result = runner.histogram()
print("complete:", result.succeeded)
"""


@pytest.mark.slow
def test_the_interrupt_of_a_notebook_is_the_first_ctrl_c_and_its_restart_loses_nothing(
    config, seconds, toys, tmp_path, uninterrupted
):
    calls = tmp_path / "calls"
    seconds.write_text("0.3")
    code = NOTEBOOK.format(config=str(config))
    manager, client = start_new_kernel(env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        shown = execute(client, code, lambda: len(calls_in(calls)) >= 4, manager.interrupt_kernel)
        assert "stopped, as you wished: " in shown
        assert "Traceback" not in shown
        begun = calls_in(calls)
        assert len(begun) < len(toy_events(toys, CHUNK_SIZE))
        children = psutil.Process(manager.provisioner.process.pid).children(recursive=True)
        execute(client, code, lambda: len(calls_in(calls)) > len(begun), lambda: None, wait=False)
        manager.restart_kernel(now=True)
        assert_gone(children)
        client.wait_for_ready(timeout=60)
        seconds.unlink()
        assert "complete: True" in execute(client, code, lambda: True, lambda: None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)
    chunks = toy_events(toys, CHUNK_SIZE)
    assert set(calls_in(calls)) == set(chunks)
    assert len(calls_in(calls)) <= len(chunks) + 2 * (os.cpu_count() or 1)


def execute(client, code, until, action, *, wait=True):
    """Run code in a kernel, act in the middle of it, and return what the notebook shows."""
    number = client.execute(code)
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)
    action()
    shown = []
    while wait:
        message = client.get_iopub_msg(timeout=60)
        content = message["content"]
        if message["parent_header"].get("msg_id") == number:
            shown.append(content.get("text", "") + "\n".join(content.get("traceback", ())))
            if content.get("execution_state") == "idle":
                break
    return "\n".join(shown)


@pytest.fixture
def heeding():
    """The signal as Python takes it; jobs in the background of a shell are heedless of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding")
def test_metadata_that_were_read_are_kept():
    """The files are read in this process, which stops itself while the second one is looked at."""
    seen = []

    def look(item):
        seen.append(item)
        if item == 2:
            os.kill(os.getpid(), signal.SIGINT)
            while not asked_to_stop():
                time.sleep(0.001)
        return item

    done = []
    with pytest.raises(StoppedError, match="what ran was finished and saved"):
        done.extend(run_each(Iterative(), look, [1, 2, 3, 4]))
    assert (seen, done) == ([1, 2], [1, 2])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("heeding")
def test_other_handlers_of_the_signal_and_other_threads_are_left_alone():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable(Iterative()) as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, handler)

    def elsewhere():
        with stoppable(Iterative()):
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


@pytest.mark.usefixtures("heeding")
def test_executors_of_coffea_cannot_end_early_so_nothing_changes_there():
    with stoppable(Coffea(None)):
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_listens_is_told_once():
    stop, told = Stop(), threading.Event()
    with stop.telling(told.set):
        stop.request()
        assert told.wait(5)
    assert stop.requested
    assert not stop.at_once
