"""Pieces that reconstruct heavy particles: momenta as plain arrays, the neutrino of a W boson, sums of jets.

Momenta are NumPy arrays of shape ``(4, ..., n_events)``: (E, px, py, pz) [GeV] in double precision, then objects or
hypotheses, and events last, so that arithmetic runs along contiguous memory. NaN stands for a particle that the event
does not have. Which pieces make which particle is the analysis's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]

__all__ = ["W_MASS", "leading_momenta", "mass_of", "neutrino_momenta", "subset_members", "subset_sums"]

W_MASS = 80.377
"""Mass of the W boson [GeV], Particle Data Group 2022."""


def leading_momenta(objects: Any, number: int) -> Floats:
    """Return the momenta of the first objects of each event.

    Parameters
    ----------
    objects
        Records with ``pt``, ``eta``, ``phi`` and ``mass`` [GeV, rad], shape ``n_events * var``.
    number
        How many of each event.

    Returns
    -------
    numpy.ndarray
        Shape ``(4, number, n_events)``; NaN in the places of missing objects.
    """
    pt, eta, phi, mass = (_padded(objects[name], number) for name in ("pt", "eta", "phi", "mass"))
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([np.sqrt(x * x + y * y + z * z + mass * mass), x, y, z])


def mass_of(momenta: Floats) -> Floats:
    """Return invariant masses [GeV]; a mass squared below zero by rounding counts as zero, NaN stays.

    Parameters
    ----------
    momenta
        Shape ``(4, ...)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(...)``.
    """
    energy, x, y, z = momenta
    squared = np.asarray(energy * energy)
    for component in (x, y, z):
        squared -= component * component
    np.maximum(squared, 0.0, out=squared)
    result: Floats = np.sqrt(squared)
    return result


def neutrino_momenta(lepton: Floats, met_pt: Any, met_phi: Any, w_mass: float = W_MASS) -> Floats:
    """Return the two neutrinos that make a W boson with a lepton and the missing transverse momentum.

    The squared mass of lepton and neutrino gives ``A pz^2 - 2 mu pz_l pz + E_l^2 pt^2 - mu^2 = 0`` with ``A = E_l^2 -
    pz_l^2`` and ``mu = (m_W^2 - m_l^2) / 2 + pt_l . pt``. Where it has no real solution (transverse mass above m_W) the
    real part stands for both, as in arXiv:1810.05905.

    Parameters
    ----------
    lepton
        Its momentum, shape ``(4, n_events)``.
    met_pt, met_phi
        Missing transverse momentum [GeV, rad], shape ``(n_events,)``.
    w_mass
        Mass of the W boson [GeV].

    Returns
    -------
    numpy.ndarray
        Shape ``(4, 2, n_events)``, the solution with the larger ``pz`` first.
    """
    pt, phi = (np.asarray(values, dtype=np.float64) for values in (met_pt, met_phi))
    x, y = pt * np.cos(phi), pt * np.sin(phi)
    energy, lepton_x, lepton_y, lepton_z = lepton
    product = (w_mass**2 - mass_of(lepton) ** 2) / 2 + lepton_x * x + lepton_y * y
    scale = energy**2 - lepton_z**2
    root = energy * np.sqrt(np.maximum(product**2 - scale * pt**2, 0.0))
    z = np.stack([product * lepton_z + root, product * lepton_z - root]) / scale
    return np.stack([np.hypot(pt, z), *(np.broadcast_to(one, z.shape) for one in (x, y)), z])


def subset_members(number: int) -> NDArray[np.bool_]:
    """Return which of so many particles belong to each non-empty subset, shape ``(2**number - 1, number)``."""
    subsets = np.arange(1, 2**number)
    members: NDArray[np.bool_] = (subsets[:, np.newaxis] >> np.arange(number)) % 2 == 1
    return members


def subset_sums(momenta: Floats) -> Floats:
    """Return the momentum of every non-empty subset of the particles of an event.

    Parameters
    ----------
    momenta
        Shape ``(4, number, n_events)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(4, 2**number - 1, n_events)``, in the order of `subset_members`; NaN if one of a subset is missing.
    """
    number = momenta.shape[1]
    sums = np.empty((4, 2**number - 1, momenta.shape[2]))
    for subset in range(1, 2**number):
        last = subset.bit_length() - 1
        rest = subset - (1 << last)
        particle = momenta[:, last]
        sums[:, subset - 1] = particle if rest == 0 else sums[:, rest - 1] + particle
    return sums


def _padded(values: Any, number: int) -> Floats:
    counts = np.asarray(ak.num(values, axis=1), dtype=np.int64)
    content = np.asarray(ak.flatten(values, axis=1), dtype=np.float64)
    first = np.cumsum(counts) - counts
    padded = np.full((number, len(counts)), np.nan)
    for position in range(number):
        there = np.flatnonzero(counts > position)
        padded[position, there] = content[first[there] + position]
    return padded
