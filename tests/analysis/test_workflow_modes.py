"""Skims and what is made of them: every mode gives the same bits, and a skim that does not fit is refused."""

from __future__ import annotations

import json
import shutil

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
from coffea.util import load

from intccms.analysis import AnalysisRunner
from intccms.errors import ConfigError
from intccms.schema import load_config
from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    calls_in,
    counted_skim,
    datasets_of,
    note,
)
from tests.analysis.toys import expected_sums, toy_config, write_toy
from tests.reference import reference_data

CHUNK_SIZE = 90
CHUNKS = {"tt": 8, "dy": 4, "data": 3}

ON_THE_FLY = {}
ONE_PASS = {"save_skimmed_output": True}
SKIM_ONLY = {"save_skimmed_output": True, "run_analysis": False}
ON_SKIMS = {"use_skimmed_input": True}
SKIM_THEN_ANALYSE = {"run_skimming": True, "use_skimmed_input": True}
ANEW_IN_ONE_PASS = {"run_skimming": True, "save_skimmed_output": True}


class Analysis:
    """The toys, whose skim counts its calls, in one run directory after the other."""

    def __init__(self, toys, folder):
        self.toys, self.folder, self.calls = toys, folder, folder / "calls"
        self.skims = folder / "skims"
        self.config = toy_config(datasets_of(toys), folder / "unused", chunk_size=CHUNK_SIZE)
        self.config["general"]["skimmed_dir"] = str(self.skims)
        self.config["preprocess"]["skimming"] |= {
            "function": counted_skim,
            "use": [("MET", "pt"), ("event", "event")],
            "static_kwargs": {"calls": str(self.calls)},
        }

    def run(self, switches, output="out", **more):
        """Run everything but the plots, and return the result and how often the skim was called."""
        before = len(calls_in(self.calls))
        general = {**self.config["general"], "output_dir": str(self.folder / output), **switches, **more}
        runner = AnalysisRunner(load_config({**self.config, "general": general}), progress=False)
        if switches.get("use_skimmed_input") and switches.get("run_skimming"):
            runner.skim()
        analyses = switches.get("run_analysis", True) and more.get("analysis") != "skip"
        result = runner.histogram() if analyses else runner.skim()
        return result, len(calls_in(self.calls)) - before

    def manifest(self, name="tt"):
        return json.loads((self.skims / name / "manifest.json").read_text())

    def parts(self, name="tt"):
        return sorted((self.skims / name).rglob("*.parquet"))


@pytest.fixture
def analysis(toys, tmp_path):
    return Analysis(toys, tmp_path)


@pytest.fixture(scope="module")
def direct(toys, tmp_path_factory):
    """Bits of the analysis that reads the source and filters on the fly."""
    folder = tmp_path_factory.mktemp("direct")
    result, calls = Analysis(toys, folder).run(ON_THE_FLY)
    assert result.succeeded
    assert calls == sum(CHUNKS.values())
    entries = result.output["entries"]["all"]["ht"][{"process": "tt"}].view(flow=True)
    assert np.array_equal(entries, expected_sums(toys["tt"])["ht"]["entries"])
    return bits(folder / "out")


