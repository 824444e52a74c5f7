"""Skims in three formats on three kinds of storage: one contract, and only ``output_dir`` differs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from intccms.analysis import AnalysisRunner
from intccms.errors import ConfigError
from intccms.schema import WorkerEval, load_config
from intccms.utils.storage import Storage
from tests.analysis.breaking import assert_same_bits, bits
from tests.analysis.modes import (
    ANEW_IN_ONE_PASS,
    CHUNKS,
    FORMATS,
    ON_SKIMS,
    ON_THE_FLY,
    ONE_PASS,
    SKIM_ONLY,
    SKIM_THEN_ANALYSE,
    analysis_in,
    pack,
)
from tests.analysis.toys import write_toys


@dataclass(frozen=True)
class Place:
    """Where skims are kept."""

    url: str
    files: Path
    """The same folder, as it lies on this machine."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return write_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="module")
def direct(toys, tmp_path_factory):
    """Bits of the analysis that reads the source and filters on the fly."""
    folder = tmp_path_factory.mktemp("direct")
    assert small_analysis("parquet", toys, folder).run(ON_THE_FLY)[0].succeeded
    return bits(folder / "out")


def small_analysis(form, toys, folder):
    """Return the analysis with one channel: skims are the same, and there are many runs."""
    analysis = analysis_in(form, toys, folder)
    analysis.config["channels"] = [one for one in analysis.config["channels"] if one["name"] == "all"]
    return analysis


