"""Energy scale and resolution of jets."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.errors import ConfigError
from intccms.schema.base import Payload
from intccms.systematics.jets import corrected_pt, jec_factor, jer_factor
from intccms.systematics.payloads import open_payload
from intccms.systematics.random import normal
from tests.reference import reference_data
from tests.systematics.locality import Computed, assert_event_local, some_jets

UL18, UL17, EE22 = "2018_UL", "2017_UL", "2022_Summer22EE"
CAMPAIGNS = {
    UL18: ("Summer19UL18_V5_MC", "AK4PFchs", "Summer19UL18_JRV2_MC"),
    UL17: ("Summer19UL17_V5_MC", "AK4PFchs", "Summer19UL17_JRV2_MC"),
    EE22: ("Summer22EEPrompt22_V1_MC", "AK4PFPuppi", "Summer22EEPrompt22_JRV1_MC"),
}
SOURCES = """
AbsoluteMPFBias AbsoluteScale FlavorQCD Fragmentation PileUpDataMC PileUpPtBB PileUpPtEC1
PileUpPtEC2 PileUpPtHF PileUpPtRef RelativeBal RelativeFSR RelativeJERHF RelativePtBB RelativePtHF
SinglePionECAL SinglePionHCAL AbsoluteStat RelativeJEREC1 RelativeJEREC2 RelativePtEC1 RelativePtEC2
RelativeSample RelativeStatEC RelativeStatFSR RelativeStatHF TimePtEta
""".split()  # noqa: SIM905
GROUPS = (
    "FlavorQCD RelativeBal HF BBEC1 EC2 Absolute Absolute_{y} HF_{y} EC2_{y} RelativeSample_{y} BBEC1_{y}"
)


def payload(year: str, level: str) -> Any:
    campaign, algorithm, resolution = CAMPAIGNS[year]
    tag = resolution if level in ("PtResolution", "ScaleFactor") else campaign
    file = reference_data() / "corrections" / "POG" / "JME" / year / "jet_jerc.json.gz"
    return open_payload(Payload(str(file), f"{tag}_{level}_{algorithm}"))


def jec(columns: dict[str, Any], *levels: Any) -> Any:
    return jec_factor(
        *(columns[name] for name in ("pt", "raw_factor", "eta", "phi", "area", "rho", "run")), *levels
    )


def jec_columns(**changes: Any) -> dict[str, Any]:
    one = {"pt": 100.0, "raw_factor": 0.2, "eta": 0.5, "phi": 1.0, "area": 0.5}
    columns = {name: ak.Array([[value]]) for name, value in one.items()}
    return columns | {"rho": ak.Array([20.0]), "run": ak.Array([315000])} | changes


def test_levels_apply_one_after_the_other_to_the_raw_pt() -> None:
    # by hand: raw 100 * 0.8 = 80; minus an offset of 0.5 * 20 = 10: 70; plus 7 (a factor of 1 + 7 / 70): 77
    offset = Computed(lambda area, pt, rho: 1 - area * rho / pt, "JetA", "JetPt", "Rho")
    relative = Computed(lambda pt: 1 + 7 / pt, "JetPt")
    factor = jec(jec_columns(), offset, relative)
    assert factor.to_list() == [[pytest.approx(0.77, rel=1e-14)]]
    assert factor.type == ak.types.from_datashape("1 * var * float64", highlevel=True)


def test_a_level_gets_the_inputs_that_it_names() -> None:
    level = Computed(lambda run, phi, eta: np.ones_like(phi), "run", "JetPhi", "JetEta")
    jec(jec_columns(), level)
    assert [argument.tolist() for argument in level.calls[0]] == [[315000], [1.0], [0.5]]


def test_a_level_that_takes_something_else_is_named_with_its_input() -> None:
    with pytest.raises(ConfigError, match=r"there is no 'JetPT' here.*Did you mean 'JetPt'"):
        jec(jec_columns(), Computed(lambda x: x, "JetPT"))


def test_a_calibration_without_levels_is_refused() -> None:
    with pytest.raises(ConfigError, match="jec_factor needs a payload"):
        jec(jec_columns())


@pytest.mark.parametrize(
    "changes",
    [
        {"pt": ak.Array([[0.0]])},
        {"raw_factor": ak.Array([[1.0]])},
        {"raw_factor": ak.Array([[1.5]])},
    ],
    ids=["pt 0", "raw pt 0", "raw pt below 0"],
)
def test_a_jet_without_raw_pt_keeps_what_it_has(changes: dict[str, Any]) -> None:
    level = Computed(lambda pt: 2 + np.log10(pt), "JetPt")  # not to be called with 0 or less
    assert jec(jec_columns(**changes), level).to_list() == [[1.0]]


@pytest.mark.parametrize("value", [0.0, -0.5, np.inf])
def test_a_correction_without_sense_leaves_the_pt(value: float) -> None:
    assert jec(jec_columns(), Computed(lambda pt: np.full_like(pt, value), "JetPt")).to_list() == [[1.0]]


def test_no_jets_and_no_events_give_none() -> None:
    level = Computed(lambda pt: pt, "JetPt")
    sizes, columns = some_jets(3, mean=0.0)
    assert sizes.sum() == 0
    assert jec(columns, level).to_list() == [[], [], []]
    assert jec({name: column[:0] for name, column in columns.items()}, level).to_list() == []
    assert jec(dict.fromkeys(columns, ak.Array([])), level).to_list() == []


@pytest.mark.parametrize("year", [UL18, UL17, EE22])
def test_the_levels_one_by_one_are_the_compound(year: str) -> None:
    columns = some_jets(2000)[1]
    whole = jec(columns, payload(year, "L1L2L3Res"))
    names = ("L1FastJet", "L2Relative", "L3Absolute", "L2L3Residual")
    levels = jec(columns, *(payload(year, level) for level in names))
    np.testing.assert_allclose(ak.flatten(levels), ak.flatten(whole), rtol=1e-12)
    assert ak.all(whole > 0)


def test_the_scale_is_a_function_of_the_event_alone() -> None:
    columns = some_jets()[1]
    names = ("pt", "raw_factor", "eta", "phi", "area", "rho", "run")
    level = payload(UL18, "L1L2L3Res")
    assert_event_local(lambda *args: jec_factor(*args, level), *(columns[name] for name in names))


# files made with payloads that are among the reference inputs: NanoAODv9 of UL18, and 2022 EE
REAL = [
    ("nano_genmodel_with0.root", UL18, 102),
    ("DarkBottomLine_ggH_M125_amcatnlo_v13.root", EE22, 440),
]


@pytest.mark.parametrize(("name", "year", "n_jets"), REAL)
def test_the_calibration_of_real_raw_jets_is_the_stored_pt(name: str, year: str, n_jets: int) -> None:
    """All jets agree within what NanoAOD's truncation leaves open.

    Stored are pt and area with 10 bits of mantissa and rawFactor with 6, rounded: relative errors of 2^-11 and 2^-7.
    The raw pt is then known to 2^-11 + 2^-7 |rawFactor| / (1 - rawFactor), relative.
    """
    columns = read_jets(name)
    level = payload(year, "L1L2L3Res")
    stored, raw_factor = (ak.to_numpy(ak.flatten(columns[one])).astype(float) for one in ("pt", "raw_factor"))
    assert len(stored) == n_jets
    agreement = np.abs(ak.to_numpy(ak.flatten(jec(columns, level))) - 1)
    open_ = 2.0**-11 + 2.0**-7 * np.abs(raw_factor) / (1 - raw_factor)
    eta, phi, area = (ak.to_numpy(ak.flatten(columns[one])).astype(float) for one in ("eta", "phi", "area"))
    rho, run = (
        ak.to_numpy(ak.flatten(ak.broadcast_arrays(columns[one], columns["pt"])[0])).astype(float)
        for one in ("rho", "run")
    )
    corners = [
        corrected_pt(
            stored * (1 - raw_factor) * (1 + up * open_),
            eta,
            phi,
            area * (1 + more * 2.0**-11),
            rho,
            run,
            level,
        )
        for up in (-1, 1)
        for more in (-1, 1)
    ]
    lowest, highest = np.min(corners, axis=0), np.max(corners, axis=0)
    assert np.all(stored * (1 + 2.0**-11) > lowest)
    assert np.all(stored * (1 - 2.0**-11) < highest)
    assert np.median(agreement) < 5e-4
    assert agreement.max() < 5e-3


def read_jets(name: str) -> dict[str, Any]:
    tree = uproot.open(reference_data() / "nanoaod" / name)["Events"]
    rho = next(one for one in ("fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll") if one in tree)
    branches = {"pt": "pt", "eta": "eta", "phi": "phi", "area": "area", "raw_factor": "rawFactor"}
    columns = {name: tree[f"Jet_{branch}"].array() for name, branch in branches.items()}
    return columns | {"rho": tree[rho].array(), "run": tree["run"].array()}


@pytest.mark.filterwarnings("ignore::RuntimeWarning:coffea")  # of branches that its schema adds
def test_virtual_columns_give_what_read_ones_give() -> None:
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    name, year, _ = REAL[0]
    file = {str(reference_data() / "nanoaod" / name): "Events"}
    events = NanoEventsFactory.from_root(file, schemaclass=NanoAODSchema, mode="virtual").events()
    jets, columns = events.Jet, read_jets(name)
    level = payload(year, "L1L2L3Res")
    args = (jets.pt, jets.rawFactor, jets.eta, jets.phi, jets.area, events.fixedGridRhoFastjetAll, events.run)
    assert jec_factor(*args, level).to_list() == jec(columns, level).to_list()


@pytest.mark.parametrize("year", [UL17, UL18])
def test_the_sources_add_up_to_the_total(year: str) -> None:
    """All 27 sources in quadrature are the total, and so are the 11 regrouped ones, within rounding.

    At the points that were measured, pt by pt and bin by bin of eta, each number is rounded to four decimals; n of
    them in quadrature are then known to sqrt(n) 5e-5. (Between these points each source is interpolated by itself.)
    """
    eta, pt = measured_points(year)

    def in_quadrature(names: list[str]) -> Any:
        return np.sqrt(sum(payload(year, name).evaluate(eta, pt) ** 2 for name in names))

    total, sources = payload(year, "Total").evaluate(eta, pt), in_quadrature(SOURCES)
    groups = [f"Regrouped_{one}" for one in GROUPS.format(y=year[:4]).split()]
    assert len(SOURCES) == 27
    assert len(groups) == 11
    assert np.abs(sources - total).max() < 5e-5 * (math.sqrt(27) + 1)
    assert np.abs(in_quadrature(groups) - sources).max() < 5e-5 * (math.sqrt(11) + math.sqrt(27))
    assert np.median(np.abs(sources / total - 1)) < 2e-3


def measured_points(year: str) -> tuple[Any, Any]:
    """Return the centres of the bins in eta and the points in pt of a payload, those below the beam energy."""
    file = reference_data() / "corrections" / "POG" / "JME" / year / "jet_jerc.json.gz"
    document = json.loads(gzip.decompress(file.read_bytes()))
    campaign, algorithm, _ = CAMPAIGNS[year]
    name = f"{campaign}_Total_{algorithm}"
    data = next(one["data"] for one in document["corrections"] if one["name"] == name)
    edges, points = np.array(data["edges"]), np.array(data["content"][0]["edges"][1:-1])
    eta, pt = (one.ravel() for one in np.meshgrid((edges[1:] + edges[:-1]) / 2, points))
    possible = pt * np.cosh(eta) < 6500
    assert possible.sum() > 1000
    return eta[possible], pt[possible]


JER_NAMES = (
    "pt", "eta", "phi", "rho", "gen_index", "gen_pt", "gen_eta", "gen_phi", "run", "lumi", "event"
)  # fmt: skip
SIGMA = Computed(lambda eta, pt, rho: np.full_like(pt, 0.1), "JetEta", "JetPt", "Rho")
FACTORS = {"nom": 1.2, "up": 1.3, "down": 1.1}
SCALE = Computed(lambda eta, key: np.full_like(eta, FACTORS[key]), "JetEta", "systematic")


def jer(columns: dict[str, Any], key: str = "nom", resolution: Any = SIGMA, scale: Any = SCALE) -> Any:
    return jer_factor(*(columns[name] for name in JER_NAMES), 0.4, key, resolution, scale)


def one_jet(**changes: Any) -> dict[str, Any]:
    """Return one jet of 100 GeV, in the second of three events, whose generated jet has 90 GeV and is its second."""
    values = {"pt": 100.0, "eta": 0.5, "phi": 3.1, "gen_index": 1} | changes
    columns = {name: ak.Array([[], [values[name]], []]) for name in ("pt", "eta", "phi", "gen_index")}
    gen = {"gen_pt": 90.0, "gen_eta": 0.5, "gen_phi": -3.1} | changes
    columns |= {
        name: ak.Array([[100.0], [7.0, gen[name]], [99.0]]) for name in ("gen_pt", "gen_eta", "gen_phi")
    }
    events = {"rho": [20.0] * 3, "run": [1, 1, 1], "lumi": [7, 8, 9], "event": [100, 101, 102]}
    return columns | {name: ak.Array(value) for name, value in events.items()}


def stochastic(position: int = 0, sf: float = 1.2, sigma: float = 0.1) -> float:
    """Return the factor of a jet without match in the second event, from the formula of the TWiki."""
    return 1 + float(normal(1, 8, 101, position)) * sigma * math.sqrt(sf * sf - 1)


def test_a_matched_jet_is_scaled_about_its_generated_jet() -> None:
    # by hand: 1 + (1.2 - 1) * (100 - 90) / 100; across phi = pi the two are 0.083 apart
    assert jer(one_jet()).to_list() == [[], [pytest.approx(1.02, rel=1e-14)], []]
    assert jer(one_jet(), "up").to_list()[1] == [pytest.approx(1.03, rel=1e-14)]
    assert jer(one_jet(), "down").to_list()[1] == [pytest.approx(1.01, rel=1e-14)]


@pytest.mark.parametrize(
    "changes",
    [
        {"gen_index": -1},
        {"gen_index": 2},
        {"gen_eta": 0.69},
        {"gen_phi": -2.98},
        {"gen_pt": 69.0},
        {"gen_pt": 131.0},
    ],
    ids=["no index", "index beyond the event's", "eta", "phi", "pt too low", "pt too high"],
)
def test_a_jet_without_a_good_match_is_smeared(changes: dict[str, Any]) -> None:
    # 0.2 in distance and 3 sigma = 30 GeV in pt are too far
    for key, sf in FACTORS.items():
        assert jer(one_jet(**changes), key).to_list()[1] == [pytest.approx(stochastic(sf=sf), rel=1e-14)]


@pytest.mark.parametrize("changes", [{"gen_eta": 0.67}, {"gen_pt": 71.0}, {"gen_pt": 129.0}], ids=str)
def test_a_match_just_inside_the_limits_counts(changes: dict[str, Any]) -> None:
    pt = changes.get("gen_pt", 90.0)
    assert jer(one_jet(**changes)).to_list()[1] == [pytest.approx(1 + 0.2 * (100 - pt) / 100, rel=1e-14)]


def test_a_scale_factor_below_one_smears_no_unmatched_jet() -> None:
    below = Computed(lambda eta, key: np.full_like(eta, 0.9), "JetEta", "systematic")
    assert jer(one_jet(gen_index=-1), scale=below).to_list()[1] == [1.0]


def test_a_scale_factor_may_depend_on_pt() -> None:
    scale = Computed(lambda pt, key, eta: 1 + pt / 500, "JetPt", "systematic", "JetEta")
    assert jer(one_jet(), scale=scale).to_list()[1] == [pytest.approx(1.02, rel=1e-14)]


def test_the_energy_of_a_smeared_jet_stays_positive() -> None:
    # by hand: 0.01 GeV of 100 cosh(0.5) GeV
    wide = Computed(lambda eta, pt, rho: np.full_like(pt, 1e6), "JetEta", "JetPt", "Rho")
    deviate = next(event for event in range(100) if normal(1, 8, event, 0) < 0)
    columns = one_jet(gen_index=-1) | {"event": ak.Array([1, deviate, 1])}
    floor = 0.01 / (100 * math.cosh(0.5))
    assert jer(columns, resolution=wide).to_list()[1] == [pytest.approx(floor, rel=1e-12)]


def test_a_jet_of_no_pt_is_not_smeared() -> None:
    never = Computed(lambda eta, pt, rho: 1 / pt, "JetEta", "JetPt", "Rho")
    assert jer(one_jet(pt=0.0, gen_index=-1), resolution=never).to_list()[1] == [1.0]


def test_smearing_depends_on_nothing_but_the_event() -> None:
    columns = some_jets()[1]
    resolution, scale = payload(UL18, "PtResolution"), payload(UL18, "ScaleFactor")

    def smeared(*args: Any) -> Any:
        return jer_factor(*args, 0.4, "nom", resolution, scale)

    assert_event_local(smeared, *(columns[name] for name in JER_NAMES))


def test_up_and_down_bracket_the_nominal_smearing() -> None:
    columns = some_jets(2000)[1]
    payloads = payload(UL18, "PtResolution"), payload(UL18, "ScaleFactor")
    nominal, up, down = (
        ak.to_numpy(ak.flatten(jer(columns, key, *payloads))) for key in ("nom", "up", "down")
    )
    changed = np.abs(nominal - 1) > 1e-12
    assert changed.mean() > 0.9
    assert np.all((up - nominal)[changed] * (nominal - down)[changed] >= 0)
    np.testing.assert_array_equal(np.sign(nominal - 1)[changed], np.sign(up - 1)[changed])


def test_smeared_jets_have_the_width_asked_for() -> None:
    # all unmatched, at 50 GeV: sigma sqrt(sf^2 - 1) = 0.1 * 0.6633
    n = 50_000
    jets = {
        name: ak.unflatten(np.full(n, value), 1) for name, value in (("pt", 50.0), ("eta", 0.0), ("phi", 0.0))
    }
    nothing = ak.unflatten(np.zeros(0), np.zeros(n, dtype=int))
    columns = jets | {"gen_index": ak.unflatten(np.full(n, -1), 1), "gen_pt": nothing, "gen_eta": nothing}
    columns |= {"gen_phi": nothing, "rho": np.full(n, 20.0), "run": np.ones(n, int), "lumi": np.ones(n, int)}
    shift = ak.to_numpy(ak.flatten(jer(columns | {"event": np.arange(n)}))) - 1
    width = 0.1 * math.sqrt(0.44)
    assert abs(shift.mean()) < 4 * width / math.sqrt(n)
    assert abs(shift.std() / width - 1) < 4 / math.sqrt(2 * n)


def test_a_real_file_is_smeared_as_a_loop_over_its_jets_says() -> None:
    """An independent loop: every jet by itself, with correctionlib's own objects."""
    import correctionlib

    tree = uproot.open(reference_data() / "nanoaod" / "nano_genmodel_with0.root")["Events"]
    branches = {"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "rho": "fixedGridRhoFastjetAll"}
    branches |= {
        "gen_index": "Jet_genJetIdx",
        "gen_pt": "GenJet_pt",
        "gen_eta": "GenJet_eta",
        "gen_phi": "GenJet_phi",
    }
    branches |= {"run": "run", "lumi": "luminosityBlock", "event": "event"}
    columns = {name: tree[branch].array() for name, branch in branches.items()}
    file = reference_data() / "corrections" / "POG" / "JME" / UL18 / "jet_jerc.json.gz"
    corrections = correctionlib.CorrectionSet.from_file(str(file))
    resolution = corrections["Summer19UL18_JRV2_MC_PtResolution_AK4PFchs"]
    scale = corrections["Summer19UL18_JRV2_MC_ScaleFactor_AK4PFchs"]
    expected, matched = [], 0
    for event in ak.to_list(ak.zip(columns, depth_limit=1)):
        factors = []
        for position, (pt, eta, phi, index) in enumerate(
            zip(event["pt"], event["eta"], event["phi"], event["gen_index"], strict=True)
        ):
            sigma, sf = resolution.evaluate(eta, pt, event["rho"]), scale.evaluate(eta, "nom")
            factor = math.nan
            if 0 <= index < len(event["gen_pt"]):
                gen_pt = event["gen_pt"][index]
                delta_phi = math.remainder(phi - event["gen_phi"][index], 2 * math.pi)
                if (
                    math.hypot(eta - event["gen_eta"][index], delta_phi) < 0.2
                    and abs(pt - gen_pt) < 3 * sigma * pt
                ):
                    factor = 1 + (sf - 1) * (pt - gen_pt) / pt
                    matched += 1
            if math.isnan(factor):
                deviate = float(normal(event["run"], event["lumi"], event["event"], position))
                factor = 1 + deviate * sigma * math.sqrt(max(sf * sf - 1, 0))
            factors.append(factor)
        expected.append(factors)
    assert matched > 20
    found = jer(columns, "nom", payload(UL18, "PtResolution"), payload(UL18, "ScaleFactor"))
    np.testing.assert_allclose(ak.flatten(found), ak.flatten(ak.Array(expected)), rtol=1e-12)
