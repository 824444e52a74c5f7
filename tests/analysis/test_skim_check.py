"""What a skim loses of what the analysis selects. Independent: counts on the numbers that were drawn, with NumPy."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from intccms.analysis import AnalysisRunner
from intccms.cli import main
from intccms.errors import ConfigError
from intccms.schema import load_config
from tests.analysis.toys import dataset, write_toy
from tests.nanofiles import corrupt_basket

MET = ("MET", "pt")
EVENTS = 12_000


def above(met, *, cut):
    return met > cut


def same(values):
    return values


def fifth(met):
    return 0.2 + 0 * met


def only_events(events, *, cut):
    return events[events.MET.pt > cut]


SHIFTED = {
    "name": "unclustered",
    "type": "object",
    "target": MET,
    "args": [MET],
    "uncertainty_sources": [{"name": "met", "up_function": fifth, "is_delta": True}],
}
"""MET is 1.2 and 0.8 times itself."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("events") / "tt.root", EVENTS)


def config_of(toy, folder, *, skim=20.0, cut=30.0, **more):
    channel = {
        "name": "SR",
        "selection": {"function": above, "use": [MET], "static_kwargs": {"cut": cut}},
        "observables": [{"name": "met", "function": same, "use": [MET], "binning": [0.0, 50.0, 100.0]}],
    }
    skimming = {"function": above, "use": [MET], "static_kwargs": {"cut": skim}, "chunk_size": 7_000}
    return {
        "general": {"lumi": 1.0, "executor": "iterative", "output_dir": str(folder / "out")},
        "datasets": {"datasets": [dataset("tt", toy)]},
        "preprocess": {"skimming": skimming},
        "channels": [channel],
        **more,
    }


def runner_of(config, **general):
    general = {**config["general"], **general}
    return AnalysisRunner(load_config({**config, "general": general}), progress=False)


def check(config, **options):
    (found,) = runner_of(config).check_skim(**{"fraction": 1.0, **options}).datasets
    return found


def met_of(toy):
    return toy.columns["MET_pt"].astype(np.float64)


@pytest.mark.parametrize("written", [False, True], ids=["function", "written"])
def test_a_loose_skim_loses_nothing(toy, tmp_path, written):
    config = config_of(toy, tmp_path)
    if written:
        runner_of(config, save_skimmed_output=True).skim()
    found = check(config)
    met = met_of(toy)
    assert (found.events, found.kept) == (EVENTS, int(np.sum(met > 20)))
    assert (found.selected, found.lost, found.examples, found.unread) == (int(np.sum(met > 30)), 0, [], [])
    # no event among n: 95 % of the time when 3/n are expected
    assert found.limit == pytest.approx(3.0 / found.selected, rel=2e-3)
    (first, *_) = runner_of(config).check_skim().lines()
    assert ("in the skim" if written else "kept by the skim function") in first


@pytest.mark.parametrize("written", [False, True], ids=["function", "written"])
def test_a_tight_skim_is_told_with_the_events_it_loses(toy, tmp_path, written):
    config = config_of(toy, tmp_path, cut=15.0)
    if written:
        runner_of(config, save_skimmed_output=True).skim()
    found = check(config)
    lost = np.flatnonzero((met_of(toy) > 15) & (met_of(toy) <= 20))
    assert found.lost == len(lost) > 5
    assert [one.entry for one in found.examples] == lost[:1_000].tolist()
    assert {(one.channel, one.variations) for one in found.examples} == {("SR", ("nominal",))}
    assert found.limit is None


def test_an_event_that_only_a_variation_selects_counts(toy, tmp_path):
    config = config_of(toy, tmp_path, cut=22.0, corrections=[SHIFTED])
    found = check(config)
    met = met_of(toy)
    lost = (1.2 * met > 22) & (met <= 20)
    assert found.selected == int(np.sum(1.2 * met > 22))
    assert found.lost == int(lost.sum()) > 0
    assert {one.variations for one in found.examples} == {("met_up",)}
    assert [one.entry for one in found.examples] == np.flatnonzero(lost)[:1_000].tolist()


def test_an_event_that_is_missing_in_the_written_skim_is_found(toy, tmp_path):
    config = config_of(toy, tmp_path)
    runner_of(config, save_skimmed_output=True).skim()
    path = tmp_path / "out" / "skimmed" / "tt" / "manifest.json"
    manifest = json.loads(path.read_text())
    part = manifest["files"][0]["parts"][1]
    part |= {"kept": 0, "path": None, "checksum": "", "size": 0, "changed": 0}
    path.write_text(json.dumps(manifest))
    found = check(config)
    met = met_of(toy)[part["start"] :]
    assert found.lost == int(np.sum(met > 30))
    assert found.examples[0].entry == part["start"] + int(np.flatnonzero(met > 30)[0])


def test_chunks_that_were_never_written_are_told_and_not_taken_for_kept(toy, tmp_path):
    config = config_of(toy, tmp_path)
    runner_of(config, save_skimmed_output=True).skim()
    path = tmp_path / "out" / "skimmed" / "tt" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][0]["parts"][1]
    path.write_text(json.dumps(manifest))
    found = check(config)
    assert (found.events, found.kept) == (6_000, int(np.sum(met_of(toy)[:6_000] > 20)))
    (told,) = found.unread
    assert told.startswith(f"{toy.path} [6000:12000]: not in the skim: it was not reached")


