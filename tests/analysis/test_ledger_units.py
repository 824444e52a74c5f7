"""What changes which result: a table of edits and of the units that they reach, found by reading the analysis.

The functions of the analysis stand in two modules on disk, which are edited and loaded anew as in a session.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from intccms.analysis.ledger import Unit, Units, units
from intccms.analysis.ledger.units import differences
from intccms.errors import ConfigError
from intccms.schema import Config
from intccms.schema.base import WorkerEval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HELPERS = "PT = 30\ndef hard(jets):\n    return jets.pt > PT\n"
CUTS = """
import ledger_units_helpers as helpers

def passes(values, cut=50.0):
    # a loose cut
    return values > cut

def with_hard_jets(jets):
    return helpers.hard(jets)

def good(objects, pt=10.0):
    return objects.pt > pt

def add(first, second):
    return first + second

def same(values):
    return values
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Give a function that writes the two modules and returns the one with the cuts, loaded anew."""
    monkeypatch.syspath_prepend(tmp_path)
    # bytecode is taken for fresh when an edit keeps the second and the size
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("ledger_units_helpers", "ledger_units_cuts")

    def load_modules(cuts: str = CUTS, helpers: str = HELPERS) -> Any:
        for name, text in zip(names, (helpers, cuts), strict=True):
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(names[1])

    yield load_modules
    for name in names:
        sys.modules.pop(name, None)


def analysis(module: Any, folder: Path) -> dict[str, Any]:
    """Return three channels, of which SR uses jets, CR a ghost, and VR nothing but MET."""
    met, jet, muon = ("MET", "pt"), ("Jet", None), ("Muon", None)
    golden = folder / "golden.json"
    if not golden.exists():
        golden.write_text('{"1": [[1, 10]]}')
    binning = {"bins": 10, "start": 0, "stop": 100}
    observable = {"name": "met", "function": module.same, "use": [met], "binning": binning}
    return {
        "general": {"lumi": 1000.0},
        "datasets": {
            "datasets": [
                {"name": "tt", "files": ["tt.root"], "cross_sections": [831.76]},
                {"name": "data", "files": ["data.root"], "is_data": True, "lumi_mask": str(golden)},
            ]
        },
        "preprocess": {"skimming": {"function": module.passes, "use": [met], "static_kwargs": {"cut": 20.0}}},
        "good_object_masks": [
            {"collection": "Muon", "function": module.good, "use": [muon]},
            {"collection": "Jet", "function": module.good, "use": [jet], "static_kwargs": {"pt": 30.0}},
        ],
        "baseline_selection": {"function": module.same, "use": [("Muon", "pt")]},
        "ghost_observables": [
            {"names": "unused", "function": module.add, "use": [jet, jet]},
            {"names": "twice", "function": module.add, "use": [met, met]},
        ],
        "channels": [
            {
                "name": "SR",
                "selection": {"function": module.with_hard_jets, "use": [jet]},
                "observables": [observable],
            },
            {
                "name": "CR",
                "selection": {"function": module.passes, "use": [("event", "twice")]},
                "observables": [observable, {**observable, "name": "wide", "binning": [0, 50, 500]}],
            },
            {"name": "VR", "observables": [observable]},
        ],
    }


def digests(data: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the digest of each unit of each dataset."""
    return {key: unit.digest for key, unit in all_units(data).items()}


def all_units(data: dict[str, Any]) -> dict[tuple[str, str], Unit]:
    config = Config(**data)
    made = Units(config)
    found = {}
    for dataset in config.selected_datasets():
        found |= {(dataset.name, name): unit for name, unit in made.channels(dataset).items()}
        found[dataset.name, "skim"] = made.skim(dataset)
    return found


