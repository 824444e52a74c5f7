"""Writes small NanoAOD-like files for tests: real bytes, every value a formula of the event number.

What a file must give back (`Written`) is computed here from the formulas with plain Python, never by reading it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot

__all__ = [
    "Written",
    "corrupt_basket",
    "corrupt_row_group",
    "expected_lumis",
    "gen_weight",
    "html_named_root",
    "jet_pts",
    "muon_pts",
    "section_of",
    "theory_weight",
    "truncated_copy",
    "write_nano",
    "write_without_events",
]

EVENTS_PER_SECTION = 10
Runs = Literal["genEventSumw", "genEventSumw_", "only run", "absent"]


@dataclass(frozen=True)
class Written:
    """A file, and what it must be found to hold."""

    path: Path
    entries: int
    generated: int
    """Generated events, as its `Runs` says."""
    sumw: float
    """Sum of genWeight over the generated events."""
    lumis: dict[str, list[list[int]]]
    """Lumi sections of its events."""
    weight_sums: dict[str, list[float]] = field(default_factory=dict)
    """Sums of genWeight times theory weight over the generated events."""

    @property
    def name(self) -> str:
        return str(self.path)


def muon_pts(event: int) -> list[float]:
    """Transverse momenta of the muons of an event [GeV]; events divisible by three have none."""
    return [20.0 + event % 50 + 10 * index for index in range(event % 3)]


def jet_pts(event: int) -> list[float]:
    """Transverse momenta of the jets of an event [GeV]; up to four, and none in one event of five."""
    return [30.0 + event % 70 + 20 * index for index in range(event % 5)]


def gen_weight(event: int) -> float:
    """One event in five has a negative weight, as at NLO."""
    return -1.5 if event % 5 == 0 else 1.5


def theory_weight(event: int, position: int) -> float:
    """One position of a vector of theory weights; that at 4 is 1, as the nominal one of nine scale weights."""
    return 1.0 + (position - 4) * (event % 3) / 8


def section_of(event: int) -> int:
    """Lumi section, counted from 1; event numbers start at 1."""
    return 1 + (event - 1) // EVENTS_PER_SECTION


def expected_lumis(run: int, events: Iterable[int]) -> dict[str, list[list[int]]]:
    """Lumi sections of events of one run as ranges, found by going through a set."""
    sections = sorted({section_of(event) for event in events})
    ranges: list[list[int]] = []
    for section in sections:
        if ranges and section == ranges[-1][1] + 1:
            ranges[-1][1] = section
        else:
            ranges.append([section, section])
    return {str(run): ranges} if ranges else {}


def write_nano(
    path: Path,
    n_events: int = 30,
    *,
    first: int = 1,
    run: int = 1,
    data: bool = False,
    runs: Runs = "genEventSumw",
    lumi_blocks: bool = True,
    n_generated: int | None = None,
    kind: Literal["ttree", "rntuple", "parquet"] = "ttree",
    extra: dict[str, Any] | None = None,
    theory: Mapping[str, int] | None = None,
    theory_in_runs: bool = True,
) -> Written:
    """Write a file and return what it holds.

    Parameters
    ----------
    path
        Where; folders are made.
    n_events, first
        How many events, and the number of the first one.
    run
        Run number of all of them.
    data
        Collision data: no genWeight, and no sums in `Runs`.
    runs
        How `Runs` spells its sums; NanoAOD v6 appends an underscore.
    lumi_blocks
        Whether there is a tree `LuminosityBlocks`.
    n_generated
        Events that `Runs` counts, more than `n_events` for a skim; default: `n_events`.
    kind
        Format of the events.
    extra
        Further event-level branches.
    theory
        Branches of theory weights, such as ``LHEScaleWeight``, and how many there are per event.
    theory_in_runs
        Whether `Runs` holds their sums, if it holds sums.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    events = range(first, first + n_events)
    generated = range(first, first + (n_events if n_generated is None else n_generated))
    flat, jagged = _flat(events, run, data=data) | (extra or {}), _jagged(events)
    jagged |= {name: _theory_weights(events, length) for name, length in (theory or {}).items()}
    weight_sums = {name: _theory_sums(generated, length) for name, length in (theory or {}).items()}
    if kind == "parquet":
        ak.to_parquet(_with_counters(flat, jagged), path)
    else:
        with uproot.recreate(path) as file:
            if kind == "rntuple":
                file.mkrntuple("Events", _with_counters(flat, jagged))
            else:
                _write_tree(file, flat, jagged)
            in_runs = weight_sums if theory_in_runs else {}
            _write_runs(file, "only run" if data and runs != "absent" else runs, run, generated, in_runs)
            if lumi_blocks:
                sections = sorted({section_of(event) for event in generated})
                _write_flat(file, "LuminosityBlocks", _sections(run, sections))
    sumw, lumis = math.fsum(map(gen_weight, generated)), expected_lumis(run, events)
    return Written(path, n_events, len(generated), sumw, lumis, weight_sums)


def _theory_weights(events: range, length: int) -> Any:
    values = [theory_weight(event, position) for event in events for position in range(length)]
    return ak.unflatten(np.array(values, dtype=np.float32), np.full(len(events), length))


