"""One contract for all executors: every item comes back once, as its result or as lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
from coffea.processor import FuturesExecutor, IterativeExecutor

from intccms.analysis.executors import Lost, make_executor
from intccms.analysis.executors.base import Iterative
from intccms.analysis.executors.of_coffea import Coffea
from intccms.analysis.executors.on_dask import Dask
from intccms.analysis.executors.processes import Futures


def square(number: int) -> int:
    return number * number


def process_id(_item: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def die_on_three(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def leave_a_trace_and_die(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    os._exit(9)


def kill_myself(number: int) -> None:
    os.kill(os.getpid(), number)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


class ExecutorContract:
    """What `map` promises."""

    @pytest.fixture
    def executor(self):
        raise NotImplementedError

    @pytest.mark.parametrize("width", [None, 1])
    def test_every_item_has_one_result(self, executor, width):
        assert sorted(executor.map(square, range(9), width=width)) == [n * n for n in range(9)]

    def test_nothing_gives_nothing(self, executor):
        assert list(executor.map(square, [])) == []

    def test_a_function_with_state_travels(self, executor):
        offset = 100
        assert sorted(executor.map(lambda n: n + offset, [1, 2])) == [101, 102]

    @pytest.mark.slow
    def test_it_can_be_used_again_after_its_results_were_left_unread(self, executor):
        results = executor.map(square, range(6))
        next(results)
        results.close()
        assert sorted(executor.map(square, [2, 3])) == [4, 9]

    def test_it_has_workers(self, executor):
        assert executor.workers >= 1


class SurvivesDeaths:
    """Further promises of executors with processes of their own."""

    def test_a_task_that_kills_its_process_is_lost_and_alone(self, executor):
        # one at a time, so that nothing stands in line behind the killer
        results = list(executor.map(die_on_three, range(6), width=1))
        lost = [one for one in results if isinstance(one, Lost)]
        assert [(one.item, one.deaths) for one in lost] == [(3, 1)]
        assert sorted(one for one in results if not isinstance(one, Lost)) == [0, 1, 2, 4, 5]


class TestIterative(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Iterative()

    def test_results_come_in_order_while_they_are_made(self, executor):
        seen = []
        for result in executor.map(lambda n: seen.append(n) or n, [3, 1, 2]):
            assert seen[-1] == result
        assert seen == [3, 1, 2]


class TestFutures(ExecutorContract, SurvivesDeaths):
    @pytest.fixture
    def executor(self):
        executor = Futures(2)
        yield executor
        executor.close()

    def test_items_run_in_as_many_processes_as_asked_for_and_none_is_left(self, executor):
        pids = set(executor.map(process_id, range(8)))
        assert len(pids) == 2
        assert os.getpid() not in pids
        executor.close()
        assert not any(child.pid in pids for child in multiprocessing.active_children())

    def test_processes_are_kept_from_one_map_to_the_next(self, executor):
        pids = set(executor.map(process_id, range(8)))
        assert set(executor.map(process_id, range(8))) == pids
        assert set(executor.map(process_id, range(3), width=1)) < pids

    @pytest.mark.slow
    def test_one_that_died_while_it_was_idle_is_replaced(self, executor):
        pids = set(executor.map(process_id, range(8)))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        while not all(worker.pool._broken for worker in executor._idle):  # told by a thread of each pool
            time.sleep(0.01)
        after = list(executor.map(process_id, range(8)))
        assert all(isinstance(one, int) for one in after)
        assert not set(after) & pids

    def test_the_first_death_is_a_loss_and_not_tried_again(self, executor, tmp_path, caplog):
        with caplog.at_level(logging.WARNING, logger="intccms"):
            (lost,) = executor.map(leave_a_trace_and_die, [tmp_path])
        assert len(list(tmp_path.iterdir())) == 1
        assert (lost.item, lost.deaths, lost.memory) == (tmp_path, 1, False)
        assert lost.reason == "its worker process died (exit status 9)"
        assert "a worker process died" in caplog.text

    def test_one_that_is_killed_may_have_been_short_of_memory(self, executor):
        (lost,) = executor.map(kill_myself, [signal.SIGKILL])
        assert lost.memory
        assert lost.reason == "its worker process died (killed, as the system does when memory is short)"

    @pytest.mark.slow
    def test_deaths_beside_other_tasks_cost_only_the_killer(self, executor):
        results = list(executor.map(die_on_three, range(8)))
        assert [one.item for one in results if isinstance(one, Lost)] == [3]
        assert len(results) == 8

    def test_an_exception_of_the_function_ends_the_map_and_its_processes(self, executor):
        with pytest.raises(ZeroDivisionError):
            list(executor.map(lambda n: 1 / n, [1, 0, 2]))
        assert multiprocessing.active_children() == []

    @pytest.mark.slow
    @pytest.mark.parametrize("holds_pipes", [False, True], ids=["alone", "a fork holds its pipes"])
    def test_the_processes_end_when_their_parent_is_killed(self, holds_pipes, tmp_path):
        process = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), str(holds_pipes)])
        try:
            pids = self.wait_for(tmp_path, "worker_", 2)
            forks = self.wait_for(tmp_path, "fork_", 1) if holds_pipes else []
            children = [child.pid for child in psutil.Process(process.pid).children()]
            assert {*pids, *forks} <= set(children)
            # a fork also keeps the process alive with which multiprocessing tracks its resources
            workers = pids if holds_pipes else children
        finally:
            process.kill()
            process.wait()
        deadline = time.monotonic() + 5
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = [pid for pid in workers if is_running(pid)]
        for pid in [*left, *forks]:
            os.kill(pid, signal.SIGKILL)
        assert left == []

    @staticmethod
    def wait_for(folder, prefix, number):
        deadline = time.monotonic() + 60
        while len(found := list(folder.glob(f"{prefix}*"))) < number:
            assert time.monotonic() < deadline, f"only {found} of {number} processes started"
            time.sleep(0.05)
        return [int(path.name.removeprefix(prefix)) for path in found]


PARENT = """
import os, sys, time
from pathlib import Path
from intccms.analysis.executors.processes import Futures

