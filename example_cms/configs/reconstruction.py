"""The mass of the top pair: which jets belong to which top quark, by chi2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.selection.reconstruction import (
    leading_momenta,
    mass_of,
    neutrino_momenta,
    subset_members,
    subset_sums,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]

__all__ = ["MAX_JETS", "reconstruct_top_pair"]

MAX_JETS = 4
"""Leading jets that are assigned to the top quarks: 28 hypotheses; those beyond are additional radiation."""

# Means and widths [GeV] of reconstructed masses; an analysis takes them from its own simulation.
LEPTONIC_TOP = (173.0, 20.0)
HADRONIC_TOP = (173.0, 17.0)
TOP_JET = (173.0, 15.0)


def reconstruct_top_pair(muons: Any, met_pt: Any, met_phi: Any, jets: Any, top_jets: Any) -> tuple[Any, Any]:
    """Return the mass of the top pair, and how well the masses of the two top quarks come out.

    One top quark is muon, neutrino and one jet; the other the top jet or, without one, any set of other jets. The
    hypothesis, and the solution for the neutrino, with the least chi2 is taken (arXiv:1810.05905, section 6).

    Parameters
    ----------
    muons, jets, top_jets
        Selected objects in order of pt; the first muon, the first top jet and the first `MAX_JETS` jets count.
    met_pt, met_phi
        Missing transverse momentum [GeV, rad], shape ``(n_events,)``.

    Returns
    -------
    tuple of awkward.Array
        Mass [GeV] and chi2, shape ``(n_events,)``; None where there is no hypothesis, for want of jets or a muon.
    """
    muon = leading_momenta(muons, 1)[:, 0]
    neutrinos = neutrino_momenta(muon, met_pt, met_phi)
    candidates = leading_momenta(jets, MAX_JETS)
    leptonic, leptonic_chi2 = _leptonic_tops(muon, neutrinos, candidates)
    sets, top_jet = subset_sums(candidates), leading_momenta(top_jets, 1)
    hadronic_chi2 = _hadronic_chi2(sets, top_jet)

    events = np.arange(len(met_pt))
    groups = np.stack([others[np.argmin(hadronic_chi2[others], axis=0)] for others in _OTHERS])
    total = leptonic_chi2 + np.take_along_axis(hadronic_chi2, groups, axis=0)
    jet = np.argmin(total, axis=0)
    group, chi2 = groups[jet, events], total[jet, events]
    found = np.isfinite(chi2)
    hadronic = np.where(group == _TOP_JET, top_jet[:, 0], sets[:, np.minimum(group, _TOP_JET - 1), events])
    mass = mass_of(leptonic[:, jet, events] + hadronic)
    return ak.mask(mass, found), ak.mask(chi2, found)


def _leptonic_tops(muon: Floats, neutrinos: Floats, jets: Floats) -> tuple[Floats, Floats]:
    """Return momentum and chi2 of the leptonic top quark with each jet, for the better of the two neutrinos."""
    bosons = muon[:, np.newaxis] + neutrinos
    both = bosons[:, np.newaxis] + jets[:, :, np.newaxis]
    chi2 = _chi2(both, LEPTONIC_TOP)
    is_first = chi2[:, 0] <= chi2[:, 1]
    return np.where(is_first, both[:, :, 0], both[:, :, 1]), np.where(is_first, chi2[:, 0], chi2[:, 1])


def _hadronic_chi2(sets: Floats, top_jet: Floats) -> Floats:
    """Return the chi2 of every hadronic top quark: sets of jets, and the top jet last."""
    chi2 = np.concatenate([_chi2(sets, HADRONIC_TOP), _chi2(top_jet, TOP_JET)])
    chi2[:-1, np.isfinite(chi2[-1])] = np.inf  # a top jet is the top quark
    return chi2


def _chi2(momenta: Floats, expected: tuple[float, float]) -> Floats:
    mean, width = expected
    return np.nan_to_num(((mass_of(momenta) - mean) / width) ** 2, nan=np.inf)


_TOP_JET = 2**MAX_JETS - 1
"""Position of the top jet, after all sets of jets."""

_OTHERS = [np.append(np.flatnonzero(~subset_members(MAX_JETS)[:, jet]), _TOP_JET) for jet in range(MAX_JETS)]
"""For each jet of the leptonic top quark, the hadronic ones that do not hold it: sets of other jets, and the top jet."""
