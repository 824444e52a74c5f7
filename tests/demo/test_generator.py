"""Whole demos: structure of the files, reproducibility, sums, lumi mask, and use of what is there."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import asdict

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.demo import DEMO_SAMPLES, LUMINOSITY, DemoTruth, generate
from intccms.demo.golden import certified, certified_fraction, data_lumi_sections, golden_json
from intccms.demo.writer import NanoAODWriter, parse_compression
from intccms.errors import ConfigError, InputFileError, OutputError

TINY = 1 / 400
SIMULATED = [sample.name for sample in DEMO_SAMPLES if not sample.is_data]


def all_arrays(folder):
    """Return every branch of every `Events` tree of a folder, by file."""
    return {path.name: uproot.open(path)["Events"].arrays() for path in sorted(folder.glob("*.root"))}


def without_sizes(truth):
    """Return the truth as a dict without the sizes of files, which hold a time and a random uuid."""
    content = asdict(truth)
    for dataset in content["datasets"].values():
        dataset["files"] = [{k: v for k, v in file.items() if k != "n_bytes"} for file in dataset["files"]]
    return content


def events_of(folder, name):
    return uproot.open(folder / f"{name}.root")["Events"]


def test_two_workers_make_the_events_of_one(tmp_path):
    one = generate(tmp_path / "one", scale=TINY, workers=1)
    two = generate(tmp_path / "two", scale=TINY, workers=2)
    assert without_sizes(one) == without_sizes(two)
    first, second = all_arrays(tmp_path / "one"), all_arrays(tmp_path / "two")
    assert list(first) == list(second)
    for name, events in first.items():
        assert events.fields == second[name].fields
        assert all(ak.array_equal(events[key], second[name][key]) for key in events.fields)


def test_another_seed_makes_other_events_and_no_file_repeats_another(tmp_path):
    generate(tmp_path / "a", scale=TINY, workers=1, datasets=["signal"], seed=1)
    generate(tmp_path / "b", scale=TINY, workers=1, datasets=["signal"], seed=2)
    spectra = [
        ak.flatten(uproot.open(path)["Events"]["Jet_pt"].array()).to_list()
        for folder in ("a", "b")
        for path in sorted((tmp_path / folder).glob("*.root"))
    ]
    assert len(spectra) == 4
    assert all(a != b for i, a in enumerate(spectra) for b in spectra[:i])


def test_a_dataset_made_alone_has_the_events_it_has_among_others(tmp_path, small_demo):
    _, truth = small_demo
    alone = generate(tmp_path, scale=truth.parameters["scale"], workers=1, datasets=["single_top"])
    assert list(alone.datasets) == ["single_top"]
    assert alone.datasets["single_top"].selected == truth.datasets["single_top"].selected
    assert not (tmp_path / "golden.json").exists()


@pytest.mark.parametrize(
    ("branch", "bits"),
    [
        ("Jet_pt", 10), ("Jet_mass", 10), ("Jet_btagDeepB", 10), ("Jet_eta", 12), ("Jet_phi", 12),
        ("FatJet_pt", 10), ("Muon_eta", 12), ("Muon_pt", 23), ("MET_pt", 23), ("PuppiMET_pt", 23),
        ("genWeight", 23),
    ],
)  # fmt: skip
def test_floats_carry_as_many_bits_as_nanoaod_keeps(small_demo, branch, bits):
    values = ak.flatten(events_of(small_demo[0], "ttbar_semilep_0")[branch].array(), axis=None).to_numpy()
    assert values.dtype == np.float32
    mantissas = np.bitwise_or.reduce(values.view(np.uint32)) & 0x7FFFFF
    # the last bit that is kept is in use by one value or another, and none below it is
    assert mantissas % (1 << (24 - bits)) == 1 << (23 - bits)


@pytest.mark.parametrize("name", SIMULATED)
def test_runs_carries_the_sums_of_the_generator_weights_in_events(small_demo, name):
    folder, truth = small_demo
    total = 0.0
    for path, file in zip(truth.paths(folder, name), truth.datasets[name].files, strict=True):
        weights = uproot.open(path)["Events"]["genWeight"].array().to_list()
        runs = uproot.open(path)["Runs"].arrays().to_list()
        assert runs == [
            {
                "run": 1,
                "genEventCount": len(weights),
                "genEventSumw": pytest.approx(math.fsum(weights), rel=1e-12),
                "genEventSumw2": pytest.approx(math.fsum(w * w for w in weights), rel=1e-12),
            }
        ]
        assert file.events == len(weights)
        assert file.sumw == runs[0]["genEventSumw"]
        total += math.fsum(weights)
    assert truth.datasets[name].sumw == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("sample", [s for s in DEMO_SAMPLES if not s.is_data], ids=lambda s: s.name)
def test_negative_weights_come_at_the_rate_of_the_sample(small_demo, sample):
    folder, truth = small_demo
    files = [uproot.open(path)["Events"] for path in truth.paths(folder, sample.name)]
    weights = np.concatenate([events["genWeight"].array(library="np") for events in files])
    expected = weights.size * sample.negative_fraction
    assert abs(np.sum(weights < 0) - expected) <= 5 * math.sqrt(expected)
    assert np.median(np.abs(weights)) == pytest.approx(sample.weight, rel=0.03)
    assert (np.unique(np.abs(weights)).size == 1) == (sample.weight_spread == 0)


def test_data_runs_hold_run_numbers_only_and_every_lumi_section(small_demo):
    folder, _ = small_demo
    file = uproot.open(folder / "data_1.root")
    runs, lumis = data_lumi_sections(1)
    assert file["Runs"].keys() == ["run"]
    assert file["Runs"]["run"].array().to_list() == sorted(set(runs.tolist()))
    sections = file["LuminosityBlocks"].arrays()
    assert sections["run"].to_list() == runs.tolist()
    assert sections["luminosityBlock"].to_list() == lumis.tolist()
    events = file["Events"].arrays(["run", "luminosityBlock"]).to_list()
    listed = set(zip(runs.tolist(), lumis.tolist(), strict=True))
    assert {(e["run"], e["luminosityBlock"]) for e in events} <= listed


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_lumi_sections_are_those_of_the_events_and_no_event_number_repeats(small_demo, name):
    folder, truth = small_demo
    numbers = []
    for path in truth.paths(folder, name):
        file = uproot.open(path)
        numbers += file["Events"]["event"].array().to_list()
        in_events = set(file["Events"]["luminosityBlock"].array().to_list())
        assert set(file["LuminosityBlocks"]["luminosityBlock"].array().to_list()) == in_events
    assert len(set(numbers)) == len(numbers) == truth.datasets[name].events


def test_branches_have_the_types_of_nanoaod(small_demo):
    simulation, data = (events_of(small_demo[0], name) for name in ("signal_0", "data_0"))
    types = simulation.typenames()
    # from the NanoAODv9 documentation of CMS
    assert types["run"] == types["luminosityBlock"] == "uint32_t"
    assert types["event"] == "uint64_t"
    assert types["nJet"] == types["PV_npvs"] == "int32_t"
    assert types["HLT_TkMu50"] == types["Flag_goodVertices"] == "bool"
    assert types["Muon_miniIsoId"] == "uint8_t[]"
    assert types["Muon_tightId"] == "bool[]"
    assert types["Jet_jetId"] == types["Muon_jetIdx"] == types["Jet_hadronFlavour"] == "int32_t[]"
    assert types["Jet_pt"] == types["FatJet_particleNet_TvsQCD"] == "float[]"
    assert types["genWeight"] == types["Pileup_nTrueInt"] == "float"
    assert set(simulation.keys()) - set(data.keys()) == {"genWeight", "Pileup_nTrueInt", "Jet_hadronFlavour"}
    assert set(data.keys()) < set(simulation.keys())
    # one counter per collection, not one per branch
    assert {key for key in types if key.startswith("n")} == {"nMuon", "nElectron", "nJet", "nFatJet"}


def test_coffea_reads_every_column_and_follows_the_index_of_a_muon_to_its_jet(small_demo):
    path = small_demo[0] / "ttbar_semilep_0.root"
    events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    for name in events.fields:
        for key in events[name].fields:
            assert len(ak.materialize(events[name][key])) == len(events)
    for collection in (events.Muon, events.Electron, events.Jet, events.FatJet):
        assert ak.all(collection.pt[:, 1:] <= collection.pt[:, :-1])
    matched = ~ak.is_none(events.Muon.matched_jet, axis=1)
    assert ak.all((events.Muon.jetIdx >= 0) == matched)
    assert 0 < ak.sum(matched) < ak.sum(ak.num(events.Muon))
    distance = events.Muon.delta_r(events.Muon.matched_jet)
    assert ak.max(distance) < 0.4 + 1e-3
    # no jet of the event is nearer than the one the index points to
    nearest = ak.min(events.Muon.metric_table(events.Jet), axis=2)
    assert ak.all(ak.fill_none(distance <= nearest + 1e-3, True))


def test_some_events_have_no_objects_of_a_kind(small_demo):
    events = events_of(small_demo[0], "ttbar_semilep_0").arrays(["nMuon", "nElectron", "nJet", "nFatJet"])
    for name in ("nMuon", "nElectron", "nFatJet"):
        assert 0.05 < np.mean(events[name] == 0) < 0.95
    assert ak.any((events.nMuon == 0) & (events.nElectron == 0) & (events.nJet <= 1) & (events.nFatJet == 0))


def test_a_file_has_one_cluster_per_seven_thousand_events(tmp_path):
    generate(tmp_path, scale=1.2, workers=1, datasets=["signal"], compression="zstd:1")
    tree = uproot.open(tmp_path / "signal_0.root")["Events"]
    for branch in ("Jet_pt", "nJet", "HLT_Mu50"):
        assert tree[branch].entry_offsets == [0, 7000, 7200]


@pytest.mark.parametrize(
    ("text", "algorithm", "level"),
    [
        ("lzma", "LZMA", 1),
        ("lzma:9", "LZMA", 9),
        ("zstd", "ZSTD", 5),
        ("zlib:4", "ZLIB", 4),
        ("lz4", "LZ4", 1),
    ],
)
def test_files_are_compressed_as_asked(tmp_path, text, algorithm, level):
    generate(tmp_path, scale=TINY, workers=1, datasets=["signal"], compression=text)
    compression = uproot.open(tmp_path / "signal_0.root").file.compression
    assert (type(compression).__name__, compression.level) == (algorithm, level)


def test_compression_none_leaves_the_bytes_as_they_are(tmp_path):
    generate(tmp_path, scale=TINY, workers=1, datasets=["signal"], compression="none")
    tree = uproot.open(tmp_path / "signal_0.root")["Events"]
    assert tree["Jet_pt"].compressed_bytes == tree["Jet_pt"].uncompressed_bytes


def test_extra_branches_widen_the_file_and_leave_the_physics_alone(tmp_path, small_demo):
    folder, truth = small_demo
    options = {"scale": truth.parameters["scale"], "workers": 1, "datasets": ["signal"]}
    wide = generate(tmp_path, extra_branches=90, **options)
    assert wide.datasets["signal"].selected == truth.datasets["signal"].selected
    before, after = events_of(folder, "signal_0"), events_of(tmp_path, "signal_0")
    added = set(after.keys()) - set(before.keys())
    counters = {name for name in added if name.startswith("n")}
    # two thirds of 90 are decisions; of 30 floats one half is flat, one half in a collection with one counter
    assert len(counters) == 1
    assert len(added) == 90 + len(counters)
    types = [after.typenames()[name] for name in added - counters]
    assert (types.count("bool"), types.count("float"), types.count("float[]")) == (60, 15, 15)
    for name in before.keys():  # noqa: SIM118 - a tree is not a dict
        assert ak.array_equal(before[name].array(), after[name].array())


def test_the_golden_json_leaves_out_sections_that_hold_selected_events(small_demo):
    folder, truth = small_demo
    data = truth.datasets["data"]
    assert json.loads((folder / "golden.json").read_text()) == golden_json(2)
    assert 0 < data.selected.events < data.selected_unmasked
    assert 0 < data.certified_events < data.events
    share = certified_fraction()
    assert abs(data.certified_events - share * data.events) < 5 * math.sqrt(data.events * share * (1 - share))


def test_certified_events_are_inside_closed_ranges_of_known_runs():
    run = np.array([1, 1, 1, 1, 2, 3], dtype=np.uint32)
    lumi = np.array([4, 5, 9, 10, 5, 1], dtype=np.uint32)
    golden = {"1": [[5, 9]], "3": [[1, 1], [7, 8]]}
    assert certified(run, lumi, golden).tolist() == [False, True, True, False, False, True]


def test_the_certified_fraction_is_that_of_the_golden_json():
    n_certified = sum(last - first + 1 for spans in golden_json(3).values() for first, last in spans)
    assert certified_fraction() == n_certified / sum(data_lumi_sections(i)[0].size for i in range(3))


def test_data_are_the_mixture_that_cross_sections_and_luminosity_predict(small_demo):
    _, truth = small_demo
    origin = truth.datasets["data"].selected.by_origin
    assert truth.luminosity_pb == pytest.approx(LUMINOSITY * truth.parameters["scale"])
    assert set(origin) == set(SIMULATED)
    for name in SIMULATED:
        dataset = truth.datasets[name]
        by_hand = dataset.xsec_pb * truth.luminosity_pb * dataset.selected.sumw / dataset.sumw
        assert truth.expected_events(name) == pytest.approx(by_hand)
        assert abs(origin[name] - by_hand) < 5 * math.sqrt(by_hand) + 1
    expected = sum(truth.expected_events(name) for name in SIMULATED)
    assert abs(truth.datasets["data"].selected.events - expected) < 5 * math.sqrt(expected)


def test_a_matching_demo_is_used_again(tmp_path):
    made = []
    first = generate(tmp_path, scale=TINY, workers=1, on_file=lambda path, n: made.append((path.name, n)))
    assert sorted(made) == sorted((f.name, f.events) for d in first.datasets.values() for f in d.files)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    made.clear()
    assert generate(tmp_path, scale=TINY, workers=1, on_file=lambda *a: made.append(a)) == first
    assert made == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def cut_short(folder):
    with (folder / "signal_0.root").open("r+b") as file:
        file.truncate(1000)


def remove_file(folder):
    (folder / "signal_1.root").unlink()


def remove_truth(folder):
    (folder / "truth.json").unlink()


def break_truth(folder):
    (folder / "truth.json").write_text("{")


@pytest.mark.parametrize("damage", [cut_short, remove_file, remove_truth, break_truth])
def test_a_damaged_demo_is_made_anew(tmp_path, damage):
    options = {"scale": TINY, "workers": 1, "datasets": ["signal"]}
    first = generate(tmp_path, **options)
    damage(tmp_path)
    made = []
    again = generate(tmp_path, **options, on_file=lambda path, n: made.append(path.name))
    assert made == ["signal_0.root", "signal_1.root"]
    assert without_sizes(again) == without_sizes(first)
    assert all(uproot.open(path)["Events"].num_entries == 15 for path in again.paths(tmp_path, "signal"))


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"scale": 2 * TINY}, {"extra_branches": 3}, {"compression": "lz4"}]
)
def test_a_demo_of_other_parameters_replaces_the_one_that_is_there(tmp_path, change):
    options = {"scale": TINY, "workers": 1, "datasets": ["signal", "data"]}
    first = generate(tmp_path, **options)
    (tmp_path / "notes.txt").write_text("mine")
    second = generate(tmp_path, **{**options, **change, "datasets": ["signal"]})
    assert second.digest != first.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt", "signal_0.root", "signal_1.root", "truth.json",
    ]  # fmt: skip
    assert DemoTruth.load(tmp_path) == second


def test_the_truth_makes_the_round_trip_through_its_file(tmp_path, small_demo):
    _, truth = small_demo
    assert truth.save(tmp_path) == tmp_path / "truth.json"
    assert DemoTruth.load(tmp_path) == truth


def test_a_folder_without_truth_is_not_a_demo(tmp_path):
    with pytest.raises(
        InputFileError, match=r"cannot read the demo's truth .*truth\.json.* generate the demo"
    ):
        DemoTruth.load(tmp_path)


def test_a_sample_so_small_that_data_are_empty_is_still_readable(tmp_path):
    truth = generate(tmp_path, scale=1e-6, workers=1)
    assert truth.datasets["data"].events == 0
    assert truth.datasets["signal"].events == 2
    events = NanoEventsFactory.from_root(
        {str(tmp_path / "data_0.root"): "Events"}, schemaclass=NanoAODSchema
    ).events()
    assert len(events) == 0
    assert ak.num(events.Jet).to_list() == []


def test_an_interrupted_file_leaves_nothing_behind(tmp_path):
    def interrupted():
        with NanoAODWriter(tmp_path / "x.root", n_clusters=1, compression="lzma") as writer:
            writer.write_tree("Runs", {"run": np.ones(1, dtype=np.uint32)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scale": 0.0}, r"scale 0\.0; expected a positive number"),
        ({"scale": math.inf}, "scale inf; expected a positive number"),
        ({"workers": 0}, "0 workers; expected 1 or more"),
        ({"extra_branches": -1}, "-1 further branches; expected 0 or more"),
        ({"compression": "gzip"}, "unknown compression 'gzip'; expected lzma, zstd"),
        ({"compression": "lzma:10"}, "unknown compression 'lzma:10'"),
        ({"compression": "none:3"}, "unknown compression 'none:3'"),
        ({"datasets": ["signal", "qcd"]}, "no dataset 'qcd'; choose from data, signal, single_top"),
        ({"datasets": []}, "name at least one of data, signal"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(tmp_path, arguments, words):
    with pytest.raises(ConfigError, match=words):
        generate(tmp_path / "demo", **arguments)
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the demo into .*file/demo.*Choose a folder"):
        generate(tmp_path / "file" / "demo", scale=TINY, workers=1)


def test_a_script_without_main_guard_is_told_what_to_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"from intccms.demo import generate\ngenerate({str(tmp_path / 'demo')!r}, scale={TINY})\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    # a warning of Python may follow: the processes that died have left semaphores
    assert re.search(r"(?m)^\S*OutputError: a process .* died\. .*__main__.* workers=1", result.stderr)


def test_levels_of_compression_have_defaults_that_are_fast():
    assert parse_compression("lzma").level == 1
    assert parse_compression("none") is None
