"""From sums per dataset to histograms per process, and to disk; expected contents are calculated by hand."""

from __future__ import annotations

import logging

import hist
import numpy as np
import pytest
import uproot
from coffea.util import load

from intccms.errors import OutputError
from intccms.histograms import fill, hist_axes, load_output, merge_processes, save_histograms, to_datasets
from intccms.histograms.storage import save_output
from intccms.schema.selection import Axis, Channel


def same(values):
    return values


def channel(*, dimensions: int = 1) -> Channel:
    names = [f"a{index}" for index in range(dimensions)]
    axes = [{"name": name, "binning": {"bins": 2, "start": 0, "stop": 2}, "unit": "GeV"} for name in names]
    use = [("MET", "pt")]
    return Channel(name="SR", observables=[{"name": "x", "function": same, "use": use, "axes": axes}])


def sums(values, weights, dimensions: int = 1):
    axes = hist_axes(channel(dimensions=dimensions).observables[0].all_axes())
    return {
        ("SR", "x"): fill(axes, (np.asarray(values),) * dimensions, np.asarray(weights, dtype=float), "x")
    }


A = sums([0.5, 0.5, 5.0], [1.0, 2.0, 4.0])
B = sums([1.5, -1.0], [-3.0, 8.0])
PARTS = {"a": A, "b": B}


def test_axes_have_the_edges_names_units_and_flow_of_the_configuration():
    regular, variable = hist_axes(
        [
            Axis(name="x", binning={"bins": 2, "start": 0, "stop": 3}, label="mass", unit="GeV"),
            Axis(name="y", binning=[0, 1, 10]),
        ]
    )
    assert isinstance(regular, hist.axis.Regular)
    assert regular.edges.tolist() == [0.0, 1.5, 3.0]
    assert (regular.name, regular.label) == ("x", "mass [GeV]")
    assert variable.edges.tolist() == [0.0, 1.0, 10.0]
    assert variable.label == "y"
    assert regular.extent == variable.extent == 4


def test_datasets_keep_their_sums_as_filled():
    made = to_datasets([channel()], PARTS, ["a", "b"])
    histogram, entries = made.histograms["SR"]["x"], made.entries["SR"]["x"]
    assert [axis.name for axis in histogram.axes] == ["a0", "dataset", "variation"]
    assert list(histogram.axes["variation"]) == ["nominal"]
    view = histogram[{"variation": "nominal"}].view(flow=True)
    assert view["value"][:, 0].tolist() == [0.0, 3.0, 0.0, 4.0]
    assert view["variance"][:, 0].tolist() == [0.0, 5.0, 0.0, 16.0]
    assert view["value"][:, 1].tolist() == [8.0, 0.0, -3.0, 0.0]
    assert [axis.name for axis in entries.axes] == ["a0", "dataset"]
    assert entries.view(flow=True)[:, 0].tolist() == [0, 2, 0, 1]


def test_the_datasets_of_a_process_are_scaled_one_by_one_and_added():
    made = merge_processes([channel()], PARTS, {"both": ["a", "b"]}, {"a": 2.0, "b": 10.0}.__getitem__)
    view = made.histograms["SR"]["x"][{"process": "both", "variation": "nominal"}].view(flow=True)
    assert view["value"].tolist() == [80.0, 6.0, -30.0, 8.0]
    assert view["variance"].tolist() == [6400.0, 20.0, 900.0, 64.0]
    assert made.entries["SR"]["x"][{"process": "both"}].view(flow=True).tolist() == [1, 2, 1, 1]


def test_scaling_one_process_leaves_the_other_and_the_sums_alone():
    processes = {"first": ["a"], "second": ["b"]}
    made = merge_processes([channel()], PARTS, processes, {"a": 0.0, "b": 1.0}.__getitem__)
    histogram = made.histograms["SR"]["x"]
    assert histogram[{"process": "first"}].sum(flow=True).value == 0.0
    assert histogram[{"process": "second"}].sum(flow=True).value == 5.0
    assert A["SR", "x"].sumw.sum() == 7.0


def test_a_dataset_of_which_nothing_came_is_an_empty_category():
    made = to_datasets([channel()], {"a": A}, ["a", "silent"])
    assert list(made.histograms["SR"]["x"].axes["dataset"]) == ["a", "silent"]
    assert made.entries["SR"]["x"][{"dataset": "silent"}].sum(flow=True) == 0


def both(dimensions: int = 1):
    parts = {"a": sums([0.5, 1.5], [1.0, 2.0], dimensions), "b": sums([0.5], [5.0], dimensions)}
    chosen = [channel(dimensions=dimensions)]
    return to_datasets(chosen, parts, ["a", "b"]), merge_processes(
        chosen, parts, {"p": ["a", "b"]}, lambda _: 2.0
    )


def test_what_was_saved_reads_back_with_coffea_and_with_uproot(tmp_path):
    by_dataset, by_process = both()
    save_histograms(tmp_path / "histograms", by_dataset, by_process)
    stored = load(str(tmp_path / "histograms" / "by_dataset.coffea"))
    assert stored["histograms"]["SR"]["x"] == by_dataset.histograms["SR"]["x"]
    assert stored["entries"]["SR"]["x"] == by_dataset.entries["SR"]["x"]
    with uproot.open(tmp_path / "histograms" / "histograms.root") as file:
        assert "SR/x/p/nominal" in file.keys(cycle=False)
        values, edges = file["SR/x/p/nominal"].to_numpy()
        variances = file["SR/x/p/nominal"].variances()
    assert values.tolist() == [12.0, 4.0]
    assert variances.tolist() == [4.0 * 26.0, 4.0 * 4.0]
    assert edges.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_histograms_of_two_and_three_dimensions_are_in_the_root_file(tmp_path, dimensions: int):
    save_histograms(tmp_path, *both(dimensions))
    with uproot.open(tmp_path / "histograms.root") as file:
        values = file["SR/x/p/nominal"].values()
    assert values.shape == (2,) * dimensions
    assert values.sum() == 16.0


def test_a_histogram_of_four_dimensions_is_left_out_of_the_root_file_with_a_word_about_it(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="intccms"):
        save_histograms(tmp_path, *both(4))
    assert "SR/x has 4 dimensions" in caplog.text
    with uproot.open(tmp_path / "histograms.root") as file:
        assert file.keys() == []
    assert load(str(tmp_path / "by_dataset.coffea"))["histograms"]["SR"]["x"].sum().value == 8.0


def test_asking_for_histograms_before_there_are_any_says_how_to_make_them(tmp_path):
    with pytest.raises(OutputError, match="there are no histograms at .*general.run_processor=True"):
        load_output(tmp_path / "output.coffea")


@pytest.mark.parametrize("content", [b"", b"not a histogram", b"\x04\x22\x4d\x18broken frame"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, content: bytes):
    path = tmp_path / "output.coffea"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot read .*output\.coffea"):
        load_output(path)


def test_a_compressed_file_that_holds_no_pickle_is_an_error_that_names_it(tmp_path):
    import lz4.frame

    path = tmp_path / "output.coffea"
    path.write_bytes(lz4.frame.compress(b"hello, this is text"))
    with pytest.raises(OutputError, match=r"cannot read .*output\.coffea"):
        load_output(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "output.coffea"
    save_output(path, {"histograms": {}})
    with pytest.raises(TypeError, match="generator"):
        save_output(path, {"histograms": (one for one in "ab")})
    assert load_output(path) == {"histograms": {}}
    assert [one.name for one in tmp_path.iterdir()] == ["output.coffea"]
