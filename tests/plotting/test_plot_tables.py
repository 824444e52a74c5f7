"""Cutflow and yield tables; expected numbers are added by hand."""

import csv
import io
import math

import hist
import pytest
from rich.console import Console

from intccms.errors import OutputError
from intccms.plotting import Table, cutflow_table, yields_table


def column(table, name):
    return [row[table.columns.index(name)] for row in table.rows]


def test_the_cutflow_sums_the_simulation_and_gives_its_efficiency(cutflow):
    table = cutflow_table(cutflow)
    assert table.columns == ("step", "ttbar", "wjets", "simulation", "efficiency [%]", "data")
    assert column(table, "step") == ["all", "one muon", "two b tags"]
    assert column(table, "simulation") == [750.0, 250.0, 207.0]
    assert column(table, "efficiency [%]") == pytest.approx([100.0, 33.3333333, 27.6])
    assert column(table, "data") == [900, 300, 152]


def test_the_cutflow_has_unweighted_entries_on_demand(cutflow):
    table = cutflow_table(cutflow, entries=True)
    assert column(table, "ttbar entries") == [1000, 400, 290]


def test_an_efficiency_of_nothing_is_a_dash():
    table = cutflow_table({"steps": ["all"], "entries": {"a": [0]}, "weighted": {"a": [0.0]}})
    assert column(table, "efficiency [%]") == [None]
    assert "| -" in table.to_markdown().replace("  ", " ").replace("  ", " ").replace("  ", " ")


def test_a_cutflow_of_data_alone_has_no_simulation():
    table = cutflow_table(
        {"steps": ["all"], "entries": {"mu": [3]}, "weighted": {"mu": [3.0]}}, data_processes=["mu"]
    )
    assert table.columns == ("step", "mu")


def test_a_cutflow_whose_numbers_do_not_fit_is_refused(cutflow):
    cutflow["weighted"]["wjets"].pop()
    with pytest.raises(OutputError, match=r"weighted of process 'wjets' has 2 numbers for 3 steps"):
        cutflow_table(cutflow)


def test_csv_keeps_full_precision():
    table = Table("t", ("step", "a"), (("one, two", 1 / 3), ("b", None)))
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["step", "a"], ["one, two", repr(1 / 3)], ["b", ""]]


def test_markdown_escapes_bars_and_aligns_numbers_to_the_right():
    assert Table("Cuts", ("step", "n"), (("a|b", 12345),)).to_markdown() == (
        "### Cuts\n\n| step |      n |\n| ---- | -----: |\n| a\\|b | 12,345 |\n"
    )


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0, "0"), (0.5, "0.5"), (12.345, "12.35"), (1234.56, "1,234.6"), (2.5e9, "2.500e+09"), (-3e-4, "-3.000e-04"),
        (1234567, "1,234,567"), (None, "-"), ("x", "x"),
    ],
)  # fmt: skip
def test_cells_are_written_for_people(cell, text):
    assert f'<td style="text-align: right">{text}</td>' in Table("t", ("a", "b"), (("", cell),))._repr_html_()


def test_html_escapes_names():
    shown = Table("<t>", ("a<b",), (("x & y",),))._repr_html_()
    assert "<th>a&lt;b</th>" in shown
    assert "x &amp; y" in shown
    assert "<caption>&lt;t&gt;</caption>" in shown


def printed(table, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(table)
    return buffer.getvalue()


def test_the_terminal_shows_names_in_brackets_as_they_are(cutflow, monkeypatch):
    assert "efficiency [%]" in printed(cutflow_table(cutflow), 120, monkeypatch)


def test_a_wide_table_is_split_for_a_narrow_terminal_without_losing_a_number(cutflow, monkeypatch):
    wide, narrow = (printed(cutflow_table(cutflow, entries=True), width, monkeypatch) for width in (140, 50))
    assert wide.count("one muon") == 1
    assert narrow.count("one muon") > 1
    for number in ("1,000", "33.33", "145.0", "152"):
        assert number in narrow
    assert max(len(line) for line in narrow.splitlines()) <= 50


def test_yields_of_a_histogram_are_its_integrals_with_flow(met):
    table = yields_table(met)
    assert column(table, "process") == ["ttbar", "wjets", "simulation", "data"]
    assert column(table, "yield") == [145.0, 62.0, 207.0, 152.0]
    expected = [math.sqrt(value) for value in (72.5, 31.0, 103.5, 152.0)]
    assert column(table, "stat. unc.") == pytest.approx(expected)


def entries_of(met, factor=1):
    histogram = hist.Hist(met.axes["met"], met.axes["process"], storage="int64")
    for i, total in enumerate((290, 124, 152)):
        histogram.view(flow=True)[1, i] = total * factor
    return histogram


def test_yields_of_channels_take_uncertainties_from_an_observable_filled_once_per_event(output, met):
    output["entries"] = {
        "SR": {"jets": entries_of(met, 4), "met": entries_of(met)},
        "CR": {"met": entries_of(met, 2)},
    }
    output["histograms"]["SR"]["jets"] = met * 4
    table = yields_table(output)
    assert table.columns == ("process", "SR", "stat. unc.", "CR", "stat. unc.")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["ttbar"] == pytest.approx((145.0, math.sqrt(72.5), 145.0, None))
    assert rows["simulation"][:2] == pytest.approx((207.0, math.sqrt(103.5)))
    assert rows["data"][0] == 152.0
