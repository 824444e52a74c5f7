"""Missing transverse momentum: Type-1 corrections, unclustered energy, stored variations."""

from __future__ import annotations

import math
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.errors import ConfigError
from intccms.schema.base import Payload
from intccms.systematics.jets import jec_factor
from intccms.systematics.met import stored_met, type1_met, unclustered_met
from intccms.systematics.payloads import open_payload
from tests.reference import reference_data
from tests.systematics.locality import Computed, assert_event_local, some_jets

NAMES = (
    "met_pt", "met_phi", "pt", "pt_as_read", "eta", "phi", "raw_factor", "area", "muon_factor", "charged_em",
    "neutral_em", "low_raw_pt", "low_eta", "low_phi", "low_area", "low_muon_factor", "rho", "run",
)  # fmt: skip
JETS, SOFT = NAMES[2:11], NAMES[11:16]

L1 = Computed(lambda area, pt, rho: 1 - area * rho / pt, "JetA", "JetPt", "Rho")
FULL = Computed(lambda area, pt, rho: 1.5 - area * rho / pt, "JetA", "JetPt", "Rho")
SHIFT = Computed(lambda eta, pt: np.full_like(pt, 0.1), "JetEta", "JetPt")


def met(columns: dict[str, Any], *rest: Any) -> Any:
    return type1_met(*(columns[name] for name in NAMES), *rest)


def one_event(**changes: Any) -> dict[str, Any]:
    """Return an event with MET of 50 GeV along x, a jet along y calibrated to 60 GeV, and no soft jet."""
    jet = {"pt": 60.0, "pt_as_read": 55.0, "raw_factor": 0.2, "phi": math.pi / 2, "area": 0.5}
    jet |= {"eta": 0.0, "muon_factor": 0.0, "charged_em": 0.1, "neutral_em": 0.2} | changes
    columns = {name: ak.Array([[jet[name]]]) for name in JETS}
    columns |= {name: ak.values_astype(ak.Array([[]]), np.float64) for name in SOFT}
    return columns | {
        "met_pt": ak.Array([50.0]),
        "met_phi": ak.Array([0.0]),
        "rho": ak.Array([20.0]),
        "run": ak.Array([1]),
    }


def components(result: Any) -> list[tuple[float, float]]:
    return [(pt * math.cos(phi), pt * math.sin(phi)) for pt, phi in zip(*result, strict=True)]


def test_the_corrections_beyond_l1_are_taken_from_met() -> None:
    # by hand: raw 55 * 0.8 = 44, after L1 44 - 0.5 * 20 = 34; the jet adds 60 - 34 = 26 along y
    assert components(met(one_event(), "nominal", L1, FULL)) == [pytest.approx((50.0, -26.0), rel=1e-14)]


def test_muons_are_left_out_of_a_jet() -> None:
    # by hand: what is left without a quarter of the jet has three quarters of 26
    found = met(one_event(muon_factor=0.25), "nominal", L1, FULL)
    assert components(found) == [pytest.approx((50.0, -19.5), rel=1e-14)]


@pytest.mark.parametrize(
    "changes",
    [{"pt": 14.9}, {"muon_factor": 0.751}, {"charged_em": 0.8}],
    ids=["pt below 15", "pt without muons below 15", "an electron or photon"],
)
def test_a_jet_that_does_not_count_leaves_met(changes: dict[str, Any]) -> None:
    assert components(met(one_event(**changes), "nominal", L1, FULL)) == [pytest.approx((50.0, 0.0))]


@pytest.mark.parametrize("changes", [{"pt": 15.1}, {"muon_factor": 0.749}, {"charged_em": 0.69}], ids=str)
def test_a_jet_just_inside_the_limits_counts(changes: dict[str, Any]) -> None:
    assert abs(components(met(one_event(**changes), "nominal", L1, FULL))[0][1]) > 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [("nominal", 0.0), (None, 0.0), ("up", 1 * (15.4 - 4)), ("down", 0.0)],
)
def test_soft_jets_come_and_go_with_the_scale(key: Any, expected: float) -> None:
    # by hand: raw 14, full 1.5 * 14 - 7 * 1 = 14; +10 % is 15.4, above 15; after L1 14 - 0.5 * 20 = 4
    soft = {"low_raw_pt": 16.0, "low_eta": 0.0, "low_phi": 0.0, "low_area": 0.5, "low_muon_factor": 0.0}
    columns = one_event(pt=1.0) | {name: ak.Array([[value]]) for name, value in soft.items()}
    columns |= {"low_raw_pt": ak.Array([[14.0]])}
    full = Computed(np.ones_like, "JetPt")
    assert components(met(columns, key, L1, full, SHIFT)) == [pytest.approx((50.0 - expected, 0.0))]
    assert components(met(columns, key, L1, full)) == [pytest.approx((50.0, 0.0))]


def test_a_wrong_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"type1_met has no systematic key 'upp'.*Did you mean 'up'"):
        met(one_event(), "upp", L1, FULL, SHIFT)


