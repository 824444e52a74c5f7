"""Entries of the list of datasets: what each stands for, and the luminosity that its years need."""

from __future__ import annotations

from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config
from intccms.schema.datasets import DatasetEntry, DatasetsConfig


def entry(**fields: Any) -> DatasetEntry:
    return DatasetEntry(**{"name": "wjets", "cross_sections": [61.5], **fields})


@pytest.mark.parametrize(
    ("years", "names"),
    [
        (None, ["wjets"]),
        (["2017"], ["wjets_2017"]),
        (["2017", "2018"], ["wjets_2017", "wjets_2018"]),
        ([2017, 2018], ["wjets_2017", "wjets_2018"]),
        (2017, ["wjets_2017"]),
        (["2017", "2018", "2017"], ["wjets_2017_0", "wjets_2018", "wjets_2017_1"]),
        (["2016preVFP", "2016postVFP"], ["wjets_2016preVFP", "wjets_2016postVFP"]),
    ],
)
def test_names_carry_the_year_and_a_number_where_a_year_repeats(years, names):
    assert [one.name for one in entry(years=years).expand("genWeight")] == names


def test_several_datasets_of_one_entry_without_years_are_numbered():
    datasets = entry(directories=["a", "b"], cross_sections=[1, 2]).expand("genWeight")
    assert [one.name for one in datasets] == ["wjets_0", "wjets_1"]


def test_plural_fields_pair_by_index_and_single_ones_serve_all():
    datasets = entry(
        directories=["a", "b", "c"], cross_sections=[1.0, 2.0, 3.0], years=["2017"], process="W"
    ).expand("genWeight")
    assert [(one.directory, one.cross_section, one.year, one.process) for one in datasets] == [
        ("a", 1.0, "2017", "W"),
        ("b", 2.0, "2017", "W"),
        ("c", 3.0, "2017", "W"),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("a.root", [("a.root",)]),
        (["a.root", "b.root"], [("a.root", "b.root")]),
        ([["a.root", "b.root"], ["c.root"]], [("a.root", "b.root"), ("c.root",)]),
    ],
)
def test_files_are_one_dataset_and_lists_of_files_are_several(files, expected):
    assert [one.files for one in entry(files=files).expand("genWeight")] == expected


def test_lumi_masks_pair_with_years_and_data_have_neither_weight_nor_cross_section():
    data = DatasetEntry(name="mu", is_data=True, years=[2017, 2018], lumi_mask=["a.json", "b.json"])
    found = [(one.lumi_mask, one.weight_branch, one.cross_section) for one in data.expand("genWeight")]
    assert found == [("a.json", None, None), ("b.json", None, None)]


def test_the_generator_weight_of_an_entry_wins_over_the_general_one():
    assert entry().expand("genWeight")[0].weight_branch == "genWeight"
    assert entry(weight_branch="LHEWeight").expand("genWeight")[0].weight_branch == "LHEWeight"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"directories": ["a", "b", "c"], "years": ["2017", "2018"]}, r"length 1 or 3, but \{'years': 2\}"),
        ({"cross_sections": [1, 2], "directories": ["a", "b", "c"]}, r"\{'cross_sections': 2\}"),
        ({"files": [["a"], ["b"]], "years": [1, 2, 3]}, r"\{'files': 2\}"),
        ({"directories": ["a"], "files": ["b"]}, "'directories' or 'files', not both"),
        ({"directories": []}, "'directories' is empty"),
        ({"files": []}, "'files' is empty"),
        ({"years": []}, "'years' is empty"),
        ({"cross_sections": []}, "'cross_sections' is empty"),
        ({"cross_sections": None}, r"simulation needs 'cross_sections' \[pb\]; set is_data=True"),
        ({"is_data": True}, "data have no cross-section: remove"),
        ({"lumi_mask": "g.json"}, "lumi mask applies to data only"),
    ],
)
def test_an_inconsistent_entry_is_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        entry(**fields)


