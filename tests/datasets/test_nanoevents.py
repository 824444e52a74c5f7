"""Events made from a kept form are those that coffea's own `from_root` makes."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoEventsFactory

from intccms.datasets import SourceFile, open_source
from intccms.datasets.nanoevents import Schema
from intccms.datasets.sources import forget_sources
from intccms.demo import generate
from intccms.errors import InputFileError

BRANCHES = frozenset({
    "run", "luminosityBlock", "event", "genWeight", "HLT_TkMu50", "nMuon", "Muon_pt", "Muon_eta", "Muon_phi",
    "Muon_mass", "Muon_charge", "Muon_jetIdx", "nJet", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "PuppiMET_pt",
    "PuppiMET_phi",
})  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nanoevents")
    truth = generate(folder, scale=0.02, workers=1, compression="zstd", datasets=["ttbar_semilep"])
    return truth.paths(folder, "ttbar_semilep")[0]


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (37, 211), (0, 560)])
def test_values_and_cross_references_equal_those_of_from_root(path, start, stop):
    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    ours = source.events(BRANCHES, start, stop, {"dataset": "x"})
    with uproot.open(path) as directory:
        theirs = NanoEventsFactory.from_root(
            directory,
            treepath="Events",
            entry_start=start,
            entry_stop=stop,
            schemaclass=Schema,
            iteritems_options={"filter_name": BRANCHES.__contains__},
        ).events()
        assert set(ours.fields) == set(theirs.fields)
        for collection in ("Muon", "Jet", "PuppiMET", "HLT"):
            assert set(ours[collection].fields) == set(theirs[collection].fields)
            for field in ours[collection].fields:
                assert ak.array_equal(ours[collection][field], theirs[collection][field], equal_nan=True)
        assert ak.array_equal(ours.event, theirs.event)
        assert ours.Muon.matched_jet.pt.tolist() == theirs.Muon.matched_jet.pt.tolist()
    assert ours.metadata["dataset"] == "x"


def test_the_second_chunk_is_not_touched_by_the_first(path):
    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    first = source.events(BRANCHES, 0, 50, {"dataset": "a"})
    second = source.events(BRANCHES, 50, 100, {"dataset": "b"})
    with uproot.open(path) as directory:
        run = directory["Events"].arrays(["event"], entry_stop=100).event
    assert first.event.tolist() == run[:50].tolist()
    assert second.event.tolist() == run[50:].tolist()
    assert (first.metadata["dataset"], second.metadata["dataset"]) == ("a", "b")


def test_only_branches_that_are_used_are_read(path, monkeypatch):
    read = []
    original = uproot.TBranch.array
    monkeypatch.setattr(
        uproot.TBranch, "array", lambda branch, *a, **k: read.append(branch.name) or original(branch, *a, **k)
    )
    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    events = source.events(BRANCHES, 0, 100, {})
    assert read == []
    ak.sum(events.Muon.pt)
    assert set(read) == {"nMuon", "Muon_pt"}


def as_events(source, entries):
    events = source.events(frozenset({"genWeight", "event"}), 0, entries, {})
    return {name: ak.to_numpy(events[name]) for name in ("genWeight", "event")}


def as_arrays(source, entries):
    return source.arrays(["genWeight", "event"], 0, entries)


@pytest.mark.parametrize("read", [as_events, as_arrays])
def test_no_broken_byte_makes_a_column_of_an_rntuple_shorter(read, tmp_path):
    path, entries = tmp_path / "a.root", 300
    with uproot.recreate(path) as file:
        file.mkrntuple(
            "Events", {"genWeight": np.linspace(0, 9, entries, dtype="f4"), "event": np.arange(entries)}
        )
    content = path.read_bytes()
    broken, wrong = bytearray(content), 0
    # uproot checks no checksums: one of these bytes makes it find a cluster without entries
    for position in range(len(content) - 600, len(content)):
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        broken[position] = content[position]
        forget_sources()
        try:
            source = open_source(SourceFile(str(path), (str(path),)), "Events")
            columns = read(source, entries)
            assert {len(one) for one in columns.values()} == {entries}
        except InputFileError as exc:
            wrong += "there are" in str(exc)
    assert wrong
