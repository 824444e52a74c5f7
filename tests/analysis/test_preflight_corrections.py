"""Payloads of corrections are looked at before events; what only workers can know stops the run, or fails its chunk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
from click.testing import CliRunner

from intccms.analysis import AnalysisRunner
from intccms.analysis import runner as runner_module
from intccms.analysis.fold import DatasetFold
from intccms.analysis.normalise import check_positions, normalise
from intccms.analysis.preflight import check_corrections, check_payload_files
from intccms.analysis.results import DatasetSums
from intccms.cli import main
from intccms.errors import ConfigError, PayloadFileError
from intccms.schema import SYS, load_config
from intccms.systematics import payload_documents
from tests.analysis.test_theory_normalisation import config_of, theory, with_sums
from tests.analysis.toys import dataset, toy_config, write_toy

WEIGHTS = {"nominal": [1.0, 2.0], "up": [1.5, 2.5], "down": [0.5, 1.5]}


def write_payload(path, name="met", highest=1e6, lowest=0.0):
    """Write a correction of MET: one bin below 50 GeV, one above."""
    keys = [
        {
            "key": key,
            "value": {
                "nodetype": "binning",
                "input": "pt",
                "edges": [lowest, 50.0, highest],
                "content": content,
                "flow": "error",
            },
        }
        for key, content in WEIGHTS.items()
    ]
    inputs = [{"name": "kind", "type": "string"}, {"name": "pt", "type": "real"}]
    one = {
        "name": name,
        "version": 1,
        "inputs": inputs,
        "output": {"name": "weight", "type": "real"},
        "data": {"nodetype": "category", "input": "kind", "content": keys},
    }
    path.write_text(json.dumps({"schema_version": 2, "corrections": [one]}))
    return str(path)


def weight(file, **more):
    return {
        "name": "met_weight",
        "type": "event",
        "file": file,
        "key": "met",
        "args": [SYS, ("MET", "pt")],
        "nominal_idx": "nominal",
        "uncertainty_sources": [{"name": "met", "up_and_down_idx": ["up", "down"]}],
        **more,
    }


@pytest.fixture
def config(tmp_path):
    """Return a function that makes the configuration of two years, with corrections given for each."""
    toys = [
        write_toy(tmp_path / f"tt_{year}_0.root", 120, seed) for seed, year in enumerate(("2017", "2018"), 1)
    ]
    datasets = [
        dataset(f"tt{year}", toy, years=[year]) for toy, year in zip(toys, ("2017", "2018"), strict=True)
    ]

    def made(corrections, **general):
        whole = toy_config(datasets, tmp_path / "out", lumi={"2017": 1.0, "2018": 2.0}, **general)
        return {**whole, "corrections": corrections}

    return made


def test_all_missing_files_are_one_error_that_says_how_many_and_what_to_do(config, tmp_path):
    files = [str(tmp_path / f"no_{i}.json") for i in range(5)]
    corrections = {
        "2017": [weight(file, name=f"w{i}", uncertainty_sources=[]) for i, file in enumerate(files)],
        "2018": [weight(files[0])],
    }
    with pytest.raises(ConfigError) as caught:
        check_payload_files(load_config(config(corrections)))
    assert str(caught.value) == (
        f"5 payload files are not there: {files[0]}, {files[1]}, {files[2]} and 2 more (corrections of 2017, 2018: "
        "w0, w1, w2, ...). Mount "
        "the file system (CVMFS, EOS), or correct 'file' of the corrections, or the variable that the configuration takes "
        "the folder from."
    )


def test_a_missing_file_is_told_with_its_correction_and_the_nearest_file_of_its_folder(config, tmp_path):
    write_payload(tmp_path / "muon_sf.json")
    words = r"muon-sf.json \(corrections: met_weight\)\. Did you mean 'muon_sf.json'\? Mount the file system"
    with pytest.raises(ConfigError, match=words):
        check_payload_files(load_config(config([weight(str(tmp_path / "muon-sf.json"))])))


def test_a_column_that_no_file_of_one_year_has_stops_the_run_before_events(config, tmp_path):
    right = weight(write_payload(tmp_path / "met.json"))
    wrong = {**right, "args": [SYS, ("METs", "pt")]}
    words = r"correction 'met_weight' \(2017\): the column METs_pt is in none of the files .*Did you mean 'MET_pt'"
    with pytest.raises(ConfigError, match=words):
        AnalysisRunner(config({"2017": [wrong], "2018": [right]}), progress=False).run()


def test_what_is_more_often_a_slip_is_in_the_log_of_a_run(config, tmp_path, caplog):
    sources = [{"name": "met", "up_and_down_idx": ["up", "nominal"]}]
    one = weight(write_payload(tmp_path / "met.json"), uncertainty_sources=sources)
    AnalysisRunner(config([one]), progress=False).plan()
    assert "source 'met' of met_weight has the nominal key 'nominal'" in caplog.text


def test_a_run_stops_for_them_before_any_input_is_looked_at(config, tmp_path):
    whole = config([weight(str(tmp_path / "no.json"))])
    (tmp_path / "tt_2017_0.root").unlink()
    with pytest.raises(ConfigError, match="1 payload file is not there"):
        AnalysisRunner(whole, progress=False).run()
    assert not (tmp_path / "out" / "metadata").exists()


def test_years_processes_and_channels_that_are_not_selected_do_not_matter(config, tmp_path):
    there, gone = write_payload(tmp_path / "met.json"), str(tmp_path / "no.json")
    corrections = {"2017": [weight(there)], "2018": [weight(gone)]}
    with pytest.raises(ConfigError, match="corrections of 2018"):
        check_corrections(load_config(config(corrections)))
    check_corrections(load_config(config(corrections, processes=["tt2017"])))
    jets = {"type": "object", "target": ("Tau", "pt"), "uncertainty_sources": []}
    check_corrections(load_config(config([weight(gone, **jets)])))  # nothing uses taus
    sources = [{"name": "met", "file": gone, "key": "met", "up_and_down_idx": ["up", "down"]}]
    own = config([weight(there, uncertainty_sources=sources)], run_systematics=False)
    check_corrections(load_config(own))


def test_everything_wrong_with_keys_and_arguments_is_said_at_once(config, tmp_path):
    file = write_payload(tmp_path / "met.json")
    wrong = [{"name": "met", "up_and_down_idx": ["upp", "down"]}]
    corrections = {
        "2017": [weight(file, uncertainty_sources=wrong), weight(file, name="w2", args=[SYS])],
        "2018": [weight(file, key="mett")],
    }
    corrections["2017"][1]["uncertainty_sources"] = [{"name": "w2", "up_and_down_idx": ["up", "down"]}]
    with pytest.raises(ConfigError) as caught:
        AnalysisRunner(config(corrections), progress=False).run()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "corrections of 2017, correction 'met_weight', source 'met': the systematic key 'upp' is unknown to argument 1"
    )
    assert "correction 'w2', nominal value and source 'w2': 'met' of" in lines[1]
    assert "takes 2 arguments" in lines[1]
    assert (
        f"corrections of 2018, correction 'met_weight', nominal value and source 'met': {file} holds no"
        in lines[2]
    )
    assert "Did you mean 'met'?" in lines[2]
    assert not (tmp_path / "out" / "metadata").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is no correctionlib file, schema 2"),
        ('{"schema_version": 1, "corrections": []}', "schema version 1"),
        (b"\x1f\x8bxx", "cannot be uncompressed"),
        (b"\xff\xfe", "is neither JSON nor gzipped JSON"),
    ],
)
def test_a_file_that_is_no_payload_is_named(config, tmp_path, content, words):
    path = tmp_path / "met.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words):
        check_corrections(load_config(config([weight(str(path))])))


def counted(monkeypatch):
    """Count how often the JSON of a payload is parsed."""
    parsed, calls = payload_documents.parsed, []
    monkeypatch.setattr(
        payload_documents, "parsed", lambda path, *rest: calls.append(path) or parsed(path, *rest)
    )
    return calls


def test_a_file_is_opened_once_before_the_first_chunk_and_not_if_nothing_is_to_be_done(
    config, tmp_path, monkeypatch
):
    calls = counted(monkeypatch)
    file = write_payload(tmp_path / "met.json")
    runner = AnalysisRunner(config([weight(file)]), progress=False)
    assert runner.run().succeeded
    assert len(calls) == 1
    assert runner.run().succeeded
    assert len(calls) == 1  # all is in the ledger
    runner.config.channels[0].observables[0].axes[0].binning = [30.0, 60.0]
    assert runner.histogram().succeeded
    assert len(calls) == 2


@pytest.mark.parametrize(
    "off",
    [
        {"run_plots_only": True},
        {"run_processor": False},
        {"run_analysis": False, "save_skimmed_output": True},
    ],
)
def test_without_histograms_of_events_payloads_may_be_gone(config, tmp_path, off):
    file = write_payload(tmp_path / "met.json")
    whole = config([weight(file)], output_dir=str(tmp_path / "out"))
    AnalysisRunner(whole, progress=False).histogram()
    (tmp_path / "met.json").unlink()
    AnalysisRunner({**whole, "general": whole["general"] | off}, progress=False).run()
    with pytest.raises(ConfigError, match="1 payload file is not there"):
        AnalysisRunner(whole, progress=False).run()


def test_skims_are_not_written_first_where_the_analysis_of_them_cannot_start(config, tmp_path):
    switches = {"run_skimming": True, "use_skimmed_input": True}
    whole = config([weight(write_payload(tmp_path / "met.json"), key="no")], **switches)
    with pytest.raises(ConfigError, match="holds no correction 'no'"):
        AnalysisRunner(whole, progress=False).run()
    assert not (tmp_path / "out" / "skimmed").exists()


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("gone", "there is no file"),
        ("other key", "holds no correction 'met'"),
        ("broken", "Invalid edge type"),  # the JSON is as it should be
    ],
)
def test_a_payload_that_a_worker_cannot_open_stops_the_run(
    config, tmp_path, monkeypatch, executor, state, words
):
    # what the client sees need not be what workers see
    monkeypatch.setattr(runner_module, "check_corrections", lambda _config, show: None)
    monkeypatch.setattr(runner_module, "check_payload_files", lambda _config: None)
    path = tmp_path / "met.json"
    if state == "other key":
        write_payload(path, "another")
    if state == "broken":
        write_payload(path, lowest="low")
    whole = config([weight(str(path))], executor=executor, workers=2)
    with pytest.raises(PayloadFileError, match=words) as caught:
        AnalysisRunner(whole, progress=False).run()
    assert "correction 'met_weight'" in str(caught.value)
    assert "on the worker " in str(caught.value)
    assert not (tmp_path / "out" / "output.coffea").exists()


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_a_value_out_of_range_fails_its_chunk_only(config, tmp_path, executor):
    payload = tmp_path / "met.json"
    whole = config([weight(write_payload(payload))], executor=executor, workers=2)
    whole["baseline_selection"] = None  # so that every event has a weight
    met = []
    for year in ("2017", "2018"):
        with uproot.open({str(tmp_path / f"tt_{year}_0.root"): "Events"}) as tree:
            met += np.split(tree["MET_pt"].array(library="np"), 2)  # chunks of 60 events
    *_, second, first = sorted(float(one.max()) for one in met)
    write_payload(payload, highest=(first + second) / 2)
    result = AnalysisRunner(whole, progress=False).histogram()
    (failure,) = result.report.failures
    assert failure.reason.startswith("PayloadError: correction 'met_weight'")
    assert sum(one.processed for one in result.report.datasets) == 180


def test_validate_looks_at_payloads(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "validated_config.py"
    payload = write_payload(tmp_path / "met.json")
    source = {"name": "tt", "files": ["x.root"], "cross_sections": [1.0]}
    file.write_text(
        "from intccms.schema import SYS\nfrom tests.analysis.test_preflight_corrections import weight\n"
        f"from tests.configurations import analysis_of\nconfig = analysis_of([{source}])\n"
        f"config['corrections'] = [weight({payload!r})]\n"
    )
    assert CliRunner().invoke(main, ["config", "validate", str(file)]).exit_code == 0
    result = CliRunner().invoke(main, ["config", "validate", str(file), "corrections.met_weight.key=mmet"])
    assert (result.exit_code, "holds no correction 'mmet'" in result.output) == (2, True)
    Path(payload).unlink()
    result = CliRunner().invoke(main, ["config", "validate", str(file)])
    assert result.exit_code == 0, "a payload that is not mounted here may be where the workers are"
    assert "not checked: 1 payload file" in result.output


def of_eight():
    """Sums of the members 0 to 3 and 5 to 8."""
    return [[float(10 * member) for member in (1, 2, 3, 4, 6, 7, 8, 9)]] * 3


def test_eight_scale_weights_are_nine_without_the_nominal_one():
    metadata = with_sums(of_eight())
    config = config_of(theory(members=[0, 3, 4, 5, 8]))
    check_positions(config, metadata)
    result = normalise(config, metadata, DatasetFold(DatasetSums(entries=650)))
    assert result.error is None
    scales = [result.scale("LHEScaleWeight", position) for position in (0, 3, 4, 5, 8)]
    # 2000 expected events over three files of the sums above; the nominal sum is 2000 (600 + 400 + 1000)
    assert scales == pytest.approx([2000 / 30, 2000 / 120, 1.0, 2000 / 180, 2000 / 270], rel=1e-14)


def test_eight_weights_of_another_branch_are_what_they_are():
    metadata = with_sums(of_eight(), "PSWeight")
    config = config_of(theory(branch="PSWeight", members=[4, 5]))
    result = normalise(config, metadata, DatasetFold(DatasetSums(entries=650)))
    scales = [result.scale("PSWeight", position) for position in (4, 5)]
    assert scales == pytest.approx([2000 / 180, 2000 / 210], rel=1e-14)


@pytest.mark.parametrize(
    ("sums", "positions", "words"),
    [
        (of_eight(), [9, 0], r"position 9 .*of which there are 8 \(positions 0 to 8\)"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0], None], [0, 2], r"position 2 .*outside the sums of tt0.root.* are 2 "),
    ],
)
def test_a_position_that_files_do_not_have_is_an_error_before_events_are_read(sums, positions, words):
    metadata = with_sums(sums)
    metadata = replace(metadata, dataset=replace(metadata.dataset, year="2018"))
    config = config_of(theory(up_and_down_idx=positions))
    with pytest.raises(ConfigError, match=rf"source 'scale' of dataset '.*' \(2018\): {words}"):
        check_positions(config, metadata)
    check_positions(config_of(theory(up_and_down_idx=positions), run_systematics=False), metadata)
