"""Small histograms whose every bin is written by hand, and run directories made of them."""

import hist
import numpy as np
import pytest
from coffea.util import save


def make_histogram(yields, *, edges=(0.0, 100.0, 200.0, 400.0), label="MET [GeV]", name="met", variations=()):
    """Return a 1-D histogram from ``{process or (process, variation): values with flow}``; variance 0.5 * |value|.

    Data has variance = value.
    """
    keys = [key if isinstance(key, tuple) else (key, "nominal") for key in yields]
    processes = list(dict.fromkeys(process for process, _ in keys))
    found = ["nominal", *variations, *(variation for _, variation in keys)]
    histogram = hist.Hist(
        hist.axis.Variable(list(edges), name=name, label=label),
        hist.axis.StrCategory(processes, name="process"),
        hist.axis.StrCategory(list(dict.fromkeys(found)), name="variation"),
        storage="weight",
    )
    view = histogram.view(flow=True)
    for (process, variation), values in zip(keys, yields.values(), strict=True):
        index = (
            slice(None),
            histogram.axes["process"].index(process),
            histogram.axes["variation"].index(variation),
        )
        view["value"][index] = values
        view["variance"][index] = np.abs(values) * (1.0 if process.startswith("data") else 0.5)
    return histogram


@pytest.fixture
def histogram_of():
    return make_histogram


@pytest.fixture
def met():
    return make_histogram(
        {
            "ttbar": [1.0, 40.0, 80.0, 20.0, 4.0],
            "wjets": [0.0, 10.0, 20.0, 30.0, 2.0],
            ("ttbar", "jes_up"): [1.0, 44.0, 83.0, 20.0, 4.0],
            ("ttbar", "jes_down"): [1.0, 37.0, 84.0, 20.0, 4.0],
            ("wjets", "jes_up"): [0.0, 10.0, 20.0, 30.0, 2.0],
            ("wjets", "jes_down"): [0.0, 10.0, 20.0, 30.0, 2.0],
            "data": [0.0, 55.0, 90.0, 0.0, 7.0],
        }
    )


@pytest.fixture
def report():
    return {
        "complete": True,
        "coverage": 1.0,
        "lumi": {"2017": 41480.0, "2018": 59830.0},
        "notes": [],
        "data_processes": ["data"],
    }


@pytest.fixture
def plane():
    histogram = hist.Hist(
        hist.axis.Regular(4, 0.0, 400.0, name="mass", label="mass [GeV]"),
        hist.axis.Regular(2, 0.0, 2.0, name="eta", label="eta"),
        hist.axis.StrCategory(["ttbar", "data"], name="process"),
        hist.axis.StrCategory(["nominal"], name="variation"),
        storage="weight",
    )
    histogram.view(flow=True)["value"][:, :, 0, 0] = np.arange(24.0).reshape(6, 4)
    histogram.view(flow=True)["value"][2, 2, 1, 0] = 5.0
    return histogram


@pytest.fixture
def cutflow():
    return {
        "steps": ["all", "one muon", "two b tags"],
        "entries": {"ttbar": [1000, 400, 290], "wjets": [500, 100, 124], "data": [900, 300, 152]},
        "weighted": {
            "ttbar": [500.0, 200.0, 145.0],
            "wjets": [250.0, 50.0, 62.0],
            "data": [900.0, 300.0, 152.0],
        },
    }


@pytest.fixture
def output(met, plane, cutflow, report):
    return {
        "histograms": {"SR": {"met": met, "plane": plane}, "CR": {"met": met}},
        "entries": {"SR": {}, "CR": {}},
        "cutflow": {"SR": cutflow, "CR": cutflow},
        "report": report,
        "config": {
            "datasets": {
                "datasets": [{"name": "zjets_2017", "process": "zjets"}, {"name": "qcd", "process": None}]
            },
            "channels": [{"name": "VR", "observables": [{"name": "njets", "axes": []}]}],
            "plotting": {"dpi": 30},
        },
    }


@pytest.fixture
def run_dir(tmp_path, output):
    save(output, str(tmp_path / "output.coffea"))
    return tmp_path
