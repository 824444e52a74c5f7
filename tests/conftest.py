"""What tests of several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.configurations import minimal

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        if name.partition(".")[0] != "intccms":  # other tests hold on to its functions
            del sys.modules[name]
    sys.path[:] = path
