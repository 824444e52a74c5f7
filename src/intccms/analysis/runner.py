"""A whole run: metadata, skims, histograms, plots and the report, in one object."""

from __future__ import annotations

import functools
import logging
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from intccms.analysis.chunks import files_of
from intccms.analysis.context import open_ledger, register, write_context, write_plan
from intccms.analysis.executors import Executor, make_executor
from intccms.analysis.ledger import DatasetPlan, Missing, Units
from intccms.analysis.outcome import write_results
from intccms.analysis.preflight import (
    check_corrections,
    check_payload_files,
    check_plotting,
    check_skims,
)
from intccms.analysis.processing import Processing
from intccms.analysis.progress import show_progress
from intccms.analysis.run_result import RunResult
from intccms.analysis.skimbook import SkimReader, SkimWriter
from intccms.analysis.source import column_notes, forget_replaced, left_out, source_metadata
from intccms.errors import IntccmsError, StoppedError
from intccms.histograms import load_output
from intccms.metadata import DatasetMetadata, MetadataStore, wanted_sums
from intccms.schema import Config, load_config
from intccms.schema.loading import config_modules
from intccms.skimming.places import skim_folder
from intccms.utils.lock import run_lock
from intccms.utils.logging import log_to
from intccms.utils.output import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from intccms.analysis.packing import Packing
    from intccms.analysis.report import RunReport
    from intccms.analysis.skim_check import SkimCheck
    from intccms.systematics.describe import PlanDescription

__all__ = ["AnalysisRunner", "RunResult"]

logger = logging.getLogger(__name__)


