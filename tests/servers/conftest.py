"""The servers are there for every test of this folder; others import `tests.servers.fixtures`."""

from __future__ import annotations

from tests.servers.fixtures import *
