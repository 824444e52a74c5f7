"""Sums of theory weights over generated events, from `Runs` or counted from the events.

Expected sums are computed by `tests.nanofiles` in plain Python from the formulas, or by hand where they stand here.
"""

from __future__ import annotations

import json
import re
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.datasets import SourceFile
from intccms.metadata import FileMetadata, MetadataTask, reader, sums
from intccms.metadata.reader import read_data_file, read_simulation_file
from intccms.metadata.sums import sums_of_runs
from tests.nanofiles import Written, write_nano
from tests.reference import reference_data

THEORY = {"LHEScaleWeight": 9, "PSWeight": 4}
SUFFIX = {"ttree": "root", "rntuple": "root", "parquet": "parquet"}


def read(written: Written, *wanted: str, weight: str = "genWeight") -> FileMetadata:
    file = SourceFile(written.name, (written.name,))
    return read_simulation_file(file, "Events", weight, branches=False, weight_sums=wanted)


def near(expected: dict[str, list[float]]) -> dict[str, Any]:
    return {branch: pytest.approx(values, rel=1e-12) for branch, values in expected.items()}


def refuse_events(monkeypatch):
    def refuse(*_: Any) -> None:
        pytest.fail("the events were opened")

    monkeypatch.setattr(reader, "open_source", refuse)


class TestRuns:
    """What the tree `Runs` tells."""

    @pytest.mark.parametrize("runs", ["genEventSumw", "genEventSumw_"])
    @pytest.mark.parametrize("n_generated", [30, 95])
    def test_sums_are_taken_in_either_spelling_without_opening_the_events(
        self, tmp_path, monkeypatch, runs, n_generated
    ):
        written = write_nano(tmp_path / "a.root", runs=runs, n_generated=n_generated, theory=THEORY)
        refuse_events(monkeypatch)
        for wanted in ((), ("LHEScaleWeight", "PSWeight")):
            record = read(written, *wanted)
            assert record.weight_sums == near(written.weight_sums)
            assert record.weight_sums_from == dict.fromkeys(THEORY, "Runs")
            assert record.sumw == written.sumw

    def test_those_of_an_rntuple_are_taken_too(self, tmp_path):
        written = write_nano(tmp_path / "a.root", n_generated=95, theory=THEORY, kind="rntuple")
        assert read(written).weight_sums == near(written.weight_sums)

    def test_rows_are_added_up_with_their_own_sum_of_weights(self):
        runs = {"PSSumw": [[1.0, 0.5], [0.8, 1.2], [1.0, 2.0]]}
        # 10 + 0.8 * 30 - 5, and 5 + 36 - 10
        assert sums_of_runs(runs, [10.0, 30.0, -5.0], "f") == {"PSWeight": pytest.approx([29.0, 31.0])}

    def test_rows_of_a_file_are_added_up_as_hadd_leaves_them(self, tmp_path):
        written = write_nano(tmp_path / "a.root", 10, runs="absent")
        with uproot.update(written.path) as file:
            tree = file.mktree("Runs", {"genEventSumw": np.float64, "LHEReweightingSumw": "var * float64"})
            for total, relative in ((10.0, [1.0, 0.5]), (30.0, [0.5, 2.0])):
                tree.extend({"genEventSumw": np.array([total]), "LHEReweightingSumw": ak.Array([relative])})
        record = read(written)
        assert record.sumw == 40.0
        assert record.weight_sums == {"LHEReweightingWeight": [25.0, 65.0]}

    def test_a_row_without_weights_has_no_say(self):
        runs = {"PSSumw": [[1.5], [], [np.nan]]}
        assert sums_of_runs(runs, [2.0, 0.0, 0.0], "f") == {"PSWeight": [3.0]}

    @pytest.mark.parametrize(
        ("name", "rows", "words"),
        [
            ("LHEPdfSumw", [[1.0, 1.0], [1.0]], r"their lengths differ \(\[1, 2\]\)"),
            ("LHEScaleSumw_", [[1.0, 1.0], []], r"their lengths differ \(\[0, 2\]\)"),
            ("PSSumw", [[1.0, np.inf], [1.0, 1.0]], "not all of them are finite"),
            ("LHEPdfSumw", [[42.6, 43.1], [1.0, 1.0]], "42.9 times that of genWeight, as if added up"),
        ],
        ids=["lengths", "one empty", "infinite", "added up"],
    )
    def test_what_cannot_be_summed_is_left_out_and_the_file_is_named(self, name, rows, words, caplog):
        runs = {name: rows, "LHEReweightingSumw": [[7.0], [9.0]]}
        assert sums_of_runs(runs, [1.0, 1.0], "the/file.root") == {"LHEReweightingWeight": [16.0]}
        branch = name.rstrip("_").replace("Sumw", "Weight")
        assert f"the/file.root: the sums of {branch} in 'Runs' are left out: " in caplog.text
        assert re.search(words, caplog.text)

    def test_vectors_that_an_old_merge_added_up_are_divided_by_the_number_of_files(self, caplog):
        scales = [42.4, 43.8, 44.6, 41.2, 43.0, 44.2, 40.2, 42.2, 43.7]
        runs = {"LHEScaleSumw_": [scales], "LHEPdfSumw_": [[42.6, 43.0]]}
        assert sums_of_runs(runs, [100.0], "f.root") == {
            "LHEScaleWeight": pytest.approx([100 * one / 43 for one in scales]),
            "LHEPdfWeight": pytest.approx([4260 / 43, 100.0]),
        }
        assert "f.root: the sums of theory weights in 'Runs' are added up over 43 merged files" in caplog.text

    def test_empty_vectors_are_no_sums(self):
        assert sums_of_runs({"LHEScaleSumw": [[], []]}, [1.0, 2.0], "f") == {}

    def test_sums_of_another_weight_than_genweight_are_not_in_runs(self, tmp_path):
        weights = np.linspace(1, 2, 12)
        written = write_nano(tmp_path / "a.root", 12, theory={"PSWeight": 1}, extra={"w": weights})
        record = read(written, weight="w")
        assert record.weight_sums == {}
        record = read(written, "PSWeight", weight="w")
        by_hand = sum(w * (1 - 4 * (event % 3) / 8) for event, w in enumerate(weights.tolist(), 1))
        assert record.weight_sums == near({"PSWeight": [by_hand]})
        assert record.weight_sums_from == {"PSWeight": "Events"}


