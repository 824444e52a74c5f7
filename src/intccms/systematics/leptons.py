"""Forms the inputs of lepton payloads, abs(eta) and pt, of eta and pt: for `transform_in` of corrections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

__all__ = ["ClampedAbsEtaPt", "abseta_pt", "leading_abseta_pt"]


def abseta_pt(eta: Any, pt: Any) -> tuple[Any, Any]:
    """Return abs(eta) and pt [GeV] of all objects, ``n_events * var`` as given."""
    return np.abs(eta), pt


def leading_abseta_pt(eta: Any, pt: Any) -> tuple[Any, Any]:
    """Return abs(eta) and pt [GeV] of the first object of each event, ``(n_events,)``, None where there is none."""
    return np.abs(ak.firsts(eta, axis=1)), ak.firsts(pt, axis=1)


@dataclass(frozen=True)
class ClampedAbsEtaPt:
    """Brings abs(eta) and pt into the range of a payload: an object outside gets the factor at the nearest edge.

    An instance is a ``transform_in``: it can be pickled, and its limits are part of the configuration's digest::

        Correction(..., args=["2018_UL", ObjVar("Muon", "eta"), ObjVar("Muon", "pt"), SYS],
                   transform_in=ClampedAbsEtaPt(max_abseta=2.4, min_pt=52.0, leading=True))

    Payloads exclude their upper edges, so values end just below ``max_abseta`` and ``max_pt``.
    """

    max_abseta: float | None = None
    """Upper end of abs(eta), excluded."""
    min_pt: float | None = None
    """Lower end of pt [GeV], included."""
    max_pt: float | None = None
    """Upper end of pt [GeV], excluded."""
    leading: bool = False
    """True: the first object of each event, None where there is none, as for triggers that it fires alone; False: all
    of them."""

    def __call__(self, eta: Any, pt: Any) -> tuple[Any, Any]:
        """Return abs(eta) and pt [GeV] as float64, ``n_events * var``, or ``(n_events,)`` of the first objects."""
        abseta, momentum = leading_abseta_pt(eta, pt) if self.leading else abseta_pt(eta, pt)
        abseta, momentum = (ak.values_astype(one, np.float64) for one in (abseta, momentum))
        if self.max_abseta is not None:
            abseta = np.minimum(abseta, np.nextafter(self.max_abseta, 0.0))
        if self.max_pt is not None:
            momentum = np.minimum(momentum, np.nextafter(self.max_pt, 0.0))
        if self.min_pt is not None:
            momentum = np.maximum(momentum, self.min_pt)
        return abseta, momentum
