"""Opened files give back what was written, in every format, and bad bytes are input errors.

Expected values are the formulas of `tests.nanofiles`, evaluated in plain Python.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intccms.datasets import EventSource, SourceFile, open_source
from intccms.datasets.replicas import join_redirector, logical_name, replicas
from intccms.datasets.sources import forget_sources
from intccms.errors import InputFileError, IntccmsError, NoReachableReplicaError
from tests.nanofiles import gen_weight, muon_pts, section_of, truncated_copy, write_nano

KINDS = [("ttree", "root"), ("rntuple", "root"), ("parquet", "parquet")]
EVENTS = range(1, 31)
MUON = frozenset(f"Muon_{field}" for field in ("pt", "eta", "phi", "mass", "charge"))
BRANCHES = MUON | {"run", "luminosityBlock", "event", "genWeight", "nMuon"}


def open_at(*paths: object, name: str = "/store/a.root") -> EventSource:
    return open_source(SourceFile(name, tuple(map(str, paths))), "Events")


@pytest.fixture(params=KINDS, ids=[kind for kind, _ in KINDS])
def path(request, tmp_path):
    kind, suffix = request.param
    return write_nano(tmp_path / f"a.{suffix}", len(EVENTS), kind=kind).path


def test_entries_columns_and_format_are_told(path):
    source = open_at(path)
    assert (source.entries, source.url) == (len(EVENTS), str(path))
    assert source.branches >= BRANCHES
    assert source.size == path.stat().st_size
    assert source.format in {"ttree", "rntuple", "parquet"}


@pytest.mark.parametrize(("start", "stop"), [(0, 30), (0, 7), (13, 29), (30, 30)])
def test_columns_of_an_entry_range_are_those_that_were_written(path, start, stop):
    found = open_at(path).arrays(["event", "genWeight", "luminosityBlock", "nMuon", "Muon_pt"], start, stop)
    expected = EVENTS[start:stop]
    assert np.asarray(found["event"]).tolist() == list(expected)
    assert np.asarray(found["genWeight"]).tolist() == [gen_weight(event) for event in expected]
    assert np.asarray(found["luminosityBlock"]).tolist() == [section_of(event) for event in expected]
    assert np.asarray(found["nMuon"]).tolist() == [event % 3 for event in expected]
    assert found["Muon_pt"].tolist() == [muon_pts(event) for event in expected]


@pytest.mark.parametrize(("start", "stop"), [(0, 30), (13, 29)])
def test_events_of_an_entry_range_are_those_that_were_written(path, start, stop):
    events = open_at(path).events(BRANCHES, start, stop, {"dataset": "tt"})
    expected = EVENTS[start:stop]
    assert len(events) == stop - start
    assert events.event.tolist() == list(expected)
    assert events.genWeight.tolist() == [gen_weight(event) for event in expected]
    assert events.Muon.pt.tolist() == [muon_pts(event) for event in expected]
    assert events.Muon.charge.tolist() == [[1, -1][: event % 3] for event in expected]
    assert events.metadata["dataset"] == "tt"


def test_columns_that_nobody_asks_for_may_be_of_any_type(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {
        "event": [1, 2, 3],
        "Ext_pt": [[1.5], [], [2.5, 3.5]],
        "label": ["a", "b", "c"],
        "Ext_hits": [[[1, 2]], [], [[], [3]]],
        "pair": [{"x": 1}, {"x": 2}, {"x": 3}],
    }
    pq.write_table(pa.table(columns), path)
    source = open_at(path)
    assert source.branches == set(columns)
    events = source.events(frozenset({"event", "Ext_pt"}), 0, 3, {})
    assert events.event.tolist() == columns["event"]
    assert events.Ext.fields == ["pt"]
    assert events.Ext.pt.tolist() == columns["Ext_pt"]


@pytest.mark.parametrize("name", ["with space", "a:b", "odd[1]", "100%", "ünï", "a;1"])
@pytest.mark.parametrize(("kind", "suffix"), KINDS)
def test_names_with_odd_characters_are_opened(tmp_path, name, kind, suffix):
    written = write_nano(tmp_path / f"{name}.{suffix}", 5, kind=kind)
    source = open_at(written.path)
    assert source.entries == 5
    assert source.arrays(["event"], 0, 5)["event"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("kind", "suffix"), KINDS)
def test_a_file_without_events_is_opened(tmp_path, kind, suffix):
    source = open_at(write_nano(tmp_path / f"a.{suffix}", 0, kind=kind).path)
    assert source.entries == 0
    assert source.arrays(["event"], 0, 0)["event"].tolist() == []


def test_a_file_stays_open_until_it_changes(path):
    forget_sources()
    first = open_at(path)
    assert open_at(path) is first
    kind = first.format
    write_nano(path, 12, kind=kind)
    assert open_at(path).entries == 12


def test_the_first_good_replica_is_opened(tmp_path):
    good = write_nano(tmp_path / "good.root", 5).path
    cut = truncated_copy(good, tmp_path / "cut.root", 0.3)
    assert open_at(tmp_path / "absent.root", cut, good).url == str(good)


def test_if_no_replica_is_good_each_is_named_with_its_reason(tmp_path):
    paths = [tmp_path / "one.root", tmp_path / "two.parquet"]
    with pytest.raises(
        NoReachableReplicaError, match="none of 2 replicas of /store/a.root can be read"
    ) as caught:
        open_at(*paths)
    assert all(f"{path}: FileNotFoundError" in str(caught.value) for path in paths)


def test_a_tree_of_another_name_is_refused_with_the_names_there_are(tmp_path):
    written = write_nano(tmp_path / "a.root")
    with pytest.raises(
        InputFileError, match=r"has no tree 'events'. Did you mean 'Events'\?.*LuminosityBlocks"
    ):
        open_source(SourceFile(written.name, (written.name,)), "events")


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    return write_nano(tmp_path_factory.mktemp("damage") / "a.root", 300).path.read_bytes()


def read_everything(path: Path) -> int:
    source = open_at(path)
    source.arrays(source.branches, 0, source.entries)
    return source.entries


@given(fraction=st.floats(0.0, 0.999))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_cut_short_anywhere_cannot_pass_for_another_one(tmp_path, content, fraction):
    forget_sources()
    path = tmp_path / "cut.root"
    path.write_bytes(content[: int(len(content) * fraction)])
    try:
        entries = read_everything(path)
    except (IntccmsError, OSError, ValueError, KeyError):
        return
    assert entries == 300


@pytest.mark.parametrize(
    ("name", "logical"),
    [
        ("/store/mc/a.root", "/store/mc/a.root"),
        ("root://host//store/a.root", "/store/a.root"),
        ("root://host:1094//store/a.root", "/store/a.root"),
        ("https://host/store/a.root", "/store/a.root"),
        ("data/a.root", None),
        ("root://host", None),
    ],
)
def test_the_logical_name_is_what_redirectors_can_be_put_before(name, logical):
    assert logical_name(name) == logical
    assert replicas(name, ["root://x/"]) == ((f"root://x/{logical}",) if logical else (name,))
    assert replicas(name, []) == (name,)


@pytest.mark.parametrize(
    "redirector", ["root://h", "root://h/", "root://h//", "xroot://h/", "roots://h:1094/"]
)
def test_xrootd_urls_have_the_double_slash_before_the_logical_name(redirector):
    assert join_redirector(redirector, "/store/a.root") == f"{redirector.rstrip('/')}//store/a.root"


@pytest.mark.parametrize(
    ("redirector", "url"),
    [
        ("https://h/p/", "https://h/p/store/a.root"),
        ("root://h//eos/cms", "root://h//eos/cms/store/a.root"),
        ("/mnt/cms", "/mnt/cms/store/a.root"),
    ],
)
def test_prefixes_with_a_path_of_their_own_are_joined_by_one_slash(redirector, url):
    assert join_redirector(redirector, "/store/a.root") == url
