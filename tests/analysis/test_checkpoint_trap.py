"""A changed cut is a changed result, wherever the change is; a stored result of the old cut never stands for it.

Every run is a process of its own that loads the files as they are then. The truth is made with NumPy from the numbers
that were drawn.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from coffea.util import load

from tests.analysis.breaking import calls_in, report_of, start
from tests.analysis.toys import dataset

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_SIZE = 90
CHUNKS = 5 + 3  # of 450 and 230 events
EDGES = [0.0, 20.0, 50.0, 100.0, 300.0]

ANALYSIS = '''
"""An analysis whose cut hangs on everything that a cut can hang on."""
import json
from pathlib import Path

import cuts_of_trap
from tests.analysis.breaking import note

HERE = Path(__file__).parent
PT_MIN = 10.0


def above(threshold):
    def passes(met):
        return met > threshold

    return passes


passes = above(5.0)


def chosen(met, events, *, name, table, highest=250.0):
    """Select."""
    note(str(Path(__file__).with_name(f"calls-{name}")), events)
    factor = json.loads(Path(table).read_text())["factor"]
    # below the limit
    scaled = cuts_of_trap.scaled(met) * factor
    return (scaled > PT_MIN) & (scaled < highest) & passes(met) & (met > 1.0)


def anything(met, events, *, name):
    note(str(Path(__file__).with_name(f"calls-{name}")), events)
    return met > 30


def same(values):
    return values


def channel(name, function, **constants):
    return {
        "name": name,
        "selection": {
            "function": function,
            "use": [("MET", "pt"), ("event", "event")],
            "static_kwargs": {"name": name, **constants},
        },
        "observables": [{"name": "met", "function": same, "use": [("MET", "pt")], "binning": %(edges)r}],
    }


config = {
    "general": {"lumi": 50.0, "executor": "iterative", "output_dir": str(HERE / "out")},
    "datasets": {"datasets": %(datasets)r},
    "preprocess": {"skimming": {"chunk_size": %(chunk_size)d}},
    "channels": [channel("A", chosen, table=str(HERE / "table.json")), channel("B", anything)],
}
'''

CUTS = '''
"""Cuts."""

FACTOR = 1.0


def scaled(values):
    return _moved(values) * FACTOR


def _moved(values):
    return values + 0.0
'''


@dataclass
class Cut:
    """The parameters of channel A, for the truth."""

    pt_min: float = 10.0
    highest: float = 250.0
    least: float = 5.0
    table: float = 1.0
    factor: float = 1.0
    moved: float = 0.0
    last: float = 1.0

    def passes(self, met: np.ndarray) -> np.ndarray:
        scaled = ((met + np.float32(self.moved)) * np.float32(self.factor)) * np.float32(self.table)
        return (scaled > self.pt_min) & (scaled < self.highest) & (met > self.least) & (met > self.last)


@dataclass
class Change:
    """What is edited, and what that makes of the cut."""

    file: str
    old: str
    new: str
    cut: Cut = field(default_factory=Cut)


CHANGES = {
    "the function itself": Change("trap.py", "(met > 1.0)", "(met > 45.0)", Cut(last=45.0)),
    "a function of another module": Change("cuts_of_trap.py", "values + 0.0", "values + 8.0", Cut(moved=8.0)),
    "a constant of another module": Change(
        "cuts_of_trap.py", "FACTOR = 1.0", "FACTOR = 0.5", Cut(factor=0.5)
    ),
    "a closure variable": Change("trap.py", "above(5.0)", "above(55.0)", Cut(least=55.0)),
    "a default argument": Change("trap.py", "highest=250.0", "highest=60.0", Cut(highest=60.0)),
    "a global constant": Change("trap.py", "PT_MIN = 10.0", "PT_MIN = 40.0", Cut(pt_min=40.0)),
    "a payload file": Change("table.json", '{"factor": 1.0}', '{"factor": 0.25}', Cut(table=0.25)),
    "a constant in the configuration": Change(
        "trap.py", "chosen, table=", "chosen, highest=70.0, table=", Cut(highest=70.0)
    ),
}

NO_CHANGES = {
    "a comment": Change("trap.py", "# below the limit", "# under the limit, but above the threshold"),
    "a docstring": Change("trap.py", '"""Select."""', '"""Select events with much missing momentum."""'),
    "a docstring of another module": Change("cuts_of_trap.py", '"""Cuts."""', '"""The cuts of the analysis."""'),
    "an annotation": Change("cuts_of_trap.py", "def _moved(values):", "def _moved(values: object) -> object:"),
    "layout": Change("cuts_of_trap.py", "return _moved(values) * FACTOR", "return (\n        _moved(values)\n        * FACTOR\n    )"),
    "a function that is not used": Change("cuts_of_trap.py", "FACTOR = 1.0", "FACTOR = 1.0\n\n\ndef unused():\n    return 3"),
    "a plot option": Change("trap.py", '"channels": [', '"plotting": {"cms_label": "Mine"},\n    "channels": ['),
}  # fmt: skip


@pytest.fixture(scope="module")
def analysed(toys, tmp_path_factory):
    """A folder with the analysis, run once."""
    folder = tmp_path_factory.mktemp("trap")
    text = ANALYSIS % {
        "edges": EDGES,
        "datasets": [dataset("tt", *toys["tt"], xsec=10.0)],
        "chunk_size": CHUNK_SIZE,
    }
    (folder / "trap.py").write_text(text)
    (folder / "cuts_of_trap.py").write_text(CUTS)
    (folder / "table.json").write_text('{"factor": 1.0}')
    status, printed = start(folder / "trap.py").wait()
    assert status == 0, printed
    assert len(calls_in(folder / "calls-A")) == len(calls_in(folder / "calls-B")) == CHUNKS
    return folder


@pytest.fixture
def analysis(analysed, tmp_path):
    """A copy of that folder with what it computed, and nothing counted yet."""
    folder = tmp_path / "analysis"
    shutil.copytree(analysed, folder)
    for calls in folder.glob("calls-*"):
        calls.unlink()
    return folder


def edit(folder: Path, change: Change) -> None:
    path = folder / change.file
    text = path.read_text()
    assert text.count(change.old) == 1
    path.write_text(text.replace(change.old, change.new))


def run(folder: Path) -> str:
    status, printed = start(folder / "trap.py").wait()
    assert status == 0, printed
    return printed


def assert_true(folder: Path, toys: Any, cut: Cut) -> None:
    """Compare with histograms that NumPy makes of the numbers drawn."""
    met = np.concatenate([toy.columns["MET_pt"] for toy in toys["tt"]])
    weights = np.concatenate([toy.weights for toy in toys["tt"]])
    scale = 10.0 * 50.0 / sum(toy.generated_sumw for toy in toys["tt"])
    output = load(str(folder / "out" / "output.coffea"))
    for channel, passed in (("A", cut.passes(met)), ("B", met > 30)):
        bins = [-np.inf, *EDGES, np.inf]
        expected = np.histogram(met[passed], bins)[0]
        entries = output["entries"][channel]["met"][{"process": "tt"}].view(flow=True)
        assert entries.tolist() == expected.tolist()
        values = output["histograms"][channel]["met"][{"process": "tt", "variation": "nominal"}].view(
            flow=True
        )["value"]
        sums = scale * np.histogram(met[passed], bins, weights=weights[passed])[0]
        np.testing.assert_allclose(values, sums, rtol=0, atol=1e-9 * scale)


def test_the_first_run_is_right(analysed, toys):
    assert_true(analysed, toys, Cut())


@pytest.mark.parametrize("where", CHANGES)
def test_a_changed_cut_gives_the_new_truth_and_computes_its_channel_only(where, analysis, toys):
    change = CHANGES[where]
    edit(analysis, change)
    met = toys["tt"][0].columns["MET_pt"]
    assert not np.array_equal(change.cut.passes(met), Cut().passes(met)), "the change changes nothing"
    run(analysis)
    assert_true(analysis, toys, change.cut)
    assert len(calls_in(analysis / "calls-A")) == CHUNKS
    assert calls_in(analysis / "calls-B") == []
    # and back again: the result of the first cut is still known
    edit(analysis, Change(change.file, change.new, change.old))
    run(analysis)
    assert_true(analysis, toys, Cut())
    assert len(calls_in(analysis / "calls-A")) == CHUNKS


@pytest.mark.parametrize("what", NO_CHANGES)
def test_a_change_that_means_nothing_computes_nothing(what, analysis, toys):
    edit(analysis, NO_CHANGES[what])
    run(analysis)
    assert_true(analysis, toys, Cut())
    assert [report_of(analysis / "out")["datasets"][0][key] for key in ("computed", "reused")] == [0, CHUNKS]
    assert not list(analysis.glob("calls-*"))


def test_changes_in_turn_on_one_ledger_are_each_right_and_each_known_again(analysis, toys):
    for change in [*CHANGES.values()][:3]:
        edit(analysis, change)
        run(analysis)
        edit(analysis, Change(change.file, change.new, change.old))
    assert len(calls_in(analysis / "calls-A")) == 3 * CHUNKS
    for change in [*CHANGES.values()][:3]:
        edit(analysis, change)
        run(analysis)
        assert_true(analysis, toys, change.cut)
        edit(analysis, Change(change.file, change.new, change.old))
    assert len(calls_in(analysis / "calls-A")) == 3 * CHUNKS


UNDIGESTIBLE = {
    "an open file": ("open(__file__)", "LOG"),
    "a lock": ("__import__('threading').Lock()", "LOG"),
    "an iterator": ("iter([1, 2])", "LOG"),
}


@pytest.mark.parametrize("what", UNDIGESTIBLE)
def test_a_cut_that_cannot_be_digested_is_an_error_that_names_it_and_never_a_hit(what, analysis):
    expression, name = UNDIGESTIBLE[what]
    edit(analysis, Change("trap.py", "PT_MIN = 10.0", f"PT_MIN = 10.0\n{name} = {expression}"))
    edit(analysis, Change("trap.py", "    # below the limit\n", f"    assert {name} is not None\n"))
    before = (analysis / "out" / "output.coffea").read_bytes()
    environment_free = [sys.executable, "-m", "intccms", "run", str(analysis / "trap.py"), "--no-progress"]
    ended = subprocess.run(environment_free, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    text = " ".join(ended.stderr.split())
    assert "error: cannot digest channels" in text
    assert f"global '{name}'" in text
    assert "Traceback" not in text
    assert not list(analysis.glob("calls-*"))
    assert (analysis / "out" / "output.coffea").read_bytes() == before


def changed_records(folder: Path, damage: Callable[[bytes], bytes]) -> int:
    records = [path for path in (folder / "out" / "ledger" / "tt").iterdir() if path.is_file()]
    for path in records:
        path.write_bytes(damage(path.read_bytes()))
    return len(records)


DAMAGES = {
    "cut off": lambda content: content[: len(content) // 2],
    "one bit turned": lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    "empty": lambda content: b"",
    "something else": lambda content: json.dumps({"entries": 680}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_computed_again_and_never_used(damage, analysis, toys):
    assert changed_records(analysis, DAMAGES[damage]) > 0
    assert "is lost" in run(analysis)
    assert_true(analysis, toys, Cut())
    assert len(calls_in(analysis / "calls-A")) == CHUNKS
