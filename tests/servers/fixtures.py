"""Fixtures: servers for the tests of one module, and a proxy for one test."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.proxy import proxy
from tests.servers.runs import start_run
from tests.servers.s3 import s3
from tests.servers.xrootd import xrootd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.proxy import Proxy
    from tests.servers.runs import UserRun
    from tests.servers.s3 import S3Server
    from tests.servers.xrootd import XRootDServer


@pytest.fixture(scope="module")
def xrootd_module_server() -> Iterator[XRootDServer]:
    with xrootd() as server:
        yield server


@pytest.fixture
def xrootd_server(xrootd_module_server: XRootDServer) -> Iterator[XRootDServer]:
    """A running XRootD server; what a test did to it is mended for the next one."""
    yield xrootd_module_server
    xrootd_module_server.mend()


@pytest.fixture(scope="module")
def s3_module_server() -> Iterator[S3Server]:
    with s3() as server:
        yield server


@pytest.fixture
def s3_server(s3_module_server: S3Server) -> Iterator[S3Server]:
    """A running S3 server; what a test did to it is mended for the next one."""
    yield s3_module_server
    s3_module_server.mend()


@pytest.fixture
def delay_proxy() -> Iterator[Callable[[int], Proxy]]:
    """Gives a proxy before a port."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(proxy(port))


@pytest.fixture
def new_name() -> str:
    """A name that no other test uses, for a folder on a server of the module."""
    return secrets.token_hex(4)


@pytest.fixture
def user_run(tmp_path: Path) -> Iterator[Callable[..., UserRun]]:
    """Start runs; what a test that failed leaves of them is killed."""
    started = []

    def start(*arguments: Any, **more: Any) -> UserRun:
        started.append(start_run(tmp_path / "run", *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.kill()