def sleep(folder):
    (folder / f"worker_{os.getpid()}").touch()
    time.sleep(300)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if sys.argv[2] == "True":
        import threading
        def fork_later():
            while len(list(folder.glob("worker_*"))) < 2:
                time.sleep(0.05)
            if os.fork() == 0:
                (folder / f"fork_{os.getpid()}").touch()
                time.sleep(300)
        threading.Thread(target=fork_later, daemon=True).start()
    list(Futures(2).map(sleep, [folder, folder]))
"""


class TestDask(ExecutorContract, SurvivesDeaths):
    @pytest.fixture
    def executor(self, client):
        return Dask(client)

    def test_more_items_than_are_submitted_at_a_time_all_come_back(self, executor):
        assert sorted(executor.map(square, range(60))) == [n * n for n in range(60)]

    def test_an_exception_of_the_function_is_a_loss_with_its_reason(self, executor):
        results = list(executor.map(lambda n: 1 / n, [1, 0]))
        (lost,) = [one for one in results if isinstance(one, Lost)]
        assert (lost.item, lost.reason) == (0, "ZeroDivisionError: division by zero")

    def test_deaths_are_counted_as_the_scheduler_allows_them(self, client):
        before = client.run_on_scheduler(_allow_failures, allowed=1)
        try:
            (lost,) = Dask(client).map(die_on_three, [3])
        finally:
            client.run_on_scheduler(_allow_failures, allowed=before)
        assert lost.deaths == 2
        assert lost.reason.startswith("its worker process died 2 times (out of memory")

    def test_the_client_of_the_user_stays_open(self, executor, client):
        executor.close()
        assert client.status == "running"


def _allow_failures(dask_scheduler, allowed: int) -> int:
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, allowed
    return before


def test_a_local_cluster_reports_the_first_death(tmp_path):
    executor = make_executor("dask", workers=1, client=None, modules=())
    try:
        (lost,) = executor.map(leave_a_trace_and_die, [tmp_path])
    finally:
        executor.close()
    assert (lost.deaths, len(list(tmp_path.iterdir()))) == (1, 1)


def spawned(**options):
    pool = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))
    return FuturesExecutor(workers=1, status=False, pool=pool, retries=0, **options)


class TestCoffeaIterative(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Coffea(IterativeExecutor(status=False))


@pytest.mark.slow
class TestCoffeaFutures(SurvivesDeaths):
    @pytest.fixture
    def executor(self):
        return Coffea(spawned())

    def test_an_executor_that_fails_as_a_whole_loses_all_its_items_with_the_reason(self, executor):
        results = list(executor.map(die_on_three, [3, 4]))
        assert all(isinstance(one, Lost) and one.deaths == 1 for one in results)
        assert "FuturesExecutor" in results[0].reason or "no result" in results[0].reason
