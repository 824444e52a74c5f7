"""The report as HTML: nothing from outside, everything escaped, small however much failed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from intccms.analysis.report import Failure, RunReport, Skipped, html_page
from tests.analysis.test_report import LOST, dataset_report, report

VOID = {"meta", "br"}


class Elements(HTMLParser):
    """Collects elements, attributes and text of a page, and checks that elements are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def full_report() -> RunReport:
    return report(
        dataset_report(processed=900, failed_files=1, sumw_expected=13717.42, chunks=10, failed_chunks=1),
        dataset_report(name="data", sumw=None, lumi_sections=50, processed_lumi_sections=40, chunks=2),
        failures=[LOST, LOST, Failure("tt", "x.root", None, None, "cannot open\n  root://a: <time-out>")],
        notes=("counted from <Events>",),
        nan={"SR/mtt": 3, "SR/none": 0},
        skipped=(Skipped("qcd", 12, None, "datasets.max_files=3"),),
        outputs=(("plots", "7 pictures"), ("cut flow/a&b.csv", "tables")),
        provenance={
            "versions": {"python": "3.12.1", "numba": None},
            "command": ["intccms", "run"],
            "host": "h",
        },
        path="my runs/first",
    )


RENDERINGS = {"page": html_page, "notebook": RunReport._repr_html_}


@pytest.fixture(params=RENDERINGS)
def render(request):
    return RENDERINGS[request.param]


def test_it_shows_datasets_failures_what_was_left_out_and_notes(render):
    elements = Elements(render(full_report()))
    titles = [
        *("dataset", "files", "entries", "processed", "coverage", "sum of weights", "expected sum"),
        *("lumi sections", "chunks"),
    ]
    assert elements.rows[:4] == [
        titles,
        ["tt", "3/4", "1,000", "900", "67.5 %", "12,345.7", "13,717.4", "", "9/10"],
        ["data", "4", "1,000", "1,000", "100 %", "", "", "40/50", "2"],
        ["total", "7/8", "2,000", "1,900", "", "", "", "", "11/12"],
    ]
    assert ["qcd", "12", "unknown", "datasets.max_files=3"] in elements.rows
    assert ["SR/mtt", "3"] in elements.rows
    for expected in (
        "only 67.5 % of tt was processed, below general.min_coverage=1",
        "intccms rerun 'my runs/first' --failed",
        "intccms replay 'my runs/first' tt/0/0",
        "2 chunks, 200 entries in tt (2)",
        "1 file in tt (1)",
        "cannot open\n  root://a: <time-out>",
        "Traceback ...",
        "counted from <Events>",
    ):
        assert expected in elements.text
    assert "SR/none" not in elements.text


def test_bars_are_as_long_as_the_coverage(render):
    assert re.findall(r'class="bar"><span style="width:([^"]*)"', render(full_report())) == ["67.5%", "100%"]


def test_a_complete_run_has_no_section_without_content(render):
    page = render(report(dataset_report()))
    assert re.findall("<h2>(.*?)</h2>", page) == ["Datasets"]
    assert "complete" in Elements(page).text


def test_the_page_has_what_only_a_page_needs():
    elements = Elements(html_page(full_report()))
    assert ["versions", "python 3.12.1"] in elements.rows
    assert ["command", "intccms run"] in elements.rows
    assert elements.links == ["./plots", "./cut%20flow/a%26b.csv"]
    assert "tt/0/0: a<b>.root [0 to 100]" in elements.text
    assert "tt: x.root" in elements.text


def test_nothing_is_fetched_and_nothing_runs(render):
    page = render(full_report())
    elements = Elements(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(elements.tags)
    assert not re.search(r"url\(|@import|\son\w+=", page)


HOSTILE = "</pre></td></style><script>alert(1)</script><b onload='x' \"\x1b[31m\x00\udcff"


def test_every_text_is_escaped(render):
    text = HOSTILE
    made = report(
        dataset_report(name=text, process=text, error=text),
        failures=[Failure(text, text, 0, 5, text, text, text, 5), Failure(text, text, None, None, text)],
        notes=(text,),
        lumi={text: 1.0},
        nan={text: 2},
        skipped=(Skipped(text, 1, 1, text),),
        outputs=((text, text),),
        provenance={text: text, "versions": {text: text}},
        path=text,
    )
    page = render(made)
    elements = Elements(page)
    assert not {"script", "b"} & set(elements.tags)
    assert elements.text.count("<script>alert(1)</script>") > 10
    assert "\x1b" not in page
    assert "\x00" not in page
    page.encode()  # what is no valid unicode could not be written


def distinct_failures(count: int) -> list[Failure]:
    return [
        Failure(
            f"set{i % 60}",
            f"/{'x' * 250}{i}",
            i,
            i + 1,
            f"{i}: {'r' * 5_000}",
            f"{i}{'<' * 50_000}",
            f"c/{i}",
            1,
        )
        for i in range(count)
    ]


def equal_failures(count: int) -> list[Failure]:
    file = f"/{'x' * 250}"
    return [Failure(f"set{i % 60}", file, i, i + 1, "r", "t", f"c/{i}", 1) for i in range(count)]


@pytest.mark.parametrize(
    "failures", [equal_failures(100_000), distinct_failures(200)], ids=["one reason", "many reasons"]
)
def test_the_page_stays_small_however_much_fails(failures):
    made = report(*(dataset_report(name=f"set{i}") for i in range(60)), failures=failures)
    assert len(html_page(made).encode()) < 2_000_000
    assert len(made._repr_html_().encode()) < 300_000


def test_what_is_left_out_of_the_page_is_counted():
    made = report(
        dataset_report(), failures=[*equal_failures(30), *distinct_failures(60)], notes=("n",) * 205
    )
    text = Elements(html_page(made)).text
    assert "and 5 more failures in report.json" in text
    assert "and 21 more reasons in report.json" in text
    assert "and 5 more notes in report.json" in text
    assert "[... shortened, report.json has it all ...]" in text


def test_a_long_traceback_keeps_both_ends():
    middle = "\n".join(f"frame {i}" for i in range(10_000))
    lost = Failure("tt", "x", 0, 1, "r", f"FIRST\n{middle}\nLAST", "tt/0/0", 1)
    text = Elements(html_page(report(dataset_report(), failures=[lost]))).text
    assert "FIRST" in text
    assert "LAST" in text
    assert "frame 5000" not in text
