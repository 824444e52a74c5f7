"""Assignments in a notebook are validated, and an error leaves the model as it was."""

from __future__ import annotations

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config, ObjVar
from intccms.schema.overrides import value_at
from tests.configurations import add


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [
        ("general.run_skimming", False, False),
        ("general.run_systematics", "no", False),
        ("general.lumi", 5, 5.0),
        ("general.lumi", {2017: 5}, {"2017": 5.0}),
        ("general.processes", ["ttbar"], ["ttbar"]),
        ("datasets.max_files", 3, 3),
        ("datasets.datasets.tt.redirector", "root://a/", ["root://a/"]),
        ("channels.SR.observables.met.binning", [0, 1], [0.0, 1.0]),
        ("channels.SR.observables.met.use", [("MET", "phi")], [ObjVar("MET", "phi")]),
        ("channels.SR.selection", None, None),
    ],
)
def test_a_value_is_converted_to_the_type_of_the_field(configuration, path, value, result):
    config = Config(**configuration)
    owner, _, field = path.rpartition(".")
    setattr(value_at(config, owner), field, value)
    assert value_at(config, path) == result


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("general.lumi", -5, "lumi: should be greater than 0, not -5"),
        ("general.executor", "daks", "Did you mean 'dask'"),
        ("general.workers", "many", "workers: should be an integer, not 'many'"),
        ("datasets.datasets", [], "datasets: the list of datasets is empty"),
        ("datasets.datasets.tt.is_data", True, "data have no cross-section"),
        ("datasets.datasets.tt.name", "a b", "name: should be text that matches the pattern"),
        ("preprocess.skimming.function", add, "missing a required argument: 'second'"),
        ("preprocess.skimming.use", [("a", "b")] * 3, "too many positional arguments"),
        ("channels.SR.observables.met.use", [("a", "b"), ("c", "d")], "too many positional arguments"),
        ("channels.SR.observables.met.binning", None, "give 'binning' for one dimension"),
        ("channels.SR.observables.met.binning", [1, 0], "edges must increase"),
        ("channels.SR.observables.met.binning.start", 1000, "start=1000.0, stop=100.0"),
        ("channels.SR.observables.met_ht.axes", [], "give 'binning' for one dimension"),
        ("channels.SR.observables", [{"name": "x"}], r"observables\[x\].function: this key is required"),
        ("channels", [], "channels: should be a list of at least 1 item"),
        ("general", {"run_skimming": True}, "use_skimmed_input=True as well"),
        ("general", {"lumi": -1}, "general.lumi: should be greater than 0"),
        ("general.processes", [3], r"processes\[0\]: should be a string, not 3"),
    ],
)
def test_a_refused_value_is_a_config_error_and_changes_nothing(configuration, path, value, words):
    config = Config(**configuration)
    before, known = config.to_json(), config.model_dump()
    owner_path, _, field = path.rpartition(".")
    owner = value_at(config, owner_path) if owner_path else config
    with pytest.raises(ConfigError, match=words):
        setattr(owner, field, value)
    assert config.to_json() == before
    assert config.model_dump() == known


def test_a_contradiction_between_sections_is_found_by_the_check_before_a_run(configuration):
    config = Config(**configuration)
    config.datasets.datasets[0].files = [["2017.root"], ["2018.root"]]
    config.datasets.datasets[0].years = ["2017", "2018"]
    with pytest.raises(ConfigError, match=r"general.lumi is one number .*\['2017', '2018'\]"):
        config.check()


@pytest.mark.parametrize("path", ["general.lumy", "generall", "channels.SR.selectionn"])
def test_assigning_an_unknown_field_is_an_error_with_the_nearest_one(configuration, path):
    config = Config(**configuration)
    owner, _, field = path.rpartition(".")
    with pytest.raises(ConfigError, match=rf"{field}: unknown key '{field}'. Did you mean '"):
        setattr(value_at(config, owner) if owner else config, field, 1)


def test_after_a_refused_assignment_a_good_one_still_works(configuration):
    config = Config(**configuration)
    binning = config.channels[0].observables[0].binning
    with pytest.raises(ConfigError):
        binning.start = 500.0
    binning.stop = 1000.0
    binning.start = 500.0
    assert (binning.start, binning.stop) == (500.0, 1000.0)


def test_the_path_in_the_error_of_an_assignment_names_items_inside_the_value(configuration):
    config = Config(**configuration)
    channels = [{"name": "SR", "observables": [{"name": "met", "function": add, "bining": 3}]}]
    with pytest.raises(ConfigError, match=r"channels\[SR\].observables\[met\].bining: unknown key"):
        config.channels = channels
