"""One contract for all executors: every item comes back once, as its result or as lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from coffea.processor import FuturesExecutor, IterativeExecutor

from intccms.analysis.executors import Lost
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


def die_once(marker: tuple[Path, int]) -> int:
    path, number = marker
    if number == 3 and not path.exists():
        path.touch()
        os._exit(9)
    return number


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
        assert [one.item for one in lost] == [3]
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
        return Futures(2)

    def test_items_run_in_as_many_processes_as_asked_for_and_none_is_left(self, executor):
        pids = set(executor.map(process_id, range(8)))
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert not any(child.pid in pids for child in multiprocessing.active_children())

    def test_a_task_whose_process_died_once_runs_again(self, executor, tmp_path, caplog):
        with caplog.at_level(logging.WARNING, logger="intccms"):
            results = list(executor.map(die_once, [(tmp_path / "died", n) for n in range(5)]))
        assert sorted(results) == [0, 1, 2, 3, 4]
        assert "a worker process died" in caplog.text

    def test_deaths_beside_other_tasks_cost_only_the_killer(self, executor):
        results = list(executor.map(die_on_three, range(8)))
        assert [one.item for one in results if isinstance(one, Lost)] == [3]
        assert len(results) == 8

    def test_an_exception_of_the_function_ends_the_map_and_its_processes(self, executor):
        with pytest.raises(ZeroDivisionError):
            list(executor.map(lambda n: 1 / n, [1, 0, 2]))
        assert multiprocessing.active_children() == []


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

    def test_the_client_of_the_user_stays_open(self, executor, client):
        executor.close()
        assert client.status == "running"


def spawned(**options):
    pool = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))
    return FuturesExecutor(workers=1, status=False, pool=pool, retries=0, **options)


class TestCoffeaIterative(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Coffea(IterativeExecutor(status=False))


class TestCoffeaFutures(SurvivesDeaths):
    @pytest.fixture
    def executor(self):
        return Coffea(spawned())

    def test_an_executor_that_fails_as_a_whole_loses_all_its_items_with_the_reason(self, executor):
        results = list(executor.map(die_on_three, [3, 4]))
        assert all(isinstance(one, Lost) for one in results)
        assert "FuturesExecutor" in results[0].reason or "no result" in results[0].reason
