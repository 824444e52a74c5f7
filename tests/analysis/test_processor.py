"""The processor on one chunk: ghosts, WorkerEval, errors of user functions; and which branches it reads."""

from __future__ import annotations

import re
from dataclasses import replace

import awkward as ak
import cloudpickle
import numpy as np
import pytest
from coffea.nanoevents.mapping import UprootSourceMapping
from coffea.processor import ProcessorABC

from intccms.analysis import AnalysisProcessor
from intccms.analysis.chunks import files_of, group_by_file
from intccms.analysis.ledger import Name, Place
from intccms.analysis.ledger.records import decode
from intccms.analysis.results import Chunk, ChunkFailure, DatasetSums, Receipt, Work
from intccms.analysis.tasks import ProcessChunks
from intccms.datasets import SourceFile
from intccms.metadata import DatasetMetadata, FileMetadata
from intccms.schema import load_config
from intccms.skimming import SkimPart
from intccms.utils.storage import Storage
from tests.analysis.toys import dataset, expected_sums, toy_config, write_toy


def same(values):
    return values


def chunk_of(toy, start: int = 0, stop: int | None = None, name: str = "tt") -> Chunk:
    stop = len(toy) if stop is None else stop
    return Chunk(name, 0, SourceFile(str(toy.path), (str(toy.path),)), "Events", None, start, stop)


def work_on(config, chunk: Chunk, *channels: str) -> Work:
    """Return the work on some channels of a chunk, or on all."""
    channels = channels or tuple(one.name for one in config.selected_channels())
    record = Name(chunk.dataset, "chunk", "file", f"{chunk.start}-{chunk.stop}", "batch")
    return Work(chunk, channels, record)


def task_of(config) -> ProcessChunks:
    return ProcessChunks(config, Place(Storage("nowhere"), "no token lies there"), skims="nowhere")


def summed(config, chunk: Chunk, *channels: str) -> DatasetSums:
    """Return the sums of a chunk, or raise what goes wrong."""
    loaded = load_config(config)
    return task_of(loaded).sums(work_on(loaded, chunk, *channels))


def processed(config, chunk: Chunk) -> Receipt | ChunkFailure:
    """Return what a worker returns that cannot reach the ledger."""
    loaded = load_config(config)
    (outcome,) = task_of(loaded)([work_on(loaded, chunk)])
    return outcome


@pytest.fixture
def config(toys, tmp_path):
    return toy_config([dataset("tt", *toys["tt"]), dataset("data", *toys["data"], xsec=None)], tmp_path)


def test_the_processor_is_one_of_coffea_and_its_task_survives_a_pickle(config, toys):
    loaded = load_config(config)
    processor = AnalysisProcessor(loaded)
    assert isinstance(processor, ProcessorABC)
    assert processor.config is loaded
    work = work_on(loaded, chunk_of(toys["tt"][0]))
    copy = cloudpickle.loads(cloudpickle.dumps(task_of(loaded)))
    first, second = (task.sums(work).histograms["all", "ht"].sumw for task in (task_of(loaded), copy))
    assert first.any()
    assert np.array_equal(first, second)


def test_a_worker_that_cannot_reach_the_ledger_sends_the_record_along(config, toys):
    chunk = chunk_of(toys["tt"][0], 0, 200)
    receipt = processed(config, chunk)
    assert isinstance(receipt, Receipt)
    ((name, content),) = receipt.contents
    assert (name, receipt.chunk) == (receipt.work.record, chunk)
    record = decode(content, str(name))
    expected = expected_sums([toys["tt"][0]], lambda _, index: index < 200)
    assert (record.entries, list(record.channels)) == (200, ["SR", "all"])
    assert record.channels["SR"].entries.sum() == expected["jet_met"]["entries"].sum() > 0
    assert record.channels["SR"].cutflow.steps["two jets"][0] == expected["steps"]["two jets"][0]


def test_a_part_of_a_file_gives_the_sums_of_that_part(config, toys):
    toy = toys["tt"][0]
    sums = summed(config, chunk_of(toy, 100, 300))
    expected = expected_sums([toy], lambda _, index: 100 <= index < 300)
    assert sums.entries == 200
    assert sums.sumw == pytest.approx(toy.weights[100:300].sum(), rel=1e-12)
    assert np.array_equal(sums.histograms["SR", "jet_met"].entries, expected["jet_met"]["entries"])
    steps = {**sums.common.steps, **sums.channels["SR"].steps}
    assert {name: entries for name, (entries, _) in steps.items()} == {
        name: entries for name, (entries, _) in expected["steps"].items()
    }


