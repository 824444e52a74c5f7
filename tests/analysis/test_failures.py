"""What goes wrong costs only its own chunk, and is reported: bad files, user code that raises, workers that die."""

from __future__ import annotations

import json
import math
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from coffea.processor import FuturesExecutor

from intccms.analysis import AnalysisRunner
from intccms.cli import main
from intccms.errors import MissingBranchError
from tests.analysis.toys import (
    dataset,
    expected_sums,
    nan_for_low,
    observable_that_kills,
    observable_that_raises,
    toy_config,
    write_toy,
)
from tests.nanofiles import html_named_root, truncated_copy, write_without_events

FATAL_EVENT = 1_233
"""Number of an event in the third of five chunks (entries 180 to 270) of the first file of ``tt``."""

LOST = range(180, 270)
XSEC, LUMI = 10.0, 50.0


def config_with(function, toys, output, **general):
    config = toy_config([dataset("tt", *toys["tt"], xsec=XSEC)], output, chunk_size=100, **general)
    config["channels"][1]["observables"][0] |= {
        "function": function,
        "use": [("event", "ht"), ("event", "event")],
        "static_kwargs": {"number": FATAL_EVENT},
    }
    config["baseline_selection"] = None  # so that the chunk holds the event, whatever its objects
    config["preprocess"]["skimming"] = {"chunk_size": 100}
    return config


def failures_of(report):
    """The failed chunks of a report as JSON has them, one by one."""
    groups = report["failures"]
    return [
        {**chunk, "reason": group["reason"], "traceback": group["traceback"]}
        for group in groups
        for chunk in group["chunks"]
    ]


def assert_lost_one_chunk_only(result, toys) -> None:
    report = result.output["report"]
    (failure,) = failures_of(report)
    assert (failure["dataset"], failure["start"], failure["stop"]) == ("tt", LOST.start, LOST.stop)
    assert failure["file"] == str(toys["tt"][0].path)
    assert not report["complete"]
    assert not result.succeeded
    assert report["datasets"][0]["processed"] == 680 - len(LOST)
    assert report["coverage"] == pytest.approx((680 - len(LOST)) / 680)
    # by hand: the first file counts with the share of its generator weight that was processed
    first, second = toys["tt"]
    kept = 1 - math.fsum(first.weights[LOST.start : LOST.stop]) / math.fsum(first.weights)
    scale = XSEC * LUMI / (first.generated_sumw * kept + second.generated_sumw)
    assert report["datasets"][0]["scale"] == pytest.approx(scale, rel=1e-12)
    # in 'all' nothing is cut, so the sum over all bins is that of the weights
    weights = [w for i, w in enumerate(first.weights) if i not in LOST] + second.weights.tolist()
    total = result.output["histograms"]["all"]["ht"].sum(flow=True)
    assert total.value == pytest.approx(scale * math.fsum(weights), rel=1e-10)
    assert result.output["entries"]["all"]["ht"].sum(flow=True) == len(weights)


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow), "dask"])
def test_an_exception_in_user_code_costs_its_chunk_only(executor, toys, tmp_path, client, run_quietly):
    config = config_with(observable_that_raises, toys, tmp_path, executor=executor, workers=2)
    result = run_quietly(config, client if executor == "dask" else None)
    assert_lost_one_chunk_only(result, toys)
    (failure,) = failures_of(json.loads((tmp_path / "report.json").read_text()))
    assert re.fullmatch(
        r"FunctorError: channels.all.observables.ht: \S+ \(\w+.py:\d+\) raised RuntimeError: event 1233 is beyond me",
        failure["reason"],
    )
    assert "in raises_for" in failure["traceback"]


def assert_lost_with_its_worker(result, toys) -> None:
    assert_lost_one_chunk_only(result, toys)
    assert "its worker process died" in failures_of(result.output["report"])[0]["reason"]


@pytest.mark.slow
def test_a_process_that_dies_costs_its_chunk_only(toys, tmp_path, run_quietly):
    config = config_with(observable_that_kills, toys, tmp_path, executor="futures", workers=2)
    assert_lost_with_its_worker(run_quietly(config), toys)


def test_a_dask_worker_that_dies_costs_its_chunk_only(toys, tmp_path, client, run_quietly):
    config = config_with(observable_that_kills, toys, tmp_path, executor="dask")
    assert_lost_with_its_worker(run_quietly(config, client), toys)


@pytest.mark.slow
def test_a_worker_of_a_coffea_executor_that_dies_costs_its_chunk_only(toys, tmp_path, run_quietly):
    spawn = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))
    executor = FuturesExecutor(workers=1, status=False, pool=spawn, retries=0)
    config = config_with(observable_that_kills, toys, tmp_path, executor=executor)
    config["preprocess"]["skimming"]["chunk_size"] = 100
    result = run_quietly(config)
    assert_lost_one_chunk_only(result, toys)
    assert "FuturesExecutor" in failures_of(result.output["report"])[0]["reason"]


