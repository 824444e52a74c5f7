"""Files of which one replica is bad: the others serve, chunk by chunk, and the report says so."""

from __future__ import annotations

import os
import shutil

import awkward as ak
import pytest

from intccms.analysis import AnalysisRunner
from intccms.datasets import SourceFile, open_source
from intccms.datasets.reading import broken_file
from intccms.errors import BrokenFileError, FunctorError
from intccms.schema import WorkerEval, load_config
from tests.analysis.breaking import assert_same_bits, bits
from tests.analysis.toys import dataset, toy_config, write_toy
from tests.nanofiles import corrupt_basket, corrupt_row_group

NAME = "/store/tt.root"
CHUNKS, EVENTS, SIZE = 4, 360, 90


@pytest.fixture
def replicas(tmp_path):
    """Return two folders with the same file in them."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        (folder / "store").mkdir(parents=True)
    toy = write_toy(folders[0] / NAME[1:], EVENTS)
    shutil.copy(toy.path, folders[1] / NAME[1:])
    return toy, folders


def run(replicas, output, folders, **general):
    toy, _ = replicas
    redirectors = [f"file://{folder}" for folder in folders]
    one = {**dataset("tt", toy), "files": [NAME], "redirector": redirectors}
    general = {"executor": "iterative", **general}
    config = load_config(toy_config([one], output, chunk_size=SIZE, **general))
    return AnalysisRunner(config, progress=False).histogram()


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_where_a_basket_is_corrupt_the_other_replica_serves_and_that_is_noted(replicas, tmp_path, executor):
    _, (first, second) = replicas
    run(replicas, tmp_path / "good", [second])
    corrupt_basket(first / NAME[1:], "Jet_pt", 2)
    result = run(replicas, tmp_path / "out", [first, second], executor=executor, save_skimmed_output=True)
    assert result.succeeded
    assert_same_bits(bits(tmp_path / "out"), bits(tmp_path / "good"))
    (note,) = [one for one in result.report.notes if "replica" in one]
    assert note.startswith(
        f"tt: 1 chunk could not be read from file://{first}{NAME} and came from another replica ("
    )
    assert "Jet_pt, entries 180 to 270" in note
    on_skims = run(replicas, tmp_path / "out", [first], use_skimmed_input=True)
    assert on_skims.succeeded
    assert_same_bits(bits(tmp_path / "out"), bits(tmp_path / "good"))


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_a_parquet_file_that_breaks_while_it_is_read_is_followed_by_its_next_replica(
    replicas, tmp_path, executor
):
    toy, folders = replicas
    paths = [folder / "store/tt.parquet" for folder in folders]
    content = ak.zip({name: ak.Array(values) for name, values in toy.columns.items()}, depth_limit=1)
    for path in paths:
        ak.to_parquet(content, str(path), row_group_size=SIZE, extensionarray=False)
        os.utime(path, ns=(10**18, 10**18 + len(path.parts[-3])))  # times of replicas are not compared
    one = {
        **dataset("tt", toy),
        "files": ["/store/tt.parquet"],
        "redirector": [f"file://{one}" for one in folders],
    }

    def histograms(output):
        config = load_config(toy_config([one], output, chunk_size=SIZE, executor=executor))
        return AnalysisRunner(config, progress=False).histogram()

    assert histograms(tmp_path / "good").succeeded
    corrupt_row_group(paths[0], "Jet_pt", 2)
    result = histograms(tmp_path / "out")
    assert result.succeeded
    assert_same_bits(bits(tmp_path / "out"), bits(tmp_path / "good"))
    (note,) = [one for one in result.report.notes if "replica" in one]
    assert note.startswith(
        f"tt: 1 chunk could not be read from file://{paths[0]} and came from another replica ("
    )
    assert "cannot read Jet_pt" in note


def jets_with(jets, *, secret):
    """Observable that is given what only the worker knows."""
    assert secret
    return jets.pt + 0  # read here and now


def test_functions_with_values_of_the_worker_are_no_obstacle(replicas, tmp_path):
    toy, (first, second) = replicas
    corrupt_basket(first / NAME[1:], "Jet_pt", 2)
    one = {**dataset("tt", toy), "files": [NAME], "redirector": [f"file://{one}" for one in (first, second)]}
    config = toy_config([one], tmp_path / "out", chunk_size=SIZE)
    config["good_object_masks"] = []
    observable = {
        "name": "pt",
        "function": jets_with,
        "use": [("Jet", None)],
        "static_kwargs": {"secret": WorkerEval(lambda: "s" * 9)},
        "binning": [0.0, 500.0],
    }
    config["ghost_observables"] = []
    config["channels"] = [{"name": "all", "observables": [observable]}]
    result = AnalysisRunner(config, progress=False).histogram()
    assert result.succeeded
    assert [one for one in result.report.notes if "replica" in one]


def test_where_all_replicas_are_corrupt_the_chunk_fails_and_the_others_are_done(replicas, tmp_path):
    _, (first, second) = replicas
    for folder in (first, second):
        corrupt_basket(folder / NAME[1:], "Jet_pt", 2)
    result = run(replicas, tmp_path / "out", [first, second])
    (failure,) = result.report.failures
    assert (failure.start, failure.stop) == (180, 270)
    assert f"cannot read Jet_pt, entries 180 to 270 of file://{second}{NAME}" in failure.reason
    (one,) = result.report.datasets
    assert (one.processed, one.entries) == (EVENTS - SIZE, EVENTS)


def test_a_file_that_broke_is_opened_anew_for_the_next_chunk(replicas, tmp_path):
    _, (first, _) = replicas
    corrupt_basket(first / NAME[1:], "Jet_pt", 3)
    file = SourceFile(NAME, (f"file://{first}{NAME}",))
    before = open_source(file, "Events")
    result = run(replicas, tmp_path / "out", [first])
    assert [one.start for one in result.report.failures] == [270]
    assert open_source(file, "Events") is not before


def test_a_replica_that_cannot_be_opened_any_more_is_noted_too(replicas, tmp_path):
    _, (first, second) = replicas
    config = [first, second]
    run(replicas, tmp_path / "out", config, run_processor=False)  # the metadata come from the first
    path = first / NAME[1:]
    path.write_bytes(path.read_bytes()[:1000])
    result = run(replicas, tmp_path / "out", config)
    assert result.succeeded


def test_an_error_of_reading_names_the_file_and_an_error_in_a_function_does_not(replicas):
    _, (_, second) = replicas
    path = second / NAME[1:]
    corrupt_basket(path, "Jet_pt", 0)
    source = open_source(SourceFile("a", (str(path),)), "Events")
    events = source.events(source.branches, 0, 90, {})
    with pytest.raises(BrokenFileError, match="cannot read Jet_pt, entries 0 to 90 of") as caught:
        events.Jet.pt + 1
    assert broken_file(caught.value).url == str(path)
    with pytest.raises(BrokenFileError, match="cannot read entries 0 to 90 of"):
        source.arrays(["Jet_pt"], 0, 90)
    assert broken_file(FunctorError("cannot read Jet_pt")) is None
