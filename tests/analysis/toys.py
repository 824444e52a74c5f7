"""Random events with full collections, a configuration that analyses them, and the same analysis in plain loops.

The loops (`expected_sums`) work on the numbers that were drawn, never on the files, and use NumPy's histograms.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Toy", "dataset", "expected_sums", "toy_config", "write_toy", "write_toys"]

JET_EDGES = [30.0, 60.0, 100.0, 200.0, 400.0]
MET_EDGES = [0.0, 40.0, 80.0, 300.0]
HT_BINS = {"bins": 8, "start": 0.0, "stop": 800.0}


@dataclass(frozen=True)
class Toy:
    """A file and what was drawn for it."""

    path: Path
    columns: dict[str, Any]
    generated_sumw: float
    """What its `Runs` says: more than the events in the file have."""

    @property
    def weights(self) -> np.ndarray:
        """genWeight in double precision; ones for data."""
        return np.asarray(self.columns.get("genWeight", np.ones(len(self))), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.columns["event"])


def write_toy(
    path: Path,
    n_events: int,
    seed: int = 1,
    *,
    data: bool = False,
    triggers: tuple[str, ...] = ("IsoMu24",),
    generated_sumw: float | None = None,
    extra: dict[str, Any] | None = None,
) -> Toy:
    """Write a file of random events; the weights of simulation are irregular, and some are negative."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "run": np.full(n_events, 278_900, dtype=np.uint32),
        "luminosityBlock": (1 + np.arange(n_events) // 20).astype(np.uint32),
        "event": np.arange(n_events, dtype=np.uint64) + 1_000 * seed,
        "MET_pt": rng.exponential(50, n_events).astype(np.float32),
        "MET_phi": rng.uniform(-3, 3, n_events).astype(np.float32),
        **{f"HLT_{name}": rng.random(n_events) < 0.8 for name in triggers},
        **(extra or {}),
    }
    if not data:
        sign = np.where(rng.random(n_events) < 0.2, -1.0, 1.0)
        columns["genWeight"] = (sign * rng.lognormal(0.0, 0.7, n_events)).astype(np.float32)
    jagged = {**_collection(rng, "Muon", n_events, 35.0), **_collection(rng, "Jet", n_events, 70.0)}
    columns |= jagged
    toy = Toy(path, columns, math.nan)
    total = 2.5 * math.fsum(toy.weights) if generated_sumw is None else generated_sumw
    _write(path, columns, None if data else total)
    return Toy(path, columns, total)


def _collection(rng: np.random.Generator, name: str, n_events: int, scale: float) -> dict[str, Any]:
    counts = rng.integers(0, 4, n_events)
    total = int(counts.sum())
    flat = {
        "pt": rng.exponential(scale, total).astype(np.float32),
        "eta": rng.normal(0, 1.5, total).astype(np.float32),
        "phi": rng.uniform(-3, 3, total).astype(np.float32),
        "mass": np.full(total, 0.1, dtype=np.float32),
        "charge": rng.choice(np.array([-1, 1], dtype=np.int32), total),
    }
    return {f"{name}_{key}": ak.unflatten(values, counts) for key, values in flat.items()}


def _write(path: Path, columns: dict[str, Any], sumw: float | None) -> None:
    types = {
        name: values.dtype if isinstance(values, np.ndarray) else f"var * {values.type.content.content}"
        for name, values in columns.items()
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types, counter_name=lambda branch: "n" + branch.split("_", 1)[0])
        for start in range(0, len(columns["event"]), 90):  # several baskets, of which a chunk cuts some
            tree.extend({name: values[start : start + 90] for name, values in columns.items()})
        runs = {"run": np.array([278_900], dtype=np.uint32)}
        if sumw is not None:
            runs |= {"genEventSumw": np.array([sumw]), "genEventCount": np.array([len(columns["event"])])}
        file.mktree("Runs", {name: values.dtype for name, values in runs.items()}).extend(runs)


def dataset(name: str, *toys: Toy, xsec: float | None = 10.0, **more: Any) -> dict[str, Any]:
    """Return the configuration of a dataset; cross-section None is for data."""
    kind = {"is_data": True} if xsec is None else {"cross_sections": [xsec]}
    return {"name": name, "files": [str(toy.path) for toy in toys], **kind, **more}


def some_met(met: Any) -> dict[str, Any]:
    """Skim."""
    return {"MET > 20 GeV": met > 20}


def good(objects: Any, pt: float) -> Any:
    """Object mask."""
    return (objects.pt > pt) & (abs(objects.eta) < 2.4)


def at_least_one(objects: Any) -> Any:
    """Baseline."""
    return ak.num(objects) >= 1


def scalar_sum(objects: Any) -> Any:
    """Ghost."""
    return ak.sum(objects.pt, axis=1)


def triggered_with_jets(trigger: Any, jets: Any) -> dict[str, Any]:
    """Selection of the signal region."""
    return {"trigger": trigger, "two jets": ak.num(jets) >= 2}


def jet_pt_and_met(jets: Any, met: Any) -> tuple[Any, Any]:
    """Two-dimensional observable: jagged and flat."""
    return jets.pt, met


def ht_if_any(ht: Any) -> Any:
    """None where there is no jet."""
    return ak.mask(ht, ht > 0)


def raises_for(events: Any, number: int, values: Any) -> Any:
    """Raise in the chunk that holds an event."""
    if number in np.asarray(events).tolist():
        message = f"event {number} is beyond me"
        raise RuntimeError(message)
    return values


def observable_that_raises(values: Any, events: Any, number: int) -> Any:
    """Return the values, but for one chunk."""
    return raises_for(events, number, values)


