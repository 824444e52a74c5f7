"""Distances between objects against loops over pairs, and two-dimensional isolation against a calculation by hand."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest

from intccms.selection.overlap import delta_phi, delta_r, is_away_from, is_isolated_2d


def objects(*events):
    """Make a collection of (pt, eta, phi) per event."""
    flat = [one for event in events for one in event]
    fields = {
        name: np.array([one[index] for one in flat], dtype=np.float32)
        for index, name in enumerate(("pt", "eta", "phi"))
    }
    return ak.unflatten(ak.zip(fields), [len(event) for event in events])


def random_objects(rng, n_events, mean):
    counts = rng.poisson(mean, n_events)
    return objects(
        *(
            [(rng.exponential(60) + 10, rng.uniform(-1, 1), rng.uniform(-math.pi, math.pi)) for _ in range(n)]
            for n in counts
        )
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0.5, 0.2, 0.3), (3.1, -3.1, 6.2 - 2 * math.pi), (-3.1, 3.1, 2 * math.pi - 6.2), (math.pi, 0, -math.pi)],
)
def test_differences_of_azimuths_lie_within_half_a_turn(first, second, expected):
    assert delta_phi(first, second) == pytest.approx(expected)


def test_distances_go_the_short_way_around():
    # 0.3 and 0.4 make 0.5; across pi 2 pi - 6.2 = 0.0832
    assert delta_r(0.3, 0.4, 0.0, 0.0) == pytest.approx(0.5)
    assert delta_r(0.0, 3.1, 0.0, -3.1) == pytest.approx(0.083185, rel=1e-5)


def test_objects_near_one_of_the_others_are_told_apart():
    jets = objects([(50, 0.0, 0.0), (40, 1.0, 3.1)], [], [(30, 0.0, 0.0)], [(30, 0.0, 0.0)])
    others = objects([(60, 0.0, 0.5), (60, 1.0, -3.1)], [(60, 0.0, 0.0)], [], [(60, 0.3, 0.0)])
    assert is_away_from(jets, others, 0.4).tolist() == [[True, False], [], [True], [False]]


def test_overlap_removal_is_a_loop_over_pairs():
    rng = np.random.default_rng(1)
    jets, others = random_objects(rng, 200, 3), random_objects(rng, 200, 2)
    by_hand = [
        [
            all(math.hypot(a.eta - b.eta, math.remainder(a.phi - b.phi, 2 * math.pi)) > 0.8 for b in near)
            for a in event
        ]
        for event, near in zip(jets, others, strict=True)
    ]
    found = is_away_from(jets, others, 0.8).tolist()
    assert found == by_hand
    assert {one for event in found for one in event} == {True, False}


@pytest.mark.parametrize(
    ("jet", "isolated"),
    [
        # 0.5 away
        ((200.0, 0.0, 0.5), True),
        # 0.3 away: the muon of 60 GeV is subtracted, which turns the axis to
        # atan(200 sin 0.3 / (200 cos 0.3 - 60)) = 0.4227, farther than 0.4
        ((200.0, 0.0, 0.3), True),
        # 0.2 away: atan(200 sin 0.2 / (200 cos 0.2 - 60)) = 0.2845; 60 sin 0.2845 = 16.8 GeV across
        ((200.0, 0.0, 0.2), False),
        # along the muon: 70 - 60 GeV are left, less than a jet
        ((70.0, 0.0, 0.0), True),
        ((80.0, 0.0, 0.0), False),
    ],
)
def test_a_muon_of_60_gev_is_isolated_far_from_jets_only(jet, isolated):
    assert is_isolated_2d(objects([(60.0, 0.0, 0.0)]), objects([jet])).tolist() == [[isolated]]


def test_a_muon_within_a_jet_is_isolated_if_it_is_hard_across_its_axis():
    # 0.2 away: the axis turns to atan(500 sin 0.2 / (500 cos 0.2 - 100)) = 0.2504, and 100 sin 0.2504 = 24.8 GeV;
    # with 105 GeV it is at 0.2537, 26.4 GeV
    jets = objects([(500.0, 0.0, 0.2)])
    assert is_isolated_2d(objects([(100.0, 0.0, 0.0)]), jets).tolist() == [[False]]
    assert is_isolated_2d(objects([(105.0, 0.0, 0.0)]), jets).tolist() == [[True]]


def test_only_the_nearest_jet_counts_for_isolation():
    muon = objects([(105.0, 0.0, 0.0)])
    # alone the second jet fails (10 GeV across), but the first, at 0.2537 and 26.4 GeV across, is nearer
    second = (40.0, 0.26, 0.0)
    assert is_isolated_2d(muon, objects([second]), radius=0.0).tolist() == [[True]]
    assert is_isolated_2d(muon, objects([(40.0, 0.2, 0.0)]), radius=0.0).tolist() == [[False]]
    assert is_isolated_2d(muon, objects([second, (40.0, 0.0, 0.2)]), radius=0.0).tolist() == [[False]]
    assert is_isolated_2d(muon, objects([second, (40.0, 0.0, 0.27)]), radius=0.0).tolist() == [[True]]


def test_isolation_is_a_loop_over_leptons_and_jets():
    rng = np.random.default_rng(2)
    leptons, jets = random_objects(rng, 300, 1.5), random_objects(rng, 300, 6)

    def vector(one):
        return one.pt * np.array([math.cos(one.phi), math.sin(one.phi), math.sinh(one.eta)])

    def passes(lepton, event_jets):
        nearest = (math.inf, None)
        for jet in event_jets:
            rest = vector(jet)
            if math.hypot(lepton.eta - jet.eta, math.remainder(lepton.phi - jet.phi, 2 * math.pi)) < 0.4:
                rest = rest - vector(lepton)
            pt = math.hypot(rest[0], rest[1])
            if pt > 15:
                eta, phi = math.asinh(rest[2] / pt), math.atan2(rest[1], rest[0])
                away = math.hypot(lepton.eta - eta, math.remainder(lepton.phi - phi, 2 * math.pi))
                nearest = min(nearest, (away, tuple(rest)))
        away, axis = nearest
        if axis is None or away > 0.4:
            return True
        along = np.dot(vector(lepton), axis) / np.linalg.norm(axis)
        return bool(np.dot(vector(lepton), vector(lepton)) - along**2 > 25.0**2)

    by_hand = [[passes(lepton, near) for lepton in event] for event, near in zip(leptons, jets, strict=True)]
    found = is_isolated_2d(leptons, jets).tolist()
    assert found == by_hand
    assert sum(not one for event in found for one in event) > 10


@pytest.mark.parametrize("function", [lambda a, b: is_away_from(a, b, 0.4), is_isolated_2d])
def test_no_objects_and_no_events_are_fine(function):
    muons, jets = objects([(60, 0, 0)], [], []), objects([], [(50, 0, 0)], [])
    assert function(muons, jets).tolist() == [[True], [], []]
    assert function(muons[:0], jets[:0]).tolist() == []