@pytest.fixture(params=["local", "s3", "root"])
def place(request, tmp_path, new_name, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "local":
        return Place(str(tmp_path / "skims"), tmp_path / "skims")
    server = request.getfixturevalue({"s3": "s3_server", "root": "xrootd_server"}[request.param])
    if request.param == "s3":
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
    files = server.files / "bucket" if request.param == "s3" else server.files
    return Place(f"{server.url}/{new_name}", files / new_name)


@pytest.fixture(params=FORMATS)
def analysis(request, place, toys, tmp_path):
    analysis = small_analysis(request.param, toys, tmp_path)
    analysis.config["preprocess"]["skimming"]["output"]["output_dir"] = place.url
    analysis.skims = place.files
    return analysis


def names_in(place, dataset="tt"):
    """Return what there is of a dataset, but its manifest."""
    return sorted(set(Storage(place.url).sizes(dataset)) - {f"{dataset}/manifest.json"})


def in_manifest(place, dataset="tt"):
    manifest = json.loads(Storage(place.url).get(f"{dataset}/manifest.json"))
    return [part for file in manifest["files"] for part in file["parts"]]


def test_every_mode_gives_the_same_bits_and_nothing_is_done_twice(analysis, place, direct):
    for number, switches in enumerate((ONE_PASS, ON_SKIMS, SKIM_THEN_ANALYSE, ANEW_IN_ONE_PASS)):
        result, _ = analysis.run(switches, f"out{number}")
        assert result.succeeded
        assert_same_bits(bits(analysis.folder / f"out{number}"), direct)
    assert {name: len(names_in(place, name)) for name in CHUNKS} == CHUNKS
    result, calls = analysis.run(ONE_PASS, "out0")
    assert (result.succeeded, calls) == (True, 0)
    result, calls = analysis.run(ON_SKIMS, "without copies", read_from_cache=False)
    assert (result.succeeded, calls) == (True, 0)
    assert_same_bits(bits(analysis.folder / "without copies"), direct)


def test_parts_can_be_put_together(analysis, place, direct):
    assert analysis.run(SKIM_ONLY)[0].succeeded
    assert pack(analysis, 10_000) == {name: (count, 1) for name, count in CHUNKS.items()}
    assert len(names_in(place)) == 1
    assert analysis.run(ON_SKIMS, "on skims")[0].succeeded
    assert_same_bits(bits(analysis.folder / "on skims"), direct)
    assert analysis.run(SKIM_ONLY)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("analysis", ["parquet"], indirect=True)
def test_processes_write_and_read_them(analysis, direct):
    workers = {"executor": "futures", "workers": 2}
    assert analysis.run(SKIM_ONLY, **workers)[0].succeeded
    assert analysis.run(ON_SKIMS, "on skims", **workers)[0].succeeded
    assert_same_bits(bits(analysis.folder / "on skims"), direct)


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_workers_evaluate_credentials_of_their_own(
    executor, s3_server, new_name, toys, tmp_path, direct, monkeypatch
):
    options = s3_server.options()
    for name in ("key", "secret"):
        monkeypatch.setenv(f"MY_{name.upper()}", options[name])
    options |= {
        "key": WorkerEval(lambda: os.environ["MY_KEY"]),
        "secret": WorkerEval(lambda: os.environ["MY_SECRET"]),
    }
    analysis = small_analysis("parquet", toys, tmp_path)
    analysis.config["preprocess"]["skimming"]["output"] |= {
        "output_dir": f"{s3_server.url}/{new_name}",
        "to_kwargs": {"storage_options": options},
        "from_kwargs": {"storage_options": options},
    }
    workers = {"executor": executor, "workers": 2, "cache_dir": str(tmp_path / "cache")}
    assert analysis.run(SKIM_ONLY, **workers)[0].succeeded
    assert analysis.run(ON_SKIMS, "on skims", **workers)[0].succeeded
    assert_same_bits(bits(tmp_path / "on skims"), direct)
    secret = os.environ["MY_SECRET"].encode()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert not [path for path in written if secret in path.read_bytes()]


def test_other_chunks_replace_them_and_other_filters_are_refused(analysis, place):
    analysis.run(SKIM_ONLY)
    before = set(names_in(place))
    skimming = analysis.config["preprocess"]["skimming"]
    skimming["chunk_size"] = 200
    assert analysis.run(SKIM_ONLY, "larger chunks")[0].succeeded
    assert len(names_in(place)) == 5 < len(before)
    assert sorted(f"tt/{part['path']}" for part in in_manifest(place)) == names_in(place)
    skimming["static_kwargs"] = {**skimming["static_kwargs"], "seconds": 1e-6}
    with pytest.raises(
        ConfigError,
        match=r"does not fit the configuration: preprocess\.skimming\.static_kwargs\.seconds is 1e-06",
    ):
        analysis.run(ON_SKIMS, "refused")


def test_parts_that_are_spoilt_cost_their_chunks_and_no_number_is_wrong(analysis, place, toys, direct):
    analysis.run(SKIM_ONLY)
    storage = Storage(place.url)
    damaged, removed = in_manifest(place, "tt")[0], in_manifest(place, "dy")[0]
    name = f"tt/{damaged['path']}"
    content = bytearray(storage.get(name))
    content[len(content) // 2] ^= 0xFF
    storage.put(name, bytes(content))
    storage.delete([f"dy/{removed['path']}"])
    report = analysis.run(ON_SKIMS, "spoilt")[0].report
    failures = {failure.dataset: failure for failure in report.failures}
    assert len(report.failures) == 2
    assert "its checksum is" in failures["tt"].reason
    assert "gone" in failures["dy"].reason
    for dataset, part in (("tt", damaged), ("dy", removed)):
        assert (failures[dataset].start, failures[dataset].stop) == (part["start"], part["stop"])
    weights = toys["tt"][0].weights
    lost = math.fsum(weights[damaged["start"] : damaged["stop"]]) / math.fsum(weights)
    expected = sum(toy.generated_sumw for toy in toys["tt"]) - lost * toys["tt"][0].generated_sumw
    (tt,) = [one for one in report.datasets if one.name == "tt"]
    assert tt.sumw == pytest.approx(expected, rel=1e-12), "the manifest knows the weights of what is lost"
    assert {one.name: one.processed for one in report.datasets} == {
        "tt": 680 - (damaged["stop"] - damaged["start"]),
        "dy": 310 - (removed["stop"] - removed["start"]),
        "data": 260,
    }
    anew = 2 if place.url == str(place.files) else 1  # a local file also tells when it was changed
    assert analysis.run(SKIM_ONLY)[1] == anew, "that a part is gone is seen in a listing"
    assert analysis.run(SKIM_ONLY, run_skimming=True)[0].succeeded
    assert analysis.run(ON_SKIMS, "spoilt")[0].succeeded
    assert_same_bits(bits(analysis.folder / "spoilt"), direct)


def test_what_the_skim_loses_can_be_looked_for(analysis, toys):
    analysis.run(SKIM_ONLY)
    general = {**analysis.config["general"], "output_dir": str(analysis.folder / "out")}
    runner = AnalysisRunner(load_config({**analysis.config, "general": general}), progress=False)
    found = {one.name: one for one in runner.check_skim(fraction=1.0).datasets}
    for name, files in toys.items():
        selected = [_selected(toy) for toy in files]
        kept = [toy.columns["MET_pt"] > 20 for toy in files]
        one = found[name]
        assert one.unread == []
        assert one.events == sum(len(toy) for toy in files)
        assert one.kept == sum(np.count_nonzero(passed) for passed in kept)
        assert one.selected == sum(np.count_nonzero(chosen) for chosen in selected)
        assert one.lost == sum(
            np.count_nonzero(chosen & ~passed) for chosen, passed in zip(selected, kept, strict=True)
        )
        assert one.lost > 0


def _selected(toy):
    """Return which events the channel `all` selects: those with a good muon. Independent of the analysis."""
    pt, eta = (ak.Array(toy.columns[f"Muon_{name}"]) for name in ("pt", "eta"))
    return ak.to_numpy(ak.any((pt > 15) & (abs(eta) < 2.4), axis=1))
