"""Factors of b tagging, per jet."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.errors import FunctorError
from intccms.schema.base import Payload
from intccms.systematics.btagging import shape_factor, working_point_factor
from intccms.systematics.payloads import open_payload
from tests.reference import reference_data
from tests.systematics.locality import Computed, assert_event_local, some_jets

NAMES = ("flavour", "eta", "pt", "discriminant")
DIRECTIONS = ("up", "down")
MEDIUM = 0.2783  # DeepJet, 2018


def correction(name: str) -> Any:
    """Return correctionlib's own object."""
    import correctionlib

    return correctionlib.CorrectionSet.from_file(str(file()))[name]


def file() -> Any:
    return reference_data() / "corrections" / "POG" / "BTV" / "2018_UL" / "btagging.json.gz"


def payload(name: str) -> Any:
    return open_payload(Payload(str(file()), name))


def columns(n_events: int = 400) -> list[Any]:
    found = some_jets(n_events)[1]
    return [found[name] for name in NAMES]


def flat(array: Any) -> Any:
    return ak.to_numpy(ak.flatten(array))


def row(jet: tuple[Any, ...]) -> list[Any]:
    """Return a jet as flavour, eta, pt and discriminant in one event."""
    return [ak.Array([[value]]) for value in jet]


@pytest.mark.parametrize(
    "key", ["central", "up_hf", "down_lfstats1", "up_cferr1", "down_cferr2", "up_jesFlavorQCD"]
)
def test_shape_factors_are_those_of_correctionlib_jet_by_jet(key: str) -> None:
    own, jets = correction("deepJet_shape"), columns()
    expected = []
    for flavour, eta, pt, value in zip(*(flat(one).tolist() for one in jets), strict=True):
        if abs(eta) >= 2.5 or pt <= 20 or not 0 <= value <= 1:
            expected.append(1.0)
            continue
        concerned = key == "central" or (flavour == 4) == ("cferr" in key)
        expected.append(own.evaluate(key if concerned else "central", flavour, abs(eta), pt, value))
    found = shape_factor(*jets, key, payload("deepJet_shape"))
    assert flat(found).tolist() == expected
    assert ak.num(found).to_list() == ak.num(jets[0]).to_list()
    assert np.sum(np.array(expected) != 1) > 250  # of 1,217; the payload's central factor of charm is 1


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("source", "moved"),
    [
        ("cferr1", [4]),
        ("cferr2", [4]),
        ("hf", [0, 5]),
        ("lf", [0, 5]),
        ("hfstats2", [0, 5]),
        ("jesFlavorQCD", [0, 5]),
    ],
)
def test_a_source_leaves_other_flavours_at_their_central_factor(
    source: str, moved: list[int], direction: str
) -> None:
    jets = columns(2000)
    flavour, central = flat(jets[0]), flat(shape_factor(*jets, "central", payload("deepJet_shape")))
    varied = flat(shape_factor(*jets, f"{direction}_{source}", payload("deepJet_shape")))
    others = ~np.isin(flavour, moved)
    assert np.array_equal(varied[others], central[others])
    assert np.any(varied[flavour == moved[-1]] != central[flavour == moved[-1]])


@pytest.mark.parametrize(("key", "expected"), [("up_cferr1", [1.5, 2.0, 1.5]), ("up_hf", [2.0, 1.5, 2.0])])
def test_the_central_factor_of_other_flavours_is_not_one(key: str, expected: list[float]) -> None:
    shape = Computed(
        lambda one, flavour, eta, pt, value: np.where(one == "central", 1.5, 2.0) + 0 * pt, *"abcde"
    )
    jets = [ak.Array([values]) for values in ([0, 4, 5], [0.0] * 3, [50.0] * 3, [0.5] * 3)]
    assert shape_factor(*jets, key, shape).to_list() == [expected]


@pytest.mark.parametrize("source", ["hf", "lf", "hfstats1", "lfstats2", "cferr1", "cferr2"])
def test_up_and_down_bracket_the_central_factor(source: str) -> None:
    """Where the payload does so itself, as correctionlib's own values say; that is nearly everywhere."""
    jets = columns(2000)
    own = correction("deepJet_shape")
    central, up, down = (
        flat(shape_factor(*jets, key, payload("deepJet_shape")))
        for key in ("central", f"up_{source}", f"down_{source}")
    )
    moved = up != central
    bracketed = (up - central) * (central - down) >= 0
    assert moved.sum() > 100
    assert bracketed[moved].mean() > 0.85
    for flavour, eta, pt, value in zip(*(flat(one)[~bracketed].tolist() for one in jets), strict=True):
        args = flavour, abs(eta), pt, value
        middle, high, low = (
            own.evaluate(key, *args) for key in ("central", f"up_{source}", f"down_{source}")
        )
        assert (high - middle) * (middle - low) < 0


