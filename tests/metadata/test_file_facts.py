"""Facts of single files: entries, identity, sums of weights, lumi sections.

Expected numbers are computed by `tests.nanofiles` from the formulas that the files are written with.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from intccms.datasets import SourceFile
from intccms.errors import InputFileError, MetadataError, NoReachableReplicaError
from intccms.metadata import FileMetadata
from intccms.metadata.lumis import ranges_of
from intccms.metadata.reader import read_data_file, read_simulation_file
from tests.nanofiles import (
    Written,
    expected_lumis,
    gen_weight,
    html_named_root,
    section_of,
    truncated_copy,
    write_nano,
    write_without_events,
)


def source(written: Written) -> SourceFile:
    return SourceFile(written.name, (written.name,))


def simulation(written: Written, **options) -> FileMetadata:
    settings = {"tree_name": "Events", "weight_branch": "genWeight", "branches": False} | options
    return read_simulation_file(source(written), **settings)


def data(written: Written, *, branches: bool = False) -> FileMetadata:
    return read_data_file(source(written), "Events", branches=branches)


@pytest.mark.parametrize("runs", ["genEventSumw", "genEventSumw_"])
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
@pytest.mark.parametrize("n_generated", [30, 95])
def test_sums_over_generated_events_come_from_runs_in_either_spelling(tmp_path, runs, kind, n_generated):
    written = write_nano(tmp_path / "a.root", 30, runs=runs, kind=kind, n_generated=n_generated)
    record = simulation(written)
    assert (record.entries, record.generated, record.sumw_from) == (30, n_generated, "Runs")
    assert record.sumw == written.sumw == math.fsum(gen_weight(event) for event in range(1, n_generated + 1))
    assert record.format == kind
    assert (record.name, record.url, record.error) == (written.name, written.name, None)
    assert record.size == written.path.stat().st_size


@pytest.mark.parametrize("runs", ["only run", "absent"])
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_without_sums_in_runs_the_weights_of_the_events_are_summed_and_that_is_marked(tmp_path, runs, kind):
    written = write_nano(tmp_path / "a.root", 33, runs=runs, kind=kind)
    record = simulation(written)
    assert (record.entries, record.generated, record.sumw, record.sumw_from) == (
        33,
        33,
        written.sumw,
        "Events",
    )


def test_parquet_has_no_runs_and_is_counted(tmp_path):
    written = write_nano(tmp_path / "a.parquet", 33, kind="parquet")
    record = simulation(written)
    assert (record.entries, record.sumw, record.sumw_from, record.format) == (
        33,
        written.sumw,
        "Events",
        "parquet",
    )


def test_the_weight_branch_that_is_named_is_the_one_that_is_summed(tmp_path):
    written = write_nano(tmp_path / "a.root", 4, runs="absent", extra={"w": np.array([1.0, 2.0, 4.0, -8.5])})
    assert simulation(written, weight_branch="w").sumw == -1.5


@pytest.mark.parametrize("name", ["tt_Skim.root", "SKIM_tt.root"])
def test_a_skim_without_sums_in_runs_is_an_error_because_what_is_left_tells_nothing(tmp_path, name):
    written = write_nano(tmp_path / name, 10, runs="only run")
    with pytest.raises(
        MetadataError, match=r"'Runs' has no sum of genWeight, and the file is a skim \(10 events"
    ):
        simulation(written)


def test_a_skim_shows_by_the_count_of_generated_events_too(tmp_path):
    path = tmp_path / "tt.root"
    written = write_nano(path, 10, runs="absent")
    with uproot.update(path) as file:
        file.mktree("Runs", {"genEventCount": np.int64}).extend({"genEventCount": np.array([4, 8])})
    with pytest.raises(MetadataError, match="is a skim"):
        simulation(written)


def test_a_skim_with_sums_in_runs_is_fine(tmp_path):
    written = write_nano(tmp_path / "tt_skim.root", 10, n_generated=500)
    assert (simulation(written).generated, simulation(written).sumw) == (500, written.sumw)


def test_sums_of_several_runs_in_one_file_are_added(tmp_path):
    written = write_nano(tmp_path / "a.root", 10, runs="absent")
    with uproot.update(written.path) as file:
        tree = file.mktree("Runs", {"genEventCount": np.int64, "genEventSumw": np.float64})
        tree.extend({"genEventCount": np.array([4, 6]), "genEventSumw": np.array([1e16, 1.0])})
        tree.extend({"genEventCount": np.array([5]), "genEventSumw": np.array([-1e16])})
    record = simulation(written)
    assert (record.generated, record.sumw) == (15, 1.0)


@pytest.mark.parametrize("runs", ["genEventSumw", "absent"])
@pytest.mark.parametrize("kind", ["ttree", "parquet"])
def test_a_file_without_events_is_a_good_file(tmp_path, runs, kind):
    written = write_nano(
        tmp_path / f"a.{'parquet' if kind == 'parquet' else 'root'}", 0, runs=runs, kind=kind
    )
    record = simulation(written, branches=True)
    assert (record.entries, record.generated, record.sumw, record.error) == (0, 0, 0.0, None)
    assert "Muon_pt" in (record.branches or ())
    assert data(written).lumis == {}


def test_generated_events_of_a_file_in_which_none_was_kept_still_count(tmp_path):
    record = simulation(write_nano(tmp_path / "a.root", 0, n_generated=40))
    assert (record.entries, record.generated) == (0, 40)
    assert record.sumw == math.fsum(map(gen_weight, range(1, 41)))


@pytest.mark.parametrize(("kind", "suffix"), [("ttree", "root"), ("rntuple", "root"), ("parquet", "parquet")])
def test_columns_are_told_only_if_they_are_asked_for(tmp_path, kind, suffix):
    written = write_nano(tmp_path / f"a.{suffix}", kind=kind)
    assert simulation(written).branches is None
    assert {"nMuon", "Muon_pt", "genWeight", "event"} <= set(
        simulation(written, branches=True).branches or ()
    )


@pytest.mark.parametrize(("kind", "suffix"), [("ttree", "root"), ("rntuple", "root"), ("parquet", "parquet")])
def test_the_identity_of_a_file_is_that_of_its_content(tmp_path, kind, suffix):
    written = write_nano(tmp_path / f"a.{suffix}", kind=kind)
    copy = tmp_path / f"copy.{suffix}"
    shutil.copy2(written.path, copy)
    other = write_nano(tmp_path / f"b.{suffix}", 31, kind=kind)
    first, again, different = (
        read_simulation_file(SourceFile(str(p), (str(p),)), "Events", "genWeight", branches=branches).uuid
        for p, branches in ((written.path, False), (copy, True), (other.path, False))
    )
    assert first == again != different
    if suffix == "root":
        with uproot.open(written.path) as file:
            assert first == str(file.file.uuid)


def test_a_parquet_file_that_is_changed_in_place_is_another_one(tmp_path):
    path = tmp_path / "a.parquet"

    def identity(pt: float) -> str | None:
        # of values between, a footer tells nothing
        values = {"genWeight": np.ones(3), "MET_pt": np.array([0.0, pt, 100.0])}
        ak.to_parquet(ak.Array(values), path, compression=None)
        os.utime(path, ns=(0, int(pt)))
        return read_simulation_file(
            SourceFile(str(path), (str(path),)), "Events", "genWeight", branches=False
        ).uuid

    assert identity(30.0) == identity(30.0)
    assert identity(30.0) != identity(40.0)


@pytest.mark.parametrize("lumi_blocks", [True, False])
@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_lumi_sections_of_data_come_from_their_tree_or_from_the_events(tmp_path, lumi_blocks, branches, kind):
    written = write_nano(
        tmp_path / "a.root", 45, first=96, run=278808, data=True, kind=kind, lumi_blocks=lumi_blocks
    )
    record = data(written, branches=branches)
    assert record.lumis == written.lumis == {"278808": [[10, 14]]}
    assert (record.entries, record.sumw, record.generated) == (45, None, None)


def test_lumi_sections_in_which_no_event_was_kept_count_where_the_file_tells_them(tmp_path):
    written = write_nano(tmp_path / "a.root", 5, n_generated=80, data=True)
    assert written.lumis == {"1": [[1, 1]]}
    assert data(written).lumis == {"1": [[1, 8]]}


def test_lumi_sections_of_parquet_come_from_the_events(tmp_path):
    written = write_nano(tmp_path / "a.parquet", 25, data=True, kind="parquet")
    assert data(written).lumis == written.lumis


def test_the_expected_lumi_sections_are_those_of_a_hand_count():
    assert [section_of(event) for event in (1, 10, 11, 20, 21)] == [1, 1, 2, 2, 3]
    assert expected_lumis(5, [1, 2, 11, 35, 36, 55]) == {"5": [[1, 2], [4, 4], [6, 6]]}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 30)), max_size=60))
def test_lumi_ranges_hold_exactly_the_sections_that_occur(pairs):
    runs, sections = (np.array([pair[i] for pair in pairs], dtype=np.uint32) for i in (0, 1))
    ranges = ranges_of(runs, sections)
    unfolded = [
        (int(run), section)
        for run, parts in ranges.items()
        for low, high in parts
        for section in range(low, high + 1)
    ]
    assert sorted(set(pairs)) == unfolded
    assert all(one[1] + 1 < two[0] for parts in ranges.values() for one, two in itertools.pairwise(parts))


def test_a_file_of_the_wrong_kind_says_which_branch_is_missing(tmp_path):
    as_data = write_nano(tmp_path / "a.root", runs="absent", data=True)
    with pytest.raises(
        InputFileError, match=r"no branch genWeight among the events. Is this dataset data or sim"
    ):
        simulation(as_data)
    written = write_nano(tmp_path / "b.root", runs="absent")
    with pytest.raises(
        InputFileError, match=r"no branch genWeigth among the events. Did you mean 'genWeight'"
    ):
        simulation(written, weight_branch="genWeigth")


def with_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", [simulation, data])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "absent.root", "No such file|not found|FileNotFound"),
        (
            lambda folder: truncated_copy(write_nano(folder / "a.root", 500).path, folder / "t.root"),
            "t.root is trun",
        ),
        (lambda folder: html_named_root(folder / "h.root"), "cannot read .*h.root: .*not a ROOT file|h.root"),
        (
            lambda folder: write_without_events(folder / "n.root"),
            r"n.root has no tree 'Events'.*It holds: Runs",
        ),
        (lambda folder: with_bytes(folder / "e.root", b""), "e.root"),
        (lambda folder: with_bytes(folder / "e.parquet", b"PAR1"), "e.parquet"),
        (lambda folder: folder / "absent.parquet", "absent.parquet"),
    ],
    ids=["absent", "truncated", "html", "without events", "empty", "short parquet", "absent parquet"],
)
def test_a_bad_file_is_an_input_error_that_names_it(tmp_path, read, make, words):
    path = make(tmp_path)
    with pytest.raises(InputFileError, match=words) as caught:
        read(Written(path, 0, 0, 0.0, {}))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 0.99])
def test_a_file_cut_short_anywhere_is_an_input_error(tmp_path, fraction):
    cut = truncated_copy(write_nano(tmp_path / "a.root", 2000).path, tmp_path / "t.root", fraction)
    with pytest.raises(InputFileError, match=r"t\.root"):
        simulation(Written(cut, 0, 0, 0.0, {}))


def test_a_file_of_which_only_the_very_end_is_missing_is_said_to_be_truncated(tmp_path):
    written = write_nano(tmp_path / "a.root")
    size = written.path.stat().st_size
    cut = with_bytes(tmp_path / "t.root", written.path.read_bytes()[:-1])
    with pytest.raises(InputFileError, match=rf"t.root is truncated: it has {size - 1} of {size} bytes"):
        data(Written(cut, 0, 0, 0.0, {}))


def test_a_misspelt_tree_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(
        InputFileError, match=r"has no tree 'Event'. Did you mean 'Events'\? It holds: Events, Runs"
    ):
        simulation(write_nano(tmp_path / "a.root"), tree_name="Event")


def two_places(tmp_path, name="/store/a.root") -> tuple[SourceFile, Written]:
    """A file of which the first replica is broken and the second is good."""
    good = write_nano(tmp_path / "two" / name.lstrip("/"))
    bad = tmp_path / "one" / name.lstrip("/")
    bad.parent.mkdir(parents=True)
    truncated_copy(good.path, bad, 0.3)
    return SourceFile(name, (str(bad), good.name)), good


@pytest.mark.parametrize("branches", [True, False])
def test_the_second_replica_serves_where_the_first_one_is_broken(tmp_path, branches):
    file, good = two_places(tmp_path)
    record = read_simulation_file(file, "Events", "genWeight", branches=branches)
    assert (record.name, record.url, record.urls) == ("/store/a.root", good.name, file.urls)
    assert (record.entries, record.sumw) == (good.entries, good.sumw)


def test_if_no_replica_is_good_each_is_named_with_its_reason(tmp_path):
    file, _ = two_places(tmp_path)
    file = SourceFile(file.name, (file.urls[0], str(tmp_path / "three.root")))
    with pytest.raises(NoReachableReplicaError, match=r"none of 2 replicas of /store/a.root") as caught:
        read_simulation_file(file, "Events", "genWeight", branches=False)
    assert all(f"{url}: " in str(caught.value) for url in file.urls)


def test_a_record_survives_json_with_everything_it_knows(tmp_path):
    for record in (
        simulation(write_nano(tmp_path / "a.root"), branches=True),
        data(write_nano(tmp_path / "b.root", 0, data=True)),
        FileMetadata("a", ("u", "v"), state=(3, 4), error="why"),
        FileMetadata("a", ("u",), entries=0, generated=0, sumw=-0.5, sumw_from="Events"),
    ):
        again = FileMetadata.from_json(json.loads(json.dumps(record.to_json())))
        assert again == record
        assert asdict(again) == asdict(record)


@pytest.mark.parametrize(
    "wrong",
    [{"entries": "many"}, {"urls": 3}, {"sumw_from": "Lumis"}, {"name": None}, {"lumis": [1]}],
    ids=str,
)
def test_a_record_of_the_wrong_types_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FileMetadata.from_json({"name": "a", "urls": ["u"], **wrong})
