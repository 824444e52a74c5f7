"""A NanoAOD-like file whose objects point at each other, with columns of every type, from drawn numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot

from intccms.datasets import SourceFile
from intccms.datasets.sources import EventSource, open_source

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Linked", "selecting", "write_linked"]

VECTOR = ("pt", "eta", "phi", "mass")


@dataclass(frozen=True)
class Linked:
    """A file, and the columns drawn for it."""

    path: Path
    columns: dict[str, Any]

    def open(self) -> EventSource:
        """Open it as the package does."""
        return open_source(SourceFile(str(self.path), (str(self.path),)), "Events")


def selecting(source: EventSource, mask: Any) -> Any:
    """Return what reads branches for the selected events, and notes which ones in its attribute `asked`."""

    def read(names: Any) -> dict[str, Any]:
        read.asked.extend(names)
        return {name: values[mask] for name, values in source.arrays(names, 0, source.entries).items()}

    read.asked = []
    return read


def write_linked(path: Path, n_events: int = 60, seed: int = 3) -> Linked:
    """Write muons, jets, their generator jets, large jets with subjets, weights of scales, and flat columns."""
    rng = np.random.default_rng(seed)
    names = ("Muon", "Jet", "GenJet", "FatJet", "SubJet", "GenPart")
    counts = {name: rng.integers(0, 4, n_events) for name in names}

    def per_object(name: str, values: Any) -> Any:
        return ak.unflatten(values, counts[name])

    def total(name: str) -> int:
        return int(counts[name].sum())

    def index(name: str, target: str, dtype: Any = np.int32) -> Any:
        limits = np.repeat(counts[target], counts[name])
        return per_object(name, (rng.integers(-1, 1_000, total(name)) % (limits + 1) - 1).astype(dtype))

    columns: dict[str, Any] = {
        "run": np.full(n_events, 1, dtype=np.uint32),
        "luminosityBlock": (1 + np.arange(n_events) // 10).astype(np.uint32),
        "event": np.arange(n_events, dtype=np.uint64) + 2**40,
        "genWeight": rng.normal(0, 1, n_events).astype(np.float32),
        "MET_pt": rng.exponential(50, n_events).astype(np.float32),
        "MET_phi": rng.uniform(-3, 3, n_events).astype(np.float32),
        "PV_npvs": rng.integers(0, 60, n_events).astype(np.uint8),
        "Generator_x1": rng.random(n_events),
        "HLT_IsoMu24": rng.random(n_events) < 0.5,
    }
    jagged: dict[str, Any] = {
        f"{name}_{field}": per_object(name, rng.exponential(40, total(name)).astype(np.float32))
        for name in counts
        for field in VECTOR
    }
    jagged |= {
        "Muon_charge": per_object("Muon", rng.choice(np.array([-1, 1], dtype=np.int32), total("Muon"))),
        "Muon_jetIdx": index("Muon", "Jet", np.int16),
        "Muon_tightId": per_object("Muon", rng.random(total("Muon")) < 0.5),
        "Jet_genJetIdx": index("Jet", "GenJet"),
        "Jet_jetId": per_object("Jet", rng.integers(0, 7, total("Jet")).astype(np.uint8)),
        # NanoEvents set it to zero: the source must be asked
        "Jet_charge": per_object("Jet", rng.normal(0, 1, total("Jet")).astype(np.float32)),
        # without it coffea takes a file for data, and makes no references to generated objects
        "GenPart_pdgId": per_object("GenPart", rng.integers(-25, 26, total("GenPart")).astype(np.int32)),
        "FatJet_subJetIdx1": index("FatJet", "SubJet"),
        "FatJet_subJetIdx2": index("FatJet", "SubJet"),
        "LHEScaleWeight": ak.unflatten(rng.random(9 * n_events).astype(np.float32), np.full(n_events, 9)),
    }
    types = {name: values.dtype for name, values in columns.items()}
    types |= {name: values.type.content for name, values in jagged.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types, counter_name=lambda branch: "n" + branch.split("_", 1)[0])
        tree.extend({**columns, **jagged})
    counters = {f"n{name}": values.astype(np.int32) for name, values in counts.items()}
    counters["nLHEScaleWeight"] = np.full(n_events, 9, dtype=np.int32)
    return Linked(path, {**columns, **jagged, **counters})
