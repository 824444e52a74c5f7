"""Looking options up, and refusing names and binnings that do not exist."""

import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.plotting.binning import contents
from intccms.plotting.options import apply_binning, check_options, data_processes, lookup
from intccms.schema.plotting import PlottingConfig


def test_the_channel_goes_before_the_observable_alone():
    options = {"met": 1, "SR/met": 2, "plane:mass": 3, "SR/plane:mass": 4}
    assert lookup(options, "SR", "met") == ("SR/met", 2)
    assert lookup(options, "CR", "met") == ("met", 1)
    assert lookup(options, "SR", "plane", "mass") == ("SR/plane:mass", 4)
    assert lookup(options, "CR", "plane", "mass") == ("plane:mass", 3)
    assert lookup(options, "CR", "plane") is None


@pytest.mark.parametrize(
    "options",
    [
        {
            "colors": {"ttbar": "red", "zjets": "blue", "qcd": "green"}
        },  # the last two: only in the configuration
        {"labels": {"data": "Data 2018"}},
        {"order": ["wjets", "ttbar"]},
        {"signals": ["ttbar"], "signal_scale": {"ttbar": 2}},
        {"rebin": {"met": 3, "SR/met": [0, 200, 400], "plane:mass": 2, "njets": 2, "VR/njets": 4}},
        {"x_range": {"met": (0, 150), "SR/plane:eta": (0, 1)}},
    ],
)
def test_names_of_the_run_and_of_its_configuration_are_accepted(output, options):
    check_options(PlottingConfig(**options), output)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"colors": {"tbar": "red"}},
            r"plotting.colors: unknown process 'tbar'. Did you mean 'ttbar'\?.*Known: data",
        ),
        ({"labels": {"wjet": "W"}}, r"plotting.labels: unknown process 'wjet'. Did you mean 'wjets'\?"),
        ({"order": ["wjetss"]}, r"plotting.order: unknown process 'wjetss'. Did you mean 'wjets'\?"),
        ({"signals": ["zprime"]}, "plotting.signals: unknown process 'zprime'"),
        ({"signal_scale": {"zprime": 2}}, "plotting.signal_scale: unknown process 'zprime'"),
        ({"rebin": {"mets": 2}}, r"plotting.rebin: unknown observable 'mets'. Did you mean 'met'\?"),
        ({"rebin": {"SR/njets": 2}}, "plotting.rebin: unknown observable 'SR/njets'"),
        ({"x_range": {"plane:etta": (0, 1)}}, r"plotting.x_range: unknown observable.*'plane:eta'"),
        ({"signals": ["data"]}, r"plotting.signals: \['data'\] are data"),
        ({"order": ["data"]}, r"plotting.order: \['data'\] are data"),
        ({"rebin": {"met": 2}}, r"plotting.rebin\['met'\]: cannot merge 2 bins.*3 bins"),
        (
            {"x_range": {"CR/met": (500, 600)}},
            r"plotting.x_range\['CR/met'\]: the range \(500, 600\) lies outside",
        ),
        (
            {"rebin": {"plane": 2}},
            r"plotting.rebin\['plane'\]: the observable has 2 axes.*'plane:mass' or 'plane:eta'",
        ),
    ],
)
def test_unknown_names_and_unfit_binnings_are_refused_with_the_remedy(output, options, words):
    with pytest.raises(ConfigError, match=words):
        check_options(PlottingConfig(**options), output)


def test_an_axis_of_a_2d_observable_is_merged_and_cut(plane):
    numbers = np.arange(24.0).reshape(6, 4)
    options = PlottingConfig(rebin={"plane:mass": 2}, x_range={"plane:eta": (0, 1)})
    given = apply_binning(contents(plane), options, "SR", "plane")
    expected = np.stack([numbers[0], numbers[1:3].sum(axis=0), numbers[3:5].sum(axis=0), numbers[5]])
    expected = np.stack([expected[:, 0], expected[:, 1], expected[:, 2:].sum(axis=1)], axis=1)
    np.testing.assert_allclose(given.of("ttbar")[0], expected)


def test_data_are_what_the_report_says_else_what_is_called_data():
    names = ["ttbar", "data", "muons"]
    assert data_processes(None, names) == ["data"]
    assert data_processes({"data_processes": ["muons"]}, names) == ["muons"]
    assert data_processes({"data_processes": []}, names) == []
