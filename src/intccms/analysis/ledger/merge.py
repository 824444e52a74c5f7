"""Adds records up in one fixed order: chunks by first entry to their file, files in order to their dataset.

Floating-point sums depend on their order in the last bits. Because this order is fixed, neither executors nor
interruptions nor the order of arrival change a bit. In memory are one record, one file and one dataset at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.analysis.fold import DatasetFold, FileFact
from intccms.analysis.ledger.names import Name
from intccms.analysis.ledger.records import Accumulator, ChannelContent, Record
from intccms.analysis.results import DatasetSums
from intccms.metadata.lumis import union
from intccms.selection import Cutflow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.ledger.ledger import Ledger
    from intccms.analysis.ledger.plan import DatasetPlan, FilePlan
    from intccms.analysis.results import Chunk, ChunkFailure

__all__ = ["Total", "compact_file", "fold_dataset"]


def compact_file(plan: DatasetPlan, file: FilePlan, ledger: Ledger) -> None:
    """Put one record in the place of those of a file's chunks, all of which are there.

    Raises
    ------
    DamagedRecordError
        If one of them turns out to be lost.
    OutputError
        If the ledger cannot be written.
    """
    if len(file.chunks) == 1:
        return
    if wanted := _not_at_file(plan, file, ledger):
        record = _sum_of_chunks(plan, file.chunks, wanted, ledger)
        batch = ledger.describe(plan.units[name] for name in wanted)
        ledger.put(Name(plan.name, "file", file.key, file.extent, batch), record)
    now_at_file = set(plan.digests.items())
    ledger.delete(
        Name(plan.name, "chunk", file.key, _extent(chunk), one)
        for chunk in file.chunks
        for one in ledger.batches(plan.name, "chunk", file.key, _extent(chunk))
        if set(ledger.digests(one).items()) <= now_at_file
    )


def fold_dataset(
    plan: DatasetPlan, failures: Mapping[tuple[int, int], ChunkFailure], ledger: Ledger
) -> DatasetFold:
    """Return the sum of a dataset.

    Parameters
    ----------
    plan
        The dataset; everything of it but the failures is in the ledger.
    failures
        (file index, first entry) -> chunk that is missing.
    ledger
        Gives the records; takes that of the whole dataset, if nothing is missing.

    Raises
    ------
    DamagedRecordError
        If a record turns out to be lost.
    OutputError
        If the ledger cannot be written.
    """
    whole = plan.whole
    fold = DatasetFold(chunks=sum(len(file.chunks) for file in plan.files))
    if not failures and whole.batch in ledger.batches(plan.name, "whole", whole.key, ""):
        fold.sums = _sums_of(ledger.get(whole), plan)
        fold.lumis = union(record.lumis for record in plan.metadata.good)
        return fold
    total = Total()
    lumis = [record.lumis for record in plan.metadata.good if not record.entries]
    for file in plan.files:
        failed = [
            failures[file.index, one.start] for one in file.chunks if (file.index, one.start) in failures
        ]
        record = _of_file(plan, file, [failure.chunk for failure in failed], ledger)
        total.add(record)
        lumis.append(record.lumis if failed else plan.metadata.files[file.index].lumis)
        if failed:
            sumw = record.sumw if plan.units else None
            fold.files[file.index] = FileFact(record.entries, sumw, tuple(failed))
    record = total.record()
    if not failures and len(plan.files) > 1 and plan.units:
        ledger.describe(plan.units.values())
        ledger.put(whole, record)
    fold.sums = _sums_of(record, plan)
    fold.lumis = union(lumis)
    return fold


def _of_file(plan: DatasetPlan, file: FilePlan, failed: Sequence[Chunk], ledger: Ledger) -> Record:
    """Return the sum of a file's chunks; a file with failures has no record that leaves them out."""
    starts = {chunk.start for chunk in failed}
    chunks = [chunk for chunk in file.chunks if chunk.start not in starts]
    if not plan.units:  # a run that only skims
        return Record(sum(chunk.entries for chunk in chunks), 0.0, {})
    if failed:
        return _sum_of_chunks(plan, chunks, plan.digests, ledger)
    wanted = _not_at_file(plan, file, ledger)
    records = []
    if wanted:
        records.append(_sum_of_chunks(plan, file.chunks, wanted, ledger))
    left = {name: digest for name, digest in plan.digests.items() if name not in wanted}
    for batch in sorted(ledger.batches(plan.name, "file", file.key, file.extent)):
        here = dict(set(ledger.digests(batch).items()) & set(left.items()))
        if here:
            records.append(ledger.get(Name(plan.name, "file", file.key, file.extent, batch), here))
            left = {name: digest for name, digest in left.items() if name not in here}
    channels = {name: content for one in records for name, content in one.channels.items()}
    entries = sum(chunk.entries for chunk in file.chunks)
    absent = frozenset().union(*(one.absent_corrections for one in records))
    return Record(
        entries,
        records[0].sumw if records else 0.0,
        channels,
        absent_corrections=absent,
        split=max((one.split for one in records), default=0),
    )


