"""A NanoAOD-like file of six hand-made events, whose candidates and masses are known without a computer."""

import awkward as ak
import numpy as np
import pytest
import uproot

MUON = {"pt": 100.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "tightId": True, "miniIsoId": 2, "charge": 1}
TOP_JET = {"pt": 600.0, "eta": 0.0, "phi": np.pi, "mass": 0.0, "particleNet_TvsQCD": 0.9}
B_JET = {"pt": 400.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "btagDeepB": 0.9, "jetId": 6}

# Muon, b jet and missing momentum (100 + 400 + 100 GeV) balance the top jet (600 GeV), all massless: m(tt) = 1200 GeV.
# A b jet of 900 GeV instead leaves p = 500 GeV at E = 1700 GeV: m(tt) = sqrt(1700^2 - 500^2) = 1624.8 GeV.
GOOD = {"Muon": [MUON], "FatJet": [TOP_JET], "Jet": [B_JET], "met": 100.0, "HLT_TkMu50": True}
EVENTS = [
    {**GOOD, "HLT_TkMu50": False},
    {**GOOD, "Jet": []},
    {**GOOD, "Muon": [MUON, MUON]},
    GOOD,
    {**GOOD, "FatJet": [TOP_JET, TOP_JET]},
    {**GOOD, "Jet": [B_JET, {**B_JET, "pt": 900.0}, {**B_JET, "btagDeepB": 0.4}]},
]
WEIGHTS = [2.0, 2.0, 2.0, 2.0, 2.0, -2.0]


def collection(name, fields):
    rows = [[{key: one[key] for key in fields} for one in event[name]] for event in EVENTS]
    content = {key: np.array([one[key] for row in rows for one in row]) for key in fields}
    return ak.unflatten(ak.Array(content), [len(row) for row in rows])


def write_events(path, *, runs=(1, 1, 1, 1, 1, 1), simulation=True):
    """Write the six events, in lumi section 1 of the given runs; 60 events were generated, of sum of weights 80."""
    numbers = np.arange(len(EVENTS))
    events = {
        "Muon": collection("Muon", MUON),
        "FatJet": collection("FatJet", TOP_JET),
        "Jet": collection("Jet", B_JET),
        "PuppiMET_pt": np.array([event["met"] for event in EVENTS], dtype=np.float32),
        "PuppiMET_phi": np.zeros(len(EVENTS), dtype=np.float32),
        "HLT_TkMu50": np.array([event["HLT_TkMu50"] for event in EVENTS]),
        "run": np.array(runs, dtype=np.uint32),
        "luminosityBlock": np.ones(len(EVENTS), dtype=np.uint32),
        "event": numbers.astype(np.uint64),
    }
    sums = {"run": np.array([1], dtype=np.uint32)}
    if simulation:
        events["genWeight"] = np.array(WEIGHTS, dtype=np.float32)
        sums |= {"genEventCount": np.array([60]), "genEventSumw": np.array([80.0])}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: array_type(values) for name, values in events.items()})
        file["Events"].extend(events)
        file.mktree("Runs", {name: values.dtype for name, values in sums.items()})
        file["Runs"].extend(sums)


def array_type(values):
    return values.dtype if isinstance(values, np.ndarray) else values.type.content


@pytest.fixture
def example_input(tmp_path):
    """Folder with two files of W + jets and one of data, named as the example finds them."""
    folder = tmp_path / "input"
    folder.mkdir()
    write_events(folder / "wjets_0.root")
    write_events(folder / "wjets_1.root")
    write_events(folder / "data_0.root", runs=(278820,) * 3 + (278822,) * 3, simulation=False)
    return folder
