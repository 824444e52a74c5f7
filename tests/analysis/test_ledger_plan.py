"""What of a run is left to do, and why; expected chunks and counts are counted by hand."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from intccms.analysis.ledger import DamagedRecordError, Ledger, Unit, compact_file, find_missing, fold_dataset
from intccms.analysis.ledger.names import Name, file_key
from intccms.analysis.results import ChunkFailure, PartTarget
from intccms.errors import OutputError
from intccms.metadata import FileMetadata
from intccms.utils.storage import Storage
from tests.analysis.ledgers import as_rows, commit, expected, metadata_of, plan_of, units_of

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.analysis.ledger import DatasetPlan, Missing

UNITS = units_of(SR="cut 1", CR="cut 2")
ENTRIES = [150, 50, 100]  # 3, 1 and 2 chunks of 50


def open_ledger(folder: Path) -> Ledger:
    """Return the ledger as another process sees it."""
    return Ledger(Storage(str(folder)))


def plan(units=UNITS, entries=ENTRIES, **more) -> DatasetPlan:
    size = more.pop("size", 50)
    return plan_of(metadata_of(entries, **more), units, size=size)


def compute(wanted: DatasetPlan, ledger: Ledger, *, compact: bool = True, without=()) -> Missing:
    """Do what is missing, and compact files of which nothing failed."""
    missing = find_missing([wanted], ledger, without={wanted.name: without})
    for work in missing.work:
        commit(work, wanted, ledger)
    for file in wanted.files:
        if compact and not any(index == file.index for index, _ in without):
            compact_file(wanted, file, ledger)
    return missing


def ranges(missing: Missing) -> list[tuple[int, int, int]]:
    return [(one.chunk.file_index, one.chunk.start, one.chunk.stop) for one in missing.work]


def kinds(ledger: Ledger, dataset: str = "tt") -> Counter[str]:
    """Count the records in the storage itself."""
    names = map(Name.parse, ledger.storage.sizes(dataset))
    return Counter(name.kind for name in names if name is not None)


ALL = [(0, 0, 50), (0, 50, 100), (0, 100, 150), (1, 0, 50), (2, 0, 50), (2, 50, 100)]


def test_at_first_everything_is_missing_in_canonical_order(tmp_path):
    missing = find_missing([plan()], open_ledger(tmp_path))
    assert ranges(missing) == ALL
    assert all(work.channels == ("SR", "CR") and work.part is None for work in missing.work)
    assert (missing.chunks, missing.reused) == (6, 0)
    assert missing.reasons == {("SR", "not computed yet"): 6, ("CR", "not computed yet"): 6}
    assert missing.lines() == [
        "6 of 6 chunks to compute",
        "channel SR: not computed yet; 6 chunks",
        "channel CR: not computed yet; 6 chunks",
    ]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("fold", [False, True])
def test_what_is_done_is_never_missing_again(tmp_path, compact, fold):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger, compact=compact)
    if fold:
        fold_dataset(plan(), {}, ledger)
    missing = find_missing([plan()], open_ledger(tmp_path))
    assert (missing.work, missing.chunks, missing.reused, dict(missing.reasons)) == ([], 6, 6, {})
    assert missing.lines() == ["all 6 chunks are in the ledger: nothing to compute"]
    # of the file with one chunk, the record of the chunk is that of the file
    assert kinds(ledger) == {
        **({"file": 2, "chunk": 1} if compact else {"chunk": 6}),
        **({"whole": 1} if fold else {}),
    }


def test_what_other_processes_do_meanwhile_is_seen(tmp_path):
    mine, other = open_ledger(tmp_path), open_ledger(tmp_path)
    assert len(find_missing([plan()], mine).work) == 6
    compute(plan(), other)
    assert find_missing([plan()], mine).work == []
    other.storage.delete(_only(other, "file")[:1])
    assert len(find_missing([plan()], mine).work) in {2, 3}


def test_of_an_interrupted_run_the_rest_is_missing(tmp_path):
    ledger = open_ledger(tmp_path)
    for work in find_missing([plan()], ledger).work[1:4]:
        commit(work, plan(), ledger)
    missing = find_missing([plan()], open_ledger(tmp_path))
    assert ranges(missing) == [ALL[0], *ALL[4:]]
    assert (missing.chunks, missing.reused) == (6, 3)
    assert missing.lines()[0] == "3 of 6 chunks to compute"


# what the channels were and are; what has to be computed, and why
CHANGES = {
    "a cut": (units_of(SR="cut 3", CR="cut 2"), ("SR",), {("SR", "selection changed"): 6}),
    "a channel added": (units_of(SR="cut 1", CR="cut 2", VR="cut 9"), ("VR",), {("VR", "new channel"): 6}),
    "both": (
        units_of(VR="cut 9", CR="cut 3", SR="cut 1"),
        ("VR", "CR"),
        {("VR", "new channel"): 6, ("CR", "selection changed"): 6},
    ),
    "a channel removed": (units_of(CR="cut 2"), (), {}),
    "channels in another order": (units_of(CR="cut 2", SR="cut 1"), (), {}),
    "a part more": (
        {"SR": Unit("SR", {"selection": "cut 1", "baseline_selection": "b"}), "CR": UNITS["CR"]},
        ("SR",),
        {("SR", "baseline_selection added"): 6},
    ),
    "many parts more": (
        {"SR": Unit("SR", {"selection": "cut 1", **dict.fromkeys("abcdef", "1")}), "CR": UNITS["CR"]},
        ("SR",),
        {("SR", "a added, b added, c added, d added and 2 more"): 6},
    ),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("compact", [False, True])
def test_a_change_costs_the_channels_that_it_reaches_and_says_why(case: str, compact, tmp_path):
    units, channels, reasons = CHANGES[case]
    compute(plan(), open_ledger(tmp_path), compact=compact)
    ledger = open_ledger(tmp_path)
    missing = compute(plan(units), ledger, compact=compact)
    assert ranges(missing) == (ALL if channels else [])
    assert all(work.channels == channels for work in missing.work)
    assert missing.reasons == reasons
    assert as_rows(fold_dataset(plan(units), {}, ledger).sums) == expected(plan(units))


def test_going_back_to_an_earlier_cut_costs_nothing(tmp_path):
    for cut in ("cut 1", "cut 3"):
        compute(plan(units_of(SR=cut)), open_ledger(tmp_path))
    ledger = open_ledger(tmp_path)
    assert find_missing([plan(units_of(SR="cut 1"))], ledger).work == []
    rows = as_rows(fold_dataset(plan(units_of(SR="cut 1")), {}, ledger).sums)
    assert rows == expected(plan(units_of(SR="cut 1")))


def test_the_reason_is_told_from_the_most_similar_definition(tmp_path):
    old = {"SR": Unit("SR", {"selection": "1", "baseline_selection": "1", "python": "3.12"})}
    near = {"SR": Unit("SR", {"selection": "2", "baseline_selection": "2", "python": "3.12"})}
    for units in (old, near):
        compute(plan(units), open_ledger(tmp_path))
    now = {"SR": Unit("SR", {"selection": "2", "baseline_selection": "2", "python": "3.13"})}
    missing = find_missing([plan(now)], open_ledger(tmp_path))
    assert missing.reasons == {("SR", "python 3.12 -> 3.13"): 6}


def test_a_file_that_is_added_costs_its_own_chunks(tmp_path):
    compute(plan(), open_ledger(tmp_path))
    uuids = ["new", *(f"uuid tt {index}" for index in range(3))]
    longer = plan(entries=[70, *ENTRIES], uuids=uuids)
    ledger = open_ledger(tmp_path)
    missing = compute(longer, ledger)
    assert ranges(missing) == [(0, 0, 35), (0, 35, 70)]
    assert (missing.chunks, missing.reused) == (8, 6)
    assert missing.reasons == {("SR", "not computed yet"): 2, ("CR", "not computed yet"): 2}
    assert as_rows(fold_dataset(longer, {}, ledger).sums) == expected(longer)


def test_files_that_are_left_out_or_change_places_cost_nothing(tmp_path):
    compute(plan(), open_ledger(tmp_path))
    turned = plan(entries=[100, 150], uuids=["uuid tt 2", "uuid tt 0"])
    ledger = open_ledger(tmp_path)
    assert find_missing([turned], ledger).work == []
    assert as_rows(fold_dataset(turned, {}, ledger).sums) == expected(turned)


@pytest.mark.parametrize(
    "change", [{"uuids": ["replaced", "uuid tt 1", "uuid tt 2"]}, {"entries": [140, 50, 100]}]
)
def test_a_file_that_was_replaced_is_computed_anew(tmp_path, change):
    compute(plan(), open_ledger(tmp_path))
    missing = find_missing([plan(**change)], open_ledger(tmp_path))
    assert {one[0] for one in ranges(missing)} == {0}
    assert len(missing.work) == 3


@pytest.mark.parametrize(
    "other",
    [{"uuid": "another"}, {"size": 1001}, {"entries": 7}, {"tree_name": "Friends"}],
    ids=str,
)
def test_a_file_is_known_by_uuid_size_entries_and_tree_and_not_by_its_place(other):
    record = FileMetadata("a.root", ("a.root",), uuid="u", size=1000, entries=50)
    tree = other.pop("tree_name", "Events")
    assert file_key(replace(record, **other), tree) != file_key(record, "Events")
    moved = replace(record, name="b.root", urls=("root://x//b.root",), url="root://x//b.root", state=(3, 4))
    assert file_key(moved, "Events") == file_key(record, "Events")


def test_the_chunks_of_another_size_are_other_chunks(tmp_path):
    compute(plan(), open_ledger(tmp_path))
    larger = plan(size=100)
    ledger = open_ledger(tmp_path)
    missing = compute(larger, ledger)
    # 150 entries in two chunks, and 100 in one; the chunk of the file with 50 entries is the same as before
    assert ranges(missing) == [(0, 0, 75), (0, 75, 150), (2, 0, 100)]
    assert missing.reasons == {("SR", "not computed yet"): 3, ("CR", "not computed yet"): 3}
    assert as_rows(fold_dataset(larger, {}, ledger).sums) == expected(larger)
    assert find_missing([plan()], ledger).work == [], "those of the first size are still there"


@pytest.mark.parametrize("compact", [False, True])
def test_failed_chunks_make_the_others_of_their_file_needed_chunk_by_chunk(tmp_path, compact):
    compute(plan(), open_ledger(tmp_path), compact=compact)
    more = units_of(SR="cut 1", CR="cut 2", VR="cut 9")
    ledger = open_ledger(tmp_path)
    missing = find_missing([plan(more)], ledger, without={"tt": {(0, 50)}})
    assert ranges(missing) == [ALL[0], *ALL[2:]]
    # the record of the whole file holds the chunk that failed, so it cannot serve
    first = ("SR", "CR", "VR") if compact else ("VR",)
    assert [work.channels for work in missing.work] == [first, first, ("VR",), ("VR",), ("VR",)]
    for work in missing.work:
        commit(work, plan(more), ledger)
    chunk = plan(more).file(0).chunks[1]
    assert find_missing([plan(more)], ledger, without={"tt": {(0, 50)}}).work == []
    fold = fold_dataset(plan(more), {(0, 50): ChunkFailure(chunk, "gone", "")}, ledger)
    assert as_rows(fold.sums).items() >= expected(plan(more), lambda one: one == chunk).items()
    assert (fold.files[0].entries, fold.files.keys(), fold.chunks) == (100, {0}, 6)
    # the next run tries that chunk alone, for the channel alone that it lacks
    (again,) = find_missing([plan(more)], open_ledger(tmp_path)).work
    assert (again.chunk, again.channels) == (chunk, ("VR",))


def test_a_run_without_failures_does_not_look_behind_the_record_of_the_whole_dataset(tmp_path):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger)
    fold_dataset(plan(), {}, ledger)
    for path in ledger.storage.sizes("tt"):
        if not path.endswith(".whole"):
            ledger.storage.delete([path])
    assert find_missing([plan()], open_ledger(tmp_path)).work == []
    # one failure, and it is of no use
    assert len(find_missing([plan()], open_ledger(tmp_path), without={"tt": {(0, 0)}}).work) == 5


def _only(ledger: Ledger, kind: str) -> list[str]:
    return sorted(path for path in ledger.storage.sizes("tt") if path.endswith(f".{kind}"))


DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("kind", "lost"), [("chunk", 1), ("file", 3), ("whole", 0)])
def test_a_lost_record_is_computed_again_and_nothing_else_is(tmp_path, damage, kind, lost, caplog):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger, compact=kind != "chunk")
    if kind == "whole":
        fold_dataset(plan(), {}, ledger)
    of_first = [p for p in _only(ledger, kind) if plan().file(0).key in p] or _only(ledger, kind)
    found = open_ledger(tmp_path)
    assert find_missing([plan()], found).work == []  # the names are there, which is all that is looked at
    DAMAGE[damage](tmp_path / of_first[0])
    with (
        caplog.at_level(logging.WARNING, logger="intccms"),
        pytest.raises(DamagedRecordError, match=of_first[0]),
    ):
        fold_dataset(plan(), {}, found)
    assert f"the record {of_first[0]} is lost" in caplog.text
    assert not (tmp_path / of_first[0]).exists()
    missing = compute(plan(), found)
    assert len(missing.work) == lost
    assert as_rows(fold_dataset(plan(), {}, found).sums) == expected(plan())


@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut short"])
def test_a_batch_that_cannot_be_explained_any_more_is_computed_again(tmp_path, damage, caplog):
    compute(plan(), open_ledger(tmp_path))
    (description,) = (tmp_path / ".batches").iterdir()
    DAMAGE[damage](description)
    ledger = open_ledger(tmp_path)
    missing = compute(plan(), ledger)
    assert len(missing.work) == 6
    assert "the ledger lacks the description of batch" in caplog.text
    assert as_rows(fold_dataset(plan(), {}, ledger).sums) == expected(plan())


@pytest.mark.parametrize("damage", ["deleted", "cut short"])
def test_a_description_that_was_lost_is_written_anew(tmp_path, damage):
    compute(plan(), open_ledger(tmp_path))
    (description,) = (tmp_path / ".batches").iterdir()
    DAMAGE[damage](description)
    compute(plan(), open_ledger(tmp_path))
    assert find_missing([plan()], open_ledger(tmp_path)).work == []


def test_a_file_that_is_listed_twice_counts_twice_and_is_kept_once(tmp_path):
    twice = plan(entries=[150, 50, 150], uuids=["same", "other", "same"])
    ledger = open_ledger(tmp_path)
    missing = find_missing([twice], ledger)
    assert len(missing.work) == 7
    assert [work.record for work in missing.work[:3]] == [work.record for work in missing.work[4:]]
    for work in missing.work[:4]:
        commit(work, twice, ledger)
    assert find_missing([twice], ledger).work == []
    for file in twice.files:
        compact_file(twice, file, ledger)
    assert kinds(ledger) == {"file": 1, "chunk": 1}
    sums = fold_dataset(twice, {}, ledger).sums
    assert as_rows(sums) == expected(twice)
    assert sums.entries == 350


def test_datasets_do_not_share_records(tmp_path):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger)
    other = plan(name="dy", uuids=[f"uuid tt {index}" for index in range(3)])
    missing = find_missing([plan(), other], ledger)
    assert {work.chunk.dataset for work in missing.work} == {"dy"}
    assert (missing.chunks, missing.reused) == (12, 6)


def test_a_skim_part_is_work_even_where_the_channels_are_there(tmp_path):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger)
    fold_dataset(plan(), {}, ledger)
    wanted = plan()
    record = Name("tt", "skim", wanted.file(2).key, "50-100", "digest")
    target = PartTarget("file_2/part_1.parquet", record, "not written yet")
    wanted.targets[2, 50] = target
    missing = find_missing([wanted], ledger)
    (work,) = missing.work
    assert (work.channels, work.record, work.part, work.names) == ((), None, target, (record,))
    assert missing.lines() == ["1 of 6 chunks to compute", "skim: not written yet; 1 chunk"]


def test_part_and_channels_of_a_chunk_are_one_piece_of_work(tmp_path):
    wanted = plan()
    target = PartTarget("p", Name("tt", "skim", wanted.file(0).key, "0-50", "d"), "not written yet")
    wanted.targets[0, 0] = target
    work = find_missing([wanted], open_ledger(tmp_path)).work
    assert len(work) == 6
    assert work[0].names == (target.record, work[0].record)
    assert work[1].names == (work[1].record,)


def test_files_that_cannot_be_read_or_hold_nothing_are_no_work(tmp_path):
    missing = find_missing([plan(entries=[None, 50, 0])], open_ledger(tmp_path))
    assert ranges(missing) == [(1, 0, 50)]
    assert missing.chunks == 1


def test_compaction_keeps_records_that_other_channels_need(tmp_path):
    ledger = open_ledger(tmp_path)
    for work in find_missing([plan()], ledger).work:
        commit(work, plan(), ledger)
    compact_file(plan(units_of(SR="cut 1")), plan().file(0), ledger)
    left = ledger.batches("tt", "chunk", plan().file(0).key, "0-50")
    assert [set(ledger.digests(batch)) for batch in left] == [{"SR", "CR"}]
    assert find_missing([plan()], ledger).work == []


def test_compaction_leaves_no_record_behind_that_nothing_needs(tmp_path):
    compute(plan(units_of(SR="cut 1")), open_ledger(tmp_path))
    # the chunk from 50 fails for the new channel, so that the others are computed for both, one by one
    compute(plan(), open_ledger(tmp_path), without=[(0, 50)])
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger)
    assert [path for path in _only(ledger, "chunk") if plan().file(0).key in path] == []


def test_other_files_in_the_folder_of_a_ledger_do_no_harm(tmp_path):
    ledger = open_ledger(tmp_path)
    compute(plan(), ledger)
    for name in ("tt/README.md", "tt/a.b.c.d.chunk", "tt/.hidden", "tt/sub/x.y.z.chunk", "tt/a.b.c.chunk~"):
        ledger.storage.put(name, b"something")
    found = open_ledger(tmp_path)
    assert find_missing([plan()], found).work == []
    assert as_rows(fold_dataset(plan(), {}, found).sums) == expected(plan())


@pytest.mark.parametrize(
    "name",
    [
        Name("tt_2017", "chunk", "k", "0-50", "b"),
        Name("a.b-c+d", "file", "k", "edges", "b"),
        Name("tt", "whole", "k", "", "b"),
        Name("tt", "skim", "k", "50-100", "d"),
    ],
    ids=str,
)
def test_a_name_is_its_path(name):
    assert Name.parse(str(name)) == name


def test_a_ledger_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "ledger").write_text("a file where the folder should be")
    ledger = open_ledger(tmp_path / "ledger")
    find_missing([plan()], ledger)  # writes nothing
    with pytest.raises(OutputError, match="ledger"):
        ledger.write_descriptions()
