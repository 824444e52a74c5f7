"""The skim contract: parts, numbers of files, chunk lists, and what becomes of replaced ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intccms.errors import MetadataError, OutputError
from intccms.metadata import FileMetadata
from intccms.skimming import Manifest, SkimPart, part_path
from intccms.utils.storage import Storage

CHECKSUM = "sha256:" + "0" * 64
THEORY = {
    "weight_sums": {"LHEScaleWeight": [0.1 + 0.2, -3.0], "PSWeight": []},
    "weight_sums_from": {"LHEScaleWeight": "Runs"},
}


def part(start, stop, path="file_0/part_0.parquet", **more):
    values = {
        "kept": 1,
        "sumw": 0.1,
        "steps": (("all", 10, 0.1), ("MET", 1, 0.3)),
        "size": 7,
        "checksum": CHECKSUM,
    }
    return SkimPart(start, stop, path=path, **{**values, **more})


def empty(start, stop):
    return part(start, stop, path=None, kept=0, size=0, checksum="")


def record(name, uuid, entries=30, **more):
    return FileMetadata(name=name, urls=(f"root://somewhere/{name}",), uuid=uuid, entries=entries, **more)


def manifest_with(*records):
    """Return a manifest that knows files, each with three chunks of ten entries and three parts."""
    manifest = Manifest("tt", is_data=False, contract={"skim": "abc"}, uses=["Muon_pt", "Jet_*"])
    names = {one.name for one in records}
    for one in records:
        index = manifest.index_for(one, names)
        manifest.set_chunks(index, [0, 10, 20, 30])
        for chunk in range(3):
            path = part_path(index, chunk, "parquet")
            manifest.add_part(index, part(10 * chunk, 10 * chunk + 10, path))
    return manifest


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


class TestParts:
    """`SkimPart`."""

    floats = st.floats(allow_nan=False, allow_infinity=False)
    lumis = st.dictionaries(
        st.integers(1, 400_000).map(str), st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=2))
    )

    @given(floats, st.lists(st.tuples(st.text(), st.integers(0, 2**40), floats)), st.lists(st.text()), lumis)
    def test_json_gives_back_every_bit(self, sumw, steps, triggers, lumis):
        one = part(3, 2**40, sumw=sumw, steps=tuple(steps), absent_triggers=tuple(triggers), lumis=lumis)
        back = SkimPart.from_json(json.loads(json.dumps(one.to_json())))
        assert back == one
        assert hash(back) == hash(one)
        assert back.sumw.hex() == sumw.hex()

    def test_an_empty_one_has_no_file(self):
        assert SkimPart.from_json(empty(0, 10).to_json()) == empty(0, 10)

    @pytest.mark.parametrize(
        "change",
        [
            {"stop": -1},
            {"kept": 11},
            {"kept": -1},
            {"path": None},
            {"checksum": ""},
            {"start": -3},
        ],
    )
    def test_contradictions_are_refused(self, change):
        with pytest.raises(ValueError, match="skim part"):
            SkimPart.from_json({**part(0, 10).to_json(), **change})

    @pytest.mark.parametrize(("key", "value"), [("start", "many"), ("steps", [["all", 1]]), ("sumw", None)])
    def test_what_is_no_part_is_said_with_its_place(self, key, value):
        with pytest.raises(ValueError, match=rf"not a skim part: {key}"):
            SkimPart.from_json({**part(0, 10).to_json(), key: value})


class TestStored:
    """Saving and loading."""

    def test_it_comes_back_whole(self, storage):
        lumis = {"1": [[1, 3], [7, 7]]}
        facts = {
            "size": 12,
            "generated": 99,
            "sumw": 0.1 + 0.2,
            "sumw_from": "Runs",
            "lumis": lumis,
            **THEORY,
        }
        manifest = manifest_with(record("a", "u-a", **facts), record("b", "u-b"))
        manifest.add_part(0, part(10, 20, lumis=lumis, absent_triggers=("HLT_X",)))
        manifest.add_part(1, empty(0, 10))
        manifest.add_failure(1, 20, "no such file")
        manifest.file(1).digest = "d"
        manifest.save(storage)
        back = Manifest.load(storage, "tt")
        assert back == manifest
        assert back.file(0).sumw.hex() == (0.1 + 0.2).hex()
        assert back.file(0).weight_sums == THEORY["weight_sums"]
        assert back.file(1).missing == [(20, 30)]
        assert back.index_for(record("c", "u-c"), {"a", "b", "c"}) == 2

    def test_it_stands_in_the_folder_of_its_dataset(self, storage):
        Manifest("tt", is_data=True).save(storage)
        assert list(storage.sizes()) == ["tt/manifest.json"]
        assert Manifest.load(storage, "tt") == Manifest("tt", is_data=True)
        assert Manifest.load(storage, "data") is None

    def test_a_newer_one_is_refused(self, storage):
        Manifest("tt", is_data=False, version=99).save(storage)
        with pytest.raises(
            OutputError, match=r"tt/manifest.json has version 99, this intccms knows up to 1. Update"
        ):
            Manifest.load(storage, "tt")

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda text: text[: len(text) // 2], "JSONDecodeError"),
            (lambda text: "", "Expecting value"),
            (lambda text: "[]", "TypeError"),
            (lambda text: "{}", "version"),
            (lambda text: text.replace('"entries":30', '"entries":"many"'), "entries"),
            (lambda text: text.replace('"kept":1', '"kept":100'), "of which 100 were kept"),
            (lambda text: text.replace('"dataset": "tt"', '"dataset": "ww"'), "that of dataset 'ww'"),
            (lambda text: text.replace('"next_index": 2', '"next_index": 1'), "do not ascend"),
            (lambda text: text.replace('"index":1', '"index":0'), "do not ascend"),
        ],
        ids=[
            "half",
            "nothing",
            "a list",
            "no keys",
            "a text",
            "a part",
            "another one",
            "next number",
            "numbers",
        ],
    )
    def test_a_damaged_one_is_never_ignored(self, storage, damage, words):
        manifest_with(record("a", "u-a"), record("b", "u-b")).save(storage)
        text = storage.get("tt/manifest.json").decode()
        assert damage(text) != text
        storage.put("tt/manifest.json", damage(text).encode())
        with pytest.raises(OutputError, match=rf"tt/manifest.json is damaged .*{words}.*run_skimming=True"):
            Manifest.load(storage, "tt")

    def test_a_thousand_files_come_back(self, storage):
        manifest = manifest_with(*(record(f"/store/{index}.root", f"u-{index}") for index in range(1000)))
        manifest.save(storage)
        assert Manifest.load(storage, "tt") == manifest


class TestNumbersOfFiles:
    """`index_for`: a number is given once, to a name and a uuid."""

    def test_the_same_file_keeps_its_number_and_takes_new_facts(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        assert manifest.index_for(record("b", "u-b", sumw=2.0), {"a", "b"}) == 1
        assert manifest.file(1).sumw == 2.0
        assert manifest.next_index == 2
        assert manifest.obsolete == set()

    def test_a_file_that_was_moved_keeps_its_number_and_parts(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        assert manifest.index_for(record("new/a", "u-a"), {"new/a", "b"}) == 0
        assert manifest.file(0).name == "new/a"
        assert len(manifest.file(0).parts) == 3
        assert manifest.index_for(record("a", "u-x"), {"new/a", "a", "b"}) == 2
        assert manifest.obsolete == set()

    def test_a_copy_is_a_file_of_its_own(self):
        manifest = manifest_with(record("a", "u-a"))
        assert manifest.index_for(record("copy", "u-a"), {"a", "copy"}) == 1
        assert [manifest.index_for(record(name, "u-a"), {"a", "copy"}) for name in ("copy", "a")] == [1, 0]

    def test_a_replaced_file_gets_a_new_number_and_its_parts_are_removed_later(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        assert manifest.index_for(record("a", "u-new"), {"a", "b"}) == 2
        assert [file.index for file in manifest.files] == [1, 2]
        assert manifest.obsolete == {f"file_0/part_{chunk}.parquet" for chunk in range(3)}
        with pytest.raises(KeyError):
            manifest.file(0)

    def test_a_file_moved_onto_the_name_of_another_one_replaces_it(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        assert manifest.index_for(record("b", "u-a"), {"b"}) == 0
        assert [(file.index, file.name) for file in manifest.files] == [(0, "b")]
        assert manifest.obsolete == {f"file_1/part_{chunk}.parquet" for chunk in range(3)}
        assert manifest.index_for(record("b", "u-a"), {"b"}) == 0

    def test_files_that_swapped_their_names_keep_their_numbers_or_are_written_anew_but_never_mixed(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        indices = [manifest.index_for(record(*one), {"a", "b"}) for one in (("a", "u-b"), ("b", "u-a"))]
        assert indices == [2, 3]
        assert {(file.index, file.name, file.uuid) for file in manifest.files} == {
            (2, "a", "u-b"),
            (3, "b", "u-a"),
        }

    def test_a_number_is_never_used_again(self, storage):
        manifest = manifest_with(record("a", "u-a"))
        for again in range(3):
            assert manifest.index_for(record("a", f"u-{again}"), {"a"}) == again + 1
            manifest.save(storage)
            manifest = Manifest.load(storage, "tt")

    def test_a_file_that_could_not_be_read_has_none(self):
        unread = FileMetadata(name="a", urls=("a",), error="connection refused")
        with pytest.raises(MetadataError, match="a: connection refused. Re-run the metadata stage"):
            Manifest("tt", is_data=False).index_for(unread, {"a"})


class TestChunkLists:
    """`set_chunks`, and what is recorded of chunks."""

    def test_the_same_list_changes_nothing(self):
        manifest = manifest_with(record("a", "u-a"))
        assert manifest.set_chunks(0, (0, 10, 20, 30)) is False
        assert len(manifest.file(0).parts) == 3
        assert manifest.obsolete == set()

    def test_another_list_drops_all_parts(self):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        manifest.add_failure(0, 20, "no such file")
        assert manifest.set_chunks(0, [0, 15, 30]) is True
        assert manifest.file(0).parts == manifest.file(0).failed == {}
        assert manifest.file(0).missing == [(0, 15), (15, 30)]
        assert len(manifest.file(1).parts) == 3

    @pytest.mark.parametrize("edges", [[], [0], [0, 10], [5, 30], [0, 40], [0, 20, 10, 30]])
    def test_a_list_must_cover_the_file(self, edges):
        manifest = manifest_with(record("a", "u-a"))
        with pytest.raises(ValueError, match="do not cover the 30 entries of a"):
            manifest.set_chunks(0, edges)

    def test_a_file_without_entries_may_have_no_chunk_or_an_empty_one(self):
        manifest = Manifest("tt", is_data=False)
        index = manifest.index_for(record("a", "u-a", entries=0), {"a"})
        manifest.set_chunks(index, [0])
        assert manifest.file(index).missing == []
        manifest.set_chunks(index, [0, 0])
        manifest.add_part(index, empty(0, 0))
        assert manifest.file(index).missing == []

    def test_a_part_must_be_one_of_the_chunks(self):
        manifest = manifest_with(record("a", "u-a"))
        with pytest.raises(ValueError, match="a has no chunk of the entries 0 to 20"):
            manifest.add_part(0, part(0, 20))

    def test_a_part_takes_the_place_of_a_failure_and_a_failure_that_of_a_part(self):
        manifest = manifest_with(record("a", "u-a"))
        manifest.add_failure(0, 10, "no such file")
        assert manifest.file(0).missing == [(10, 20)]
        assert manifest.file(0).failed == {10: "no such file"}
        manifest.add_part(0, empty(10, 20))
        assert manifest.file(0).missing == []
        assert manifest.file(0).failed == {}


class TestRemoval:
    """Files of dropped parts go after the commit, but for paths that were written again."""

    def write(self, manifest, storage):
        for file in manifest.files:
            for one in file.parts.values():
                storage.put(f"tt/{one.path}", b"abc")

    def test_only_what_is_no_part_any_more_is_removed(self, storage):
        manifest = manifest_with(record("a", "u-a"), record("b", "u-b"))
        self.write(manifest, storage)
        manifest.set_chunks(0, [0, 15, 30])
        manifest.add_part(0, part(0, 15, "file_0/part_0.parquet"))
        assert len(storage.sizes()) == 6
        manifest.save(storage)
        assert len(storage.sizes("tt/file_0")) == 3
        manifest.sweep(storage)
        assert set(storage.sizes()) == {
            "tt/manifest.json",
            "tt/file_0/part_0.parquet",
            *(f"tt/file_1/part_{chunk}.parquet" for chunk in range(3)),
        }
        assert manifest.obsolete == set()

    def test_what_a_killed_process_did_not_remove_is_removed_by_the_next_one(self, storage):
        manifest = manifest_with(record("a", "u-a"))
        self.write(manifest, storage)
        manifest.index_for(record("a", "u-new"), {"a"})
        manifest.save(storage)
        manifest = Manifest.load(storage, "tt")
        manifest.sweep(storage)
        assert list(storage.sizes()) == ["tt/manifest.json"]


def test_a_run_on_skims_needs_no_source_file():
    lumis = {"1": [[1, 3]]}
    facts = {"size": 12, "generated": 99, "sumw": -0.3, "sumw_from": "Events", "lumis": lumis, **THEORY}
    manifest = manifest_with(record("/store/a.root", "u-a", **facts))
    expected = FileMetadata("/store/a.root", ("/store/a.root",), uuid="u-a", entries=30, **facts)
    assert [file.metadata() for file in manifest.files] == [expected]


def test_a_manifest_of_before_there_were_sums_of_theory_weights_is_read_and_completed(storage):
    manifest_with(record("a", "u-a", sumw=1.0, **THEORY)).save(storage)
    data = json.loads(storage.get("tt/manifest.json"))
    for file in data["files"]:
        del file["weight_sums"], file["weight_sums_from"]
    storage.put("tt/manifest.json", json.dumps(data).encode())
    manifest = Manifest.load(storage, "tt")
    assert manifest.file(0).metadata().lacks(["LHEScaleWeight", "PSWeight"]) == ["LHEScaleWeight", "PSWeight"]
    manifest.index_for(record("a", "u-a", sumw=1.0, **THEORY), {"a"})
    assert manifest.file(0).metadata().lacks(["LHEScaleWeight", "PSWeight"]) == []
    assert len(manifest.file(0).parts) == 3
