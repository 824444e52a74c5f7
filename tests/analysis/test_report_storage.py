"""A report as JSON: grouped and small, read back as it was, in the library and on the command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from intccms.analysis.report import (
    DatasetReport,
    Failure,
    RunReport,
    Skipped,
    json_text,
    read_report,
    write_report,
)
from intccms.cli import main
from intccms.errors import OutputError
from intccms.utils.output import RunDirectory
from tests.analysis.test_report import LOST, dataset_report, report

TEXTS = st.text(max_size=8)
COUNTS = st.integers(0, 10**12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.one_of(st.none(), COUNTS)
FAILURES = st.builds(
    Failure,
    TEXTS,
    TEXTS,
    MAYBE,
    MAYBE,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "t", "u"]),
    st.one_of(st.none(), TEXTS),
    MAYBE,
)
DATASETS = st.builds(
    DatasetReport,
    name=TEXTS,
    process=TEXTS,
    year=st.one_of(st.none(), TEXTS),
    is_data=st.booleans(),
    files=COUNTS,
    failed_files=COUNTS,
    entries=COUNTS,
    processed=COUNTS,
    failed_chunks=COUNTS,
    sumw=st.one_of(st.none(), NUMBERS),
    scale=NUMBERS,
    error=st.one_of(st.none(), TEXTS),
    sumw_expected=st.one_of(st.none(), NUMBERS),
    lumi_sections=MAYBE,
    processed_lumi_sections=MAYBE,
    chunks=COUNTS,
    computed=COUNTS,
    reused=COUNTS,
    computed_entries=COUNTS,
    cpu_seconds=st.floats(0, 1e9),
)
REPORTS = st.builds(
    RunReport,
    datasets=st.lists(DATASETS, max_size=2).map(tuple),
    failures=st.lists(FAILURES, max_size=6).map(tuple),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
    lumi=st.dictionaries(TEXTS, NUMBERS, max_size=2),
    data_processes=st.lists(TEXTS, max_size=2).map(tuple),
    nan=st.dictionaries(TEXTS, COUNTS, max_size=2),
    seconds=st.floats(0, 1e9),
    min_coverage=st.floats(0, 1),
    skipped=st.lists(st.builds(Skipped, TEXTS, COUNTS, MAYBE, TEXTS), max_size=2).map(tuple),
    outputs=st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
    provenance=st.dictionaries(TEXTS, st.one_of(TEXTS, st.lists(TEXTS, max_size=2)), max_size=2),
    path=TEXTS,
)


@settings(max_examples=60, deadline=None)
@given(made=REPORTS)
def test_a_report_comes_back_from_its_json_form_as_it_was(made: RunReport):
    assert RunReport.from_json(made.to_json()) == made
    assert RunReport.from_json(json.loads(json_text(made))) == made


@settings(max_examples=60, deadline=None)
@given(failures=st.lists(FAILURES, max_size=8))
def test_grouping_keeps_every_failure_and_the_order_within_a_group(failures: list[Failure]):
    made = report(failures=failures)
    assert sorted(made.failures, key=repr) == sorted(failures, key=repr)
    keys = [(group.reason, group.traceback) for group in made.groups]
    assert len(set(keys)) == len(keys)
    for group in made.groups:
        assert list(group.failures) == [
            one for one in failures if (one.reason, one.traceback) == (group.reason, group.traceback)
        ]


def test_the_json_form_groups_failures_by_reason_and_has_each_traceback_once():
    other = Failure("dy", "c.root", 5, 15, LOST.reason, LOST.traceback, "dy/2/0", 10)
    whole = Failure("dy", "d.root", None, None, "boom")
    made = report(
        dataset_report(processed=500, computed_entries=500, cpu_seconds=0.1), failures=[LOST, whole, other]
    )
    data = json.loads(json_text(made))
    assert data["events_per_second"] == 250.0
    assert data["cpu_seconds_per_million_events"] == pytest.approx(200.0)
    assert data["datasets"][0]["coverage"] == data["coverage"] == 0.5
    assert (data["complete"], data["succeeded"]) == (False, False)
    assert data["failures"] == [
        {
            "reason": "OSError: <gone>",
            "traceback": "Traceback ...",
            "count": 2,
            "entries": 110,
            "chunks": [
                {"dataset": "tt", "file": "a<b>.root", "start": 0, "stop": 100, "chunk": "tt/0/0"},
                {"dataset": "dy", "file": "c.root", "start": 5, "stop": 15, "chunk": "dy/2/0"},
            ],
        },
        {
            "reason": "boom",
            "traceback": "",
            "count": 1,
            "entries": 0,
            "chunks": [{"dataset": "dy", "file": "d.root", "start": None, "stop": None, "chunk": None}],
        },
    ]


def many_failures(count: int) -> list[Failure]:
    text = "Traceback (most recent call last):\n" + '  File "/some/where.py", line 1, in f\n' * 100
    file = f"/store/mc/{'x' * 100}.root"
    return [
        Failure(f"set{i % 60}", file, i, i + 1, f"ValueError: {i % 3}", text, f"set{i % 60}/{i}/0", 1)
        for i in range(count)
    ]


def test_failures_with_equal_tracebacks_take_one_short_line_each(tmp_path):
    directory = RunDirectory(tmp_path)
    few, many = 1_000, 11_000
    sizes = []
    for count in (few, many):
        write_report(directory, report(dataset_report(), failures=many_failures(count)))
        sizes.append(directory.report.stat().st_size)
    # the name of a file here has 115 letters
    assert (sizes[1] - sizes[0]) / (many - few) < 230
    assert len(directory.report.read_text().splitlines()) < many + 100
    assert len(read_report(tmp_path).failures) == many


def test_numbers_that_are_not_finite_become_null_and_come_back_as_unknown(tmp_path):
    made = report(dataset_report(sumw=math.nan, sumw_expected=math.inf, scale=math.inf), seconds=math.nan)
    write_report(RunDirectory(tmp_path), made)
    assert "NaN" not in (tmp_path / "report.json").read_text()
    read = read_report(tmp_path)
    assert (read.datasets[0].sumw, read.datasets[0].sumw_expected) == (None, None)
    assert math.isnan(read.datasets[0].scale)
    assert math.isnan(read.seconds)


def test_commands_name_the_place_where_the_run_directory_is_now(tmp_path):
    write_report(RunDirectory(tmp_path / "old"), report(dataset_report(), failures=[LOST], path="old"))
    (tmp_path / "old").rename(tmp_path / "new")
    made = report(dataset_report(), failures=[LOST], path=str(tmp_path / "new"))
    assert read_report(tmp_path / "new") == made


def old_form(text: str) -> str:
    data = json.loads(text)
    return json.dumps({**data, "failures": [{"dataset": "tt", "file": "x", "reason": "y"}]})


UNREADABLE = {
    "no JSON": (lambda text: text[:50], "is no run report"),
    "a list": (lambda text: "[]", "is no run report"),
    "something else": (lambda text: "{}", "is no run report"),
    "failures of another form": (old_form, "the failures are not as expected: KeyError('chunks')"),
    "a wrong type": (
        lambda text: text.replace('"processed": 1000', '"processed": "many"'),
        "datasets.0.processed",
    ),
    "not UTF-8": (lambda text: None, "cannot read"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_no_report_is_an_error_that_says_so(case, tmp_path):
    change, expected = UNREADABLE[case]
    write_report(RunDirectory(tmp_path), report(dataset_report()))
    path = tmp_path / "report.json"
    changed = change(path.read_text())
    path.write_bytes(b"\xff\xfe" if changed is None else changed.encode())
    with pytest.raises(OutputError) as caught:
        read_report(tmp_path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "un the analysis again" in str(caught.value)


def call(*args: str | Path):
    return CliRunner().invoke(main, [str(one) for one in args])


@pytest.fixture
def run(tmp_path) -> Path:
    write_report(RunDirectory(tmp_path), report(dataset_report(processed=900), failures=[LOST]))
    return tmp_path


def test_the_command_shows_the_report_of_a_run_directory(run):
    result = call("report", run)
    assert result.exit_code == 0, result.output
    assert "OSError: <gone>" in result.stdout
    assert "only 90 % of tt was processed" in result.stdout


def test_the_command_prints_page_and_json_as_they_are_in_the_run_directory(run):
    found = read_report(run)
    write_report(RunDirectory(run), replace(found, path=str(run)))
    assert call("report", run, "--html").stdout == (run / "report.html").read_text()
    assert call("report", run, "--json").stdout == (run / "report.json").read_text()


@pytest.mark.parametrize("place", ["empty", "absent", "a file"])
def test_a_folder_without_a_report_is_an_error_that_says_what_is_expected(place, tmp_path):
    folder = tmp_path / "there"
    if place == "empty":
        folder.mkdir()
    elif place == "a file":
        folder.write_text("")
    result = call("report", folder)
    assert result.exit_code == 2
    assert f"there is no report in {folder}" in result.stderr
    assert "general.output_dir" in result.stderr
    assert "Traceback" not in result.output
