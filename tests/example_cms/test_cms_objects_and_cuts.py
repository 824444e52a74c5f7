"""The selection of the example on events made by hand."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest

from example_cms.configs import cuts, objects
from example_cms.configs.observables import first_pt, momentum_sums
from example_cms.configs.reconstruction import reconstruct_top_pair
from example_cms.configs.systematics import always_passes
from intccms.selection import named_masks
from intccms.selection.reconstruction import neutrino_momenta

MUON = (60.0, 0.0, 0.0, 0.1, 2)
JET = (100.0, 0.0, 2.0, 10.0, 6, 0.9)
HARD_JET = (160.0, 0.0, 2.0, 9.0, 6, 0.9)
TOP_JET = (500.0, 0.0, 3.0, 173.0, 2, 172.0, 0.9)


def passed(result, length=1):
    return {name: mask.tolist() for name, mask in named_masks(result, length, "cut")}


@pytest.mark.parametrize(
    ("muon", "good"),
    [
        (MUON, True),
        ((54.9, 0.0, 0.0, 0.1, 2), False),
        ((60.0, -2.5, 0.0, 0.1, 2), False),
        ((60.0, 0.0, 0.0, 0.1, 1), False),  # a tracker muon
    ],
)
def test_muons_are_global_high_pt_muons_above_55_gev(make, muon, good):
    assert objects.is_high_pt_muon(make.muons([muon])).tolist() == [[good]]


def test_muons_are_isolated_from_jets_in_two_dimensions(make):
    # 100 GeV along the muon leave a jet of 40 GeV; 0.2 away 500 GeV leave 60 sin 0.2266 = 13.5 GeV across; a jet that is
    # nothing but the muon leaves nothing
    muons = make.muons(*[[MUON]] * 4)
    jets = make.jets(
        [(100.0, 0.0, 0.0, 10.0, 6, 0.0)],
        [(500.0, 0.0, 0.2, 10.0, 6, 0.0)],
        [(62.0, 0.0, 0.0, 5.0, 2, 0.0)],
        [JET],
    )
    assert objects.is_isolated(muons, jets).tolist() == [[False], [False], [True], [True]]


@pytest.mark.parametrize(
    ("fat_jet", "good"),
    [
        (TOP_JET, True),
        ((399.0, 0.0, 3.0, 173.0, 2, 172.0, 0.9), False),
        ((500.0, 2.5, 3.0, 173.0, 2, 172.0, 0.9), False),
        ((500.0, 0.0, 3.0, 173.0, 1, 172.0, 0.9), False),
        ((500.0, 0.0, 3.0, 173.0, 6, 104.0, 0.9), False),
        ((500.0, 0.0, 3.0, 173.0, 6, 211.0, 0.9), False),
        ((500.0, 0.0, 3.0, 173.0, 2, 172.0, 0.4), False),
        ((500.0, 0.0, 0.7, 173.0, 2, 172.0, 0.9), False),  # 0.7 from the muon
    ],
)
def test_top_jets_are_tagged_massive_and_away_from_the_muon(make, fat_jet, good):
    assert objects.is_top_jet(make.fat_jets([fat_jet]), make.muons([MUON])).tolist() == [[good]]


@pytest.mark.parametrize(
    ("jet", "good"),
    [
        (JET, True),
        ((29.0, 0.0, 2.0, 10.0, 6, 0.9), False),
        ((100.0, -2.41, 2.0, 10.0, 6, 0.9), False),
        ((100.0, 0.0, 2.0, 10.0, 2, 0.9), False),  # no lepton veto
    ],
)
def test_jets_are_tight_with_lepton_veto(make, jet, good):
    assert objects.is_good_jet(make.jets([jet])).tolist() == [[good]]


def test_jets_within_a_top_jet_are_left_out(make):
    # 1.0 and 1.5 from the top jet at phi = 3; the last across pi: 3 - (-2.5) is 0.783 the short way
    jets = make.jets([JET, (80.0, 0.0, 1.5, 5.0, 6, 0.0), (50.0, 0.0, -2.5, 5.0, 6, 0.0)], [JET])
    found = objects.is_separate_jet(jets, make.fat_jets([TOP_JET], []))
    assert found.tolist() == [[False, True, False], [True]]


def test_electrons_veto_from_loose_on(make):
    electrons = make.electrons([(40.0, 0.0, 2), (40.0, 0.0, 1), (34.0, 0.0, 4), (40.0, 2.6, 4)])
    assert objects.is_veto_electron(electrons).tolist() == [[True, False, False, False]]


def flags(**failing):
    return ak.zip({**{name: [True] for name in cuts.MET_FILTERS}, "ecalBadCalibFilter": [True], **failing})


GOOD = flags()


def baseline(make, muons=(MUON,), electrons=(), jets=(HARD_JET, JET), tops=(), met=100.0, flags=GOOD):
    result = cuts.baseline(
        make.muons(list(muons)),
        make.electrons(list(electrons)),
        make.jets(list(jets)),
        make.fat_jets(list(tops)),
        np.array([met]),
        flags,
    )
    return [name for name, (mask,) in passed(result).items() if not mask]


def test_the_baseline_fails_on_one_cut_at_a_time(make):
    assert baseline(make) == []
    assert baseline(make, muons=[MUON, MUON]) == ["one muon"]
    assert baseline(make, electrons=[(40.0, 0.0, 2)]) == ["no electron"]
    assert baseline(make, jets=[JET, JET]) == ["leading jet > 150 GeV"]
    assert baseline(make, jets=[HARD_JET]) == ["second jet > 50 GeV"]
    assert baseline(make, met=49.0) == ["MET > 50 GeV", "MET + muon > 150 GeV"]
    assert baseline(make, met=89.0) == ["MET + muon > 150 GeV"]


# recommended: eight in all eras, one more since 2017
@pytest.mark.parametrize(
    "name",
    [
        "goodVertices",
        "globalSuperTightHalo2016Filter",
        "HBHENoiseFilter",
        "HBHENoiseIsoFilter",
        "EcalDeadCellTriggerPrimitiveFilter",
        "BadPFMuonFilter",
        "BadPFMuonDzFilter",
        "eeBadScFilter",
        "ecalBadCalibFilter",
    ],
)
def test_every_met_filter_must_pass(make, name):
    assert baseline(make, flags=flags(**{name: [False]})) == ["MET filters"]


def test_the_filter_of_2017_may_be_missing_or_made_to_pass_but_no_other_one(make):
    without = ak.zip({name: [True] for name in cuts.MET_FILTERS})
    assert baseline(make, flags=without) == []
    # corrections give numbers in the place of booleans
    replaced = always_passes(np.array([False])).astype(float)
    assert baseline(make, flags=flags(ecalBadCalibFilter=replaced)) == []
    with pytest.raises(ak.errors.FieldNotFoundError, match="goodVertices"):
        baseline(make, flags=without[list(cuts.MET_FILTERS[1:])])


def test_a_top_jet_counts_as_a_jet_but_one_jet_is_needed_beside_it(make):
    assert baseline(make, jets=[JET], tops=[TOP_JET]) == []
    assert baseline(make, jets=[], tops=[TOP_JET, TOP_JET]) == ["jet"]


def test_the_skim_takes_an_event_by_two_jets_or_a_fat_jet():
    # MET + HT / 10: 46 + 4.2 = 50.2, 48 + 2.1 = 50.1, 20 + 40 = 60, 45 + 4.2 = 49.2 GeV
    result = cuts.skim(
        ak.Array([[56.0], [56.0], [56.0], [54.0]]),
        ak.Array([[0.0], [0.0], [0.0], [0.0]]),
        np.array([46.0, 48.0, 20.0, 45.0]),
        ak.Array([[21.0, 21.0], [21.0], [400.0], [21.0, 21.0]]),
        ak.Array([[], [301.0], [299.0], []]),
        np.array([True, False, False, False]),
        np.array([False, False, True, False]),
    )
    assert passed(result, 4) == {
        "trigger": [True, False, True, False],
        "muon": [True, True, True, False],
        "MET + HT / 10 > 50 GeV": [True, True, True, False],
        "jets": [True, True, False, True],
    }


def test_channels_do_not_overlap(make):
    tagged, untagged = JET, (100.0, 0.0, 2.0, 10.0, 6, 0.30)
    jets = make.jets([tagged], [tagged], [untagged], [untagged], [tagged], [tagged])
    tops = make.fat_jets([TOP_JET], [], [TOP_JET], [], [TOP_JET, TOP_JET], [])
    chi2 = ak.Array([1.0, 29.0, 1.0, 1.0, 1.0, 31.0])
    found = {
        name: np.logical_and.reduce([mask for _, mask in named_masks(function(jets, tops, chi2), 6, name)])
        for name, function in cuts.CHANNELS.items()
    }
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "SR_1t": [0],
        "SR_0t": [1],
        "CR_0b": [2, 3],
    }


def test_sums_of_momenta():
    ht, st = momentum_sums(
        ak.Array([[60.0], []]), ak.Array([[100.0, 50.0], []]), ak.Array([[500.0], []]), np.array([70.0, 30.0])
    )
    assert ht.tolist() == [650.0, 0.0]
    assert st.tolist() == [780.0, 30.0]


def test_the_first_pt_of_no_object_is_none(make):
    assert first_pt(make.jets([JET], [])).tolist() == [100.0, None]


# A leptonic top quark in the plane across the beam: muon 50 GeV along x, neutrino 32 GeV along y
# with pz = +-55.4256 (test_reconstruction), so 64 GeV, and a b jet along -x. Energy of muon and neutrino: 50 + 64 = 114.
NEUTRINO_Z = math.sqrt(3200**2 - 2500 * 32**2) / 50


def b_energy(mass):
    """Return the energy of a massless jet along -x that makes this mass with muon and neutrino.

    m^2 = 80^2 + 2 E (114 + 50): the W boson has energy 114 and px = 50.
    """
    return (mass**2 - 6400) / (2 * 164)


@pytest.fixture
def w_of_80_gev(monkeypatch):
    monkeypatch.setattr(neutrino_momenta, "__defaults__", (80.0,))


def test_a_top_jet_is_the_hadronic_top_quark(make, w_of_80_gev):
    # the b jet makes 173 GeV, so chi2 is that of the top jet of 188 GeV: ((188 - 173) / 15)^2 = 1
    energy = b_energy(173.0)
    jets = make.jets([(200.0, 1.0, 1.0, 10.0, 6, 0.9), (energy, 0.0, math.pi, 0.0, 6, 0.9)])
    tops = make.fat_jets([(500.0, 0.0, -math.pi / 2, 188.0, 2, 172.0, 0.9)])
    mtt, chi2 = reconstruct_top_pair(
        make.muons([(50.0, 0.0, 0.0, 0.0, 2)]), np.array([32.0]), np.array([math.pi / 2]), jets, tops
    )
    assert chi2.tolist() == pytest.approx([1.0])
    # sums of E, px, py, pz; the two neutrinos make the same mass, and the sign of pz does not matter
    e = 114 + energy + math.sqrt(500**2 + 188**2)
    expected = math.sqrt(e**2 - (50 - energy) ** 2 - (32 - 500) ** 2 - NEUTRINO_Z**2)
    assert mtt.tolist() == pytest.approx([expected])


def test_without_a_top_jet_three_jets_make_the_hadronic_top_quark(make, w_of_80_gev):
    # three massless jets of 173 / 3 GeV at 120 degrees to each other have a mass of 173 GeV
    energy, side = b_energy(193.0), 173.0 / 3
    angles = (0.3, 0.3 + 2 * math.pi / 3, 0.3 - 2 * math.pi / 3)
    three = [(side, 0.0, angle, 0.0, 6, 0.0) for angle in angles]
    jets = make.jets([(energy, 0.0, math.pi, 0.0, 6, 0.9), *three])
    mtt, chi2 = reconstruct_top_pair(
        make.muons([(50.0, 0.0, 0.0, 0.0, 2)]),
        np.array([32.0]),
        np.array([math.pi / 2]),
        jets,
        make.fat_jets([]),
    )
    # ((193 - 173) / 20)^2 from the leptonic top quark; the three jets have no net momentum
    assert chi2.tolist() == pytest.approx([1.0])
    e = 114 + energy + 173
    assert mtt.tolist() == pytest.approx([math.sqrt(e**2 - (50 - energy) ** 2 - 32**2 - NEUTRINO_Z**2)])


def test_the_top_pair_is_that_of_a_loop_over_hypotheses(make):
    rng = np.random.default_rng(4)

    def some(number, hard):
        return [
            (
                rng.exponential(hard) + 30,
                rng.normal(),
                rng.uniform(-math.pi, math.pi),
                rng.exponential(10) + 1,
            )
            for _ in range(number)
        ]

    n = 60
    jets = [[(*one, 6, 0.5) for one in some(rng.integers(1, 7), 100)] for _ in range(n)]
    tops = [[(*one, 2, 172.0, 0.9) for one in some(rng.integers(0, 2), 400)] for _ in range(n)]
    muons = [[(*one[:3], 0.1, 2) for one in some(1, 80)] for _ in range(n)]
    met, phi = rng.exponential(80, n) + 50, rng.uniform(-math.pi, math.pi, n)
    mtt, chi2 = reconstruct_top_pair(make.muons(*muons), met, phi, make.jets(*jets), make.fat_jets(*tops))
    reached = 0
    for index in range(n):
        best = loop(muons[index][0], met[index], phi[index], jets[index][:4], tops[index])
        if best is None:
            assert mtt[index] is None
            continue
        reached += 1
        assert chi2[index] == pytest.approx(best[0])
        assert mtt[index] == pytest.approx(best[1])
    assert 40 < reached < n


def vector(one):
    pt, eta, phi, mass = one[:4]
    p = np.array([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)])
    return np.array([math.sqrt(p @ p + mass**2), *p])


def mass(p):
    return math.sqrt(max(p[0] ** 2 - p[1:] @ p[1:], 0.0))


def loop(muon, met, phi, jets, tops):
    lepton = vector(muon)
    x, y = met * math.cos(phi), met * math.sin(phi)
    mu = (80.377**2 - 0.1**2) / 2 + lepton[1] * x + lepton[2] * y
    # A pz^2 - 2 mu pz_l pz + E^2 pt^2 - mu^2 = 0, with NumPy's solver of polynomials
    scale = lepton[0] ** 2 - lepton[3] ** 2
    roots = np.roots([scale, -2 * mu * lepton[3], lepton[0] ** 2 * met**2 - mu**2]).real
    best = None
    for pz in roots:
        neutrino = np.array([math.sqrt(met**2 + pz**2), x, y, pz])
        for j, jet in enumerate(jets):
            leptonic = lepton + neutrino + vector(jet)
            others = [vector(one) for k, one in enumerate(jets) if k != j]
            choices = [
                sum((one for k, one in enumerate(others) if bits >> k & 1), np.zeros(4))
                for bits in range(1, 2 ** len(others))
            ]
            width = 17.0
            if tops:
                choices, width = [vector(tops[0])], 15.0
            for hadronic in choices:
                chi2 = ((mass(leptonic) - 173) / 20) ** 2 + ((mass(hadronic) - 173) / width) ** 2
                if best is None or chi2 < best[0]:
                    best = (chi2, mass(leptonic + hadronic))
    return best


def test_every_event_is_reconstructed_on_its_own(make):
    rng = np.random.default_rng(5)
    jets = [
        [(100.0 + k, rng.normal(), rng.uniform(-3, 3), 10.0, 6, 0.5) for k in range(n)] for n in (3, 0, 5, 1)
    ]
    tops, muons = [[], [], [TOP_JET], []], [[MUON], [], [MUON], [MUON]]
    met, phi = np.array([80.0, 60.0, 90.0, 100.0]), np.array([1.0, 2.0, 3.0, -1.0])
    together = reconstruct_top_pair(make.muons(*muons), met, phi, make.jets(*jets), make.fat_jets(*tops))
    for index in range(4):
        here = slice(index, index + 1)
        alone = reconstruct_top_pair(
            make.muons(muons[index]), met[here], phi[here], make.jets(jets[index]), make.fat_jets(tops[index])
        )
        assert [one.tolist()[0] for one in alone] == [one.tolist()[index] for one in together]
