"""Chunks that do not fit into memory run in pieces, whose sum stands for the whole chunk."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from intccms.analysis import AnalysisRunner
from intccms.analysis.one_chunk import OneChunk
from intccms.analysis.results import SMALLEST_PIECE, Chunk, PartTarget, Work
from intccms.datasets import SourceFile
from intccms.facilities.local import ALLOWED_FAILURES
from intccms.schema import load_config
from tests.analysis.breaking import calls_in, note, start
from tests.analysis.toys import dataset, toy_config, write_toy

FORMATS = ["parquet", "ttree", "rntuple"]
EVENTS = 8_000
PER_EVENT = 100_000
"""Bytes that the greedy function takes for each event."""


def greedy_skim(met: Any, events: Any, *, calls: str, holding: float = 0.0) -> dict[str, Any]:
    """Skim of the toys that takes memory for each event, page by page, and notes its calls."""
    note(calls, events)
    room = np.zeros(len(met) * PER_EVENT, dtype=np.uint8)
    room[::4096] = 1
    time.sleep(holding)
    return {"MET > 20 GeV": met > 20}


def killed_skim(met: Any, events: Any, *, calls: str, largest: int) -> dict[str, Any]:
    """Skim of the toys whose process is killed if there are many events, as the system does when memory is short."""
    note(calls, events)
    if len(met) > largest:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"MET > 20 GeV": met > 20}


def plain_skim(met: Any, events: Any) -> dict[str, Any]:
    """Return the same events as the others."""
    del events
    return {"MET > 20 GeV": met > 20}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("large") / "large.root", EVENTS, 3)


def config_of(toy, folder, function, **kwargs):
    config = toy_config([dataset("tt", toy)], folder / "out", chunk_size=EVENTS)
    config["preprocess"]["skimming"] |= {
        "function": function,
        "use": [("MET", "pt"), ("event", "event")],
        "static_kwargs": kwargs,
    }
    return config


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    """What comes out of one chunk."""
    folder = tmp_path_factory.mktemp("whole")
    result = AnalysisRunner(config_of(toy, folder, plain_skim), progress=False).histogram()
    assert result.succeeded
    return result.output


def assert_rounding_only(output, whole):
    """Unweighted entries are equal, and weights within 1e-12 of the sums of a bin's squares and absolute values."""
    for channel, observables in whole["histograms"].items():
        for name, expected in observables.items():
            found = output["histograms"][channel][name]
            counts, all_counts = output["entries"][channel][name], whole["entries"][channel][name]
            assert np.array_equal(counts.values(flow=True), all_counts.values(flow=True))
            assert all_counts.sum(flow=True) > 0
            got, want = found.view(flow=True), expected.view(flow=True)
            scale = np.sqrt(want.variance * all_counts.view(flow=True)[..., np.newaxis])
            assert np.all(np.abs(got.value - want.value) <= 1e-12 * scale)
            assert np.all(np.abs(got.variance - want.variance) <= 1e-12 * want.variance)


def assert_noted(result):
    (one,) = result.report.datasets
    assert one.processed == EVENTS
    assert (
        "tt: 1 chunk did not fit into the memory of a worker and ran in pieces; sums differ from those of whole "
        "chunks by rounding only"
    ) in result.report.notes


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("data", [False, True], ids=["simulation", "data"])
def test_the_sum_of_pieces_is_the_chunk_and_so_is_its_skim_part(form, data, tmp_path):
    toy = write_toy(tmp_path / "toy.root", 1_000, 5, data=data)
    source = dataset("toy", toy, xsec=None) if data else dataset("toy", toy)
    config = toy_config([source], tmp_path / "out")
    config["preprocess"]["skimming"]["output"] = {"format": form}
    loaded = load_config(config)
    channels = tuple(one.name for one in loaded.selected_channels())
    file = SourceFile(str(toy.path), (str(toy.path),))
    chunk = Chunk("toy", 0, file, "Events", None, 100, 1_000)
    results = {}
    for pieces in (1, 7):
        one = OneChunk(loaded, str(tmp_path / f"skims{pieces}"))
        target = PartTarget(f"part.{'parquet' if form == 'parquet' else 'root'}", None, "")
        record, part = one.process(Work(chunk, channels, None, target, pieces), [])
        on_skim = one.process(Work(Chunk(*_of(chunk), part=part), channels, None, None, pieces), [])
        results[pieces] = (record, part, on_skim.record)
    (record, part, on_skim), (record_7, part_7, on_skim_7) = results[1], results[7]
    assert (record.split, record_7.split, on_skim_7.split) == (0, 1, 1)
    assert part_7.checksum == part.checksum
    assert (part_7.kept, part_7.lumis) == (part.kept, part.lumis)
    assert [step[:2] for step in part_7.steps] == [step[:2] for step in part.steps]
    for one, expected in ((record_7, record), (on_skim, record), (on_skim_7, record)):
        assert (one.entries, one.lumis) == (expected.entries, expected.lumis)
        assert one.sumw == pytest.approx(expected.sumw, rel=1e-12)
        assert list(one.channels) == list(expected.channels)
        for name, content in expected.channels.items():
            found = one.channels[name]
            assert np.array_equal(found.index, content.index)
            assert np.array_equal(found.entries, content.entries)
            assert found.sumw == pytest.approx(content.sumw, rel=1e-9)
            assert found.sumw2 == pytest.approx(content.sumw2, rel=1e-12)
            for cutflow, steps in ((found.cutflow, content.cutflow), (found.common, content.common)):
                assert list(cutflow.steps) == list(steps.steps)
                assert not cutflow.mixed
                for step, (entries, sumw) in steps.steps.items():
                    assert cutflow.steps[step] == (entries, pytest.approx(sumw, rel=1e-9))


