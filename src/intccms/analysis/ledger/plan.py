"""What a run wants, and what of it the ledger lacks: the work, and the reasons for it."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from intccms.analysis.ledger.names import Name, batch_of, edges_key, short_hash
from intccms.analysis.ledger.units import differences
from intccms.analysis.results import Chunk, PartTarget, Work

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from intccms.analysis.ledger.ledger import Ledger
    from intccms.analysis.ledger.units import Unit
    from intccms.metadata import DatasetMetadata

__all__ = ["DatasetPlan", "FilePlan", "Missing", "find_missing", "only_touched"]


@dataclass(frozen=True)
class FilePlan:
    """A file, cut into chunks."""

    chunks: tuple[Chunk, ...]

    @property
    def index(self) -> int:
        """Position of the file in its dataset."""
        return self.chunks[0].file_index

    @property
    def key(self) -> str:
        """What identifies its content."""
        return self.chunks[0].key

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Entries at which it is cut."""
        return (self.chunks[0].start, *(chunk.stop for chunk in self.chunks))

    @cached_property
    def extent(self) -> str:
        """Stands in the name of the file's records."""
        return edges_key(self.edges)


@dataclass
class DatasetPlan:
    """What is wanted of one dataset."""

    metadata: DatasetMetadata
    files: list[FilePlan]
    """Files with chunks, in order."""
    units: dict[str, Unit]
    """Channels to fill."""
    targets: dict[tuple[int, int], PartTarget] = field(default_factory=dict)
    """(file index, first entry) -> skim part to be written, where it is not there yet."""
    named: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Files whose content is in the digests, as they were when these were taken."""
    absent: dict[tuple[int, int], str] = field(default_factory=dict)
    """(file index, first entry) -> why the skim that is read has no part of a chunk."""

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.metadata.dataset.name

    @cached_property
    def _by_index(self) -> dict[int, FilePlan]:
        return {file.index: file for file in self.files}

    def file(self, index: int) -> FilePlan:
        """Return the file at a position of the dataset."""
        return self._by_index[index]

    @cached_property
    def digests(self) -> dict[str, str]:
        """Channel -> digest."""
        return {name: unit.digest for name, unit in self.units.items()}

    @cached_property
    def whole(self) -> Name:
        """Name of the record of the whole dataset."""
        key = short_hash([[file.key, *file.edges] for file in self.files])
        return Name(self.name, "whole", key, "", batch_of(self.digests))


@dataclass
class Missing:
    """What has to be computed, and why."""

    work: list[Work]
    chunks: int
    """All chunks that are wanted."""
    reasons: Counter[tuple[str, str]]
    """(channel or ``skim``, reason) -> chunks."""
    failed: int = 0
    """Chunks that failed before and are not tried again."""
    untouched: set[Chunk] = field(default_factory=set)
    """Chunks of which nothing was ever computed."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing before it is computed."""

    @property
    def reused(self) -> int:
        """Chunks of which everything is there."""
        return self.chunks - len(self.work) - self.failed

    def lines(self) -> list[str]:
        """Return what will be computed and why, for people."""
        if not self.work:
            return [
                f"{'the one chunk is' if self.chunks == 1 else f'all {self.chunks:,} chunks are'} in the ledger: nothing to compute"
            ]
        return [
            f"{len(self.work):,} of {self.chunks:,} chunks to compute",
            *(
                f"{'skim' if name == 'skim' else f'channel {name}'}: {reason}; {_chunks(count)}"
                for (name, reason), count in self.reasons.items()
            ),
            *self.notes,
        ]

    def __rich__(self) -> str:
        """Return the lines for a terminal."""
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        first, *others = map(html.escape, self.lines())
        return f"<p>{first}</p><ul>{''.join(f'<li>{line}</li>' for line in others)}</ul>"


def _chunks(count: int) -> str:
    return f"{count:,} chunk{'' if count == 1 else 's'}"


def find_missing(
    plans: Iterable[DatasetPlan],
    ledger: Ledger,
    *,
    without: Mapping[str, Collection[tuple[int, int]]] | None = None,
) -> Missing:
    """Return the work that is left, chunk by chunk in canonical order.

    Parameters
    ----------
    plans
        What is wanted.
    ledger
        What there is; it is listed anew.
    without
        dataset -> (file index, first entry) of chunks that failed. Of their files, the other chunks are needed
        one by one: a record of the whole file would hold what is missing elsewhere.

    Raises
    ------
    OutputError
        If the ledger cannot be listed, or not written.
    """
    missing = Missing([], 0, Counter())
    for plan in plans:
        ledger.look(plan.name)
        _Search(plan, ledger, missing, frozenset((without or {}).get(plan.name, ()))).run()
    return missing


