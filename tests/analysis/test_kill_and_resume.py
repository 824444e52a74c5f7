"""Runs that are killed at any moment, workers that die, and two runs at once: the same bits, and nothing done twice."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from intccms.analysis import AnalysisRunner
from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    bits_of,
    calls_in,
    datasets_of,
    note,
    report_of,
    start,
    toy_events,
)
from tests.analysis.toys import dataset, toy_config, write_toy

CHUNK_SIZE = 12
pytestmark = pytest.mark.slow

WORKERS = 2

CONFIG = """
from tests.analysis.breaking import counted_skim
from tests.analysis.toys import toy_config

config = toy_config({datasets!r}, {output!r}, chunk_size={chunk_size}, workers={workers})
config["preprocess"]["skimming"] |= {{
    "function": counted_skim,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"calls": {calls!r}, "seconds": 0.02}},
}}
"""


def write_config(folder: Path, toys) -> Path:
    text = CONFIG.format(
        datasets=datasets_of(toys),
        output=str(folder / "out"),
        chunk_size=CHUNK_SIZE,
        workers=WORKERS,
        calls=str(folder / "calls"),
    )
    path = folder / "analysis_to_be_killed.py"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def uninterrupted(toys, tmp_path_factory):
    """Bits of a run that nobody kills."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    status, text = start(write_config(folder, toys)).wait()
    assert status == 0, text
    assert sorted(calls_in(folder / "calls")) == toy_events(toys, CHUNK_SIZE)
    return bits(folder / "out")


MANY = 20
"""Kills in turn."""

KILLS = {
    "one process": ("iterative", True, False, MANY),
    "one process while it writes skims": ("iterative", True, True, MANY),
    "a process with its workers, while they write skims": ("futures", True, True, 3),
    "a process whose workers live on for a moment": ("futures", False, False, 3),
}


@pytest.mark.parametrize("case", KILLS)
def test_a_run_killed_at_random_moments_is_completed_without_doing_anything_twice(
    case, toys, tmp_path, uninterrupted
):
    executor, group, skims, moments = KILLS[case]
    config, calls = write_config(tmp_path, toys), tmp_path / "calls"
    overrides = [f"general.executor={executor}", f"general.save_skimmed_output={skims}"]
    draw, kills = random.Random(20_260_801), 0
    for _ in range(moments):
        # one more than there are workers: at least one chunk was committed in this run
        more = len(calls_in(calls)) + WORKERS + draw.choice([1, 1, 2, 3])
        run = start(config, *overrides)
        if not run.until(lambda more=more: len(calls_in(calls)) >= more):
            assert run.wait()[0] == 0
            break
        time.sleep(draw.uniform(0, 0.05))
        if run.process.is_alive():
            run.kill(group=group)
            kills += 1
    assert kills > moments // 2  # a slow watcher may let a run come to its end
    status, text = start(config, *overrides).wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)
    chunks, begun = toy_events(toys, CHUNK_SIZE), Counter(calls_in(calls))
    assert sorted(begun) == chunks
    assert begun.total() <= len(chunks) + kills * (WORKERS if executor == "futures" else 1)
    report = report_of(tmp_path / "out")
    assert (report["complete"], report["failures"]) == (True, [])
    assert sum(one["reused"] for one in report["datasets"]) >= kills
    if skims:
        assert_skims_are_whole(tmp_path / "out" / "skimmed", toys)


def test_a_killed_process_takes_its_dask_cluster_along(toys, tmp_path, uninterrupted):
    config, calls = write_config(tmp_path, toys), tmp_path / "calls"
    run = start(config, "general.executor=dask")
    assert run.until(lambda: len(calls_in(calls)) >= 5)
    children = psutil.Process(run.pid).children(recursive=True)
    assert len(children) >= WORKERS
    run.kill(group=False)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    status, text = start(config).wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)
    chunks, begun = toy_events(toys, CHUNK_SIZE), calls_in(calls)
    assert set(begun) == set(chunks)
    assert len(begun) <= len(chunks) + WORKERS


@pytest.mark.slow
def test_a_kill_before_anything_was_computed_leaves_a_directory_that_the_next_run_takes(
    toys, tmp_path, uninterrupted
):
    config, draw = write_config(tmp_path, toys), random.Random(11)
    for _ in range(4):
        run = start(config)
        time.sleep(draw.uniform(0.05, 0.5))
        if run.process.is_alive():
            run.kill(group=False)
    status, text = start(config).wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)


