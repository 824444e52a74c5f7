"""Whole runs with variations: two years and data, merged histograms, normalisations, and what is computed again.

Expected numbers come from the columns that were drawn for the toys, with NumPy, or from a second way through the run.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import uproot

from intccms.analysis import AnalysisRunner
from intccms.histograms import load_output
from intccms.schema import SYS, Config, ObjVar
from tests.analysis.breaking import assert_same_bits, bits, note
from tests.analysis.toys import write_toy

LUMI = {"2017": 40.0, "2018": 60.0}
XSEC = {"tt": 10.0, "dy": 400.0}
EDGES = [0.0, 30.0, 60.0, 100.0, 300.0]
MET = ObjVar("MET", "pt")
FILES = {("tt", "2017"): (300, 1), ("tt", "2018"): (260, 2), ("dy", "2018"): (310, 3)}
GENERATED = 900.0


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("years")
    made = {}
    for (name, year), (events, seed) in FILES.items():
        rng = np.random.default_rng(100 + seed)
        extra = {"scaleA": (1 + 0.2 * rng.random(events)).astype(np.float32)}
        made[name, year] = write_toy(
            folder / f"{name}_{year}.root", events, seed, generated_sumw=GENERATED, extra=extra
        )
    made["data", "2018"] = write_toy(folder / "data.root", 200, 4, data=True)
    return made


def scaled(pt, key):
    return {"nom": 1.0, "up": 1.1, "down": 0.8}[key] + 0.0 * pt


def weight(pt, key):
    return {"nom": 1.1, "up": 1.3, "down": 0.9}[key] + 1e-3 * np.asarray(pt)


def member(pt, key):
    """Members 0 to 3: above, below, crossing."""
    return 1.0 + np.asarray([0.1, -0.2, 0.02, 0.0])[key] * (np.asarray(pt) / 50.0 - 1.0)


def counted(met, events, *, calls=None, least=20.0):
    if calls is not None:
        note(calls, events)
    return met > least


def same(values):
    return values


def double(values):
    return 2.0 * values


def keyed(name, up="up", down="down", **more):
    return {"name": name, "up_and_down_idx": [up, down], **more}


def of_year(year):
    """Return a calibration with a source of each kind, a weight, members, and a yield."""
    return [
        {
            "name": "met", "type": "object", "target": MET, "args": [MET, SYS], "nominal_function": scaled,
            "nominal_idx": "nom", "uncertainty_sources": [keyed("scale"), keyed(f"stat_{year}", "down", "up")],
        },
        {
            "name": "sf", "type": "event", "args": [MET, SYS], "nominal_function": weight, "nominal_idx": "nom",
            "uncertainty_sources": [keyed("sf"), keyed(f"sf_{year}")],
        },
        {
            "name": "theory", "type": "event", "args": [MET, SYS], "applies_to": ["tt"],
            "uncertainty_sources": [
                {"name": "env", "members": [0, 1, 2], "up_function": member},
                {"name": "pdf", "members": [0, 1, 2, 3], "up_function": member, "combine": "hessian"},
                {"name": "rep", "members": [0, 1], "up_function": member, "combine": "replicas"},
            ],
        },
        {
            "name": "yield", "type": "normalisation", "applies_to": ["dy"],
            "uncertainty_sources": [keyed("xsec_dy", 1.2, 0.9)],
        },
    ]  # fmt: skip


def analysis(toys, folder, **general):
    """Return the configuration as a dict, for tests to change."""
    datasets = [
        {
            "name": name,
            "years": [year],
            "files": [str(toy.path)],
            "process": name,
            "cross_sections": [XSEC[name]],
        }
        for (name, year), toy in toys.items()
        if name != "data"
    ]
    for one in datasets:
        one["name"] = f"{one['name']}_{one['years'][0]}"
    path = str(toys["data", "2018"].path)
    datasets.append({"name": "data", "years": ["2018"], "files": [path], "is_data": True})
    use = [MET, ("event", "event")]
    return {
        "general": {"lumi": LUMI, "executor": "iterative", "output_dir": str(folder / "out"), **general},
        "datasets": {"datasets": datasets},
        "preprocess": {"skimming": {"function": loose, "use": [("MET", "pt")], "chunk_size": 110}},
        "corrections": {year: of_year(year) for year in ("2017", "2018")},
        "channels": [
            {
                "name": "SR",
                "selection": {"function": counted, "use": use, "static_kwargs": {"calls": str(folder / "calls SR")}},
                "observables": [{"name": "met", "function": same, "use": [MET], "binning": EDGES}],
            },
            {
                "name": "CR",
                "selection": {"function": vertices, "use": [("event", "event")], "static_kwargs": {"calls": str(folder / "calls CR")}},
                "observables": [{"name": "lumi", "function": same, "use": [("event", "luminosityBlock")], "binning": [0.0, 5.0, 20.0]}],
            },
        ],
    }  # fmt: skip


def loose(met):
    return met > 12


def vertices(events, *, calls):
    note(calls, events)
    return events > 0


def run(config):
    result = AnalysisRunner(Config(**config), progress=False).histogram()
    assert result.output["report"]["failures"] == ()
    return result


@pytest.fixture(scope="module")
def reference(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return run(analysis(toys, folder)), folder / "out"


# what NumPy makes of the columns

KEYS = {"scale": ("up", "down"), "stat": ("down", "up"), "sf": ("up", "down")}


def by_hand(toy, year, variation, *, simulation=True):
    """Return sums of weights and of their squares in SR, flow bins included."""
    raw = toy.columns["MET_pt"].astype(np.float64)
    raw, weights = raw[raw > 12], toy.weights[raw > 12]
    source, _, last = variation.rpartition("_")
    base = source.removesuffix(f"_{year}")
    key = {"up": 0, "down": 1}.get(last)
    met, factor = raw, np.ones(len(raw))
    if simulation:
        of_met = (
            KEYS[base][key] if base in ("scale", "stat") and source in ("scale", f"stat_{year}") else "nom"
        )
        met = raw * {"nom": 1.0, "up": 1.1, "down": 0.8}[of_met]
        of_sf = KEYS["sf"][key] if source in ("sf", f"sf_{year}") else "nom"
        factor = {"nom": 1.1, "up": 1.3, "down": 0.9}[of_sf] + 1e-3 * met
    if source in ("env", "pdf", "rep"):
        factor = factor * (1.0 + [0.1, -0.2, 0.02, 0.0][int(last)] * (met / 50.0 - 1.0))
    weights = weights * factor
    kept = met > 20
    edges = [-np.inf, *EDGES, np.inf]
    sums = [np.histogram(met[kept], edges, weights=one[kept])[0] for one in (weights, weights**2)]
    return np.array(sums)


def process_by_hand(toys, process, variation):
    total = np.zeros((2, len(EDGES) + 1))
    for (name, year), toy in toys.items():
        if name == process:
            scale = 1.0 if name == "data" else XSEC[name] * LUMI[year] / GENERATED
            if variation.startswith("xsec_dy") and name == "dy":
                scale *= 1.2 if variation.endswith("up") else 0.9
            sums = by_hand(toy, year, variation, simulation=name != "data")
            total += sums * np.array([[scale], [scale**2]])
    return total


FILLED = [
    *(f"{source}_{way}" for source in ("scale", "stat_2017", "stat_2018", "sf", "sf_2017", "sf_2018") for way in ("up", "down")),
    *(f"env_{index}" for index in range(3)), *(f"pdf_{index}" for index in range(4)), "rep_0", "rep_1",
]  # fmt: skip
YIELDS = ["xsec_dy_up", "xsec_dy_down"]
COMBINED = [f"{source}_{way}" for source in ("env", "pdf", "rep") for way in ("up", "down")]


def view_of(output, process, variation, channel="SR", observable="met"):
    found = output["histograms"][channel][observable][{"process": process, "variation": variation}].view(
        flow=True
    )
    return np.array([found["value"], found["variance"]])


def test_the_merged_histograms_have_every_variation_once(reference):
    found = list(reference[0].output["histograms"]["SR"]["met"].axes["variation"])
    assert sorted(found) == sorted(["nominal", *FILLED, *YIELDS, *COMBINED])
    # weights use MET, so that its variations reach the channel that does not
    assert list(reference[0].output["histograms"]["CR"]["lumi"].axes["variation"]) == found


@pytest.mark.parametrize("variation", ["nominal", *FILLED, *YIELDS])
@pytest.mark.parametrize("process", ["tt", "dy"])
def test_every_process_has_every_variation_or_its_nominal_content(process, variation, reference, toys):
    expected = process_by_hand(
        toys,
        process,
        variation if process == "tt" or variation[:3] not in ("env", "pdf", "rep") else "nominal",
    )
    found = view_of(reference[0].output, process, variation)
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_data_have_nominal_content_only(reference, toys):
    output = reference[0].output
    assert np.allclose(
        view_of(output, "data", "nominal"), process_by_hand(toys, "data", "nominal"), rtol=1e-12
    )
    for variation in [*FILLED, *YIELDS, *COMBINED]:
        assert not view_of(output, "data", variation).any(), variation


def test_members_become_up_and_down_bin_by_bin(reference):
    for process in ("tt", "dy"):
        one = {name: view_of(reference[0].output, process, name) for name in ["nominal", *FILLED, *COMBINED]}
        nominal = one["nominal"]
        for place in range(len(EDGES) + 1):
            candidates = [tuple(one[name][:, place]) for name in ("nominal", "env_0", "env_1", "env_2")]
            assert one["env_up"][0, place] == max(value for value, _ in candidates)
            assert one["env_down"][0, place] == min(value for value, _ in candidates)
            assert tuple(one["env_up"][:, place]) in candidates
            squares = [(one[f"pdf_{index}"][0, place] - nominal[0, place]) ** 2 for index in range(4)]
            shift = math.sqrt(sum(squares))
            assert one["pdf_up"][0, place] == pytest.approx(nominal[0, place] + shift, rel=1e-12)
            assert one["pdf_down"][0, place] == pytest.approx(nominal[0, place] - shift, rel=1e-12, abs=1e-12)
            shift = math.sqrt(sum(squares[:2]) / 2)
            assert one["rep_up"][0, place] == pytest.approx(nominal[0, place] + shift, rel=1e-12)
        assert np.array_equal(one["pdf_up"][1], nominal[1])


def test_the_root_file_holds_the_same(reference):
    result, output = reference
    with uproot.open(output / "histograms" / "histograms.root") as file:
        for process in ("tt", "dy"):
            for variation in ["nominal", *FILLED, *YIELDS, *COMBINED]:
                found = file[f"SR/met/{process}/{variation}"]
                expected = view_of(result.output, process, variation)
                assert np.array_equal(found.values(flow=True), expected[0])
                assert np.array_equal(found.variances(flow=True), expected[1])
        assert list(file["SR/met/data"].keys(cycle=False)) == ["nominal"]


def test_by_dataset_stands_what_each_dataset_filled(reference, toys):
    by_dataset = load_output(reference[1] / "histograms" / "by_dataset.coffea")["histograms"]["SR"]["met"]
    filled = by_dataset.metadata["filled"]
    theory = [name for name in FILLED if name[:3] in ("env", "pdf", "rep")]
    for (name, year), toy in toys.items():
        dataset = "data_2018" if name == "data" else f"{name}_{year}_{year}"
        own = (
            []
            if name == "data"
            else [one for one in FILLED if one not in theory and ("_20" not in one or year in one)]
        )
        own += theory if name == "tt" else []
        assert sorted(filled[dataset]) == sorted(["nominal", *own])
        for variation in by_dataset.axes["variation"]:
            view = by_dataset[{"dataset": dataset, "variation": variation}].view(flow=True)
            expected = np.zeros((2, len(EDGES) + 1))
            if variation in filled[dataset]:
                expected = by_hand(toy, year, variation, simulation=name != "data")
            assert np.allclose([view["value"], view["variance"]], expected, rtol=1e-6, atol=1e-6), (
                dataset,
                variation,
            )


@pytest.mark.parametrize("executor", [pytest.param("futures", marks=pytest.mark.slow), "dask"])
def test_every_executor_gives_the_same_bits(executor, reference, toys, tmp_path, client):
    config = analysis(toys, tmp_path, executor=executor, workers=2)
    AnalysisRunner(Config(**config), client if executor == "dask" else None, progress=False).histogram()
    assert_same_bits(bits(tmp_path / "out"), bits(reference[1]))


@pytest.mark.parametrize(
    "switches",
    [{"save_skimmed_output": True}, {"run_skimming": True, "use_skimmed_input": True}],
    ids=["one pass", "skim, then analyse"],
)
def test_skims_give_the_same_bits(switches, reference, toys, tmp_path):
    config = analysis(toys, tmp_path, **switches)
    runner = AnalysisRunner(Config(**config), progress=False)
    if "run_skimming" in switches:
        runner.skim()
    assert runner.histogram().succeeded
    assert_same_bits(bits(tmp_path / "out"), bits(reference[1]))


def test_chunks_of_which_a_skim_leaves_nothing_spoil_nothing(toys, tmp_path):
    config = analysis(toys, tmp_path)
    config["preprocess"]["skimming"] |= {"function": few, "chunk_size": 30}
    whole = analysis(toys, tmp_path / "whole")
    whole["preprocess"]["skimming"]["function"] = few
    one, other = run(config).output, run(whole).output
    for variation in ["nominal", *FILLED, *COMBINED]:
        found, expected = (view_of(output, "tt", variation) for output in (one, other))
        assert found.any()
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)


def few(met):
    return met > 190
