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
from intccms.schema import load_config
from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    calls_in,
    datasets_of,
)
from tests.analysis.modes import (
    ANEW_IN_ONE_PASS,
    CHUNK_SIZE,
    CHUNKS,
    ON_SKIMS,
    ON_THE_FLY,
    ONE_PASS,
    SKIM_ONLY,
    SKIM_THEN_ANALYSE,
    Analysis,
    modes_agree,
)
from tests.analysis.toys import expected_sums, toy_config, write_toy
from tests.reference import reference_data


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
def test_every_mode_gives_the_same_bits_by_process_and_by_dataset(sequence, analysis, direct, toys):
    """Each step has a ledger of its own, so that nothing the step before computed can stand in for it."""
    for number, switches in enumerate(SEQUENCES[sequence]):
        output = f"out{number}"
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


@pytest.mark.parametrize("executor", [pytest.param("futures", marks=pytest.mark.slow), "dask"])
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


def test_on_one_ledger_all_modes_together_need_each_chunk_once(analysis, direct):
    assert analysis.run(ONE_PASS)[1] == sum(CHUNKS.values())
    for switches in (ONE_PASS, ON_THE_FLY, SKIM_ONLY, ON_SKIMS):
        result, calls = analysis.run(switches)
        assert calls == 0
        assert sum(one["computed"] for one in result.output["report"]["datasets"]) == 0
        assert_same_bits(bits(analysis.folder / "out"), direct)


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


@pytest.mark.parametrize("others", [True, False], ids=["beside others", "alone"])
def test_what_a_file_without_events_generated_counts_in_all_modes(others, toys, tmp_path):
    empty = write_toy(tmp_path / "empty.root", 0, 9, generated_sumw=700.0)
    files = [*toys["tt"][:1], empty, *toys["tt"][1:]] if others else [empty]
    toys = {"tt": files, "dy": toys["dy"]}
    modes_agree(
        toy_config(datasets_of(toys, ("tt", "dy")), tmp_path / "out", chunk_size=CHUNK_SIZE), tmp_path
    )
    report = json.loads((tmp_path / "skims" / "report.json").read_text())
    assert report["complete"]
    assert report["datasets"][0]["sumw"] == pytest.approx(sum(one.generated_sumw for one in files), rel=1e-12)


@pytest.mark.slow
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
