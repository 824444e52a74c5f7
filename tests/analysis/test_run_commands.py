"""Commands on run directories: status, rerun, replay, clean, and what a dry run says."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from coffea.util import load

from intccms.cli import main
from tests.analysis.toys import write_toy

CONFIG = """
import os
from pathlib import Path
import awkward as ak
import numpy as np

CUT = 20.0


def some_met(met):
    return met > 10


def selected(met, events):
    if os.environ.get("FAIL_FROM") and np.any(np.asarray(events) == int(os.environ["FAIL_FROM"])):
        raise RuntimeError("the moon is full")
    return met > CUT


config = {
    "general": {"lumi": 1.0, "executor": "iterative", "output_dir": "out"},
    "plotting": {"formats": ["svg"]},
    "datasets": {"datasets": [{"name": "tt", "files": ["in/a.root", "in/b.root"], "cross_sections": 1.0}]},
    "preprocess": {"skimming": {"function": some_met, "use": [("MET", "pt")], "chunk_size": 50}},
    "channels": [
        {
            "name": "SR",
            "selection": {"function": selected, "use": [("MET", "pt"), ("event", "event")]},
            "observables": [
                {"name": "met", "function": lambda met: met, "use": [("MET", "pt")], "binning": [0, 50, 100, 500]}
            ],
        },
        {
            "name": "all",
            "observables": [
                {"name": "met", "function": lambda met: met, "use": [("MET", "pt")], "binning": [0, 50, 100, 500]}
            ],
        },
    ],
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, clean_imports):
    """A folder with an analysis of two files of 200 and 100 events in chunks of 50, where the user works."""
    (tmp_path / "in").mkdir()
    write_toy(tmp_path / "in" / "a.root", 200, 1)
    write_toy(tmp_path / "in" / "b.root", 100, 2)
    (tmp_path / "my_cuts.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAIL_FROM", raising=False)
    return tmp_path


def invoke(*arguments: str, status: int = 0) -> str:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        result = CliRunner().invoke(main, list(arguments))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert result.exit_code == status, (result.output, result.exception)
    return result.output


def computed() -> int:
    return sum(one["computed"] for one in json.loads(Path("out/report.json").read_text())["datasets"])


def values(channel: str) -> np.ndarray:
    return np.asarray(load("out/output.coffea")["histograms"][channel]["met"].view(flow=True)["value"])


FAILING = {"FAIL_FROM": "1060"}
"""Event in the second chunk of the first file (events of the toy with seed 1 count from 1000)."""


def test_a_dry_run_says_what_would_be_computed_and_computes_nothing(folder):
    text = invoke("run", "my_cuts.py", "--dry-run", "--no-progress")
    assert text.splitlines() == [
        "6 of 6 chunks to compute",
        "channel SR: not computed yet; 6 chunks",
        "channel all: not computed yet; 6 chunks",
        "tt: 8 of 19 columns read",
    ]
    assert not Path("out/output.coffea").exists()
    assert not list(Path("out/ledger").rglob("*.chunk"))
    invoke("run", "my_cuts.py", "--no-progress")
    Path("my_cuts.py").write_text(CONFIG.replace("CUT = 20.0", "CUT = 25.0"))
    text = invoke("run", "my_cuts.py", "--dry-run", "--no-progress")
    assert text.splitlines() == [
        "6 of 6 chunks to compute",
        "channel SR: selection changed; 6 chunks",
        "tt: 8 of 19 columns read",
    ]


def test_what_failed_is_run_again_and_nothing_else(folder, monkeypatch):
    monkeypatch.setenv("FAIL_FROM", "1060")
    text = invoke("run", "my_cuts.py", "--no-progress", status=1)
    assert "the moon is full" in text
    assert "intccms rerun out --failed" in text
    assert "intccms replay out tt/0/1" in text
    assert computed() == 5
    status = " ".join(invoke("status", "out").split())
    assert "go on with: intccms rerun" in status
    monkeypatch.delenv("FAIL_FROM")
    monkeypatch.chdir("in")  # relative paths begin where the run was started
    invoke("rerun", "../out", "--failed", "--no-progress")
    monkeypatch.chdir(folder)
    assert computed() == 1
    assert json.loads(Path("out/report.json").read_text())["complete"]
    again = {channel: values(channel) for channel in ("SR", "all")}
    invoke("run", "my_cuts.py", "--no-progress", "general.output_dir=fresh")
    shutil.rmtree("out")
    Path("fresh").rename("out")
    for channel, found in again.items():
        np.testing.assert_array_equal(found, values(channel))


def test_rerun_leaves_out_what_was_never_reached_if_only_failures_are_asked_for(folder, monkeypatch):
    monkeypatch.setenv("FAIL_FROM", "1060")
    invoke("run", "my_cuts.py", "--no-progress", "datasets.max_files=1", status=1)
    monkeypatch.delenv("FAIL_FROM")
    text = invoke("rerun", "out", "--failed", "--no-progress", "datasets.max_files=2", status=1)
    assert "not run" in text
    assert computed() == 1
    invoke("rerun", "out", "--no-progress", "datasets.max_files=2")
    assert computed() == 2


def test_rerun_after_a_fix_of_the_code_gives_the_truth_of_the_new_code(folder, monkeypatch):
    monkeypatch.setenv("FAIL_FROM", "1060")
    invoke("run", "my_cuts.py", "--no-progress", status=1)
    Path("my_cuts.py").write_text(
        CONFIG.replace("int(os.environ", "-int(os.environ").replace("CUT = 20.0", "CUT = 30.0")
    )
    os.utime("my_cuts.py", (1, 1))
    invoke("rerun", "out", "--failed", "--no-progress")
    met = np.concatenate(
        [write_toy(folder / "x.root", n, seed).columns["MET_pt"] for n, seed in ((200, 1), (100, 2))]
    )
    entries = load("out/output.coffea")["entries"]["SR"]["met"]
    assert entries.sum(flow=True) == np.count_nonzero(met > 30)