SEQUENCES = {
    "skim and analysis in one pass": [ONE_PASS],
    "skim only, then on skims": [SKIM_ONLY, ON_SKIMS],
    "one pass, then on skims": [ONE_PASS, ON_SKIMS],
    "skims first, then analysis of them": [SKIM_THEN_ANALYSE],
    "everything anew in one pass": [SKIM_ONLY, ANEW_IN_ONE_PASS],
    "on the fly, then skim only, then on skims": [ON_THE_FLY, SKIM_ONLY, ON_SKIMS],
    "skim only, then on the fly": [SKIM_ONLY, ON_THE_FLY],
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("ledger", ["one", "new"])
def test_every_mode_gives_the_same_bits_by_process_and_by_dataset(sequence, ledger, analysis, direct, toys):
    """With a ledger of its own for each step, nothing that the step before computed can stand in for it."""
    for number, switches in enumerate(SEQUENCES[sequence]):
        output = "out" if ledger == "one" else f"out{number}"
        result, _ = analysis.run(switches, output)
        assert result.succeeded
    assert_same_bits(bits(analysis.folder / output), direct)
    report = result.output["report"]
    assert [(one["processed"], one["coverage"]) for one in report["datasets"]] == [
        (680, 1.0),
        (310, 1.0),
        (260, 1.0),
    ]
    if analysis.skims.exists():
        assert_skims_are_whole(analysis.skims, toys)


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_workers_write_and_read_skims_with_the_same_bits(executor, analysis, direct, toys, client):
    for switches, output in ((ONE_PASS, "first"), (ON_SKIMS, "second")):
        general = {
            **analysis.config["general"],
            **switches,
            "executor": executor,
            "workers": 2,
            "output_dir": str(analysis.folder / output),
        }
        config = load_config({**analysis.config, "general": general})
        AnalysisRunner(config, client if executor == "dask" else None, progress=False).histogram()
        assert_same_bits(bits(analysis.folder / output), direct)
    assert_skims_are_whole(analysis.skims, toys)
    assert len(calls_in(analysis.calls)) == sum(CHUNKS.values())


def test_one_pass_and_the_analysis_of_its_skims_need_each_chunk_once(analysis):
    assert analysis.run(ONE_PASS)[1] == sum(CHUNKS.values())
    for switches in (ONE_PASS, ON_THE_FLY, SKIM_ONLY, ON_SKIMS):
        result, calls = analysis.run(switches)
        assert calls == 0
        assert sum(one["computed"] for one in result.output["report"]["datasets"]) == 0


def test_skims_are_read_without_the_source(analysis, direct, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for one in analysis.config["datasets"]["datasets"]:
        one["files"] = [str(shutil.copy(path, source)) for path in one["files"]]
    analysis.run(SKIM_ONLY)
    shutil.rmtree(source)
    result, calls = analysis.run(ON_SKIMS)
    assert (result.succeeded, calls) == (True, 0)
    assert_same_bits(bits(tmp_path / "out"), direct)


def garbage(path):
    path.write_bytes(b"x" * path.stat().st_size)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def of_another_chunk(path):
    shutil.copy(path.parent / "part_0.parquet", path)


FAULTS = {
    "garbage": garbage,
    "truncated": truncated,
    "of another chunk": of_another_chunk,
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoilt_part_is_a_failure_that_names_it_and_never_a_number(fault, analysis, direct, toys):
    analysis.run(SKIM_ONLY)
    part = analysis.skims / "tt" / "file_0" / "part_2.parquet"
    FAULTS[fault](part)
    result, _ = analysis.run(ON_SKIMS)
    (failure,) = result.output["report"]["failures"]
    assert str(part) in failure["reason"]
    (chunk,) = failure["chunks"]
    assert (chunk["dataset"], chunk["start"], chunk["stop"]) == ("tt", 180, 270)
    assert not result.succeeded
    lost = expected_sums(
        toys["tt"], lambda toy, index: toy is not toys["tt"][0] or index not in range(180, 270)
    )
    entries = result.output["entries"]["all"]["ht"][{"process": "tt"}].view(flow=True)
    assert np.array_equal(entries, lost["ht"]["entries"])
    # written anew, the skim is whole again, and only the lost chunk is computed from it
    analysis.run({**SKIM_ONLY, "run_skimming": True})
    result, _ = analysis.run(ON_SKIMS)
    assert result.succeeded
    assert_same_bits(bits(analysis.folder / "out"), direct)
    assert_skims_are_whole(analysis.skims, toys)


def test_a_part_that_is_gone_is_written_again_and_no_other(analysis, toys):
    analysis.run(SKIM_ONLY)
    analysis.parts()[3].unlink()
    assert analysis.run(SKIM_ONLY)[1] == 1
    assert_skims_are_whole(analysis.skims, toys)


def test_regeneration_writes_every_part_anew(analysis, toys):
    analysis.run(SKIM_ONLY)
    before = {path: path.stat().st_mtime_ns for path in analysis.parts()}
    assert analysis.run({**SKIM_ONLY, "run_skimming": True})[1] == sum(CHUNKS.values())
    after = {path: path.stat().st_mtime_ns for path in analysis.parts()}
    assert set(after) == set(before)
    assert all(after[path] > before[path] for path in before)
    assert_skims_are_whole(analysis.skims, toys)


def only_some_chunks(met, events):
    """Skim that leaves nothing of some chunks."""
    return {"even hundreds": (np.asarray(events) // 100) % 2 == 0}


def test_empty_parts_are_recorded_and_not_written(analysis, tmp_path):
    analysis.config["preprocess"]["skimming"] |= {
        "function": only_some_chunks,
        "static_kwargs": {},
        "chunk_size": 50,
    }
    analysis.run(SKIM_ONLY)
    # by hand: of 450 and 230 events in chunks of 50 and 46, those within 1100-1199, 1300-1399, 2100-2199
    parts = [part for file in analysis.manifest()["files"] for part in file["parts"]]
    assert sum(part["kept"] for part in parts) == 250 + 130
    empty = [part for part in parts if part.get("path") is None]
    assert [(part["start"], part["stop"], part["kept"]) for part in empty] == [
        (100, 150, 0), (150, 200, 0), (300, 350, 0), (350, 400, 0), (138, 184, 0),
    ]  # fmt: skip
    assert len(analysis.parts()) == len(parts) - len(empty)
    on_skims, _ = analysis.run(ON_SKIMS)
    assert on_skims.succeeded
    assert on_skims.output["report"]["datasets"][0]["processed"] == 680
    analysis.run(ON_THE_FLY, "direct")
    assert_same_bits(bits(tmp_path / "out"), bits(tmp_path / "direct"))


def mask_only(met, events):
    """Bespoke skimmer."""
    return met > 20


def with_a_field(events, met):
    """Bespoke skimmer that returns events, with a field of its own."""
    chosen = events[met > 20]
    return ak.with_field(chosen, chosen.MET.pt * 2, "twice_met")


def same(values):
    return values


def test_a_bespoke_skimmer_that_returns_a_mask_skims_and_stops(analysis, toys):
    analysis.config["preprocess"]["skimming"] |= {"function": mask_only, "static_kwargs": {}}
    result, _ = analysis.run({"save_skimmed_output": True}, analysis="skip")
    assert result.succeeded
    assert not (analysis.folder / "out" / "output.coffea").exists()
    assert_skims_are_whole(analysis.skims, toys)


def of_added_field(column):
    observable = {"name": "twice", "function": same, "use": [column], "binning": [0, 50, 100, 200, 400]}
    return [{"name": "all", "observables": [observable]}]


@pytest.mark.parametrize("channels_of_skim", ["those of the analysis", "others"])
def test_a_field_that_a_bespoke_skimmer_adds_is_there_when_its_skims_are_analysed(
    channels_of_skim, analysis, toys
):
    """The truth: twice the missing momentum of each event that passes, from the numbers drawn."""
    analysis.config["preprocess"]["skimming"] |= {
        "function": with_a_field,
        "use": [("event", None), ("MET", "pt")],
        "static_kwargs": {},
    }
    analysis.config |= {"baseline_selection": None, "ghost_observables": [], "good_object_masks": []}
    on_source = ("MET", "pt") if channels_of_skim == "others" else ("event", "twice_met")
    analysis.config["channels"] = of_added_field(on_source)
    analysis.run({"save_skimmed_output": True}, analysis="skip")
    assert "twice_met" in pq.read_schema(analysis.parts()[0]).names
    analysis.config["channels"] = of_added_field(("event", "twice_met"))
    result, _ = analysis.run(ON_SKIMS)
    assert result.output["report"]["failures"] == ()
    met = np.concatenate([toy.columns["MET_pt"] for toy in toys["tt"]])
    expected = np.histogram(2 * met[met > 20], [-np.inf, 0, 50, 100, 200, 400, np.inf])[0]
    entries = result.output["entries"]["all"]["twice"][{"process": "tt"}].view(flow=True)
    assert entries.tolist() == expected.tolist()


def tighter_skim(met, events, *, calls):
    return {"MET > 25 GeV": met > 25}


def change_skim(analysis):
    analysis.config["preprocess"]["skimming"]["function"] = tighter_skim


def change_constant(analysis):
    analysis.config["preprocess"]["skimming"]["static_kwargs"]["seconds"] = 0.001


def change_lumi_mask(analysis):
    path = analysis.folder / "golden.json"
    path.write_text(json.dumps({"278900": [[1, 4]]}))
    analysis.config["datasets"]["datasets"][2]["lumi_mask"] = str(path)


def change_columns(analysis):
    analysis.config["channels"][1]["observables"][0] |= {"function": same, "use": [("MET", "phi")]}


REFUSALS = {
    "the skim function": (change_skim, "tt", "preprocess.skimming changed"),
    "a constant of the skim": (change_constant, "tt", "preprocess.skimming changed"),
    "the lumi mask": (change_lumi_mask, "data", "lumi mask added"),
    "a further column": (change_columns, "tt", "columns MET_phi are not in it"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_skim_that_does_not_fit_is_refused_with_the_difference(what, analysis):
    change, name, words = REFUSALS[what]
    analysis.run(SKIM_ONLY)
    change(analysis)
    with pytest.raises(
        ConfigError, match=rf"the skim of dataset '{name}' in .* does not fit .*: {words}.*run_skimming=True"
    ):
        analysis.run(ON_SKIMS)
    # and written for the new configuration, it fits
    analysis.run(SKIM_ONLY)
    result, _ = analysis.run(ON_SKIMS)
    assert result.succeeded
    analysis.run(ON_THE_FLY, "direct")
    assert_same_bits(bits(analysis.folder / "out"), bits(analysis.folder / "direct"))


def raising_skim(met, events, *, calls, number):
    note(calls, events)
    if number in events:
        message = f"event {number} is beyond me"
        raise RuntimeError(message)
    return {"MET > 20 GeV": met > 20}


@pytest.mark.parametrize("switches", [SKIM_ONLY, ONE_PASS], ids=["skim only", "one pass"])
def test_a_chunk_that_fails_while_skims_are_written_is_reported_and_missing_in_the_skim(
    switches, analysis, toys
):
    analysis.config["preprocess"]["skimming"]["function"] = raising_skim
    analysis.config["preprocess"]["skimming"]["static_kwargs"]["number"] = 1_233  # entries 180 to 270
    result, calls = analysis.run(switches)
    assert calls == sum(CHUNKS.values())
    (failure,) = result.output["report"]["failures"]
    assert [(one["start"], one["stop"]) for one in failure["chunks"]] == [(180, 270)]
    assert "event 1233 is beyond me" in failure["reason"]
    assert not result.succeeded
    assert result.output["report"]["datasets"][0]["processed"] == 590
    (entry, _) = analysis.manifest()["files"]
    assert "event 1233 is beyond me" in entry["failed"]["180"]
    on_skims, _ = analysis.run(ON_SKIMS, "other")
    (failure,) = on_skims.output["report"]["failures"]
    assert [(one["start"], one["stop"]) for one in failure["chunks"]] == [(180, 270)]
    assert "not in the skim" in failure["reason"]
    assert not on_skims.succeeded
    # the next run tries that chunk again, and no other
    assert analysis.run(switches)[1] == 1


def test_a_skim_that_was_never_written_is_refused(analysis):
    with pytest.raises(ConfigError, match="dataset 'tt' has no skim in .*save_skimmed_output=True"):
        analysis.run(ON_SKIMS)


def test_a_changed_cut_is_no_reason_to_write_skims_again(analysis, toys):
    analysis.run(SKIM_ONLY)
    analysis.config["channels"][1]["observables"][0]["binning"] = [0, 100, 200]
    result, calls = analysis.run(ON_SKIMS)
    assert (result.succeeded, calls) == (True, 0)
    assert analysis.run(SKIM_ONLY)[1] == 0


def test_another_chunk_size_writes_the_skims_anew_and_leaves_no_old_part(analysis, toys):
    analysis.run(SKIM_ONLY)
    analysis.config["preprocess"]["skimming"]["chunk_size"] = 200
    assert analysis.run(SKIM_ONLY)[1] == 3 + 2 + 2 + 2
    assert_skims_are_whole(analysis.skims, toys)
    result, _ = analysis.run(ON_SKIMS)
    analysis.run(ON_THE_FLY, "direct")
    assert result.succeeded
    assert_same_bits(bits(analysis.folder / "out"), bits(analysis.folder / "direct"))


def test_a_file_added_after_the_skim_is_reported_missing_until_it_is_skimmed(analysis, toys, tmp_path):
    analysis.run(SKIM_ONLY)
    numbers = {file["name"]: file["index"] for file in analysis.manifest()["files"]}
    more = write_toy(tmp_path / "more.root", 100, 9)
    analysis.config["datasets"]["datasets"][0]["files"].insert(0, str(more.path))
    result, _ = analysis.run(ON_SKIMS)
    (failure,) = result.output["report"]["failures"]
    assert "the file is not in the skim" in failure["reason"]
    assert failure["chunks"][0]["file"] == str(more.path)
    assert not result.succeeded
    assert analysis.run(SKIM_ONLY)[1] == 2
    assert {file["name"]: file["index"] for file in analysis.manifest()["files"]} == {
        **numbers,
        str(more.path): 2,
    }
    result, _ = analysis.run(ON_SKIMS)
    assert result.succeeded
    assert result.output["report"]["datasets"][0]["processed"] == 780


def test_fewer_files_read_a_part_of_the_skims_and_move_nothing(analysis, toys):
    analysis.run(SKIM_ONLY)
    before = analysis.manifest()
    analysis.config["datasets"]["max_files"] = 1
    result, calls = analysis.run(ON_SKIMS)
    assert (result.output["report"]["datasets"][0]["processed"], calls) == (450, 0)
    entries = result.output["entries"]["all"]["ht"][{"process": "tt"}].view(flow=True)
    assert np.array_equal(entries, expected_sums(toys["tt"][:1])["ht"]["entries"])
    assert analysis.run(SKIM_ONLY)[1] == 0
    analysis.config["datasets"]["max_files"] = None
    assert analysis.run(SKIM_ONLY)[1] == 0
    assert analysis.manifest() == before


def test_data_with_a_lumi_mask_and_an_absent_trigger_are_the_same_from_skims(toys, tmp_path):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"278900": [[1, 2], [5, 5], [9, 40]]}))
    without = write_toy(tmp_path / "old.root", 80, 6, triggers=("Mu50",))
    analysis = Analysis({"tt": [toys["tt"][1], without], "dy": toys["dy"], "data": toys["data"]}, tmp_path)
    analysis.config["datasets"]["datasets"][2]["lumi_mask"] = str(golden)
    expected, _ = analysis.run(ON_THE_FLY, "direct")
    analysis.run(SKIM_ONLY)
    found, _ = analysis.run(ON_SKIMS, "from skims")
    assert_same_bits(bits(tmp_path / "from skims"), bits(tmp_path / "direct"))
    for name in ("notes", "lumi"):
        assert found.output["report"][name] == expected.output["report"][name]
    assert found.output["report"]["notes"] == (
        "tt: HLT_IsoMu24 absent from its files or some of them, and counted as False there",
    )
    sections = [
        (one["lumi_sections"], one["processed_lumi_sections"]) for one in found.output["report"]["datasets"]
    ]
    assert sections == [(None, None), (None, None), (13, 13)]
    steps = expected_sums([toys["tt"][1], without])["steps"]
    assert found.output["cutflow"]["SR"]["entries"]["tt"][:1] == [steps["all"][0]]
    assert found.output["cutflow"]["SR"]["entries"]["tt"][-2:] == [
        steps[name][0] for name in ("trigger", "two jets")
    ]


def modes_agree(config, folder):
    """Run all modes, each in a directory and with a ledger of its own, and compare their bits."""
    runs = {"direct": ON_THE_FLY, "one pass": ONE_PASS, "skims": ON_SKIMS, "anew": SKIM_THEN_ANALYSE}
    for name, switches in runs.items():
        settings = {
            **config["general"],
            **switches,
            "executor": "iterative",
            "output_dir": str(folder / name),
            "skimmed_dir": str(folder / "skims"),
            "metadata_dir": str(folder / "metadata"),
        }
        runner = AnalysisRunner(load_config({**config, "general": settings}), progress=False)
        if name == "anew":
            runner.skim()
        result = runner.histogram()
        assert result.succeeded, name
        assert_same_bits(bits(folder / name), bits(folder / "direct"))
    return result


def test_the_demo_is_the_same_in_all_modes(tmp_path):
    from intccms.demo.compare import compare_with_truth
    from intccms.demo.config import demo_config
    from intccms.demo.generator import generate

    truth = generate(tmp_path / "input", scale=0.02, seed=3, workers=1)
    config = demo_config(tmp_path, lumi=truth.luminosity_pb)
    config["preprocess"]["skimming"]["chunk_size"] = 2_000
    result = modes_agree(config, tmp_path)
    assert compare_with_truth(result.output, truth).agrees


def test_the_open_data_example_is_the_same_in_all_modes(tmp_path):
    """Real events; ``expected.json`` holds the published candidates, 218, 3 and 2."""
    from example_opendata import config as example

    folder = reference_data() / "opendata2016"
    settings = {**example["general"], "processes": ["ttbar_lep", "ttbar_had", "wjets", "data"]}
    datasets = {**example["datasets"], "base_dir": str(folder)}
    result = modes_agree({**example, "general": settings, "datasets": datasets}, tmp_path)
    published = json.loads((folder / "expected.json").read_text())
    entries = result.output["entries"]["SR"]["mtt"]
    for process in ("ttbar_lep", "ttbar_had", "wjets"):
        assert entries[{"process": process}].sum(flow=True) == published[process]["candidates"]
    assert load(str(tmp_path / "anew" / "output.coffea"))["report"]["complete"]
