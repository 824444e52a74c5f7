"""Files of NanoAOD with all that a Run 2 analysis with systematic variations reads.

The hard events and the detector are those of the demo; this adds the years, the columns of calibrations and
uncertainties, and events too soft for a search. There is no truth about a selection: that is the demo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection, EventColumns
from intccms.demo.detector import reconstruct
from intccms.demo.extra import with_extra_branches
from intccms.demo.full import conditions, fatjets, jets, leptons, particles, theory
from intccms.demo.full.draws import Draws
from intccms.demo.full.hard import hard_fraction, mixed_events
from intccms.demo.full.jagged import without_fields
from intccms.demo.full.met import full_met
from intccms.demo.production import CLUSTER_EVENTS
from intccms.demo.writer import NanoAODWriter
from intccms.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FullSample", "full_columns", "number_of_branches", "write_full_nanoaod"]

type Array = npt.NDArray[Any]

SIMULATION_ONLY = ("Pileup_nTrueInt", "Pileup_nPU")
TRUTH_FIELDS = (*jets.JET_TRUTH, *fatjets.FAT_JET_TRUTH, *leptons.LEPTON_TRUTH)


@dataclass(frozen=True, slots=True)
class FullSample:
    """What determines the events of a file.

    Parameters
    ----------
    process
        ``signal``, ``ttbar_semilep``, ``single_top`` or ``wjets``; for data also ``data``, a mixture of all.
    year
        ``2016preVFP``, ``2016postVFP``, ``2017`` or ``2018``.
    events
        Number of events.
    seed
        Same seed, same events.
    is_data
        True: collision data, without generator columns.
    first_event
        Number of the first event; the others follow.
    efficiency
        Share of the events that pass the loose skim; without it, all events are hard.

    Raises
    ------
    ConfigError
        If a process, a year or an efficiency is none that there is, or a number is negative.
    """

    process: str
    year: str
    events: int
    seed: int
    is_data: bool = False
    first_event: int = 1
    efficiency: float | None = None

    def __post_init__(self) -> None:
        """Check the values together."""
        if self.process == "data" and not self.is_data:
            msg = "process 'data' is a mixture of all processes and needs is_data=True."
            raise ConfigError(msg)
        for name, least in (("events", 0), ("seed", 0), ("first_event", 1)):
            if getattr(self, name) < least:
                msg = f"cannot make a file with {name}={getattr(self, name)}; expected {least} or more."
                raise ConfigError(msg)
        conditions.year_conditions(self.year)
        hard_fraction(self.process, self.efficiency)

    def spans(self) -> list[tuple[int, int]]:
        """Return the first and last event of each cluster, from 0; one empty cluster if there is no event."""
        starts = range(0, max(self.events, 1), CLUSTER_EVENTS)
        return [(start, min(start + CLUSTER_EVENTS, self.events)) for start in starts]

    def draws(self, cluster: int) -> Draws:
        """Return the random generators of a cluster."""
        return Draws(self.seed, f"{self.process} {self.year}", cluster)

    def sections(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return run and luminosity section of events, counted from 0 in the file."""
        number = self.first_event - 1 + np.arange(start, stop)
        return conditions.sections_of(number, conditions.year_conditions(self.year), is_data=self.is_data)


def full_columns(sample: FullSample, cluster: int) -> EventColumns:
    """Return the events of one cluster of a file, without further branches.

    Parameters
    ----------
    sample
        The file.
    cluster
        Position of the cluster, from 0.
    """
    start, stop = sample.spans()[cluster]
    draws = sample.draws(cluster)
    year = conditions.year_conditions(sample.year)
    fraction = hard_fraction(sample.process, sample.efficiency)
    events, is_resonant = mixed_events(draws, sample.process, stop - start, fraction)
    gen_part, lepton = particles.generated_particles(draws, events, is_resonant)
    generated = {**particles.generated_met(events), "LHE_HT": particles.hadronic_activity(events)}
    base = reconstruct(draws("detector"), events)
    objects = _objects(draws, base, gen_part, lepton)
    flat = _event_level(draws, sample, year, base, objects)
    if sample.is_data:
        return _identified(sample, start, stop, _as_recorded(EventColumns(flat, objects)))
    weight = theory.generator_weights(draws, sample.process, stop - start)
    flat |= {"genWeight": weight, "LHEWeight_originalXWGTUP": weight, **generated}
    flat |= conditions.prefiring(draws, year, stop - start)
    objects |= {"GenPart": gen_part, **theory.weight_sets(draws, stop - start)}
    return _identified(sample, start, stop, EventColumns(flat, objects))


