"""Skims in each format: the same bits as without skims, and files that other tools take for NanoAOD."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.analysis import scheduling
from intccms.datasets.nanoevents import quiet_schema
from intccms.errors import ConfigError
from tests.analysis.breaking import assert_same_bits, bits, counted_skim
from tests.analysis.modes import CHUNKS, ON_SKIMS, ON_THE_FLY, ONE_PASS, SKIM_ONLY, analysis_in

ROOT_FORMATS = ["ttree", pytest.param("rntuple", marks=pytest.mark.slow)]


@pytest.fixture(params=ROOT_FORMATS)
def analysis(request, toys, tmp_path):
    return analysis_in(request.param, toys, tmp_path)


def files_of(analysis, name):
    return sorted((analysis.skims / name).rglob("*.root"))


def nothing_below(met, events, *, calls, first):
    """Keep what `counted_skim` keeps of the events from one number on."""
    return {**counted_skim(met, events, calls=calls), "late": events >= first}


def test_all_modes_give_the_same_bits(analysis):
    analysis.run(ON_THE_FLY, "direct")
    for number, switches in enumerate((ONE_PASS, ON_SKIMS)):
        assert analysis.run(switches, f"out{number}")[0].succeeded
        assert_same_bits(bits(analysis.folder / f"out{number}"), bits(analysis.folder / "direct"))
    assert {name: len(files_of(analysis, name)) for name in CHUNKS} == CHUNKS
    assert analysis.run(ON_SKIMS, "again")[1] == 0


def test_runs_are_carried_over_once_for_each_file(analysis, toys):
    analysis.run(SKIM_ONLY)
    found = [uproot.open(path)["Runs"].arrays(how=dict) for path in files_of(analysis, "tt")]
    assert sum(float(np.sum(one["genEventSumw"])) for one in found) == pytest.approx(
        sum(toy.generated_sumw for toy in toys["tt"]), rel=1e-12
    )
    (source, *_) = toys["tt"]
    expected = uproot.open(source.path)["Runs"].arrays(how=dict)
    first = found[0]
    assert set(first) == set(expected)
    assert {name: one.to_list() for name, one in first.items()} == {
        name: one.to_list() for name, one in expected.items()
    }


def test_runs_are_kept_where_no_event_of_the_first_chunk_passes(analysis, toys):
    first = int(toys["tt"][0].columns["event"][0]) + 100
    skimming = analysis.config["preprocess"]["skimming"]
    skimming |= {
        "function": nothing_below,
        "static_kwargs": {**skimming["static_kwargs"], "first": first},
    }
    analysis.config["general"]["processes"] = ["tt"]
    direct = analysis.run(ON_THE_FLY, "direct")[0]
    assert direct.succeeded
    assert analysis.run(ONE_PASS, "one")[0].succeeded
    assert analysis.run(ON_SKIMS, "two")[0].succeeded
    for output in ("one", "two"):
        assert_same_bits(bits(analysis.folder / output), bits(analysis.folder / "direct"))
    part = analysis.manifest()["files"][0]["parts"][0]
    assert (part["start"], part["kept"]) == (0, 0)
    file = uproot.open(analysis.skims / "tt" / part["path"])
    assert file["Events"].num_entries == 0
    assert len(file["Runs"].arrays(how=dict)["genEventSumw"]) == 1


def test_parts_are_read_by_coffea_and_by_uproot_alone(analysis, toys):
    """Independent: the numbers that were drawn."""
    analysis.run(SKIM_ONLY)
    (path, *_) = files_of(analysis, "tt")
    toy = toys["tt"][0]
    with quiet_schema():
        events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    rows = np.flatnonzero(np.isin(toy.columns["event"], np.asarray(events.event)))
    assert len(rows) == len(events) > 0
    assert events.Jet.pt.to_list() == ak.Array(toy.columns["Jet_pt"])[rows].to_list()
    plain = uproot.open(path)["Events"].arrays(["nMuon", "Muon_pt", "genWeight"])
    assert plain.Muon_pt.to_list() == ak.Array(toy.columns["Muon_pt"])[rows].to_list()
    assert plain.nMuon.to_list() == ak.num(toy.columns["Muon_pt"])[rows].to_list()
    assert plain.genWeight.to_list() == toy.columns["genWeight"][rows].tolist()


def test_another_format_is_another_skim(analysis):
    analysis.run(SKIM_ONLY)
    output = analysis.config["preprocess"]["skimming"]["output"]
    old = output["format"]
    output["format"] = "parquet"
    with pytest.raises(
        ConfigError,
        match=rf"is in format '{old}', and preprocess.skimming.output.format is 'parquet'. Set it to '{old}'",
    ):
        analysis.run(ON_SKIMS, "other")
    analysis.run(SKIM_ONLY, "new")
    assert files_of(analysis, "tt") == []
    assert len(analysis.parts("tt")) == CHUNKS["tt"]


def out_of_time(values):
    """Give up, as a function that asks a server of its own does; the storage of the skims is well."""
    message = "no answer from my own server"
    raise TimeoutError(message)


def test_a_function_that_gives_up_is_no_storage_that_is_gone(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduling, "_LONGEST_SILENCE", 0.0)
    analysis = analysis_in("parquet", toys, tmp_path)
    analysis.run(SKIM_ONLY)
    (first, *_) = analysis.config["channels"][0]["observables"]
    first |= {"function": out_of_time, "use": [("MET", "pt")]}
    report = analysis.run(ON_SKIMS)[0].output["report"]
    assert {len(group["chunks"]) for group in report["failures"]} == {sum(CHUNKS.values())}
    assert "no answer from my own server" in report["failures"][0]["reason"]