BAD_FILES = {
    "is a web page": html_named_root,
    "has no events": write_without_events,
    "was truncated": None,
    "is absent": lambda path: path,
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_read_costs_itself_only(case, toys, tmp_path, run_quietly):
    bad = tmp_path / "bad.root"
    if case == "was truncated":
        truncated_copy(toys["tt"][0].path, bad)
    else:
        BAD_FILES[case](bad)
    config = toy_config([dataset("tt", *toys["tt"]), dataset("dy", *toys["dy"])], tmp_path / "out")
    config["datasets"]["datasets"][0]["files"].insert(1, str(bad))
    result = run_quietly(config)
    report = result.output["report"]
    (failure,) = failures_of(report)
    assert (failure["dataset"], failure["file"], failure["start"]) == ("tt", str(bad), None)
    assert failure["reason"]
    assert not result.succeeded
    # one of three files of unknown length counts as an average one
    assert [one["coverage"] for one in report["datasets"]] == pytest.approx([2 / 3, 1.0])
    expected = expected_sums(toys["tt"])["ht"]
    entries = result.output["entries"]["all"]["ht"][{"process": "tt"}].view(flow=True)
    assert np.array_equal(entries, expected["entries"])
    scale = XSEC * LUMI / sum(toy.generated_sumw for toy in toys["tt"])
    assert report["datasets"][0]["scale"] == pytest.approx(scale, rel=1e-14)


def test_a_file_that_was_replaced_after_its_metadata_were_read_is_a_failure(tmp_path, run_quietly):
    toy = write_toy(tmp_path / "tt.root", 50, 1)
    runner = AnalysisRunner(toy_config([dataset("tt", toy)], tmp_path / "out"), progress=False)
    runner.metadata()
    write_toy(tmp_path / "tt.root", 50, 2)
    (failure,) = failures_of(runner.histogram().output["report"])
    assert "was replaced since its metadata were read" in failure["reason"]


def test_a_branch_that_one_dataset_lacks_is_reported_with_what_reads_it(toys, tmp_path, run_quietly):
    ones = np.ones(40, dtype=np.float32)
    other = write_toy(tmp_path / "dy.root", 40, 9, extra={"PuppiMET_pt": ones, "PuppiMET_phi": ones})
    config = toy_config([dataset("tt", *toys["tt"]), dataset("dy", other)], tmp_path / "out")
    config["channels"][1]["observables"][0]["use"] = [("PuppiMET", "pt")]
    result = run_quietly(config)
    reasons = {one["reason"] for one in failures_of(result.output["report"])}
    assert {one["dataset"] for one in failures_of(result.output["report"])} == {"tt"}
    for reason in reasons:
        assert reason.startswith(f"{MissingBranchError.__name__}: dataset 'tt', file ")
        assert "no branch PuppiMET_pt (read by channels.all.observables.ht)" in reason
    entries = result.output["entries"]["all"]["ht"]
    assert entries[{"process": "tt"}].sum(flow=True) == 0
    assert entries[{"process": "dy"}].sum(flow=True) > 0


@pytest.mark.parametrize(("min_coverage", "succeeds"), [(1.0, False), (0.9, False), (0.8, True)])
def test_less_coverage_than_asked_for_is_no_success(min_coverage, succeeds, toys, tmp_path, run_quietly):
    # 590 of 680 entries are processed: 0.868
    config = config_with(observable_that_raises, toys, tmp_path, min_coverage=min_coverage)
    assert run_quietly(config).succeeded is succeeds


@pytest.mark.parametrize(("lost", "status"), [(True, 1), (False, 0)])
def test_the_exit_status_tells_whether_something_is_missing(lost, status, toys, tmp_path, clean_imports):
    number = FATAL_EVENT if lost else -1
    (tmp_path / "failing_config.py").write_text(
        "from tests.analysis.toys import dataset, observable_that_raises, toy_config\n"
        "config = toy_config([], 'unused')\n"
        f"config['datasets']['datasets'] = [{{'name': 'tt', 'files': [{str(toys['tt'][0].path)!r}],"
        " 'cross_sections': [1.0]}]\n"
        f"config['general']['output_dir'] = {str(tmp_path / 'out')!r}\n"
        "config['baseline_selection'] = None\n"
        "config['preprocess'] = {}\n"
        "config['channels'][1]['observables'][0] |= {'function': observable_that_raises,"
        f" 'use': [('event', 'ht'), ('event', 'event')], 'static_kwargs': {{'number': {number}}}}}\n"
    )
    result = CliRunner().invoke(
        main, ["run", str(tmp_path / "failing_config.py"), "--no-progress", "general.run_histogramming=true"]
    )
    assert result.exit_code == status, result.output
    assert ("is beyond me" in result.output) is lost


def test_nan_is_reported_and_in_no_bin(toys, tmp_path, run_quietly):
    config = toy_config([dataset("tt", *toys["tt"]), dataset("data", *toys["data"], xsec=None)], tmp_path)
    config["channels"][1]["observables"][0] |= {"function": nan_for_low}
    report = run_quietly(config).output["report"]
    ht = [expected_sums(toys[name], lambda toy, index: True) for name in ("tt", "data")]
    baseline = sum(one["steps"]["baseline_selection"][0] for one in ht)
    # jets of the sum have at least 30 GeV each; those below 60 GeV are in the first bin (0 to 100) with others
    entries = json.loads((tmp_path / "report.json").read_text())["nan"]
    assert report["nan"] == entries
    assert list(entries) == ["all/ht"]
    filled = AnalysisRunner(toy_config(config["datasets"]["datasets"], tmp_path), progress=False)
    output = filled.result().output["entries"]["all"]["ht"]
    assert entries["all/ht"] == baseline - output.sum(flow=True)


def test_triggers_that_a_file_lacks_count_as_false_and_are_noted(toys, tmp_path, run_quietly):
    without = write_toy(tmp_path / "old.root", 80, 6, triggers=("Mu50",))
    config = toy_config([dataset("tt", toys["tt"][1], without)], tmp_path / "out")
    result = run_quietly(config)
    assert result.succeeded
    assert result.output["report"]["notes"] == (
        "tt: HLT_IsoMu24 absent from its files or some of them, and counted as False there",
    )
    expected = expected_sums([toys["tt"][1], without])
    assert result.output["cutflow"]["SR"]["entries"]["tt"] == [one for one, _ in expected["steps"].values()]