def test_events_without_jets_keep_the_raw_met() -> None:
    columns = event_columns(4, mean=0.0)
    pt, phi = met(columns, "nominal", L1, FULL, SHIFT)
    np.testing.assert_allclose(pt, columns["met_pt"], rtol=1e-12)
    np.testing.assert_allclose(phi, columns["met_phi"], rtol=1e-12)
    pt, phi = met({name: column[:0] for name, column in columns.items()}, "nominal", L1, FULL, SHIFT)
    assert (len(pt), len(phi)) == (0, 0)


def event_columns(n_events: int = 300, mean: float = 3.0) -> dict[str, Any]:
    columns = some_jets(n_events, mean=mean)[1]
    soft = some_jets(n_events, seed=5, mean=5 * mean)[1]
    columns |= {f"low_{name}": soft[name] for name in ("eta", "phi", "area", "muon_factor")}
    columns |= {"low_raw_pt": soft["pt"] / 3, "pt_as_read": columns["pt"]}
    return columns | {"pt": ak.values_astype(columns["pt"], np.float64) * (1 + 0.1 * np.sin(columns["eta"]))}


def payload(
    level: str, year: str = "2018_UL", campaign: str = "Summer19UL18_V5_MC", jets: str = "AK4PFchs"
) -> Any:
    file = reference_data() / "corrections" / "POG" / "JME" / year / "jet_jerc.json.gz"
    return open_payload(Payload(str(file), f"{campaign}_{level}_{jets}"))


@pytest.mark.parametrize("key", ["nominal", "up", "down"])
def test_met_is_what_a_loop_over_events_says(key: str) -> None:
    """An independent loop: one jet after the other, with scalar calls of correctionlib's own objects."""
    import correctionlib

    columns = event_columns(150)
    file = reference_data() / "corrections" / "POG" / "JME" / "2018_UL" / "jet_jerc.json.gz"
    corrections = correctionlib.CorrectionSet.from_file(str(file))
    l1 = corrections["Summer19UL18_V5_MC_L1FastJet_AK4PFchs"]
    full = corrections.compound["Summer19UL18_V5_MC_L1L2L3Res_AK4PFchs"]
    shift = corrections["Summer19UL18_V5_MC_Total_AK4PFchs"]
    sign = {"nominal": 0, "up": 1, "down": -1}[key]
    expected = []
    for event in ak.to_list(ak.zip({name: columns[name] for name in NAMES}, depth_limit=1)):
        x, y = event["met_pt"] * math.cos(event["met_phi"]), event["met_pt"] * math.sin(event["met_phi"])
        jets = []
        for pt, as_read, eta, phi, raw_factor, area, muons, charged, neutral in zip(
            *(event[name] for name in JETS), strict=True
        ):
            if charged + neutral < 0.9:
                jets.append((as_read * (1 - raw_factor), pt, eta, phi, area, muons))
        for raw, eta, phi, area, muons in zip(*(event[name] for name in SOFT), strict=True):
            pt = raw * full.evaluate(area, eta, raw, event["rho"])
            jets.append((raw, pt * (1 + sign * shift.evaluate(eta, pt)), eta, phi, area, muons))
        for raw, pt, eta, phi, area, muons in jets:
            if pt * (1 - muons) > 15:
                change = (pt - raw * l1.evaluate(area, eta, raw, event["rho"])) * (1 - muons)
                x, y = x - change * math.cos(phi), y - change * math.sin(phi)
        expected.append((x, y))
    payloads = payload("L1FastJet"), payload("L1L2L3Res"), payload("Total")
    np.testing.assert_allclose(components(met(columns, key, *payloads)), expected, rtol=1e-9, atol=1e-9)


def test_type1_is_a_function_of_the_event_alone() -> None:
    columns = event_columns()
    payloads = payload("L1FastJet"), payload("L1L2L3Res"), payload("Total")
    assert_event_local(lambda *args: type1_met(*args, "up", *payloads), *(columns[name] for name in NAMES))


def real_columns(name: str, raw: str) -> dict[str, Any]:
    tree = uproot.open(reference_data() / "nanoaod" / name)["Events"]
    rho = next(one for one in ("fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll") if one in tree)
    branches = {"met_pt": f"{raw}_pt", "met_phi": f"{raw}_phi", "rho": rho, "run": "run"}
    fields = ("pt", "pt", "eta", "phi", "rawFactor", "area", "muonSubtrFactor", "chEmEF", "neEmEF")
    branches |= {name: f"Jet_{field}" for name, field in zip(JETS, fields, strict=True)}
    fields = ("rawPt", "eta", "phi", "area", "muonSubtrFactor")
    branches |= {name: f"CorrT1METJet_{field}" for name, field in zip(SOFT, fields, strict=True)}
    columns = {name: tree[branch].array() for name, branch in branches.items()}
    stored = raw.removeprefix("Raw")
    return columns | {"stored_pt": tree[f"{stored}_pt"].array(), "stored_phi": tree[f"{stored}_phi"].array()}


