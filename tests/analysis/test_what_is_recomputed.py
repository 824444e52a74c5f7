"""What a change of the configuration or of the input costs: the chunks that it concerns, and nothing else.

Whether a chunk is computed is seen by the user's functions themselves: they note their calls.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from intccms.analysis import AnalysisRunner
from intccms.errors import MetadataError
from intccms.schema import load_config
from tests.analysis.breaking import assert_same_bits, bits_of, calls_in, note
from tests.analysis.toys import toy_config, write_toy

CHUNK_SIZE = 90
OF_TT, OF_DY = 5 + 3, 4
"""Chunks of 450 and 230, and of 310 events."""


def noted_selection(jets, events, *, calls, least=2):
    """Selection of the signal region without its trigger, and of others."""
    import awkward as ak

    note(calls, events)
    return {f"{least} jets": ak.num(jets) >= least}


class Analysis:
    """The toys with two channels whose selections note when they are called."""

    def __init__(self, toys, folder):
        self.folder, self.toys = folder, toys
        self.input = folder / "input"
        self.input.mkdir()
        self.config = toy_config([], folder / "out", chunk_size=CHUNK_SIZE)
        self.copy("tt", toys["tt"], 10.0)
        self.copy("dy", toys["dy"], 400.0)
        self.config["channels"][0]["selection"] = self.selection("SR", 2)
        self.config["channels"][1]["selection"] = self.selection("all", 0)
        self.result = None

    def copy(self, name, toys, xsec):
        files = [shutil.copy(toy.path, self.input) for toy in toys]
        self.config["datasets"]["datasets"].append(
            {"name": name, "files": [str(one) for one in files], "cross_sections": [xsec]}
        )

    def selection(self, channel, least):
        return {
            "function": noted_selection,
            "use": [("Jet", None), ("event", "event")],
            "static_kwargs": {"calls": str(self.folder / f"calls {channel}"), "least": least},
        }

    def run(self):
        """Run, and return how many chunks each channel computed, and the reasons that the log gives."""
        for path in self.folder.glob("calls *"):
            path.unlink()
        runner = AnalysisRunner(load_config(self.config), progress=False)
        reasons = runner.plan().reasons
        self.result = runner.histogram()
        assert self.result.output["report"]["failures"] == ()
        called = {
            path.name.removeprefix("calls "): len(calls_in(path)) for path in self.folder.glob("calls *")
        }
        return called, dict(reasons)

    def counted(self):
        """Return computed and reused chunks by dataset, as the report has them."""
        return {
            one["name"]: (one["computed"], one["reused"]) for one in self.result.output["report"]["datasets"]
        }

    def assert_as_new(self):
        """Compare with a run that has no ledger."""
        config = {
            **self.config,
            "general": {**self.config["general"], "output_dir": str(self.folder / "anew")},
        }
        fresh = AnalysisRunner(load_config(config), progress=False).histogram()
        assert_same_bits(bits_of(self.result.output), bits_of(fresh.output))
        shutil.rmtree(self.folder / "anew")


@pytest.fixture
def analysis(toys, tmp_path):
    """The analysis after its first run."""
    made = Analysis(toys, tmp_path)
    called, reasons = made.run()
    everything = OF_TT + OF_DY
    assert called == {"SR": everything, "all": everything}
    assert reasons == {("SR", "not computed yet"): everything, ("all", "not computed yet"): everything}
    assert made.counted() == {"tt": (OF_TT, 0), "dy": (OF_DY, 0)}
    return made


def cut_of_one_channel(config):
    config["channels"][0]["selection"]["static_kwargs"]["least"] = 3


def binning_of_one_channel(config):
    config["channels"][1]["observables"][0]["binning"] = {"bins": 16, "start": 0.0, "stop": 800.0}


def skim(config):
    config["preprocess"]["skimming"]["static_kwargs"] = {}
    config["preprocess"]["skimming"]["function"] = loose_met


def loose_met(met):
    return {"MET > 10 GeV": met > 10}


def mask(config):
    config["good_object_masks"][1]["static_kwargs"] = {"pt": 35.0}


def chunks(config):
    config["preprocess"]["skimming"]["chunk_size"] = 120


def new_channel(config):
    config["channels"].append({**config["channels"][1], "name": "third", "selection": None})


ALL = OF_TT + OF_DY
OF_120 = 4 + 2 + 3
COSTS = {
    "cut of a channel": (cut_of_one_channel, {"SR": ALL}, {("SR", "selection changed"): ALL}),
    "binning of a channel": (binning_of_one_channel, {"all": ALL}, {("all", "binning of ht changed"): ALL}),
    "skim": (
        skim,
        {"SR": ALL, "all": ALL},
        {(name, "preprocess.skimming changed"): ALL for name in ("SR", "all")},
    ),
    "object mask of both": (
        mask,
        {"SR": ALL, "all": ALL},
        {(name, "good_object_masks (1: Jet) changed"): ALL for name in ("SR", "all")},
    ),
    "chunk size": (
        chunks,
        {"SR": OF_120, "all": OF_120},
        {(name, "not computed yet"): OF_120 for name in ("SR", "all")},
    ),
    "a further channel": (new_channel, {}, {("third", "new channel"): ALL}),
}


@pytest.mark.parametrize("what", COSTS)
def test_a_change_costs_the_chunks_of_what_it_reaches_and_the_log_says_why(what, analysis):
    change, called, reasons = COSTS[what]
    change(analysis.config)
    assert analysis.run() == (called, reasons)
    analysis.assert_as_new()


def test_the_log_of_a_run_tells_what_is_computed_and_why(analysis, caplog):
    cut_of_one_channel(analysis.config)
    caplog.clear()
    analysis.run()
    assert caplog.messages == [
        f"{ALL} of {ALL} chunks to compute",
        f"channel SR: selection changed; {ALL} chunks",
        "tt, dy: 18 of 19 columns, among them 5 Muon_*, 5 Jet_* read",
    ]
    caplog.clear()
    analysis.run()
    assert caplog.messages == [f"all {ALL} chunks are in the ledger: nothing to compute"]


def options_of_plots(config):
    config["plotting"]["cms_label"] = "Mine"


FREE = {
    "nothing": lambda config: None,
    "plot options": options_of_plots,
    "executor": lambda config: config["general"].update(executor="futures", workers=1),
    "label of an observable": lambda config: config["channels"][1]["observables"][0].update(label="$H_T$"),
    "fewer channels": lambda config: config["general"].update(channels=["all"]),
    "a channel removed": lambda config: config["channels"].pop(0),
    "fewer processes": lambda config: config["general"].update(processes=["dy"]),
    "a dataset removed": lambda config: config["datasets"]["datasets"].pop(0),
    "one file of each dataset": lambda config: config["datasets"].update(max_files=1),
    "minimal coverage": lambda config: config["general"].update(min_coverage=0.5),
    "order of channels": lambda config: config["channels"].reverse(),
    "order of datasets": lambda config: config["datasets"]["datasets"].reverse(),
}


@pytest.mark.parametrize("what", FREE)
def test_what_reaches_no_event_computes_nothing_and_is_right(what, analysis):
    FREE[what](analysis.config)
    assert analysis.run() == ({}, {})
    assert all(computed == 0 for computed, _ in analysis.counted().values())
    analysis.assert_as_new()


def test_files_that_come_and_go_cost_themselves_once(analysis):
    config = analysis.config
    config["datasets"]["max_files"] = 1
    assert analysis.run() == ({}, {})
    assert analysis.counted() == {"tt": (0, 5), "dy": (0, OF_DY)}
    one = bits_of(analysis.result.output)
    config["datasets"]["max_files"] = None
    assert analysis.run() == ({}, {})
    config["datasets"]["max_files"] = 1
    assert analysis.run() == ({}, {})
    assert_same_bits(bits_of(analysis.result.output), one)


def test_with_more_files_than_before_only_those_are_computed(toys, tmp_path):
    analysis = Analysis(toys, tmp_path)
    analysis.config["datasets"]["max_files"] = 1
    assert analysis.run()[0] == {"SR": 5 + OF_DY, "all": 5 + OF_DY}
    analysis.config["datasets"]["max_files"] = None
    assert analysis.run() == ({"SR": 3, "all": 3}, {(name, "not computed yet"): 3 for name in ("SR", "all")})
    analysis.assert_as_new()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_file_added_anywhere_in_the_listing_is_all_that_is_computed(position, analysis, tmp_path):
    more = write_toy(tmp_path / "a_new_one.root", 100, 9)
    files = analysis.config["datasets"]["datasets"][0]["files"]
    files.insert(position, str(more.path))
    assert analysis.run()[0] == {"SR": 2, "all": 2}
    assert analysis.counted() == {"tt": (2, OF_TT), "dy": (0, OF_DY)}
    analysis.assert_as_new()
    files.remove(str(more.path))
    assert analysis.run()[0] == {}
    analysis.assert_as_new()


def test_files_that_were_moved_or_renamed_are_known_by_their_content(analysis):
    moved = analysis.folder / "moved"
    analysis.input.rename(moved)
    for one in analysis.config["datasets"]["datasets"]:
        for index, path in enumerate(one["files"]):
            other = moved / f"other_{Path(path).name}"
            (moved / Path(path).name).rename(other)
            one["files"][index] = str(other)
    assert analysis.run() == ({}, {})


def test_a_file_with_other_events_under_an_old_name_is_computed(analysis):
    path = Path(analysis.config["datasets"]["datasets"][1]["files"][0])
    write_toy(path, 310, 30)
    assert analysis.run()[0] == {"SR": OF_DY, "all": OF_DY}
    assert analysis.counted() == {"tt": (0, OF_TT), "dy": (OF_DY, 0)}
    analysis.assert_as_new()


@pytest.mark.parametrize("what", ["cross-section", "luminosity"])
def test_a_cross_section_or_luminosity_scales_the_histograms_and_reads_no_event(what, analysis):
    """Not even the files are opened: garbage of the same length and age in their place does no harm."""
    before = analysis.result.output
    if what == "cross-section":
        analysis.config["datasets"]["datasets"][1]["cross_sections"] = [800.0]
    else:
        analysis.config["general"]["lumi"] = 100.0
    for path in analysis.input.iterdir():
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert analysis.run() == ({}, {})
    twice = {"dy"} if what == "cross-section" else {"tt", "dy"}
    for channel, observable in (("SR", "jet_met"), ("all", "ht")):
        for process in ("tt", "dy"):
            old, new = (
                output["histograms"][channel][observable][{"process": process}].view(flow=True)
                for output in (before, analysis.result.output)
            )
            factor = 2 if process in twice else 1  # a power of two: exact
            assert np.array_equal(new["value"], factor * old["value"])
            assert np.array_equal(new["variance"], factor**2 * old["variance"])
            assert old["value"].any()


def test_files_that_are_gone_are_an_error_even_if_nothing_has_to_be_read(analysis):
    analysis.config["general"] |= {"lumi": 100.0, "run_metadata_generation": False}
    analysis.input.rename(analysis.folder / "taken away")
    with pytest.raises(
        MetadataError, match=r"do not cover, or not as they are now, 3 file\(s\), such as .*tt_0.root"
    ):
        analysis.run()


def test_a_redirector_is_no_reason_to_compute_anything(toys, tmp_path):
    """The same files through two addresses: what stands before the path of a file does not reach its content."""
    folder = tmp_path / "store"
    folder.mkdir()
    for toy in toys["tt"]:
        shutil.copy(toy.path, folder)
    analysis = Analysis({**toys, "tt": [], "dy": []}, tmp_path)
    names = [f"{folder}/{toy.path.name}" for toy in toys["tt"]]
    analysis.config["datasets"]["datasets"] = [
        {"name": "tt", "files": names, "cross_sections": [10.0], "redirector": "file://"}
    ]
    called, _ = analysis.run()
    assert called == {"SR": OF_TT, "all": OF_TT}
    del analysis.config["datasets"]["datasets"][0]["redirector"]
    assert analysis.run() == ({}, {})


def test_two_run_directories_that_share_a_ledger_compute_once(analysis):
    analysis.config["general"] |= {
        "ledger_url": str(analysis.folder / "out" / "ledger"),
        "output_dir": str(analysis.folder / "second"),
    }
    first = bits_of(analysis.result.output)
    assert analysis.run() == ({}, {})
    assert_same_bits(bits_of(analysis.result.output), first)


def test_a_cut_changed_for_a_few_files_only_is_right_for_all_later(analysis):
    cut_of_one_channel(analysis.config)
    analysis.config["datasets"]["max_files"] = 1
    assert analysis.run()[0] == {"SR": 5 + OF_DY}
    analysis.config["datasets"]["max_files"] = None
    assert analysis.run()[0] == {"SR": 3}
    analysis.assert_as_new()
