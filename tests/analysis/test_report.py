"""The report of a run: what counts as covered, what as a success, and how it is shown; numbers by hand."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from intccms.analysis.fold import DatasetFold
from intccms.analysis.normalise import Normalisation
from intccms.analysis.progress import show_progress
from intccms.analysis.report import DatasetReport, Failure, RunReport
from intccms.analysis.results import DatasetSums
from intccms.analysis.tables import cutflow_of_processes
from intccms.schema.selection import Channel
from intccms.selection import Cutflow


def dataset_report(**changes) -> DatasetReport:
    values = {
        "name": "tt",
        "process": "ttbar",
        "year": None,
        "is_data": False,
        "files": 4,
        "failed_files": 0,
        "entries": 1000,
        "processed": 1000,
        "failed_chunks": 0,
        "sumw": 12345.678,
        "scale": 0.5,
    }
    return DatasetReport(**{**values, **changes})


def report(*datasets: DatasetReport, failures=(), min_coverage: float = 1.0, **changes) -> RunReport:
    values = {"notes": (), "lumi": {"": 1.0}, "data_processes": (), "nan": {}, "seconds": 2.0}
    return RunReport(
        datasets=datasets, failures=tuple(failures), min_coverage=min_coverage, **{**values, **changes}
    )


COVERAGES = {
    "everything": ({}, 1.0),
    "half of the entries": ({"processed": 500}, 0.5),
    "one file of four unreadable": ({"failed_files": 1}, 0.75),
    "both": ({"failed_files": 1, "processed": 500}, 0.375),
    "no file readable": ({"failed_files": 4, "entries": 0, "processed": 0}, 0.0),
    "no entries at all": ({"entries": 0, "processed": 0}, 1.0),
    "not to be scaled": ({"error": "cannot normalise"}, 0.0),
}


@pytest.mark.parametrize("case", COVERAGES)
def test_coverage_is_the_fraction_of_entries_with_unreadable_files_as_average_ones(case: str):
    changes, expected = COVERAGES[case]
    assert dataset_report(**changes).coverage == pytest.approx(expected)


def test_the_coverage_of_a_run_is_that_of_its_worst_dataset():
    made = report(dataset_report(), dataset_report(name="dy", processed=250), dataset_report(processed=900))
    assert made.coverage == 0.25


LOST = Failure("tt", "a<b>.root", 0, 100, "OSError: <gone>", "Traceback ...")


@pytest.mark.parametrize(
    ("failures", "processed", "min_coverage", "succeeds"),
    [
        ([], 1000, 1.0, True),
        ([LOST], 900, 1.0, False),
        ([LOST], 900, 0.9, True),
        ([LOST], 899, 0.9, False),
        # nothing of a dataset is missing by its entries, but something failed: only a lower demand forgives that
        ([LOST], 1000, 1.0, False),
        ([LOST], 1000, 0.99, True),
    ],
)
def test_a_run_succeeds_if_nothing_or_little_enough_is_missing(failures, processed, min_coverage, succeeds):
    made = report(dataset_report(processed=processed), failures=failures, min_coverage=min_coverage)
    assert made.succeeded is succeeds
    assert made.complete is (not failures)


def shown(made: RunReport) -> str:
    console = Console(width=160, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(made)
    return capture.get()


def test_the_terminal_shows_what_is_missing_why_and_what_to_know():
    made = report(
        dataset_report(failed_files=1, processed=900),
        failures=[LOST, LOST, Failure("dy", "x", None, None, "boom")],
        notes=("sum of weights of tt counted from Events",),
        nan={"SR/mtt": 3, "SR/none": 0},
    )
    text = shown(made)
    assert "3/4" in text
    assert "67.5 %" in text
    assert "12,345.7" in text
    assert "3 file(s) or chunk(s) failed" in text
    assert "OSError: <gone>\n    in tt (2)" in text
    assert "boom\n    in dy (1)" in text
    assert "note: sum of weights of tt counted from Events" in text
    assert "note: 3 NaN in SR/mtt, in no bin" in text
    assert "SR/none" not in text


def test_many_reasons_are_cut_short_with_a_word_on_where_the_others_are():
    made = report(dataset_report(), failures=[Failure("tt", "x", 0, 1, f"reason {i}") for i in range(20)])
    assert "report.json has the tracebacks and 8 more reasons" in shown(made)


def test_the_notebook_shows_the_same_with_markup_escaped():
    html = report(dataset_report(), failures=[LOST], notes=("a & b",))._repr_html_()
    assert "a&lt;b&gt;.root: OSError: &lt;gone&gt;" in html
    assert "a &amp; b" in html
    assert "<td>1,000</td>" in html


def test_the_json_form_has_rates_coverages_and_tracebacks():
    data = json.loads(json.dumps(report(dataset_report(processed=500), failures=[LOST]).to_json()))
    assert data["events_per_second"] == 250.0
    assert data["datasets"][0]["coverage"] == data["coverage"] == 0.5
    assert data["failures"][0]["traceback"] == "Traceback ..."
    assert (data["complete"], data["succeeded"]) == (False, False)


def test_the_cutflow_of_a_process_adds_scaled_datasets_and_skips_steps_that_one_lacks():
    simulation = DatasetFold(
        DatasetSums(
            common=Cutflow({"all": (10, 4.0), "skim": (5, 2.0)}), channels={"SR": Cutflow({"b": (2, 1.0)})}
        )
    )
    data = DatasetFold(
        DatasetSums(
            common=Cutflow({"all": (9, 9.0), "lumi mask": (7, 7.0), "skim": (6, 6.0)}),
            channels={"SR": Cutflow({"b": (1, 1.0)})},
        )
    )
    folds = {"one": simulation, "two": simulation, "data": data}
    scales = {
        "one": Normalisation(2.0, 1.0),
        "two": Normalisation(0.5, 1.0),
        "data": Normalisation(1.0, None),
    }
    processes = {"mc": ["one", "two"], "data": ["data"]}
    flow = cutflow_of_processes([Channel(name="SR")], folds, processes, scales)["SR"]
    assert flow["steps"] == ["all", "lumi mask", "skim", "b"]
    assert flow["entries"] == {"mc": [20, 20, 10, 4], "data": [9, 7, 6, 1]}
    assert flow["weighted"] == {"mc": [10.0, 10.0, 5.0, 2.5], "data": [9.0, 7.0, 6.0, 1.0]}


def test_a_cut_of_a_channel_named_like_a_common_one_stays_apart():
    fold = DatasetFold(
        DatasetSums(
            common=Cutflow({"all": (10, 4.0), "b jet": (5, 2.0)}),
            channels={"SR": Cutflow({"b jet": (2, 1.0)})},
        )
    )
    flow = cutflow_of_processes(
        [Channel(name="SR")], {"one": fold}, {"p": ["one"]}, {"one": Normalisation(1.0, 1.0)}
    )
    assert flow["SR"]["steps"] == ["all", "b jet", "SR: b jet"]
    assert flow["SR"]["entries"]["p"] == [10, 5, 2]


def test_progress_counts_events_and_failures(capsys):
    with show_progress("histogram", 100, "events") as advance:
        advance(60)
        advance(40, failures=2)
    out = capsys.readouterr().out
    assert "100 %" in out
    assert "2 failed" in out


def test_progress_can_be_silent(capsys):
    with show_progress("histogram", 100, "events", show=False) as advance:
        advance(100)
    assert capsys.readouterr().out.strip() == ""
