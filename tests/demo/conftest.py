"""A small demo, generated once for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from intccms.demo import generate

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.demo import DemoTruth

SMALL_SCALE = 1 / 30  # signal files of 200 events


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoTruth]:
    """Folder and truth of a small demo; tests must not change the folder."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, generate(folder, scale=SMALL_SCALE, workers=1)
