"""What is drawn on a stack plot: read back from the figure."""

import io

import hist
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import StepPatch

from intccms.errors import ConfigError
from intccms.plotting import stack_plot
from intccms.schema.plotting import PlottingConfig


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def points(ax):
    (container,) = [item for item in ax.containers if isinstance(item, ErrorbarContainer)]
    return container


def test_the_figure_shows_the_stack_from_the_bottom_and_the_data(met, report):
    figure = stack_plot(met, report=report)
    main = figure.axes[0]
    fills = [patch for patch in main.patches if isinstance(patch, StepPatch)]
    np.testing.assert_allclose(fills[0].get_data().values, [10, 20, 30])
    np.testing.assert_allclose(fills[1].get_data().values, [50, 100, 50])
    np.testing.assert_allclose(fills[1].get_data().baseline, [10, 20, 30])
    assert points(main).lines[0].get_xdata().tolist() == [50, 150, 300]
    assert points(main).lines[0].get_ydata().tolist() == [55, 90, 0]


def test_the_ratio_panel_shows_data_over_simulation_and_arrows_for_points_beyond(met, report):
    ratio = stack_plot(met, report=report).axes[1]
    np.testing.assert_allclose(points(ratio).lines[0].get_ydata(), [1.1, 0.9])
    arrows = [line for line in ratio.lines if line.get_marker() == "v"]
    assert arrows[0].get_xdata().tolist() == [300]  # no data where 50 events are expected
    assert ratio.get_ylim() == (0.5, 1.5)


@pytest.mark.parametrize(
    ("options", "processes", "panels"),
    [({}, ["mc", "data"], 2), ({"ratio": False}, ["mc", "data"], 1), ({}, ["mc"], 1), ({}, ["data"], 1)],
)
def test_a_ratio_panel_is_drawn_if_wanted_and_possible(histogram_of, options, processes, panels):
    histogram = histogram_of({process: [0, 4, 9, 1, 0] for process in processes})
    assert len(stack_plot(histogram, plotting=PlottingConfig(**options)).axes) == panels


def test_the_ratio_range_is_configurable(met, report):
    assert stack_plot(met, report=report, plotting=PlottingConfig(ratio_range=(0, 3))).axes[1].get_ylim() == (
        0,
        3,
    )


def test_the_legend_names_data_signals_with_their_factor_and_the_stack_from_the_top(met, report):
    options = PlottingConfig(
        signals=["wjets"],
        signal_scale={"wjets": 50},
        labels={"ttbar": r"$t\bar{t}$", "data": "Run 2"},
        band="stat",
    )
    assert legend(stack_plot(met, report=report, plotting=options)) == [
        "Run 2",
        r"wjets $\times$ 50",
        r"$t\bar{t}$",
        "Stat. unc.",
    ]


def test_a_scaled_signal_line_is_multiplied_by_its_factor(met, report):
    figure = stack_plot(met, report=report, plotting=PlottingConfig(signals=["wjets"], signal_scale=3))
    lines = [patch for patch in figure.axes[0].patches if patch.get_data().baseline is None]
    np.testing.assert_allclose(lines[0].get_data().values, [30, 60, 90])


def test_colors_and_order_follow_the_options(met, report):
    options = PlottingConfig(order=["ttbar", "wjets"], colors={"ttbar": "#112233", "data": "#445566"})
    main = stack_plot(met, report=report, plotting=options).axes[0]
    np.testing.assert_allclose(main.patches[0].get_data().values, [40, 80, 20])
    assert mpl.colors.to_hex(main.patches[0].get_facecolor()) == "#112233"
    assert points(main).lines[0].get_color() == "#445566"


@pytest.mark.parametrize(
    ("edges", "label", "expected"),
    [
        ((0, 60, 120, 180), "MET [GeV]", "Events / 60 GeV"),
        ((0, 0.1, 0.2, 0.3), "score", "Events / 0.1"),
        ((0, 100, 200, 400), "MET [GeV]", "Events / bin"),
    ],
)
def test_the_vertical_axis_tells_the_bin_width(histogram_of, edges, label, expected):
    figure = stack_plot(histogram_of({"mc": [0, 1, 2, 3, 0]}, edges=edges, label=label))
    assert figure.axes[0].get_ylabel() == expected
    assert figure.axes[0].get_xlabel() == label


def test_the_line_above_gives_text_luminosity_and_energy(met, report):
    shown = texts(stack_plot(met, report=report, plotting=PlottingConfig(cms_label="Preliminary", com=13.6)))
    assert "CMS" in shown
    assert "Preliminary" in shown
    assert any("101" in text and "fb" in text and "(13.6 TeV)" in text for text in shown)


