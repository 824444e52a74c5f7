"""The report of a run: what counts as covered, what as a success, and how it is shown; numbers by hand."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from rich.console import Console

from intccms.analysis.fold import DatasetFold
from intccms.analysis.normalise import Normalisation
from intccms.analysis.progress import show_progress
from intccms.analysis.report import DatasetReport, Failure, RunReport, Skipped, json_text
from intccms.analysis.results import DatasetSums
from intccms.analysis.tables import cutflow_of_processes
from intccms.cli import main
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


LOST = Failure("tt", "a<b>.root", 0, 100, "OSError: <gone>", "Traceback ...", "tt/0/0", 100)


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


@pytest.mark.parametrize("processed", [999, 1001])
def test_entries_that_no_failure_accounts_for_make_a_run_incomplete_too(processed):
    made = report(dataset_report(processed=processed))
    assert not made.complete
    assert not made.succeeded


VERDICTS = {
    "complete": (
        [dataset_report(), dataset_report(name="dy", entries=234, processed=234)],
        {},
        "complete: all 1,234 entries of 2 datasets were processed",
    ),
    "one short": (
        [dataset_report(), dataset_report(name="dy", processed=999)],
        {"failures": [LOST]},
        "incomplete: only 99.9 % of dy was processed, below general.min_coverage=1",
    ),
    "several short": (
        [dataset_report(processed=500), dataset_report(name="dy", processed=250)],
        {"failures": [LOST]},
        "incomplete: only 25 % of dy, the worst of 2 incomplete datasets, was processed, below general.min_coverage=1",
    ),
    "accepted": (
        [dataset_report(processed=900)],
        {"failures": [LOST], "min_coverage": 0.8},
        "incomplete: 90 % of tt was processed; general.min_coverage=0.8 accepts that",
    ),
    "never rounded up": (
        [dataset_report(entries=10**7, processed=10**7 - 1)],
        {"failures": [LOST]},
        "incomplete: only 99.99 % of tt was processed, below general.min_coverage=1",
    ),
    "nothing missing by entries": (
        [dataset_report()],
        {"failures": [LOST]},
        "incomplete: something went wrong that costs no entry, and general.min_coverage=1",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_the_last_line_in_a_terminal_is_the_verdict(case):
    datasets, changes, expected = VERDICTS[case]
    assert shown(report(*datasets, **changes)).splitlines()[-1].strip() == expected


RATES = {
    # 2 s of wall time: 1,000 entries are 500 per second; 0.03 s of CPU for 1,000 entries are 30 s for a million
    "all computed": (
        {"chunks": 10, "computed": 10, "computed_entries": 1000, "cpu_seconds": 0.03},
        "rate: 10 chunks in 2 s, 500 events/s, 30 s of CPU per million events",
    ),
    "some from the ledger": (
        {"chunks": 10, "computed": 4, "reused": 6, "computed_entries": 400, "cpu_seconds": 0.02},
        "rate: 4 chunks in 2 s, 200 events/s, 50 s of CPU per million events; 6 of 10 chunks were in the ledger",
    ),
    "all from the ledger": (
        {"chunks": 10, "reused": 10},
        "rate: nothing was computed: all 10 chunks were in the ledger",
    ),
    "the rest failed": (
        {"chunks": 10, "reused": 7, "failed_chunks": 3},
        "rate: nothing was computed: 7 of 10 chunks were in the ledger, and the others failed",
    ),
    "all failed": (
        {"chunks": 10, "failed_chunks": 10, "processed": 0},
        "rate: nothing was computed: all 10 chunks failed",
    ),
    "no chunks": ({}, "rate: nothing was computed: there was no chunk to process"),
}


@pytest.mark.parametrize("case", RATES)
def test_rates_are_those_of_what_the_run_computed_itself(case):
    changes, expected = RATES[case]
    assert expected in shown(report(dataset_report(**changes))).splitlines()


def test_rates_add_up_over_datasets():
    one = dataset_report(computed_entries=100, cpu_seconds=1.0)
    made = report(one, dataset_report(name="dy", computed_entries=300, cpu_seconds=5.0))
    assert made.events_per_second == 200.0
    assert made.cpu_seconds_per_million_events == 15_000.0
    idle = report(dataset_report())
    assert (idle.events_per_second, idle.cpu_seconds_per_million_events) == (None, None)


def shown(made: RunReport, width: int = 160) -> str:
    """Return what a terminal shows, without blanks at the ends of lines."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(made)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_commands_stay_on_one_line_however_narrow_the_output_is(tmp_path):
    failed = report(dataset_report(processed=900), failures=[LOST], path="a very long path/" * 8)
    (tmp_path / "report.json").write_text(json_text(failed))
    result = CliRunner().invoke(main, ["report", str(tmp_path)], env={"COLUMNS": "60"})
    (line,) = [one for one in result.output.splitlines() if "look at one: intccms replay" in one]
    assert line.rstrip().endswith(" tt/0/0")
    (line,) = [one for one in result.output.splitlines() if "process them again" in one]
    assert line.rstrip().endswith(" --failed")