def _objects(
    draws: Draws, base: EventColumns, gen_part: Collection, lepton: npt.NDArray[np.int32]
) -> dict[str, Collection]:
    """Return the collections of reconstructed objects and generated jets."""
    jet, from_pileup = jets.reconstructed_jets(draws, base.collections["Jet"])
    gen_jet, jet = jets.generated_jets(draws, jet, from_pileup)
    muon = leptons.full_muons(draws, base.collections["Muon"], jet, gen_part, lepton)
    electron = leptons.full_electrons(draws, base.collections["Electron"], jet, gen_part, lepton)
    fat_jet = fatjets.full_fat_jets(draws, base.collections["FatJet"], jet)
    subjet, fat_jet = fatjets.subjets(draws, fat_jet)
    gen_fat_jet, fat_jet = fatjets.generated_fat_jets(draws, fat_jet)
    return {
        "Muon": muon,
        "Electron": electron,
        "Jet": jets.linked_jets(jet, muon, electron),
        "FatJet": fat_jet,
        "SubJet": subjet,
        "CorrT1METJet": jets.jets_below_threshold(draws, jet.counts.size),
        "GenJet": gen_jet,
        "GenJetAK8": gen_fat_jet,
    }


def _event_level(
    draws: Draws,
    sample: FullSample,
    year: conditions.Year,
    base: EventColumns,
    objects: dict[str, Collection],
) -> dict[str, Array]:
    """Return the event-level branches that simulation and data share, and pileup."""
    n = base.flat["MET_pt"].size
    pileup = conditions.full_pileup(draws, year, n)
    return {
        **pileup,
        **full_met(draws, base.flat, objects["Jet"], pileup["fixedGridRhoFastjetAll"]),
        **conditions.triggers(draws, year, base.flat, objects["Muon"], is_data=sample.is_data),
        **conditions.filters(draws, year, base.flat),
    }


def _as_recorded(columns: EventColumns) -> EventColumns:
    """Drop what only simulation has."""
    collections = {
        name: without_fields(collection, TRUTH_FIELDS)
        for name, collection in columns.collections.items()
        if not name.startswith("Gen")
    }
    flat = {name: values for name, values in columns.flat.items() if name not in SIMULATION_ONLY}
    return EventColumns(flat, collections)


def _identified(sample: FullSample, start: int, stop: int, columns: EventColumns) -> EventColumns:
    run, section = sample.sections(start, stop)
    number = sample.first_event + np.arange(start, stop)
    identity = {"run": run, "luminosityBlock": section, "event": number.astype(np.uint64)}
    return EventColumns({**identity, **columns.flat}, columns.collections)


def number_of_branches(columns: EventColumns) -> int:
    """Return how many branches the columns become, counters included."""
    return len(columns.flat) + sum(1 + len(c.fields) for c in columns.collections.values())


def _padding(sample: FullSample, branches: int | None) -> int:
    """Return the number of further branches that bring a file to ``branches``, counters included.

    Raises
    ------
    ConfigError
        If it has more than ``branches`` without further ones.
    """
    if branches is None:
        return 0
    empty = full_columns(FullSample(sample.process, sample.year, 0, 0, sample.is_data), 0)
    own = number_of_branches(empty)
    if branches < own:
        msg = f"the full content has {own} branches, more than branches={branches}. Ask for {own} or more, or None."
        raise ConfigError(msg)
    rng = np.random.default_rng(0)
    # each further collection has a counter, so a little fewer than the difference are needed
    number = branches - own
    while number_of_branches(with_extra_branches(empty, number, rng)) > branches:
        number -= 1
    return number


def _clusters(sample: FullSample, further: int) -> Iterator[EventColumns]:
    for cluster in range(len(sample.spans())):
        yield with_extra_branches(
            full_columns(sample, cluster), further, sample.draws(cluster)("further branches")
        )


def _run_tree(sample: FullSample, sums: theory.WeightSums, runs: Array) -> dict[str, Any]:
    if sample.is_data:
        return {"run": np.unique(runs)}
    return {"run": np.ones(1, dtype=np.uint32), **sums.branches()}


def write_full_nanoaod(
    path: Path | str,
    *,
    process: str,
    year: str,
    events: int,
    seed: int,
    is_data: bool = False,
    first_event: int = 1,
    branches: int | None = None,
    compression: str = "zstd:5",
    efficiency: float | None = None,
) -> None:
    """Write a NanoAOD file with all that a Run 2 analysis with systematic variations reads.

    Parameters
    ----------
    path
        File to write; its folder exists.
    process, year, events, seed, is_data, first_event, efficiency
        See `FullSample`. The loose skim that ``efficiency`` means: a muon with pt > 55 GeV and abs(eta) < 2.4,
        ``HLT_Mu50``, MET pt > 50 GeV, and a fat jet or two jets above 50 GeV.
    branches
        Branches of `Events`, counters included, reached by further ones without meaning; ``None`` adds none.
    compression
        Codec and level, such as ``zstd:5`` or ``lzma:9`` (what CMS uses).

    Raises
    ------
    ConfigError
        If an argument is none that there is.
    """
    sample = FullSample(process, year, events, seed, is_data, first_event, efficiency)
    further = _padding(sample, branches)
    sums = theory.WeightSums()
    with NanoAODWriter(Path(path), n_clusters=len(sample.spans()), compression=compression) as writer:
        for columns in _clusters(sample, further):
            writer.extend(columns)
            if not is_data:
                sums.add(columns)
        run, section = sample.sections(0, events)
        pairs = np.unique(np.stack([run, section], axis=1), axis=0)
        writer.write_tree("LuminosityBlocks", {"run": pairs[:, 0], "luminosityBlock": pairs[:, 1]})
        writer.write_tree("Runs", _run_tree(sample, sums, run))