@pytest.mark.parametrize("written", [False, True], ids=["function", "written"])
def test_events_of_equal_numbers_are_told_apart(tmp_path, written):
    numbers = {"event": np.zeros(EVENTS, np.uint64), "luminosityBlock": np.ones(EVENTS, np.uint32)}
    toy = write_toy(tmp_path / "tt.root", EVENTS, extra=numbers)
    config = config_of(toy, tmp_path, cut=15.0)
    if written:
        runner_of(config, save_skimmed_output=True).skim()
    found = check(config)
    met = met_of(toy)
    assert (found.kept, found.lost) == (int(np.sum(met > 20)), int(np.sum((met > 15) & (met <= 20))))


def test_a_skim_of_other_events_is_told(toy, tmp_path):
    config = config_of(toy, tmp_path)
    runner_of(config, save_skimmed_output=True).skim()
    shutil.move(toy.path, tmp_path / "kept.root")
    try:
        shutil.copy(write_toy(tmp_path / "other.root", EVENTS, 7).path, toy.path)
        found = check(config)
    finally:
        shutil.move(tmp_path / "kept.root", toy.path)
    assert found.events == 0
    assert len(found.unread) == 4
    assert all("is not the file that the skim was made of" in one for one in found.unread)


def test_variations_count_where_the_run_does_without_them(toy, tmp_path):
    config = config_of(toy, tmp_path, cut=22.0, corrections=[SHIFTED])
    config["general"]["run_systematics"] = False
    met = met_of(toy)
    assert check(config).lost == int(np.sum((1.2 * met > 22) & (met <= 20))) > 0


def test_a_replica_that_breaks_is_followed_by_the_next_one(toy, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        (folder / "store").mkdir(parents=True)
        shutil.copy(toy.path, folder / "store/tt.root")
    corrupt_basket(folders[0] / "store/tt.root", "MET_pt", 2)
    redirectors = [f"file://{folder}" for folder in folders]
    config = config_of(toy, tmp_path)
    config["datasets"]["datasets"] = [
        dataset("tt", toy) | {"files": ["/store/tt.root"], "redirector": redirectors}
    ]
    runner_of(config, save_skimmed_output=True).skim()
    found = check(config)
    assert (found.events, found.lost, found.unread) == (EVENTS, 0, [])


def test_a_fraction_is_a_sample_that_the_seed_decides(toy, tmp_path):
    config = config_of(toy, tmp_path, cut=15.0)
    first, again, other = (check(config, fraction=0.2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.events == 3_000  # one of four slices
    assert 0 < first.lost < check(config).lost
    assert {first.examples[0].entry // 3_000, other.examples[0].entry // 3_000} <= {0, 1, 2, 3}


def test_a_skim_of_another_configuration_is_refused(toy, tmp_path):
    config = config_of(toy, tmp_path)
    runner_of(config, save_skimmed_output=True).skim()
    config["preprocess"]["skimming"]["static_kwargs"]["cut"] = 25.0
    with pytest.raises(ConfigError, match=r"static_kwargs.cut is 25.0, and was 20.0"):
        check(config)


def test_functions_that_return_events_are_checked_too(toy, tmp_path):
    config = config_of(toy, tmp_path, cut=15.0)
    config["preprocess"]["skimming"] |= {"function": only_events, "use": [("event", None)]}
    assert check(config).lost == int(np.sum((met_of(toy) > 15) & (met_of(toy) <= 20)))


def test_what_cannot_be_read_is_told(toy, tmp_path):
    config = config_of(toy, tmp_path)
    runner_of(config, save_skimmed_output=True).skim()
    config["datasets"]["datasets"][0]["files"] = [str(tmp_path / "gone.root")]
    found = runner_of(config).check_skim(fraction=1.0)
    assert not found.sound
    assert found.datasets[0].unread[0].startswith(f"{tmp_path}/gone.root: the file is not in the skim")


def test_the_command_prints_what_was_found_and_sets_the_status(toy, tmp_path):
    path = tmp_path / "analysis.py"
    path.write_text(
        "from tests.analysis.test_skim_check import config_of\n"
        "from tests.analysis.toys import Toy\n"
        "from pathlib import Path\n"
        f"toy = Toy(Path({str(toy.path)!r}), {{}}, 1.0)\n"
        f"config = config_of(toy, Path({str(tmp_path)!r}))\n"
    )
    sound = CliRunner().invoke(main, ["skim", "check", str(path), "--fraction", "1", "--no-progress"])
    assert sound.exit_code == 0, sound.output
    assert "tt: 12,000 events" in sound.output
    assert "0 lost\n  fewer than" in sound.output
    tight = ["skim", "check", str(path), "channels.SR.selection.static_kwargs.cut=15", "--fraction", "1"]
    told = CliRunner().invoke(main, [*tight, "--no-progress"])
    assert told.exit_code == 1
    assert told.output.count("lost: entry") == 5
    assert "The skim is tighter than the analysis" in told.output
    data = CliRunner().invoke(main, [*tight, "--json"])
    (found,) = json.loads(data.output)["datasets"]
    assert found["lost"] > 5
    assert len(found["examples"]) == min(found["lost"], 1_000)
    assert f"--json has the places of {found['lost']:,}" in told.output
    none = CliRunner().invoke(
        main,
        [
            *tight,
            "preprocess.skimming.function=None",
            "preprocess.skimming.use=[]",
            "preprocess.skimming.static_kwargs={}",
        ],
    )
    assert "There is no preprocess.skimming.function" in none.output
