"""What tests of several folders share."""

from __future__ import annotations

import os
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.configurations import minimal

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for tests that take long."""
    parser.addoption("--slow", action="store_true", help="run the tests too that take long, as CI=true does")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of tests that take long."""
    config.addinivalue_line("markers", "slow: takes long; runs with --slow and where CI=true")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that take long, unless they are wanted."""
    if config.getoption("--slow") or os.environ.get("CI") == "true":
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes long: pytest --slow runs it"))


@pytest.fixture
def configuration() -> dict[str, Any]:
    """Return the dict of a small, valid configuration, new for each test."""
    return minimal()


@pytest.fixture
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test import users' modules without leaving them behind."""
    import sys

    modules, path = dict(sys.modules), list(sys.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in set(sys.modules) - set(modules):
        # libraries stay: imported once more, matplotlib and others are at odds with what other tests hold of them
        if name.partition(".")[0] != "intccms" and not _is_library(modules=sys.modules, name=name):
            del sys.modules[name]
    sys.path[:] = path


def _is_library(modules: dict[str, Any], name: str) -> bool:
    """Tell whether a module is not a file of a user: installed, of Python itself, or built in."""
    file = getattr(modules[name], "__file__", None)
    return file is None or file.startswith(tuple(sysconfig.get_paths().values()))
