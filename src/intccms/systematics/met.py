"""Corrects missing transverse momentum for the calibration of jets, and varies its unclustered part.

Every function returns pt [GeV] and phi, which replace those of MET together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError
from intccms.systematics.jagged import counts, event_sums, flat, parents, per_event
from intccms.systematics.jets import corrected_pt
from intccms.systematics.keys import direction
from intccms.systematics.named_inputs import Evaluator, evaluate
from intccms.systematics.repeats import Last, Repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["stored_met", "type1_met", "unclustered_met"]

MIN_JET_PT = 15.0  # GeV, corrected and without muons; CMSSW, patPFMetT1: type1JetPtThreshold
MAX_EM_FRACTION = 0.9  # CMSSW, patPFMetT1: skipEMfractionThreshold

"""There are many of them, and they are the same in all variations of jets, whose calibration would cost most."""

type Vectors = tuple[NDArray[np.float64], NDArray[np.float64]]


def type1_met(
    raw_pt: Any,
    raw_phi: Any,
    jet_pt: Any,
    jet_pt_as_read: Any,
    jet_eta: Any,
    jet_phi: Any,
    jet_raw_factor: Any,
    jet_area: Any,
    jet_muon_factor: Any,
    jet_charged_em: Any,
    jet_neutral_em: Any,
    low_raw_pt: Any,
    low_eta: Any,
    low_phi: Any,
    low_area: Any,
    low_muon_factor: Any,
    rho: Any,
    run: Any,
    key: Any,
    l1: Evaluator,
    compound: Evaluator,
    shift: Evaluator | None = None,
) -> Vectors:
    """Return the missing transverse momentum with Type-1 corrections: that of calibrated jets.

    From the raw one is subtracted, over jets without their muons, the fully corrected minus the L1-corrected
    momentum. Counted are jets whose fully corrected pt without muons is above 15 GeV and whose electromagnetic
    fraction is below 0.9.

    Parameters
    ----------
    raw_pt, raw_phi
        ``RawMET_pt`` [GeV] and ``RawMET_phi``, ``(n_events,)``.
    jet_pt
        ``Jet_pt`` [GeV] as it is now, calibrated, smeared or varied, ``n_events * var``; relative to the raw pt it
        is the full correction of a jet.
    jet_pt_as_read, jet_raw_factor
        ``Jet_pt`` [GeV] and ``Jet_rawFactor`` as read, which give the raw pt. All jet columns in one order.
    jet_eta, jet_phi, jet_area, jet_muon_factor, jet_charged_em, jet_neutral_em
        ``Jet_eta``, ``Jet_phi``, ``Jet_area``, ``Jet_muonSubtrFactor``, ``Jet_chEmEF``, ``Jet_neEmEF``.
    low_raw_pt, low_eta, low_phi, low_area, low_muon_factor
        ``CorrT1METJet_rawPt`` [GeV], ...: jets too soft to be stored as ``Jet``, ``n_events * var``. Their
        electromagnetic fraction is not stored, and not cut on.
    rho, run
        Median energy density [GeV] and run number, ``(n_events,)``.
    key
        ``up`` or ``down`` varies the soft jets by ``shift``; ``nominal`` or None does not. Without ``shift`` not
        looked at.
    l1, compound
        Payloads of level L1FastJet and of the full calibration.
    shift
        Payload of the relative uncertainty of (JetEta, JetPt) by which ``jet_pt`` is varied.

    Returns
    -------
    tuple of numpy.ndarray
        pt [GeV] and phi in [-pi, pi], each ``(n_events,)``, float64. Events without jets keep the raw values.

    Raises
    ------
    ConfigError
        If a payload takes an unknown input, or ``key`` is none of these and there is a ``shift``.

    Notes
    -----
    The factors are those of the whole raw jet, applied to what is left without muons, as in CMSSW
    (``JetMETCorrections/Type1MET/interface/PFJetMETcorrInputProducerT.h``,
    ``PhysicsTools/PatUtils/interface/PATJetCorrExtractor.h``). Source: TWiki METType1Type2Formulae; CMS, JINST 14
    (2019) P07004, section 4. The direction of the subtracted muons is taken as that of the jet.
    """
    hard = _hard.get(
        _Jets.of,
        (jet_eta, jet_phi, jet_area, jet_muon_factor, jet_pt_as_read, jet_raw_factor, rho, run, l1),
    )
    soft = _soft.get(
        _Jets.of, (low_eta, low_phi, low_area, low_muon_factor, low_raw_pt, None, rho, run, l1, compound)
    )
    calibrated = soft.calibrated
    if shift is not None and (sign := direction(key, "type1_met")):
        calibrated = calibrated * (
            1.0 + sign * _shifts.compute(_relative_shift, (soft.eta, calibrated), shift)
        )
    hadronic = _hadronic.get(_is_hadronic, (jet_charged_em, jet_neutral_em))
    hard_x, hard_y = hard.changes(flat(jet_pt), hadronic)
    soft_x, soft_y = soft.changes(calibrated, np.True_)
    x, y = _cartesian(raw_pt, raw_phi)
    return _polar(x - hard_x - soft_x, y - hard_y - soft_y)


# what does not differ between variations is computed for the first of them
_hard, _soft, _hadronic = Last(), Last(), Last()
_calibrated, _soft_offset, _hard_offset, _shifts = Repeats(), Repeats(), Repeats(), Repeats()


def _is_hadronic(charged_em: Any, neutral_em: Any) -> NDArray[np.bool_]:
    """Return which jets have an electromagnetic fraction below the limit."""
    allowed: NDArray[np.bool_] = flat(charged_em) + flat(neutral_em) < MAX_EM_FRACTION
    return allowed


def _relative_shift(
    eta: NDArray[np.float64], pt: NDArray[np.float64], shift: Evaluator
) -> NDArray[np.float64]:
    return evaluate(shift, JetEta=eta, JetPt=pt)


@dataclass(frozen=True)
class _Jets:
    """Flat columns of jets, shape ``(n_jets,)``, and the position of each one's event."""

    eta: NDArray[np.float64]
    directions: Vectors
    """Cosine and sine of the azimuth."""
    rest: NDArray[np.float64]
    """Fraction of the raw momentum that muons do not carry."""
    offset_corrected: NDArray[np.float64]
    """pt [GeV] after L1."""
    calibrated: NDArray[np.float64]
    """pt [GeV] after the compound; the raw one where none was given."""
    events: NDArray[np.int64]
    n_events: int

    @classmethod
    def of(
        cls,
        eta: Any,
        phi: Any,
        area: Any,
        muon_factor: Any,
        pt: Any,
        raw_factor: Any,
        rho: Any,
        run: Any,
        l1: Evaluator,
        compound: Evaluator | None = None,
    ) -> _Jets:
        """Return the jets of jagged columns; without a raw factor, the pt is the raw one."""
        events = parents(counts(eta))
        raw_pt = flat(pt) if raw_factor is None else flat(pt) * (1.0 - flat(raw_factor))
        density, runs = per_event(rho), per_event(run)
        inputs = (raw_pt, flat(eta), flat(phi), flat(area), density[events], runs[events])
        offset = _hard_offset if compound is None else _soft_offset
        calibrated = raw_pt if compound is None else _calibrated.compute(corrected_pt, inputs, compound)
        return cls(
            inputs[1],
            (np.cos(inputs[2]), np.sin(inputs[2])),
            1.0 - flat(muon_factor),
            offset.compute(corrected_pt, inputs, l1),
            calibrated,
            events,
            len(density),
        )

    def changes(self, pt: NDArray[np.float64], allowed: NDArray[np.bool_] | np.bool_) -> Vectors:
        """Return the momentum [GeV] that the corrections beyond L1 add in each event, x and y."""
        used = np.flatnonzero(allowed & (pt * self.rest > MIN_JET_PT))
        events = self.events[used]
        change = (pt[used] - self.offset_corrected[used]) * self.rest[used]
        cosine, sine = self.directions
        return (
            event_sums(change * cosine[used], events, self.n_events),
            event_sums(change * sine[used], events, self.n_events),
        )