class TestEvents:
    """What is counted, where it is asked for."""

    @pytest.mark.parametrize("kind", SUFFIX)
    @pytest.mark.parametrize("step", [50_000, 7, 11])
    def test_wanted_sums_that_runs_lacks_are_counted_in_chunks_of_any_size(
        self, tmp_path, monkeypatch, kind, step
    ):
        monkeypatch.setattr(sums, "_STEP", step)
        written = write_nano(
            tmp_path / f"a.{SUFFIX[kind]}", 33, theory=THEORY, theory_in_runs=False, kind=kind
        )
        record = read(written, "PSWeight")
        assert record.weight_sums == near({"PSWeight": written.weight_sums["PSWeight"]})
        assert record.weight_sums_from == {"PSWeight": "Events"}
        assert record.sumw_from == ("Events" if kind == "parquet" else "Runs")

    @pytest.mark.parametrize("runs", ["only run", "absent"])
    def test_without_any_sums_in_runs_both_are_counted(self, tmp_path, runs):
        record = read(
            written := write_nano(tmp_path / "a.root", 33, runs=runs, theory=THEORY), "LHEScaleWeight"
        )
        assert (record.sumw, record.sumw_from) == (written.sumw, "Events")
        assert record.weight_sums == near({"LHEScaleWeight": written.weight_sums["LHEScaleWeight"]})

    def test_what_nobody_asks_for_is_not_counted(self, tmp_path, monkeypatch):
        written = write_nano(tmp_path / "a.root", theory=THEORY, theory_in_runs=False)
        refuse_events(monkeypatch)
        assert read(written).weight_sums == {}

    def test_sums_in_runs_are_not_counted_again_beside_those_that_are(self, tmp_path):
        written = write_nano(tmp_path / "a.root", theory={"LHEScaleWeight": 9}, extra={})
        with uproot.open(written.path) as file:
            runs = file["Runs"].arrays(library="ak")
            events = file["Events"].arrays(["genWeight", "LHEScaleWeight"], library="ak")
        path = tmp_path / "b.root"
        with uproot.recreate(path) as file:
            file.mktree("Events", {"genWeight": np.float32, "PSWeight": "var * float32"}).extend(
                {"genWeight": events.genWeight, "PSWeight": events.LHEScaleWeight}
            )
            columns = {name: runs[name] for name in ("genEventSumw", "LHEScaleSumw")}
            types = {"genEventSumw": np.float64, "LHEScaleSumw": "var * float64"}
            file.mktree("Runs", types).extend(columns)
        record = read(Written(path, 30, 30, 0.0, {}), "PSWeight", "LHEScaleWeight")
        assert record.weight_sums_from == {"LHEScaleWeight": "Runs", "PSWeight": "Events"}
        assert record.weight_sums["PSWeight"] == pytest.approx(record.weight_sums["LHEScaleWeight"])

    @pytest.mark.parametrize(("name", "n_generated"), [("tt_Skim.root", 30), ("tt.root", 95)])
    def test_a_skim_tells_nothing_and_its_events_are_not_opened(
        self, tmp_path, monkeypatch, name, n_generated
    ):
        written = write_nano(tmp_path / name, n_generated=n_generated, theory=THEORY, theory_in_runs=False)
        refuse_events(monkeypatch)
        record = read(written, "PSWeight")
        assert (record.weight_sums, record.weight_sums_from) == ({"PSWeight": []}, {})

    def test_a_file_without_the_branch_tells_nothing(self, tmp_path):
        record = read(write_nano(tmp_path / "a.root"), "PSWeight")
        assert (record.weight_sums, record.weight_sums_from, record.error) == ({"PSWeight": []}, {}, None)

    @pytest.mark.parametrize("runs", ["genEventSumw", "absent"])
    def test_a_file_without_events_tells_nothing(self, tmp_path, runs):
        written = write_nano(tmp_path / "a.root", 0, runs=runs, theory_in_runs=False, theory=THEORY)
        assert read(written, "PSWeight").weight_sums == {"PSWeight": []}

    @pytest.mark.parametrize("kind", ["ttree", "parquet"])
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (ak.Array([[1.0, 2.0], [1.0, 2.0], [1.0], [2.0]]), r"the lengths [1, 2] occur"),
            (np.array([1.0, 2.0, 3.0, 4.0]), "it is no list of weights"),
        ],
        ids=["lengths", "flat"],
    )
    def test_weights_that_are_not_equally_many_are_left_out(
        self, tmp_path, monkeypatch, caplog, values, words, kind
    ):
        monkeypatch.setattr(sums, "_STEP", 2)
        path = tmp_path / f"a.{SUFFIX[kind]}"
        if kind == "parquet":
            ak.to_parquet(ak.zip({"genWeight": np.ones(4), "PSWeight": values}, depth_limit=1), path)
        else:
            types = {"genWeight": np.float32, "PSWeight": ak.type(values).content}
            with uproot.recreate(path) as file:
                file.mktree("Events", types).extend({"genWeight": np.ones(4), "PSWeight": values})
        record = read(Written(path, 4, 4, 4.0, {}), "PSWeight")
        assert (record.sumw, record.weight_sums) == (4.0, {"PSWeight": []})
        assert f"{path}: the sums of PSWeight are left out: {words}" in caplog.text

    def test_no_weights_in_any_event_are_no_sums(self, tmp_path):
        written = write_nano(tmp_path / "a.root", theory={"LHEReweightingWeight": 0}, theory_in_runs=False)
        assert read(written, "LHEReweightingWeight").weight_sums == {"LHEReweightingWeight": []}


