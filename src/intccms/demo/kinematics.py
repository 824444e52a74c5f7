"""Relativistic kinematics on NumPy arrays: four-vectors, two-body decays and the spectra they are drawn from.

Four-vectors are float64 arrays whose last axis is (px, py, pz, E) [GeV].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "angular_distance",
    "boost_from_rest",
    "breit_wigner",
    "falling_spectrum",
    "from_polar",
    "momentum_in_rest_frame",
    "to_polar",
    "two_body_decay",
    "wrap_phi",
]

type Floats = npt.NDArray[np.float64]


def from_polar(pt: Floats, eta: Floats, phi: Floats, mass: Floats | float) -> Floats:
    """Return four-vectors for transverse momentum [GeV], pseudorapidity, azimuth and mass [GeV]."""
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + np.square(mass))
    return np.stack([px, py, pz, energy], axis=-1)


def to_polar(p4: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return pt [GeV], eta, phi and mass [GeV]; a vanishing four-vector gives zeros, never NaN."""
    px, py, pz, energy = np.moveaxis(p4, -1, 0)
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.where(pt > 0.0, pt, 1.0))
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    return pt, eta, np.arctan2(py, px), mass


def wrap_phi(phi: Floats) -> Floats:
    """Return the azimuth in [-pi, pi)."""
    return np.asarray((phi + np.pi) % (2.0 * np.pi) - np.pi)


def angular_distance(eta1: Floats, phi1: Floats, eta2: Floats, phi2: Floats) -> Floats:
    """Return the distance in eta and phi, shape as broadcast."""
    return np.asarray(np.hypot(eta1 - eta2, wrap_phi(phi1 - phi2)))


def boost_from_rest(p4: Floats, parent: Floats) -> Floats:
    """Return ``p4``, given in the rest frame of ``parent``, as seen in the frame in which ``parent`` is given."""
    momentum, energy = parent[..., :3], parent[..., 3]
    mass = np.sqrt(energy**2 - np.sum(momentum**2, axis=-1))
    along = np.sum(momentum * p4[..., :3], axis=-1)
    factor = along / (mass * (energy + mass)) + p4[..., 3] / mass
    boosted = np.empty_like(p4)
    boosted[..., :3] = p4[..., :3] + factor[..., None] * momentum
    boosted[..., 3] = (energy * p4[..., 3] + along) / mass
    return boosted


def momentum_in_rest_frame(mass: Floats, m1: Floats | float, m2: Floats | float) -> Floats:
    """Return the momentum of both products of a two-body decay [GeV] (PDG review of kinematics, eq. 49.17)."""
    product = (mass**2 - np.square(m1 + m2)) * (mass**2 - np.square(m1 - m2))
    return np.asarray(np.sqrt(np.maximum(product, 0.0)) / (2.0 * mass))


def two_body_decay(
    rng: np.random.Generator, parent: Floats, m1: Floats | float, m2: Floats | float
) -> tuple[Floats, Floats]:
    """Decay every parent isotropically in its rest frame into masses ``m1`` and ``m2`` [GeV]."""
    n = parent.shape[0]
    mass = np.sqrt(parent[:, 3] ** 2 - np.sum(parent[:, :3] ** 2, axis=-1))
    momentum = momentum_in_rest_frame(mass, m1, m2)
    cos_theta, phi = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    sin_theta = np.sqrt(1.0 - cos_theta**2)
    direction = np.stack([sin_theta * np.cos(phi), sin_theta * np.sin(phi), cos_theta], axis=-1)
    vector = momentum[:, None] * direction
    first = np.column_stack([vector, np.sqrt(momentum**2 + np.square(m1))])
    second = np.column_stack([-vector, np.sqrt(momentum**2 + np.square(m2))])
    return boost_from_rest(first, parent), boost_from_rest(second, parent)


def breit_wigner(rng: np.random.Generator, n: int, mass: float, width: float, reach: float = 10.0) -> Floats:
    """Draw masses [GeV] from a non-relativistic Breit-Wigner cut off ``reach`` widths from its centre."""
    limit = np.arctan(2.0 * reach)
    return np.asarray(mass + 0.5 * width * np.tan(rng.uniform(-limit, limit, n)))


def falling_spectrum(rng: np.random.Generator, n: int, low: float, high: float, exponent: float) -> Floats:
    """Draw values between ``low`` and ``high`` with density proportional to ``x ** -exponent``, exponent > 1."""
    power = 1.0 - exponent
    u = rng.random(n)
    return np.asarray((low**power + u * (high**power - low**power)) ** (1.0 / power))
