"""A small configuration with one of each thing, for tests to change."""

from __future__ import annotations

from typing import Any

__all__ = ["above", "add", "analysis_of", "minimal", "same"]


def above(values: Any, cut: float = 50.0) -> Any:
    """Return which values lie above a cut."""
    return values > cut


def same(values: Any) -> Any:
    """Return what is given."""
    return values


def add(first: Any, second: Any) -> Any:
    """Return a sum."""
    return first + second


def minimal() -> dict[str, Any]:
    """Return a valid configuration: two datasets, a skim, a mask, a ghost, two channels, three observables."""
    met = ("MET", "pt")
    return {
        "general": {"lumi": 1000.0},
        "datasets": {
            "datasets": [
                {"name": "tt", "process": "ttbar", "files": ["tt.root"], "cross_sections": [831.76]},
                {"name": "data", "files": ["data.root"], "is_data": True},
            ],
        },
        "preprocess": {"skimming": {"function": above, "use": [met]}},
        "good_object_masks": [{"collection": "Muon", "function": above, "use": [("Muon", "pt")]}],
        "ghost_observables": [{"names": "ht", "function": add, "use": [met, met]}],
        "channels": [
            {
                "name": "SR",
                "selection": {"function": above, "use": [met], "static_kwargs": {"cut": 100.0}},
                "observables": [
                    {
                        "name": "met",
                        "function": same,
                        "use": [met],
                        "binning": {"bins": 10, "start": 0, "stop": 100},
                        "unit": "GeV",
                    },
                    {
                        "name": "met_ht",
                        "function": add,
                        "use": [met, ("event", "ht")],
                        "axes": [{"name": "x", "binning": [0, 1, 2]}, {"name": "y", "binning": [0, 5]}],
                    },
                ],
            },
            {
                "name": "CR",
                "observables": [
                    {"name": "met", "function": same, "use": [met], "binning": [0.0, 10.0, 50.0]}
                ],
            },
        ],
        "plotting": {"labels": {"ttbar": "tt"}},
    }


def analysis_of(datasets: list[dict[str, Any]], **general: Any) -> dict[str, Any]:
    """Return the configuration of a run over given datasets, which keeps every event."""
    observable = {"name": "met", "function": same, "use": [("MET", "pt")], "binning": [0.0, 50.0, 100.0]}
    return {
        "general": {"lumi": 1000.0, "executor": "iterative", **general},
        "datasets": {"datasets": datasets},
        "channels": [{"name": "all", "observables": [observable]}],
    }