def _not_at_file(plan: DatasetPlan, file: FilePlan, ledger: Ledger) -> dict[str, str]:
    there = {
        pair
        for batch in ledger.batches(plan.name, "file", file.key, file.extent)
        for pair in ledger.digests(batch).items()
    }
    return {name: digest for name, digest in plan.digests.items() if (name, digest) not in there}


def _sum_of_chunks(
    plan: DatasetPlan, chunks: Sequence[Chunk], wanted: Mapping[str, str], ledger: Ledger
) -> Record:
    if len(chunks) == 1:  # added to zero it stays what it is
        return _of_chunk(plan, chunks[0], wanted, ledger)
    total = Total()
    for chunk in chunks:
        total.add(_of_chunk(plan, chunk, wanted, ledger))
    return total.record()


def _of_chunk(plan: DatasetPlan, chunk: Chunk, wanted: Mapping[str, str], ledger: Ledger) -> Record:
    left, found, extent = dict(wanted), None, _extent(chunk)
    for batch in sorted(ledger.batches(plan.name, "chunk", chunk.key, extent)):
        here = dict(set(ledger.digests(batch).items()) & set(left.items()))
        if here:
            record = ledger.get(Name(plan.name, "chunk", chunk.key, extent, batch), here)
            if found is None:
                found = record
            else:
                found.channels |= record.channels
                found.absent_corrections |= record.absent_corrections
                found.split = max(found.split, record.split)
            left = {name: digest for name, digest in left.items() if name not in here}
    if left or found is None:
        message = f"{plan.name}: {chunk} has no record of {', '.join(left) or 'any channel'}"
        raise LookupError(message)
    return found


class Total:
    """Adds records of disjoint entries up, channel by channel."""

    def __init__(self) -> None:
        self._entries, self._sumw, self._split = 0, 0.0, 0
        self._lumis: list[dict[str, list[list[int]]]] = []
        self._channels: dict[str, Accumulator] = {}
        self._cutflows: dict[str, tuple[Cutflow, Cutflow]] = {}
        self._absent: dict[str, frozenset[str]] = {}
        self._absent_corrections: frozenset[str] = frozenset()

    def add(self, record: Record) -> None:
        """Add a record; the order of additions decides the last bits."""
        self._entries += record.entries
        self._sumw += record.sumw
        self._split += record.split
        self._absent_corrections |= record.absent_corrections
        if record.lumis:
            self._lumis.append(record.lumis)
        for name, content in record.channels.items():
            if name not in self._channels:
                self._channels[name] = Accumulator(content.layout, content.variations)
            self._channels[name].add(content)
            common, own = self._cutflows.get(name, (Cutflow(), Cutflow()))
            self._cutflows[name] = (common + content.common, own + content.cutflow)
            self._absent[name] = self._absent.get(name, frozenset()) | content.absent_triggers

    def record(self) -> Record:
        """Return the sum."""
        channels: dict[str, ChannelContent] = {
            name: total.content(*self._cutflows[name], self._absent[name])
            for name, total in self._channels.items()
        }
        return Record(
            self._entries,
            self._sumw,
            channels,
            union(self._lumis),
            absent_corrections=self._absent_corrections,
            split=self._split,
        )


def _sums_of(record: Record, plan: DatasetPlan) -> DatasetSums:
    """Return a record as sums with dense histograms, channels in the order of the configuration."""
    sums = DatasetSums(
        record.entries,
        record.sumw,
        lumis=record.lumis,
        absent_corrections=record.absent_corrections,
        split=record.split,
    )
    for name in plan.units:
        content = record.channels.get(name)
        if content is None:
            continue
        total = Accumulator(content.layout, content.variations)
        total.add(content)
        sums.common = content.common
        sums.channels[name] = content.cutflow
        sums.absent_of[name] = content.absent_triggers
        sums.absent_triggers |= content.absent_triggers
        for observable, one in total.histograms().items():
            sums.histograms[name, observable] = one
    return sums


def _extent(chunk: Chunk) -> str:
    return f"{chunk.start}-{chunk.stop}"
