"""Puts the parts of the configuration together, and says how its plots look."""

from __future__ import annotations

from typing import Any

from intccms.schema import ObjVar

from .cuts import BASELINE, CHANNELS, SKIM
from .datasets import dataset_entries
from .eras import ERAS
from .objects import BRANCHES, OBJECT_MASKS
from .observables import GHOSTS, OBSERVABLES, TOP_JET_MASS
from .systematics import corrections

__all__ = ["config"]


def channel(name: str, selection: Any) -> dict[str, Any]:
    """Return a channel with its observables."""
    return {
        "name": name,
        "selection": {
            "function": selection,
            "use": [ObjVar("Jet"), ObjVar("FatJet"), ObjVar("event", "chi2")],
        },
        "observables": OBSERVABLES if name == "SR_0t" else [*OBSERVABLES, TOP_JET_MASS],
    }


config: dict[str, Any] = {
    "general": {
        "lumi": {year: era.luminosity for year, era in ERAS.items()},
        "executor": "dask",
        "output_dir": "outputs/cms",
    },
    "datasets": {"datasets": dataset_entries()},
    "preprocess": {"skimming": SKIM, "branches": BRANCHES},
    "corrections": corrections,
    "good_object_masks": OBJECT_MASKS,
    "baseline_selection": BASELINE,
    "ghost_observables": GHOSTS,
    "channels": [channel(name, selection) for name, selection in CHANNELS.items()],
    "plotting": {
        "signals": ["signal"],
        "signal_scale": 10,
        "order": ["diboson", "dyjets", "single_top", "wjets", "ttbar_had", "ttbar_lep", "ttbar_semilep"],
        "labels": {
            "signal": "Z' (2 TeV, 10 % width)",
            "ttbar_semilep": r"$t\bar{t}$, one lepton",
            "ttbar_lep": r"$t\bar{t}$, two leptons",
            "ttbar_had": r"$t\bar{t}$, no lepton",
            "wjets": "W+jets",
            "dyjets": "Drell-Yan",
            "single_top": "Single top",
            "diboson": "WW, WZ, ZZ",
            "data": "Data",
        },
        "y_scale": "log",
    },
}
"""The analysis; ``intccms run example_cms`` runs it."""
