"""Momenta, neutrinos and sums of jets against calculations by hand."""

from __future__ import annotations

import itertools
import math

import awkward as ak
import numpy as np
import pytest

from intccms.selection.reconstruction import (
    W_MASS,
    leading_momenta,
    mass_of,
    neutrino_momenta,
    subset_members,
    subset_sums,
)

MUON = np.array([[50.0], [50.0], [0.0], [0.0]])  # massless, along x


def test_momenta_of_the_leading_objects_are_padded_with_nan():
    jets = ak.Array(
        [
            [{"pt": 3.0, "eta": 0.0, "phi": math.pi / 2, "mass": 4.0}],
            [],
            [{"pt": 2.0, "eta": math.asinh(1.5), "phi": 0.0, "mass": 0.0}] * 3,
        ]
    )
    found = leading_momenta(jets, 2)
    assert found.shape == (4, 2, 3)
    # 3, 4 and 5 make a triangle; pz = 2 * 1.5, E = sqrt(4 + 9)
    assert found[:, 0, 0] == pytest.approx([5, 0, 3, 0], abs=1e-12)
    assert pytest.approx(np.array([[math.sqrt(13), 2, 0, 3]] * 2)) == found[:, :, 2].T
    assert np.isnan(found[:, 1, 0]).all()
    assert np.isnan(found[:, :, 1]).all()
    assert leading_momenta(jets[:0], 2).shape == (4, 2, 0)


def test_masses_below_zero_by_rounding_are_zero_and_nan_stays():
    found = mass_of(np.array([[5.0, 3.0, 0.0, 0.0], [5.0, 5.0, 1e-9, 0.0], [np.nan] * 4]).T)
    assert found[:2].tolist() == [4.0, 0.0]
    assert np.isnan(found[2])


def test_a_neutrino_at_right_angles_has_two_solutions():
    # m_W = 80, muon 50 GeV along x, MET 32 GeV along y: mu = 3200, A = 2500, so
    # pz = +- 50 sqrt(3200^2 - 2500 * 32^2) / 2500 = +- 55.4256
    found = neutrino_momenta(MUON, np.array([32.0]), np.array([math.pi / 2]), w_mass=80.0)
    pz = math.sqrt(3200**2 - 2500 * 32**2) / 50
    assert pz == pytest.approx(55.4256, abs=1e-4)
    assert found[3, :, 0] == pytest.approx([pz, -pz])
    assert found[:, 0, 0] == pytest.approx([math.hypot(32, pz), 0, 32, pz], abs=1e-9)
    assert mass_of(MUON[:, np.newaxis] + found) == pytest.approx(np.full((2, 1), 80.0))


def test_a_transverse_mass_above_that_of_the_w_boson_gives_the_real_part():
    # back to back with 50 GeV: transverse mass 100 GeV; the muon has pz = 30, so E^2 = 3400, A = 2500,
    # mu = 3200 - 2500 = 700 and pz = 700 * 30 / 2500 = 8.4
    muon = np.array([[math.sqrt(3400), 50.0, 0.0, 30.0]]).T
    found = neutrino_momenta(muon, np.array([50.0]), np.array([math.pi]), w_mass=80.0)
    assert found[3, :, 0] == pytest.approx([8.4, 8.4])


def test_neutrinos_of_real_w_bosons_are_found_again():
    rng = np.random.default_rng(3)
    n = 500
    # isotropic decays in the rest frame of the W boson, boosted along a random axis
    axis, boost_axis = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, n, 3)))
    gamma = rng.uniform(1, 5, n)
    half = W_MASS / 2
    momenta = []
    for sign in (1, -1):
        p = sign * half * axis
        along = np.sum(p * boost_axis, axis=1)
        beta = np.sqrt(1 - 1 / gamma**2)
        energy = gamma * (half + beta * along)
        p = p + ((gamma - 1) * along + gamma * beta * half)[:, None] * boost_axis
        momenta.append(np.concatenate([energy[:, None], p], axis=1))
    muon, neutrino = momenta
    pt, phi = np.hypot(neutrino[:, 1], neutrino[:, 2]), np.arctan2(neutrino[:, 2], neutrino[:, 1])
    found = neutrino_momenta(muon.T, pt, phi)
    nearest = np.min(np.abs(found[3] - neutrino[:, 3]), axis=0)
    # where both solutions nearly coincide, rounding counts as its square root
    assert nearest.max() < 1e-2
    assert np.median(nearest) < 1e-9


def test_subsets_are_all_combinations_of_every_length():
    members = subset_members(3)
    chosen = {tuple(np.flatnonzero(one)) for one in members}
    assert chosen == {c for n in (1, 2, 3) for c in itertools.combinations(range(3), n)}
    momenta = np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0], [np.nan] * 4])
    sums = subset_sums(momenta.T[:, :, np.newaxis])
    assert sums.shape == (4, 7, 1)
    for one, total in zip(members, sums[:, :, 0].T, strict=True):
        if one[2]:
            assert np.isnan(total).all()
        else:
            assert total.tolist() == np.sum(momenta[one], axis=0).tolist()
