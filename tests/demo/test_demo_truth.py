"""The demo's truth, against a slow loop, an awkward-array selection, and published counts."""

from __future__ import annotations

import json
import math

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.demo.columns import Collection, EventColumns
from intccms.demo.counting import SelectionCounts, count_selected
from tests.reference import reference_data


def vector(pt, eta, phi, mass):
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return px, py, pz, math.sqrt(px**2 + py**2 + pz**2 + mass**2)


def b_jets_of(event):
    return [i for i, score in enumerate(event["Jet_btagDeepB"]) if score > 0.5 and event["Jet_jetId"][i] >= 4]


def candidates_of(event):
    """Return the m(tt) of every candidate of one event, straight from the words of the selection."""
    met = event["PuppiMET_pt"]
    muons = [
        i
        for i, pt in enumerate(event["Muon_pt"])
        if pt > 55
        and abs(event["Muon_eta"][i]) < 2.4
        and event["Muon_tightId"][i]
        and event["Muon_miniIsoId"][i] > 1
        and pt + met > 150
    ]
    tops = [
        i
        for i, pt in enumerate(event["FatJet_pt"])
        if pt > 500 and event["FatJet_particleNet_TvsQCD"][i] > 0.5
    ]
    if not event["HLT_TkMu50"] or met <= 50 or len(muons) != 1 or len(tops) != 1:
        return []
    masses = []
    for b_jet in b_jets_of(event):
        parts = [vector(met, 0.0, event["PuppiMET_phi"], 0.0)]
        for name, i in (("Muon", muons[0]), ("FatJet", tops[0]), ("Jet", b_jet)):
            parts.append(vector(*(event[f"{name}_{key}"][i] for key in ("pt", "eta", "phi", "mass"))))
        px, py, pz, energy = (sum(p[k] for p in parts) for k in range(4))
        masses.append(math.sqrt(energy**2 - px**2 - py**2 - pz**2))
    return masses


def in_golden(event, golden):
    spans = golden.get(str(event["run"]), [])
    return any(first <= event["luminosityBlock"] <= last for first, last in spans)


