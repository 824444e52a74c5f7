"""What the demo's selection keeps, counted with plain NumPy from the columns that are written.

This is a second implementation of the selection on purpose: it shares no code with the cuts and observables
of the demo's configuration, so that their agreement means something. The selection is that of the CMS Open
Data Workshop 2024 for a resonance in t tbar -> muon + jets:

- ``HLT_TkMu50``;
- exactly one muon with pt > 55 GeV, abs(eta) < 2.4, ``tightId``, ``miniIsoId > 1`` and
  pt + ``PuppiMET_pt`` > 150 GeV;
- exactly one fat jet with pt > 500 GeV and ``particleNet_TvsQCD > 0.5``;
- at least one jet with ``btagDeepB > 0.5`` and ``jetId >= 4``;
- ``PuppiMET_pt`` > 50 GeV;
- for data, a luminosity section of the golden JSON.

Each (muon, fat jet, b jet) of a selected event is one candidate and has the event's weight. Its m(tt) is the
mass of muon + fat jet + b jet + missing momentum, the latter with eta = 0 and mass = 0.

The float32 columns are computed with in float64; a program that computes in float32 may put values within
rounding of a cut or of a bin edge on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.demo.columns import Collection, EventColumns

__all__ = ["MTT_BINS", "MTT_EDGES", "MTT_HIGH", "MTT_LOW", "SelectionCounts", "count_selected"]

type Floats = npt.NDArray[np.float64]
type Bools = npt.NDArray[np.bool_]
type Index = npt.NDArray[np.intp]

MTT_BINS, MTT_LOW, MTT_HIGH = 50, 0.0, 3000.0  # GeV
MTT_EDGES = np.linspace(MTT_LOW, MTT_HIGH, MTT_BINS + 1)

_NO_ENTRIES = (0,) * MTT_BINS
_NO_WEIGHT = (0.0,) * MTT_BINS


@dataclass(frozen=True, slots=True)
class SelectionCounts:
    """What the demo's selection keeps of some events; counts of disjoint events can be added.

    Parameters
    ----------
    events
        Selected events.
    sumw
        Sum of ``genWeight`` over selected events, each counted once, with its sign; for data the events.
    candidates
        Entries of m(tt), overflow included.
    mtt_entries
        Unweighted entries in 50 bins of m(tt) from 0 to 3000 GeV.
    mtt_sumw
        Sum of ``genWeight`` over entries, in the same bins.
    overflow_entries, overflow_sumw
        The same above 3000 GeV.
    by_origin
        Selected events by the process that made them; for simulation a single one.
    """

    events: int = 0
    sumw: float = 0.0
    candidates: int = 0
    mtt_entries: tuple[int, ...] = _NO_ENTRIES
    mtt_sumw: tuple[float, ...] = _NO_WEIGHT
    overflow_entries: int = 0
    overflow_sumw: float = 0.0
    by_origin: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: SelectionCounts) -> SelectionCounts:
        origins = sorted({*self.by_origin, *other.by_origin})
        return SelectionCounts(
            events=self.events + other.events,
            sumw=self.sumw + other.sumw,
            candidates=self.candidates + other.candidates,
            mtt_entries=tuple(a + b for a, b in zip(self.mtt_entries, other.mtt_entries, strict=True)),
            mtt_sumw=tuple(a + b for a, b in zip(self.mtt_sumw, other.mtt_sumw, strict=True)),
            overflow_entries=self.overflow_entries + other.overflow_entries,
            overflow_sumw=self.overflow_sumw + other.overflow_sumw,
            by_origin={name: self.by_origin.get(name, 0) + other.by_origin.get(name, 0) for name in origins},
        )

    @classmethod
    def total(cls, parts: Iterable[SelectionCounts]) -> SelectionCounts:
        """Return the sum of any number of counts, of none the empty one."""
        return sum(parts, cls())


def _only_one(index: npt.NDArray[np.int64], good: Bools, n_events: int) -> tuple[Bools, Index]:
    """Return which events have exactly one good object, and its position where they do."""
    number = np.bincount(index[good], minlength=n_events)
    position = np.zeros(n_events, dtype=np.intp)
    position[index[good]] = np.flatnonzero(good)
    return number == 1, position


def _good_muons(muons: Collection, index: npt.NDArray[np.int64], met: Floats) -> Bools:
    f = muons.fields
    pt = f["pt"].astype(np.float64)
    good = (pt > 55.0) & (np.abs(f["eta"]) < 2.4) & f["tightId"] & (f["miniIsoId"] > 1)
    return np.asarray(good & (pt + met[index] > 150.0))


def _four_vector(collection: Collection, rows: Index) -> Floats:
    pt, eta, phi, mass = (collection.fields[k][rows].astype(np.float64) for k in ("pt", "eta", "phi", "mass"))
    pz = pt * np.sinh(eta)
    return np.array([pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)])


def _candidate_masses(columns: EventColumns, event: Index, muon: Index, top: Index, b_jet: Index) -> Floats:
    met = columns.flat["PuppiMET_pt"][event].astype(np.float64)
    met_phi = columns.flat["PuppiMET_phi"][event].astype(np.float64)
    missing = np.array([met * np.cos(met_phi), met * np.sin(met_phi), np.zeros_like(met), met])
    objects = columns.collections
    px, py, pz, energy = (
        _four_vector(objects["Muon"], muon)
        + _four_vector(objects["FatJet"], top)
        + _four_vector(objects["Jet"], b_jet)
        + missing
    )
    return np.asarray(np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0)))


def count_selected(
    columns: EventColumns, *, mask: Bools | None = None, origin: npt.NDArray[Any], names: tuple[str, ...]
) -> SelectionCounts:
    """Count what the demo's selection keeps of these events.

    Parameters
    ----------
    columns
        Columns as written; without ``genWeight`` every event weighs 1.
    mask
        Events to consider, shape ``(n_events,)``; all for ``None``.
    origin
        Position in ``names`` of the process that made each event, shape ``(n_events,)``.
    names
        Processes by position.
    """
    n = len(columns)
    met = columns.flat["PuppiMET_pt"].astype(np.float64)
    muons, fat_jets, jets = (columns.collections[k] for k in ("Muon", "FatJet", "Jet"))
    one_muon, muon = _only_one(muons.event_index(), _good_muons(muons, muons.event_index(), met), n)
    top_like = (fat_jets.fields["pt"] > 500.0) & (fat_jets.fields["particleNet_TvsQCD"] > 0.5)
    one_top, top = _only_one(fat_jets.event_index(), top_like, n)
    passes = columns.flat["HLT_TkMu50"] & one_muon & one_top & (met > 50.0)
    if mask is not None:
        passes &= mask
    jet_event = jets.event_index()
    is_b = (jets.fields["btagDeepB"] > 0.5) & (jets.fields["jetId"] >= 4)
    b_jet = np.flatnonzero(is_b & passes[jet_event])
    event = jet_event[b_jet]
    selected = np.unique(event)

    weight = np.asarray(columns.flat.get("genWeight", np.ones(n)), dtype=np.float64)
    mtt = _candidate_masses(columns, event, muon[event], top[event], b_jet)
    above = mtt >= MTT_HIGH
    # half-open bins: np.histogram would count 3000 GeV itself into the last one
    bins = np.floor(mtt[~above] * (MTT_BINS / MTT_HIGH)).astype(np.int64)
    return SelectionCounts(
        events=int(selected.size),
        sumw=float(weight[selected].sum()),
        candidates=int(mtt.size),
        mtt_entries=tuple(np.bincount(bins, minlength=MTT_BINS).tolist()),
        mtt_sumw=tuple(np.bincount(bins, weights=weight[event][~above], minlength=MTT_BINS).tolist()),
        overflow_entries=int(above.sum()),
        overflow_sumw=float(weight[event][above].sum()),
        by_origin=dict(zip(names, np.bincount(origin[selected], minlength=len(names)).tolist(), strict=True)),
    )
