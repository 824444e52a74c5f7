"""What is lost with its worker runs again; what kills three of them is given up."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from intccms.analysis.executors import Lost
from intccms.analysis.executors.processes import Futures
from intccms.analysis.scheduling import run_each


def killing(item: str, *, folder: Path) -> str:
    """Kill this process as often as the name of the item says, then return it; each call leaves a file."""
    calls = len(list(folder.glob(f"{item}.*")))
    (folder / f"{item}.{calls}").touch()
    if calls < int(item[-1]):
        os._exit(1)
    return item


def test_an_item_runs_again_until_three_workers_have_died_of_it(tmp_path):
    items = ["kills0", "also0", "kills1", "kills2", "kills9"]
    done = list(run_each(Futures(2), partial(killing, folder=tmp_path), items))
    (lost,) = [one for one in done if isinstance(one, Lost)]
    assert (lost.item, lost.deaths) == ("kills9", 3)
    assert sorted(one for one in done if one is not lost) == ["also0", "kills0", "kills1", "kills2"]
    calls = {item: len(list(tmp_path.glob(f"{item}.*"))) for item in items}
    assert calls == {"kills0": 1, "also0": 1, "kills1": 2, "kills2": 3, "kills9": 3}
