"""Scale factors and calibrations of simulation with their uncertainties: one list of corrections per era.

41 nuisances, 82 variations in each era. A source whose name ends in the year is of that era alone, the others are one
nuisance in all of Run 2. Object corrections are a chain in the order of the list; weights multiply. Data are taken as they
are stored: their jets carry the calibration of this campaign already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.schema import SYS, ObjVar, Payload
from intccms.systematics.btagging import shape_factor
from intccms.systematics.jets import jec_factor, jer_factor
from intccms.systematics.leptons import leading_abseta_pt
from intccms.systematics.met import type1_met, unclustered_met

from .eras import ERAS
from .payloads import payload

if TYPE_CHECKING:
    from .eras import Era

__all__ = ["JES_SOURCES", "always_passes", "corrections", "corrections_of"]

JES_CORRELATED = [
    "AbsoluteMPFBias",
    "AbsoluteScale",
    "FlavorQCD",
    "Fragmentation",
    "PileUpDataMC",
    "PileUpPtBB",
    "PileUpPtEC1",
    "PileUpPtEC2",
    "PileUpPtHF",
    "PileUpPtRef",
    "RelativeBal",
    "RelativeFSR",
    "RelativeJERHF",
    "RelativePtBB",
    "RelativePtHF",
    "SinglePionECAL",
    "SinglePionHCAL",
]
"""Sources of the jet energy scale that are one nuisance in all eras."""

JES_BY_YEAR = [
    "AbsoluteStat",
    "RelativeJEREC1",
    "RelativeJEREC2",
    "RelativePtEC1",
    "RelativePtEC2",
    "RelativeSample",
    "RelativeStatEC",
    "RelativeStatFSR",
    "RelativeStatHF",
    "TimePtEta",
]
"""Those of one era each."""

JES_SOURCES = [*JES_CORRELATED, *JES_BY_YEAR]

B_TAG_CORRELATED = ("hf", "lf", "cferr1", "cferr2")
B_TAG_BY_YEAR = ("hfstats1", "hfstats2", "lfstats1", "lfstats2")

MUON_ID = "NUM_HighPtID_DEN_TrackerMuons"
MUON_ISOLATION = "NUM_LooseRelTkIso_DEN_HighPtIDandIPCut"

RHO, RUN, LUMINOSITY_BLOCK, EVENT = (
    ObjVar("event", name) for name in ("fixedGridRhoFastjetAll", "run", "luminosityBlock", "event")
)


def columns(collection: str, *fields: str) -> list[ObjVar]:
    """Return columns of a collection."""
    return [ObjVar(collection, field) for field in fields]


def jes_name(source: str, era: Era) -> str:
    """Return the nuisance of a source of the jet energy scale."""
    return f"jes_{source}_{era.year}" if source in JES_BY_YEAR else f"jes_{source}"


def always_passes(flag: Any) -> Any:
    """Let every event pass a filter."""
    return np.ones(len(flag), dtype=bool)


def _filters(era: Era) -> list[dict[str, Any]]:
    if era.ecal_bad_calibration:
        return []
    return [
        {
            "name": "no_ecal_bad_calibration_filter",
            "type": "object",
            "target": ObjVar("Flag", "ecalBadCalibFilter"),
            "op": "replace",
            "nominal_function": always_passes,
            "args": columns("Flag", "ecalBadCalibFilter"),
            "applies_to": ["simulation", "data"],
            "ignore_missing": True,
        },
    ]


def _scale(
    name: str, collection: str, file: str, algorithm: str, era: Era, targets: tuple[str, ...]
) -> dict[str, Any]:
    """Return the energy scale of a collection of jets, anew from the raw momentum."""
    return {
        "name": name,
        "type": "object",
        "target": columns(collection, *targets),
        "nominal_function": jec_factor,
        "args": [
            *columns(collection, "pt", "rawFactor", "eta", "phi", "area"),
            RHO,
            RUN,
            Payload(file, f"{era.jec}_L1L2L3Res_{algorithm}"),
        ],
        "uncertainty_sources": [
            {
                "name": jes_name(source, era),
                "file": file,
                "key": f"{era.jec}_{source}_{algorithm}",
                "args": columns(collection, "eta", "pt"),
                "is_delta": True,
            }
            for source in JES_SOURCES
        ],
    }


def _resolution(
    name: str, collection: str, index: str, generated: str, radius: float, file: str, algorithm: str, era: Era
) -> dict[str, Any]:
    """Return the smearing of a collection of jets to the resolution in data."""
    return {
        "name": name,
        "type": "object",
        "target": columns(collection, "pt", "mass"),
        "nominal_function": jer_factor,
        "args": [
            *columns(collection, "pt", "eta", "phi"),
            RHO,
            ObjVar(collection, index),
            *columns(generated, "pt", "eta", "phi"),
            RUN,
            LUMINOSITY_BLOCK,
            EVENT,
            radius,
            SYS,
            Payload(file, f"{era.jer}_PtResolution_{algorithm}"),
            Payload(file, f"{era.jer}_ScaleFactor_{algorithm}"),
        ],
        "nominal_idx": "nom",
        "uncertainty_sources": [{"name": f"jer_{era.year}", "up_and_down_idx": ["up", "down"]}],
    }


def _following(correction: dict[str, Any]) -> dict[str, Any]:
    """Return a correction whose sources are those of an earlier one: one nuisance moves both."""
    sources = [
        {**source, "name": f"{correction['name']}_{source['name']}", "varies_with": source["name"]}
        for source in correction["uncertainty_sources"]
    ]
    return {**correction, "uncertainty_sources": sources}


def _jets(era: Era) -> list[dict[str, Any]]:
    file, algorithm = payload("JME", era, "jet_jerc"), "AK4PFchs"
    return [
        _scale("jec", "Jet", file, algorithm, era, ("pt", "mass")),
        _resolution("jer", "Jet", "genJetIdx", "GenJet", 0.4, file, algorithm, era),
    ]


def _fat_jets(era: Era) -> list[dict[str, Any]]:
    jets, fat_jets = (payload("JME", era, name) for name in ("jet_jerc", "fatJet_jerc"))
    file, algorithm = (fat_jets, "AK8PFPuppi") if era.fat_jet_jer else (jets, "AK4PFchs")
    return [
        _following(_scale("fat_jec", "FatJet", fat_jets, "AK8PFPuppi", era, ("pt", "mass", "msoftdrop"))),
        _following(_resolution("fat_jer", "FatJet", "genJetAK8Idx", "GenJetAK8", 0.8, file, algorithm, era)),
    ]


def _met(era: Era) -> list[dict[str, Any]]:
    """Return the missing momentum, anew from all jets as they are now, and its unclustered part."""
    file = payload("JME", era, "jet_jerc")
    args = [
        *columns("RawMET", "pt", "phi"),
        *columns("Jet", "pt", "pt_as_read", "eta", "phi", "rawFactor", "area"),
        *columns("Jet", "muonSubtrFactor", "chEmEF", "neEmEF"),
        *columns("CorrT1METJet", "rawPt", "eta", "phi", "area", "muonSubtrFactor"),
        RHO,
        RUN,
        SYS,
        Payload(file, f"{era.jec}_L1FastJet_AK4PFchs"),
        Payload(file, f"{era.jec}_L1L2L3Res_AK4PFchs"),
    ]
    met = {"type": "object", "target": columns("MET", "pt", "phi"), "op": "replace", "nominal_idx": "nominal"}
    return [
        {
            **met,
            "name": "met_type1",
            "nominal_function": type1_met,
            "args": args,
            # jets below the threshold of the collection move with the scale as well
            "uncertainty_sources": [
                {
                    "name": f"met_{jes_name(source, era)}",
                    "varies_with": jes_name(source, era),
                    "up_and_down_idx": ["up", "down"],
                    "args": [*args, Payload(file, f"{era.jec}_{source}_AK4PFchs")],
                }
                for source in JES_SOURCES
            ],
        },
        {
            **met,
            "name": "met_unclustered",
            "nominal_function": unclustered_met,
            "args": [
                *columns("MET", "pt", "phi", "MetUnclustEnUpDeltaX", "MetUnclustEnUpDeltaY"),
                SYS,
            ],
            "uncertainty_sources": [
                {"name": f"met_unclustered_{era.year}", "up_and_down_idx": ["up", "down"]}
            ],
        },
    ]


def _muons(era: Era) -> list[dict[str, Any]]:
    keys = {"muon_id": MUON_ID, "muon_iso": MUON_ISOLATION, "muon_trigger": era.muon_trigger}
    return [
        {
            "name": name,
            "type": "event",
            "file": payload("MUO", era, "muon_Z"),
            "key": key,
            "args": [era.payloads, *columns("Muon", "eta", "pt"), SYS],
            "transform_in": leading_abseta_pt,
            "nominal_idx": "sf",
            "uncertainty_sources": [{"name": name, "up_and_down_idx": ["systup", "systdown"]}],
        }
        for name, key in keys.items()
    ]


def _pileup(era: Era) -> dict[str, Any]:
    return {
        "name": "pileup",
        "type": "event",
        "file": payload("LUM", era, "puWeights"),
        "key": era.pileup,
        "args": [ObjVar("Pileup", "nTrueInt"), SYS],
        "nominal_idx": "nominal",
        "uncertainty_sources": [{"name": f"pileup_{era.year}", "up_and_down_idx": ["up", "down"]}],
    }


def _b_tag(era: Era) -> dict[str, Any]:
    """Return the weight that corrects the distribution of the DeepJet score of the selected jets."""

    def source(name: str, key: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "up_and_down_idx": [f"up_{key}", f"down_{key}"], **more}

    return {
        "name": "b_tag",
        "type": "event",
        "nominal_function": shape_factor,
        "args": [
            *columns("Jet", "hadronFlavour", "eta", "pt", "btagDeepFlavB"),
            SYS,
            Payload(payload("BTV", era, "btagging"), "deepJet_shape"),
        ],
        "reduce": "prod",
        "nominal_idx": "central",
        "uncertainty_sources": [
            *(source(f"btag_{name}", name) for name in B_TAG_CORRELATED),
            *(source(f"btag_{name}_{era.year}", name) for name in B_TAG_BY_YEAR),
            *(
                source(f"btag_{jes_name(name, era)}", f"jes{name}", varies_with=jes_name(name, era))
                for name in JES_SOURCES
            ),
        ],
    }


def corrections_of(era: Era) -> list[dict[str, Any]]:
    """Return the corrections of an era: the chain of objects, then the weights."""
    return [
        *_filters(era),
        *_jets(era),
        *_fat_jets(era),
        *_met(era),
        *_muons(era),
        _pileup(era),
        _b_tag(era),
    ]


corrections: dict[str, list[dict[str, Any]]] = {year: corrections_of(era) for year, era in ERAS.items()}
"""The corrections by era."""
