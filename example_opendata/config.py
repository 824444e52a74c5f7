"""What is selected and histogrammed, and how it is plotted; `datasets` has the input and `cuts` the functions."""

from __future__ import annotations

from typing import Any

from intccms.schema import ObjVar

from . import cuts
from .datasets import LUMINOSITY, dataset_entries

__all__ = ["config"]

MUON, FAT_JET, JET, MET = (ObjVar(name) for name in ("Muon", "FatJet", "Jet", "PuppiMET"))
MET_PT = ObjVar("PuppiMET", "pt")

OBSERVABLES: list[dict[str, Any]] = [
    {
        "name": "mtt",
        "function": cuts.candidate_mass,
        "use": [MUON, FAT_JET, JET, MET],
        "binning": {"bins": 50, "start": 0, "stop": 3000},
        "label": r"$m_{t\bar{t}}$",
        "unit": "GeV",
    },
    {
        "name": "mu_pt",
        "function": cuts.candidate_muon_pt,
        "use": [MUON, FAT_JET, JET],
        "binning": {"bins": 30, "start": 50, "stop": 650},
        "label": r"Muon $p_T$",
        "unit": "GeV",
    },
    {
        "name": "mu_abseta",
        "function": cuts.candidate_muon_abseta,
        "use": [MUON, FAT_JET, JET],
        "binning": {"bins": 24, "start": 0, "stop": 2.4},
        "label": r"Muon $|\eta|$",
    },
]
"""The quantities that the workshop keeps of each candidate, under its names."""

config: dict[str, Any] = {
    "general": {"lumi": LUMINOSITY, "executor": "futures", "output_dir": "outputs/opendata"},
    "datasets": {"datasets": dataset_entries()},
    "preprocess": {
        "skimming": {
            "function": cuts.with_trigger_and_met,
            "use": [ObjVar("HLT", "TkMu50"), MET_PT],
        },
    },
    "good_object_masks": [
        {"collection": "Muon", "function": cuts.is_good_muon, "use": [MUON, MET_PT]},
        {"collection": "FatJet", "function": cuts.is_top_jet, "use": [FAT_JET]},
        {"collection": "Jet", "function": cuts.is_b_jet, "use": [JET]},
    ],
    "baseline_selection": {"function": cuts.one_muon_one_top_jet, "use": [MUON, FAT_JET]},
    "channels": [
        {
            "name": "SR",
            "selection": {"function": cuts.with_b_jet, "use": [JET]},
            "observables": OBSERVABLES,
        },
    ],
    "plotting": {
        "signals": ["signal"],
        "order": ["ttbar_had", "ttbar_lep", "wjets", "ttbar_semilep"],
        "labels": {
            "signal": "Z' (2 TeV, 1 pb)",
            "ttbar_semilep": r"$t\bar{t}$, one lepton",
            "ttbar_lep": r"$t\bar{t}$, two leptons",
            "ttbar_had": r"$t\bar{t}$, no lepton",
            "wjets": "W+jets",
            "data": "Data",
        },
        "cms_label": "Open Data",
    },
}
"""The analysis; ``intccms run example_opendata`` runs it."""
