"""What is lost with its worker runs again; what kills three of them is given up."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from intccms.analysis import scheduling
from intccms.analysis.executors import Lost
from intccms.analysis.executors.processes import Futures
from intccms.analysis.results import Chunk, ChunkFailure, Receipt, Work
from intccms.analysis.scheduling import run_each
from intccms.datasets import SourceFile
from intccms.errors import OutputError
from intccms.skimming.parts import SkimPart


def outcome(number: int, *, kept: int, silent: bool | None = None, seconds: float = 1.0):
    """Return what became of a chunk of a skim: a failure if it is told whether the storage was silent."""
    file = ("part.parquet", 1, "sha256:00") if kept else (None, 0, "")
    part = SkimPart(0, 10, kept, 1.0, (), *file)
    chunk = Chunk(
        "tt", 0, SourceFile("a", ("a",)), "Events", None, 10 * number, 10 * number + 10, number, "", part
    )
    if silent is not None:
        return ChunkFailure(chunk, "InputFileError: given up.", "", silent=silent)
    return Receipt(Work(chunk, ("SR",), None), cpu_seconds=seconds)


@pytest.mark.parametrize(
    ("between", "ends"),
    [
        ([], True),
        ([outcome(1, kept=0)], True),
        ([outcome(1, kept=3, seconds=0.0)], True),
        ([outcome(1, kept=3, silent=False)], True),
        ([outcome(1, kept=3)], False),
    ],
    ids=[
        "nothing",
        "an empty part",
        "a chunk that was done before",
        "a chunk that fails for itself",
        "a part that came",
    ],
)
def test_skims_are_given_up_when_no_part_comes_any_more(between, ends, monkeypatch):
    monkeypatch.setattr(scheduling, "time", SimpleNamespace(monotonic=iter((5.0, 6.0)).__next__))
    monkeypatch.setattr(scheduling, "_LONGEST_SILENCE", 1.0)
    silence = scheduling._Silence()
    silence.note(outcome(0, kept=3, silent=True))
    for one in between:
        silence.note(one)
    with pytest.raises(OutputError, match="2 parts in a row") if ends else nullcontext():
        silence.note(outcome(2, kept=3, silent=True))


def killing(item: str, *, folder: Path) -> str:
    """Kill this process as often as the name of the item says, then return it; each call leaves a file."""
    calls = len(list(folder.glob(f"{item}.*")))
    (folder / f"{item}.{calls}").touch()
    if calls < int(item[-1]):
        os._exit(1)
    return item


@pytest.mark.slow
def test_an_item_runs_again_until_three_workers_have_died_of_it(tmp_path):
    items = ["kills0", "also0", "kills1", "kills2", "kills9"]
    done = list(run_each(Futures(2), partial(killing, folder=tmp_path), items))
    (lost,) = [one for one in done if isinstance(one, Lost)]
    assert (lost.item, lost.deaths) == ("kills9", 3)
    assert sorted(one for one in done if one is not lost) == ["also0", "kills0", "kills1", "kills2"]
    calls = {item: len(list(tmp_path.glob(f"{item}.*"))) for item in items}
    assert calls == {"kills0": 1, "also0": 1, "kills1": 2, "kills2": 3, "kills9": 3}
