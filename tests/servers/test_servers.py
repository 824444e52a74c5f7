"""The servers of the tests themselves: on the loopback address only, and gone when they should be."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intccms.utils.xrootd import set_limits
from tests.servers.process import HOST, needs, server_folder

STARTS_BOTH = """
import os, signal
from tests.servers.proxy import proxy
from tests.servers.s3 import s3
from tests.servers.xrootd import xrootd
with xrootd() as one, s3() as two, proxy(two.port) as three:
    print(one.port, two.port, three.port, flush=True)
    signal.pause()
"""


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize("server", ["xrootd_server", "s3_server"])
def test_servers_listen_on_the_loopback_address_only(request, server):
    port = request.getfixturevalue(server).port
    assert is_open(port)
    with socket.socket() as client:
        # another address of this machine, where only who listens on all of them answers
        assert client.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize("server", ["xrootd_server", "s3_server"])
def test_a_server_is_killed_and_started_again_on_the_same_port(request, server):
    started = request.getfixturevalue(server)
    port = started.port
    started.kill()
    assert not is_open(port)
    started.restart()
    assert started.port == port
    assert is_open(port)


def test_servers_die_with_tests_that_are_killed(xrootd_server, s3_server):
    root = Path(__file__).parent.parent.parent
    with server_folder() as folder:  # for what they cannot remove any more
        tests = subprocess.Popen(
            [sys.executable, "-c", STARTS_BOTH],
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        ports = [int(text) for text in tests.stdout.readline().split()]
        assert len(ports) == 3
        assert all(is_open(port) for port in ports)
        tests.send_signal(signal.SIGKILL)
        tests.wait()
        tests.stdout.close()
        end = time.monotonic() + 10
        while any(is_open(port) for port in ports) and time.monotonic() < end:
            time.sleep(0.02)
        assert not any(is_open(port) for port in ports)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_program_that_is_missing_is_a_failure_only_where_everything_must_run(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"no-such-server is not installed: apt-get install it"):
        needs("no-such-server", "apt-get install it")


def test_the_proxy_counts_and_delays_each_direction(s3_server, delay_proxy):
    slow = delay_proxy(s3_server.port)

    def request():
        with socket.create_connection((HOST, slow.port)) as client:
            start = time.perf_counter()
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 ")
            return time.perf_counter() - start

    assert min(request() for _ in range(3)) < 0.15
    slow.delay(there=0.1, back=0.05)
    assert request() >= 0.15
    assert slow.connections == slow.round_trips == 4
    slow.go_on()
    slow.answer(503, "SlowDown", times=1)
    with socket.create_connection((HOST, slow.port)) as client:
        client.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert client.recv(1000).startswith(b"HTTP/1.1 503 SlowDown")
    assert min(request() for _ in range(3)) < 0.15


def test_the_proxy_counts_the_requests_of_xrootd_by_kind(xrootd_server, s3_server, delay_proxy):
    set_limits()  # before the client is imported
    from XRootD import client
    from XRootD.client.flags import OpenFlags

    content = bytes(range(256)) * 40_000  # in many pieces
    path = f"/store/{secrets.token_hex(4)}"
    proxy = delay_proxy(xrootd_server.port)
    assert proxy.requests == {}
    with client.File() as file:
        assert file.open(f"root://{HOST}:{proxy.port}/{path}", OpenFlags.NEW)[0].ok
        assert file.write(content)[0].ok
        assert file.read(0, 1000)[1] == content[:1000]
        assert file.vector_read([(0, 10), (1000, 10)])[0].ok
    counts = proxy.requests
    assert (counts.pop("protocol"), counts.pop("login")) == (1, 1)
    assert counts == {"open": 1, "write": 1, "read": 1, "readv": 1, "close": 1}
    other = delay_proxy(s3_server.port)
    with socket.create_connection((HOST, other.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + content[:1000])
        assert connection.recv(100).startswith(b"HTTP/1.1 ")
    assert other.requests == {}