def test_data_have_no_such_sums(tmp_path):
    written = write_nano(tmp_path / "a.root", data=True)
    file = SourceFile(written.name, (written.name,))
    assert read_data_file(file, "Events", branches=False).weight_sums == {}
    _, record = MetadataTask("data", file, "Events", None, branches=False, weight_sums=("PSWeight",))()
    assert (record.weight_sums, record.error) == ({}, None)


def test_a_record_keeps_sums_and_their_absence_in_json(tmp_path):
    record = read(write_nano(tmp_path / "a.root", theory=THEORY), "LHEPdfWeight")
    assert record.weight_sums["LHEPdfWeight"] == []
    assert len(record.weight_sums) == 3
    again = FileMetadata.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record
    assert again.lacks(["LHEPdfWeight", "PSWeight"]) == []
    assert again.lacks(["LHEReweightingWeight", "PSWeight"]) == ["LHEReweightingWeight"]


REAL = {
    # positions told by 'Runs', and one of the relative sums as stored
    "DarkBottomLine_ggH_M125_amcatnlo_v13.root": (
        {"LHEScaleWeight": 9, "LHEPdfWeight": 103, "PSWeight": 4},
        1.1596914,
    ),
    "DarkBottomLine_DYJetsToLL--UL17_v6-v2_109_Skim.root": (
        {"LHEScaleWeight": 9, "LHEPdfWeight": 103},
        0.9819483,
    ),
    "DarkBottomLine_ttH_M125_2017.root": ({"LHEScaleWeight": 9, "LHEPdfWeight": 33}, 1.0210054),
    "nano_tree.root": ({"LHEScaleWeight": 9, "LHEPdfWeight": 101}, 1.0502957),
    # merged of 43 (v6, with an underscore) and 21 files (v7), of which the sums were added up
    "nano_dy.root": ({"LHEScaleWeight": 9, "LHEPdfWeight": 33}, 42.3966917 / 43),
    "nano_dy_10evt_old.root": ({"LHEScaleWeight": 9, "LHEPdfWeight": 33}, 20.7267869 / 21),
    "PFNano_nano106X_2017_mc_NANO.root": ({}, None),
    "CROWN_nanoAOD_a.root": ({}, None),
}