def test_replay_runs_the_chunk_as_it_was_run_or_with_the_present_code(folder, monkeypatch):
    monkeypatch.setenv("FAIL_FROM", "1060")
    invoke("run", "my_cuts.py", "--no-progress", status=1)
    before = sorted(path for path in Path("out").rglob("*") if path.is_file())
    text = invoke("replay", "out", "tt/0/1", status=1)
    assert "in/a.root [50:100]" in text
    Path("my_cuts.py").write_text(
        CONFIG.replace('raise RuntimeError("the moon is full")', "return met > 1e9")
    )
    invoke("replay", "out", "tt/0/1", status=1)
    text = invoke("replay", "out", "tt/0/1", "--current")
    assert "went through in" in text
    monkeypatch.delenv("FAIL_FROM")
    text = invoke("replay", "out", "tt/1/0")
    assert "in/b.root [0:50]" in text
    met = write_toy(folder / "x.root", 100, 2).columns["MET_pt"][:50]
    lines = {
        line.split("  ")[1].strip(): line.split()[-2] for line in text.splitlines() if line.startswith("  ")
    }
    assert lines["all"] == "50"
    assert lines["skimming"] == str(np.count_nonzero(met > 10))
    assert lines["SR: selection"] == str(np.count_nonzero((met > 10) & (met > 20)))
    assert sorted(path for path in Path("out").rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("tt", "expected dataset/file/chunk, such as tt/0/0"),
        ("t/0/0", "Did you mean 'tt'?"),
        ("tt/5/0", "the last run had 2 files"),
        ("tt/1/2", "the last run had 2 chunks of that file"),
    ],
)
def test_a_chunk_that_does_not_exist_is_an_error_that_says_which_do(folder, label, words):
    invoke("run", "my_cuts.py", "--no-progress")
    assert words in invoke("replay", "out", label, status=2)


@pytest.mark.parametrize("command", ["status", "report", "rerun", "clean"])
def test_a_folder_that_is_no_run_directory_is_refused(folder, command):
    text = invoke(command, "in", status=2)
    assert "in" in text
    assert "Traceback" not in text


def test_status_counts_what_is_done_while_nothing_has_come_to_an_end(folder):
    invoke("run", "my_cuts.py", "--no-progress", "datasets.max_files=1")
    for path in Path("out").glob("report.*"):
        path.unlink()
    (record,) = Path("out/ledger/tt").glob("*.file")
    record.unlink()
    for path in Path("out/ledger/tt").glob("*.whole"):
        path.unlink()
    text = " ".join(invoke("status", "out").split())
    assert "tt │ 1 │ 4 │ 0 │ 0 │ 4" in text
    assert "no run has come to its end yet" in text


def test_clean_removes_results_of_cuts_that_are_no_more_and_keeps_the_others(folder):
    invoke("run", "my_cuts.py", "--no-progress")
    Path("my_cuts.py").write_text(CONFIG.replace("CUT = 20.0", "CUT = 25.0"))
    os.utime("my_cuts.py", (1, 1))
    invoke("run", "my_cuts.py", "--no-progress")
    before = set(Path("out/ledger").rglob("*.*"))
    said = invoke("clean", "out", "--dry-run")
    assert set(Path("out/ledger").rglob("*.*")) == before
    removed = invoke("clean", "out")
    assert said.replace("would remove", "removed").replace("would stay", "stay") == removed
    after = set(Path("out/ledger").rglob("*.*"))
    assert len(after) < len(before)
    invoke("run", "my_cuts.py", "--no-progress")
    assert computed() == 0, "what the present configuration reaches is still there"
    invoke("run", "my_cuts.py", "--no-progress", "general.channels=['all']")
    assert computed() == 0
    Path("my_cuts.py").write_text(CONFIG)
    os.utime("my_cuts.py", (2, 2))
    text = invoke("run", "my_cuts.py", "--dry-run", "--no-progress")
    assert "channel SR: selection changed" in text, "the old cut was cleaned away"


def test_clean_keeps_what_another_configuration_reaches(folder):
    invoke("run", "my_cuts.py", "--no-progress")
    Path("old_cuts.py").write_text(CONFIG)
    Path("my_cuts.py").write_text(CONFIG.replace("CUT = 20.0", "CUT = 25.0"))
    os.utime("my_cuts.py", (1, 1))
    invoke("run", "my_cuts.py", "--no-progress")
    invoke("clean", "out", "--also", "old_cuts.py")
    invoke("run", "old_cuts.py", "--no-progress", "general.output_dir=out")
    assert computed() == 0


def test_an_override_that_is_a_credential_is_refused_and_written_nowhere(folder):
    text = invoke(
        "run",
        "my_cuts.py",
        "--no-progress",
        "preprocess.skimming.output.to_kwargs={'token': 'abcdefgh'}",
        status=2,
    )
    assert "WorkerEval" in text
    assert "abcdefgh" not in text
    assert not any("abcdefgh" in one.read_text(errors="replace") for one in Path("out").rglob("*.*"))


def test_an_override_that_looks_like_a_credential_is_asked_for_again(folder):
    Path("my_cuts.py").write_text(
        CONFIG.replace("def selected(met, events)", "def selected(met, events, token='')")
    )
    invoke("run", "my_cuts.py", "--no-progress", "channels.0.selection.static_kwargs={'token': 'abc'}")
    assert "abc" not in Path("out/config/origin.json").read_text()
    assert not Path("out/config/config.pkl").exists()
    assert "Give it again as KEY=VALUE" in invoke("rerun", "out", status=2)