@pytest.mark.parametrize(
    "name", ["signal_0", "ttbar_semilep_1", "wjets_0", "single_top_1", "data_0", "data_1"]
)
def test_the_truth_of_a_file_is_that_of_a_loop_over_its_events(small_demo, name):
    folder, truth = small_demo
    dataset = truth.datasets[name.rpartition("_")[0]]
    expected = dataset.files[int(name[-1])]
    golden = json.loads((folder / "golden.json").read_text())
    entries, sumw, over, events, unmasked, certified, weights = [0] * 50, [0.0] * 50, 0, 0, 0, 0, 0.0
    content = uproot.open(folder / f"{name}.root")["Events"].arrays().to_list()
    for event in content:
        good = in_golden(event, golden) or not dataset.is_data
        certified += good
        masses = candidates_of(event)
        unmasked += bool(masses)
        if not good or not masses:
            continue
        weight = event.get("genWeight", 1.0)
        events += 1
        weights += weight
        for mass in masses:
            if mass < 3000:
                entries[int(mass // 60)] += 1
                sumw[int(mass // 60)] += weight
            else:
                over += 1
    assert len(content) == expected.events
    assert certified == expected.certified_events
    assert events == expected.selected.events > 0
    assert unmasked == expected.selected_unmasked
    assert weights == pytest.approx(expected.selected.sumw)
    assert entries == list(expected.selected.mtt_entries)
    assert sumw == pytest.approx(list(expected.selected.mtt_sumw))
    assert over == expected.selected.overflow_entries
    assert sum(entries) + over == expected.selected.candidates
    assert sum(expected.selected.by_origin.values()) == events


def test_coffea_and_awkward_find_the_candidates_of_the_truth(small_demo):
    folder, truth = small_demo
    counts = np.zeros(50)
    for path in truth.paths(folder, "signal"):
        events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
        met = events.PuppiMET
        muons, tops, jets = events.Muon, events.FatJet, events.Jet
        muons = muons[
            (muons.pt > 55)
            & (abs(muons.eta) < 2.4)
            & muons.tightId
            & (muons.miniIsoId > 1)
            & (muons.pt + met.pt > 150)
        ]
        tops = tops[(tops.pt > 500) & (tops.particleNet_TvsQCD > 0.5)]
        jets = jets[(jets.btagDeepB > 0.5) & (jets.jetId >= 4)]
        passes = events.HLT.TkMu50 & (ak.num(muons) == 1) & (ak.num(tops) == 1) & (met.pt > 50)
        missing = ak.zip(
            {"pt": met.pt, "eta": 0 * met.pt, "phi": met.phi, "mass": 0 * met.pt},
            with_name="PtEtaPhiMLorentzVector",
            behavior=events.behavior,
        )[passes]
        system = jets[passes] + muons[passes][:, 0] + tops[passes][:, 0] + missing
        counts += np.histogram(ak.flatten(system.mass).to_numpy(), bins=50, range=(0, 3000))[0]
    expected = np.array(truth.datasets["signal"].selected.mtt_entries)
    # float32 masses may fall on the other side of a bin edge, at most a couple of them
    assert np.abs(counts - expected).sum() <= 4
    assert expected.sum() > 50


def reference_columns(path):
    """Return the columns that the selection needs from a file of the reference data."""
    events = uproot.open(path)["Events"].arrays()
    collections = {}
    for name in ("Muon", "FatJet", "Jet"):
        keys = [key for key in events.fields if key.startswith(f"{name}_")]
        collections[name] = Collection(
            ak.num(events[keys[0]]).to_numpy().astype(np.int32),
            {key.removeprefix(f"{name}_"): ak.flatten(events[key]).to_numpy() for key in keys},
        )
    flat = {key: events[key].to_numpy() for key in events.fields if events[key].ndim == 1}
    return EventColumns(flat, collections)


@pytest.mark.parametrize(
    ("pattern", "candidates"), [("ttbar_lep_*.root", 218), ("ttbar_had_*.root", 3), ("wjets_*.root", 2)]
)
def test_open_data_give_the_published_candidates(pattern, candidates):
    # the published counts of the CMS Open Data Workshop 2024 for this selection
    total = SelectionCounts()
    for path in sorted((reference_data() / "opendata2016").glob(pattern)):
        columns = reference_columns(path)
        origin = np.zeros(len(columns), dtype=np.intp)
        total += count_selected(columns, origin=origin, names=("any",))
    assert total.candidates == candidates


def one_event(**changes):
    """Return an event that is selected, with one candidate, unless a change spoils it."""
    values = {
        "HLT_TkMu50": True, "PuppiMET_pt": 100.0, "Muon_pt": 60.0, "Muon_eta": 1.0, "Muon_tightId": True,
        "Muon_miniIsoId": 2, "FatJet_pt": 600.0, "FatJet_particleNet_TvsQCD": 0.9, "Jet_btagDeepB": 0.9,
        "Jet_jetId": 6, **changes,
    }  # fmt: skip
    kinematics = {"pt": 50.0, "eta": 0.0, "phi": 1.0, "mass": 10.0}
    collections = {}
    for name in ("Muon", "FatJet", "Jet"):
        own = {k.removeprefix(f"{name}_"): v for k, v in values.items() if k.startswith(f"{name}_")}
        fields = {key: np.array([value]) for key, value in {**kinematics, **own}.items()}
        collections[name] = Collection(np.array([1], dtype=np.int32), fields)
    flat = {key: np.array([value]) for key, value in values.items() if "HLT" in key or "MET" in key}
    return EventColumns({"event": np.array([1]), "PuppiMET_phi": np.array([0.0]), **flat}, collections)


def events_kept(columns, **options):
    return count_selected(columns, origin=np.zeros(1, dtype=np.intp), names=("any",), **options).events


def test_the_event_that_passes_all_cuts_is_selected():
    assert events_kept(one_event()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"HLT_TkMu50": False},
        {"PuppiMET_pt": 50.0, "Muon_pt": 200.0},
        {"PuppiMET_pt": 89.0},
        {"Muon_pt": 55.0},
        {"Muon_eta": -2.4},
        {"Muon_tightId": False},
        {"Muon_miniIsoId": 1},
        {"FatJet_pt": 500.0},
        {"FatJet_particleNet_TvsQCD": 0.5},
        {"Jet_btagDeepB": 0.5},
        {"Jet_jetId": 2},
    ],
    ids="-".join,
)
def test_an_event_at_the_edge_of_one_cut_is_not_selected(change):
    assert events_kept(one_event(**change)) == 0


def test_an_event_outside_the_mask_is_not_selected():
    assert events_kept(one_event(), mask=np.array([False])) == 0


def test_counts_of_no_events_add_nothing():
    counts = count_selected(one_event(), origin=np.zeros(1, dtype=np.intp), names=("any",))
    assert SelectionCounts.total([]) == SelectionCounts()
    assert SelectionCounts.total([counts, SelectionCounts()]) == counts
    twice = counts + counts
    assert (twice.events, twice.candidates, twice.by_origin) == (2, 2, {"any": 2})
