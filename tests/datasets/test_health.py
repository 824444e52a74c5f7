"""Hosts that did not answer go last for a while, in every process of a run."""

from __future__ import annotations

import pickle

import pytest

from intccms.datasets.health import HostHealth, is_fault_of_host

A, B, C = "root://a:1094//store/x", "root://b//store/x", "s3://c/store/x"
SILENT = TimeoutError("the server does not answer")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return HostHealth(clock)


def translated(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError("Failed to open file: [ERROR] Operation expired"), True),
        (OSError("Failed to open file: [FATAL] Connection error"), True),
        (OSError("Failed to open file: [FATAL] Socket timeout"), True),
        (OSError("Failed to open file: [FATAL] Invalid address"), True),
        (translated(ValueError("cannot read x"), TimeoutError()), True),
        (OSError("[ERROR] Server responded with an error: [3011] No such file"), False),
        (OSError("Failed to open file: [FATAL] Auth failed: No protocols left to try"), False),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (ValueError("not a ROOT file"), False),
        (None, False),
    ],
)
def test_what_is_the_fault_of_a_host(error, expected):
    assert is_fault_of_host(error) is expected


def test_the_order_given_holds_while_all_is_well(health):
    assert health.order([B, A, C]) == (B, A, C)
    health.failed(A, FileNotFoundError())
    assert health.order([A, B]) == (A, B)


def test_a_host_that_does_not_answer_goes_last_and_is_never_left_out(health):
    health.failed(A, SILENT)
    assert health.order([A, B, C]) == (B, C, A)
    assert health.order(["root://a:1094//store/other", B]) == (B, "root://a:1094//store/other")
    health.failed(B, SILENT)
    assert health.order([A, B, C]) == (C, A, B)
    assert health.order([A]) == (A,)


def test_other_ports_and_local_paths_are_other_hosts(health):
    health.failed("/data/x.root", SILENT)
    health.failed(A, SILENT)
    assert health.order(["/data/x.root", A, "root://a:1095//store/x"]) == (
        "/data/x.root",
        "root://a:1095//store/x",
        A,
    )


def test_it_gets_another_chance_and_longer_pauses(health, clock):
    health.failed(A, SILENT)
    clock.now += 59
    assert health.order([A, B]) == (B, A)
    clock.now += 2
    assert health.order([A, B]) == (A, B)
    health.failed(A, SILENT)
    clock.now += 119
    assert health.order([A, B]) == (B, A)
    clock.now += 2
    assert health.order([A, B]) == (A, B)
    for _ in range(9):
        health.failed(A, SILENT)
        clock.now += 901
    assert health.order([A, B]) == (A, B), "the pauses do not grow for ever"


def test_failures_at_the_same_time_count_once(health, clock):
    for _ in range(20):
        health.failed(A, SILENT)
    clock.now += 61
    assert health.order([A, B]) == (A, B)


def test_an_answer_makes_it_well(health, clock):
    health.failed(A, SILENT)
    health.worked(A)
    assert health.order([A, B]) == (A, B)
    health.failed(A, SILENT)
    clock.now += 61
    assert health.order([A, B]) == (A, B), "the first pause again"


def test_news_travel_between_processes_whose_clocks_differ(health, clock):
    other_clock = Clock()
    other_clock.now = 1e6
    other = HostHealth(other_clock)
    health.failed(A, SILENT)
    clock.now += 20
    other.learn(pickle.loads(pickle.dumps(health.news())))
    assert health.news() == {}
    assert other.order([A, B]) == (B, A)
    other_clock.now += 41
    assert other.order([A, B]) == (A, B)
    other.worked(A)
    health.learn(other.news())
    assert health.order([A, B]) == (A, B)


def test_what_is_known_is_told_to_newcomers(health, clock):
    health.failed(A, SILENT)
    health.news()
    newcomer = HostHealth(clock)
    newcomer.learn(health.known())
    assert newcomer.order([A, B]) == (B, A)
    clock.now += 61
    assert health.known() == {}


def test_a_password_in_a_url_is_told_to_nobody(health, caplog):
    health.failed("root://me:secret@host//x", SILENT)
    assert health.order(["root://host//y", B]) == (B, "root://host//y")
    assert "secret" not in caplog.text + str(health.news())
