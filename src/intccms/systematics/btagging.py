"""Factors that bring b tagging of simulated jets to that of data, one per jet; their product is an event's weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import FunctorError
from intccms.systematics.jagged import counts, flat, jagged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from intccms.systematics.named_inputs import Evaluator

__all__ = ["shape_factor", "working_point_factor"]

MAX_ABSETA = 2.5  # acceptance of b tagging, TWiki BtagRecommendation
MIN_PT = 20.0  # GeV, the same
MAX_MEASURED_PT = 1000.0  # GeV, upper end of the bins in which working points were measured
CHARM = 4
FLAVOURS = (0, 4, 5)


def shape_factor(flavour: Any, eta: Any, pt: Any, discriminant: Any, key: Any, payload: Evaluator) -> Any:
    """Return the factor that corrects the shape of the discriminant, of each jet.

    A source concerns either charm (``cferr1``, ``cferr2``) or light and b jets (all others). Jets whose flavour a
    source does not concern keep their *central* factor in its variations.

    Parameters
    ----------
    flavour
        ``Jet_hadronFlavour``: 0, 4 or 5, ``n_events * var``.
    eta, pt, discriminant
        Same shape; pt [GeV] calibrated, the discriminant that the payload is for.
    key
        ``central``, ``up_hf``, ``down_jesAbsoluteStat``, ``up_cferr1``, ...
    payload
        Of (systematic, flavour, abs(eta), pt, discriminant), in this order.

    Returns
    -------
    awkward.Array
        ``n_events * var * float64``; 1 outside the acceptance (abs(eta) >= 2.5, pt <= 20 GeV, discriminant outside
        [0, 1], as the -1 of jets without tracks).

    Raises
    ------
    FunctorError
        If a flavour in the acceptance is none of 0, 4 and 5.

    Notes
    -----
    Source: TWiki BTagShapeCalibration; CMS, JINST 13 (2018) P05011, section 8.4. The weights do not keep the
    yield before b tagging: their renormalisation by number of jets is a correction of its own.
    """
    kinds, abseta, jet_pt, value = _columns(flavour, eta, pt, discriminant)
    taken = _accepted(abseta, jet_pt) & (value >= 0) & (value <= 1)
    _check_flavours(kinds[taken])
    concerned = taken & ((kinds == CHARM) == ("cferr" in str(key)))
    calls = [(taken, "central")] if key == "central" else [(concerned, key), (taken & ~concerned, "central")]
    result = np.ones(len(kinds))
    for mask, one in calls:
        if mask.any():
            result[mask] = payload.evaluate(one, kinds[mask], abseta[mask], jet_pt[mask], value[mask])
    return jagged(result, counts(flavour))


def working_point_factor(
    flavour: Any,
    eta: Any,
    pt: Any,
    discriminant: Any,
    working_point: str,
    threshold: float,
    key: str,
    heavy: Evaluator,
    light: Evaluator,
    efficiency: Evaluator,
) -> Any:
    """Return the factor of each jet for tagging at one working point (method 1a).

    A tagged jet has ``sf``, one that is not tagged ``(1 - sf eff) / (1 - eff)``.

    Parameters
    ----------
    flavour
        ``Jet_hadronFlavour``: 0, 4 or 5, ``n_events * var``.
    eta, pt, discriminant
        Same shape; pt [GeV] calibrated. Tagged is a jet with ``discriminant > threshold``.
    working_point
        Its name in the payloads: ``L``, ``M``, ``T``.
    threshold
        Its lower edge in the discriminant.
    key
        ``central``, ``up``, ``down``, ``up_correlated``, ... for both payloads; ``heavy:up`` or ``light:down``
        for one of them, with the other one central.
    heavy, light
        Payloads of (systematic, working_point, flavour, abs(eta), pt), for flavours 4 and 5, and for 0.
    efficiency
        Payload of (flavour, abs(eta), pt): efficiency of the working point in this simulation.

    Returns
    -------
    awkward.Array
        ``n_events * var * float64``; 1 outside the acceptance (abs(eta) >= 2.5, pt <= 20 GeV) and for jets without
        a tag where the efficiency is 1; never below 0.

    Raises
    ------
    FunctorError
        If a flavour in the acceptance is none of 0, 4 and 5.

    Notes
    -----
    Source: TWiki BTagSFMethods, method 1a. Above 1000 GeV, where nothing was measured and the formulas of the
    payloads are not to be trusted, sf is that of 1000 GeV with twice its uncertainty, as in CMSSW's
    ``BTagCalibrationReader::eval_auto_bounds``.
    """
    kinds, abseta, jet_pt, value = _columns(flavour, eta, pt, discriminant)
    taken = np.flatnonzero(_accepted(abseta, jet_pt))
    kinds, abseta, jet_pt, tagged = kinds[taken], abseta[taken], jet_pt[taken], value[taken] > threshold
    _check_flavours(kinds)
    which, _, name = str(key).rpartition(":")
    sf = np.ones(len(kinds))
    for payload, prefix, mask in ((heavy, "heavy", kinds != 0), (light, "light", kinds == 0)):
        if mask.any():
            systematic = name if which in ("", prefix) else "central"
            sf[mask] = _scale_factors(
                payload, systematic, working_point, kinds[mask], abseta[mask], jet_pt[mask]
            )
    factor = sf
    if not tagged.all():
        factor = np.where(tagged, sf, _without_tag(sf, efficiency.evaluate(kinds, abseta, jet_pt)))
    sizes = counts(flavour)
    result = np.ones(int(sizes.sum()))
    result[taken] = factor
    return jagged(result, sizes)


def _columns(
    flavour: Any, eta: Any, pt: Any, discriminant: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    return flat(flavour, np.int64), np.abs(flat(eta)), flat(pt), flat(discriminant)


def _accepted(abseta: NDArray[np.float64], pt: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (abseta < MAX_ABSETA) & (pt > MIN_PT)


def _check_flavours(flavours: NDArray[np.int64]) -> None:
    if not np.isin(flavours, FLAVOURS).all():
        other = sorted(set(flavours.tolist()) - set(FLAVOURS))
        message = (
            f"b-tag factors are for hadron flavours {FLAVOURS}, but there are jets of {other[:5]}. "
            "Give Jet_hadronFlavour as the flavour, not Jet_partonFlavour."
        )
        raise FunctorError(message)


def _scale_factors(
    payload: Evaluator,
    systematic: str,
    working_point: str,
    flavour: NDArray[np.int64],
    abseta: NDArray[np.float64],
    pt: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return scale factors, with twice their uncertainty beyond the measured pt."""
    measured = np.minimum(pt, MAX_MEASURED_PT)
    sf = np.array(payload.evaluate(systematic, working_point, flavour, abseta, measured), dtype=np.float64)
    beyond = pt > MAX_MEASURED_PT
    if systematic != "central" and beyond.any():
        central = payload.evaluate(
            "central", working_point, flavour[beyond], abseta[beyond], measured[beyond]
        )
        sf[beyond] = 2.0 * sf[beyond] - central
    return sf


def _without_tag(sf: NDArray[np.float64], efficiency: Any) -> NDArray[np.float64]:
    eff = np.asarray(efficiency, dtype=np.float64)
    ratio = np.divide(1.0 - sf * eff, 1.0 - eff, out=np.ones_like(sf), where=eff < 1)
    return np.maximum(ratio, 0.0)