def test_simulation_alone_is_called_simulation(histogram_of):
    histogram = histogram_of({"mc": [0, 1, 2, 3, 0]})
    assert "Simulation Private work" in texts(stack_plot(histogram))
    assert "Simulation" in texts(stack_plot(histogram, plotting=PlottingConfig(cms_label="")))
    assert "Simulation Preliminary" in texts(
        stack_plot(histogram, plotting=PlottingConfig(cms_label="Preliminary"))
    )


def test_incomplete_runs_say_so_and_never_round_up_to_everything(met, report):
    partial = report | {"complete": False, "coverage": 0.87555}
    assert "INCOMPLETE: 87.5 % of events" in texts(stack_plot(met, report=partial))
    almost = report | {"complete": False, "coverage": 0.99999}
    assert "INCOMPLETE: 99.9 % of events" in texts(stack_plot(met, report=almost))
    assert not [text for text in texts(stack_plot(met, report=report)) if "INCOMPLETE" in text]


def test_small_print_holds_the_flow_and_the_notes_of_the_report(met, report):
    noted = report | {"notes": ["sum of weights of ttbar counted from Events", "paid 3 $ and 4 $"]}
    small_print = texts(stack_plot(met, report=noted))[-1]
    assert "Outside the plotted range: simulation 1 below and 6 above; data 7 above" in small_print
    assert "sum of weights of ttbar counted from Events" in small_print
    silent = texts(stack_plot(met, report=report, plotting=PlottingConfig(flow="none")))
    assert not [text for text in silent if "Outside" in text]


def test_many_notes_are_counted_not_drawn(met, report):
    noted = report | {"notes": [f"note {i}" for i in range(9)]}
    small_print = texts(stack_plot(met, report=noted, plotting=PlottingConfig(flow="none")))[-1]
    assert "note 3" in small_print
    assert "note 4" not in small_print
    assert "... and 5 more notes" in small_print


def test_a_long_note_is_wrapped_and_says_that_it_is_cut(met, report):
    noted = report | {"notes": ["word " * 60 + "end"]}
    lines = texts(stack_plot(met, report=noted, plotting=PlottingConfig(flow="none")))[-1].splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("...")


def test_rebin_and_range_apply_by_observable_and_by_channel_first(histogram_of):
    histogram = histogram_of({"mc": [0, 1, 2, 3, 4, 0]}, edges=[0, 1, 2, 3, 4])
    options = PlottingConfig(rebin={"met": 2, "SR/met": [0, 3, 4]}, x_range={"CR/met": (2, 4)})

    def drawn(channel):
        ax = stack_plot(histogram, plotting=options, channel=channel, observable="met").axes[0]
        return ax.patches[0].get_data().values.tolist(), ax.get_xlim()

    assert drawn("SR") == ([6, 4], (0, 4))
    assert drawn("CR") == ([7], (2, 4))
    assert drawn("VR") == ([3, 7], (0, 4))


def header_bottom(figure):
    """Return the lower end of everything written inside the axes, as a fraction of their height."""
    ax = figure.axes[0]
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [
        artist.get_window_extent(renderer) for artist in [*ax.texts, ax.get_legend()] if artist is not None
    ]
    inside = [box for box in boxes if ax.bbox.y0 < box.y0 < ax.bbox.y1]
    return min((box.y0 - ax.bbox.y0) / ax.bbox.height for box in inside)


@pytest.mark.parametrize("y_scale", ["linear", "log"])
@pytest.mark.parametrize("n_processes", [1, 6, 14])
@pytest.mark.parametrize("peak", [1e-3, 80.0, 1e12])
def test_legend_and_channel_never_lie_over_data(histogram_of, report, y_scale, n_processes, peak):
    shares = {f"process_with_long_name_{i}": [0, 1, peak, 1, 0] for i in range(n_processes)}
    total = n_processes * peak
    histogram = histogram_of({**shares, "data": [0, n_processes, round(total), n_processes, 0]})
    options = PlottingConfig(band="stat")
    incomplete = report | {"complete": False, "coverage": 0.5}
    figure = stack_plot(histogram, plotting=options, report=incomplete, channel="SR_2b", y_scale=y_scale)
    ax = figure.axes[0]
    top = points(ax).lines[2][0].get_segments()
    highest = max(segment[:, 1].max() for segment in top)
    fraction = ax.transAxes.inverted().transform(ax.transData.transform((0, highest)))[1]
    assert 0.1 < fraction < header_bottom(figure)


