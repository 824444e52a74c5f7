"""Stages called one by one, as in a notebook, with changes of the configuration between them."""

from __future__ import annotations

from intccms import AnalysisRunner, Config
from tests.configurations import analysis_of
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
    assert messages(read_from_cache=True, run_systematics=False, run_mva_training=True) == [
        "general.run_mva_training=True: nothing is configured for it (no 'mva'), so it does nothing",
        "general.run_systematics=False: no corrections are configured, so it does nothing",
        "general.read_from_cache=True: no skims are read, so it does nothing",
    ]
