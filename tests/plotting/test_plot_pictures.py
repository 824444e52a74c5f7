"""Pictures of 2-D observables, cutflows and variations: read back from the figures."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm

from intccms.errors import ConfigError
from intccms.plotting import cutflow_plot, plot_2d, variations_plot
from intccms.plotting.binning import contents
from intccms.plotting.variations import relative_variations
from intccms.schema.plotting import PlottingConfig


def mesh(figure):
    (found,) = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    return found


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *(text for ax in figure.axes for text in ax.texts)]]


def test_colors_of_a_2d_plot_are_the_yields_and_empty_bins_stay_white(plane, report):
    plane.view(flow=True)["value"][1, 1, 0, 0] = 0.0
    figure = plot_2d(plane, "ttbar", report=report, channel="SR", observable="plane")
    expected = np.arange(24.0).reshape(6, 4)[1:-1, 1:-1].T
    drawn = mesh(figure).get_array()
    assert drawn.mask.tolist() == [[True, False, False, False], [False] * 4]
    np.testing.assert_allclose(drawn.filled(0)[1], expected[1])
    assert figure.axes[0].get_xlabel() == "mass [GeV]"
    assert figure.axes[0].get_ylabel() == "eta"
    assert "SR: ttbar" in texts(figure)
    assert "Simulation Private work" in texts(figure)
    assert "Simulation Private work" not in texts(plot_2d(plane, "data", report=report))


def test_the_color_scale_may_be_logarithmic_and_hides_what_is_not_positive(plane):
    plane.view(flow=True)["value"][1, 1, 0, 0] = -4.0
    figure = plot_2d(plane, "ttbar", plotting=PlottingConfig(y_scale="log"))
    assert isinstance(mesh(figure).norm, LogNorm)
    assert mesh(figure).get_array().mask[0, 0]


def test_negative_bins_make_the_colors_symmetric_about_zero(plane):
    plane.view(flow=True)["value"][1, 1, 0, 0] = -4.0
    norm = mesh(plot_2d(plane, "ttbar")).norm
    assert (norm.vmin, norm.vmax) == (-18.0, 18.0)


@pytest.mark.parametrize("color_scale", ["linear", "log"])
def test_an_empty_2d_plot_is_drawn(plane, color_scale):
    plane.view(flow=True)["value"][...] = 0.0
    figure = plot_2d(plane, "ttbar", color_scale=color_scale)
    figure.canvas.draw()
    assert mesh(figure).get_array().mask.all()


def test_a_2d_plot_tells_what_lies_outside_and_what_is_missing(plane, report):
    shown = texts(plot_2d(plane, "ttbar", report=report | {"complete": False, "coverage": 0.5}))
    # 0 + ... + 23 = 276; the eight inner cells 5, 6, 9, 10, 13, 14, 17, 18 make 92.
    assert "Outside the plotted range: 184 of 276" in shown
    assert "INCOMPLETE: 50.0 % of events" in shown
    silent = texts(plot_2d(plane, "ttbar", plotting=PlottingConfig(flow="none")))
    assert not [text for text in silent if "Outside" in text]


def test_2d_plots_refuse_other_dimensions_and_unknown_processes(plane, met):
    with pytest.raises(ConfigError, match=r"axes \['met'\] in 2-D.*stack_plot"):
        plot_2d(met, "ttbar")
    with pytest.raises(ConfigError, match=r"no process 'ttbarr'. Did you mean 'ttbar'\?"):
        plot_2d(plane, "ttbarr")


def test_a_cutflow_plot_draws_each_process_their_sum_and_the_data(cutflow, report):
    figure = cutflow_plot(cutflow, report=report, channel="SR")
    ax = figure.axes[0]
    assert [patch.get_data().values.tolist() for patch in ax.patches] == [
        [500.0, 200.0, 145.0],
        [250.0, 50.0, 62.0],
        [750.0, 250.0, 207.0],
    ]
    assert ax.containers[0].lines[0].get_ydata().tolist() == [900.0, 300.0, 152.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == cutflow["steps"]
    assert ax.get_yscale() == "log"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["Data", "ttbar", "wjets", "Total simulation"]


@pytest.mark.parametrize(
    "cutflow",
    [
        {"steps": [], "entries": {}, "weighted": {}},
        {"steps": ["all"], "entries": {"a": [0]}, "weighted": {"a": [0.0]}},
        {"steps": ["all", "b"], "entries": {"a": [2, 1]}, "weighted": {"a": [-2.0, 1e30]}},
    ],
)
def test_awkward_cutflows_are_drawn_all_the_same(cutflow):
    cutflow_plot(cutflow, channel="SR").canvas.draw()


def test_variations_are_ratios_of_the_total_simulation(met):
    ratios = relative_variations(contents(met), ["data"])
    assert list(ratios) == ["jes"]
    np.testing.assert_allclose(ratios["jes"]["up"], [54 / 50, 103 / 100, 1.0])
    np.testing.assert_allclose(ratios["jes"]["down"], [47 / 50, 104 / 100, 1.0])


def test_variations_are_undefined_where_nominal_is_not_positive(histogram_of):
    histogram = histogram_of({"mc": [0, -1, 0, 2, 0], ("mc", "isr_up"): [0, 1, 1, 3, 0]})
    assert np.isnan(relative_variations(contents(histogram), [])["isr"]["up"][:2]).all()
    variations_plot(histogram).canvas.draw()


@pytest.mark.parametrize("n_sources", [1, 2, 4, 5, 9])
def test_every_source_has_a_panel_and_every_column_an_axis_title(histogram_of, report, n_sources):
    directions = {("mc", f"s{i}_{way}"): [0, 1, 2, 3, 0] for i in range(n_sources) for way in ("up", "down")}
    figure = variations_plot(histogram_of({"mc": [0, 1, 2, 3, 0], **directions}), report=report, channel="SR")
    figure.canvas.draw()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title for title in titles if title] == [f"s{i}" for i in range(n_sources)]
    assert sum(ax.get_xlabel() == "MET [GeV]" for ax in figure.axes) == min(n_sources, 4)
    assert {"CMS", "Simulation Private work", "SR"} <= set(texts(figure))


def test_of_many_sources_those_that_change_most_are_drawn_in_their_order(histogram_of, report):
    # source i moves one bin by i per cent: of 60, the last forty are the largest
    contents_of = {
        ("mc", f"s{i}_{way}"): [0, 100 + sign * i, 100, 100, 0]
        for i in range(60)
        for way, sign in (("up", 1), ("down", -1))
    }
    figure = variations_plot(histogram_of({"mc": [0, 100, 100, 100, 0], **contents_of}), report=report)
    titles = [title for ax in figure.axes if (title := ax.get_title(loc="left"))]
    assert titles == [f"s{i}" for i in range(20, 60)]
    assert "20 sources with smaller effects not shown" in texts(figure)


@pytest.mark.parametrize(
    ("up", "reach"),
    [
        ([1040, 100, 1], 1.25 * 0.04),  # the largest shift, and a quarter more
        ([1040, 100, 9], 3 * 0.04),  # eight times nominal, in a bin with a thousandth of the yield
        ([1000, 100, 9], 0.01),  # nothing but that
        ([9000, 100, 1], 1.0),  # down to a ratio of 0
    ],
)
def test_the_range_is_that_of_the_bins_that_hold_the_yield_and_not_below_0(histogram_of, up, reach):
    contents_of = {
        "mc": [0, 1000, 100, 1, 0],
        ("mc", "s_up"): [0, *up, 0],
        ("mc", "s_down"): [0, 1000, 100, 1, 0],
    }
    panel = variations_plot(histogram_of(contents_of)).axes[0]
    assert panel.get_ylim() == pytest.approx((1 - reach, 1 + reach))


def test_a_histogram_without_variations_says_how_to_get_them(histogram_of, plane):
    with pytest.raises(ConfigError, match=r"no variations but \['nominal'\].*general.run_systematics"):
        variations_plot(histogram_of({"mc": [0, 1, 2, 3, 0]}))
    with pytest.raises(ConfigError, match="2 axes: expected one"):
        variations_plot(plane)
