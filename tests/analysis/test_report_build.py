"""How a report is made from metadata and folds; every expected number is counted by hand from what is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intccms.analysis.fold import DatasetFold, FileFact
from intccms.analysis.normalise import Normalisation
from intccms.analysis.report import Failure, Skipped, make_report
from intccms.analysis.results import Chunk, ChunkFailure, DatasetSums
from intccms.datasets import SourceFile
from intccms.histograms import Sums
from intccms.metadata import DatasetMetadata, FileMetadata
from intccms.schema import load_config
from intccms.selection import Cutflow
from tests.configurations import minimal

CONFIG = load_config(
    minimal() | {"general": {"lumi": 1000.0, "output_dir": "runs/first", "min_coverage": 0.5}}
)
SIMULATION, DATA = CONFIG.selected_datasets()

GOOD = FileMetadata("a.root", ("a.root",), entries=300, sumw=600.0, sumw_from="Runs", uuid="1", size=1)
OTHER = replace(GOOD, name="b.root", entries=100, sumw=150.0, uuid="2")
BAD = FileMetadata("c.root", ("c.root",), error="OSError: cannot open root://me:geheim@host//c.root")


def failure_of(start: int, stop: int, number: int, traceback: str = "Traceback ...") -> ChunkFailure:
    chunk = Chunk("tt", 0, SourceFile("a.root", ("a.root",)), "Events", "1", start, stop, number=number)
    return ChunkFailure(chunk, "ValueError: no", traceback)


def simulation_fold(*lost: ChunkFailure, entries: int = 400, **changes) -> DatasetFold:
    missing = sum(one.chunk.entries for one in lost)
    files = {0: FileFact(300 - missing, 1.0, lost)} if lost else {}
    sums = changes.pop("sums", DatasetSums(entries=entries - missing))
    return DatasetFold(sums=sums, files=files, **changes)


def made(metadata, fold, normalisation=Normalisation(2.0, 750.0), **changes):  # noqa: B008 - frozen
    name = metadata.dataset.name
    return make_report(CONFIG, [metadata], {name: fold}, {name: normalisation}, 4.0, **changes)


def test_a_dataset_of_simulation_has_expected_and_processed_numbers():
    fold = simulation_fold(failure_of(100, 200, 1), chunks=4, computed=2, cpu_seconds=0.6)
    report = made(DatasetMetadata(SIMULATION, (GOOD, OTHER, BAD)), fold, Normalisation(2.0, 550.0))
    (one,) = report.datasets
    assert (one.name, one.process, one.is_data) == ("tt", "ttbar", False)
    assert (one.files, one.failed_files, one.entries, one.processed, one.failed_chunks) == (3, 1, 400, 300, 1)
    assert (one.sumw, one.sumw_expected, one.scale) == (550.0, 750.0, 2.0)
    assert (one.lumi_sections, one.processed_lumi_sections) == (None, None)
    assert (one.chunks, one.computed, one.reused, one.cpu_seconds) == (4, 2, 1, 0.6)
    assert (report.seconds, report.min_coverage, report.lumi) == (4.0, 0.5, {"": 1000.0})
    assert report.path == "runs/first"
    assert report.data_processes == ()


def test_nothing_is_missing_where_all_sums_of_weights_are_equal_to_the_last_bit():
    # 0.1 + 0.2 + 0.3 differs in the last bit from the correctly rounded sum; the normalisation adds in this order
    files = tuple(
        replace(GOOD, name=name, sumw=value, uuid=name)
        for name, value in zip("abc", (0.1, 0.2, 0.3), strict=True)
    )
    (one,) = made(DatasetMetadata(SIMULATION, files), simulation_fold(entries=900)).datasets
    assert one.sumw_expected == 0.1 + 0.2 + 0.3 == 0.6000000000000001


def test_lumi_sections_of_several_files_are_counted_once():
    first = replace(GOOD, sumw=None, sumw_from=None, lumis={"1": [[1, 10]], "2": [[5, 5]]})
    second = replace(first, name="b.root", uuid="2", lumis={"1": [[8, 12], [20, 20]]})
    fold = DatasetFold(sums=DatasetSums(entries=600), lumis={"1": [[1, 7], [9, 9]]}, chunks=2, computed=2)
    report = made(DatasetMetadata(DATA, (first, second)), fold, Normalisation(1.0, None))
    (one,) = report.datasets
    # run 1: 1 to 12 and 20; run 2: 5
    assert (one.lumi_sections, one.processed_lumi_sections) == (14, 8)
    assert (one.sumw, one.sumw_expected) == (None, None)
    assert report.data_processes == (DATA.process,)


@pytest.mark.parametrize(
    ("chunks", "computed", "given", "expected"),
    [
        (4, 4, None, 400),
        # by the share of chunks: 1 of 4
        (4, 1, None, 100),
        (4, 1, {"tt": 73}, 73),
        (4, 0, None, 0),
        (0, 0, None, 0),
    ],
)
def test_entries_computed_in_this_run_are_those_given_or_the_share_of_chunks(
    chunks, computed, given, expected
):
    fold = simulation_fold(chunks=chunks, computed=computed)
    report = made(DatasetMetadata(SIMULATION, (GOOD, OTHER)), fold, computed_entries=given)
    assert report.datasets[0].computed_entries == expected


def test_files_chunks_and_datasets_that_failed_are_listed_with_what_replays_them():
    fold = simulation_fold(failure_of(0, 100, 0), failure_of(200, 300, 2))
    report = made(
        DatasetMetadata(SIMULATION, (GOOD, OTHER, BAD)),
        fold,
        Normalisation(0.0, 0.0, error="cannot normalise"),
    )
    assert report.failures == (
        Failure("tt", "c.root", None, None, "OSError: cannot open root://me:***@host//c.root"),
        Failure("tt", "a.root", 0, 100, "ValueError: no", "Traceback ...", "tt/0/0", 100),
        Failure("tt", "a.root", 200, 300, "ValueError: no", "Traceback ...", "tt/0/2", 100),
        Failure("tt", "", None, None, "cannot normalise", entries=200),
    )
    assert [(len(group.failures), group.entries, group.chunk) for group in report.groups] == [
        (1, 0, None),
        (2, 200, "tt/0/0"),
        (1, 200, None),
    ]


def test_credentials_in_tracebacks_and_provenance_are_masked():
    fold = simulation_fold(failure_of(0, 100, 0, "open(url, token='geheim')"))
    report = made(
        DatasetMetadata(SIMULATION, (GOOD, OTHER, BAD)),
        fold,
        provenance={"command": ["intccms", "run", "x.password=geheim"], "token": "geheim", "host": "here"},
    )
    assert "geheim" not in repr(report)
    assert report.provenance["host"] == "here"


def test_what_is_passed_in_is_kept():
    skipped, outputs = [Skipped("qcd", 3, 10, "general.processes")], [("plots", "2 pictures")]
    report = made(
        DatasetMetadata(SIMULATION, (GOOD, OTHER)), simulation_fold(), skipped=skipped, outputs=outputs
    )
    assert report.skipped == tuple(skipped)
    assert report.outputs == tuple(outputs)
    assert report.complete, "what is left out on purpose is not missing"


def masked_out() -> DatasetSums:
    return DatasetSums(entries=400, common=Cutflow({"all": (400, 400.0), "lumi mask": (0, 0.0)}))


def with_nan() -> DatasetSums:
    zeros = np.zeros(3)
    content = Sums(zeros, zeros, zeros.astype(int), nan=7)
    return DatasetSums(
        entries=400, histograms={("SR", "met"): content, ("SR", "none"): replace(content, nan=0)}
    )


NOTES = {
    "no events": ((replace(GOOD, entries=0),), DatasetSums(), "tt has no events"),
    "twice": (
        (GOOD, replace(GOOD, name="b.root", entries=300)),
        DatasetSums(entries=600),
        "tt: a.root and b.root are the same file, and count twice",
    ),
    "lumi mask": ((GOOD, OTHER), masked_out(), "the lumi mask leaves no event of tt"),
    "triggers": (
        (GOOD, OTHER),
        DatasetSums(entries=400, absent_triggers=frozenset({"HLT_B", "HLT_A"})),
        "tt: HLT_A, HLT_B absent from its files or some of them, and counted as False there",
    ),
    "entries lost": (
        (GOOD, OTHER),
        DatasetSums(entries=390),
        "tt: 10 entries fewer were processed than its files have, and no failure accounts for them",
    ),
    "entries too many": (
        (GOOD, OTHER),
        DatasetSums(entries=401),
        "tt: 1 entries more were processed than its files have",
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_was_perhaps_not_meant_is_noted(case):
    files, sums, expected = NOTES[case]
    (note,) = made(DatasetMetadata(SIMULATION, files), simulation_fold(sums=sums)).notes
    assert note.startswith(expected)


def test_failed_chunks_account_for_missing_entries():
    assert made(DatasetMetadata(SIMULATION, (GOOD, OTHER)), simulation_fold(failure_of(0, 9, 0))).notes == ()


def test_notes_of_the_normalisation_come_along_and_nan_are_counted():
    report = made(
        DatasetMetadata(SIMULATION, (GOOD, OTHER)),
        simulation_fold(sums=with_nan()),
        Normalisation(1.0, 1.0, ("estimated",)),
    )
    assert report.notes == ("estimated",)
    assert report.nan == {"SR/met": 7}
