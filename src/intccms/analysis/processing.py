"""All chunks: what is missing is computed and committed, and everything is added up."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from intccms.analysis.ledger import (
    DamagedRecordError,
    DatasetPlan,
    Ledger,
    Missing,
    Name,
    Place,
    compact_file,
    find_missing,
    fold_dataset,
)
from intccms.analysis.progress import show_progress
from intccms.analysis.results import NOT_RUN, ChunkFailure, Receipt
from intccms.analysis.scheduling import run_work
from intccms.analysis.stopping import stoppable
from intccms.analysis.tasks import ProcessChunks
from intccms.errors import ConfigError, OutputError
from intccms.schema.digest.files import changed_files
from intccms.skimming.places import skim_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from intccms.analysis.executors import Executor
    from intccms.analysis.fold import DatasetFold
    from intccms.schema import Config

__all__ = ["Processing"]

logger = logging.getLogger(__name__)

_STOPPED = f"{NOT_RUN}the run was stopped"
_LEFT_OUT = f"{NOT_RUN}it was left out of this run"

_TRIES = 3
"""Times that a result is made in one run, because it is lost, before the storage is called broken."""


class Processing:
    """Brings the ledger to what a run wants, and adds it up.

    Parameters
    ----------
    config
        The configuration.
    plans
        What is wanted of each dataset.
    ledger
        What there is.
    executor
        Gives the executor when it is first needed: a cluster starts only if there is something to compute.
    """

    def __init__(
        self,
        config: Config,
        plans: Sequence[DatasetPlan],
        ledger: Ledger,
        executor: Callable[[], Executor],
    ) -> None:
        self._config = config
        self._plans = {plan.name: plan for plan in plans}
        self._ledger = ledger
        self._executor = executor
        self._failures: dict[str, dict[tuple[int, int], ChunkFailure]] = {name: {} for name in self._plans}
        self._computed: Counter[str] = Counter()
        self._computed_entries: Counter[str] = Counter()
        self._taken: set[tuple[str, int, int]] = set()
        self._cpu_seconds: dict[str, float] = dict.fromkeys(self._plans, 0.0)
        self._open: Counter[tuple[str, int]] = Counter()
        self._tries: Counter[tuple[str, int, int]] = Counter()
        self.stopped = False
        """The user wanted to stop; what did not run counts as failed."""
        self._passed_over: dict[str, dict[str, tuple[int, str]]] = {name: {} for name in self._plans}

    def missing(self) -> Missing:
        """Return what the ledger lacks, apart from what failed before."""
        return find_missing(self._plans.values(), self._ledger, without=self._failures)

    @property
    def failures(self) -> dict[str, list[ChunkFailure]]:
        """Chunks that failed or were left out so far, by dataset."""
        return {name: list(failed.values()) for name, failed in self._failures.items()}

    def leave_out(self, missing: Missing, chosen: Missing) -> Missing:
        """Count the work that was not chosen as not run, and return the rest."""
        kept = {work.chunk for work in chosen.work}
        self.give_up(
            [ChunkFailure(work.chunk, _LEFT_OUT, "") for work in missing.work if work.chunk not in kept]
        )
        return chosen

    def leave_out_unskimmed(self, missing: Missing) -> Missing:
        """Count chunks as failed that are to be read from a skim and are not in it; return the rest."""
        kept = []
        for work in missing.work:
            chunk = work.chunk
            reason = self._plans[chunk.dataset].absent.get((chunk.file_index, chunk.start))
            if reason is None:
                kept.append(work)
            else:
                self.give_up([ChunkFailure(chunk, reason, "")])
        return replace(missing, work=kept)

    def give_up(self, failures: Sequence[ChunkFailure]) -> None:
        """Count chunks as failed that will not be tried."""
        for failure in failures:
            chunk = failure.chunk
            self._failures[chunk.dataset][chunk.file_index, chunk.start] = failure

    def run(
        self,
        missing: Missing,
        *,
        title: str,
        show: bool,
        on_receipt: Callable[[Receipt], None],
    ) -> dict[str, DatasetFold]:
        """Compute what is missing, and return the sums of all datasets.

        Parameters
        ----------
        missing
            What `missing` returned.
        title, show
            Of the progress bar.
        on_receipt
            Called for each chunk that was done, once.

        Raises
        ------
        OutputError
            If ledger or skims cannot be written, or do not keep what is written to them.
        """
        self._ledger.write_descriptions()
        while True:
            if self.stopped:
                self.give_up([ChunkFailure(work.chunk, _STOPPED, "") for work in missing.work])
                missing = self.missing()
            if missing.work:
                self._count_tries(missing)
                self._compute(missing, title, show=show, on_receipt=on_receipt)
                # totals are checked against what the storage says, not against what was promised
                missing = self.missing()
                continue
            try:
                return {name: self._fold(plan) for name, plan in self._plans.items()}
            except DamagedRecordError:  # the ledger no longer knows the record
                missing = self.missing()

    def _count_tries(self, missing: Missing) -> None:
        self._tries.update(
            (work.chunk.dataset, work.chunk.file_index, work.chunk.start) for work in missing.work
        )
        again = sum(self._tries[place] > _TRIES for place in self._tries)
        if again:
            message = (
                f"the ledger {self._ledger.storage.url('')} does not keep what is written to it ({again} results are "
                "missing again and again). Check the disk, or name another place with general.ledger_url."
            )
            raise OutputError(message)

    def _compute(
        self, missing: Missing, title: str, *, show: bool, on_receipt: Callable[[Receipt], None]
    ) -> None:
        self._open = Counter((work.chunk.dataset, work.chunk.file_index) for work in missing.work)
        self._ledger.write_descriptions()
        place = Place.open(self._ledger.storage)
        events = sum(work.chunk.entries for work in missing.work)
        try:
            with show_progress(title, events, "events", show=show) as advance:
                for outcome in self._outcomes(place, missing):
                    if isinstance(outcome, ChunkFailure):
                        self.give_up([outcome])
                    else:
                        self._take(outcome)
                        on_receipt(outcome)
                    advance(outcome.chunk.entries, failures=int(isinstance(outcome, ChunkFailure)))
                    self._close_file(outcome.chunk.dataset, outcome.chunk.file_index)
        finally:
            place.close()
            self._refuse_changed(missing)

    def _outcomes(self, place: Place, missing: Missing) -> Iterator[Receipt | ChunkFailure]:
        task, executor = ProcessChunks(self._config, place, skim_folder(self._config)), self._executor()
        with (
            stoppable(executor) as stop,
            closing(run_work(executor, task, missing.work, self._config, stop=stop)) as outcomes,
        ):
            yield from outcomes
            self.stopped = stop.requested

    def _refuse_changed(self, missing: Missing) -> None:
        """Take back what was computed while a file that it depends on was changed: nobody knows which it read."""
        named = {path: stamp for plan in self._plans.values() for path, stamp in plan.named.items()}
        if not (changed := changed_files(named)):
            return
        for work in missing.work:
            self._ledger.delete(work.names)
            chunk = work.chunk
            plan = self._plans[chunk.dataset]
            file = plan.file(chunk.file_index)
            for batch in self._ledger.batches(plan.name, "file", file.key, file.extent):
                self._ledger.delete([Name(plan.name, "file", file.key, file.extent, batch)])
        message = (
            f"{', '.join(changed[:3])} changed while the run read it, so that its results are of no one content. They "
            "were taken back; run again."
        )
        raise ConfigError(message)

    def _take(self, receipt: Receipt) -> None:
        written = dict(receipt.contents)
        for name in receipt.work.names:
            if name in written:
                self._ledger.put(name, written[name])
            else:
                self._ledger.note(name)
        dataset = receipt.chunk.dataset
        place = (dataset, receipt.chunk.file_index, receipt.chunk.start)
        # for the sake of a failure, or of a lost record, it may be computed again
        if place not in self._taken:
            self._computed[dataset] += 1
            self._computed_entries[dataset] += receipt.chunk.entries
            self._taken.add(place)
        self._cpu_seconds[dataset] += receipt.cpu_seconds
        for url, reason in receipt.passed_over:
            count, first = self._passed_over[dataset].get(url, (0, reason))
            self._passed_over[dataset][url] = (count + 1, first)
        self._plans[dataset].targets.pop((receipt.chunk.file_index, receipt.chunk.start), None)

    def _close_file(self, dataset: str, file_index: int) -> None:
        """Compact a file as soon as its last chunk is done."""
        self._open[dataset, file_index] -= 1
        plan = self._plans[dataset]
        failed = any(index == file_index for index, _ in self._failures[dataset])
        if self._open[dataset, file_index] or failed or not plan.units:
            return
        try:
            compact_file(plan, plan.file(file_index), self._ledger)
        except DamagedRecordError:
            logger.debug("%s, file %d: to be computed again", dataset, file_index)

    def _fold(self, plan: DatasetPlan) -> DatasetFold:
        fold = fold_dataset(plan, self._failures[plan.name], self._ledger)
        fold.computed = self._computed[plan.name]
        fold.computed_entries = self._computed_entries[plan.name]
        fold.cpu_seconds = self._cpu_seconds[plan.name]
        fold.passed_over = self._passed_over[plan.name]
        return fold
