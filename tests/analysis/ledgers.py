"""Datasets without files, chunks with drawn contents, and their sums from plain loops: for tests of the ledger.

The sums differ by many orders of magnitude and in sign, so that the order of additions shows in the last bits.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.analysis.chunks import files_of
from intccms.analysis.ledger import DatasetPlan, Unit
from intccms.analysis.ledger.records import encode, record_of
from intccms.analysis.results import DatasetSums
from intccms.histograms import Sums
from intccms.metadata import DatasetMetadata, FileMetadata
from intccms.schema import load_config
from intccms.selection import Cutflow
from tests.configurations import analysis_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from intccms.analysis.ledger import Ledger
    from intccms.analysis.results import Chunk, Work

__all__ = ["STEP", "commit", "drawn", "expected", "metadata_of", "plan_of", "units_of"]

STEP = 50
"""Entries of a chunk."""

SHAPES = {"x": (7,), "xy": (2, 3)}
"""Observables of every channel."""


def units_of(**definitions: str) -> dict[str, Unit]:
    """Return channels, each with one part that stands for all that reaches it."""
    return {name: Unit(name, {"selection": definition}) for name, definition in definitions.items()}


def metadata_of(
    entries: Sequence[int | None],
    *,
    name: str = "tt",
    data: bool = False,
    uuids: Sequence[str] | None = None,
    lumis: Sequence[dict[str, list[list[int]]]] | None = None,
    sumw: Sequence[float] | None = None,
    sumw_from: Any = "Runs",
) -> DatasetMetadata:
    """Return the facts of files with these entries; None is a file that cannot be read."""
    kind: dict[str, Any] = {"is_data": True} if data else {"cross_sections": [2.0]}
    config = load_config(analysis_of([{"name": name, "files": ["x"], **kind}]))
    files = [
        FileMetadata(
            f"{name}{index}.root",
            (f"{name}{index}.root",),
            error="gone" if count is None else None,
            uuid=uuids[index] if uuids else f"uuid {name} {index}",
            size=1000,
            entries=count,
            sumw=None if data or count is None else sumw[index] if sumw else float(count),
            sumw_from=None if data else sumw_from,
            lumis=lumis[index] if lumis else {},
        )
        for index, count in enumerate(entries)
    ]
    return DatasetMetadata(config.selected_datasets()[0], tuple(files))


def plan_of(metadata: DatasetMetadata, units: dict[str, Unit], *, size: int = STEP) -> DatasetPlan:
    """Return what a run with these channels wants."""
    return DatasetPlan(metadata, list(files_of(metadata, size)), units)


def drawn(chunk: Chunk, units: Iterable[Unit], *, data: bool = False) -> DatasetSums:
    """Return what a chunk contributes: drawn once for the content of a file, range, and definition of a channel."""
    rng = _generator(chunk)
    sums = DatasetSums(chunk.entries, 0.0 if data else _wild(rng))
    sums.common = Cutflow({"all": (chunk.entries, sums.sumw), "skim": (chunk.entries // 2, _wild(rng))})
    if data:
        sums.lumis = {"1": [[chunk.start, chunk.stop - 1]]}
    for unit in units:
        rng = _generator(chunk, unit.digest)
        sums.channels[unit.name] = Cutflow({"cut": (int(rng.integers(0, 20)), _wild(rng))})
        sums.absent_of[unit.name] = frozenset({"HLT_A"} if chunk.number == 1 else ())
        for observable, shape in SHAPES.items():
            sums.histograms[unit.name, observable] = _content(rng, shape)
    return sums


def _generator(chunk: Chunk, definition: str = "") -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{chunk.key} {chunk.start} {chunk.stop} {definition}".encode()))


def _wild(rng: np.random.Generator) -> float:
    return float(rng.normal() * 10.0 ** rng.integers(-8, 8))


def _content(rng: np.random.Generator, shape: tuple[int, ...]) -> Sums:
    size = int(np.prod(shape))
    filled = rng.random(size) < 0.6
    weights = np.where(filled, rng.normal(size=size) * 10.0 ** rng.integers(-8, 8, size), 0.0)
    entries = np.where(filled, rng.integers(1, 400, size), 0)
    return Sums(
        weights.reshape(shape), (weights**2).reshape(shape), entries.reshape(shape), int(rng.integers(0, 3))
    )


def commit(work: Work, plan: DatasetPlan, ledger: Ledger, *, data: bool = False) -> None:
    """Write the result of a piece of work."""
    assert work.record is not None
    sums = drawn(work.chunk, [plan.units[name] for name in work.channels], data=data)
    ledger.put(work.record, encode(record_of(sums), str(work.record)))


def expected(
    plan: DatasetPlan, missing: Callable[[Chunk], bool] = lambda chunk: False, *, data: bool = False
) -> dict[str, Any]:
    """Return the sums of a dataset from a loop: chunks by first entry to files, files in order to the dataset.

    Numbers are Python's, one by one; nothing is stored in between.
    """
    rows: dict[Any, float] = {}
    for file in plan.files:
        of_file: dict[Any, float] = {}
        for chunk in file.chunks:
            if not missing(chunk):
                for key, value in _rows(drawn(chunk, plan.units.values(), data=data)):
                    of_file[key] = of_file.get(key, 0) + value
        for key, value in of_file.items():
            rows[key] = rows.get(key, 0) + value
    return rows


def _rows(sums: DatasetSums) -> Iterable[tuple[Any, float]]:
    yield "entries", sums.entries
    yield "sumw", sums.sumw
    for name, (entries, weight) in sums.common.steps.items():
        yield ("common", name, "entries"), entries
        yield ("common", name, "sumw"), weight
    for channel, cutflow in sums.channels.items():
        for name, (entries, weight) in cutflow.steps.items():
            yield (channel, name, "entries"), entries
            yield (channel, name, "sumw"), weight
    for (channel, observable), content in sums.histograms.items():
        yield (channel, observable, "nan"), content.nan
        for kind in ("sumw", "sumw2", "entries"):
            for index, value in enumerate(getattr(content, kind).ravel().tolist()):
                yield (channel, observable, kind, index), value


def as_rows(sums: DatasetSums) -> dict[Any, float]:
    """Return sums in the form of `expected`."""
    return dict(_rows(sums))
