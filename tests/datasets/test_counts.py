"""Lists of one prefix that are of different lengths: told, where NanoEvents would give values to other events."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.datasets import SourceFile, open_source
from intccms.datasets.counts import collections_of_lists
from intccms.errors import BrokenFileError

EVENTS = 50
RNG = np.random.default_rng(4)
FEW, MANY = RNG.integers(0, 2, EVENTS), RNG.integers(2, 5, EVENTS)


def lists(counts):
    return ak.unflatten(np.arange(counts.sum(), dtype=np.float32), counts)


COLUMNS = {
    "event": np.arange(EVENTS),
    "Ext_few": lists(FEW),
    "Ext_many": lists(MANY),
    "Ext_most": lists(MANY),
    "Twin_eta": lists(FEW),
    "Twin_flag": lists(FEW),
    "Vertex_z": np.linspace(0, 1, EVENTS),
    "Vertex_few": lists(FEW),
    "Vertex_many": lists(MANY),
}


@pytest.fixture(params=["ttree", "rntuple", "parquet"])
def source(request, tmp_path):
    path = tmp_path / f"a.{'parquet' if request.param == 'parquet' else 'root'}"
    if request.param == "parquet":
        ak.to_parquet(ak.zip(COLUMNS, depth_limit=1), str(path), extensionarray=False)
    elif request.param == "rntuple":
        with uproot.recreate(path) as file:
            file.mkrntuple("Events", COLUMNS)
    else:
        kinds = {
            name: one.dtype if isinstance(one, np.ndarray) else "var * float32"
            for name, one in COLUMNS.items()
        }
        with uproot.recreate(path) as file:
            file.mktree("Events", kinds, counter_name=lambda name: f"n{name}").extend(COLUMNS)
    return open_source(SourceFile(str(path), (str(path),)), "Events")


def events_of(source, *names, start=0, stop=EVENTS):
    return source.events(frozenset(names), start, stop, {})


@pytest.mark.parametrize(("start", "stop"), [(0, EVENTS), (11, 37)])
def test_lists_of_other_lengths_are_refused(source, start, stop):
    events = events_of(source, "event", "Ext_few", "Ext_many", start=start, stop=stop)
    with pytest.raises(
        BrokenFileError, match=r"Ext_(few|many) does not have as many values per event as Ext_(few|many)"
    ):
        ak.materialize(events.Ext)


def test_what_is_right_is_read(source):
    events = events_of(source, "event", "Twin_eta", "Twin_flag", "Ext_many", "Ext_most")
    assert events.Ext.most.tolist() == events.Ext.many.tolist() == COLUMNS["Ext_many"].tolist()
    assert events.Twin.flag.tolist() == events.Twin.eta.tolist() == COLUMNS["Twin_eta"].tolist()


def test_lists_beside_single_values_may_have_any_lengths(source):
    events = events_of(source, "event", "Vertex_z", "Vertex_few", "Vertex_many")
    for field in ("z", "few", "many"):
        assert events.Vertex[field].tolist() == COLUMNS[f"Vertex_{field}"].tolist()


def test_collections_of_lists():
    columns = [
        ("nMuon", False),
        ("Muon_pt", True),
        ("Muon_eta", True),
        ("MET_pt", False),
        ("MET_x", True),
        ("event", False),
    ]
    assert collections_of_lists(columns) == {"Muon"}