def at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit that sets one value; numbers in the path are positions."""
    *parents, last = (int(one) if one.isdigit() else one for one in path.split("."))

    def edit(data: Any) -> None:
        for one in parents:
            data = data.setdefault(one, {}) if isinstance(data, dict) else data[one]
        data[last] = value

    return edit


BOTH = ("tt", "data")
CHANNELS = ("SR", "CR", "VR")


def of(*names: str, datasets: tuple[str, ...] = BOTH) -> set[tuple[str, str]]:
    return {(dataset, name) for dataset in datasets for name in names}


def lambda_for(data: dict[str, Any]) -> None:
    data["channels"][0]["selection"]["function"] = lambda jets: jets.pt > 99


def rename(data: dict[str, Any]) -> None:
    data["channels"][2]["observables"] = [{**data["channels"][2]["observables"][0], "name": "missing_et"}]


def add_observable(data: dict[str, Any]) -> None:
    first = data["channels"][2]["observables"][0]
    data["channels"][2]["observables"] = [first, {**first, "name": "more"}]


def label(data: dict[str, Any]) -> None:
    first = data["channels"][2]["observables"][0]
    data["channels"][2]["observables"] = [{**first, "label": "MET", "unit": "GeV"}]


def two_axes(data: dict[str, Any]) -> None:
    for channel in data["channels"]:
        channel["observables"] = [*channel["observables"]]
    axes = [{"name": "x", "binning": [0, 1]}, {"name": "y", "binning": [0, 1]}]
    data["channels"][0]["observables"][0] = {
        "name": "met",
        "function": data["channels"][0]["observables"][0]["function"],
        "use": [("MET", "pt")],
        "axes": axes,
    }


def binning(data: dict[str, Any]) -> None:
    data["channels"][1]["observables"][1]["binning"] = [0, 50, 501]


def drop_the_unused_ghost(data: dict[str, Any]) -> None:
    del data["ghost_observables"][0]


def drop_the_baseline(data: dict[str, Any]) -> None:
    del data["baseline_selection"]


# edit of the configuration, units that change, and what the run says of the first of them
EDITS: dict[str, tuple[Callable[[dict[str, Any]], None], set[tuple[str, str]], list[str]]] = {
    "constant of a cut": (
        at("channels.1.selection.static_kwargs", {"cut": 51.0}),
        of("CR"),
        ["selection changed"],
    ),
    "function of a cut": (lambda_for, of("SR"), ["selection changed"]),
    "column of a cut": (at("channels.1.selection.use", [("MET", "pt")]), of("CR"), None),
    "binning": (binning, of("CR"), ["binning of wide changed"]),
    "a second axis": (two_axes, of("SR"), ["binning of met changed"]),
    "an observable more": (add_observable, of("VR"), ["observable more added", "binning of more added"]),
    "name of an observable": (rename, of("VR"), None),
    "label and unit": (label, set(), []),
    "plot option": (at("plotting.formats", ["svg"]), set(), []),
    "plot labels": (at("plotting.labels", {"tt": "top"}), set(), []),
    "cross-section": (at("datasets.datasets.0.cross_sections", [900.0]), set(), []),
    "luminosity": (at("general.lumi", 2000.0), set(), []),
    "redirector": (at("datasets.datasets.0.redirector", ["root://a//", "root://b//"]), set(), []),
    "max_files": (at("datasets.max_files", 1), set(), []),
    "files": (at("datasets.datasets.0.files", ["other.root", "tt.root"]), set(), []),
    "process": (at("datasets.datasets.0.process", "top"), set(), []),
    "executor": (at("general.executor", "iterative"), set(), []),
    "workers": (at("general.workers", 3), set(), []),
    "output_dir": (at("general.output_dir", "elsewhere"), set(), []),
    "ledger_url": (at("general.ledger_url", "elsewhere"), set(), []),
    "metadata_dir": (at("general.metadata_dir", "elsewhere"), set(), []),
    "skimmed_dir": (at("general.skimmed_dir", "elsewhere"), set(), []),
    "min_coverage": (at("general.min_coverage", 0.5), set(), []),
    "save_skimmed_output": (at("general.save_skimmed_output", True), set(), []),
    "chunk_size": (at("preprocess.skimming.chunk_size", 10), set(), []),
    "where skims are": (at("preprocess.skimming.output.output_dir", "elsewhere"), set(), []),
    "how skims are read": (at("preprocess.skimming.output.from_kwargs", {"a": 1}), set(), []),
    "how skims are written": (
        at("preprocess.skimming.output.to_kwargs", {"compression": "lz4"}),
        of("skim"),
        ["to_kwargs changed"],
    ),
    "mask of a collection that one channel uses": (
        at("good_object_masks.1.static_kwargs", {"pt": 31.0}),
        of("SR"),
        ["good_object_masks (1: Jet) changed"],
    ),
    "mask that the baseline sees": (
        at("good_object_masks.0.static_kwargs", {"pt": 11.0}),
        of(*CHANNELS),
        None,
    ),
    "ghost that one channel uses": (
        at("ghost_observables.1.use", [("MET", "pt"), ("MET", "phi")]),
        of("CR"),
        ["ghost_observables (0: twice) changed"],
    ),
    "ghost that no channel uses": (at("ghost_observables.0.use", [("Jet", "pt"), ("Jet", "pt")]), set(), []),
    "no ghost that no channel uses": (drop_the_unused_ghost, set(), []),
    "baseline": (
        at("baseline_selection.use", [("Muon", "eta")]),
        of(*CHANNELS),
        ["baseline_selection changed"],
    ),
    "no baseline": (drop_the_baseline, of(*CHANNELS), None),
    "constant of the skim": (
        at("preprocess.skimming.static_kwargs", {"cut": 21.0}),
        of(*CHANNELS, "skim"),
        ["preprocess.skimming changed"],
    ),
    "columns of whole collections": (
        at("preprocess.branches", {"Jet": ["pt"]}),
        of(*CHANNELS, "skim"),
        ["preprocess.branches changed"],
    ),
    "weight_branch of all": (
        at("general.weight_branch", "LHEWeight_originalXWGTUP"),
        of(*CHANNELS, "skim", datasets=("tt",)),
        ["kind of dataset changed"],
    ),
    "weight_branch of one": (
        at("datasets.datasets.0.weight_branch", "Generator_weight"),
        of(*CHANNELS, "skim", datasets=("tt",)),
        ["kind of dataset changed"],
    ),
    "tree_name of one": (
        at("datasets.datasets.1.tree_name", "Friends"),
        of(*CHANNELS, "skim", datasets=("data",)),
        ["kind of dataset changed"],
    ),
    "no lumi mask": (
        at("datasets.datasets.1.lumi_mask", None),
        of(*CHANNELS, "skim", datasets=("data",)),
        ["lumi mask removed"],
    ),
    "selection and cutflow only": (
        at("general.run_histogramming", False),
        of(*CHANNELS),
        ["run_histogramming changed"],
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_of_the_configuration_reaches_exactly_these_units(case: str, load, tmp_path):
    edit, reached, reasons = EDITS[case]
    module = load()
    data = analysis(module, tmp_path)
    before = all_units(data)
    edit(data)
    after = all_units(data)
    assert before.keys() == after.keys()
    assert {key for key in after if after[key].digest != before[key].digest} == reached
    if reasons is not None:
        for key in sorted(reached)[:1]:
            assert differences(before[key].parts, after[key].parts) == reasons


def replaced(old: str, new: str, text: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


# what the two modules become, and the units that change
CODE = {
    "a comment": (replaced("# a loose cut", "# a very loose cut\n", CUTS), HELPERS, set()),
    "a docstring": (
        replaced("def same(values):\n", 'def same(values):\n    """Return it."""\n', CUTS),
        HELPERS,
        set(),
    ),
    "a function that nobody calls": (CUTS + "\ndef other(x):\n    return x\n", HELPERS, set()),
    "code of a cut": (
        replaced("return helpers.hard(jets)", "return ~helpers.hard(jets)", CUTS),
        HELPERS,
        of("SR"),
    ),
    "a function in another module": (CUTS, replaced("jets.pt > PT", "jets.pt >= PT", HELPERS), of("SR")),
    "a constant in another module": (CUTS, replaced("PT = 30", "PT = 31", HELPERS), of("SR")),
    "a default that the skim overrides": (
        replaced("cut=50.0", "cut=51.0", CUTS),
        HELPERS,
        of(*CHANNELS, "skim"),  # the code of its function is another
    ),
    "code of masks": (replaced("objects.pt > pt", "objects.pt >= pt", CUTS), HELPERS, of(*CHANNELS)),
    "code of the ghosts": (replaced("first + second", "second + first", CUTS), HELPERS, of("CR")),
    "code of observables and baseline": (
        replaced("return values\n", "return 1 * values\n", CUTS),
        HELPERS,
        of(*CHANNELS),
    ),
}


@pytest.mark.parametrize("case", CODE)
def test_an_edit_of_the_code_reaches_exactly_these_units(case: str, load, tmp_path):
    cuts, helpers, reached = CODE[case]
    before = digests(analysis(load(), tmp_path))
    after = digests(analysis(load(cuts, helpers), tmp_path))
    assert {key for key in after if after[key] != before[key]} == reached


def test_the_content_of_a_lumi_mask_counts_and_not_its_place(load, tmp_path):
    data = analysis(load(), tmp_path)
    before = all_units(data)
    (tmp_path / "moved.json").write_bytes((tmp_path / "golden.json").read_bytes())
    data["datasets"]["datasets"][1]["lumi_mask"] = str(tmp_path / "moved.json")
    assert {key: unit.digest for key, unit in before.items()} == digests(data)

    stamp = (tmp_path / "moved.json").stat().st_mtime_ns
    (tmp_path / "moved.json").write_text('{"1": [[1, 11]]}')
    os.utime(tmp_path / "moved.json", ns=(stamp, stamp))
    after = all_units(data)
    changed = {key for key in after if after[key].digest != before[key].digest}
    assert changed == of(*CHANNELS, "skim", datasets=("data",))
    assert differences(before["data", "SR"].parts, after["data", "SR"].parts) == ["lumi mask changed"]


def test_a_file_that_a_constant_names_counts_by_its_content(load, tmp_path):
    data, table = analysis(load(), tmp_path), tmp_path / "table.json"
    data["channels"][1]["selection"]["static_kwargs"] = {"cut": str(table)}
    found = []
    for text in ("[1]", "[2]", "[1]"):
        table.write_text(text)
        found.append(digests(data))
    assert {key for key in found[0] if found[0][key] != found[1][key]} == of("CR")
    assert found[2] == found[0]


def test_a_channel_that_is_added_leaves_the_others_alone(load, tmp_path):
    data = analysis(load(), tmp_path)
    before = digests(data)
    data["channels"].insert(0, {**data["channels"][0], "name": "SR2"})
    after = digests(data)
    assert after.keys() - before.keys() == of("SR2")
    assert {key: after[key] for key in before} == before
    assert len({after["tt", name] for name in ("SR", "SR2", "CR", "VR")}) == 4


def test_a_filter_chooses_channels_and_changes_none(load, tmp_path):
    data = analysis(load(), tmp_path)
    before = digests(data)
    data["general"]["channels"] = ["VR", "SR"]
    after = digests(data)
    assert after.keys() == before.keys() - of("CR")
    assert {key: before[key] for key in after} == after
    config = Config(**data)
    (tt, _), made = config.selected_datasets(), Units(config)
    assert list(made.channels(tt)) == ["SR", "VR"]
    assert {name: one.digest for name, one in made.channels(tt, everything=True).items()} == {
        name: before["tt", name] for name in CHANNELS
    }


def test_datasets_of_one_kind_have_the_same_units(load, tmp_path):
    data = analysis(load(), tmp_path)
    data["datasets"]["datasets"].append({"name": "dy", "files": ["dy.root"], "cross_sections": [6000.0]})
    found = digests(data)
    assert all(found["dy", name] == found["tt", name] != found["data", name] for name in (*CHANNELS, "skim"))


def test_the_same_analysis_in_another_object_is_the_same(load, tmp_path):
    assert digests(analysis(load(), tmp_path)) == digests(analysis(load(), tmp_path))


def test_a_package_of_another_version_reaches_everything_and_is_named(load, tmp_path, monkeypatch):
    data = analysis(load(), tmp_path)
    before = all_units(data)
    monkeypatch.setattr(units, "version", lambda name: "99.0" if name == "awkward" else "2.0")
    once = all_units(data)
    monkeypatch.setattr(units, "version", lambda name: "99.1" if name == "awkward" else "2.0")
    again = all_units(data)
    assert all(once[key].digest not in {before[key].digest, again[key].digest} for key in before)
    for key in before:
        assert differences(once[key].parts, again[key].parts) == ["awkward 99.0 -> 99.1"]


def test_the_code_of_intccms_reaches_everything(load, tmp_path, monkeypatch):
    data = analysis(load(), tmp_path)
    before = all_units(data)
    monkeypatch.setattr(units, "own_code", lambda *modules: "f" * 64)
    after = all_units(data)
    for key in before:
        assert differences(before[key].parts, after[key].parts) == ["intccms changed"]


def test_a_value_that_workers_compute_does_not_count(load, tmp_path):
    data = analysis(load(), tmp_path)
    found = []
    for cut in (40.0, 60.0):
        data["channels"][1]["selection"]["static_kwargs"] = {"cut": WorkerEval(lambda cut=cut: cut)}
        found.append(digests(data))
    assert found[0] == found[1]


def test_what_cannot_be_digested_is_an_error_that_names_it(load, tmp_path):
    data = analysis(load(), tmp_path)
    with (tmp_path / "open.txt").open("w") as stream:
        data["channels"][1]["selection"]["static_kwargs"] = {"cut": stream}
        with pytest.raises(ConfigError, match=r"channels\[CR\]\.selection.*cut"):
            digests(data)


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1", "b": "2"}, {"b": "3", "a": "1"}, ["b changed"]),
        ({}, {"a": "1"}, ["a added"]),
        ({"a": "1"}, {}, ["a removed"]),
        ({"python": "3.12"}, {"python": "3.13"}, ["python 3.12 -> 3.13"]),
        ({"numba": "not installed"}, {"numba": "0.62"}, ["numba not installed -> 0.62"]),
        ({"z": "1", "a": "1"}, {"b": "1", "a": "2"}, ["b added", "a changed", "z removed"]),
    ],
    ids=str,
)
def test_differences_are_told_in_words(old, new, phrases):
    assert differences(old, new) == phrases
