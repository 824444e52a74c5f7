"""Missing momentum: `RawMET`, `MET` with the Type-1 correction of the jets, and `PuppiMET` with its variations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.detector import TRACKER_MAX_ETA
from intccms.demo.full.jagged import sum_by_event
from intccms.demo.full.jets import pt_resolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.demo.columns import Collection
    from intccms.demo.full.draws import Draws

__all__ = ["full_met", "pileup_offset", "type1_shift"]

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]

TYPE1_MIN_PT, TYPE1_MAX_EM = 15.0, 0.9  # GeV; share of the energy in electrons and photons
OFFSET_CENTRAL, OFFSET_FORWARD = 0.4, 0.8  # of rho * area, of the size of L1FastJet in Summer19UL


def pileup_offset(area: Array, eta: Array, rho: Array) -> Floats:
    """Return the pt [GeV] that pileup adds to a jet of this area, at an energy density ``rho`` [GeV]."""
    share = np.where(np.abs(eta) < TRACKER_MAX_ETA, OFFSET_CENTRAL, OFFSET_FORWARD)
    return np.asarray(share * rho * area, dtype=np.float64)


def type1_shift(jets: Collection, rho: Array) -> Floats:
    """Return the Type-1 correction, to be subtracted from the raw missing momentum.

    The vector sum, over jets with a calibrated pt without muons above 15 GeV and less than 90 % of the energy in
    electrons and photons, of the calibrated momentum minus that after the pileup correction (level L1) alone; both
    without muons.
    Source: CMS-JME-17-001, section 4 (arXiv:1903.06078).

    Parameters
    ----------
    jets
        `Jet` with pt, eta, phi, area, rawFactor, muonSubtrFactor, chEmEF and neEmEF.
    rho
        Energy density of each event [GeV].

    Returns
    -------
    numpy.ndarray
        x and y [GeV], shape ``(n_events, 2)``.
    """
    fields = {name: values.astype(np.float64) for name, values in jets.fields.items()}
    event = jets.event_index()
    without_muons = 1.0 - fields["muonSubtrFactor"]
    raw = fields["pt"] * (1.0 - fields["rawFactor"]) * without_muons
    calibrated = fields["pt"] * without_muons
    level1 = np.maximum(raw - pileup_offset(fields["area"], fields["eta"], rho[event]), 0.0)
    used = (calibrated > TYPE1_MIN_PT) & (fields["chEmEF"] + fields["neEmEF"] < TYPE1_MAX_EM)
    difference = np.where(used, calibrated - level1, 0.0)
    return _vector_sum(jets, difference)


def _vector_sum(jets: Collection, size: Floats) -> Floats:
    """Return the vector sum of ``size`` along the directions of the jets, shape ``(n_events, 2)``."""
    phi = jets.fields["phi"].astype(np.float64)
    return np.stack([sum_by_event(jets, size * np.cos(phi)), sum_by_event(jets, size * np.sin(phi))], axis=1)


def _polar(name: str, vector: Floats, suffix: str = "") -> dict[str, Array]:
    pt = np.hypot(vector[:, 0], vector[:, 1]).astype(np.float32)
    phi = np.arctan2(vector[:, 1], vector[:, 0]).astype(np.float32)
    return {f"{name}_pt{suffix}": pt, f"{name}_phi{suffix}": phi}


def _vector(flat: Mapping[str, Array], name: str) -> Floats:
    pt, phi = flat[f"{name}_pt"].astype(np.float64), flat[f"{name}_phi"].astype(np.float64)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=1)


def _puppi_variations(draws: Draws, puppi: Floats, jets: Collection, unclustered: Floats) -> dict[str, Array]:
    """Return pt and phi with jet energies scaled (JES), smeared (JER), and the rest of the event shifted."""
    pt, central = jets.fields["pt"].astype(np.float64), np.abs(jets.fields["eta"]) < TRACKER_MAX_ETA
    scale = _vector_sum(jets, pt * np.where(central, 0.01 + 0.2 / pt, 0.03 + 0.3 / pt))
    smear = draws("PuppiMET_ptJERUp").normal(size=pt.size)
    resolution = _vector_sum(jets, pt * 0.1 * pt_resolution(pt) * smear)
    shifts = {"JES": -scale, "JER": -resolution, "Unclustered": unclustered}
    varied: dict[str, Array] = {}
    for source, shift in shifts.items():
        varied |= _polar("PuppiMET", puppi + shift, f"{source}Up")
        varied |= _polar("PuppiMET", puppi - shift, f"{source}Down")
    return varied


def full_met(draws: Draws, flat: Mapping[str, Array], jets: Collection, rho: Array) -> dict[str, Array]:
    """Return the branches of missing momentum.

    Parameters
    ----------
    draws
        Random generators of the cluster.
    flat
        ``MET_pt``, ``MET_phi``, ``PuppiMET_pt`` and ``PuppiMET_phi`` of the parametric detector, which stay.
    jets
        `Jet` as it is stored.
    rho
        Energy density of each event [GeV], as it is stored.
    """
    n = rho.size
    met, puppi = _vector(flat, "MET"), _vector(flat, "PuppiMET")
    unclustered = draws("MET_MetUnclustEnUpDelta").normal(0.0, 4.0, (n, 2)).astype(np.float32)
    shift = type1_shift(jets, rho)
    activity = sum_by_event(jets, jets.fields["pt"]) + draws("MET_sumEt").normal(
        40.0 * np.sqrt(rho) * 5.0, 60.0
    )
    raw_puppi = puppi * draws("RawPuppiMET_pt").normal(0.95, 0.03, (n, 1))
    return {
        "MET_pt": flat["MET_pt"],
        "MET_phi": flat["MET_phi"],
        "MET_sumEt": np.maximum(activity, 10.0).astype(np.float32),
        "MET_MetUnclustEnUpDeltaX": unclustered[:, 0],
        "MET_MetUnclustEnUpDeltaY": unclustered[:, 1],
        "MET_significance": (flat["MET_pt"] ** 2 / 400.0).astype(np.float32),
        **_polar("RawMET", met + shift),
        "RawMET_sumEt": np.maximum(0.95 * activity, 10.0).astype(np.float32),
        "PuppiMET_pt": flat["PuppiMET_pt"],
        "PuppiMET_phi": flat["PuppiMET_phi"],
        "PuppiMET_sumEt": np.maximum(0.6 * activity, 10.0).astype(np.float32),
        **_polar("RawPuppiMET", raw_puppi),
        **_puppi_variations(draws, puppi, jets, 0.7 * unclustered.astype(np.float64)),
    }