def unclustered_met(pt: Any, phi: Any, delta_x: Any, delta_y: Any, key: Any) -> Vectors:
    """Return MET with its unclustered part varied by one standard deviation.

    Parameters
    ----------
    pt, phi
        Of MET as it is now; pt [GeV], ``(n_events,)``.
    delta_x, delta_y
        ``MET_MetUnclustEnUpDeltaX`` and ``...Y`` [GeV], ``(n_events,)``.
    key
        ``up`` adds them, ``down`` subtracts them; ``nominal`` or None changes nothing.

    Returns
    -------
    tuple of numpy.ndarray
        pt [GeV] and phi in [-pi, pi], each ``(n_events,)``, float64.

    Raises
    ------
    ConfigError
        For another ``key``.

    Notes
    -----
    Source: documentation of NanoAOD ("Delta (METx_mod-METx) Unclustered Energy Up"); TWiki METRun2Corrections.
    """
    sign = direction(key, "unclustered_met")
    if not sign:
        return per_event(pt), per_event(phi)
    x, y = _cartesian(pt, phi)
    return _polar(x + sign * per_event(delta_x), y + sign * per_event(delta_y))


def stored_met(
    pt: Any,
    phi: Any,
    pt_up: Any,
    phi_up: Any,
    pt_down: Any,
    phi_down: Any,
    key: Any,
    pt_as_read: Any = None,
    phi_as_read: Any = None,
) -> Vectors:
    """Return MET varied as NanoAOD stores it (``PuppiMET_ptUnclusteredUp``, ``PuppiMET_ptJESUp``, ...).

    Stored are values, not shifts. Where no earlier step has changed MET they are the result. Where one has, give
    ``pt_as_read`` and ``phi_as_read``: the vector from the stored nominal to the stored variation is then added to
    MET as it is now, so that the earlier change is kept. This is right for the unclustered part, which the
    calibration of jets does not touch; a stored variation of jets belongs to jets that were *not* calibrated anew.

    Parameters
    ----------
    pt, phi
        Of MET as it is now; pt [GeV], ``(n_events,)``.
    pt_up, phi_up, pt_down, phi_down
        The stored variations, pt [GeV].
    key
        ``up``, ``down``; ``nominal`` or None changes nothing.
    pt_as_read, phi_as_read
        The stored nominal MET, pt [GeV].

    Returns
    -------
    tuple of numpy.ndarray
        pt [GeV] and phi, each ``(n_events,)``, float64.

    Raises
    ------
    ConfigError
        For another ``key``, or if one of ``pt_as_read`` and ``phi_as_read`` is given alone.
    """
    if (pt_as_read is None) != (phi_as_read is None):
        message = "stored_met needs both 'pt_as_read' and 'phi_as_read', or neither"
        raise ConfigError(message)
    sign = direction(key, "stored_met")
    if not sign:
        return per_event(pt), per_event(phi)
    varied = (pt_up, phi_up) if sign > 0 else (pt_down, phi_down)
    if pt_as_read is None:
        return per_event(varied[0]), per_event(varied[1])
    (x, y), (x_read, y_read), (x_varied, y_varied) = (
        _cartesian(*one) for one in ((pt, phi), (pt_as_read, phi_as_read), varied)
    )
    return _polar(x + (x_varied - x_read), y + (y_varied - y_read))


def _cartesian(pt: Any, phi: Any) -> Vectors:
    length, angle = per_event(pt), per_event(phi)
    return length * np.cos(angle), length * np.sin(angle)


def _polar(x: NDArray[np.float64], y: NDArray[np.float64]) -> Vectors:
    return np.hypot(x, y), np.arctan2(y, x)