TWO_YEARS = ["2017", "2018"]
OF_YEARS = r"expected one list per year. Write files: \[\[...2017...\], \[...2018...\]\]"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"files": ["a.root", "b.root"], "years": TWO_YEARS}, OF_YEARS),
        ({"files": "*.root", "years": TWO_YEARS}, OF_YEARS),
        ({"files": [["a.root", "b.root"]], "years": TWO_YEARS}, OF_YEARS),
        (
            {"files": ["a.root", "b.root"], "cross_sections": [1.0, 2.0]},
            r"'files' is one list for 2 datasets \(wjets_0, wjets_1\).*one list per dataset",
        ),
        (
            {"directories": "in", "years": TWO_YEARS},
            r"one folder per year. Write directories: \['.../2017', '.../2018'\]",
        ),
    ],
)
def test_several_datasets_do_not_share_their_input(fields, words):
    with pytest.raises(ConfigError, match=words):
        entry(**fields)


def test_one_year_takes_a_flat_list_and_several_take_a_list_each():
    assert entry(files=["a.root", "b.root"], years=[2017]).expand("genWeight")[0].files == (
        "a.root",
        "b.root",
    )
    two = entry(files=[["a.root"], ["b.root"]], years=TWO_YEARS).expand("genWeight")
    assert [(one.year, one.files) for one in two] == [("2017", ("a.root",)), ("2018", ("b.root",))]


def test_names_that_two_entries_expand_to_are_found_to_be_the_same():
    config = DatasetsConfig(
        datasets=[
            {"name": "w", "cross_sections": 1, "years": [2017]},
            {"name": "w_2017", "cross_sections": 1},
        ]
    )
    with pytest.raises(ConfigError, match=r"duplicate names \['w_2017'\]"):
        config.expand("genWeight")


def with_years(configuration: dict[str, Any], lumi: Any, years: Any, *, is_data: bool = False) -> Config:
    configuration["general"]["lumi"] = lumi
    one = {"name": "w", "years": years} | ({"is_data": True} if is_data else {"cross_sections": 1.0})
    return Config(**{**configuration, "datasets": {"datasets": [one]}})


@pytest.mark.parametrize("lumi", [{"2017": 41480, "2018": 59830}, {2017: 41480.0, 2018: 59830.0}])
def test_each_year_has_its_luminosity_whether_its_key_is_text_or_a_number(configuration, lumi):
    config = with_years(configuration, lumi, [2017, 2018])
    assert [config.lumi_of(one) for one in config.selected_datasets()] == [41480.0, 59830.0]


@pytest.mark.parametrize(
    ("lumi", "years", "words"),
    [
        (41480, [2017, 2018], r"general.lumi is one number \(41480 pb\^-1\).*\['2017', '2018'\].*per year"),
        (
            {"2017": 1},
            [2017, 2018],
            r"no luminosity for year '2018' of dataset 'w_2018'; there is \['2017'\]\. Add",
        ),
        ({"2018": 1}, [2108], r"Did you mean '2018'"),
        ({"2017": 1, "2018": 2}, None, "general.lumi has the years .* dataset 'w' has none. Give it 'years'"),
        ({"2016preVFP": 1}, ["2016_preVFP"], "Did you mean '2016preVFP'"),
    ],
)
def test_a_luminosity_that_does_not_fit_the_years_is_refused(configuration, lumi, years, words):
    with pytest.raises(ConfigError, match=words):
        with_years(configuration, lumi, years)


def test_one_number_serves_one_year_and_one_year_serves_datasets_without(configuration):
    config = with_years(configuration, 41480, [2017])
    assert config.lumi_of(config.selected_datasets()[0]) == 41480.0
    config = with_years(configuration, {2017: 41480}, None)
    assert config.lumi_of(config.selected_datasets()[0]) == 41480.0


def test_data_need_no_luminosity(configuration):
    config = with_years(configuration, {2017: 41480}, [2017, 2018], is_data=True)
    assert [one.year for one in config.selected_datasets()] == ["2017", "2018"]


def test_simulation_without_any_luminosity_is_refused_when_it_is_asked_for(configuration):
    config = with_years(configuration, None, [2017])
    with pytest.raises(
        ConfigError, match=r"'w_2017' is simulation and needs a luminosity \[pb\^-1\].*general.lumi"
    ):
        config.lumi_of(config.selected_datasets()[0])


def test_processes_select_all_datasets_of_that_process_in_configuration_order(configuration):
    entries = [
        {"name": name, "process": process, "cross_sections": 1}
        for name, process in (("b", "W"), ("a", "W"), ("c", "Z"))
    ]
    configuration["general"]["processes"] = ["W"]
    config = Config(**{**configuration, "datasets": {"datasets": entries}})
    assert [one.name for one in config.selected_datasets()] == ["b", "a"]
