"""Which sums of theory weights a configuration asks for, and when files are read again for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from intccms.datasets import DatasetManager
from intccms.errors import MetadataError
from intccms.metadata import (
    DatasetMetadata,
    FileMetadata,
    MetadataStore,
    MetadataTask,
    read_metadata,
    wanted_sums,
)
from intccms.schema import Config
from intccms.schema.base import SYS
from tests.configurations import analysis_of, same
from tests.nanofiles import html_named_root, write_nano

ALL = ["a_0.root", "a_1.root", "a_2.root"]


def correction(name: str, *branches: str | None, **more: Any) -> dict[str, Any]:
    """Return a correction with a source per branch; None is one without sums."""
    sources = [
        {
            "name": f"{name}{index}",
            "up_and_down_idx": [1, 0],
            "weight_sums": branch,
            "args": [SYS],
            "up_function": same,
        }
        for index, branch in enumerate(branches)
    ]
    return {"name": name, "type": "event", "uncertainty_sources": sources, **more}


def asked(corrections: Any, *entries: dict[str, Any], **general: Any) -> dict[str, tuple[str, ...]]:
    datasets = [{"name": "tt", "cross_sections": 1.0, "files": ["x"]} | entry for entry in entries or ({},)]
    config = Config(**analysis_of(datasets, **general), corrections=corrections)
    return {one.name: wanted_sums(config, one) for one in config.selected_datasets()}


THEORY = correction("theory", "LHEScaleWeight", "PSWeight", None, "PSWeight")


def test_each_branch_is_asked_for_once_and_nothing_without_corrections():
    assert asked([THEORY]) == {"tt": ("LHEScaleWeight", "PSWeight")}
    assert asked([]) == {"tt": ()}


def test_only_corrections_that_apply_to_a_dataset_count():
    pdf = correction("pdf", "LHEPdfWeight", applies_to=["zp"])
    datasets = ({}, {"name": "zp"})
    assert asked([THEORY | {"applies_to": ["tt"]}, pdf], *datasets) == {
        "tt": ("LHEScaleWeight", "PSWeight"),
        "zp": ("LHEPdfWeight",),
    }


def test_only_the_corrections_of_the_year_of_a_dataset_count():
    corrections = {"2017": [THEORY], "2018": [correction("pdf", "LHEPdfWeight")]}
    entry = {"years": [2017, 2018], "files": [["x"], ["y"]]}
    assert asked(corrections, entry, lumi={"2017": 1.0, "2018": 1.0}) == {
        "tt_2017": ("LHEScaleWeight", "PSWeight"),
        "tt_2018": ("LHEPdfWeight",),
    }


def test_data_have_no_variations():
    data = {"name": "data", "is_data": True, "cross_sections": None}
    both = THEORY | {"applies_to": ["data", "simulation"]}
    assert asked([both], {}, data) == {"tt": ("LHEScaleWeight", "PSWeight"), "data": ()}


@pytest.mark.parametrize("writes", [True, False])
def test_without_variations_sums_are_asked_for_only_where_skims_are_to_keep_them(writes):
    found = asked([THEORY], run_systematics=False, save_skimmed_output=writes)
    assert found == {"tt": ("LHEScaleWeight", "PSWeight") if writes else ()}


class Analysis:
    """A dataset with its store; `read` is a new process each time, and notes the files that were looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "metadata"
        self.looked_at: list[str] = []

    def read(self, *wanted: str, refresh: bool = True, **entry: Any) -> DatasetMetadata:
        default = {"name": "tt", "cross_sections": 1.0, "files": [str(self.folder / "in/*.root")]}
        config = Config(**analysis_of([default | entry]))
        self.looked_at = []
        (found,) = read_metadata(
            DatasetManager(config),
            MetadataStore(self.store),
            self._run,
            refresh=refresh,
            weight_sums={"tt": wanted, "another one": ("LHEPdfWeight",)},
        )
        self.looked_at.sort()
        return found

    def _run(self, tasks: Sequence[MetadataTask]) -> Iterator[tuple[MetadataTask, FileMetadata]]:
        for task in tasks:
            self.looked_at.append(Path(task.file.name).name)
            yield task()

    def forget_sums(self) -> None:
        """Make the store one that was written before there were such sums."""
        path = self.store / "tt.json"
        stored = json.loads(path.read_text())
        for record in stored["files"]:
            record.pop("weight_sums", None)
            record.pop("weight_sums_from", None)
        path.write_text(json.dumps(stored))


@pytest.fixture
def analysis(tmp_path):
    for index in range(3):
        write_nano(
            tmp_path / f"in/a_{index}.root",
            10 + index,
            first=1 + 100 * index,
            theory={"LHEScaleWeight": 9},
        )
    return Analysis(tmp_path)


def test_sums_in_runs_are_known_before_anybody_asks(analysis):
    analysis.read()
    found = analysis.read("LHEScaleWeight")
    assert analysis.looked_at == []
    assert [len(record.weight_sums["LHEScaleWeight"]) for record in found.files] == [9, 9, 9]


@pytest.mark.parametrize("branch", ["LHEScaleWeight", "PSWeight"])
def test_records_of_before_are_refreshed_once_whether_the_files_tell_the_sums_or_not(analysis, branch):
    analysis.read()
    analysis.forget_sums()
    analysis.read()
    assert analysis.looked_at == [], "nobody asks for them"
    found = analysis.read(branch)
    assert analysis.looked_at == ALL
    lengths = {len(record.weight_sums[branch]) for record in found.files}
    assert lengths == ({9} if branch == "LHEScaleWeight" else {0})
    assert found.branches is not None, "the names of the columns are not lost over it"
    assert analysis.read(branch) == found
    assert analysis.looked_at == []


def test_only_files_of_which_sums_are_unknown_are_read_again(analysis):
    analysis.read("PSWeight")
    write_nano(analysis.folder / "in/a_1.root", 25)
    analysis.read()
    assert analysis.looked_at == ["a_1.root"]
    found = analysis.read("PSWeight")
    assert analysis.looked_at == ["a_1.root"]
    assert [record.entries for record in found.files] == [10, 25, 12]


def test_a_file_that_cannot_be_read_has_no_sums_and_stays_a_failure(analysis):
    html_named_root(analysis.folder / "in/b.root")
    found = analysis.read("PSWeight")
    assert [record.name for record in found.failed] == [str(analysis.folder / "in/b.root")]
    analysis.read("PSWeight")
    assert analysis.looked_at == ["b.root"]


def test_without_refresh_unknown_sums_are_an_error_and_known_absence_is_none(analysis):
    analysis.read()
    analysis.read("LHEScaleWeight", refresh=False)
    with pytest.raises(
        MetadataError, match=r"3 file\(s\), such as .*a_0.root .*run_metadata_generation=True"
    ):
        analysis.read("PSWeight", refresh=False)
    analysis.read("PSWeight")
    assert analysis.read("PSWeight", refresh=False).entries == 33


def test_data_are_not_read_again_for_sums_that_they_cannot_have(analysis):
    for index in range(3):
        write_nano(analysis.folder / f"in/a_{index}.root", data=True)
    data = {"is_data": True, "cross_sections": None}
    analysis.read(**data)
    analysis.read("PSWeight", **data)
    assert analysis.looked_at == []