def test_data_have_unit_weights_and_no_sum_of_generator_weights(config, toys):
    sums = summed(config, chunk_of(toys["data"][0], name="data"))
    assert sums.sumw == 0.0
    content = sums.histograms["all", "ht"]
    assert np.array_equal(content.sumw, content.entries)


def read_branches(monkeypatch, config, chunk: Chunk, *channels: str) -> set[str]:
    """Return the branches of which baskets were read: all reading goes through this method of coffea's mapping."""
    original, log = UprootSourceMapping.extract_column, []

    def logged(self, columnhandle, *args, **kwargs):
        log.append(columnhandle.name)
        return original(self, columnhandle, *args, **kwargs)

    monkeypatch.setattr(UprootSourceMapping, "extract_column", logged)
    summed(config, chunk, *channels)
    assert len(log) == len(set(log)), "a branch was read twice"
    return set(log)


def test_of_the_declared_columns_exactly_those_used_are_read(config, toys, monkeypatch):
    met = ("MET", "pt")
    config["preprocess"]["skimming"] = {"function": lambda met: met > 20, "use": [met]}
    config["good_object_masks"] = []
    config["baseline_selection"] = None
    config["ghost_observables"] = []
    config["channels"] = [
        {
            "name": "c",
            "observables": [{"name": "pt", "function": same, "use": [("Jet", "pt")], "binning": [0, 9]}],
        }
    ]
    expected = {"genWeight", "MET_pt", "nJet", "Jet_pt"}
    assert read_branches(monkeypatch, config, chunk_of(toys["tt"][0])) == expected


def test_a_mask_on_a_whole_collection_reads_only_the_fields_it_looks_at(config, toys, monkeypatch):
    read = read_branches(monkeypatch, config, chunk_of(toys["tt"][0]))
    used = {f"{name}_{field}" for name in ("Muon", "Jet") for field in ("pt", "eta")}
    assert read == used | {"nMuon", "nJet", "MET_pt", "HLT_IsoMu24", "genWeight"}


def test_data_do_not_read_or_need_generator_weights(config, toys, monkeypatch):
    read = read_branches(monkeypatch, config, chunk_of(toys["data"][0], name="data"))
    assert "genWeight" not in read


def test_only_the_channels_that_are_wanted_are_filled_and_only_what_reaches_them_is_read(
    config, toys, monkeypatch
):
    chunk = chunk_of(toys["tt"][0])
    assert "HLT_IsoMu24" not in read_branches(monkeypatch, config, chunk, "all")
    one, both = summed(config, chunk, "all"), summed(config, chunk)
    assert (list(one.channels), list(one.histograms)) == (["all"], [("all", "ht")])
    assert np.array_equal(one.histograms["all", "ht"].sumw, both.histograms["all", "ht"].sumw)
    assert one.common == both.common


def test_a_ghost_that_no_channel_uses_is_not_evaluated(config, toys):
    config["ghost_observables"].append({"names": "z", "function": lambda met: 1 / 0, "use": [("MET", "pt")]})
    assert summed(config, chunk_of(toys["tt"][0])).histograms["all", "ht"].entries.sum() > 0
    config["channels"][0]["selection"]["use"][0] = ("event", "z")
    assert isinstance(processed(config, chunk_of(toys["tt"][0])), ChunkFailure)


def test_a_chunk_of_which_the_skim_leaves_nothing_does_not_spoil_the_cutflow(config, toys):
    toy = toys["tt"][0]
    least = int(np.argmin(toy.columns["MET_pt"]))
    assert toy.columns["MET_pt"][least] < 20
    nothing, rest = (summed(config, chunk_of(toy, *limits)) for limits in ((least, least + 1), (0, 100)))
    assert nothing.common.steps["MET > 20 GeV"] == (0, 0.0)
    assert not (nothing.common + rest.common).mixed


GHOSTS = {
    "a tuple": lambda x: (x, x * 2),
    "a list": lambda x: [x, x * 2],
    "a dict in any order": lambda x: {"b": x * 2, "a": x},
    "records": lambda x: ak.zip({"a": x, "b": x * 2}),
}


@pytest.mark.parametrize("form", GHOSTS)
def test_a_ghost_of_several_names_may_return_them_in_any_form(form: str, config, toys):
    config["ghost_observables"].append(
        {"names": ["a", "b"], "function": GHOSTS[form], "use": [("MET", "pt")], "collection": "Twins"}
    )
    config["channels"][1]["observables"] = [
        {"name": name, "function": same, "use": [("Twins", name)], "binning": [0, 50, 100, 500]}
        for name in "ab"
    ]
    sums = summed(config, chunk_of(toys["tt"][0]))
    met = toys["tt"][0].columns["MET_pt"]
    assert sums.histograms["all", "a"].entries.sum() == sums.histograms["all", "b"].entries.sum()
    assert met.max() > 50
    doubled = sums.histograms["all", "b"].entries
    assert doubled[1] < sums.histograms["all", "a"].entries[1]


