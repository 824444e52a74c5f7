"""What a skim part costs over the library's own writer and reader called bare, for each format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot
from coffea.nanoevents import NanoEventsFactory

from benchmarks.measure import fastest
from intccms.datasets import SourceFile, open_source
from intccms.datasets.nanoevents import Schema, quiet_schema
from intccms.skimming.flat import flat_columns
from intccms.skimming.formats import format_named
from intccms.skimming.part_files import fetch_part, open_part, write_part
from intccms.utils.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FORMATS", "PART_LINES", "PartCosts", "measure_part_formats"]

FORMATS = ("parquet", "ttree", "rntuple")

_READ = (
    "Muon_pt",
    "Muon_eta",
    "Muon_phi",
    "Muon_mass",
    "Muon_charge",
    "Jet_pt",
    "Jet_eta",
    "Jet_phi",
    "Jet_mass",
)
_READ_FLAT = ("MET_pt", "MET_phi", "genWeight")


@dataclass(frozen=True)
class PartCosts:
    """CPU times of one part [s], the fastest of several repetitions, taken in turn."""

    format: str
    events: int
    columns: int
    memory_bytes: int
    """Of the columns as arrays."""
    file_bytes: int
    write: float
    write_bare: float
    read: float
    """Opening the part, checksum included, and reading a dozen columns as NanoEvents."""
    read_bare: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


PART_LINES = (
    ("format", lambda one: one.format),
    ("events", lambda one: f"{one.events:,}"),
    ("columns", lambda one: f"{one.columns:,}"),
    ("file [MB]", lambda one: f"{one.file_bytes / 1e6:.1f}"),
    ("writing, events per second", lambda one: f"{one.events / one.write:,.0f}"),
    ("writing, MB in memory per second", lambda one: f"{one.memory_bytes / 1e6 / one.write:,.0f}"),
    ("writing, speed over the bare library", lambda one: f"{one.write_bare / one.write:.2f}"),
    ("reading, events per second", lambda one: f"{one.events / one.read:,.0f}"),
    ("reading, speed over the bare library", lambda one: f"{one.read_bare / one.read:.2f}"),
)
"""Lines of the table."""


def measure_part_formats(
    file: Path, folder: Path, *, events: int, columns: int, repeat: int
) -> list[PartCosts]:
    """Return what each format costs.

    Parameters
    ----------
    file
        A file with events, as wide as NanoAOD.
    folder
        A new folder for the parts.
    events, columns
        How many of them go into a part.
    repeat
        Repetitions.
    """
    content = _columns(file, events, columns)
    return [_costs(name, content, folder, repeat) for name in FORMATS]


def _columns(file: Path, events: int, columns: int) -> dict[str, Any]:
    source = open_source(SourceFile(str(file), (str(file),)), "Events")
    counters = {name for name in source.branches if f"n{name[1:]}" == name and name[1:2].isupper()}
    chosen = {"run", "luminosityBlock", "event", *_READ, *_READ_FLAT, *counters} & source.branches
    for name in sorted(source.branches):
        if len(chosen) < columns:
            chosen.add(name)
    stop = min(events, source.entries)
    view = source.events(chosen, 0, stop, {})
    return flat_columns(view, chosen, lambda names: source.arrays(names, 0, stop))


def _costs(name: str, columns: Mapping[str, Any], folder: Path, repeat: int) -> PartCosts:
    form, storage = format_named(name), Storage(str(folder))
    ours, bare = f"ours.{form.extension}", folder / name / f"bare.{form.extension}"
    bare.parent.mkdir(parents=True)
    written = write_part(form, [columns], storage, f"{name}/{ours}", {})
    write = write_bare = read = read_bare = float("inf")

    def write_ours() -> None:
        nonlocal written
        written = write_part(form, [columns], storage, f"{name}/{ours}", {})

    def read_ours() -> None:
        part = f"{name}/{ours}"
        source = open_part(form, fetch_part(storage, part, written), storage.url(part), written)
        _touch(source.events(set(columns), 0, events, {}))

    events = len(columns["event"])
    for _ in range(repeat):  # in turn, so that a busy moment of the machine meets both
        write_bare = min(write_bare, fastest(lambda: _write_bare(name, columns, bare), 1))
        write = min(write, fastest(write_ours, 1))
        read_bare = min(read_bare, fastest(lambda: _touch(_read_bare(name, bare)), 1))
        read = min(read, fastest(read_ours, 1))
    memory = sum(values.nbytes for values in columns.values())
    return PartCosts(name, events, len(columns), memory, written.size, write, write_bare, read, read_bare)


def _touch(events: Any) -> None:
    for name in _READ:
        collection, _, field = name.partition("_")
        ak.materialize(events[collection][field])
    for name in _READ_FLAT:
        collection, _, field = name.partition("_")
        ak.materialize(events[collection][field] if field else events[collection])


def _write_bare(name: str, columns: Mapping[str, Any], path: Path) -> None:
    if name == "parquet":
        ak.to_parquet(
            ak.zip(dict(columns), depth_limit=1),
            str(path),
            compression="zstd",
            compression_level=5,
            extensionarray=False,
            parquet_byte_stream_split=True,
        )
        return
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        if name == "rntuple":
            file.mkrntuple("Events", dict(columns))
            return
        counted = {f"n{one.partition('_')[0]}" for one, values in columns.items() if values.ndim > 1}
        types = {
            one: np.asarray(values).dtype if values.ndim == 1 else values.type.content
            for one, values in columns.items()
            if one not in counted
        }
        tree = file.mktree("Events", types, counter_name=lambda one: f"n{one.partition('_')[0]}")
        tree.extend(
            {one: values if values.ndim > 1 else np.asarray(values) for one, values in columns.items()}
        )


def _read_bare(name: str, path: Path) -> Any:
    with quiet_schema():
        if name == "parquet":
            return NanoEventsFactory.from_parquet(str(path), schemaclass=Schema, metadata={}).events()
        return NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Schema, metadata={}).events()
