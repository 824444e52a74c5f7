"""The configurations that are measured: the demo's analysis on files of our own choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak

from intccms.demo import analysis
from intccms.demo.config import demo_config
from intccms.schema import ObjVar, load_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from intccms.schema import Config

__all__ = ["DATASET", "MISSING_MOMENTUM", "analysis_on", "skim_only"]

DATASET = "ttbar_semilep"

MISSING_MOMENTUM = 50.0
"""Threshold of the demo's skim filter [GeV], which a sixth of the events of the measured file pass."""


def analysis_on(
    files: Sequence[str],
    output_dir: Path,
    *,
    chunk_size: int = 20_000,
    missing_momentum: float = MISSING_MOMENTUM,
    muon_pt: float = 55.0,
    collections: Sequence[str] = (),
    output: Mapping[str, Any] | None = None,
    **general: Any,
) -> Config:
    """Return the demo's analysis of one simulated dataset.

    Parameters
    ----------
    files
        Paths, URLs or listings.
    output_dir
        The run directory.
    chunk_size
        Events in a chunk.
    missing_momentum
        Threshold of the skim filter [GeV].
    muon_pt
        Threshold of the baseline selection [GeV]; another one makes all results anew.
    collections
        Further collections that the skim keeps.
    output
        Format and place of skims.
    general
        Further fields of ``general``.
    """
    whole = demo_config()
    skimming = {
        "function": _skim,
        "use": [ObjVar("HLT", "TkMu50"), ObjVar("PuppiMET", "pt"), *map(ObjVar, collections)],
        "static_kwargs": {"threshold": missing_momentum},
        "chunk_size": chunk_size,
        "output": dict(output or {}),
    }
    baseline = {
        "function": _one_muon,
        "use": [ObjVar("Muon")],
        "static_kwargs": {"threshold": muon_pt},
    }
    dataset = {"name": DATASET, "files": list(files), "cross_sections": [34.0]}
    changed = {
        "general": {"lumi": 500.0, "executor": "iterative", "output_dir": output_dir, **general},
        "datasets": {"datasets": [dataset]},
        "preprocess": {"skimming": skimming},
        "baseline_selection": baseline,
        "plotting": {},
    }
    return load_config(whole | changed)


def skim_only(files: Sequence[str], output_dir: Path, *, chunk_size: int) -> Config:
    """Return a configuration with the skim filter and nothing behind it."""
    whole = analysis_on(files, output_dir, chunk_size=chunk_size)
    parts = {name: getattr(whole, name) for name in ("general", "datasets", "preprocess")}
    return load_config({**parts, "channels": [{"name": "all"}]})


def _skim(trigger: Any, met_pt: Any, *_kept: Any, threshold: float) -> dict[str, Any]:
    return {"HLT_TkMu50": trigger, "missing momentum": met_pt > threshold}


def _one_muon(muons: Any, *, threshold: float) -> dict[str, Any]:
    return {
        **analysis.one_muon(muons),
        "muon pt": ak.fill_none(ak.max(muons.pt, axis=1) > threshold, value=False),
    }
