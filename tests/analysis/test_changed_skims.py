"""What changes between the writing of a skim and its use: what does not fit is refused, and nothing is missed."""

from __future__ import annotations

import importlib.util
import json
import linecache
import re

import awkward as ak
import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import ObjVar, WorkerEval
from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    note,
)
from tests.analysis.modes import (
    CHUNKS,
    ON_SKIMS,
    ON_THE_FLY,
    ONE_PASS,
    SKIM_ONLY,
    Analysis,
)
from tests.analysis.toys import dataset, expected_sums, write_toy


@pytest.fixture
def analysis(toys, tmp_path):
    return Analysis(toys, tmp_path)


def same(values):
    return values


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


def change_fields(analysis):
    analysis.config["preprocess"]["branches"] = {"Jet": ["pt", "eta", "phi", "mass"]}


def change_weight(analysis):
    analysis.config["general"]["weight_branch"] = "MET_pt"


def change_columns(analysis):
    analysis.config["channels"][1]["observables"][0] |= {"function": same, "use": [("MET", "phi")]}


def add_lenient_correction(analysis):
    analysis.config["corrections"] = [
        {
            "name": "phi",
            "type": "event",
            "nominal_function": one_and_a_bit,
            "args": [ObjVar("MET", "phi")],
            "ignore_missing": True,
        }
    ]


def one_and_a_bit(phi):
    return 1 + 0.01 * phi