@pytest.mark.parametrize("name", REAL)
def test_sums_of_real_files_are_those_that_cms_stored(name):
    path = str(reference_data() / "nanoaod" / name)
    lengths, first = REAL[name]
    record = read_simulation_file(SourceFile(path, (path,)), "Events", "genWeight", branches=False)
    assert {branch: len(values) for branch, values in record.weight_sums.items()} == lengths
    if lengths:
        assert record.sumw is not None
        scales = record.weight_sums["LHEScaleWeight"]
        assert scales[0] / record.sumw == pytest.approx(first, rel=1e-6)
        assert scales[4] / record.sumw == pytest.approx(1.0, rel=1e-5)


def test_counted_sums_of_a_real_file_are_those_of_a_loop_over_its_events():
    path = str(reference_data() / "nanoaod/nano_tt_v15.root")
    wanted = {"LHEScaleWeight": 9, "LHEPdfWeight": 103, "PSWeight": 4}
    file = SourceFile(path, (path,))
    record = read_simulation_file(file, "Events", "genWeight", branches=False, weight_sums=tuple(wanted))
    with uproot.open(path) as opened:
        events = opened["Events"].arrays(["genWeight", *wanted])
    for branch, length in wanted.items():
        loop = [0.0] * length
        for weight, values in zip(events.genWeight.tolist(), events[branch].tolist(), strict=True):
            loop = [total + weight * value for total, value in zip(loop, values, strict=True)]
        assert record.weight_sums[branch] == pytest.approx(loop, rel=1e-9)
    assert set(record.weight_sums_from.values()) == {"Events"}