def _of(chunk):
    return (chunk.dataset, chunk.file_index, chunk.file, chunk.tree_name, chunk.uuid, chunk.start, chunk.stop)


CONFIG = """
from tests.analysis.test_short_of_memory import greedy_skim
from tests.analysis.toys import Toy, dataset, toy_config

config = toy_config([{dataset!r}], {output!r}, chunk_size={events})
config["preprocess"]["skimming"] |= {{
    "function": greedy_skim,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"calls": {calls!r}}},
}}
"""


def little_room():
    """Leave this process half of what the greedy function takes for all events."""
    import pyarrow.parquet  # noqa: F401 - what is loaded later takes room as well

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
    resource.setrlimit(resource.RLIMIT_AS, (used + EVENTS * PER_EVENT * 6 // 10,) * 2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit of the address space does not bind")
def test_an_allocation_that_fails_splits_the_chunk_in_the_same_worker(toy, tmp_path, whole):
    calls, path = tmp_path / "calls", tmp_path / "greedy.py"
    path.write_text(
        CONFIG.format(
            dataset=dataset("tt", toy), output=str(tmp_path / "out"), calls=str(calls), events=EVENTS
        )
    )
    status, text = start(path, prepare=little_room).wait()
    assert status == 0, text
    begun = calls_in(calls)
    assert len(begun) > 4, "how many pieces are enough depends on what the process holds already"
    result = AnalysisRunner(load_config(str(path)), progress=False).histogram()
    assert calls_in(calls) == begun, "it is done"
    assert_rounding_only(result.output, whole)
    assert_noted(result)


@pytest.mark.slow
def test_a_worker_that_is_killed_splits_its_chunk_until_it_fits(toy, tmp_path, whole):
    calls = tmp_path / "calls"
    config = config_of(toy, tmp_path, killed_skim, calls=str(calls), largest=1_000)
    config["general"] |= {"executor": "futures", "workers": 1}
    result = AnalysisRunner(config, progress=False).histogram()
    # in its group, alone, in 4 pieces of which the first one kills, in 16 pieces
    assert len(calls_in(calls)) == 1 + 1 + 1 + 16
    assert_rounding_only(result.output, whole)
    assert_noted(result)


@pytest.mark.slow
def test_a_worker_that_is_killed_whatever_the_size_is_given_up(toy, tmp_path):
    calls = tmp_path / "calls"
    config = config_of(toy, tmp_path, killed_skim, calls=str(calls), largest=0)
    config["general"] |= {"executor": "futures", "workers": 1}
    result = AnalysisRunner(config, progress=False).histogram()
    assert EVENTS // SMALLEST_PIECE == 16
    assert len(calls_in(calls)) == 1 + 1 + 1 + 1
    (failure,) = result.report.failures
    assert "its worker process died" in failure.reason
    assert (failure.start, failure.stop) == (0, EVENTS)


@pytest.mark.slow
def test_a_dask_worker_that_exceeds_its_memory_splits_its_chunk(toy, tmp_path, whole):
    calls = tmp_path / "calls"
    config = config_of(toy, tmp_path, greedy_skim, calls=str(calls), holding=1.0)
    config["general"]["executor"] = "dask"
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="850MB", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        result = AnalysisRunner(config, client, progress=False).histogram()
    assert len(calls_in(calls)) == 1 + 1 + 4
    assert_rounding_only(result.output, whole)
    assert_noted(result)