@pytest.mark.parametrize(
    ("jet", "inside"),
    [
        ((5, 2.4999, 20.01, 0.5), True),
        ((5, -2.5, 50.0, 0.5), False),
        ((5, 0.0, 20.0, 0.5), False),
        ((5, 0.0, 50.0, -1.0), False),
        ((5, 0.0, 50.0, 1.0001), False),
        ((5, 0.0, 50.0, float("nan")), False),
        ((5, 0.0, 50.0, 0.0), True),
        ((5, 0.0, 50.0, 1.0), True),
    ],
    ids=str,
)
def test_a_jet_outside_the_acceptance_has_factor_one(jet: tuple[Any, ...], inside: bool) -> None:
    shape = Computed(lambda key, flavour, eta, pt, value: np.full_like(pt, 1.5), *"abcde")
    for key in ("central", "up_hf", "up_cferr1"):
        assert shape_factor(*row(jet), key, shape).to_list() == [[1.5 if inside else 1.0]]


def test_a_payload_is_asked_at_most_twice() -> None:
    shape = Computed(lambda key, flavour, eta, pt, value: np.full_like(pt, 1.5), *"abcde")
    for key, calls in (("central", ["central"]), ("up_cferr1", ["up_cferr1", "central"])):
        shape.calls.clear()
        shape_factor(*columns(), key, shape)
        assert [call[0] for call in shape.calls] == calls


def test_other_flavours_are_refused() -> None:
    shape = Computed(lambda *args: args[3], *"abcde")
    with pytest.raises(FunctorError, match=r"jets of \[21\].*not Jet_partonFlavour"):
        shape_factor(*row((21, 0.0, 50.0, 0.5)), "central", shape)
    with pytest.raises(FunctorError, match=r"jets of \[-1\]"):
        working_point_factor(*row((-1, 0.0, 50.0, 0.5)), "M", 0.3, "central", shape, shape, shape)
    assert shape_factor(*row((21, 3.0, 50.0, 0.5)), "central", shape).to_list() == [[1.0]]


HEAVY_VALUES = {"central": 0.9, "up": 0.95, "down": 0.85}
LIGHT_VALUES = {"central": 1.2, "up": 1.4, "down": 1.0}
WP_INPUTS = ("systematic", "working_point", "flavor", "abseta", "pt")
HEAVY = Computed(lambda key, wp, flavour, eta, pt: np.full_like(pt, HEAVY_VALUES[key]), *WP_INPUTS)
LIGHT = Computed(lambda key, wp, flavour, eta, pt: np.full_like(pt, LIGHT_VALUES[key]), *WP_INPUTS)
EFFICIENCY = Computed(
    lambda flavour, eta, pt: np.where(flavour == 5, 0.8, np.where(flavour == 4, 0.2, 0.1)), *WP_INPUTS[2:]
)


def at_working_point(jet: tuple[Any, ...], key: str = "central", efficiency: Any = EFFICIENCY) -> float:
    factor = working_point_factor(*row(jet), "M", 0.3, key, HEAVY, LIGHT, efficiency)
    return float(factor[0, 0])


@pytest.mark.parametrize(
    ("flavour", "value", "expected"),
    [
        # by hand, method 1a: sf, or (1 - sf eff) / (1 - eff)
        (5, 0.5, 0.9),
        (5, 0.1, (1 - 0.9 * 0.8) / 0.2),
        (4, 0.1, (1 - 0.9 * 0.2) / 0.8),
        (0, 0.5, 1.2),
        (0, 0.1, (1 - 1.2 * 0.1) / 0.9),
        (0, -1.0, (1 - 1.2 * 0.1) / 0.9),
        (5, 0.3, (1 - 0.9 * 0.8) / 0.2),
    ],
)
def test_working_point_factors_are_those_of_method_1a(flavour: int, value: float, expected: float) -> None:
    assert at_working_point((flavour, -1.0, 50.0, value)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("key", "heavy", "light"),
    [
        ("up", 0.95, 1.4),
        ("heavy:up", 0.95, 1.2),
        ("light:up", 0.9, 1.4),
        ("heavy:down", 0.85, 1.2),
        ("central", 0.9, 1.2),
    ],
)
def test_a_key_may_name_the_payload_that_it_varies(key: str, heavy: float, light: float) -> None:
    assert at_working_point((5, 0.0, 50.0, 0.5), key) == heavy
    assert at_working_point((4, 0.0, 50.0, 0.5), key) == heavy
    assert at_working_point((0, 0.0, 50.0, 0.5), key) == light


