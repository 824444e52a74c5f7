"""A whole run against a loop over events in plain Python, and the same bits everywhere."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from coffea.processor import FuturesExecutor, IterativeExecutor

from intccms.analysis import AnalysisRunner
from intccms.analysis.executors import make_executor
from intccms.errors import ConfigError
from intccms.schema import load_config
from tests.analysis.toys import dataset, expected_sums, toy_config

LUMI = 50.0
XSEC = {"tt": 10.0, "dy": 400.0}


def entries_of_all(toys, **data):
    return [
        dataset("tt", *toys["tt"], xsec=XSEC["tt"]),
        dataset("dy", *toys["dy"], xsec=XSEC["dy"]),
        dataset("data", *toys["data"], xsec=None, **data),
    ]


def scale_by_hand(toys, name: str) -> float:
    if name == "data":
        return 1.0
    return XSEC[name] * LUMI / sum(toy.generated_sumw for toy in toys[name])


@pytest.fixture(scope="module")
def reference(toys, tmp_path_factory):
    """The output of the run that everything else is compared with."""
    from intccms.analysis import AnalysisRunner

    output = tmp_path_factory.mktemp("reference") / "out"
    return AnalysisRunner(toy_config(entries_of_all(toys), output), progress=False).histogram()


def without_times(report):
    """The datasets of a report without what differs from run to run, or from machine to machine."""
    ours = {"cpu_seconds", "computed", "reused", "computed_entries"}
    return [{name: one[name] for name in one if name not in ours} for one in report["datasets"]]


@pytest.mark.parametrize("process", ["tt", "dy", "data"])
@pytest.mark.parametrize(("channel", "observable"), [("SR", "jet_met"), ("all", "ht")])
def test_histograms_are_those_of_a_loop_over_events(reference, toys, process, channel, observable):
    scale = scale_by_hand(toys, process)
    expected = expected_sums(toys[process])[observable]
    assert expected["entries"].sum() > 30
    index = {"process": process, "variation": "nominal"}
    view = reference.output["histograms"][channel][observable][index].view(flow=True)
    bound = 1e-12 * expected["sum of |w|"]
    assert np.all(np.abs(view["value"] - scale * expected["sumw"]) <= abs(scale) * bound)
    assert np.all(
        np.abs(view["variance"] - scale**2 * expected["sumw2"]) <= 1e-12 * scale**2 * expected["sumw2"]
    )
    entries = reference.output["entries"][channel][observable][{"process": process}].view(flow=True)
    assert np.array_equal(entries, expected["entries"])


@pytest.mark.parametrize("process", ["tt", "dy", "data"])
def test_the_cutflow_is_that_of_a_loop_over_events(reference, toys, process):
    cutflow = reference.output["cutflow"]["SR"]
    steps = expected_sums(toys[process])["steps"]
    assert cutflow["steps"] == list(steps)
    assert cutflow["entries"][process] == [entries for entries, _ in steps.values()]
    scaled = [sumw * scale_by_hand(toys, process) for _, sumw in steps.values()]
    assert cutflow["weighted"][process] == pytest.approx(scaled, rel=1e-10)


def test_the_report_says_that_everything_was_processed(reference, toys):
    report = reference.output["report"]
    assert reference.succeeded
    assert report["complete"]
    assert report["coverage"] == 1.0
    assert len(report["failures"]) == 0
    found = {one["name"]: (one["entries"], one["processed"], one["files"]) for one in report["datasets"]}
    assert found == {name: (sum(map(len, files)),) * 2 + (len(files),) for name, files in toys.items()}
    for one in report["datasets"]:
        assert one["scale"] == pytest.approx(scale_by_hand(toys, one["name"]), rel=1e-14)


def executor_choices():
    spawn = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))
    return {
        "futures": "futures",
        "dask": "dask",
        "coffea iterative": IterativeExecutor(status=False),
        "coffea futures": FuturesExecutor(workers=2, status=False, pool=spawn),
    }


@pytest.mark.parametrize(
    "executor",
    ["futures", "dask", "coffea iterative", pytest.param("coffea futures", marks=pytest.mark.slow)],
)
def test_every_executor_gives_the_same_bits(
    executor, reference, toys, tmp_path, client, run_quietly, contents
):
    config = toy_config(entries_of_all(toys), tmp_path, executor=executor_choices()[executor], workers=2)
    result = run_quietly(config, client if executor == "dask" else None)
    expected, found = contents(reference.output), contents(result.output)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert result.output["cutflow"] == reference.output["cutflow"]
    assert without_times(result.output["report"]) == without_times(reference.output["report"])


@pytest.mark.parametrize("chunk_size", [50, 230, 451, 100_000])
def test_other_chunk_sizes_give_equal_entries_and_sums_within_rounding(
    chunk_size, reference, toys, tmp_path, run_quietly, contents
):
    config = toy_config(entries_of_all(toys), tmp_path, chunk_size=chunk_size)
    expected, found = contents(reference.output), contents(run_quietly(config).output)
    for channel, observable, kind in expected:
        one, other = (source[channel, observable, kind] for source in (expected, found))
        if kind == "entries":
            assert np.array_equal(one, other)
            continue
        for index, process in enumerate(("tt", "dy", "data")):
            scale = scale_by_hand(toys, process)
            sums = expected_sums(toys[process])[observable]
            bound = scale * sums["sum of |w|"] if kind == "value" else scale**2 * sums["sumw2"]
            assert np.all(np.abs(one[..., index, 0] - other[..., index, 0]) <= 1e-12 * bound)


def test_the_lumi_mask_applies_to_data_only_and_comes_first(toys, tmp_path, run_quietly):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"278900": [[1, 2], [5, 5], [9, 40]]}))
    config = toy_config(entries_of_all(toys, lumi_mask=str(golden)), tmp_path / "out")
    output = run_quietly(config).output
    certified = {1, 2, 5, *range(9, 41)}
    expected = expected_sums(
        toys["data"], lambda toy, index: int(toy.columns["luminosityBlock"][index]) in certified
    )
    cutflow = output["cutflow"]["SR"]
    assert cutflow["steps"][:3] == ["all", "lumi mask", "MET > 20 GeV"]
    assert cutflow["entries"]["data"][:2] == [260, expected["steps"]["all"][0]]
    assert cutflow["entries"]["tt"][0] == cutflow["entries"]["tt"][1] == 680
    entries = output["entries"]["all"]["ht"][{"process": "data"}].view(flow=True)
    assert np.array_equal(entries, expected["ht"]["entries"])


def test_without_histogramming_there_is_the_cutflow_only(reference, toys, tmp_path, run_quietly):
    output = run_quietly(toy_config(entries_of_all(toys), tmp_path, run_histogramming=False)).output
    assert output["cutflow"] == reference.output["cutflow"]
    assert output["histograms"] == output["entries"] == {}


def test_the_filter_on_channels_leaves_out_the_others(reference, toys, tmp_path, run_quietly, contents):
    output = run_quietly(toy_config(entries_of_all(toys), tmp_path, channels=["all"])).output
    assert list(output["histograms"]) == list(output["cutflow"]) == ["all"]
    expected = contents(reference.output)
    assert all(np.array_equal(array, expected[key]) for key, array in contents(output).items())


def test_the_filter_on_processes_leaves_out_the_others(reference, toys, tmp_path, run_quietly):
    output = run_quietly(toy_config(entries_of_all(toys), tmp_path, processes=["dy"])).output
    histogram = output["histograms"]["all"]["ht"]
    assert list(histogram.axes["process"]) == ["dy"]
    expected = reference.output["histograms"]["all"]["ht"][{"process": "dy"}]
    assert np.array_equal(histogram[{"process": "dy"}].view(flow=True), expected.view(flow=True))


def test_an_executor_that_does_not_exist_is_an_error_that_lists_those_that_do():
    with pytest.raises(
        ConfigError, match="general.executor: expected 'iterative', 'futures', 'dask' or a coffea"
    ):
        make_executor("slurm", workers=None, client=None, modules=())


def test_an_executor_of_coffea_is_left_as_it_was(toys, tmp_path, run_quietly):
    executor = IterativeExecutor(status=False, desc="mine")
    run_quietly(load_config(toy_config(entries_of_all(toys), tmp_path, executor=executor)))
    assert executor.desc == "mine"


def test_files_that_two_datasets_share_are_told_before_and_after(toys, tmp_path, caplog):
    config = toy_config([dataset("tt", *toys["tt"]), dataset("dy", *toys["tt"][1:], *toys["dy"])], tmp_path)
    report = AnalysisRunner(load_config(config), progress=False).histogram().report
    (note,) = [note for note in report.notes if "count in both" in note]
    assert note == f"{toys['tt'][1].path} of dy is in tt too: events count in both"
    assert note in caplog.messages


def test_simulation_that_is_called_data_is_told(toys, tmp_path, caplog):
    config = toy_config([dataset("data", *toys["tt"], xsec=None), dataset("dy", *toys["dy"])], tmp_path)
    AnalysisRunner(load_config(config), progress=False).histogram()
    assert "data is data, and its files have genWeight: are they simulation?" in caplog.messages
    assert not [text for text in caplog.messages if text.startswith("dy is data")]