class AnalysisRunner:
    """Runs a configuration, as a whole or stage by stage.

    Parameters
    ----------
    config
        A `Config`, its dict, or what `load_config` takes.
    client
        Dask client for ``general.executor="dask"``; None starts a local cluster for the length of a stage.
    progress
        Show progress bars.

    Raises
    ------
    ConfigError
        If the configuration is not valid.
    """

    def __init__(
        self, config: Config | Mapping[str, Any] | str | Path, client: Any = None, *, progress: bool = True
    ) -> None:
        self.config = config if isinstance(config, Config) else load_config(config)
        self.config.check()
        self._client = client
        self._progress = progress
        self._executor: Executor | None = None
        self._metadata: list[DatasetMetadata] | None = None
        self._metadata_of: Any = None
        self._started = datetime.now(UTC)
        self._report: RunReport | None = None

    @property
    def directory(self) -> RunDirectory:
        """The run directory."""
        return RunDirectory(self.config.general.output_dir)

    def run(self, *, only: Callable[[Missing], Missing] | None = None) -> RunResult:
        """Run all stages that the switches ask for, and return what came out.

        Parameters
        ----------
        only
            Chooses from the work that is left; what it leaves out is reported as not run.

        Raises
        ------
        LockedError
            If another process works in the run directory.
        IntccmsError
            For what no part of the run can survive; a bad file or a failing chunk is reported instead.
        """
        self.config.check()
        self._started = datetime.now(UTC)
        with self._at_work():
            check_plotting(self.config)
            check_skims(self.config)
            if self._histograms_events:
                check_payload_files(self.config)
            self._say_what_is_off()
            return self._run_stages(only)

    def _run_stages(self, only: Callable[[Missing], Missing] | None) -> RunResult:
        general = self.config.general
        if general.run_plots_only:
            return self.plot()
        with self._workers():
            if not general.run_processor:
                self._refresh_metadata()
                return self.plot()
            if not self.config.analyses:
                return self.skim(only=only)
            if general.use_skimmed_input and general.run_skimming:
                self._check_corrections()
                skims = self.skim()
                if not skims.succeeded:
                    logger.warning(
                        "the skims are incomplete; what they lack counts as failed, unless it was computed before"
                    )
            result = self.histogram(only=only)
        processed = result.report is None or any(one.processed for one in result.report.datasets)
        return self.plot() if general.run_histogramming and processed else result

    def metadata(self) -> list[DatasetMetadata]:
        """Bring the metadata of all datasets up to date, and check the declared columns against them.

        Raises
        ------
        ConfigError
            If a dataset is empty, or a declared column is in none of the files looked at.
        MetadataError, NoReachableReplicaError
            As `read_metadata`.
        """
        return self._read_metadata(_nothing)

    def _read_metadata(self, before_reading: Callable[[], None]) -> list[DatasetMetadata]:
        """Return the metadata, and call a function first if any file has to be looked at for them."""
        self.config.check()
        with self._at_work(), self._workers() as executor:
            self._metadata = source_metadata(
                self.config, self._store(), executor, show=self._progress, before_reading=before_reading
            )
        self._metadata_of = self._inputs()
        return self._metadata

    @property
    def _histograms_events(self) -> bool:
        """Whether the switches ask for histograms of events."""
        general = self.config.general
        return general.run_processor and self.config.analyses and not general.run_plots_only

    def _check_corrections(self) -> None:
        check_corrections(self.config, show=self._progress)
        if self.config.all_corrections():
            from intccms.systematics.describe import slips_of

            for text in slips_of(self.config):
                logger.warning("%s", text)

    def plan(self) -> Missing:
        """Return what a run would compute and why, without computing it.

        Metadata are brought up to date; nothing else is written.

        Raises
        ------
        IntccmsError
            As the run would.
        """
        with self._at_work(), self._workers() as executor:
            check = self._check_corrections if self.config.analyses else _nothing
            plans, _ = self._plans(
                write_skims=self._writes_skims, channels=self.config.analyses, before_reading=check
            )
            missing = Processing(self.config, plans, open_ledger(self.config), executor).missing()
            missing.notes = self._column_notes(plans, writes_skims=self._writes_skims)
            return missing

    def _column_notes(self, plans: list[DatasetPlan], *, writes_skims: bool) -> tuple[str, ...]:
        metadata = [plan.metadata for plan in plans]
        return column_notes(self.config, metadata, writes_skims=writes_skims)

    @property
    def _writes_skims(self) -> bool:
        """Whether the pass that the switches ask for writes skims."""
        general = self.config.general
        return not self.config.analyses or (general.save_skimmed_output and not general.use_skimmed_input)

    def systematics(self, *, events: int | None = None) -> PlanDescription:
        """Return the variations of the run and how they are evaluated, to be looked at; nothing is read or computed.

        Parameters
        ----------
        events
            Selected events of a chunk, for the estimate of memory; default: 4,000.
        """
        from intccms.systematics.describe import describe_plan

        self.config.check()
        return describe_plan(self.config) if events is None else describe_plan(self.config, events=events)

    def plans(self) -> list[DatasetPlan]:
        """Return the datasets with their files and chunks, as a run would read them.

        Raises
        ------
        IntccmsError
            As the run would.
        """
        with self._workers():
            return self._plans(write_skims=False, channels=self.config.analyses)[0]

    def skim(self, *, only: Callable[[Missing], Missing] | None = None) -> RunResult:
        """Write the skims of all datasets and their contracts, and return the report.

        Raises
        ------
        OutputError
            If skims, ledger or run directory cannot be written.
        """
        return self._pass("skim", channels=False, only=only)

    def pack_skim(self, *, events: int = 50_000) -> list[Packing]:
        """Put small parts of the skims together into fewer files; chunks and results stay as they are.

        Parameters
        ----------
        events
            Events of a file to aim at.

        Raises
        ------
        IntccmsError
            As `pack_skims`.
        """
        from intccms.analysis.packing import pack_skims

        with self._at_work(), self._workers() as executor:
            return pack_skims(self.config, executor(), events=events, show=self._progress)

    def check_skim(self, *, fraction: float = 0.01, seed: int = 0) -> SkimCheck:
        """Look for selected events that the skim has lost, in a sample of the events before the skim.

        Skims that are not written yet are stood for by their function.

        Parameters
        ----------
        fraction
            Of the events; at least a few thousand of each dataset.
        seed
            Of the choice of events.

        Raises
        ------
        ConfigError
            If skims were written for another configuration; it says what differs.
        """
        from intccms.analysis.skim_check import check_skims

        with self._at_work(), self._workers() as executor:
            self._check_corrections()
            reader = SkimReader(self.config, Units(self.config))
            written = reader.is_written
            plans = reader.plans() if written else self._plans(write_skims=False, channels=False)[0]
            return check_skims(
                self.config,
                plans,
                executor(),
                fraction=fraction,
                seed=seed,
                written=written,
                show=self._progress,
            )

    def histogram(self, *, only: Callable[[Missing], Missing] | None = None) -> RunResult:
        """Process all chunks, write histograms, cutflow and report to the run directory, and return them.

        Only what the ledger lacks is computed.

        Raises
        ------
        OutputError
            If ledger, skims or run directory cannot be written.
        StoppedError
            If the user pressed Ctrl-C, after what ran was finished and everything was written.
        """
        return self._pass("histogram", channels=True, only=only)

    def _pass(self, title: str, *, channels: bool, only: Callable[[Missing], Missing] | None) -> RunResult:
        with self._at_work(), self._workers() as executor:
            writes = not channels or self._writes_skims
            check = functools.cache(self._check_corrections if channels else _nothing)
            plans, writer = self._plans(write_skims=writes, channels=channels, before_reading=check)
            begin = time.monotonic()
            processing = Processing(self.config, plans, open_ledger(self.config), executor)
            missing = processing.missing()
            if missing.work:
                check()
                missing.notes = self._column_notes(plans, writes_skims=writer is not None)
            self._announce(missing)
            if writer is not None:
                writer.begin()
            register(self.config)
            write_context(self.config, self.directory)
            write_plan(self.config, self.directory, plans)
            if only is not None:
                missing = processing.leave_out(missing, only(missing))
            missing = processing.leave_out_unskimmed(missing)
            on_receipt = writer.take if writer is not None else lambda _receipt: None
            try:
                folds = processing.run(missing, title=title, show=self._progress, on_receipt=on_receipt)
            except IntccmsError:
                try:
                    self._keep_parts(writer, processing, plans)
                except IntccmsError as exc:  # what stopped the run matters more; the ledger knows the parts
                    logger.debug("the manifests of the skims were not written either: %s", exc)
                raise
            self._keep_parts(writer, processing, plans)
            result = self._finish(plans, folds, time.monotonic() - begin, writer)
            if processing.stopped:
                raise StoppedError(self._what_was_saved(result))
            return result

    def _keep_parts(
        self, writer: SkimWriter | None, processing: Processing, plans: list[DatasetPlan]
    ) -> None:
        """Enter the skim parts that were written into their manifests."""
        if writer is not None:
            writer.commit(processing.failures)
            write_plan(self.config, self.directory, plans)  # without the parts that are there now

    def _plans(
        self, *, write_skims: bool, channels: bool = True, before_reading: Callable[[], None] | None = None
    ) -> tuple[list[DatasetPlan], SkimWriter | None]:
        """Return what the run wants of each dataset, and what writes the skims, if that is asked for."""
        units = Units(self.config)
        if self.config.general.use_skimmed_input and channels:
            return SkimReader(self.config, units).plans(), None
        known = self._metadata if self._metadata_of == self._inputs() else None
        size = self.config.preprocess.skimming.chunk_size
        plans = [
            DatasetPlan(
                one,
                list(files_of(one, size)),
                units.channels(one.dataset) if channels else {},
                named=units.files,
            )
            for one in known or self._read_metadata(before_reading or _nothing)
        ]
        if not write_skims:
            return plans, None
        writer = SkimWriter(self.config, units, open_ledger(self.config))
        writer.prepare(plans, force=self.config.general.run_skimming)
        return plans, writer

    def _finish(
        self, plans: list[DatasetPlan], folds: Mapping[str, Any], seconds: float, writer: SkimWriter | None
    ) -> RunResult:
        metadata = [plan.metadata for plan in plans]
        reads_source = not self.config.general.use_skimmed_input or writer is not None
        if reads_source and forget_replaced(self.config, self._store(), folds):
            self._metadata = None
        output, self._report = write_results(
            self.config,
            self.directory,
            metadata,
            folds,
            started=self._started,
            seconds=seconds,
            skipped=left_out(self.config),
            skims=skim_folder(self.config) if writer is not None else None,
            histograms=any(plan.units for plan in plans) or self.config.analyses,
        )
        _log_outcome(self._report)
        return RunResult(output, self._report, self.directory.path)

    def _what_was_saved(self, result: RunResult) -> str:
        datasets = result.report.datasets if result.report is not None else ()
        done, all_ = (sum(getattr(one, name) for one in datasets) for name in ("processed", "entries"))
        return (
            f"stopped, as you wished: {done:,} of {all_:,} events are done and saved. Histograms and report in "
            f"{self.directory.path} hold these and are marked incomplete; the same command goes on from there."
        )

    def result(self) -> RunResult:
        """Return what stands in the run directory.

        Raises
        ------
        OutputError
            If there is nothing yet.
        """
        return RunResult(load_output(self.directory.output), self._report, self.directory.path)

    def plot(self) -> RunResult:
        """Plot the histograms of the run directory, and return them with the paths of the plots.

        Raises
        ------
        OutputError
            If there are no histograms yet.
        """
        from intccms.plotting import plot_run

        result = self.result()
        wanted = self.config.general.channels
        total = sum(len(observables) for observables in result.output["histograms"].values())
        with show_progress("plots", total, "plots", show=self._progress) as advance:
            plots = plot_run(
                self.directory.path,
                plotting=self.config.plotting,
                channels=wanted,
                on_plot=lambda path: advance(int(not path.stem.endswith("_log"))),
            )
        return RunResult(result.output, result.report, result.path, tuple(plots))

    def _announce(self, missing: Missing) -> None:
        """Say what will be computed and why; in notebooks, where nobody set up logging, as a display."""
        for line in missing.lines():
            logger.info("%s", line)
        if self._progress and not logging.getLogger().handlers:
            Console().print(missing)

    def _inputs(self) -> Any:
        """Return what the metadata are of: in a notebook the configuration may change between two stages."""
        general = self.config.general
        return (
            self.config.datasets.model_dump(),
            general.processes,
            general.weight_branch,
            general.metadata_dir,
            [wanted_sums(self.config, dataset) for dataset in self.config.selected_datasets()],
        )

    def _refresh_metadata(self) -> None:
        """Bring the metadata up to date as far as the input is there: histograms exist already and do not need it."""
        if self.config.general.run_metadata_generation:
            try:
                self.metadata()
            except StoppedError:
                raise
            except IntccmsError as exc:
                logger.warning("the metadata were not brought up to date: %s", exc)

    def _store(self) -> MetadataStore:
        return MetadataStore(self.config.general.metadata_dir or self.directory.metadata)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Hold the run directory, and keep a log in it."""
        with run_lock(self.directory.path), log_to(self.directory.logs / "run.log"):
            yield

    @contextmanager
    def _workers(self) -> Iterator[Callable[[], Executor]]:
        """Yield a function that returns the executor; a local cluster starts with the first call to it.

        Nested uses share one executor; the outermost closes it.
        """
        outermost = self._executor is None
        try:
            yield self._get_executor
        finally:
            if outermost and self._executor is not None:
                self._executor.close()
                self._executor = None

    def _get_executor(self) -> Executor:
        if self._executor is None:
            general = self.config.general
            self._executor = make_executor(
                general.executor,
                workers=general.workers,
                client=self._client,
                modules=config_modules(self.config),
            )
        return self._executor

    def _say_what_is_off(self) -> None:
        """Say of switches that were set, and have nothing to act on, that they do nothing."""
        general = self.config.general
        for name, reason in _NOTHING_CONFIGURED.items():
            if getattr(general, name):
                logger.warning("general.%s=True: %s, so it does nothing", name, reason)
        if not general.run_systematics and not self.config.all_corrections():
            logger.info("general.run_systematics=False: no corrections are configured, so it does nothing")


_NOTHING_CONFIGURED = {
    "run_mva_training": "nothing is configured for it (no 'mva')",
    "run_statistics": "nothing is configured for it (no 'statistics')",
}


def _nothing() -> None:
    """Stand for what need not be done first."""


def _log_outcome(report: RunReport) -> None:
    for one in report.datasets:
        logger.debug(
            "%s: %d of %d entries in %d files processed", one.name, one.processed, one.entries, one.files
        )
    for failure in report.failures:
        where = "" if failure.start is None else f" [{failure.start}:{failure.stop}]"
        logger.debug("failed: %s: %s%s: %s", failure.dataset, failure.file, where, failure.reason)
