"""Clients of facilities: what is started is closed, what cannot be had is an error in bounded time."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster
from distributed.comm.core import CommClosedError

from intccms.errors import ConfigError, FacilityError
from intccms.facilities import acquire_client, local
from intccms.utils import dask_client


def test_a_local_cluster_works_and_is_closed_at_the_end():
    with acquire_client("local", num_workers=1) as (client, cluster):
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        assert list(client.nthreads().values()) == [1]
        assert cluster is not None
    assert client.status == "closed"
    assert cluster.status.name == "closed"


def test_it_is_closed_after_an_exception_too():
    with pytest.raises(ZeroDivisionError), acquire_client("local", num_workers=1) as (client, cluster):
        raise ZeroDivisionError
    assert (client.status, cluster.status.name) == ("closed", "closed")


async def heartbeat_that_fails(error, dask_worker):
    """Let a heartbeat of a worker end with an error, and nothing else of it."""

    async def failing(**_):
        raise error

    scheduler, dask_worker.scheduler = dask_worker.scheduler, SimpleNamespace(heartbeat_worker=failing)
    try:
        await dask_worker.heartbeat()
    finally:
        dask_worker.scheduler = scheduler


def test_workers_say_nothing_of_a_scheduler_that_has_closed_their_connections(capfd):
    with acquire_client("local", num_workers=1) as (client, _):
        client.run(heartbeat_that_fails, CommClosedError("Stream is closed"))
        assert capfd.readouterr().err == ""
        client.run(heartbeat_that_fails, OSError("no route to host"))
        assert "no route to host" in capfd.readouterr().err


@pytest.fixture(scope="module")
def running():
    """A scheduler with one worker, which somebody else started."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def test_an_address_connects_to_what_runs_there_and_leaves_it_running(running):
    with acquire_client(running.scheduler_address, num_workers=1) as (client, cluster):
        assert cluster is None
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert client.status == "closed"
    assert running.status.name == "running"


def test_a_client_can_be_kept_open(running):
    with acquire_client(running.scheduler_address, close_after=False) as (client, _):
        pass
    try:
        assert client.status == "running"
    finally:
        client.close()


def test_workers_that_do_not_come_are_an_error_that_counts_those_that_did(running, monkeypatch):
    monkeypatch.setattr(local, "WORKERS_TIMEOUT", 0.5)
    made = []
    monkeypatch.setattr(
        "distributed.Client", lambda *args, **options: made.append(Client(*args, **options)) or made[0]
    )
    with (
        pytest.raises(FacilityError, match=r"has 1 worker\(s\) after 0.5 s, and 5 were asked for"),
        acquire_client(running.scheduler_address, num_workers=5),
    ):
        pytest.fail("there are no five workers")
    assert made[0].status == "closed"


def test_an_address_where_nobody_listens_is_an_error_in_bounded_time(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(local, "CONNECT_TIMEOUT", 1)
    begin = time.monotonic()
    with (
        pytest.raises(
            FacilityError, match=rf"scheduler at tcp://127.0.0.1:{port}: .*Is it running, and reachable"
        ),
        acquire_client(f"tcp://127.0.0.1:{port}"),
    ):
        pytest.fail("nobody listens there")
    assert time.monotonic() - begin < 15


def test_an_address_of_an_unknown_protocol_is_an_error():
    with (
        pytest.raises(FacilityError, match="cannot use the Dask scheduler at gopher://localhost:70"),
        acquire_client("gopher://localhost:70"),
    ):
        pytest.fail("there is no such protocol")


@pytest.mark.parametrize(
    ("name", "near"), [("locl", "Did you mean 'local'?"), ("Local", "Did you mean 'local'?"), ("moon", "")]
)
def test_an_unknown_facility_is_an_error_with_the_nearest_name(name: str, near: str):
    with pytest.raises(ConfigError) as info, acquire_client(name):
        pytest.fail("there is no such facility")
    assert str(info.value).startswith(f"there is no facility '{name}'.")
    assert near in str(info.value)
    assert "tls://host:8786" in str(info.value)


def test_the_documented_import_path_gives_the_same_function():
    assert dask_client.acquire_client is acquire_client


def test_the_time_out_is_given_to_the_client(monkeypatch):
    given = {}

    def client(address, **options):
        given.update(options)
        raise ConnectionRefusedError

    monkeypatch.setattr("distributed.Client", client)
    with pytest.raises(FacilityError), acquire_client("tcp://127.0.0.1:1"):
        pytest.fail("the client was refused")
    assert given == {"timeout": f"{local.CONNECT_TIMEOUT}s"}
    assert Client is not client
