"""The metadata of datasets: what is read, what is remembered, and what happens when something changed.

Reads are counted by the tasks that are handed to the executor; expected facts are those that files are written with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from intccms.datasets import DatasetManager
from intccms.errors import MetadataError, NoReachableReplicaError, OutputError
from intccms.metadata import DatasetMetadata, FileMetadata, MetadataStore, MetadataTask, read_metadata
from intccms.schema import Config
from tests.configurations import analysis_of
from tests.nanofiles import corrupt_basket, html_named_root, truncated_copy, write_nano, write_without_events


class Reads:
    """Runs tasks here and now, last one first, and remembers which files were looked at."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, tasks: Sequence[MetadataTask]) -> Iterator[tuple[MetadataTask, FileMetadata]]:
        for task in reversed(tasks):
            self.names.append(Path(task.file.name).name)
            yield task()


class Analysis:
    """Datasets in a folder, with their store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "metadata"

    def read(self, *entries: dict[str, Any], refresh: bool = True, **datasets: Any) -> list[DatasetMetadata]:
        """Read the metadata as a new process would, and note the files that were looked at."""
        default = {"name": "tt", "cross_sections": 1.0, "files": [str(self.folder / "in/*.root")]}
        configuration = analysis_of([default | entry for entry in entries or ({},)])
        configuration["datasets"] |= datasets
        reads = Reads()
        try:
            return read_metadata(
                DatasetManager(Config(**configuration)), MetadataStore(self.store), reads, refresh=refresh
            )
        finally:
            self.looked_at = sorted(reads.names)


@pytest.fixture
def analysis(tmp_path):
    for index in range(3):
        write_nano(tmp_path / f"in/a_{index}.root", 10 + index, first=1 + 100 * index)
    return Analysis(tmp_path)


ALL = ["a_0.root", "a_1.root", "a_2.root"]


def test_every_file_is_looked_at_once_and_kept_in_the_order_of_the_dataset(analysis):
    (found,) = analysis.read()
    assert analysis.looked_at == ALL
    assert [Path(record.name).name for record in found.files] == ALL
    assert [record.entries for record in found.files] == [10, 11, 12]
    assert (found.entries, found.good, found.failed) == (33, found.files, ())
    assert found.branches is not None
    assert "Muon_pt" in found.branches


def test_nothing_is_read_again_if_nothing_changed_and_the_facts_are_the_same(analysis):
    first = analysis.read()
    assert analysis.read() == first
    assert analysis.looked_at == []


def test_only_a_file_that_changed_is_read_again(analysis):
    analysis.read()
    write_nano(analysis.folder / "in/a_1.root", 25)
    (found,) = analysis.read()
    assert analysis.looked_at == ["a_1.root"]
    assert [record.entries for record in found.files] == [10, 25, 12]


def test_a_file_of_the_same_size_with_a_new_change_time_is_read_again(analysis):
    analysis.read()
    path = analysis.folder / "in/a_2.root"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    analysis.read()
    assert analysis.looked_at == ["a_2.root"]


def test_files_that_are_added_or_removed_change_nothing_for_the_others(analysis):
    analysis.read()
    write_nano(analysis.folder / "in/a_7.root", 7)
    (analysis.folder / "in/a_0.root").unlink()
    (found,) = analysis.read()
    assert analysis.looked_at == ["a_7.root"]
    assert [record.entries for record in found.files] == [11, 12, 7]


def test_max_files_reads_only_what_it_adds_and_forgets_nothing(analysis):
    looked_at = []
    for max_files in (1, 2, None, 1, 3):
        (found,) = analysis.read(max_files=max_files)
        assert len(found.files) == (max_files or 3)
        looked_at.append(analysis.looked_at)
    assert looked_at == [["a_0.root"], ["a_1.root"], ["a_2.root"], [], []]


def test_a_changed_weight_branch_or_tree_or_kind_is_read_anew(analysis):
    analysis.read()
    with pytest.raises(NoReachableReplicaError):
        analysis.read({"tree_name": "Nano"})
    assert analysis.looked_at == ALL
    analysis.read({"is_data": True, "cross_sections": None})
    assert analysis.looked_at == ALL
    analysis.read({"weight_branch": "MET_pt"})
    assert analysis.looked_at == ALL


@pytest.fixture
def sites(tmp_path):
    """Two local places that stand for redirectors, with the same logical files."""
    for site in ("one", "two"):
        for index in range(2):
            write_nano(tmp_path / f"{site}/store/a_{index}.root", 10 + index)
    return Analysis(tmp_path)


def at(analysis: Analysis, *sites: str) -> dict[str, Any]:
    files = [f"/store/a_{index}.root" for index in range(2)]
    return {"files": files, "redirector": [str(analysis.folder / site) for site in sites]}


def test_another_redirector_is_read_anew_and_the_same_one_is_not(sites):
    sites.read(at(sites, "one"))
    sites.read(at(sites, "one"))
    assert sites.looked_at == []
    (found,) = sites.read(at(sites, "two"))
    assert sites.looked_at == ["a_0.root", "a_1.root"]
    assert found.files[0].url == str(sites.folder / "two/store/a_0.root")


def test_a_broken_first_replica_is_passed_over_for_the_good_second_one(sites):
    broken = sites.folder / "one/store/a_1.root"
    truncated_copy(sites.folder / "two/store/a_1.root", broken, 0.4)
    (found,) = sites.read(at(sites, "one", "two"))
    assert [record.url for record in found.files] == [
        str(sites.folder / "one/store/a_0.root"),
        str(sites.folder / "two/store/a_1.root"),
    ]
    assert found.failed == ()


def bad_files(folder: Path) -> list[str]:
    truncated_copy(folder / "in/a_0.root", folder / "in/b_truncated.root", 0.5)
    html_named_root(folder / "in/c_html.root")
    write_without_events(folder / "in/d_crashed.root")
    (folder / "in/e_empty.root").write_bytes(b"")
    return ["b_truncated.root", "c_html.root", "d_crashed.root", "e_empty.root"]


def test_bad_files_are_kept_with_their_reasons_and_the_others_serve(analysis):
    bad = bad_files(analysis.folder)
    (found,) = analysis.read()
    assert found.entries == 33
    assert [Path(record.name).name for record in found.failed] == bad
    assert all(record.name in (record.error or "") for record in found.failed)
    assert [record.entries for record in found.failed] == [None] * 4


def test_bad_files_and_only_those_are_tried_again_and_good_by_then_count(analysis):
    bad = bad_files(analysis.folder)
    analysis.read()
    write_nano(analysis.folder / "in/d_crashed.root", 5)
    (found,) = analysis.read()
    assert analysis.looked_at == bad
    assert (found.entries, len(found.failed)) == (38, 3)
    analysis.read()
    assert analysis.looked_at == ["b_truncated.root", "c_html.root", "e_empty.root"]


def test_the_columns_are_those_of_a_good_file_even_if_the_first_one_is_bad(analysis):
    html_named_root(analysis.folder / "in/A_first.root")
    (found,) = analysis.read(
        {"files": [str(analysis.folder / "in/A_first.root"), str(analysis.folder / "in/a*")]}
    )
    assert found.branches is not None
    assert "Muon_pt" in found.branches
    analysis.read({"files": [str(analysis.folder / "in/A_first.root"), str(analysis.folder / "in/a*")]})
    assert analysis.looked_at == ["A_first.root"]


def test_if_no_file_at_all_can_be_read_the_error_says_why_and_what_to_do(tmp_path):
    html_named_root(tmp_path / "a.root")
    with pytest.raises(NoReachableReplicaError, match="none of 1 input files can be read") as caught:
        Analysis(tmp_path).read({"files": [str(tmp_path / "a.root")]})
    message = str(caught.value)
    assert all(
        part in message for part in (str(tmp_path / "a.root"), "permissions", "tree_name", "intccms demo")
    )
    assert "grid proxy" not in message


@pytest.mark.parametrize("lumi_blocks", [True, False])
def test_a_replica_that_breaks_while_it_is_read_is_passed_over_too(tmp_path, lumi_blocks):
    good, bad = tmp_path / "good/store/a.root", tmp_path / "bad/store/a.root"
    written = write_nano(good, 5_000, data=True, lumi_blocks=lumi_blocks)
    bad.parent.mkdir(parents=True)
    bad.write_bytes(good.read_bytes())
    corrupt_basket(bad, "luminosityBlock", 0, "LuminosityBlocks" if lumi_blocks else "Events")
    analysis = Analysis(tmp_path)
    redirectors = [str(tmp_path / "bad"), str(tmp_path / "good")]
    entry = {"name": "data", "is_data": True, "cross_sections": None, "files": ["/store/a.root"]}
    (found,) = analysis.read({**entry, "redirector": redirectors})
    (record,) = found.files
    assert (record.error, record.url, record.lumis) == (None, str(good), written.lumis)
    assert record.urls == (str(bad), str(good))
    ((url, reason),) = record.passed_over
    assert url == str(bad)
    assert "cannot read" in reason or "Error -3" in reason
    # whoever reads the store later does not know how it was then
    (again,) = analysis.read({**entry, "redirector": redirectors})
    assert analysis.looked_at == []
    assert again.files[0].passed_over == ()


def test_redirectors_are_named_where_none_of_them_has_a_file(sites):
    with pytest.raises(NoReachableReplicaError, match=r"2 input files .*three, .*four"):
        sites.read(at(sites, "three", "four"))


def test_one_dataset_that_cannot_be_read_does_not_stop_the_others(analysis):
    html_named_root(analysis.folder / "h.root")
    good, bad = analysis.read({}, {"name": "zp", "files": [str(analysis.folder / "h.root")]})
    assert (good.entries, bad.entries, len(bad.failed)) == (33, 0, 1)


def test_without_refresh_the_stored_facts_are_used_and_nothing_is_read(analysis):
    first = analysis.read()
    assert analysis.read(refresh=False) == first
    assert analysis.looked_at == []


def test_without_refresh_failures_that_are_known_stay_failures(analysis):
    bad = bad_files(analysis.folder)
    analysis.read()
    (found,) = analysis.read(refresh=False)
    assert [Path(record.name).name for record in found.failed] == bad
    assert analysis.looked_at == []


@pytest.mark.parametrize("change", ["never read", "new file", "changed file", "other weight"])
def test_without_refresh_a_file_that_the_store_does_not_cover_is_an_error_that_names_it(analysis, change):
    if change != "never read":
        analysis.read()
    if change == "new file":
        write_nano(analysis.folder / "in/a_9.root")
    if change == "changed file":
        write_nano(analysis.folder / "in/a_2.root", 99)
    entry = {"weight_branch": "MET_pt"} if change == "other weight" else {}
    with pytest.raises(MetadataError, match=r"run_metadata_generation=False, but the metadata in") as caught:
        analysis.read(entry, refresh=False)
    missing = {"new file": "a_9.root", "changed file": "a_2.root"}.get(change, "a_0.root")
    assert f"{missing} of dataset 'tt'. Run once with general.run_metadata_generation=True." in str(
        caught.value
    )
    assert analysis.looked_at == []


def test_without_refresh_fewer_files_than_stored_are_enough(analysis):
    analysis.read()
    (found,) = analysis.read(refresh=False, max_files=2)
    assert found.entries == 21


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"version": 1, "source": "tree Events, simulation, weight genWeight"}',
        b'{"version": 1, "source": "tree Events, simulation, weight genWeight", "files": [{"urls": []}]}',
        b'{"version": 1, "source": "tree Events, simulation, weight genWeight", "files": [3]}',
    ],
    ids=repr,
)
def test_a_damaged_store_is_warned_of_and_made_anew(analysis, content, caplog):
    analysis.read()
    path = analysis.store / "tt.json"
    path.write_bytes(content)
    assert analysis.read()[0].entries == 33
    assert f"the metadata store {path} is damaged" in caplog.text
    assert json.loads(path.read_text())["files"]


def test_a_store_of_another_version_is_made_anew(analysis):
    analysis.read()
    path = analysis.store / "tt.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 0}))
    analysis.read()
    assert analysis.looked_at == ALL


def test_the_store_is_plain_json_and_nothing_else_stays_behind(analysis):
    analysis.read()
    assert [path.name for path in analysis.store.iterdir()] == ["tt.json"]
    stored = json.loads((analysis.store / "tt.json").read_text())
    assert stored["dataset"] == "tt"
    assert {Path(one["name"]).name: one["entries"] for one in stored["files"]} == dict(
        zip(ALL, (10, 11, 12), strict=True)
    )


def test_datasets_have_a_store_file_each_and_do_not_disturb_one_another(analysis):
    two = ({}, {"name": "zp", "files": [str(analysis.folder / "in/a_1.root")]})
    analysis.read(*two)
    assert sorted(path.name for path in analysis.store.iterdir()) == ["tt.json", "zp.json"]
    analysis.read(two[1])
    assert analysis.looked_at == []


def test_what_was_read_before_an_interruption_is_kept(analysis):
    class Interrupted(Reads):
        def __call__(self, tasks):
            for index, done in enumerate(super().__call__(tasks)):
                if index == 2:
                    raise KeyboardInterrupt
                yield done

    files = [str(analysis.folder / "in/*.root")]
    config = Config(**analysis_of([{"name": "tt", "cross_sections": 1.0, "files": files}]))
    with pytest.raises(KeyboardInterrupt):
        read_metadata(DatasetManager(config), MetadataStore(analysis.store), Interrupted())
    assert analysis.read()[0].entries == 33
    assert analysis.looked_at == ["a_0.root"]


def test_a_task_that_never_comes_back_is_a_failure_of_its_file(analysis):
    class Loses(Reads):
        def __call__(self, tasks):
            return (done for done in super().__call__(tasks) if "a_1" not in done[1].name)

    files = [str(analysis.folder / "in/*.root")]
    config = Config(**analysis_of([{"name": "tt", "cross_sections": 1.0, "files": files}]))
    (found,) = read_metadata(DatasetManager(config), MetadataStore(analysis.store), Loses())
    assert [record.error for record in found.files] == [None, "no result came back for this file", None]


def test_a_store_that_cannot_be_written_is_an_output_error(analysis):
    analysis.store.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"cannot write .*tt.json"):
        analysis.read()


def test_a_file_that_changes_while_it_is_read_is_read_again(analysis, monkeypatch):
    path = analysis.folder / "in/a_0.root"
    original = MetadataTask.__call__

    def changing(task):
        done = original(task)
        if task.file.name == str(path):
            write_nano(path, 77)
        return done

    monkeypatch.setattr(MetadataTask, "__call__", changing)
    analysis.read({"files": [str(path), str(analysis.folder / "in/a_1.root")]})
    monkeypatch.undo()
    (found,) = analysis.read()
    assert "a_0.root" in analysis.looked_at
    assert found.files[0].entries == 77


def test_a_store_that_cannot_be_finished_leaves_the_old_one_whole(analysis, monkeypatch):
    first = analysis.read()
    before = (analysis.store / "tt.json").read_bytes()
    write_nano(analysis.folder / "in/a_9.root")

    def full(_path, _content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot write .*tt.json: No space left on device. Check space"):
        analysis.read()
    monkeypatch.undo()
    assert (analysis.store / "tt.json").read_bytes() == before
    assert [path.name for path in analysis.store.iterdir()] == ["tt.json"]
    assert analysis.read(max_files=3) == first
