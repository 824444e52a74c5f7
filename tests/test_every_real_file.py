"""Every real file, good or bad, through one small generic configuration: read, or reported."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms import AnalysisRunner, load_config
from tests.reference import reference_data

DATA = {
    "DarkBottomLine_EGamma_2022E_v13.root",
    "DarkBottomLine_EGamma_F_Skim.root",
    "nano_dimuon.parquet",
    "nano_dimuon.root",
    "nano_dimuon_rntuple.root",
}

UNUSABLE = {
    "nano_dy_malformed.parquet": "cannot read .*nano_dy_malformed.parquet.*not a parquet file",
    "ttbar_had__nominal_file__3_part_9.root": "has no tree 'Events'",
    "ttbar_semilep__nominal_file__4_part_4.root": "has no tree 'Events'",
    "scouting_nano.root": "no branch Muon_pt .*Did you mean 'ScoutingMuon_pt'",
}
"""Files that this configuration cannot use, and the words with which the report must say so."""


def muon_pt(pt):
    return pt


def leading_jet(jets):
    return ak.max(jets.pt, axis=1)


def configuration(files, output):
    datasets = []
    for path in files:
        kind = {"is_data": True} if path.name in DATA else {"cross_sections": 1.0}
        datasets.append({"name": path.name, "files": [str(path)], **kind})
    return {
        "general": {"lumi": 1000.0, "executor": "iterative", "output_dir": output},
        "datasets": {"datasets": datasets},
        "preprocess": {"skimming": {"chunk_size": 60}},
        "channels": [
            {
                "name": "all",
                "observables": [
                    {
                        "name": "muon_pt",
                        "function": muon_pt,
                        "use": [("Muon", "pt")],
                        "binning": {"bins": 20, "start": 0, "stop": 200},
                    },
                    {
                        "name": "jet_pt",
                        "function": leading_jet,
                        "use": [("Jet", None)],
                        "binning": [0, 30, 60, 100, 400],
                    },
                ],
            },
        ],
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = reference_data()
    files = sorted(path for name in ("nanoaod", "bad") for path in (folder / name).iterdir())
    output = tmp_path_factory.mktemp("real")
    result = AnalysisRunner(load_config(configuration(files, output)), progress=False).histogram()
    return files, result


def test_every_file_is_read_or_reported_and_none_stops_the_others(run):
    files, result = run
    assert len(files) == 30
    failed = {failure.dataset for failure in result.report.failures}
    assert failed == set(UNUSABLE)
    for dataset in result.report.datasets:
        assert dataset.coverage == (0.0 if dataset.name in failed else 1.0), dataset
    assert not result.succeeded


@pytest.mark.parametrize(("name", "words"), UNUSABLE.items())
def test_the_report_says_why_a_file_is_missing(run, name, words):
    import re

    reasons = [failure.reason for failure in run[1].report.failures if failure.dataset == name]
    assert reasons
    assert all(re.search(words, reason, re.DOTALL) for reason in reasons)


def test_histograms_hold_what_uproot_reads_from_each_file(run):
    # independent: branches read as a whole with uproot or awkward, and NumPy's histogram
    files, result = run
    entries = result.output["entries"]["all"]["muon_pt"]
    checked = 0
    for path in files:
        if path.name in UNUSABLE:
            continue
        if path.suffix == ".parquet":
            muons = ak.from_parquet(path, columns=["Muon_pt"])["Muon_pt"]
        else:
            with uproot.open(path) as file:
                muons = file["Events"]["Muon_pt"].array()
        expected = np.histogram(ak.to_numpy(ak.flatten(muons)).astype(float), bins=20, range=(0, 200))[0]
        filled = entries[{"process": path.name}]
        assert filled.values().tolist() == expected.tolist(), path.name
        assert filled.values(flow=True).sum() == ak.count(muons), path.name
        checked += 1
    assert checked == 26


def test_sums_of_weights_are_those_of_the_generated_events(run):
    # from the Runs trees of the files, read with uproot in their three spellings
    sums = {dataset.name: dataset.sumw for dataset in run[1].report.datasets}
    assert sums["nano_dy.root"] == pytest.approx(15166686735.858717)
    assert sums["DarkBottomLine_ggH_M125_amcatnlo_v13.root"] == pytest.approx(89298480.21408002)
    assert sums["nano_dy_empty.root"] == 0.0
    assert sums["nano_dimuon.root"] is None
    notes = " ".join(run[1].report.notes)
    assert "sum of weights of nano_tt_v15.root counted from Events" in notes
    assert "nano_dy.root counted" not in notes