@pytest.mark.parametrize("jet", [(5, 2.5, 50.0, 0.1), (5, 0.0, 20.0, 0.1)], ids=str)
def test_a_jet_that_cannot_be_tagged_has_factor_one(jet: tuple[Any, ...]) -> None:
    assert at_working_point(jet) == 1.0


def test_efficiencies_near_one_give_no_negative_weight() -> None:
    certain = Computed(lambda flavour, eta, pt: np.ones_like(pt), *WP_INPUTS[2:])
    high = Computed(lambda flavour, eta, pt: np.full_like(pt, 0.95), *WP_INPUTS[2:])
    assert at_working_point((5, 0.0, 50.0, 0.1), efficiency=certain) == 1.0
    assert at_working_point((0, 0.0, 50.0, 0.1), efficiency=high) == 0.0  # 1 - 1.2 * 0.95 is below 0


def test_beyond_1000_gev_the_uncertainty_is_doubled() -> None:
    """The payload's formula would go on: for light jets of 5 TeV to a factor of 16, and of -72 for up."""
    heavy, light, own = payload("deepJet_comb"), payload("deepJet_incl"), correction("deepJet_incl")
    jet = row((0, 0.3, 5000.0, 0.9))
    central, up, down = (
        float(working_point_factor(*jet, "M", MEDIUM, key, heavy, light, EFFICIENCY)[0, 0])
        for key in ("central", "up", "down")
    )
    edge = {key: own.evaluate(key, "M", 0, 0.3, 1000.0) for key in ("central", "up", "down")}
    assert central == edge["central"]
    assert up - central == pytest.approx(2 * (edge["up"] - edge["central"]))
    assert down - central == pytest.approx(2 * (edge["down"] - edge["central"]))


@pytest.mark.parametrize("key", ["central", "up", "down_uncorrelated", "heavy:up_fsr", "light:down"])
def test_working_point_factors_are_those_of_correctionlib_jet_by_jet(key: str) -> None:
    comb, incl, jets = correction("deepJet_comb"), correction("deepJet_incl"), columns()
    which, _, name = key.rpartition(":")
    expected = []
    for flavour, eta, pt, value in zip(*(flat(one).tolist() for one in jets), strict=True):
        if abs(eta) >= 2.5 or pt <= 20:
            expected.append(1.0)
            continue
        own, kind = (incl, "light") if flavour == 0 else (comb, "heavy")
        sf = own.evaluate(name if which in ("", kind) else "central", "M", flavour, abs(eta), pt)
        eff = {0: 0.1, 4: 0.2, 5: 0.8}[flavour]
        expected.append(sf if value > MEDIUM else (1 - sf * eff) / (1 - eff))
    payloads = payload("deepJet_comb"), payload("deepJet_incl"), EFFICIENCY
    found = working_point_factor(*jets, "M", MEDIUM, key, *payloads)
    np.testing.assert_allclose(flat(found), expected, rtol=1e-13)


def test_no_jets_and_no_events_give_none() -> None:
    empty = [one[:3] for one in (some_jets(3, mean=0.0)[1][name] for name in NAMES)]
    shape = Computed(lambda *args: args[3], *"abcde")
    payloads = HEAVY, LIGHT, EFFICIENCY
    for jets, expected in ((empty, [[], [], []]), ([one[:0] for one in empty], [])):
        assert shape_factor(*jets, "central", shape).to_list() == expected
        assert working_point_factor(*jets, "M", 0.3, "central", *payloads).to_list() == expected


def test_factors_are_functions_of_the_event_alone() -> None:
    shape, payloads = payload("deepJet_shape"), (payload("deepJet_comb"), payload("deepJet_incl"), EFFICIENCY)
    assert_event_local(lambda *jets: shape_factor(*jets, "up_hf", shape), *columns())
    assert_event_local(lambda *jets: working_point_factor(*jets, "M", MEDIUM, "up", *payloads), *columns())
