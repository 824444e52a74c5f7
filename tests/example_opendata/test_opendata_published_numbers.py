"""The Open Data example on real files, against published counts and an independent NumPy computation.

``expected.json`` beside the files holds what plain NumPy makes of the same selection: candidates, the sum of
m(tt), and the histogram as counts and signed by the generator weight. The candidate counts 218, 3 and 2 and the
numbers of generated events are the published ones.
"""

import json

import numpy as np
import pytest
import uproot

from example_opendata import config as example
from example_opendata.cuts import candidate_mass
from example_opendata.datasets import GOLDEN_JSON
from intccms import AnalysisRunner, ObjVar, load_config
from tests.reference import reference_data

OFFICIAL = "corrections/golden/Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"
SIMULATION = ("ttbar_lep", "ttbar_had", "wjets")
CANDIDATES = [ObjVar("Muon"), ObjVar("FatJet"), ObjVar("Jet"), ObjVar("PuppiMET")]
FINE = 10_000  # bins of one GeV: the sum of 218 masses is then known to 0.02 GeV of 229,419 GeV


def mass_and_sign(muons, fat_jets, jets, met, gen_weight):
    return candidate_mass(muons, fat_jets, jets, met), np.sign(gen_weight)


def whole_gev(muons, fat_jets, jets, met):
    return np.floor(candidate_mass(muons, fat_jets, jets, met)) + 0.5


def fraction_of_gev(muons, fat_jets, jets, met):
    mass = candidate_mass(muons, fat_jets, jets, met)
    return mass - np.floor(mass)


SIGNED = {
    "name": "mtt_and_sign",
    "function": mass_and_sign,
    "use": [*CANDIDATES, ObjVar("event", "genWeight")],
    "axes": [
        {"name": "mtt", "binning": {"bins": 50, "start": 0, "stop": 3000}},
        {"name": "sign", "binning": [-2, 0, 2]},
    ],
}
SUMS = [
    {
        "name": "mtt_whole",
        "function": whole_gev,
        "use": CANDIDATES,
        "binning": {"bins": 5000, "start": 0, "stop": 5000},
    },
    {
        "name": "mtt_fraction",
        "function": fraction_of_gev,
        "use": CANDIDATES,
        "binning": {"bins": FINE, "start": 0, "stop": 1},
    },
]


def run(folder, output, processes, further=()):
    (channel,) = example["channels"]
    config = load_config(
        {**example, "channels": [{**channel, "observables": [*channel["observables"], *further]}]},
        [
            f"datasets.base_dir={folder}",
            f"general.processes={','.join(processes)}",
            f"general.output_dir={output}",
            "general.executor=iterative",
            "preprocess.skimming.chunk_size=10000",
        ],
    )
    return AnalysisRunner(config, progress=False).histogram()


@pytest.fixture(scope="module")
def folder():
    return reference_data() / "opendata2016"


@pytest.fixture(scope="module")
def expected(folder):
    return json.loads((folder / "expected.json").read_text())


@pytest.fixture(scope="module")
def simulation(folder, tmp_path_factory):
    return run(folder, tmp_path_factory.mktemp("simulation"), SIMULATION, [SIGNED, *SUMS])


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory):
    return run(folder, tmp_path_factory.mktemp("data"), ["data"])


def entries(result, observable, process):
    return result.output["entries"]["SR"][observable][{"process": process}].values(flow=True)


def weighted(result, observable, process):
    histogram = result.output["histograms"]["SR"][observable]
    return histogram[{"process": process, "variation": "nominal"}].values(flow=True)


def test_all_of_the_simulation_is_processed(simulation):
    # 82,406, 1,958 and 7,313 events are in the files
    read = {row.name: (row.processed, row.entries) for row in simulation.report.datasets}
    assert read == {"ttbar_lep": (82406, 82406), "ttbar_had": (1958, 1958), "wjets": (7313, 7313)}


@pytest.mark.parametrize(("process", "candidates"), [("ttbar_lep", 218), ("ttbar_had", 3), ("wjets", 2)])
def test_the_published_candidates_are_found(simulation, expected, process, candidates):
    found = entries(simulation, "mtt", process)
    assert found.sum() == candidates == expected[process]["candidates"]
    assert simulation.output["cutflow"]["SR"]["entries"][process][-1] == expected[process]["events"]


@pytest.mark.parametrize("process", SIMULATION)
def test_every_bin_holds_the_expected_entries(simulation, expected, process):
    underflow, *bins, overflow = entries(simulation, "mtt", process)
    assert bins == expected[process]["hist_50_0_3000"]
    assert underflow == 0
    assert overflow == expected[process]["candidates"] - sum(bins)


@pytest.mark.parametrize("process", SIMULATION)
def test_every_bin_holds_the_expected_entries_signed_by_the_weight(simulation, expected, process):
    found = entries(simulation, "mtt_and_sign", process)[1:-1]
    assert list(found[:, 2] - found[:, 1]) == expected[process]["hist_signed"]
    assert not found[:, [0, 3]].any()


@pytest.mark.parametrize(
    ("process", "xsec", "signs"),
    [("ttbar_lep", 831.76 * 0.105, 502_964), ("ttbar_had", 831.76 * 0.457, 666_468)],
)
def test_yields_follow_from_cross_section_luminosity_and_generated_events(
    simulation, expected, process, xsec, signs
):
    # the workshop's weight L * sigma / (N+ - N-); the weights of these two datasets differ by their sign only
    per_candidate = 16_400 * xsec / signs
    found = weighted(simulation, "mtt", process)[1:-1]
    assert found == pytest.approx(np.multiply(expected[process]["hist_signed"], per_candidate), rel=1e-6)


@pytest.mark.parametrize("process", SIMULATION)
def test_the_sum_of_masses_is_the_expected_one(simulation, expected, process):
    whole, fraction = (entries(simulation, name, process) for name in ("mtt_whole", "mtt_fraction"))
    assert whole[[0, -1]].sum() == fraction[[0, -1]].sum() == 0
    total = whole[1:-1] @ np.arange(5000) + fraction[1:-1] @ ((np.arange(FINE) + 0.5) / FINE)
    assert total == pytest.approx(expected[process]["mtt_sum_gev"], rel=1e-6)


def test_certified_data_are_those_of_a_loop_over_the_official_file(folder, data):
    golden = json.loads((reference_data() / OFFICIAL).read_text())
    with uproot.open(folder / "data_0.root") as file:
        events = file["Events"].arrays(["run", "luminosityBlock"], library="np")
    good = np.zeros(len(events["run"]), dtype=bool)
    for number, ranges in golden.items():
        for first, last in ranges:
            section = events["luminosityBlock"]
            good |= (events["run"] == int(number)) & (section >= first) & (section <= last)
    cutflow = data.output["cutflow"]["SR"]
    left = dict(zip(cutflow["steps"], cutflow["entries"]["data"], strict=True))
    assert 0 < good.sum() < len(good)
    assert left["all"] == len(good)
    assert left["lumi mask"] == good.sum()


def test_data_candidates_are_the_expected_ones_without_a_weight(data, expected):
    assert list(entries(data, "mtt", "data")[1:-1]) == expected["data_0"]["hist_50_0_3000"]
    assert list(weighted(data, "mtt", "data")[1:-1]) == expected["data_0"]["hist_50_0_3000"]


def test_the_golden_json_is_the_official_one_for_2016g_and_2016h():
    official = json.loads((reference_data() / OFFICIAL).read_text())
    assert json.loads(GOLDEN_JSON.read_text()) == {
        number: ranges for number, ranges in official.items() if 278_820 <= int(number) <= 284_044
    }