def test_a_legend_with_many_long_names_stays_inside_the_axes(histogram_of):
    names = [f"a_process_with_quite_a_long_name_{i}" for i in range(24)]
    figure = stack_plot(histogram_of({name: [0, 1, 2, 1, 0] for name in names}))
    figure.canvas.draw()
    ax = figure.axes[0]
    box = ax.get_legend().get_window_extent(figure.canvas.get_renderer())
    assert box.x0 >= ax.bbox.x0
    assert box.x1 <= ax.bbox.x1


def awkward_histograms():
    one = {"edges": [0.0, 1.0]}
    return {
        "nothing filled": ({"mc": [0] * 5, "data": [0] * 5}, {}),
        "negative bins": ({"a": [0, -3, 5, -1, 0], "b": [0, 1, 1, 0.5, 0], "data": [0, 1, 7, 0, 0]}, {}),
        "all negative": ({"a": [-1, -3, -5, -1, -2]}, {}),
        "single bin": ({"mc": [0, 5, 0], "data": [0, 6, 0]}, one),
        "huge numbers": ({"mc": [0, 1e250, 1e100, 1, 0]}, {}),
        "tiny numbers": ({"mc": [0, 1e-200, 1e-250, 0, 0]}, {}),
    }


@pytest.mark.parametrize("y_scale", ["linear", "log"])
@pytest.mark.parametrize("case", awkward_histograms())
def test_awkward_contents_are_drawn_all_the_same(histogram_of, case, y_scale):
    yields, options = awkward_histograms()[case]
    figure = stack_plot(histogram_of(yields, **options), y_scale=y_scale)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=30)
    assert buffer.getvalue().startswith(b"\x89PNG")
    low, high = figure.axes[0].get_ylim()
    assert np.isfinite([low, high]).all()
    assert low < high


def test_a_histogram_without_processes_gives_empty_axes():
    histogram = hist.Hist(
        hist.axis.Regular(3, 0, 3, name="x"),
        hist.axis.StrCategory([], name="process", growth=True),
        hist.axis.StrCategory([], name="variation", growth=True),
        storage="weight",
    )
    figure = stack_plot(histogram, channel="SR")
    assert figure.axes[0].get_legend() is None
    assert "SR" in texts(figure)


def test_drawn_flow_bins_are_named(met, report):
    shown = texts(stack_plot(met, report=report, plotting=PlottingConfig(flow="show")))
    assert {"underflow", "overflow"} <= set(shown)


def test_the_scale_follows_the_option_unless_given(met):
    assert stack_plot(met, plotting=PlottingConfig(y_scale="log")).axes[0].get_yscale() == "log"
    assert stack_plot(met, plotting=PlottingConfig(y_scale="both")).axes[0].get_yscale() == "linear"
    assert (
        stack_plot(met, plotting=PlottingConfig(y_scale="log"), y_scale="linear").axes[0].get_yscale()
        == "linear"
    )


def test_a_2d_histogram_is_refused_with_advice(plane):
    with pytest.raises(ConfigError, match=r"axes \['mass', 'eta'\].*Use plot_2d, or project"):
        stack_plot(plane)


def test_global_settings_and_pyplot_stay_as_they_were(met, report):
    before = dict(mpl.rcParams)
    figure = stack_plot(met, report=report)
    figure.canvas.draw()
    figure._repr_png_()
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_a_figure_looks_the_same_when_drawn_after_the_style_has_ended(met):
    figure = stack_plot(met)
    figure.axes[0].set_xlim(0, 90)  # makes ticks anew
    figure.canvas.draw()
    assert figure.axes[0].xaxis.get_major_ticks()[0].tick1line.get_markersize() == 12  # 3.5 outside CMS style


def test_a_notebook_shows_the_figure_as_png(met):
    assert stack_plot(met)._repr_png_().startswith(b"\x89PNG")


def test_the_ratio_and_the_overflow_say_background_where_signals_are_drawn_apart(met):
    together, apart = stack_plot(met), stack_plot(met, plotting=PlottingConfig(signals=["ttbar"]))
    assert [figure.axes[1].get_ylabel() for figure in (together, apart)] == ["Data / Sim.", "Data / Bkg."]
    outside = [next(t for t in texts(figure) if t.startswith("Outside")) for figure in (together, apart)]
    assert "simulation 1 below and 6 above" in outside[0]
    assert "background 2 above" in outside[1]
