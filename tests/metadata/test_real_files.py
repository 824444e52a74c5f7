"""Facts of real files: every era and codec, and files that crashed jobs left behind.

Entries and columns expected are those that uproot itself gives for the whole tree; the sums of the open data are
those that their publication states.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import uproot

from intccms.datasets import DatasetManager, SourceFile
from intccms.errors import IntccmsError
from intccms.metadata import FileMetadata, MetadataStore, MetadataTask, read_metadata
from intccms.metadata.reader import _facts, read_data_file, read_simulation_file
from intccms.schema import Config
from tests.configurations import analysis_of
from tests.reference import reference_data

FOLDERS = ("nanoaod", "opendata2016")

OPEN_DATA = {
    # events, source events, and sum of the signs of genWeight over the source events
    "ttbar_lep_0.root": (82_406, 507_000, 502_964),
    "ttbar_had_0.root": (1_958, 672_000, 666_468),
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return reference_data()


def trees(folder: Path) -> list[Path]:
    """The files whose events are a TTree, for which entries are read without parsing the tree."""
    found = []
    for path in sorted(path for name in FOLDERS for path in (folder / name).glob("*.root")):
        with uproot.open(path) as file:
            if file.classname_of("Events") == "TTree":
                found.append(path)
    return found


def test_entries_from_the_header_of_the_tree_are_those_of_the_whole_tree(folder):
    paths = trees(folder)
    assert len(paths) > 20
    told, expected = {}, {}
    for path in paths:
        told[path.name] = _facts(str(path), "Events", ())[0]["entries"]
        with uproot.open(path) as file:
            expected[path.name] = file["Events"].num_entries
    assert told == expected
    assert min(expected.values()) == 0
    assert max(expected.values()) > 10_000


def test_another_tree_of_a_file_has_entries_of_its_own(folder):
    path = folder / "nanoaod/nano_dy_SpecialTree.root"
    with uproot.open(path) as file:
        names = [name for name in file.keys(cycle=False) if file.classname_of(name) == "TTree"]
        expected = {name: file[name].num_entries for name in names}
    assert len(expected) > 1
    assert {name: _facts(str(path), name, ())[0]["entries"] for name in names} == expected


def runs_of(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".parquet":
        return {}
    with uproot.open(path) as file:
        if "Runs" not in file.keys(cycle=False):
            return {}
        tree = file["Runs"]
        names = [
            name for name in tree.keys(recursive=False) if name.startswith(("genEventSumw", "genEventCount"))
        ]
        return tree.arrays(names, library="np", how=dict) if names else {}


def test_every_real_file_can_be_read_as_what_it_is(folder):
    kinds = set()
    for path in sorted((folder / "nanoaod").iterdir()):
        file = SourceFile(str(path), (str(path),))
        runs = runs_of(path)
        columns = columns_of(path)
        sums = next((runs[name] for name in ("genEventSumw", "genEventSumw_") if name in runs), None)
        if sums is None:
            kinds.add("counted" if "genWeight" in columns else "data")
            if "genWeight" not in columns:
                continue
            if "skim" in path.name.lower():
                with pytest.raises(IntccmsError, match="is a skim"):
                    read_simulation_file(file, "Events", "genWeight", branches=False)
                continue
        record = read_simulation_file(file, "Events", "genWeight", branches=True)
        if sums is not None:
            kinds.add("genEventSumw_" if "genEventSumw_" in runs else "genEventSumw")
            assert (record.sumw, record.sumw_from) == (math.fsum(sums), "Runs")
        else:
            assert record.sumw_from == "Events"
        assert set(record.branches or ()) == columns
    assert {"genEventSumw", "genEventSumw_", "counted", "data"} <= kinds


def columns_of(path: Path) -> set[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return set(pq.read_schema(path).names)
    with uproot.open(path) as file:
        return set(file["Events"].keys(recursive=False))


def test_lumi_sections_of_real_data_are_the_distinct_pairs_in_the_file(folder):
    path = folder / "opendata2016/data_0.root"
    record = read_data_file(SourceFile(str(path), (str(path),)), "Events", branches=False)
    with uproot.open(path) as file:
        name = "LuminosityBlocks" if "LuminosityBlocks" in file.keys(cycle=False) else "Events"
        arrays = file[name].arrays(["run", "luminosityBlock"], library="np")
    pairs = set(zip(arrays["run"].tolist(), arrays["luminosityBlock"].tolist(), strict=True))
    told = {
        (int(run), n)
        for run, parts in record.lumis.items()
        for low, high in parts
        for n in range(low, high + 1)
    }
    assert told == pairs
    assert len(pairs) > 10


def simulation(path: Path) -> FileMetadata:
    return read_simulation_file(SourceFile(str(path), (str(path),)), "Events", "genWeight", branches=False)


@pytest.mark.parametrize("name", OPEN_DATA)
def test_entries_and_sums_of_the_open_data_are_the_published_ones(folder, name):
    path = folder / "opendata2016" / name
    entries, generated, signs = OPEN_DATA[name]
    record = simulation(path)
    assert (record.entries, record.generated, record.sumw_from) == (entries, generated, "Runs")
    with uproot.open(path) as file:
        # all weights of a dataset have one size, so that the sum of signs follows from the sums
        size = math.sqrt(file["Runs"]["genEventSumw2"].array(library="np")[0] / generated)
    assert (record.sumw or 0.0) / size == pytest.approx(signs, abs=0.5)


def test_the_files_of_a_dataset_of_the_open_data_add_up_to_the_published_numbers(folder):
    records = [simulation(folder / f"opendata2016/wjets_{index}.root") for index in range(3)]
    assert sum(record.entries or 0 for record in records) == 7_313
    assert sum(record.generated or 0 for record in records) == 2_276_917


def test_a_listing_of_logical_names_is_served_from_the_base_folder(folder, tmp_path):
    listing = tmp_path / "lists/wjets.txt"
    listing.parent.mkdir()
    listing.write_text("/store/mc/WJetsToLNu/a.root\n/store/mc/WJetsToLNu/b.root\n")
    configuration = analysis_of(
        [{"name": "wjets", "cross_sections": 61526.7, "directories": str(listing.parent)}]
    )
    configuration["datasets"]["base_dir"] = str(folder / "opendata2016")
    manager = DatasetManager(Config(**configuration))
    (found,) = read_metadata(
        manager, MetadataStore(tmp_path / "metadata"), lambda tasks: (one() for one in tasks)
    )
    assert [Path(record.name).name for record in found.files] == [
        "wjets_0.root",
        "wjets_1.root",
        "wjets_2.root",
    ]
    assert found.entries == 7_313


@pytest.mark.parametrize("weight", ["genWeight", None])
def test_real_broken_files_are_reported_with_reasons_and_never_fatal(folder, weight):
    reasons = {}
    for path in sorted((folder / "bad").iterdir()):
        file = SourceFile(str(path), (str(path),))
        _, record = MetadataTask("bad", file, "Events", weight, branches=True)()
        reasons[path.name] = record.error
    assert len(reasons) >= 4
    for name in ("ttbar_had__nominal_file__3_part_9.root", "ttbar_semilep__nominal_file__4_part_4.root"):
        assert "no tree 'Events'" in (reasons[name] or "")
    assert "nano_dy_malformed.parquet" in (reasons["nano_dy_malformed.parquet"] or "")
    if weight is None:
        assert "no branch luminosityBlock" in (reasons["missing_luminosityBlock.root"] or "")