WRONG_GHOSTS = {
    "too few": (lambda x: (x,), r"returned 1 array\(s\) for the names \['a', 'b'\]"),
    "one array": (lambda x: x, r"without \['a', 'b'\]|returned \[\]"),
    "another name": (lambda x: {"a": x, "c": x}, r"returned \['a', 'c'\], without \['b'\]"),
    "another length": (lambda x: (x, x[:1]), "'b' has 1 elements"),
}


@pytest.mark.parametrize("case", WRONG_GHOSTS)
def test_a_ghost_that_returns_something_else_fails_the_chunk_by_name(case: str, config, toys):
    function, words = WRONG_GHOSTS[case]
    config["ghost_observables"].append({"names": ["a", "b"], "function": function, "use": [("MET", "pt")]})
    config["channels"][1]["observables"].append(
        {"name": "b", "function": same, "use": [("event", "b")], "binning": [0, 500]}
    )
    outcome = processed(config, chunk_of(toys["tt"][0]))
    assert isinstance(outcome, ChunkFailure)
    assert re.search(rf"^FunctorError: ghost_observables.1.*(?:{words})", outcome.reason)
    assert outcome.sumw == pytest.approx(toys["tt"][0].weights.sum(), rel=1e-12)


def test_a_failed_chunk_of_data_has_no_sum_of_weights(config, toys):
    config["channels"][1]["observables"][0]["function"] = lambda ht: "nonsense"
    outcome = processed(config, chunk_of(toys["data"][0], name="data"))
    assert isinstance(outcome, ChunkFailure)
    assert outcome.sumw is None


def records(*entries: int | None) -> tuple[FileMetadata, ...]:
    return tuple(
        FileMetadata(
            f"{i}.root",
            (f"a/{i}.root", f"b/{i}.root"),
            entries=n,
            error="gone" if n is None else None,
            url=f"b/{i}.root",
        )
        for i, n in enumerate(entries)
    )


def metadata_of(config, *entries: int | None) -> DatasetMetadata:
    return DatasetMetadata(load_config(config).selected_datasets()[0], records(*entries))


@pytest.mark.parametrize(
    ("entries", "size", "expected"),
    [
        ((10,), 100, [(0, 0, 10)]),
        ((10,), 10, [(0, 0, 10)]),
        ((11,), 10, [(0, 0, 5), (0, 5, 11)]),
        ((10,), 3, [(0, 0, 2), (0, 2, 5), (0, 5, 7), (0, 7, 10)]),
        ((4, 0, None, 5), 4, [(0, 0, 4), (3, 0, 2), (3, 2, 5)]),
        ((0,), 4, []),
    ],
)
def test_chunks_cover_each_readable_file_once_in_order_and_are_equally_long(entries, size, expected, config):
    files = list(files_of(metadata_of(config, *entries), size))
    chunks = [chunk for file in files for chunk in file.chunks]
    assert [(one.file_index, one.start, one.stop) for one in chunks] == expected
    assert all(one.entries <= size for one in chunks)


def test_the_replica_that_the_metadata_were_read_from_goes_first(config):
    (file,) = files_of(metadata_of(config, 4), 10)
    (chunk,) = file.chunks
    assert chunk.file == SourceFile("0.root", ("b/0.root", "a/0.root"))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_groups_hold_neighbouring_chunks_of_one_file_and_every_worker_gets_some(workers: int, config):
    files = files_of(metadata_of(config, 1000, 1000, 30), 10)
    work = [Work(chunk, ("SR",), None) for file in files for chunk in file.chunks]
    groups = group_by_file(work, workers)
    assert [one for group in groups for one in group] == work
    assert all(len({one.chunk.file for one in group}) == 1 for group in groups)
    assert max(map(len, groups)) <= 8
    assert len(groups) >= 4 * workers
    if workers == 1:
        assert len(groups) < len(work) / 4, "a file is opened anew for every chunk"


def test_groups_of_skim_parts_hold_those_of_several_files(config):
    files = files_of(metadata_of(config, 10, 10, 10, 10, 10, 10, 10, 10), 10)
    part = SkimPart(0, 10, 1, 0.0, (), "file_0/part_0.parquet", 1, "sha256:00")
    work = [Work(replace(chunk, part=part), ("SR",), None) for file in files for chunk in file.chunks]
    assert [len(group) for group in group_by_file(work, 1)] == [2, 2, 2, 2]


def test_writing_a_toy_gives_negative_weights(tmp_path):
    assert (write_toy(tmp_path / "t.root", 100, 1).weights < 0).sum() > 5