def _theory_sums(events: range, length: int) -> list[float]:
    return [
        math.fsum(gen_weight(event) * theory_weight(event, position) for event in events)
        for position in range(length)
    ]


def _flat(events: range, run: int, *, data: bool) -> dict[str, Any]:
    flat = {
        "run": np.full(len(events), run, dtype=np.uint32),
        "luminosityBlock": np.array([section_of(event) for event in events], dtype=np.uint32),
        "event": np.array(events, dtype=np.uint64),
        "MET_pt": np.array([float(event % 100) for event in events], dtype=np.float32),
        "MET_phi": np.zeros(len(events), dtype=np.float32),
    }
    if not data:
        flat["genWeight"] = np.array([gen_weight(event) for event in events], dtype=np.float32)
    return flat


def _jagged(events: range) -> dict[str, Any]:
    """Columns of the collections; those of one collection share its counter."""
    columns: dict[str, Any] = {}
    for name, pts_of in (("Muon", muon_pts), ("Jet", jet_pts)):
        counts = np.array([len(pts_of(event)) for event in events], dtype=np.int64)
        indices = np.array([index for count in counts for index in range(count)], dtype=np.int64)
        fields = {
            "pt": np.array([pt for event in events for pt in pts_of(event)], dtype=np.float32),
            "eta": np.float32(0.1) * indices.astype(np.float32),
            "phi": np.float32(0.5) * indices.astype(np.float32),
            "mass": np.zeros(len(indices), dtype=np.float32),
        }
        if name == "Muon":
            fields["charge"] = (1 - 2 * (indices % 2)).astype(np.int32)
        columns |= {f"{name}_{field}": ak.unflatten(values, counts) for field, values in fields.items()}
    return columns


def _with_counters(flat: dict[str, Any], jagged: dict[str, Any]) -> Any:
    counters = {
        f"n{name}": np.asarray(ak.num(jagged[f"{name}_pt"]), dtype=np.int32) for name in ("Muon", "Jet")
    }
    return ak.zip({**flat, **counters, **jagged}, depth_limit=1)


def _write_tree(file: Any, flat: dict[str, Any], jagged: dict[str, Any]) -> None:
    types = {name: values.dtype for name, values in flat.items()}
    types |= {name: values.type.content for name, values in jagged.items()}
    tree = file.mktree("Events", types, counter_name=lambda branch: "n" + branch.split("_", 1)[0])
    if len(flat["run"]):
        tree.extend({**flat, **jagged})


def _write_runs(
    file: Any, runs: Runs, run: int, generated: range, theory: Mapping[str, list[float]] | None = None
) -> None:
    if runs == "absent":
        return
    columns: dict[str, Any] = {"run": np.array([run], dtype=np.uint32)}
    if runs != "only run":
        mark = runs.removeprefix("genEventSumw")
        weights = [gen_weight(event) for event in generated]
        columns[f"genEventCount{mark}"] = np.array([len(weights)], dtype=np.int64)
        columns[f"genEventSumw{mark}"] = np.array([math.fsum(weights)])
        columns[f"genEventSumw2{mark}"] = np.array([math.fsum(weight**2 for weight in weights)])
        for branch, sums in (theory or {}).items():
            name = f"{branch.removesuffix('Weight')}Sumw{mark}"
            columns[name] = ak.Array([np.array(sums) / math.fsum(weights)])
    _write_flat(file, "Runs", columns)


def _sections(run: int, sections: list[int]) -> dict[str, Any]:
    return {
        "run": np.full(len(sections), run, dtype=np.uint32),
        "luminosityBlock": np.array(sections, dtype=np.uint32),
    }


def _write_flat(file: Any, name: str, columns: dict[str, Any]) -> None:
    types = {
        key: values.dtype if isinstance(values, np.ndarray) else values.type.content
        for key, values in columns.items()
    }
    tree = file.mktree(name, types)
    if len(next(iter(columns.values()))):
        tree.extend(columns)


def write_without_events(path: Path) -> Path:
    """Write a sound ROOT file that holds `Runs` only, as crashed jobs leave behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        _write_runs(file, "genEventSumw", 1, range(1, 4))
    return path


def truncated_copy(source: Path, path: Path, fraction: float = 0.6) -> Path:
    """Write the beginning of a file, as an interrupted transfer leaves it."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def corrupt_basket(path: Path, branch: str, number: int, tree: str = "Events") -> None:
    """Overwrite the content of a basket in place."""
    with uproot.open(path) as file:
        seek = int(file[tree][branch].member("fBasketSeek")[number])
    content = bytearray(path.read_bytes())
    content[seek + 100 : seek + 180] = b"\xff" * 80
    path.write_bytes(bytes(content))


def corrupt_row_group(path: Path, column: str, group: int) -> None:
    """Overwrite the bytes of a column in one row group of a parquet file."""
    facts = pq.read_metadata(path).row_group(group)
    (found,) = [
        facts.column(index)
        for index in range(facts.num_columns)
        if facts.column(index).path_in_schema.split(".")[0] == column
    ]
    begin = found.dictionary_page_offset or found.data_page_offset
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xff" * found.total_compressed_size)


def html_named_root(path: Path) -> Path:
    """Write the page of a login server, which is what a download without a certificate gives."""
    path.write_text("<!DOCTYPE html><html><body>Please log in</body></html>\n" * 40)
    return path
