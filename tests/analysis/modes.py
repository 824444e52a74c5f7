"""The toys in the workflow modes: switches, and an analysis whose skim counts its calls."""

from __future__ import annotations

import json

import pytest

from intccms.analysis import AnalysisRunner
from intccms.schema import load_config
from tests.analysis.breaking import assert_same_bits, bits, calls_in, counted_skim, datasets_of
from tests.analysis.toys import toy_config

__all__ = [
    "ANEW_IN_ONE_PASS",
    "CHUNKS",
    "FORMATS",
    "ONE_PASS",
    "ON_SKIMS",
    "ON_THE_FLY",
    "SKIM_ONLY",
    "SKIM_THEN_ANALYSE",
    "Analysis",
    "analysis_in",
    "modes_agree",
    "pack",
]

FORMATS = ["parquet", pytest.param("ttree", marks=pytest.mark.slow), "rntuple"]

CHUNK_SIZE = 90
CHUNKS = {"tt": 8, "dy": 4, "data": 3}

ON_THE_FLY = {}
ONE_PASS = {"save_skimmed_output": True}
SKIM_ONLY = {"save_skimmed_output": True, "run_analysis": False}
ON_SKIMS = {"use_skimmed_input": True}
SKIM_THEN_ANALYSE = {"run_skimming": True, "use_skimmed_input": True}
ANEW_IN_ONE_PASS = {"run_skimming": True, "save_skimmed_output": True}


class Analysis:
    """The toys, whose skim counts its calls, in one run directory after the other."""

    def __init__(self, toys, folder):
        self.toys, self.folder, self.calls = toys, folder, folder / "calls"
        self.skims = folder / "skims"
        self.config = toy_config(datasets_of(toys), folder / "unused", chunk_size=CHUNK_SIZE)
        self.config["general"]["skimmed_dir"] = str(self.skims)
        self.config["preprocess"]["skimming"] |= {
            "function": counted_skim,
            "use": [("MET", "pt"), ("event", "event")],
            "static_kwargs": {"calls": str(self.calls)},
        }

    def run(self, switches, output="out", **more):
        """Run everything but the plots, and return the result and how often the skim was called."""
        before = len(calls_in(self.calls))
        general = {**self.config["general"], "output_dir": str(self.folder / output), **switches, **more}
        runner = AnalysisRunner(load_config({**self.config, "general": general}), progress=False)
        if switches.get("use_skimmed_input") and switches.get("run_skimming"):
            runner.skim()
        analyses = switches.get("run_analysis", True) and more.get("analysis") != "skip"
        result = runner.histogram() if analyses else runner.skim()
        return result, len(calls_in(self.calls)) - before

    def manifest(self, name="tt"):
        return json.loads((self.skims / name / "manifest.json").read_text())

    def parts(self, name="tt"):
        return sorted((self.skims / name).rglob("*.parquet"))


def analysis_in(form, toys, folder):
    """Return the analysis with skims of a format."""
    analysis = Analysis(toys, folder)
    analysis.config["preprocess"]["skimming"]["output"] = {"format": form}
    return analysis


def pack(analysis, events):
    """Put parts together into files of so many events, and return the numbers of files before and after."""
    general = {**analysis.config["general"], "output_dir": str(analysis.folder / "out")}
    runner = AnalysisRunner(load_config({**analysis.config, "general": general}), progress=False)
    return {one.dataset: (one.before, one.after) for one in runner.pack_skim(events=events)}


def modes_agree(config, folder):
    """Run all modes, each in a directory and with a ledger of its own, and compare their bits."""
    runs = {"direct": ON_THE_FLY, "one pass": ONE_PASS, "skims": ON_SKIMS, "anew": SKIM_THEN_ANALYSE}
    for name, switches in runs.items():
        settings = {
            **config["general"],
            **switches,
            "executor": "iterative",
            "output_dir": str(folder / name),
            "skimmed_dir": str(folder / "skims"),
            "metadata_dir": str(folder / "metadata"),
        }
        runner = AnalysisRunner(load_config({**config, "general": settings}), progress=False)
        if name == "anew":
            runner.skim()
        result = runner.histogram()
        assert result.succeeded, name
        assert_same_bits(bits(folder / name), bits(folder / "direct"))
    return result
