"""Event-level branches of the parametric detector: triggers, MET filters, pileup and vertices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Padded, truncate_mantissa

__all__ = ["MET_FILTERS", "MUON_TRIGGERS", "met_filters", "pileup", "trigger_decisions"]

type Bools = npt.NDArray[np.bool_]
type Floats = npt.NDArray[np.float64]

MUON_TRIGGERS = ("HLT_IsoMu24", "HLT_Mu50", "HLT_TkMu50")
"""An event of the demo's data fired at least one of these, as one of the primary dataset SingleMuon did."""

MET_FILTERS = (
    "Flag_goodVertices",
    "Flag_globalSuperTightHalo2016Filter",
    "Flag_HBHENoiseFilter",
    "Flag_HBHENoiseIsoFilter",
    "Flag_EcalDeadCellTriggerPrimitiveFilter",
    "Flag_BadPFMuonFilter",
    "Flag_BadPFMuonDzFilter",
    "Flag_eeBadScFilter",
)
"""The filters recommended for 2016 ultra-legacy data and simulation."""


def _plateau(rng: np.random.Generator, value: Floats, threshold: float, width: float, top: float) -> Bools:
    """Draw decisions of a trigger whose efficiency rises at ``threshold`` to the plateau ``top``."""
    efficiency = top / (1.0 + np.exp(-np.clip((value - threshold) / width, -60.0, 60.0)))
    return np.asarray(rng.random(value.size) < efficiency)


def _leading(objects: Padded, mask: Bools | bool = True) -> Floats:
    return np.asarray(np.where(objects.present & mask, objects.fields["pt"], 0.0).max(axis=1))


def trigger_decisions(
    rng: np.random.Generator, muons: Padded, electrons: Padded, jets: Padded, fat_jets: Padded, met: Floats
) -> dict[str, Bools]:
    """Return the ``HLT_*`` decisions, each of shape ``(n_events,)``, for objects and missing pt [GeV]."""
    muon = _leading(muons)
    isolated = _leading(muons, muons.fields["miniIsoId"] >= 3)
    ht = np.where(jets.present & (jets.fields["pt"] > 30.0), jets.fields["pt"], 0.0).sum(axis=1)
    return {
        "HLT_IsoMu24": _plateau(rng, isolated, 24.0, 0.5, 0.88),
        "HLT_Mu50": _plateau(rng, muon, 50.0, 0.8, 0.90),
        "HLT_TkMu50": _plateau(rng, muon, 50.0, 0.6, 0.92),
        "HLT_Ele115_CaloIdVT_GsfTrkIdT": _plateau(rng, _leading(electrons), 115.0, 1.5, 0.95),
        "HLT_AK8PFJet450": _plateau(rng, _leading(fat_jets), 450.0, 15.0, 0.99),
        "HLT_PFHT900": _plateau(rng, ht, 900.0, 25.0, 0.99),
        "HLT_PFMET110_PFMHT110_IDTight": _plateau(rng, met, 160.0, 25.0, 0.97),
    }


def met_filters(rng: np.random.Generator, n: int) -> dict[str, Bools]:
    """Return the ``Flag_*`` decisions; each filter rejects one event in five hundred, at random."""
    return {name: rng.random(n) < 0.998 for name in MET_FILTERS}


def pileup(rng: np.random.Generator, n: int) -> dict[str, npt.NDArray[Any]]:
    """Return true interactions, vertices and the energy density ``fixedGridRhoFastjetAll`` [GeV]."""
    true_interactions = np.clip(rng.normal(23.0, 6.5, n), 1.0, 70.0)
    vertices = 1 + rng.poisson(0.75 * true_interactions)
    return {
        "Pileup_nTrueInt": truncate_mantissa(true_interactions, 10),
        "PV_npvs": vertices.astype(np.int32),
        "PV_npvsGood": rng.binomial(vertices, 0.85).astype(np.int32),
        "PV_x": truncate_mantissa(rng.normal(0.11, 0.002, n), 10),
        "PV_y": truncate_mantissa(rng.normal(0.17, 0.002, n), 10),
        "PV_z": truncate_mantissa(rng.normal(0.0, 3.5, n), 16),
        "fixedGridRhoFastjetAll": truncate_mantissa(
            np.maximum(rng.normal(0.8 * true_interactions, 2.0), 0.5), 10
        ),
    }
