"""The datasets: names in DAS, cross-sections, and where the lists of their files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .eras import ERAS
from .payloads import golden_json

if TYPE_CHECKING:
    from .eras import Era

__all__ = ["LISTINGS", "REDIRECTORS", "SAMPLES", "Sample", "das_names", "dataset_entries"]

REDIRECTORS = [
    "root://cmsxrootd.fnal.gov/",
    "root://xrootd-cms.infn.it/",
    "root://cms-xrd-global.cern.ch/",
]
"""Tried in this order; put the nearest first."""

LISTINGS = Path(__file__).resolve().parent.parent / "listings"
"""Lists of files, ``{dataset}_{year}/*.txt``, as ``python -m example_cms.listing`` writes them."""


@dataclass(frozen=True)
class Sample:
    """A simulated dataset of every era."""

    name: str
    process: str
    cross_section: float
    """Cross-section times branching ratio [pb]."""
    primary: str
    """Its primary dataset in DAS."""


def _bins(name: str, process: str, primary: str, cross_sections: dict[str, float]) -> list[Sample]:
    """Return the samples of a process in bins of generated HT."""
    return [
        Sample(f"{name}_ht{ht.replace('To', 'to')}", process, value, primary.format(ht))
        for ht, value in cross_sections.items()
    ]


SAMPLES: list[Sample] = [
    # 2 TeV, a width of 10 %
    Sample("signal", "signal", 0.01895, "ZPrimeToTT_M2000_W200_TuneCP2_13TeV-madgraph-pythia8"),
    # 831.76 pb (NNLO+NNLL, m_t = 172.5 GeV) times branching ratios
    Sample("ttbar_semilep", "ttbar_semilep", 364.31, "TTToSemiLeptonic_TuneCP5_13TeV-powheg-pythia8"),
    Sample("ttbar_had", "ttbar_had", 380.11, "TTToHadronic_TuneCP5_13TeV-powheg-pythia8"),
    Sample("ttbar_lep", "ttbar_lep", 87.33, "TTTo2L2Nu_TuneCP5_13TeV-powheg-pythia8"),
    *_bins(
        "wjets",
        "wjets",
        "WJetsToLNu_HT-{}_TuneCP5_13TeV-madgraphMLM-pythia8",
        {
            "70To100": 1271.0,
            "100To200": 1253.0,
            "200To400": 335.9,
            "400To600": 45.21,
            "600To800": 10.99,
            "800To1200": 4.936,
            "1200To2500": 1.156,
            "2500ToInf": 0.02623,
        },
    ),
    *_bins(
        "dyjets",
        "dyjets",
        "DYJetsToLL_M-50_HT-{}_TuneCP5_PSweights_13TeV-madgraphMLM-pythia8",
        {
            "70to100": 140.1,
            "100to200": 140.2,
            "200to400": 38.399,
            "400to600": 5.21278,
            "600to800": 1.26567,
            "800to1200": 0.5684,
            "1200to2500": 0.13315,
            "2500toInf": 0.002978,
        },
    ),
    Sample("st_s", "single_top", 3.36432, "ST_s-channel_4f_leptonDecays_TuneCP5_13TeV-amcatnlo-pythia8"),
    Sample(
        "st_t_top",
        "single_top",
        136.02,
        "ST_t-channel_top_4f_InclusiveDecays_TuneCP5_13TeV-powheg-madspin-pythia8",
    ),
    Sample(
        "st_t_antitop",
        "single_top",
        80.95,
        "ST_t-channel_antitop_4f_InclusiveDecays_TuneCP5_13TeV-powheg-madspin-pythia8",
    ),
    Sample(
        "st_tw_top",
        "single_top",
        19.46655,
        "ST_tW_top_5f_NoFullyHadronicDecays_TuneCP5_13TeV-powheg-pythia8",
    ),
    Sample(
        "st_tw_antitop",
        "single_top",
        19.46655,
        "ST_tW_antitop_5f_NoFullyHadronicDecays_TuneCP5_13TeV-powheg-pythia8",
    ),
    Sample("ww", "diboson", 118.7, "WW_TuneCP5_13TeV-pythia8"),
    Sample("wz", "diboson", 46.74, "WZ_TuneCP5_13TeV-pythia8"),
    Sample("zz", "diboson", 16.91, "ZZ_TuneCP5_13TeV-pythia8"),
]
"""The simulation. Versions and availability change: check the names in DAS before use."""


def dataset_entries() -> list[dict[str, Any]]:
    """Return the entries for ``datasets.datasets``: each one stands for a dataset per era, data last."""
    simulation = [
        {**_entry(sample.name), "process": sample.process, "cross_sections": [sample.cross_section]}
        for sample in SAMPLES
    ]
    masks = [golden_json(era) for era in ERAS.values()]
    return [*simulation, {**_entry("data"), "is_data": True, "lumi_mask": masks}]


def _entry(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "years": list(ERAS), "redirector": REDIRECTORS}
    # Without lists there is nothing to name: files are those of datasets.base_dir, or a message says what to give.
    if LISTINGS.is_dir():
        entry["directories"] = [str(LISTINGS / f"{name}_{year}") for year in ERAS]
    return entry


def das_names(name: str, era: Era) -> list[str]:
    """Return the names in DAS of a dataset of an era, with ``*`` for the version of simulation."""
    if name == "data":
        return [f"/SingleMuon/{run}/NANOAOD" for run in era.runs]
    primary = next(sample.primary for sample in SAMPLES if sample.name == name)
    return [f"/{primary}/{era.campaign}-v*/NANOAODSIM"]