def observable_that_kills(values: Any, events: Any, number: int) -> Any:
    """Return the values, but for one chunk, whose process ends at once."""
    if number in np.asarray(events).tolist():
        os._exit(1)
    return values


def nan_for_low(values: Any) -> Any:
    """NaN below 60 GeV."""
    return np.where(np.asarray(values) < 60, np.nan, np.asarray(values))


def write_toys(folder: Path) -> dict[str, list[Toy]]:
    """Write two files of simulation, one of another dataset, one of data."""
    return {
        "tt": [write_toy(folder / "tt_0.root", 450, 1), write_toy(folder / "tt_1.root", 230, 2)],
        "dy": [write_toy(folder / "dy_0.root", 310, 3)],
        "data": [write_toy(folder / "data_0.root", 260, 4, data=True)],
    }


def toy_config(datasets: list[dict[str, Any]], output: Path, *, chunk_size: int = 100, **general: Any) -> Any:
    """Return an analysis with everything in it: skim, masks, baseline, ghost, two channels, jagged observables."""
    muon, jet, met = ("Muon", None), ("Jet", None), ("MET", "pt")
    return {
        "general": {"lumi": 50.0, "executor": "iterative", "output_dir": str(output), **general},
        "datasets": {"datasets": datasets},
        "preprocess": {"skimming": {"function": some_met, "use": [met], "chunk_size": chunk_size}},
        "good_object_masks": [
            {"collection": "Muon", "function": good, "use": [muon], "static_kwargs": {"pt": 15.0}},
            {"collection": "Jet", "function": good, "use": [jet], "static_kwargs": {"pt": 30.0}},
        ],
        "baseline_selection": {"function": at_least_one, "use": [muon]},
        "ghost_observables": [{"names": "ht", "function": scalar_sum, "use": [jet]}],
        "channels": [
            {
                "name": "SR",
                "selection": {"function": triggered_with_jets, "use": [("event", "HLT_IsoMu24"), jet]},
                "observables": [
                    {
                        "name": "jet_met",
                        "function": jet_pt_and_met,
                        "use": [jet, met],
                        "axes": [
                            {"name": "jet", "binning": JET_EDGES},
                            {"name": "met", "binning": MET_EDGES},
                        ],
                    }
                ],
            },
            {
                "name": "all",
                "observables": [
                    {"name": "ht", "function": ht_if_any, "use": [("event", "ht")], "binning": HT_BINS},
                ],
            },
        ],
        "plotting": {"formats": ["svg"]},
    }


def _with_flow(edges: list[float]) -> np.ndarray:
    return np.array([-np.inf, *edges, np.inf])


def expected_sums(toys: list[Toy], chosen: Any = lambda toy, index: True) -> dict[str, Any]:
    """Return sums of weights (and of 1) of the analysis of `toy_config`, from a loop over events.

    Parameters
    ----------
    toys
        Files.
    chosen
        Called with file and event index; False leaves the event out, as if it had not been read.
    """
    rows: dict[str, list[tuple[float, ...]]] = {"jet_met": [], "ht": []}
    steps = {name: [0, 0.0] for name in ("all", "MET > 20 GeV", "baseline_selection", "trigger", "two jets")}

    def left(step: str, weight: float) -> None:
        steps[step][0] += 1
        steps[step][1] += weight

    for toy in toys:
        columns = {name: values.tolist() for name, values in toy.columns.items()}
        weights = toy.weights.tolist()
        for index in range(len(toy)):
            if not chosen(toy, index):
                continue
            weight, met = weights[index], columns["MET_pt"][index]
            left("all", weight)
            if not met > 20:
                continue
            left("MET > 20 GeV", weight)
            if not _kept(columns, "Muon", index, 15.0):
                continue
            left("baseline_selection", weight)
            jets = _kept(columns, "Jet", index, 30.0)
            if jets:
                # the analysis adds up in single precision, as the branch is
                rows["ht"].append((float(np.sum(np.array(jets, dtype=np.float32), dtype=np.float32)), weight))
            if columns.get("HLT_IsoMu24", [False] * len(toy))[index]:
                left("trigger", weight)
                if len(jets) >= 2:
                    left("two jets", weight)
                    rows["jet_met"] += [(jet, met, weight) for jet in jets]
    ht_edges = np.linspace(HT_BINS["start"], HT_BINS["stop"], HT_BINS["bins"] + 1).tolist()
    return {
        "ht": _histogram(rows["ht"], [ht_edges]),
        "jet_met": _histogram(rows["jet_met"], [JET_EDGES, MET_EDGES]),
        "steps": {name: (entries, sumw) for name, (entries, sumw) in steps.items()},
    }


def _kept(columns: dict[str, Any], name: str, index: int, pt: float) -> list[float]:
    pairs = zip(columns[f"{name}_pt"][index], columns[f"{name}_eta"][index], strict=True)
    return [one for one, eta in pairs if one > pt and abs(eta) < 2.4]


def _histogram(rows: list[tuple[float, ...]], edges: list[list[float]]) -> dict[str, np.ndarray]:
    table = np.array(rows, dtype=np.float64).reshape(-1, len(edges) + 1)
    bins = [_with_flow(one) for one in edges]
    return {
        name: np.histogramdd(table[:, :-1], bins, weights=weights)[0]
        for name, weights in (
            ("sumw", table[:, -1]),
            ("sumw2", table[:, -1] ** 2),
            ("entries", np.ones(len(table))),
            ("sum of |w|", np.abs(table[:, -1])),
        )
    }
