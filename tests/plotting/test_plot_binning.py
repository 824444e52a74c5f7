"""Numbers taken out of histograms, merged and cut; expected sums come from NumPy or from adding by hand."""

import hist
import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.plotting.binning import PlotAxis, contents, merge_indices, range_indices


def test_contents_hold_value_and_variance_of_each_process_and_variation_with_flow(met):
    values, variances = contents(met).of("ttbar", "jes_up")
    assert values.tolist() == [1.0, 44.0, 83.0, 20.0, 4.0]
    assert variances.tolist() == [0.5, 22.0, 41.5, 10.0, 2.0]


def test_axes_without_flow_get_empty_flow_cells():
    histogram = hist.Hist(
        hist.axis.Regular(2, 0, 2, name="x", flow=False),
        hist.axis.StrCategory(["a"], name="process"),
        storage="weight",
    )
    histogram.fill(x=[0.5, 1.5, 1.5], process="a")
    assert contents(histogram).of("a")[0].tolist() == [0.0, 1.0, 2.0, 0.0]


def test_the_overflow_of_a_category_axis_is_not_a_process():
    histogram = hist.Hist(
        hist.axis.Regular(1, 0, 1, name="x"), hist.axis.StrCategory(["a"], name="process"), storage="int64"
    )
    histogram.fill(x=[0.5, 0.5], process=["a", "stranger"])
    taken = contents(histogram)
    assert taken.processes == ("a",)
    assert taken.values.shape == (1, 1, 3)
    assert taken.variances[0, 0].tolist() == [0.0, 1.0, 0.0]  # counts: variance = value


def test_category_axes_may_stand_before_the_observable():
    histogram = hist.Hist(
        hist.axis.StrCategory(["nominal", "up"], name="variation"),
        hist.axis.StrCategory(["a"], name="process"),
        hist.axis.Regular(2, 0, 2, name="x"),
        storage="weight",
    )
    histogram.fill(x=[1.5], process="a", variation="up", weight=3.0)
    taken = contents(histogram)
    assert taken.of("a", "up")[0].tolist() == [0, 0, 3, 0]
    assert taken.of("a", "up")[1].tolist() == [0, 0, 9, 0]


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ([hist.axis.Regular(1, 0, 1, name="x")], r"axes \['x'\].*'process'"),
        ([hist.axis.StrCategory(["a"], name="process")], "expected the axes of an observable"),
        (
            [
                hist.axis.Regular(1, 0, 1, name="x"),
                hist.axis.StrCategory(["a"], name="process"),
                hist.axis.StrCategory(["up"], name="variation"),
            ],
            r"must contain 'nominal', not only \['up'\]",
        ),
    ],
)
def test_histograms_of_another_form_are_refused(axes, words):
    with pytest.raises(ConfigError, match=words):
        contents(hist.Hist(*axes))


def test_merging_by_a_factor_equals_a_numpy_sum():
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=14)
    histogram = hist.Hist(
        hist.axis.Regular(12, 0, 12, name="x"), hist.axis.StrCategory(["a"], name="process"), storage="double"
    )
    histogram.view(flow=True)[:, 0] = numbers
    given = contents(histogram)
    merged = given.keep_edges(0, merge_indices(given.axes[0].edges, 4, "here"))
    expected = [numbers[0], *numbers[1:13].reshape(3, 4).sum(axis=1), numbers[13]]
    np.testing.assert_allclose(merged.of("a")[0], expected)
    assert merged.axes[0].edges.tolist() == [0, 4, 8, 12]


def test_bins_outside_the_chosen_edges_join_the_flow(met):
    given = contents(met)
    merged = given.keep_edges(0, merge_indices(given.axes[0].edges, [100.0, 400.0], "here"))
    values, variances = merged.of("ttbar")
    assert values.tolist() == [1 + 40, 80 + 20, 4]
    assert variances.tolist() == [20.5, 50.0, 2.0]
    assert merged.axes[0].edges.tolist() == [100.0, 400.0]


def test_edges_written_with_rounding_are_found():
    edges = np.linspace(0, 1, 11)
    assert merge_indices(edges, [0.0, 0.3, 0.7, 1.0], "here").tolist() == [0, 3, 7, 10]


def test_a_factor_that_does_not_divide_names_the_divisors():
    with pytest.raises(
        ConfigError, match=r"plotting.rebin\['met'\].*merge 5 bins.*has 12 bins.*\[1, 2, 3, 4, 6, 12\]"
    ):
        merge_indices(np.arange(13.0), 5, "plotting.rebin['met']")


def test_an_edge_that_is_not_stored_is_named_with_both_binnings():
    with pytest.raises(ConfigError, match=r"edges \[2.5\] of \[0, 2.5, 4\].*edges \[0, 1, 2, 3, 4\]"):
        merge_indices(np.arange(5.0), [0, 2.5, 4], "here")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 3, [1, 2, 3]),
        (0.5, 2.5, [0, 1, 2, 3]),
        (-5, 1.5, [0, 1, 2]),
        (3.2, 99, [3, 4]),
        (1.2, 1.4, [1, 2]),
    ],
)
def test_a_range_is_widened_to_whole_bins(low, high, expected):
    assert range_indices(np.arange(5.0), low, high, "here").tolist() == expected


@pytest.mark.parametrize(("low", "high"), [(-3, 0), (4, 9)])
def test_a_range_outside_the_axis_is_refused(low, high):
    with pytest.raises(ConfigError, match="outside the axis, which goes from 0 to 4"):
        range_indices(np.arange(5.0), low, high, "here")


def test_a_projection_sums_the_other_axis_with_its_flow(plane):
    numbers = np.arange(24.0).reshape(6, 4)
    given = contents(plane)
    assert given.project(0).of("ttbar")[0].tolist() == numbers.sum(axis=1).tolist()
    assert given.project(1).of("ttbar")[0].tolist() == numbers.sum(axis=0).tolist()


@pytest.mark.parametrize(
    ("title", "unit"), [("MET [GeV]", "GeV"), ("$p_T$ [GeV] ", "GeV"), ("N jets", ""), ("a[0] of b", "")]
)
def test_the_unit_is_what_stands_in_the_last_brackets(title, unit):
    assert PlotAxis("x", title, np.arange(2.0)).unit == unit


def test_bins_of_one_width_are_told_from_others():
    assert PlotAxis("x", "x", np.linspace(0, 0.3, 4)).bin_width == pytest.approx(0.1)
    assert PlotAxis("x", "x", np.array([0.0, 1.0, 3.0])).bin_width is None
