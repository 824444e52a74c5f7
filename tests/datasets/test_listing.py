"""Which files a dataset has: listings, folders, patterns and names, in an order that does not depend on chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intccms.datasets import DatasetManager
from intccms.errors import ConfigError
from intccms.schema import Config
from tests.configurations import analysis_of

LFN = "/store/mc/a.root"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def listing(name: str, *lines: str) -> None:
    touch(name)
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def manager(base_dir: str | None = None, max_files: int | None = None, **entry: Any) -> DatasetManager:
    configuration = analysis_of([{"name": "tt", "cross_sections": 1.0, **entry}])
    configuration["datasets"] |= {"base_dir": base_dir, "max_files": max_files}
    return DatasetManager(Config(**configuration))


def names(manager: DatasetManager, dataset: str = "tt") -> list[str]:
    return [file.name for file in manager.files(dataset)]


def urls(manager: DatasetManager, dataset: str = "tt") -> list[tuple[str, ...]]:
    return [file.urls for file in manager.files(dataset)]


def test_explicit_files_keep_their_order_and_need_not_exist():
    assert names(manager(files=["b.root", "a.root", LFN])) == ["b.root", "a.root", LFN]


def test_a_file_that_is_named_twice_is_read_once():
    touch("a.root", "b.root")
    assert names(manager(files=["b.root", "*.root", "b.root"])) == ["b.root", "a.root"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in/*.root", ["in/part_1.root", "in/part_2.root", "in/part_10.root"]),
        ("in/part_?.root", ["in/part_1.root", "in/part_2.root"]),
        ("in/part_[12].root", ["in/part_1.root", "in/part_2.root"]),
        ("*/part_1*.root", ["in/part_1.root", "in/part_10.root"]),
        ("**/deep.root", ["in/x/y/deep.root"]),
    ],
)
def test_patterns_are_sorted_as_people_count(pattern, found):
    touch("in/part_10.root", "in/part_2.root", "in/part_1.root", "in/readme.md", "in/x/y/deep.root")
    assert names(manager(files=[pattern])) == found


def test_an_absolute_pattern_gives_absolute_names(tmp_path):
    touch("in/b.root", "in/a.root")
    assert names(manager(files=[f"{tmp_path}/in/*.root"])) == [
        f"{tmp_path}/in/a.root",
        f"{tmp_path}/in/b.root",
    ]


@pytest.mark.parametrize(
    "name", ["with space.root", "a:b.root", "odd[1].root", "what?.root", "#1.root", "ünï.root"]
)
def test_odd_characters_in_names_are_just_characters(name):
    touch(f"in/{name}")
    assert names(manager(files=[f"in/{name}"])) == [f"in/{name}"]
    assert names(manager(directories="in")) == [f"in/{name}"]
    listing("lists/a.txt", f"in/{name}")
    if not name.startswith("#"):
        assert names(manager(directories="lists")) == [f"in/{name}"]


def test_a_folder_of_listings_is_read_listing_by_listing_without_comments_and_blank_lines():
    listing("lists/2.txt", "c.root")
    listing("lists/10.txt", "d.root  ", "# old: e.root", "", "  f.root # second half")
    listing("lists/1.txt", "# nothing but", LFN, "b.root", "c.root")
    touch("lists/ignored.root")
    assert names(manager(directories="lists")) == [LFN, "b.root", "c.root", "d.root", "f.root"]


def test_a_listing_may_be_given_itself_as_folder_or_file():
    listing("all.txt", "a.root", "b.root")
    assert names(manager(directories="all.txt")) == ["a.root", "b.root"]
    assert names(manager(files=["z.root", "all.txt"])) == ["z.root", "a.root", "b.root"]


def test_lines_of_a_listing_may_be_patterns():
    touch("in/a_2.root", "in/a_10.root")
    listing("all.txt", "in/a_*.root")
    assert names(manager(files="all.txt")) == ["in/a_2.root", "in/a_10.root"]


def test_several_urls_in_a_line_are_replicas_of_one_file_in_their_order():
    urls = [f"root://{host}.example/{LFN}" for host in ("b", "a")]
    listing("all.txt", f"{urls[0]} {urls[1]}  # far away", "/store/mc/b.root")
    found = manager(files="all.txt", redirector="root://x.example/")
    assert names(found) == [LFN, "/store/mc/b.root"]
    assert [file.urls for file in found.files("tt")] == [
        tuple(urls),
        ("root://x.example//store/mc/b.root",),
    ]


@pytest.mark.parametrize("other", [LFN, f"root://a.example/{LFN} root://c.example/{LFN}"])
def test_a_file_that_two_lines_name_is_refused_because_it_would_count_twice(other):
    listing("all.txt", f"root://a.example/{LFN} root://b.example/{LFN}", other)
    with pytest.raises(ConfigError, match=f"dataset 'tt': {LFN} is named more than once"):
        manager(files="all.txt").files("tt")


def test_a_folder_without_listings_is_its_root_files_or_else_its_parquet_files():
    touch("one/part_10.root", "one/part_9.root", "one/x.parquet", "two/x.parquet")
    assert names(manager(directories="one")) == ["one/part_9.root", "one/part_10.root"]
    assert names(manager(directories="two/")) == ["two/x.parquet"]


def test_folders_pair_with_the_datasets_of_an_entry():
    touch("a/1.root", "b/2.root")
    both = manager(directories=["a", "b"], years=["2017", "2017"])
    assert [names(both, f"tt_2017_{i}") for i in (0, 1)] == [["a/1.root"], ["b/2.root"]]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "dataset 'tt' names no input: give 'directories' or 'files', or .* datasets.base_dir"),
        ({"files": ["none/*.root"]}, r"dataset 'tt': no file matches 'none/\*.root' \(looked from "),
        ({"directories": "none"}, r"dataset 'tt': there is no folder 'none' \(looked from "),
        ({"directories": "none.txt"}, "dataset 'tt': there is no listing 'none.txt'"),
        ({"files": ["none.txt"]}, "dataset 'tt': there is no listing 'none.txt'"),
        ({"files": ["none"]}, "dataset 'tt': there is no file 'none'"),
        ({"directories": "empty"}, "dataset 'tt': folder 'empty' holds neither listings"),
        (
            {"directories": "comments"},
            r"dataset 'tt': the listing comments/a.txt is empty; it needs one file name",
        ),
        ({"directories": "binary"}, "dataset 'tt': cannot read the listing binary/a.txt"),
    ],
)
def test_a_dataset_without_files_is_an_error_that_says_where_was_looked(entry, words):
    Path("empty").mkdir()
    listing("comments/a.txt", "# a.root", "")
    touch("binary/a.txt")
    Path("binary/a.txt").write_bytes(b"\xff\xfe\x00ab")
    with pytest.raises(ConfigError, match=words):
        names(manager(**entry))


@pytest.mark.parametrize(("max_files", "count"), [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_at_most_so_many_files_are_taken_of_each_dataset(max_files, count):
    found = manager(files=["c.root", "a.root", "b.root"], max_files=max_files)
    assert names(found) == ["c.root", "a.root", "b.root"][:count]


BASE = ("base/tt_0.root", "base/tt_2.root", "base/tt_10.root", "base/tt_ht100_0.root", "base/data_0.root")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"files": [LFN]},
        {"files": ["root://host//store/a.root"]},
        {"files": ["https://host/a.root", "local.root"]},
        {"directories": "lists"},
        {"files": ["lists/a.txt"]},
    ],
    ids=str,
)
def test_with_a_base_folder_a_dataset_with_remote_files_or_none_is_found_by_its_name(entry):
    touch(*BASE)
    listing("lists/a.txt", LFN, "/store/mc/b.root")
    assert names(manager("base", **entry)) == ["base/tt_0.root", "base/tt_2.root", "base/tt_10.root"]


def test_with_a_base_folder_relative_names_are_taken_below_it_and_absolute_ones_are_not(tmp_path):
    touch("base/in/a.root", "base/in/b.root", "elsewhere.root")
    assert names(manager("base", files=["in/*.root"])) == ["base/in/a.root", "base/in/b.root"]
    assert names(manager("base/", directories="in")) == ["base/in/a.root", "base/in/b.root"]
    assert names(manager("base", files=[f"{tmp_path}/elsewhere.root"])) == [f"{tmp_path}/elsewhere.root"]


def test_listings_below_the_base_folder_come_before_those_beside_the_configuration():
    listing("base/lists/a.txt", "x.root")
    listing("lists/a.txt", "y.root")
    assert names(manager("base", directories="lists")) == ["base/x.root"]


def test_files_named_after_a_dataset_need_not_be_numbered_and_may_be_parquet():
    touch("base/tt_part.root", "other/tt_0.parquet", "other/tt_1.parquet")
    assert names(manager("base")) == ["base/tt_part.root"]
    assert names(manager("other")) == ["other/tt_0.parquet", "other/tt_1.parquet"]


def test_a_base_folder_without_files_of_a_dataset_names_the_patterns_and_the_way_out():
    touch("base/data_0.root")
    with pytest.raises(
        ConfigError, match=r"'tt': no file base/tt_\*.root or base/tt_\*.parquet.*general.processes"
    ):
        names(manager("base"))


def test_a_base_folder_may_be_a_url(tmp_path):
    touch("base/tt_0.root", "base/in/a.root")
    assert names(manager(f"file://{tmp_path}/base")) == [f"file://{tmp_path}/base/tt_0.root"]
    assert names(manager(f"file://{tmp_path}/base", files=["in/a.root"])) == [
        f"file://{tmp_path}/base/in/a.root"
    ]


@pytest.mark.parametrize(
    ("redirector", "name", "expected"),
    [
        ([], LFN, (LFN,)),
        (["root://a/"], LFN, (f"root://a/{LFN}",)),
        (["root://a"], LFN, (f"root://a/{LFN}",)),
        (["root://a//", "root://b/"], LFN, (f"root://a/{LFN}", f"root://b/{LFN}")),
        (["root://a/", "root://a//"], LFN, (f"root://a/{LFN}",)),
        (["root://a:1094/", "https://b/path/"], LFN, (f"root://a:1094/{LFN}", f"https://b/path{LFN}")),
        (["/mnt/one", "/mnt/two/"], LFN, (f"/mnt/one{LFN}", f"/mnt/two{LFN}")),
        (["root://b/"], f"root://a/{LFN}", (f"root://b/{LFN}",)),
        (["root://b/"], "local.root", ("local.root",)),
        ("root://b/", LFN, (f"root://b/{LFN}",)),
    ],
)
def test_replicas_are_the_logical_name_behind_each_redirector_in_their_order(redirector, name, expected):
    assert urls(manager(files=[name], redirector=redirector)) == [expected]


def test_redirectors_are_told_by_dataset_and_for_all_in_the_order_of_the_configuration():
    entries = [
        {"name": "a", "cross_sections": 1, "files": [LFN], "redirector": ["root://x/", "root://y/"]},
        {"name": "b", "cross_sections": 1, "files": [LFN], "redirector": ["root://z/", "root://x/"]},
        {"name": "c", "cross_sections": 1, "files": [LFN]},
    ]
    found = DatasetManager(Config(**analysis_of(entries)))
    assert found.get_redirector("b") == ["root://z/", "root://x/"]
    assert found.get_redirector("c") == []
    assert found.get_redirector() == ["root://x/", "root://y/", "root://z/"]


@pytest.mark.parametrize("base", ["base", "url"])
def test_redirectors_do_not_apply_where_a_base_folder_says_where_files_are(tmp_path, base):
    touch(*BASE)
    base = f"file://{tmp_path}/base" if base == "url" else base
    found = manager(base, files=[LFN], redirector=["root://x/"], max_files=1)
    assert found.get_redirector("tt") == found.get_redirector() == []
    assert urls(found) == [(f"{base}/tt_0.root",)]


def test_datasets_are_found_by_name_and_a_wrong_name_is_answered_with_the_nearest():
    found = manager(files=["a.root"])
    assert [one.name for one in found.datasets] == ["tt"]
    assert found["tt"].cross_section == 1.0
    with pytest.raises(ConfigError, match="there is no dataset 'ttt'. Did you mean 'tt'"):
        found.files("ttt")


def test_only_selected_processes_are_listed_so_that_absent_files_of_others_do_not_matter():
    entries = [
        {"name": "tt", "cross_sections": 1, "files": ["a.root"]},
        {"name": "zp", "cross_sections": 1, "directories": "not/there"},
    ]
    found = DatasetManager(Config(**analysis_of(entries, processes=["tt"])))
    assert [one.name for one in found.datasets] == ["tt"]
    assert names(found) == ["a.root"]


def test_the_fileset_is_the_mapping_that_coffea_takes():
    found = manager(files=[LFN], redirector=["root://x/"], years=["2017"], process="ttbar", tree_name="Nano")
    assert found.fileset() == {
        "tt_2017": {
            "files": {f"root://x/{LFN}": "Nano"},
            "metadata": {"process": "ttbar", "year": "2017", "is_data": False},
        }
    }
