"""The Open Data example without its data: configuration, files, cuts, a small run, and a run without a network."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import awkward as ak
import pytest

import example_opendata
from example_opendata import cuts
from intccms import AnalysisRunner, load_config
from intccms.datasets import DatasetManager
from intccms.errors import ConfigError, NoReachableReplicaError

FOLDER = Path(example_opendata.__file__).parent

# the cross-sections of the workshop's lesson on backgrounds [pb], multiplied by hand
XSECS = {
    "signal": 1.0,
    "ttbar_semilep": 364.31088,
    "ttbar_lep": 87.3348,
    "ttbar_had": 380.11432,
    "wjets": 61526.7,
    "data": None,
}

# CMS names of the datasets in CERN Open Data records 75156, 67993, 67801, 67841, 69747, 30530 and 30563
PRIMARY = {
    "signal": {"ZprimeToTT_M2000_W20_TuneCP2_PSweights_13TeV-madgraph-pythiaMLM-pythia8"},
    "ttbar_semilep": {"TTToSemiLeptonic_TuneCP5_13TeV-powheg-pythia8"},
    "ttbar_lep": {"TTTo2L2Nu_TuneCP5_13TeV-powheg-pythia8"},
    "ttbar_had": {"TTToHadronic_TuneCP5_13TeV-powheg-pythia8"},
    "wjets": {"WJetsToLNu_TuneCP5_13TeV-madgraphMLM-pythia8"},
    "data": {"SingleMuon"},
}


def manager(*overrides):
    return DatasetManager(load_config(example_opendata.config, overrides))


def test_the_datasets_have_the_names_and_cross_sections_of_the_workshop():
    config = load_config(str(FOLDER))
    assert {one.name: one.cross_section for one in config.selected_datasets()} == pytest.approx(XSECS)
    assert config.general.lumi == 16_400
    assert [one.name for one in config.selected_datasets() if one.is_data] == ["data"]


def test_the_mass_has_the_binning_of_the_published_result():
    (channel,) = load_config(example_opendata.config).channels
    mass = next(one for one in channel.observables if one.name == "mtt")
    assert (mass.binning.bins, mass.binning.start, mass.binning.stop) == (50, 0, 3000)


def test_a_copy_of_the_folder_under_another_name_is_a_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    copy = tmp_path / "copied_opendata_search"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    config = load_config(str(copy))
    (data,) = (one for one in config.selected_datasets() if one.is_data)
    assert Path(data.lumi_mask).parent == copy
    assert config.channels[0].selection.function.__module__ == "copied_opendata_search.cuts"


@pytest.mark.parametrize("name", XSECS)
def test_the_listed_files_are_public_files_of_the_dataset(name):
    files = manager().files(name)
    assert files
    for file in files:
        assert file.name.startswith("/eos/opendata/cms/")
        assert file.name.endswith(".root")
        assert PRIMARY[name] & set(file.name.split("/"))
        assert file.urls == (f"root://eospublic.cern.ch/{file.name}",)
    assert len({file.name for file in files}) == len(files)


def test_the_certified_runs_are_those_of_2016g_and_2016h():
    # run ranges of the records 30530 and 30563
    golden = json.loads((FOLDER / "golden_2016GH.json").read_text())
    runs = [int(run) for run in golden]
    assert runs == sorted(runs)
    assert all(278_820 <= run <= 280_385 or 281_613 <= run <= 284_044 for run in runs)
    assert all(1 <= first <= last for ranges in golden.values() for first, last in ranges)


def test_a_base_folder_serves_all_datasets_by_their_names(tmp_path):
    for name in XSECS:
        for index in (10, 2):
            (tmp_path / f"{name}_{index}.root").touch()
    found = manager(f"datasets.base_dir={tmp_path}")
    for name in XSECS:
        assert [file.urls for file in found.files(name)] == [
            (str(tmp_path / f"{name}_{index}.root"),) for index in (2, 10)
        ]
    assert found.get_redirector() == []


def test_a_base_folder_without_a_dataset_says_what_to_do(tmp_path):
    found = manager(f"datasets.base_dir={tmp_path}")
    with pytest.raises(ConfigError, match=r"'signal'.*signal_\*\.root.*general\.processes"):
        found.files("signal")


def records(fields, *objects):
    """Return one event with the given objects."""
    return ak.Array([[dict(zip(fields, one, strict=True)) for one in objects]])


def test_muons_at_the_edges_of_the_cuts():
    fields = ("pt", "eta", "tightId", "miniIsoId")
    cases = {
        (60.0, 0.0, True, 2): True,
        (55.0, 0.0, True, 2): False,
        (60.0, 2.4, True, 2): False,
        (60.0, -2.5, True, 2): False,
        (60.0, -2.3, True, 2): True,
        (60.0, 0.0, False, 2): False,
        (60.0, 0.0, True, 1): False,
        (59.0, 0.0, True, 2): False,  # 59 GeV + 91 GeV of missing momentum are not more than 150 GeV
    }
    assert cuts.is_good_muon(records(fields, *cases), ak.Array([91.0])).to_list() == [list(cases.values())]


def test_top_jets_at_the_edges_of_the_cuts():
    cases = {(501.0, 0.6): True, (500.0, 0.6): False, (501.0, 0.5): False}
    jets = records(("pt", "particleNet_TvsQCD"), *cases)
    assert cuts.is_top_jet(jets).to_list() == [list(cases.values())]


def test_b_jets_at_the_edges_of_the_cuts():
    cases = {(0.6, 4): True, (0.6, 6): True, (0.6, 2): False, (0.5, 6): False}
    assert cuts.is_b_jet(records(("btagDeepB", "jetId"), *cases)).to_list() == [list(cases.values())]


def test_missing_momentum_at_the_edge_of_the_cut():
    passed = cuts.with_trigger_and_met(ak.Array([True, True, False]), ak.Array([50.0, 51.0, 51.0]))
    assert [mask.to_list() for mask in passed.values()] == [[True, True, False], [False, True, True]]


def run(folder, output, *overrides):
    config = load_config(
        example_opendata.config,
        [
            f"datasets.base_dir={folder}",
            f"general.output_dir={output}",
            "general.executor=iterative",
            *overrides,
        ],
    )
    return AnalysisRunner(config, progress=False).histogram().output


@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_a_small_run_gives_the_candidates_counted_by_hand(example_input, tmp_path, chunk_size):
    output = run(
        example_input,
        tmp_path / "output",
        "general.processes=wjets",
        f"preprocess.skimming.chunk_size={chunk_size}",
    )
    found = output["entries"]["SR"]["mtt"][{"process": "wjets"}]
    # per file: 1200 GeV twice (one b jet; the first of two), 1624.8 GeV once
    assert {int(i): int(n) for i, n in enumerate(found.values()) if n} == {20: 4, 27: 2}
    # weights 2 and -2 (the event with two b jets); 61,526.7 pb x 16,400 / pb / (80 + 80)
    nominal = output["histograms"]["SR"]["mtt"][{"process": "wjets", "variation": "nominal"}]
    scale = 61_526.7 * 16_400 / 160
    assert nominal.values()[20] == pytest.approx(2 * (2 - 2) * scale)
    assert nominal.values()[27] == pytest.approx(2 * -2 * scale)


def test_the_muon_is_filled_once_per_candidate(example_input, tmp_path):
    output = run(example_input, tmp_path / "output", "general.processes=wjets")
    found = output["entries"]["SR"]
    # bins of 20 GeV from 50 GeV and of 0.1: the muon of 100 GeV and eta = 0 of three candidates per file
    assert found["mu_pt"][{"process": "wjets"}].values()[2] == 6
    assert found["mu_abseta"][{"process": "wjets"}].values()[0] == 6


def test_data_outside_certified_lumi_sections_are_left_out(example_input, tmp_path):
    output = run(example_input, tmp_path / "output", "general.processes=data")
    cutflow = output["cutflow"]["SR"]
    left = dict(zip(cutflow["steps"], cutflow["entries"]["data"], strict=True))
    # lumi section 1 is certified for run 278822, the last three events, but for run 278820 only 17 to 1540 are
    assert (left["all"], left["lumi mask"], left["b jet"]) == (6, 3, 2)
    found = output["entries"]["SR"]["mtt"][{"process": "data"}]
    assert {int(i): int(n) for i, n in enumerate(found.values()) if n} == {20: 2, 27: 1}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_without_a_network_the_run_says_which_redirector_failed_and_what_works(tmp_path, monkeypatch):
    # nothing listens at port 1, so that no machine has a network as far as this run can see
    redirector = "root://127.0.0.1:1/"
    for name in ("CONNECTIONWINDOW", "CONNECTIONRETRY", "STREAMERRORWINDOW"):
        monkeypatch.setenv(f"XRD_{name}", "1")
    config = load_config(
        example_opendata.config,
        [
            "general.executor=iterative",
            f"general.output_dir={tmp_path / 'output'}",
            "datasets.max_files=1",
            *(f"datasets.datasets.{name}.redirector={redirector}" for name in XSECS),
        ],
    )
    with pytest.raises(NoReachableReplicaError) as raised:
        AnalysisRunner(config, progress=False).run()
    message = str(raised.value)
    assert redirector in message
    assert "intccms demo" in message
    if importlib.util.find_spec("fsspec_xrootd") is None:
        assert "fsspec-xrootd" in message