def distances(columns: dict[str, Any], result: Any) -> Any:
    stored = components((columns["stored_pt"], columns["stored_phi"]))
    return np.hypot(*(np.array(components(result)) - np.array(stored)).T)


def test_corrected_pf_met_of_a_real_ul_file_is_the_stored_one() -> None:
    """NanoAODv9 of UL18, 20 events with jets of up to 760 GeV; the raw MET is 51 GeV (median) from the stored one.

    What is left is NanoAOD's truncation: 2^-11 of each jet's pt and 2^-7 of rawFactor. In one event a jet has an
    electromagnetic fraction of 0.898, stored with 6 bits, where CMS had more than 0.9: 10.5 GeV.
    """
    columns = real_columns("nano_genmodel_with0.root", "RawMET")
    level = payload("L1L2L3Res")
    names = ("pt", "raw_factor", "eta", "phi", "area", "rho", "run")
    columns["pt"] = columns["pt"] * jec_factor(*(columns[name] for name in names), level)
    left = distances(columns, met(columns, "nominal", payload("L1FastJet"), level))
    assert np.median(distances(columns, (columns["met_pt"], columns["met_phi"]))) > 50
    assert np.median(left) < 0.25
    assert np.sum(left > 1.2) == 1


def test_corrected_puppi_met_of_a_real_file_is_the_stored_one() -> None:
    """NanoAOD of 2022 EE, 100 events: PUPPI jets have no offset correction, so L1 is 1.

    The raw MET is 8 GeV (median) from the stored one; one event has a jet of electromagnetic fraction 0.898.
    """
    columns = real_columns("DarkBottomLine_ggH_M125_amcatnlo_v13.root", "RawPuppiMET")
    level = payload("L1L2L3Res", "2022_Summer22EE", "Summer22EEPrompt22_V1_MC", "AK4PFPuppi")
    names = ("pt", "raw_factor", "eta", "phi", "area", "rho", "run")
    columns["pt"] = columns["pt"] * jec_factor(*(columns[name] for name in names), level)
    left = distances(columns, met(columns, "nominal", Computed(np.ones_like, "JetPt"), level))
    assert np.median(distances(columns, (columns["met_pt"], columns["met_phi"]))) > 8
    assert np.median(left) < 0.02
    assert np.sum(left > 0.15) == 1


def test_unclustered_energy_moves_met_both_ways() -> None:
    # by hand: (3, 4) plus and minus (1, -1)
    args = np.array([5.0]), np.array([math.atan2(4, 3)]), np.array([1.0]), np.array([-1.0])
    assert components(unclustered_met(*args, "up")) == [pytest.approx((4, 3))]
    assert components(unclustered_met(*args, "down")) == [pytest.approx((2, 5))]
    for key in ("nominal", None):
        assert [one.tolist() for one in unclustered_met(*args, key)] == [[5.0], [math.atan2(4, 3)]]
    with pytest.raises(ConfigError, match="unclustered_met has no systematic key 'Up'"):
        unclustered_met(*args, "Up")


STORED = tuple(np.array([value]) for value in (5.0, 0.0, 6.0, 0.5, 4.0, -0.5))


def test_stored_variations_replace_met_that_no_step_has_changed() -> None:
    assert [one.tolist() for one in stored_met(*STORED, "up")] == [[6.0], [0.5]]
    assert [one.tolist() for one in stored_met(*STORED, "down")] == [[4.0], [-0.5]]
    assert [one.tolist() for one in stored_met(*STORED, "nominal")] == [[5.0], [0.0]]
    found = stored_met(*STORED, "up", STORED[0], STORED[1])
    assert [one.tolist() for one in found] == [[pytest.approx(6.0)], [pytest.approx(0.5)]]


def test_stored_variations_move_met_that_a_step_has_changed() -> None:
    # by hand: stored (5, 0), varied (0, 7), so the shift is (-5, 7); MET is now (10, 0)
    one = [np.array([value]) for value in (10.0, 0.0, 7.0, math.pi / 2, 5.0, 0.0)]
    found = stored_met(*one, "up", np.array([5.0]), np.array([0.0]))
    assert components(found) == [pytest.approx((5, 7))]
    assert components(stored_met(*one, "down", np.array([5.0]), np.array([0.0]))) == [pytest.approx((10, 0))]


def test_half_of_the_stored_nominal_is_refused() -> None:
    with pytest.raises(ConfigError, match="both 'pt_as_read' and 'phi_as_read'"):
        stored_met(*STORED, "up", STORED[0])


def test_shifts_of_met_are_functions_of_the_event_alone() -> None:
    rng = np.random.default_rng(4)
    columns = [
        ak.Array(rng.uniform(-3, 3, 200) if index % 2 else rng.exponential(40, 200)) for index in range(8)
    ]
    assert_event_local(lambda *args: unclustered_met(*args, "down"), *columns[:4])
    assert_event_local(lambda *args: stored_met(*args[:6], "up", *args[6:]), *columns)
