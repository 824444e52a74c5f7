"""Kinematics and hard processes, against conservation laws and closed formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intccms.demo.detector import cluster_partons
from intccms.demo.kinematics import (
    breit_wigner,
    falling_spectrum,
    from_polar,
    momentum_in_rest_frame,
    to_polar,
    two_body_decay,
)
from intccms.demo.physics import CONTENT_HADRONIC_TOP, generate_hard_events
from intccms.errors import ConfigError

N = 2000


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def mass_of(p4):
    return np.sqrt(np.maximum(p4[..., 3] ** 2 - np.sum(p4[..., :3] ** 2, axis=-1), 0.0))


def test_polar_coordinates_make_the_round_trip(rng):
    pt, eta, phi = rng.uniform(1, 900, N), rng.uniform(-4, 4, N), rng.uniform(-3, 3, N)
    mass = rng.uniform(1, 100, N)
    for got, expected in zip(to_polar(from_polar(pt, eta, phi, mass)), (pt, eta, phi, mass), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_vanishing_four_vector_has_polar_coordinates_zero():
    assert [float(x[0]) for x in to_polar(np.zeros((1, 4)))] == [0.0, 0.0, 0.0, 0.0]


def test_a_decay_conserves_four_momentum_and_gives_the_masses_asked_for(rng):
    parent = from_polar(rng.uniform(0.1, 2000, N), rng.normal(0, 1, N), rng.uniform(-3, 3, N), 172.5)
    first, second = two_body_decay(rng, parent, 4.8, 80.4)
    np.testing.assert_allclose(first + second, parent, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(mass_of(first), 4.8, atol=0.01)
    np.testing.assert_allclose(mass_of(second), 80.4, atol=0.001)


def test_a_decay_at_rest_is_back_to_back_with_the_momentum_of_the_textbook(rng):
    at_rest = np.tile([0.0, 0.0, 0.0, 100.0], (N, 1))
    first, _ = two_body_decay(rng, at_rest, 0.0, 60.0)
    # by hand, one massless product: p = (M^2 - m^2) / 2M = (10000 - 3600) / 200 = 32 GeV
    np.testing.assert_allclose(np.linalg.norm(first[:, :3], axis=1), 32.0)
    assert float(momentum_in_rest_frame(np.array(100.0), 0.0, 60.0)) == pytest.approx(32.0)
    # isotropic: cos(theta) is flat, with mean 0 and variance 1/3; five standard errors
    cos_theta = first[:, 2] / 32.0
    assert abs(cos_theta.mean()) < 5 * math.sqrt(1 / 3 / N)
    assert abs(cos_theta.var() - 1 / 3) < 5 * math.sqrt(4 / 45 / N)


def test_a_falling_spectrum_has_the_quantiles_of_its_power_law(rng):
    values = falling_spectrum(rng, 20_000, 100.0, 1e9, 5.0)
    assert values.min() >= 100.0
    # with density ~ x^-5 and no upper end, P(x > 200) = (100 / 200)^4 = 1/16
    expected = 20_000 / 16
    assert abs(np.sum(values > 200.0) - expected) < 5 * math.sqrt(expected)


def test_half_of_a_breit_wigner_lies_within_half_a_width(rng):
    masses = breit_wigner(rng, 20_000, 2000.0, 20.0, reach=10.0)
    assert masses.min() >= 1800.0
    assert masses.max() <= 2200.0
    # arctan(1) / arctan(20), the cut-off being at ten widths
    expected = 20_000 * math.atan(1.0) / math.atan(20.0)
    assert abs(np.sum(np.abs(masses - 2000.0) < 10.0) - expected) < 5 * math.sqrt(20_000 / 4)


@pytest.mark.parametrize("process", ["signal", "ttbar_semilep", "single_top", "wjets"])
def test_transverse_momentum_is_balanced(rng, process):
    events = generate_hard_events(rng, process, N)
    # the tau jet is a slot of its own, and the lepton then stands for the same momentum
    total = np.sum(events.partons * events.present[..., None], axis=1) + events.invisible
    total += np.where((events.lepton_id != 0)[:, None], events.lepton, 0.0)
    np.testing.assert_allclose(total[:, :2], 0.0, atol=1e-6)
    assert np.all(total[:, 3] < 13_000.0 * 1.5)


def test_the_signal_is_a_resonance_of_two_tops(rng):
    events = generate_hard_events(rng, "signal", N)
    hadronic = np.sum(events.partons[:, :3], axis=1)
    neutrino_and_lepton = events.invisible + events.lepton * (events.lepton_id != 0)[:, None]
    tau_jet = events.partons[:, 4] * events.present[:, 4, None]
    leptonic = events.partons[:, 3] + neutrino_and_lepton + tau_jet
    assert np.median(mass_of(hadronic)) == pytest.approx(172.5, abs=0.2)
    assert np.median(mass_of(leptonic)) == pytest.approx(172.5, abs=0.2)
    assert np.median(mass_of(hadronic + leptonic)) == pytest.approx(2000.0, abs=2.0)
    assert np.all(np.bitwise_or.reduce(events.content, axis=1) == CONTENT_HADRONIC_TOP)


def test_leptons_come_at_the_rates_of_w_and_tau_decays(rng):
    events = generate_hard_events(rng, "wjets", N)
    for lepton_id, branching in ((13, (1 + 0.174) / 3), (11, (1 + 0.178) / 3), (0, (1 - 0.174 - 0.178) / 3)):
        spread = math.sqrt(N * branching * (1 - branching))
        assert abs(np.sum(events.lepton_id == lepton_id) - N * branching) < 5 * spread


def test_an_unknown_process_is_refused(rng):
    with pytest.raises(ConfigError, match="no generator for process 'ttH'; the demo knows signal"):
        generate_hard_events(rng, "ttH", 10)


def clustered_by_loop(p4, present, radius):
    """Cluster one event the slow way: the hardest parton left takes all that are near."""
    pt, eta, phi, _ = to_polar(p4)
    left = [i for i in range(len(pt)) if present[i]]
    owner = [-1] * len(pt)
    while left:
        seed = max(left, key=lambda i: pt[i])
        for i in list(left):
            turn = abs(phi[i] - phi[seed])
            if math.hypot(eta[i] - eta[seed], min(turn, 2 * math.pi - turn)) < radius:
                owner[i] = seed
                left.remove(i)
    return owner


def test_clusters_are_those_of_a_loop_over_partons(rng):
    shape = (100, 7)
    p4 = from_polar(
        rng.uniform(20, 500, shape), rng.uniform(-1, 1, shape), rng.uniform(-np.pi, np.pi, shape), 1.0
    )
    present = rng.random(shape) < 0.7
    jets, exists, owner = cluster_partons(p4, present, 0.8)
    for event in range(shape[0]):
        assert owner[event].tolist() == clustered_by_loop(p4[event], present[event], 0.8)
        assert exists[event].sum() == len(set(owner[event]) - {-1})
    np.testing.assert_allclose(jets.sum(axis=1), np.sum(p4 * present[..., None], axis=1))
    assert np.sum(exists) < np.sum(present)
