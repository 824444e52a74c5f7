"""The configuration of the demo, as an analyst would write it. ``CONFIG`` ``demo`` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from intccms.demo import analysis
from intccms.demo.golden import GOLDEN_FILE
from intccms.demo.samples import DEMO_SAMPLES, LUMINOSITY
from intccms.schema import SYS, ObjVar
from intccms.selection.library import count_is, has_at_least

__all__ = ["DEMO_FOLDER", "config", "demo_config"]

DEMO_FOLDER = Path("intccms-demo")
"""Where the demo puts its input and output, in the current folder."""

MUON, FAT_JET, JET, MET = (ObjVar(name) for name in ("Muon", "FatJet", "Jet", "PuppiMET"))
MET_PT = ObjVar("PuppiMET", "pt")


def demo_config(folder: Path = DEMO_FOLDER, *, lumi: float = LUMINOSITY) -> dict[str, Any]:
    """Return the configuration for a demo in a folder: its input below ``input``, its output in ``output``.

    Parameters
    ----------
    folder
        Folder of the demo.
    lumi
        Luminosity of the data [pb^-1]; it grows with the scale of the demo.
    """
    inputs = folder / "input"
    return {
        "general": {"lumi": lumi, "executor": "futures", "output_dir": folder / "output"},
        "datasets": {
            "base_dir": str(inputs),
            "datasets": [
                {
                    "name": sample.name,
                    "process": sample.process,
                    "files": [f"{sample.name}_*.root"],
                    **(
                        {"is_data": True, "lumi_mask": str(inputs / GOLDEN_FILE)}
                        if sample.is_data
                        else {"cross_sections": [sample.xsec_pb]}
                    ),
                }
                for sample in DEMO_SAMPLES
            ],
        },
        "preprocess": {
            "skimming": {
                "function": analysis.skim,
                "use": [ObjVar("HLT", "TkMu50"), MET_PT],
                "chunk_size": 20_000,
            },
        },
        "corrections": _corrections(),
        "good_object_masks": [
            {"collection": "Muon", "function": analysis.good_muons, "use": [MUON, MET_PT]},
            {"collection": "FatJet", "function": analysis.top_jets, "use": [FAT_JET]},
            {"collection": "Jet", "function": analysis.b_jets, "use": [JET]},
        ],
        "baseline_selection": {"function": analysis.one_muon, "use": [MUON]},
        "ghost_observables": [
            {"names": "mtt", "function": analysis.resonance_mass, "use": [MUON, FAT_JET, JET, MET]},
        ],
        "channels": [
            {
                "name": "SR",
                "selection": {"function": analysis.search_region, "use": [FAT_JET, JET]},
                "observables": [
                    {
                        "name": "mtt",
                        "function": _same,
                        "use": [ObjVar("event", "mtt")],
                        "binning": {"bins": 50, "start": 0, "stop": 3000},
                        "label": r"$m_{t\bar{t}}$",
                        "unit": "GeV",
                    },
                    {
                        "name": "top_jet_pt",
                        "function": analysis.leading_pt,
                        "use": [FAT_JET],
                        "binning": {"bins": 20, "start": 500, "stop": 1500},
                        "label": r"Top jet $p_T$",
                        "unit": "GeV",
                    },
                    {
                        "name": "muon_pt_met",
                        "function": _muon_pt_and_met,
                        "use": [MUON, MET_PT],
                        "axes": [
                            {
                                "name": "muon_pt",
                                "binning": [55, 100, 150, 200, 300, 400, 600, 1000],
                                "label": r"Muon $p_T$",
                                "unit": "GeV",
                            },
                            {
                                "name": "met",
                                "binning": {"bins": 10, "start": 50, "stop": 550},
                                "label": r"$p_T^{miss}$",
                                "unit": "GeV",
                            },
                        ],
                    },
                ],
            },
            {
                "name": "CR_no_top",
                "selection": {"function": _no_top_jet, "use": [FAT_JET, JET]},
                "observables": [
                    {
                        "name": "met",
                        "function": _same,
                        "use": [MET_PT],
                        "binning": {"bins": 30, "start": 50, "stop": 650},
                        "label": r"$p_T^{miss}$",
                        "unit": "GeV",
                    },
                ],
            },
        ],
        "plotting": {
            "signals": ["signal"],
            "order": ["single_top", "wjets", "ttbar_semilep"],
            "labels": {
                "signal": "Z' (2 TeV)",
                "ttbar_semilep": r"$t\bar{t}$",
                "wjets": "W+jets",
                "single_top": "Single top",
                "data": "Data (simulated)",
            },
            "rebin": {"SR/mtt": 2},
            "variations": True,
            "cms_label": "Demo",
        },
    }


def _corrections() -> list[dict[str, Any]]:
    """Return the uncertainties of the demo: nominally nothing is corrected, since the simulation is the truth."""
    varies_with_jets = {"name": "met_jet_energy", "varies_with": "jet_energy"}
    return [
        {
            "name": "jet_energy",
            "type": "object",
            "target": [ObjVar("Jet", "pt"), ObjVar("Jet", "mass")],
            "args": [ObjVar("Jet", "eta"), ObjVar("Jet", "pt")],
            "uncertainty_sources": [
                {"name": "jet_energy", "up_function": analysis.jet_energy_uncertainty, "is_delta": True}
            ],
        },
        {
            "name": "fat_jet_energy",
            "type": "object",
            "target": [ObjVar("FatJet", "pt"), ObjVar("FatJet", "mass")],
            "args": [ObjVar("FatJet", "eta"), ObjVar("FatJet", "pt")],
            "uncertainty_sources": [
                {
                    "name": "fat_jet_energy",
                    "varies_with": "jet_energy",
                    "up_function": analysis.jet_energy_uncertainty,
                    "is_delta": True,
                }
            ],
        },
        {
            "name": "met",
            "type": "object",
            "target": [ObjVar("PuppiMET", "pt"), ObjVar("PuppiMET", "phi")],
            "op": "replace",
            "args": [
                *(ObjVar("PuppiMET", field) for field in ("pt", "phi")),
                *(ObjVar("Jet", field) for field in ("pt", "pt_as_read", "phi")),
            ],
            "uncertainty_sources": [
                {
                    **varies_with_jets,
                    "up_function": analysis.met_of_varied_jets,
                    "down_function": analysis.met_of_varied_jets,
                }
            ],
        },
        {
            "name": "muon_efficiency",
            "type": "event",
            "args": [ObjVar("Muon", "pt"), SYS],
            "nominal_function": analysis.muon_efficiency,
            "nominal_idx": "nominal",
            "reduce": "prod",
            "uncertainty_sources": [{"name": "muon_efficiency", "up_and_down_idx": ["up", "down"]}],
        },
        {
            "name": "luminosity",
            "type": "normalisation",
            "uncertainty_sources": [{"name": "luminosity", "up_and_down_idx": [1.015, 0.985]}],
        },
    ]


def _same(values: Any) -> Any:
    return values


def _no_top_jet(fat_jets: Any, jets: Any) -> dict[str, Any]:
    return {
        "no top jet": count_is(fat_jets, 0),
        "b jet": has_at_least(jets, 1),
    }


def _muon_pt_and_met(muons: Any, met_pt: Any) -> tuple[Any, Any]:
    return muons.pt, met_pt


config = demo_config()
