"""One file of the demo: its events, drawn from a seed of its own, written, and counted.

The seed of a file depends on the seed of the demo, the dataset's name and the file's position, nothing else; so
the events do not depend on how many workers make how many files in which order. The further branches draw from
another child of that seed, so the physics is the same with and without them.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection, EventColumns
from intccms.demo.counting import SelectionCounts, count_selected
from intccms.demo.detector import reconstruct
from intccms.demo.extra import with_extra_branches
from intccms.demo.golden import certified, certified_fraction, data_lumi_sections, golden_json
from intccms.demo.physics import generate_hard_events
from intccms.demo.samples import LUMINOSITY, SIGNAL_STRENGTH, DemoSample, simulated_samples
from intccms.demo.triggers import MUON_TRIGGERS
from intccms.demo.truth import FileTruth
from intccms.demo.writer import NanoAODWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CLUSTER_EVENTS", "FileJob", "produce_file"]

type Array = npt.NDArray[Any]

CLUSTER_EVENTS = 7_000
"""Generated events per cluster of a file, as in centrally produced NanoAOD."""

EVENTS_PER_LUMI_SECTION = 500  # simulation only

_SIMULATION_ONLY = ("Pileup_nTrueInt", "hadronFlavour")


@dataclass(frozen=True, slots=True)
class FileJob:
    """All that determines one file; small enough to be sent to a worker.

    Parameters
    ----------
    folder
        Where the file goes.
    sample
        Dataset it belongs to.
    index
        Its position in the dataset.
    scale, seed, extra_branches, compression
        As given to `intccms.demo.generator.generate`.
    """

    folder: Path
    sample: DemoSample
    index: int
    scale: float
    seed: int
    extra_branches: int
    compression: str

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.folder / f"{self.sample.name}_{self.index}.root"

    def generators(self) -> tuple[np.random.Generator, np.random.Generator]:
        """Return the random generators of the physics and of the further branches."""
        key = (zlib.crc32(self.sample.name.encode()), self.index)
        physics, extra = np.random.SeedSequence(self.seed, spawn_key=key).spawn(2)
        return np.random.default_rng(physics), np.random.default_rng(extra)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Events of one cluster, and the process that made each (a position in the list of processes)."""

    columns: EventColumns
    origin: Array


def processes(sample: DemoSample) -> tuple[str, ...]:
    """Return the processes that a dataset's events come from."""
    return tuple(s.process for s in simulated_samples()) if sample.is_data else (sample.process,)


def _spans(n: int) -> list[tuple[int, int]]:
    """Return the first and last event of each cluster; one empty cluster if there is no event."""
    return [(start, min(start + CLUSTER_EVENTS, n)) for start in range(0, max(n, 1), CLUSTER_EVENTS)]


def _with_flat(columns: EventColumns, flat: dict[str, Array]) -> EventColumns:
    return EventColumns({**flat, **columns.flat}, columns.collections)


def _gen_weights(rng: np.random.Generator, sample: DemoSample, n: int) -> npt.NDArray[np.float32]:
    sign = np.where(rng.random(n) < sample.negative_fraction, -1.0, 1.0)
    return (sign * sample.weight * np.exp(rng.normal(0.0, 1.0, n) * sample.weight_spread)).astype(np.float32)