REFUSALS = {
    "the skim function": (
        change_skim,
        "tt",
        r'preprocess.skimming.function is ".*:tighter_skim", and was ".*breaking:counted_skim"',
    ),
    "a constant of the skim": (
        change_constant,
        "tt",
        r"preprocess.skimming.static_kwargs.seconds is 0.001, and was not set",
    ),
    "the fields of a collection": (
        change_fields,
        "tt",
        r'preprocess.branches.Jet is \["pt", "eta", "phi", "mass"\], and was not set',
    ),
    "the weight": (
        change_weight,
        "tt",
        "the dataset is 'tree Events, weight MET_pt', and was 'tree Events, weight genWeight'",
    ),
    "the lumi mask": (change_lumi_mask, "data", "lumi mask added"),
    "a further column": (change_columns, "tt", "columns MET_phi are not in it"),
    "a correction that does without what files lack": (
        add_lenient_correction,
        "tt",
        "columns MET_phi are not in it",
    ),
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


def with_columns(events, met, fired, muon_pts, *, calls):
    """Keep what passes, with a trigger, a field of a collection and a collection of its own."""
    chosen = events[met > 20]
    muons = ak.with_field(chosen.Muon, 2 * chosen.Muon.pt, "twice")
    made = ak.zip({"half": chosen.MET.pt / 2})
    return ak.with_field(
        ak.with_field(ak.with_field(chosen, muons, "Muon"), fired[met > 20], "HLT_Mine"), made, "Extra"
    )


@pytest.mark.parametrize(
    ("use", "lacks"),
    [
        (("HLT", "Mu50"), "HLT_Mu50"),
        (("Muon", "charge"), "Muon_charge"),
        (("Muon", None), "Muon_*"),
        (("Extra", "half"), None),
        (("Extra", None), None),
        (("event", "event"), None),
    ],
    ids=str,
)
def test_what_a_skim_function_adds_does_not_stand_for_the_rest_of_its_collection(use, lacks, tmp_path):
    toy = write_toy(tmp_path / "tt.root", 300, 5, triggers=("IsoMu24", "Mu50"))
    analysis = Analysis({name: [toy] for name in CHUNKS}, tmp_path)
    analysis.config["datasets"]["datasets"] = [dataset("tt", toy)]
    analysis.config |= {"baseline_selection": None, "ghost_observables": [], "good_object_masks": []}
    analysis.config["preprocess"]["skimming"] |= {
        "function": with_columns,
        "use": [("event", None), ("MET", "pt"), ("HLT", "IsoMu24"), ("Muon", "pt")],
    }
    made = histogram_of("made", ("Muon", "twice"), {"function": one_cut, "use": [("event", "HLT_Mine")]})
    analysis.config["channels"] = [made]
    analysis.run(SKIM_ONLY)
    analysis.config["channels"] = [made, histogram_of("new", use)]
    if lacks:
        with pytest.raises(ConfigError, match=rf"columns {re.escape(lacks)} are not in it"):
            analysis.run(ON_SKIMS)
        analysis.run(SKIM_ONLY)
    found, _ = analysis.run(ON_SKIMS)
    assert found.succeeded
    analysis.run(ON_THE_FLY, "direct")
    assert_same_bits(bits(analysis.folder / "out"), bits(analysis.folder / "direct"))
    # by hand: every muon of the events with the trigger, whose twin is the one of the skim function
    passed = (toy.columns["MET_pt"] > 20) & toy.columns["HLT_IsoMu24"]
    muons = found.output["entries"]["made"]["x"].sum(flow=True)
    assert muons == ak.sum(ak.num(toy.columns["Muon_pt"])[passed])
    assert not [note for note in found.output["report"]["notes"] if "HLT_Mine" in note]


def one_cut(fired):
    return {"mine": fired}


def numbers_of(values):
    """Return what to fill of a column: its numbers, those of one field of a whole collection."""
    return values[min(values.fields)] if values.fields else values


def histogram_of(name, use, selection=None):
    observable = {"name": "x", "function": numbers_of, "use": [use], "binning": [0, 50, 100]}
    return {"name": name, "observables": [observable]} | ({"selection": selection} if selection else {})


def test_narrowed_collections_hold_the_listed_fields(analysis):
    analysis.config["preprocess"]["branches"] = {"Jet": ["pt", "eta", "phi", "mass"]}
    analysis.run(SKIM_ONLY)
    analysis.config["channels"].append(histogram_of("new", ("Jet", "eta")))
    result, calls = analysis.run(ON_SKIMS)
    assert result.succeeded
    assert calls == 0
    analysis.config["channels"].append(histogram_of("newer", ("Jet", "charge")))
    with pytest.raises(ConfigError, match="columns Jet_charge are not in it"):
        analysis.run(ON_SKIMS)


def test_another_code_of_the_same_function_is_said_to_be_that(analysis):
    def edited(source):
        path = analysis.folder / "loose_filter.py"
        path.write_text(f"def loose(met, events, calls):\n    return met > {source}\n")
        spec = importlib.util.spec_from_file_location("loose_filter", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        linecache.checkcache()
        return module.loose

    analysis.config["preprocess"]["skimming"]["function"] = edited(20)
    analysis.run(SKIM_ONLY)
    analysis.config["preprocess"]["skimming"]["function"] = edited(30)
    with pytest.raises(
        ConfigError, match=r"preprocess.skimming changed: the code of .*loose, or what it calls, is another"
    ):
        analysis.run(ON_SKIMS)


def test_other_credentials_are_no_other_skim_and_are_written_nowhere(analysis):
    skimming = analysis.config["preprocess"]["skimming"]
    for number, switches in enumerate((SKIM_ONLY, SKIM_ONLY, ON_SKIMS)):
        values = {"key": f"marked-{number}", "secret": f"hidden-{number}"}
        options = {
            "storage_options": {name: WorkerEval(lambda value=value: value) for name, value in values.items()}
        }
        skimming["output"] = {"to_kwargs": options, "from_kwargs": options}
        result, calls = analysis.run(switches)
        assert result.report.complete
        assert calls == (sum(CHUNKS.values()) if number == 0 else 0)
    for path in analysis.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [word for word in (b"marked-", b"hidden-") if word in content], path


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


def test_a_failure_in_the_only_file_of_a_dataset_that_is_skimmed_is_one_failure(analysis):
    """By hand: one of four chunks of 310 events, entries 77 to 155, is lost."""
    analysis.config["preprocess"]["skimming"]["function"] = raising_skim
    analysis.config["preprocess"]["skimming"]["static_kwargs"]["number"] = 3_100
    result, _ = analysis.run(SKIM_ONLY)
    (failure,) = result.output["report"]["failures"]
    assert [(one["start"], one["stop"]) for one in failure["chunks"]] == [(77, 155)]
    (dy,) = [one for one in result.output["report"]["datasets"] if one["name"] == "dy"]
    assert (dy["processed"], dy["coverage"]) == (232, pytest.approx(232 / 310))
