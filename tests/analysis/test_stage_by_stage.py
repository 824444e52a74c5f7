"""Stages called one by one, as in a notebook, with changes of the configuration between them."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from intccms import AnalysisRunner, Config
from intccms.errors import NoReachableReplicaError
from tests.configurations import analysis_of, same
from tests.nanofiles import write_nano


def entries(result):
    return {one.name: one.entries for one in result.report.datasets}


def test_histograms_follow_what_was_changed_after_the_metadata(tmp_path):
    for index, count in enumerate((30, 20)):
        write_nano(tmp_path / f"a_{index}.root", count)
    files = [str(tmp_path / "a_0.root"), str(tmp_path / "a_1.root")]
    datasets = [{"name": "a", "files": files, "cross_sections": 1.0}]
    config = Config(**analysis_of(datasets, executor="iterative", output_dir=tmp_path / "out", lumi=1.0))
    runner = AnalysisRunner(config, progress=False)
    assert runner.metadata()[0].entries == 50
    config.datasets.max_files = 1
    assert entries(runner.histogram()) == {"a": 30}
    config.datasets.max_files = None
    assert entries(runner.histogram()) == {"a": 50}


def test_a_run_keeps_its_log_in_the_run_directory(tmp_path):
    write_nano(tmp_path / "a.root", 10)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = Config(
        **analysis_of(
            datasets, executor="iterative", output_dir=tmp_path / "out", lumi=1.0, run_statistics=True
        )
    )
    AnalysisRunner(config, progress=False).run()
    log = (tmp_path / "out" / "logs" / "run.log").read_text()
    assert "general.run_statistics=True: nothing is configured for it" in log


def test_switches_that_were_set_and_have_nothing_to_act_on_say_so(tmp_path, caplog):
    write_nano(tmp_path / "a.root", 10)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]

    def messages(**switches):
        config = Config(**analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0, **switches))
        caplog.clear()
        with caplog.at_level("INFO", logger="intccms"):
            AnalysisRunner(config, progress=False).run()
        return [record.message for record in caplog.records if "does nothing" in record.message]

    assert messages() == []
    assert messages(run_mva_training=False, run_statistics=False) == []
    assert messages(run_systematics=False, run_mva_training=True) == [
        "general.run_mva_training=True: nothing is configured for it (no 'mva'), so it does nothing",
        "general.run_systematics=False: no corrections are configured, so it does nothing",
    ]


def run_messages(caplog, config):
    caplog.clear()
    with caplog.at_level("INFO", logger="intccms"):
        result = AnalysisRunner(config, progress=False).run()
    return result, [record.message for record in caplog.records]


def test_a_trigger_that_no_file_has_is_warned_of_with_the_nearest_name(tmp_path, caplog):
    write_nano(tmp_path / "a.root", 10, extra={"HLT_IsoMu24": np.ones(10, dtype=bool)})
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0)
    config["channels"][0]["selection"] = {"function": same, "use": [("HLT", "IsoMu240")]}
    result, messages = run_messages(caplog, Config(**config))
    warning = (
        "HLT_IsoMu240 (read by channels.all.selection) is in none of the files looked at and counts as False."
    )
    assert f"{warning} Did you mean 'HLT_IsoMu24'?" in messages
    assert any("HLT_IsoMu240" in note for note in result.report.notes)


def test_a_weight_branch_that_no_simulation_has_is_refused_before_events_are_read(tmp_path):
    write_nano(tmp_path / "a.root", 10)
    dataset = {"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}
    config = analysis_of([{**dataset, "weight_branch": "genWeigth"}], output_dir=tmp_path / "out", lumi=1.0)
    with pytest.raises(
        NoReachableReplicaError, match="no branch genWeigth among the events. Did you mean 'genWeight'"
    ):
        AnalysisRunner(Config(**config), progress=False).run()


def test_sums_in_runs_are_of_gen_weight_and_serve_no_other_weight(tmp_path):
    # every event has the weight 1000 and is kept, so the yield is xsec * lumi = 10 * 50 by definition
    write_nano(tmp_path / "a.root", 40, extra={"own": np.full(40, 1000.0)})
    dataset = {
        "name": "a",
        "files": [str(tmp_path / "a.root")],
        "cross_sections": 10.0,
        "weight_branch": "own",
    }
    config = Config(**analysis_of([dataset], output_dir=tmp_path / "out", lumi=50.0))
    output = AnalysisRunner(config, progress=False).histogram().output
    assert output["cutflow"]["all"]["weighted"]["a"][0] == pytest.approx(500.0)


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_leaving_python_in_a_function_costs_its_chunk_like_any_error(tmp_path, executor):
    write_nano(tmp_path / "a.root", 10)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0, executor=executor)
    config["channels"][0]["selection"] = {"function": leave, "use": [("MET", "pt")]}
    result = AnalysisRunner(Config(**config), progress=False).run()
    assert not result.succeeded
    (failure,) = result.report.failures
    assert failure.reason.endswith("raised SystemExit: 0")


def leave(values):
    sys.exit(0)


def test_a_weight_that_is_not_a_number_costs_its_chunk_and_spoils_nothing(tmp_path):
    weights = np.ones(20)
    weights[3] = np.nan
    write_nano(tmp_path / "a.root", 20, extra={"own": weights})
    write_nano(tmp_path / "b.root", 20, first=100, extra={"own": np.ones(20)})
    files = [str(tmp_path / "a.root"), str(tmp_path / "b.root")]
    datasets = [{"name": "a", "files": files, "cross_sections": 1.0}]
    config = analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0, weight_branch="own")
    config["preprocess"] = {"skimming": {"chunk_size": 10}}
    result = AnalysisRunner(Config(**config), progress=False).histogram()
    (failure,) = [one for one in result.report.failures if one.start is not None]
    assert (failure.start, failure.stop) == (0, 10)
    assert "1 of 10 values of own are not finite" in failure.reason


def test_a_file_that_stands_twice_in_a_dataset_is_noted(tmp_path):
    write_nano(tmp_path / "a.root", 10)
    write_nano(tmp_path / "b.root", 10, first=50)
    files = [
        str(tmp_path / "a.root"),
        str(tmp_path / "b.root"),
        str(tmp_path / ".." / tmp_path.name / "a.root"),
    ]
    datasets = [{"name": "a", "files": files, "cross_sections": 1.0}]
    config = Config(**analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0))
    notes = AnalysisRunner(config, progress=False).histogram().report.notes
    assert notes == (f"a: {files[0]} and {files[2]} are the same file, and count twice",)


def test_a_file_that_was_replaced_behind_a_url_is_looked_at_again_by_the_next_run(tmp_path):
    first, second = write_nano(tmp_path / "a.root", 10), write_nano(tmp_path / "other.root", 15, first=50)
    url = f"file://{first.path}"
    config = Config(
        **analysis_of([{"name": "a", "files": [url], "cross_sections": 1.0}], output_dir=tmp_path, lumi=1.0)
    )
    assert entries(AnalysisRunner(config, progress=False).histogram()) == {"a": 10}
    second.path.replace(first.path)
    assert entries(AnalysisRunner(config, progress=False).histogram()) == {"a": 15}


def test_what_is_known_to_be_replaced_is_read_again(tmp_path):
    # as behind a redirector, where neither size nor time of a file tell
    write_nano(tmp_path / "a.root", 10)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = Config(**analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0))
    runner = AnalysisRunner(config, progress=False)
    (metadata,) = runner.metadata()
    wrong = [replace(metadata, files=(replace(metadata.files[0], uuid="another"),))]
    runner._metadata = wrong
    result = runner.histogram()
    assert "was replaced since its metadata were read" in result.report.failures[0].reason
    assert AnalysisRunner(config, progress=False).histogram().succeeded


def test_cutflows_whose_steps_differ_between_chunks_are_noted(tmp_path):
    write_nano(tmp_path / "a.root", 20)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0)
    config["preprocess"] = {"skimming": {"chunk_size": 10}}
    config["channels"][0]["selection"] = {"function": unsteady, "use": [("event", "event")]}
    notes = AnalysisRunner(Config(**config), progress=False).histogram().report.notes
    assert any("that cutflow cannot be trusted" in note for note in notes)


def unsteady(event):
    return {"first" if event[0] == 1 else "second": event > 0}


def test_a_lumi_mask_of_another_period_and_an_empty_dataset_are_noted(tmp_path):
    write_nano(tmp_path / "data.root", 10, data=True, run=280_000)
    write_nano(tmp_path / "empty.root", 0)
    (tmp_path / "golden.json").write_text('{"1": [[1, 2]]}')
    datasets = [
        {
            "name": "d",
            "files": [str(tmp_path / "data.root")],
            "is_data": True,
            "lumi_mask": str(tmp_path / "golden.json"),
        },
        {"name": "e", "files": [str(tmp_path / "empty.root")], "cross_sections": 1.0},
    ]
    config = Config(**analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0))
    notes = AnalysisRunner(config, progress=False).histogram().report.notes
    assert "the lumi mask leaves no event of d: is it the one of this data-taking period?" in notes
    assert "e has no events" in notes


def test_a_function_that_fails_everywhere_is_named_with_its_line_and_makes_no_plots(tmp_path):
    write_nano(tmp_path / "a.root", 10)
    datasets = [{"name": "a", "files": [str(tmp_path / "a.root")], "cross_sections": 1.0}]
    config = analysis_of(datasets, output_dir=tmp_path / "out", lumi=1.0)
    config["channels"][0]["selection"] = {"function": divide_by_nothing, "use": [("MET", "pt")]}
    result = AnalysisRunner(Config(**config), progress=False).run()
    line = divide_by_nothing.__code__.co_firstlineno + 1
    reason = result.report.failures[0].reason
    assert (
        f"channels.all.selection: divide_by_nothing (test_stage_by_stage.py:{line}) raised ZeroDivisionError"
        in reason
    )
    assert result.plots == ()
    assert not (tmp_path / "out" / "plots").exists()


def divide_by_nothing(values):
    return values > 1 / 0
