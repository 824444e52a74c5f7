"""Where results are committed: any URL, by the worker if it sees the ledger, else by the client; and by which code."""

from __future__ import annotations

import json
from dataclasses import replace

import fsspec
import numpy as np
import pytest
import uproot
from coffea.util import load

from intccms import AnalysisRunner, Config
from intccms.analysis.executors.base import Iterative
from intccms.analysis.ledger import Name, Place
from intccms.analysis.ledger import units as units_module
from intccms.schema.digest.own import own_closure
from intccms.utils.storage import Storage
from tests.analysis.toys import dataset, observable_that_raises, toy_config


def config_of(toys, output, **general):
    parts = [dataset("tt", *toys["tt"]), dataset("data", *toys["data"], xsec=None)]
    return Config(**toy_config(parts, output, **general))


@pytest.fixture
def reference(toys, tmp_path, run_quietly, contents):
    return contents(run_quietly(config_of(toys, tmp_path / "reference")).output)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=str(key))


@pytest.mark.parametrize("place", ["memory", "file", "folder"])
def test_the_ledger_can_be_anywhere(place, toys, tmp_path, run_quietly, contents, reference):
    url = {
        "memory": f"memory://{tmp_path.name}/ledger",
        "file": f"file://{tmp_path}/elsewhere/ledger",
        "folder": str(tmp_path / "elsewhere"),
    }[place]
    first = run_quietly(config_of(toys, tmp_path / "one", ledger_url=url))
    assert_same(contents(first.output), reference)
    assert not (tmp_path / "one" / "ledger").exists()
    second = run_quietly(config_of(toys, tmp_path / "two", ledger_url=url))
    assert [one.computed for one in second.report.datasets] == [0, 0], (
        "another run directory, the same results"
    )
    assert_same(contents(second.output), reference)
    left = [name for name in fsspec.open_files(f"{url}/*") if "token" in name.path]
    assert left == []


class Blind(Iterative):
    """Workers that see another file system under the same name, as those of another machine do."""

    def map(self, function, items, **options):
        place = Place(Storage("memory://nowhere"), "no such token")
        task = replace(function, function=replace(function.function, place=place))
        return super().map(task, items, **options)


def test_the_client_commits_what_workers_cannot(toys, tmp_path, monkeypatch, contents, reference):
    runner = AnalysisRunner(config_of(toys, tmp_path / "out"), progress=False)
    runner.metadata()
    monkeypatch.setattr("intccms.analysis.runner.make_executor", lambda *args, **kwargs: Blind())
    assert_same(contents(runner.histogram().output), reference)
    again = AnalysisRunner(config_of(toys, tmp_path / "out"), progress=False).histogram()
    assert [one.computed for one in again.report.datasets] == [0, 0]


def test_a_folder_of_the_same_name_without_the_token_is_not_written_to(tmp_path):
    place = Place.open(Storage(str(tmp_path / "ledger")))
    name = Name("tt", "chunk", "f" * 16, "0-10", "b" * 16)
    assert place.commit([(name, b"content")]) == ()
    assert place.has(name)
    elsewhere = Place(Storage(str(tmp_path / "other")), place.token)
    assert elsewhere.commit([(name, b"content")]) == ((name, b"content"),)
    assert not elsewhere.has(name)
    assert not (tmp_path / "other").exists()
    place.close()
    assert [path.name for path in (tmp_path / "ledger").iterdir()] == ["tt"]


def test_incomplete_histograms_say_so_in_their_metadata(toys, tmp_path, run_quietly):
    config = toy_config([dataset("tt", *toys["tt"])], tmp_path / "out")
    config["channels"][1]["observables"][0] |= {
        "function": observable_that_raises,
        "use": [("event", "ht"), ("event", "event")],
        "static_kwargs": {"number": 1_233},
    }
    config["baseline_selection"] = None
    config["preprocess"]["skimming"] = {"chunk_size": 100}
    run_quietly(config)
    coverage = (680 - 90) / 680  # one of five chunks of the file of 450 events is missing
    expected = {"complete": False, "coverage": pytest.approx(coverage)}
    assert load(tmp_path / "out" / "output.coffea")["histograms"]["all"]["ht"].metadata == expected
    by_dataset = load(tmp_path / "out" / "histograms" / "by_dataset.coffea")
    filled = {"tt": ["nominal"]}
    assert by_dataset["histograms"]["SR"]["jet_met"].metadata == expected | {"filled": filled}
    with uproot.open(tmp_path / "out" / "histograms" / "histograms.root") as file:
        assert json.loads(str(file["status"])) == expected
    complete = run_quietly(config_of(toys, tmp_path / "complete"))
    assert complete.output["histograms"]["all"]["ht"].metadata == {"complete": True, "coverage": 1.0}


def test_all_code_that_makes_a_result_counts_for_its_digest():
    closure = own_closure(units_module._ENTRY_MODULES)
    counted = {
        name
        for name in closure
        if not any(name == one or name.startswith(f"{one}.") for one in units_module._EXEMPT)
    }
    # what turns events into sums and sums into bytes, by hand
    assert counted >= {
        "intccms.analysis.columns",
        "intccms.analysis.ledger.records",
        "intccms.analysis.processor",
        "intccms.datasets.nanoevents",
        "intccms.datasets.sources",
        "intccms.histograms.axes",
        "intccms.histograms.fill",
        "intccms.metadata.lumis",
        "intccms.schema.reach",
        "intccms.selection.cutflow",
        "intccms.selection.lumimask",
        "intccms.selection.masks",
        "intccms.skimming.columns",
        "intccms.skimming.flat",
        "intccms.skimming.parquet",
    }
    assert not [
        name
        for name in counted
        if name.startswith(("intccms.plotting", "intccms.cli", "intccms.analysis.report"))
    ]