def _simulated_clusters(job: FileJob, rng: np.random.Generator) -> Iterator[Cluster]:
    n = job.sample.n_events(job.scale)
    for start, stop in _spans(n):
        size = stop - start
        columns = reconstruct(rng, generate_hard_events(rng, job.sample.process, size))
        # event numbers go on from file to file, as those of one production do
        number = job.index * n + np.arange(start, stop)
        flat: dict[str, Array] = {
            "run": np.ones(size, dtype=np.uint32),
            "luminosityBlock": (1 + number // EVENTS_PER_LUMI_SECTION).astype(np.uint32),
            "event": (1 + number).astype(np.uint64),
            "genWeight": _gen_weights(rng, job.sample, size),
        }
        yield Cluster(_with_flat(columns, flat), np.zeros(size, dtype=np.intp))


def _mixed_events(rng: np.random.Generator, names: tuple[str, ...], origin: Array) -> EventColumns:
    """Return recorded events of several processes in the order of ``origin``."""
    parts = [
        reconstruct(rng, generate_hard_events(rng, name, int(np.sum(origin == i))))
        for i, name in enumerate(names)
    ]
    # stable sorting by process gives the position that each event of the concatenated parts must go to
    target = np.argsort(np.argsort(origin, kind="stable"), kind="stable")
    joined = _concatenate(parts)
    return _take(joined, target)


def _concatenate(parts: list[EventColumns]) -> EventColumns:
    flat = {key: np.concatenate([p.flat[key] for p in parts]) for key in parts[0].flat}
    collections = {}
    for name, first in parts[0].collections.items():
        of_parts = [p.collections[name] for p in parts]
        fields = {key: np.concatenate([c.fields[key] for c in of_parts]) for key in first.fields}
        collections[name] = Collection(np.concatenate([c.counts for c in of_parts]), fields)
    return EventColumns(flat, collections)


def _take(columns: EventColumns, rows: npt.NDArray[np.intp]) -> EventColumns:
    """Return the events at these positions, in this order."""
    collections = {}
    for name, collection in columns.collections.items():
        counts = collection.counts[rows]
        starts = np.cumsum(collection.counts) - collection.counts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        content = np.repeat(starts[rows], counts) + within
        fields = {key: values[content] for key, values in collection.fields.items()}
        collections[name] = Collection(counts, fields)
    return EventColumns({key: values[rows] for key, values in columns.flat.items()}, collections)


def _without_truth(columns: EventColumns) -> EventColumns:
    """Drop what only simulation has."""
    collections = {
        name: replace(c, fields={k: v for k, v in c.fields.items() if k not in _SIMULATION_ONLY})
        for name, c in columns.collections.items()
    }
    return EventColumns({k: v for k, v in columns.flat.items() if k not in _SIMULATION_ONLY}, collections)


def _expected_collisions(job: FileJob) -> npt.NDArray[np.float64]:
    """Return the mean number of collisions of each process in a data file, triggered or not."""
    delivered = LUMINOSITY * job.scale / certified_fraction() / job.sample.n_files
    strength = {"signal": SIGNAL_STRENGTH}
    return np.array([s.xsec_pb * delivered * strength.get(s.process, 1.0) for s in simulated_samples()])


def _data_clusters(job: FileJob, rng: np.random.Generator) -> Iterator[Cluster]:
    """Yield recorded events: a Poisson number of each process, those that fired no muon trigger left out."""
    number_of = rng.poisson(_expected_collisions(job))
    origin = rng.permutation(np.repeat(np.arange(number_of.size), number_of))
    runs, lumis = data_lumi_sections(job.index)
    section = np.sort(rng.integers(0, runs.size, origin.size))
    for start, stop in _spans(origin.size):
        columns = _without_truth(_mixed_events(rng, processes(job.sample), origin[start:stop]))
        here = section[start:stop]
        number = 1 + job.index * 100_000_000 + np.arange(start, stop)
        flat = {"run": runs[here], "luminosityBlock": lumis[here], "event": number.astype(np.uint64)}
        recorded = np.any([columns.flat[name] for name in MUON_TRIGGERS], axis=0)
        rows = np.flatnonzero(recorded)
        yield Cluster(_take(_with_flat(columns, flat), rows), origin[start:stop][rows])


def _clusters(job: FileJob) -> Iterator[Cluster]:
    physics, extra = job.generators()
    make = _data_clusters if job.sample.is_data else _simulated_clusters
    for cluster in make(job, physics):
        yield replace(cluster, columns=with_extra_branches(cluster.columns, job.extra_branches, extra))


@dataclass(slots=True)
class _Tally:
    """Sums over the clusters of one file."""

    events: int = 0
    sumw: float = 0.0
    sumw2: float = 0.0
    certified_events: int = 0
    selected: SelectionCounts = field(default_factory=SelectionCounts)
    selected_unmasked: int = 0

    def add(self, job: FileJob, cluster: Cluster) -> None:
        """Count one cluster."""
        flat = cluster.columns.flat
        mask = None
        if job.sample.is_data:
            mask = certified(flat["run"], flat["luminosityBlock"], golden_json(job.sample.n_files))
        names = processes(job.sample)
        selected = count_selected(cluster.columns, mask=mask, origin=cluster.origin, names=names)
        unmasked = count_selected(cluster.columns, mask=None, origin=cluster.origin, names=names)
        self.events += len(cluster.columns)
        self.certified_events += len(cluster.columns) if mask is None else int(mask.sum())
        self.selected += selected
        self.selected_unmasked += unmasked.events
        if not job.sample.is_data:
            weight = flat["genWeight"].astype(np.float64)
            self.sumw += float(weight.sum())
            self.sumw2 += float(np.square(weight).sum())


def _run_tree(job: FileJob, tally: _Tally, runs: Array) -> dict[str, Array]:
    if job.sample.is_data:
        return {"run": np.unique(runs)}
    return {
        "run": np.unique(runs),
        "genEventCount": np.array([tally.events], dtype=np.int64),
        "genEventSumw": np.array([tally.sumw]),
        "genEventSumw2": np.array([tally.sumw2]),
    }


def _lumi_sections(job: FileJob) -> tuple[Array, Array]:
    """Return run and number of the luminosity sections of a file; for data also those without events."""
    if job.sample.is_data:
        return data_lumi_sections(job.index)
    n = job.sample.n_events(job.scale)
    first, last = job.index * n // EVENTS_PER_LUMI_SECTION, (job.index * n + n - 1) // EVENTS_PER_LUMI_SECTION
    lumis = np.arange(1 + first, 2 + last, dtype=np.uint32)
    return np.ones(lumis.size, dtype=np.uint32), lumis


def _most_clusters(job: FileJob) -> int:
    """Return how many clusters a file has; for data, whose number is yet to be drawn, more than it can have."""
    if not job.sample.is_data:
        return len(_spans(job.sample.n_events(job.scale)))
    mean = float(_expected_collisions(job).sum())
    return len(_spans(math.ceil(mean + 10.0 * math.sqrt(mean))))


def produce_file(job: FileJob) -> FileTruth:
    """Write one file and return what is in it."""
    tally = _Tally()
    with NanoAODWriter(job.path, n_clusters=_most_clusters(job), compression=job.compression) as writer:
        for cluster in _clusters(job):
            writer.extend(cluster.columns)
            tally.add(job, cluster)
        runs, lumis = _lumi_sections(job)
        writer.write_tree("LuminosityBlocks", {"run": runs, "luminosityBlock": lumis})
        writer.write_tree("Runs", _run_tree(job, tally, runs))
    return FileTruth(
        name=job.path.name,
        events=tally.events,
        n_bytes=job.path.stat().st_size,
        sumw=tally.sumw,
        sumw2=tally.sumw2,
        certified_events=tally.certified_events,
        selected=tally.selected,
        selected_unmasked=tally.selected_unmasked,
    )
