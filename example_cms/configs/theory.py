"""What `systematics` leaves out: uncertainties of the prediction, of the level-1 trigger and of the luminosity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intccms.schema import SYS, ObjVar
from intccms.systematics.theory import member_weight, scale_weight, stored_weight

from .eras import ERAS
from .systematics import corrections_of

if TYPE_CHECKING:
    from .eras import Era

__all__ = ["LUMINOSITY", "SCALE_GROUPS", "corrections", "theory_of"]

SCALE_GROUPS = {
    "signal": ["signal"],
    "ttbar": ["ttbar_semilep", "ttbar_had", "ttbar_lep"],
    "wjets": ["wjets"],
    "dyjets": ["dyjets"],
    "single_top": ["single_top"],
}
"""Processes that share a nuisance of the scales; the diboson samples store no such weights."""

WITH_PDF = [process for group in SCALE_GROUPS.values() for process in group]

SCALES = [0, 1, 3, 5, 7, 8]
"""All of LHEScaleWeight but nominal (4) and those where the scales differ by a factor of four (2, 6)."""

# NNPDF31_nnlo_hessian_pdfas: member 0 is nominal, 1 to 100 are eigenvectors, 101 and 102 have alpha_s = 0.116 and 0.120.
PDF_MEMBERS = list(range(1, 101))
ALPHA_S_UP, ALPHA_S_DOWN = 102, 101

# Positions in PSWeight, documentation of NanoAODv9.
ISR, FSR = [0, 2], [1, 3]

LUMINOSITY: dict[str, dict[str, float]] = {
    "lumi_2016": {"2016preVFP": 1.0, "2016postVFP": 1.0},
    "lumi_2017": {"2017": 2.0},
    "lumi_2018": {"2018": 1.5},
    "lumi_correlated": {"2016preVFP": 0.6, "2016postVFP": 0.6, "2017": 0.9, "2018": 2.0},
    "lumi_correlated_2017_2018": {"2017": 0.6, "2018": 0.2},
}
"""Uncertainty of the luminosity [per cent] by nuisance and era, as TWiki LumiRecommendationsRun2 has it for Run 2.

In quadrature 1.2 (2016, arXiv:2104.01927), 2.3 (2017, CMS-PAS-LUM-17-004) and 2.5 (2018, CMS-PAS-LUM-18-002).
"""


def _weights(name: str, branch: str, sources: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a correction that is nothing but its uncertainties, from a list of weights that events store."""
    return {
        "name": name,
        "type": "event",
        "nominal_function": member_weight,
        "args": [ObjVar("event", branch), SYS],
        "ignore_missing": True,
        "uncertainty_sources": sources,
        **more,
    }


def _scales() -> list[dict[str, Any]]:
    return [
        _weights(
            f"scales_{group}",
            "LHEScaleWeight",
            [
                {
                    "name": f"scale_{group}",
                    "members": SCALES,
                    "combine": "envelope",
                    "weight_sums": "LHEScaleWeight",
                }
            ],
            nominal_function=scale_weight,
            applies_to=processes,
        )
        for group, processes in SCALE_GROUPS.items()
    ]


def _pdf() -> dict[str, Any]:
    sums = {"weight_sums": "LHEPdfWeight"}
    sources = [
        {"name": "pdf", "members": PDF_MEMBERS, "combine": "hessian", **sums},
        {"name": "alpha_s", "up_and_down_idx": [ALPHA_S_UP, ALPHA_S_DOWN], **sums},
    ]
    return _weights("pdf", "LHEPdfWeight", sources, applies_to=WITH_PDF)


def _parton_shower() -> dict[str, Any]:
    sources = [{"name": "isr", "up_and_down_idx": ISR}, {"name": "fsr", "up_and_down_idx": FSR}]
    return _weights("parton_shower", "PSWeight", sources)


def _prefiring(era: Era) -> list[dict[str, Any]]:
    if not era.prefiring:
        return []
    return [
        {
            "name": "l1_prefiring",
            "type": "event",
            "nominal_function": stored_weight,
            "args": [*(ObjVar("L1PreFiringWeight", name) for name in ("Nom", "Up", "Dn")), SYS],
            "nominal_idx": "nominal",
            "uncertainty_sources": [{"name": "l1_prefiring", "up_and_down_idx": ["up", "down"]}],
        },
    ]


def _luminosity(era: Era) -> dict[str, Any]:
    parts = {name: by_year[era.year] for name, by_year in LUMINOSITY.items() if era.year in by_year}
    return {
        "name": "luminosity",
        "type": "normalisation",
        "uncertainty_sources": [
            {"name": name, "up_and_down_idx": [1 + percent / 100, 1 - percent / 100]}
            for name, percent in parts.items()
        ],
    }


def theory_of(era: Era) -> list[dict[str, Any]]:
    """Return the further corrections of an era."""
    return [*_scales(), _pdf(), _parton_shower(), *_prefiring(era), _luminosity(era)]


corrections: dict[str, list[dict[str, Any]]] = {
    year: [*corrections_of(era), *theory_of(era)] for year, era in ERAS.items()
}
"""The corrections by era, those of `systematics` first."""
