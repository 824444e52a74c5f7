"""All plots of a run directory that holds nothing but ``output.coffea``."""

import hist
import matplotlib.pyplot as plt
import pytest
from coffea.util import save

from intccms.errors import ConfigError, OutputError
from intccms.plotting import plot_run
from intccms.plotting import run as run_module
from intccms.schema.plotting import PlottingConfig

SMALL = {"dpi": 30}


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_every_observable_and_cutflow_is_written_and_announced(run_dir):
    seen = []
    written = plot_run(run_dir, on_plot=seen.append)
    assert names(run_dir) == [
        "cutflow/CR.csv",
        "cutflow/CR.md",
        "cutflow/SR.csv",
        "cutflow/SR.md",
        "output.coffea",
        "plots/CR/cutflow.png",
        "plots/CR/met.png",
        "plots/SR/cutflow.png",
        "plots/SR/met.png",
        "plots/SR/plane_data.png",
        "plots/SR/plane_ttbar.png",
    ]
    assert sorted(written) == sorted(path for path in run_dir.rglob("*.*") if path.name != "output.coffea")
    assert seen == [path for path in written if path.suffix == ".png"]
    assert all(path.stat().st_size > 1000 for path in seen)
    assert plt.get_fignums() == []


def test_scales_formats_and_variations_follow_the_options(run_dir):
    options = PlottingConfig(**SMALL, formats=["svg", "pdf"], y_scale="both", variations=True)
    plot_run(run_dir, plotting=options, channels=["CR"])
    stems = ["cutflow", "met", "met_log", "met_variations"]
    assert names(run_dir / "plots") == sorted(
        f"CR/{stem}.{ending}" for stem in stems for ending in ("pdf", "svg")
    )


def test_only_logarithmic_plots_are_written_if_only_they_are_wanted(run_dir):
    plot_run(run_dir, plotting=PlottingConfig(**SMALL, y_scale="log"), channels=["SR"])
    expected = ["SR/cutflow.png", "SR/met_log.png", "SR/plane_data_log.png", "SR/plane_ttbar_log.png"]
    assert names(run_dir / "plots") == expected


def test_options_come_from_the_configuration_of_the_run_unless_given(run_dir, output, monkeypatch):
    used = []
    monkeypatch.setattr(run_module, "save_figure", lambda figure, stem, formats, dpi: used.append(dpi) or [])
    plot_run(run_dir, channels=["CR"])
    plot_run(run_dir, channels=["CR"], plotting=PlottingConfig(dpi=77))
    assert used == [30, 30, 77, 77]


def test_the_tables_hold_yields_and_entries(run_dir):
    plot_run(run_dir, channels=["SR"])
    lines = (run_dir / "cutflow" / "SR.csv").read_text().splitlines()
    assert lines[0] == "step,ttbar,ttbar entries,wjets,wjets entries,simulation,efficiency [%],data"
    assert lines[3] == "two b tags,145.0,290,62.0,124,207.0,27.6,152"
    assert (run_dir / "cutflow" / "SR.md").read_text().startswith("### Cutflow of channel SR\n")


def test_a_process_has_one_color_in_all_plots(tmp_path, output, histogram_of, monkeypatch):
    output["histograms"]["CR"]["met"] = histogram_of({"wjets": [0, 1, 1, 1, 0]})
    save(output, str(tmp_path / "output.coffea"))
    figures = {}
    monkeypatch.setattr(
        run_module,
        "save_figure",
        lambda figure, stem, *rest: figures.update({(stem.parent.name, stem.name): figure}) or [],
    )
    plot_run(tmp_path)
    lowest = [figures[channel, "met"].axes[0].patches[0].get_facecolor() for channel in ("SR", "CR")]
    assert lowest[0] == lowest[1]


def test_observables_with_three_axes_are_drawn_axis_by_axis(tmp_path, output):
    cube = hist.Hist(
        *(hist.axis.Regular(2, 0, 2, name=name, label=name) for name in "abc"),
        hist.axis.StrCategory(["ttbar"], name="process"),
        hist.axis.StrCategory(["nominal"], name="variation"),
        storage="weight",
    )
    cube.fill(a=[0.5], b=[1.5], c=[9.0], process="ttbar", variation="nominal")
    output["histograms"] = {"SR": {"cube": cube}}
    output["cutflow"] = {}
    save(output, str(tmp_path / "output.coffea"))
    plot_run(tmp_path, plotting=PlottingConfig(**SMALL, rebin={"cube:a": 2}))
    assert names(tmp_path / "plots") == ["SR/cube_a.png", "SR/cube_b.png", "SR/cube_c.png"]


def test_a_second_call_replaces_the_plots_and_leaves_no_other_files(run_dir):
    first = plot_run(run_dir, channels=["CR"])
    before = {path: path.read_bytes() for path in first}
    assert plot_run(run_dir, channels=["CR"]) == first
    assert {path: path.read_bytes() for path in first} == before
    assert len(names(run_dir)) == len(first) + 1


def test_process_names_are_made_fit_for_files(tmp_path, output, plane):
    named = hist.Hist(
        *plane.axes[:2],
        hist.axis.StrCategory(["tt/W: a b"], name="process"),
        plane.axes["variation"],
        storage="weight",
    )
    output["histograms"] = {"SR": {"plane": named}}
    output["cutflow"] = {}
    save(output, str(tmp_path / "output.coffea"))
    plot_run(tmp_path)
    assert names(tmp_path / "plots") == ["SR/plane_tt_W__a_b.png"]


def test_wrong_options_are_found_before_anything_is_written(run_dir):
    with pytest.raises(ConfigError, match=r"plotting.rebin\['SR/met'\]: cannot merge 2 bins"):
        plot_run(run_dir, plotting=PlottingConfig(rebin={"SR/met": 2}))
    with pytest.raises(ConfigError, match=r"unknown channel 'SRR'. Did you mean 'SR'\?"):
        plot_run(run_dir, channels=["SRR"])
    assert names(run_dir) == ["output.coffea"]


def test_two_plots_of_one_name_are_refused(tmp_path, output, met):
    output["histograms"]["SR"]["cutflow"] = met
    save(output, str(tmp_path / "output.coffea"))
    with pytest.raises(ConfigError, match=r"channel 'SR' would be written to the same file 'cutflow'"):
        plot_run(tmp_path)


def test_a_folder_without_output_says_what_to_run(tmp_path):
    with pytest.raises(
        OutputError, match=r"holds no histograms: there is no file output.coffea.*intccms run"
    ):
        plot_run(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a coffea file", None])
def test_a_damaged_output_is_an_output_error(run_dir, damage):
    path = run_dir / "output.coffea"
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(OutputError, match=r"cannot read .*output.coffea"):
        plot_run(run_dir)


def test_an_output_of_another_make_names_the_missing_parts(tmp_path):
    save({"histograms": {}, "report": {}}, str(tmp_path / "output.coffea"))
    with pytest.raises(OutputError, match=r"lacks the parts \['cutflow', 'config'\]"):
        plot_run(tmp_path)
