"""A wrong configuration is refused before anything is read: one line with the path, the value and the remedy.

The paths and values expected are those that each case puts in; the remedies are the valid names of the schema.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import Config
from tests.configurations import above, add, same

DELETE = object()
MET = "channels.0.observables.0"
TT = "datasets.datasets.0"


def changed(configuration: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = configuration
    for step in parents:
        target = target[step]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return configuration


def error_of(configuration: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(**configuration)
    return str(caught.value)


def test_the_unchanged_configuration_is_valid(configuration):
    config = Config(**configuration)
    assert [one.name for one in config.selected_datasets()] == ["tt", "data"]
    assert [one.name for one in config.channels[0].observables] == ["met", "met_ht"]


@pytest.mark.parametrize(
    ("path", "where", "meant"),
    [
        ("generall", "generall", "general"),
        ("general.run_skiming", "general.run_skiming", "run_skimming"),
        ("general.LUMI", "general.LUMI", "lumi"),
        ("datasets.basedir", "datasets.basedir", "base_dir"),
        (f"{TT}.cross_section", "datasets.datasets[tt].cross_section", "cross_sections"),
        ("preprocess.skimming.chunksize", "preprocess.skimming.chunksize", "chunk_size"),
        ("good_object_masks.0.functon", "good_object_masks[Muon].functon", "function"),
        ("ghost_observables.0.colection", "ghost_observables[ht].colection", "collection"),
        ("channels.0.observable", "channels[SR].observable", "observables"),
        (f"{MET}.bining", "channels[SR].observables[met].bining", "binning"),
        (f"{MET}.binning.stopp", "channels[SR].observables[met].binning.stopp", "stop"),
        ("channels.0.observables.1.axes.1.lable", "channels[SR].observables[met_ht].axes[y].lable", "label"),
        ("channels.0.selection.static_kwarg", "channels[SR].selection.static_kwarg", "static_kwargs"),
    ],
)
def test_a_misspelt_key_is_named_with_its_path_and_the_nearest_valid_key(configuration, path, where, meant):
    message = error_of(changed(configuration, path, 1))
    key = path.rsplit(".", 1)[-1]
    assert message.startswith(f"{where}: unknown key {key!r}. Did you mean {meant!r}? Known keys: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        ("general.lumi", "abc", "general.lumi", "a number or a dictionary"),
        ("general.lumi", -5, "general.lumi", "greater than 0"),
        ("general.lumi", 0, "general.lumi", "greater than 0"),
        ("general.lumi", float("inf"), "general.lumi", "a finite number"),
        ("general.lumi", [1, 2], "general.lumi", "a number or a dictionary"),
        ("general.run_analysis", "maybe", "general.run_analysis", "a boolean"),
        ("general.analysis", "diff", "general.analysis", "'nondiff' or 'skip'"),
        ("general.workers", 0, "general.workers", "greater than or equal to 1"),
        ("general.min_coverage", 2, "general.min_coverage", "less than or equal to 1"),
        ("general.processes", "ttbar", "general.processes", "a list"),
        ("general.output_dir", 3, "general.output_dir", "a path"),
        ("general.lumi", True, "general.lumi", "a number"),
        ("general.workers", True, "general.workers", "a number"),
        ("datasets.max_files", True, "datasets.max_files", "a number"),
        ("datasets", 3, "datasets", "a dictionary with the keys base_dir, max_files, datasets"),
        ("datasets.datasets", "x", "datasets.datasets", "a list"),
        ("datasets.max_files", 0, "datasets.max_files", "greater than or equal to 1"),
        (f"{TT}.cross_sections", [-1], "datasets.datasets[tt].cross_sections[0]", "greater than or equal to 0"),
        (f"{TT}.cross_sections", "x", "datasets.datasets[tt].cross_sections", "a number"),
        (f"{TT}.files", 3, "datasets.datasets[tt].files", "a string or a list"),
        (f"{TT}.name", "a/b", "datasets.datasets[a/b].name", "text that matches the pattern"),
        ("preprocess.skimming.chunk_size", 0, "preprocess.skimming.chunk_size", "greater than or equal to 1"),
        ("preprocess.skimming.use", "MET", "preprocess.skimming.use", "a list"),
        ("preprocess.skimming.function", 3, "preprocess.skimming.function", "callable"),
        ("channels", [], "channels", "a list of at least 1 item"),
        ("channels.0.observables", {}, "channels[SR].observables", "a list"),
        (f"{MET}.binning", "abc", "channels[SR].observables[met].binning",
         "a dictionary with the keys bins, start, stop or a list"),
        (f"{MET}.binning", 50, "channels[SR].observables[met].binning",
         "a dictionary with the keys bins, start, stop or a list"),
        (f"{MET}.binning", [3.0], "channels[SR].observables[met].binning", "a list of at least 2 items"),
        (f"{MET}.binning.bins", 0, "channels[SR].observables[met].binning.bins", "greater than or equal to 1"),
        (f"{MET}.binning.bins", "x", "channels[SR].observables[met].binning.bins", "an integer"),
        (f"{MET}.binning.bins", 2.5, "channels[SR].observables[met].binning.bins", "an integer"),
        (f"{MET}.name", "a b", "channels[SR].observables[a b].name", "text that matches the pattern"),
        ("plotting.dpi", 5, "plotting.dpi", "greater than or equal to 20"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_or_range_is_one_line_with_path_value_and_expectation(
    configuration, path, value, where, expected
):
    message = error_of(changed(configuration, path, value))
    assert message.startswith(f"{where}: should be {expected}")
    assert f", not {value[0] if where.endswith('[0]') else value!r}." in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("lumi", "wrong"), [({"2017": -5}, "-5"), ({2017: "x"}, "'x'"), ({"2017": None}, "None")]
)
def test_a_wrong_luminosity_of_a_year_names_the_year(configuration, lumi, wrong):
    message = error_of(changed(configuration, "general.lumi", lumi))
    assert message.startswith("general.lumi.2017: should be ")
    assert f"not {wrong}." in message
    assert "\n" not in message


def test_an_error_carries_the_help_of_the_field_with_its_unit(configuration):
    assert "(Integrated luminosity [pb^-1]" in error_of(changed(configuration, "general.lumi", -5))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("datasets", "datasets"),
        (f"{TT}.name", "datasets.datasets[0].name"),
        (f"{MET}.binning.stop", "channels[SR].observables[met].binning.stop"),
        ("good_object_masks.0.collection", "good_object_masks[0].collection"),
    ],
)
def test_a_missing_key_is_named(configuration, path, where):
    message = error_of(changed(configuration, path, DELETE))
    assert message.startswith(f"{where}: this key is required and was not given.")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("datasets.datasets", [], ["datasets.datasets: ", "empty", "give at least one"]),
        ("datasets.datasets.0.name", "data", ["datasets.datasets: ", "duplicate names ['data']"]),
        ("channels.1.name", "SR", ["channels: ", "duplicate names ['SR']"]),
        ("channels.0.observables.1.name", "met", ["channels[SR].observables: ", "duplicate names ['met']"]),
        ("channels.0.observables.1.axes.1.name", "x", ["channels[SR].observables[met_ht]: ", "['x', 'x']"]),
        ("channels.0.observables.1.axes.1.name", "variation", ["observables[met_ht]: ", "other than process"]),
        (f"{MET}.binning", [0, 2, 1], ["channels[SR].observables[met].binning: ", "increase", "1 follows 2"]),
        (f"{MET}.binning", [0, 1, 1], ["channels[SR].observables[met].binning: ", "increase", "1 follows 1"]),
        (f"{MET}.binning", [0, float("inf")], ["observables[met].binning: ", "finite", "inf"]),
        (f"{MET}.binning", ["a", "b"], ["observables[met].binning: ", "numbers", "'a'"]),
        (f"{MET}.binning", [[0, 1], [2, 3]], ["observables[met].binning: ", "numbers", "[0, 1]"]),
        (f"{MET}.binning", {"bins": 5, "start": 10, "stop": 1}, ["observables[met].binning: ", "start=10", "stop=1"]),
        ("channels.0.observables.1.axes.0.binning", [1, 0], ["observables[met_ht].axes[x].binning: ", "increase"]),
        (f"{MET}.binning", DELETE, ["channels[SR].observables[met]: ", "'binning'", "'axes'"]),
        (f"{MET}.axes", [{"name": "a", "binning": [0, 1]}], ["observables[met]: ", "'binning'", "exactly one"]),
        ("general.executor", "daks", ["general.executor: ", "'daks'", "Did you mean 'dask'?"]),
        ("general.executor", 3, ["general.executor: ", "not 3", "'futures'"]),
        ("general.analysis", "skipp", ["general.analysis: ", "Did you mean 'skip'?"]),
        ("general.processes", ["ttbr"], ["general.processes: 'ttbr'", "Did you mean 'ttbar'?", "ttbar, data"]),
        ("general.channels", ["sr"], ["general.channels: 'sr'", "Did you mean 'SR'?"]),
        ("general.channels", [], ["general.channels is empty", "None"]),
        ("general.processes", [], ["general.processes is empty", "None"]),
        ("channels.0.selection", above, ["channels[SR].selection: ", "the keys function, use, static_kwargs"]),
    ],
)  # fmt: skip
def test_a_contradiction_names_the_place_and_says_what_to_do(configuration, path, value, words):
    message = error_of(changed(configuration, path, value))
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_two_ghost_observables_of_one_name_and_collection_are_refused(configuration):
    ghosts = configuration["ghost_observables"]
    configuration["ghost_observables"] = [
        *ghosts,
        {"names": ["x", "ht"], "function": same, "use": [("MET", "pt")]},
    ]
    assert "ghost_observables: duplicate names ['event.ht']" in error_of(configuration)


def test_ghost_observables_of_one_name_in_different_collections_are_fine(configuration):
    ghost = {"names": "ht", "collection": "Muon", "function": same, "use": [("Muon", "pt")]}
    configuration["ghost_observables"].append(ghost)
    assert len(Config(**configuration).ghost_observables) == 2


def test_several_problems_are_listed_one_per_line(configuration):
    configuration["general"] |= {"lumi": -1, "workers": 0, "run_analysis": "maybe"}
    head, *lines = error_of(configuration).splitlines()
    assert head == "3 problems:"
    assert sorted(line.split(":")[0] for line in lines) == [
        "  - general.lumi",
        "  - general.run_analysis",
        "  - general.workers",
    ]


def test_of_very_many_problems_only_the_first_are_listed_and_the_rest_counted(configuration):
    observable = configuration["channels"][0]["observables"][0]
    configuration["channels"][0]["observables"] = [{**observable, "name": f"n {i}"} for i in range(25)]
    lines = error_of(configuration).splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("25 problems:", 22, "  - and 5 more")


@pytest.mark.parametrize("edges", [(0, 1, 4), np.array([0.0, 1.0, 4.0]), np.array([0, 1, 4]), [0, 1, 4]])
def test_edges_may_be_any_sequence_of_numbers(configuration, edges):
    config = Config(**changed(configuration, f"{MET}.binning", edges))
    assert config.channels[0].observables[0].binning == [0.0, 1.0, 4.0]


def test_defaults_are_not_shared_between_configurations(configuration):
    del configuration["preprocess"]
    one, other = Config(**configuration), Config(**configuration)
    one.preprocess.branches["Muon"] = ["pt"]
    one.general.run_systematics = False
    assert other.preprocess.branches == {}
    assert other.general.run_systematics is True


def test_an_error_inside_a_nested_model_given_as_an_object_is_a_config_error_of_that_object():
    from intccms.schema.selection import Observable

    with pytest.raises(ConfigError, match=r"^binning: edges must increase, but 1 follows 2"):
        Observable(name="x", function=add, use=[("MET", "pt"), ("MET", "phi")], binning=[2, 1])