def only_touched(missing: Missing, failed: Collection[tuple[str, str, int | None]]) -> Missing:
    """Return the work on chunks that failed before, and on those of which there are other results.

    Parameters
    ----------
    missing
        All work.
    failed
        Dataset, file and first entry of what failed; None for a whole file.
    """

    def chosen(chunk: Chunk) -> bool:
        place = (chunk.dataset, chunk.file.name)
        return chunk not in missing.untouched or (*place, chunk.start) in failed or (*place, None) in failed

    return replace(missing, work=[work for work in missing.work if chosen(work.chunk)])


@dataclass
class _Search:
    """Goes through the chunks of one dataset; answers repeat, so they are kept."""

    plan: DatasetPlan
    ledger: Ledger
    missing: Missing
    failed: frozenset[tuple[int, int]]
    _covered: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)
    _reasons: dict[tuple[str, frozenset[str]], str] = field(default_factory=dict)
    _batches: dict[tuple[str, ...], str] = field(default_factory=dict)

    def run(self) -> None:
        plan, whole = self.plan, self.plan.whole
        self.missing.chunks += sum(len(file.chunks) for file in plan.files)
        done = not self.failed and whole.batch in self.ledger.batches(plan.name, "whole", whole.key, "")
        incomplete = {index for index, _ in self.failed}
        if done:
            self.ledger.describe(plan.units.values())  # should it have been lost
        if done and not plan.targets:
            return
        for file in plan.files:
            at_file = self.ledger.batches(plan.name, "file", file.key, file.extent)
            for chunk in file.chunks:
                if (file.index, chunk.start) in self.failed:
                    self.missing.failed += 1
                    continue
                at_chunk = self.ledger.batches(plan.name, "chunk", chunk.key, _extent(chunk))
                usable = at_chunk if file.index in incomplete else at_file | at_chunk
                lacking = () if done else self._lacking(usable)
                target = plan.targets.get((file.index, chunk.start))
                if lacking or target is not None:
                    self._add(chunk, lacking, target, at_file | at_chunk)

    def _lacking(self, batches: frozenset[str]) -> tuple[str, ...]:
        if batches not in self._covered:
            there = {pair for batch in batches for pair in self.ledger.digests(batch).items()}
            self._covered[batches] = frozenset(
                name for name, digest in self.plan.digests.items() if (name, digest) in there
            )
        covered = self._covered[batches]
        return tuple(name for name in self.plan.units if name not in covered)

    def _add(
        self, chunk: Chunk, lacking: tuple[str, ...], target: PartTarget | None, batches: frozenset[str]
    ) -> None:
        record = None
        if lacking:
            if lacking not in self._batches:
                self._batches[lacking] = self.ledger.describe(self.plan.units[name] for name in lacking)
            record = Name(self.plan.name, "chunk", chunk.key, _extent(chunk), self._batches[lacking])
        self.missing.work.append(Work(chunk, lacking, record, target))
        if not batches:
            self.missing.untouched.add(chunk)
        for name in lacking:
            self.missing.reasons[name, self._reason(name, batches)] += 1
        if target is not None:
            self.missing.reasons["skim", target.reason] += 1

    def _reason(self, channel: str, batches: frozenset[str]) -> str:
        if (channel, batches) not in self._reasons:
            self._reasons[channel, batches] = _explain(self.plan.units[channel], batches, self.ledger)
        return self._reasons[channel, batches]


def _explain(unit: Unit, batches: frozenset[str], ledger: Ledger) -> str:
    """Return why a channel is not there, from the most similar definition under which it is."""
    if not batches:
        return "not computed yet"
    before: list[Mapping[str, str]] = [
        parts for batch in sorted(batches) if (parts := ledger.parts(batch, unit.name))
    ]
    if not before:
        return "new channel"
    changes = min((differences(parts, unit.parts) for parts in before), key=len)
    if not changes:
        return "another chunk of its file failed, so that the sum of the file does not serve"
    shown = ", ".join(changes[:4])
    return f"{shown} and {len(changes) - 4} more" if len(changes) > 4 else shown


def _extent(chunk: Chunk) -> str:
    return f"{chunk.start}-{chunk.stop}"