def test_the_terminal_shows_what_is_missing_why_and_what_to_know():
    made = report(
        dataset_report(failed_files=1, processed=900, sumw_expected=13717.42),
        dataset_report(name="data", sumw=None, lumi_sections=50, processed_lumi_sections=40),
        failures=[LOST, Failure("dy", "x", None, None, "boom"), LOST],
        notes=("sum of weights of tt counted from Events",),
        nan={"SR/mtt": 3, "SR/none": 0},
        skipped=(Skipped("qcd", 12, None, "datasets.max_files=3"),),
        outputs=(("plots", "7 pictures"),),
        path="my runs/first",
    )
    text = shown(made)
    for expected in ("3/4", "67.5 %", "12,345.7", "13,717.4", "40/50", "3 file(s) or chunk(s) failed"):
        assert expected in text
    assert (
        "  2 chunks, 200 entries in tt (2)\n    OSError: <gone>\n"
        "    look at one: intccms replay 'my runs/first' tt/0/0"
    ) in text
    assert "  1 file in dy (1)\n    boom\n\n" in text, "a whole file has no chunk to replay"
    assert "process them again: intccms rerun 'my runs/first' --failed" in text
    assert "note: sum of weights of tt counted from Events" in text
    assert "note: 3 NaN in SR/mtt, in no bin" in text
    assert "SR/none" not in text
    assert "│ qcd     │    12 │ unknown │ datasets.max_files=3 │" in text
    assert "│ plots │ 7 pictures │" in text


def test_a_complete_run_names_no_command_that_repeats_it():
    assert "intccms re" not in shown(report(dataset_report()))


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_a_terminal_of_any_width_shows_all_datasets_in_one_line_each(width):
    long = {"sumw_expected": 2e9, "lumi_sections": 12_345, "chunks": 99, "reused": 50, "computed_entries": 10}
    names = [f"dataset_{i:02}_2016postVFP" for i in range(60)]
    lines = shown(report(*(dataset_report(name=name, **long) for name in names)), width).splitlines()
    assert max(map(len, lines)) <= width
    for name in names:
        (line,) = [one for one in lines if name in one]
        assert "100 %" in line
    assert ("report.html has more" in "".join(lines)) is (width < 160)


def test_a_total_stands_below_several_datasets():
    one = dataset_report(chunks=10, failed_chunks=1, failed_files=1, reused=2)
    (line,) = [
        line
        for line in shown(report(one, dataset_report(chunks=5))).splitlines()
        if line.startswith("│ total")
    ]
    assert [cell.strip() for cell in line.split("│")[2:-1]] == ["7/8", "2,000", "2,000", "", "", "14/15", "2"]
    assert "total" not in shown(report(one))


def test_many_reasons_are_cut_short_the_most_frequent_first():
    letters = "abcdefghijklmnopqrst"
    failures = [Failure("tt", "x", 0, 1, f"reason {letter}") for letter in letters]
    failures += [Failure("tt", "x", i, i + 1, "frequent") for i in range(5)]
    text = shown(report(dataset_report(), failures=failures))
    assert "report.json has every chunk and traceback, and 9 more reasons" in text
    assert text.index("frequent") < text.index("reason a")
    assert "reason k" in text
    assert "reason l" not in text


def test_failures_at_one_place_whose_messages_differ_in_numbers_are_one_group():
    trace = 'Traceback\n  File "/cuts.py", line 3, in cut\n    raise ValueError(pt)\nValueError: too hard: {}'
    failures = [
        Failure("tt", "x", i, i + 1, f"ValueError: too hard: {100 + i}", trace.format(100 + i))
        for i in range(5)
    ]
    parts = [
        Failure("dy", "y", i, i + 1, f"part /skims/file_{i}/p.parquet has {checksum}")
        for i, checksum in enumerate(("00ffab12cd34ef", "99ffab12cd34ee"))
    ]
    elsewhere = Failure(
        "tt", "x", 9, 10, "ValueError: too hard: 9", trace.replace("line 3", "line 4").format(9)
    )
    made = report(dataset_report(), failures=[*failures, elsewhere, *parts])
    assert [len(group.failures) for group in made.groups] == [5, 1, 2]
    assert [one.reason for one in made.failures[:5]] == [f"ValueError: too hard: {100 + i}" for i in range(5)]
    assert {one.traceback for one in made.failures[:5]} == {trace.format(100)}, "one of them is kept"
    assert RunReport.from_json(made.to_json()) == made
    assert "with messages such as this one" in shown(made)


def test_a_long_reason_and_many_datasets_are_cut_short():
    reason = "\n".join(f"line {i}" for i in range(30))
    failures = [Failure(f"set{i}", "x", 0, 1, reason) for i in range(9)]
    text = shown(report(dataset_report(), failures=failures))
    assert "set5 (1) and 3 more datasets" in text
    assert "line 11\n    ... 18 more lines" in text


def test_what_would_steer_the_terminal_is_replaced():
    made = report(
        dataset_report(name="t\x1b[2Jt"), failures=[Failure("tt", "x", 0, 1, "gone \x1b[31m[red] \x07")]
    )
    text = shown(made)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "gone \ufffd[31m[red] \ufffd" in text


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