@pytest.mark.slow
def test_of_two_runs_on_one_directory_the_second_is_refused_and_the_first_ends_well(
    toys, tmp_path, uninterrupted
):
    config, calls = write_config(tmp_path, toys), tmp_path / "calls"
    first = start(config)
    assert first.until(lambda: len(calls_in(calls)) > 2)
    status, text = start(config, command="run").wait()
    assert status == 2
    shown = " ".join(text.split())
    assert f"is in use by process {first.pid} on {socket.gethostname()} since " in shown
    assert "Wait for it or stop it" in shown
    status, text = first.wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)
    assert sorted(calls_in(calls)) == toy_events(toys, CHUNK_SIZE)


@pytest.mark.slow
def test_a_run_of_another_configuration_in_between_does_not_spoil_the_first(toys, tmp_path, uninterrupted):
    config, calls = write_config(tmp_path, toys), tmp_path / "calls"
    run = start(config)
    assert run.until(lambda: len(calls_in(calls)) > 5)
    run.kill(group=True)
    assert start(config, "preprocess.skimming.chunk_size=50", "general.channels=all").wait()[0] == 0
    status, text = start(config).wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "out"), uninterrupted)


def killing_skim(met, events, *, calls, numbers, once):
    """Skim that ends its process in the chunk of a number; only once if a path is given."""
    note(calls, events)
    if any(number in np.asarray(events).tolist() for number in numbers) and not (
        once and Path(once).exists()
    ):
        if once:
            Path(once).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"MET > 20 GeV": met > 20}


@pytest.fixture
def sixteen(tmp_path):
    """A file of sixteen chunks, numbered by their first events, in groups of two for two workers."""
    return write_toy(tmp_path / "sixteen.root", 160, 7)


def config_that_kills(toy, folder, executor, *, numbers, once):
    config = toy_config(
        [dataset("tt", toy)], folder / "out", chunk_size=10, executor=executor, workers=WORKERS
    )
    config["preprocess"]["skimming"] |= {
        "function": killing_skim,
        "use": [("MET", "pt"), ("event", "event")],
        "static_kwargs": {
            "calls": str(folder / "calls"),
            "numbers": numbers,
            "once": str(folder / "died") if once else "",
        },
    }
    return config


def without_deaths(toy, folder):
    config = config_that_kills(toy, folder / "calm", "iterative", numbers=[], once=False)
    (folder / "calm").mkdir()
    return bits_of(AnalysisRunner(config, progress=False).histogram().output)


@pytest.mark.parametrize("executor", ["futures", pytest.param("dask", marks=pytest.mark.slow)])
def test_what_a_dead_worker_had_committed_is_not_computed_again(
    executor, sixteen, tmp_path, client, run_quietly
):
    number = 7_033  # in the second chunk of a group of two
    config = config_that_kills(sixteen, tmp_path, executor, numbers=[number], once=True)
    result = run_quietly(config, client if executor == "dask" else None)
    assert result.succeeded
    begun = Counter(calls_in(tmp_path / "calls"))
    # Dask restarts what stood in line at the worker as well, which had not begun
    assert begun == {first: 2 if first == 7_030 else 1 for first in range(7_000, 7_160, 10)}
    assert_same_bits(bits_of(result.output), without_deaths(sixteen, tmp_path))


@pytest.mark.parametrize("executor", ["futures", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_chunk_that_always_kills_its_worker_is_given_up_after_three_deaths(
    executor, sixteen, tmp_path, client, run_quietly
):
    config = config_that_kills(sixteen, tmp_path, executor, numbers=[7_033], once=False)
    result = run_quietly(config, client if executor == "dask" else None)
    (failure,) = report_of(tmp_path / "out")["failures"]
    assert [(one["start"], one["stop"]) for one in failure["chunks"]] == [(30, 40)]
    assert re.search("its worker process died", failure["reason"])
    assert result.output["report"]["datasets"][0]["processed"] == 150
    begun = Counter(calls_in(tmp_path / "calls"))
    assert begun == {first: 3 if first == 7_030 else 1 for first in range(7_000, 7_160, 10)}
    # the next run tries that one again, and nothing else
    run_quietly(config, client if executor == "dask" else None)
    assert Counter(calls_in(tmp_path / "calls")) - begun == {7_030: 3}
