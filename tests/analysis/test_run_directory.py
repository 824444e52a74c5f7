"""What a run leaves behind, and what can be done with it when the input is gone."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import uproot
from coffea.util import load

from intccms.analysis import AnalysisRunner
from intccms.errors import ConfigError, MetadataError, OutputError
from intccms.schema import load_config
from tests.analysis.test_whole_run import without_times
from tests.analysis.toys import dataset, expected_sums, toy_config

CONFIG = """
from __future__ import annotations

import {helper} as helper

config = {{
    "general": {{"lumi": 50.0, "output_dir": {output!r}, "executor": "iterative"}},
    "datasets": {{"datasets": [{{"name": "tt", "files": [{file!r}], "cross_sections": [10.0]}}]}},
    "preprocess": {{"skimming": {{"chunk_size": 100}}}},
    "channels": [
        {{
            "name": "all",
            "observables": [
                {{"name": "met", "function": helper.scaled, "use": [("MET", "pt")], "binning": [0, 50, 100]}}
            ],
        }}
    ],
}}
"""

HELPER = """
import awkward as ak

FACTOR = 2.0


def _twice(values):
    return FACTOR * values


def scaled(values):
    return _twice(values)
"""


@pytest.fixture
def user_config(toys, tmp_path, clean_imports):
    """A user's configuration with a module of its own beside it, in a folder that is nobody else's."""
    folder = tmp_path / "my analysis"
    folder.mkdir()
    helper = f"helper_of_{tmp_path.name}".replace("[", "_").replace("]", "_").replace("-", "_")
    (folder / f"{helper}.py").write_text(HELPER)
    text = CONFIG.format(helper=helper, output=str(tmp_path / "out"), file=str(toys["tt"][0].path))
    (folder / f"config_of_{tmp_path.name}.py").write_text(text)
    return folder / f"config_of_{tmp_path.name}.py", folder / f"{helper}.py"


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_functions_beside_a_configuration_file_work_on_workers_that_do_not_have_it(
    executor, user_config, toys, client, run_quietly
):
    path, _ = user_config
    config = load_config(path, [f"general.executor={executor}", "general.workers=1"])
    sys.path.remove(str(path.parent))  # which processes that are started from here would inherit
    result = run_quietly(config, client if executor == "dask" else None)
    assert result.output["report"]["failures"] == ()
    doubled = 2.0 * toys["tt"][0].columns["MET_pt"].astype(np.float64)
    expected = np.histogram(doubled, [-np.inf, 0, 50, 100, np.inf])[0]
    assert (
        result.output["entries"]["all"]["met"][{"process": "tt"}].view(flow=True).tolist()
        == expected.tolist()
    )


def test_the_run_directory_tells_how_the_results_came_about(user_config, tmp_path, run_quietly):
    path, helper = user_config
    config = load_config(path, ["general.lumi=75"])
    run_quietly(config)
    out = tmp_path / "out"
    assert (out / "config.py").read_bytes() == path.read_bytes()
    assert (out / "config" / "modules" / helper.name).read_text() == HELPER
    assert json.loads((out / "config" / "overrides.json").read_text()) == ["general.lumi=75"]
    resolved = json.loads((out / "config" / "config.json").read_text())
    assert resolved["general"]["lumi"] == 75.0
    assert resolved["channels"][0]["observables"][0]["function"] == f"{helper.stem}:scaled"
    digests = json.loads((out / "config" / "digests.json").read_text())
    assert digests["channels"] == config.digest("channels")
    assert digests["datasets"] != digests["channels"]
    provenance = json.loads((out / "provenance.json").read_text())
    assert {"versions", "git", "host", "command", "started", "ended", "executor"} <= set(provenance)
    assert provenance["executor"] == "iterative"
    assert provenance["started"] <= provenance["ended"]
    assert {"coffea", "awkward", "numpy", "python"} <= set(provenance["versions"])
    assert [one.name for one in out.rglob(".*") if one.is_file()] == [".lock"], "temporary files are left"


@pytest.fixture
def finished(toys, tmp_path):
    """A run over copies of the input, which a test may delete, and its configuration."""
    inputs = tmp_path / "input"
    inputs.mkdir()
    datasets = []
    for name, xsec in (("tt", 10.0), ("dy", 400.0), ("data", None)):
        copies = [shutil.copy(toy.path, inputs) for toy in toys[name]]
        entry = dataset(name, *toys[name], xsec=xsec)
        datasets.append({**entry, "files": [str(one) for one in copies]})
    config = toy_config(datasets, tmp_path / "out")
    return config, AnalysisRunner(config, progress=False).histogram(), inputs


def test_the_stored_output_is_what_the_run_returned(finished):
    _, result, _ = finished
    stored = load(str(result.path / "output.coffea"))
    assert set(stored) == {"histograms", "entries", "cutflow", "report", "config"}
    for channel, observables in result.output["histograms"].items():
        for observable, histogram in observables.items():
            assert stored["histograms"][channel][observable] == histogram
    assert json.loads((result.path / "report.json").read_text()) == json.loads(json.dumps(stored["report"]))
    assert stored["config"]["general"]["lumi"] == 50.0


def test_the_root_file_has_a_histogram_for_each_channel_observable_process_and_variation(finished):
    _, result, _ = finished
    with uproot.open(result.path / "histograms" / "histograms.root") as file:
        names = {name for name in file.keys(cycle=False) if name.count("/") == 3}
        values = file["all/ht/tt/nominal"].values()
    expected = {
        f"{place}/{process}/nominal" for place in ("SR/jet_met", "all/ht") for process in ("tt", "dy", "data")
    }
    assert names == expected
    histogram = result.output["histograms"]["all"]["ht"][{"process": "tt", "variation": "nominal"}]
    assert np.array_equal(values, histogram.values())


def test_the_sums_by_dataset_are_not_normalised(finished, toys):
    _, result, _ = finished
    stored = load(str(result.path / "histograms" / "by_dataset.coffea"))
    for name in ("tt", "dy", "data"):
        view = stored["histograms"]["all"]["ht"][{"dataset": name, "variation": "nominal"}].view(flow=True)
        expected = expected_sums(toys[name])["ht"]
        np.testing.assert_allclose(view["value"], expected["sumw"], rtol=0, atol=1e-10)
        np.testing.assert_allclose(view["variance"], expected["sumw2"], rtol=1e-10)


@pytest.mark.parametrize("switch", ["run_plots_only", "run_processor"])
def test_plots_are_made_when_the_input_is_gone(switch: str, finished):
    config, result, inputs = finished
    shutil.rmtree(inputs)
    config["general"][switch] = switch == "run_plots_only"
    again = AnalysisRunner(config, progress=False).run()
    pictures = [one for one in again.plots if one.suffix == ".svg"]
    for observable in ("jet_met", "ht"):
        assert any(one.stem.startswith(observable) and one.stat().st_size > 1000 for one in pictures)
    assert again.report is None
    assert again.succeeded
    for kind in ("histograms", "entries"):
        assert again.output[kind]["all"]["ht"] == result.output[kind]["all"]["ht"]


def test_without_the_processor_metadata_are_still_brought_up_to_date_where_there_is_input(finished):
    config, result, _ = finished
    store = result.path / "metadata" / "tt.json"
    store.unlink()
    config["general"] |= {"run_processor": False, "channels": ["all"]}
    AnalysisRunner(config, progress=False).run()
    assert store.exists()
    store.unlink()
    config["general"]["run_metadata_generation"] = False
    AnalysisRunner(config, progress=False).run()
    assert not store.exists()


@pytest.mark.parametrize("switch", ["run_plots_only", "run_processor"])
def test_plots_of_a_run_that_never_was_are_an_error_that_says_how_to_make_it(switch: str, toys, tmp_path):
    config = toy_config([dataset("tt", *toys["tt"])], tmp_path / "never")
    config["general"][switch] = switch == "run_plots_only"
    with pytest.raises(OutputError, match="there are no histograms at .*general.run_processor=True"):
        AnalysisRunner(config, progress=False).run()


def test_stored_metadata_serve_when_none_may_be_read(finished):
    config, result, _ = finished
    config["general"]["run_metadata_generation"] = False
    again = AnalysisRunner(config, progress=False).histogram()
    assert without_times(again.output["report"]) == without_times(result.output["report"])
    config["general"]["metadata_dir"] = str(result.path / "elsewhere")
    with pytest.raises(MetadataError, match="general.run_metadata_generation=False, but the metadata in"):
        AnalysisRunner(config, progress=False).histogram()


def test_a_switch_changed_in_a_notebook_is_checked_when_the_run_starts(toys, tmp_path):
    runner = AnalysisRunner(toy_config([dataset("tt", *toys["tt"])], tmp_path), progress=False)
    runner.config.general.run_analysis = False
    with pytest.raises(ConfigError, match="nothing to do"):
        runner.run()


def test_a_column_that_no_dataset_has_stops_the_run_before_events_are_read(toys, tmp_path):
    config = toy_config([dataset("tt", *toys["tt"]), dataset("dy", *toys["dy"])], tmp_path)
    config["channels"][1]["observables"][0]["use"] = [("MET", "ptt")]
    with pytest.raises(
        ConfigError, match=r"channels.all.observables.ht uses \('MET', 'ptt'\): .*Did you mean 'MET_pt'"
    ):
        AnalysisRunner(config, progress=False).run()
    assert not (tmp_path / "output.coffea").exists()


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("[]", "no golden JSON")])
def test_a_lumi_mask_that_is_none_stops_the_run_before_events_are_read(content, words, toys, tmp_path):
    path = tmp_path / "golden.json"
    if content is not None:
        path.write_text(content)
    config = toy_config([dataset("data", *toys["data"], xsec=None, lumi_mask=str(path))], tmp_path / "out")
    with pytest.raises(ConfigError, match=rf"lumi mask .*golden.json.*{words}"):
        AnalysisRunner(config, progress=False).run()


@pytest.mark.parametrize("used", [True, False], ids=["used", "not used"])
def test_what_nobody_may_know_is_warned_of_in_the_code_and_never_kept(
    user_config, tmp_path, run_quietly, caplog, used
):
    path, helper = user_config
    helper.write_text(
        HELPER
        + 'API_TOKEN = "token-of-mine-4711"\n\n\ndef logs_in(met):\n    return met if API_TOKEN else None\n'
    )
    text = path.read_text()
    if used:
        text += f'config["channels"][0]["observables"][0]["function"] = __import__({helper.stem!r}).logs_in\n'
    path.write_text(text)
    run_quietly(load_config(path))
    out = tmp_path / "out"
    assert (out / "config" / "config.pkl").exists() is not used
    assert (f"{helper.stem}: what looks like a credential" in caplog.text) is used
    assert not [one for one in out.rglob("*") if one.is_file() and b"token-of-mine-4711" in one.read_bytes()]
