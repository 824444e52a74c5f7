"""Colours, texts and files of plots."""

import pytest
from matplotlib.figure import Figure

from intccms.errors import ConfigError, OutputError
from intccms.plotting.annotate import incomplete_text, lumi_text
from intccms.plotting.style import checked_text, process_colors, save_figure


@pytest.mark.parametrize(
    ("n", "first", "last"),
    [(6, "#5790fc", "#7a21dd"), (8, "#1845fb", "#656364"), (10, "#3f90da", "#92dadd")],
)
def test_the_smallest_palette_of_arxiv_2107_02270_that_suffices_is_used(n, first, last):
    colors = process_colors([f"p{i}" for i in range(n)], {})
    assert (colors["p0"], colors[f"p{n - 1}"]) == (first, last)
    assert len(set(colors.values())) == n


def test_more_processes_than_colors_get_colors_again():
    assert process_colors([f"p{i}" for i in range(13)], {})["p12"] == "#bd1f01"


def test_a_configured_color_is_not_given_to_another_process():
    colors = process_colors(["a", "b", "c"], {"b": "#5790fc"})
    assert colors == {"a": "#f89c20", "b": "#5790fc", "c": "#e42536"}


def test_what_is_no_color_is_refused():
    with pytest.raises(ConfigError, match=r"plotting.colors\['a'\]: 'blurple' is not a colour"):
        process_colors(["a"], {"a": "blurple"})


@pytest.mark.parametrize("text", ["plain_name", "cost 3$", r"$t\bar{t}$ + jets", r"5 \$ and 6 \$"])
def test_texts_that_can_be_drawn_pass_unchanged(text):
    assert checked_text(text, "here") == text


@pytest.mark.parametrize("text", [r"$\frac{1$", r"$\nosuchcommand$"])
def test_latex_that_cannot_be_drawn_names_its_place(text):
    with pytest.raises(ConfigError, match=r"plotting.labels\['a'\]: cannot draw .*raw string"):
        checked_text(text, "plotting.labels['a']")


@pytest.mark.parametrize(
    ("lumi", "expected"),
    [
        ({"2017": 41480.0, "2018": 59830.0}, "101"),
        ({"": 59830.0}, "59.8"),
        ({"2018": 2300.0}, "2.30"),
        ({"2018": 12.0}, "0.0120"),
        ({}, None),
        (None, None),
    ],
)
def test_luminosity_is_given_in_inverse_femtobarn_with_three_digits(lumi, expected):
    assert lumi_text({"lumi": lumi}) == expected


def test_a_report_without_coverage_still_warns():
    assert incomplete_text({"complete": False}) == "INCOMPLETE"
    assert incomplete_text({"complete": True, "coverage": 1.0}) == ""
    assert incomplete_text(None) == ""


def test_the_events_that_are_missing_are_those_of_the_worst_dataset():
    partial = {"complete": False, "coverage": 0.5}
    tt, data = {"name": "tt", "coverage": 0.5}, {"name": "data", "coverage": 1.0}
    assert incomplete_text(partial | {"datasets": [tt]}) == "INCOMPLETE: 50.0 % of events"
    both = incomplete_text(partial | {"datasets": [tt, data]})
    assert both == "INCOMPLETE: 50.0 % of events in the worst dataset"


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_same_figure_gives_the_same_bytes_and_no_other_files(tmp_path, ending, magic):
    contents = []
    for _ in range(2):
        figure = Figure(figsize=(2, 2))
        figure.add_subplot().stairs([1, 2])
        (path,) = save_figure(figure, tmp_path / "deep" / "name.with.dots", [ending], dpi=30)
        contents.append(path.read_bytes())
    assert contents[0].startswith(magic)
    assert contents[0] == contents[1]
    assert [item.name for item in (tmp_path / "deep").iterdir()] == [f"name.with.dots.{ending}"]


def test_a_plot_that_fails_leaves_the_earlier_file_alone(tmp_path):
    target = tmp_path / "plot.png"
    target.write_bytes(b"earlier")
    figure = Figure()
    figure.text(0.5, 0.5, r"$\frac{1$")
    with pytest.raises(ValueError, match="frac"):
        save_figure(figure, tmp_path / "plot", ["png"], dpi=30)
    assert target.read_bytes() == b"earlier"
    assert [item.name for item in tmp_path.iterdir()] == ["plot.png"]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "plots").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"cannot write .*a\.png"):
        save_figure(Figure(), tmp_path / "plots" / "a", ["png"], dpi=30)


def test_the_resolution_is_in_the_file(tmp_path):
    sizes = []
    for dpi in (30, 60):
        (path,) = save_figure(Figure(figsize=(2, 2)), tmp_path / str(dpi), ["png"], dpi=dpi)
        sizes.append(int.from_bytes(path.read_bytes()[16:20], "big"))  # width in the IHDR chunk
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)
