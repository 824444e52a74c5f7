"""A whole run: metadata, histograms, plots and the report, in one object."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from intccms.analysis.chunks import chunks_of
from intccms.analysis.executors import Executor, Lost, make_executor
from intccms.analysis.fold import DatasetFold, Fold
from intccms.analysis.normalise import normalise
from intccms.analysis.preflight import check_plotting, check_weights
from intccms.analysis.progress import show_progress
from intccms.analysis.report import RunReport, make_report
from intccms.analysis.results import Chunk, ChunkFailure
from intccms.analysis.scheduling import run_chunks
from intccms.analysis.tables import cutflow_of_processes
from intccms.datasets import DatasetManager
from intccms.errors import IntccmsError
from intccms.histograms import load_output, merge_processes, save_histograms, to_datasets
from intccms.histograms.storage import save_output
from intccms.metadata import (
    DatasetMetadata,
    FileMetadata,
    MetadataStore,
    MetadataTask,
    forget_files,
    read_metadata,
)
from intccms.schema import Config, load_config
from intccms.schema.loading import config_modules
from intccms.selection.lumimask import check_golden_json
from intccms.skimming import ColumnPlan
from intccms.utils.logging import log_to
from intccms.utils.output import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["AnalysisRunner", "RunResult"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    output: dict[str, Any]
    """The content of ``output.coffea``: histograms, entries, cutflow, report and config."""
    report: RunReport | None
    """The report; None if no events were read."""
    path: Path
    """The run directory."""
    plots: tuple[Path, ...] = ()
    """The plots that were made."""

    @property
    def succeeded(self) -> bool:
        """Whether nothing is missing, or as little as the configuration allows."""
        return bool(self.output.get("report", {}).get("succeeded", True))


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
        self.directory = RunDirectory(self.config.general.output_dir)
        self._client = client
        self._progress = progress
        self._executor: Executor | None = None
        self._metadata: list[DatasetMetadata] | None = None
        self._metadata_of: Any = None
        self._started = datetime.now(UTC)

    def run(self) -> RunResult:
        """Run all stages that the switches ask for, and return what came out.

        Raises
        ------
        IntccmsError
            For what no part of the run can survive; a bad file or a failing chunk is reported instead.
        """
        self.config.check()
        with log_to(self.directory.logs / "run.log"):
            check_plotting(self.config)
            self._say_what_is_off()
            return self._run_stages()

    def _run_stages(self) -> RunResult:
        general = self.config.general
        if general.run_plots_only:
            return self.plot()
        with self._workers():
            if not general.run_processor:
                self._refresh_metadata()
                return self.plot()
            result = self.histogram()
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
        self.config.check()
        manager = DatasetManager(self.config)
        store = self._store()
        for dataset in manager.datasets:
            if not dataset.is_data:
                self.config.lumi_of(dataset)
            elif dataset.lumi_mask is not None:
                check_golden_json(dataset.lumi_mask)
            manager.files(dataset.name)
        with self._workers() as executor:

            def run(tasks: Sequence[MetadataTask]) -> Iterator[tuple[MetadataTask, FileMetadata]]:
                with show_progress("metadata", len(tasks), "files", show=self._progress) as advance:
                    for done in executor().map(MetadataTask.__call__, tasks):
                        task, record = (done.item, _lost_metadata(done)) if isinstance(done, Lost) else done
                        advance(1, failures=int(record.error is not None))
                        yield task, record

            self._metadata = read_metadata(
                manager, store, run, refresh=self.config.general.run_metadata_generation
            )
        samples = [(one.branches, one.dataset.is_data) for one in self._metadata if one.branches is not None]
        plan = ColumnPlan(self.config)
        plan.check(samples)
        check_weights(self._metadata)
        for warning in plan.absent_triggers(samples):
            logger.warning("%s", warning)
        self._metadata_of = self._inputs()
        return self._metadata

    def _inputs(self) -> Any:
        """Return what the metadata are of: in a notebook the configuration may change between two stages."""
        general = self.config.general
        return (
            self.config.datasets.model_dump(),
            general.processes,
            general.weight_branch,
            general.metadata_dir,
        )

    def _refresh_metadata(self) -> None:
        """Bring the metadata up to date as far as the input is there: histograms exist already and do not need it."""
        if self.config.general.run_metadata_generation:
            try:
                self.metadata()
            except IntccmsError as exc:
                logger.warning("the metadata were not brought up to date: %s", exc)

    def histogram(self) -> RunResult:
        """Process all chunks, write histograms, cutflow and report to the run directory, and return them.

        Raises
        ------
        OutputError
            If the run directory cannot be written.
        """
        known = self._metadata if self._metadata_of == self._inputs() else None
        metadata = known or self.metadata()
        chunks = [
            chunk for one in metadata for chunk in chunks_of(one, self.config.preprocess.skimming.chunk_size)
        ]
        fold = Fold(chunks, [one.dataset.name for one in metadata])
        begin = time.monotonic()
        with self._workers() as executor, self._show("histogram", chunks) as advance:
            if chunks:
                for outcome in run_chunks(executor(), self.config, chunks):
                    fold.put(outcome)
                    advance(outcome.chunk.entries, failures=int(isinstance(outcome, ChunkFailure)))
        self._forget_replaced(fold.datasets)
        result = self._write(metadata, fold.datasets, time.monotonic() - begin)
        _log_outcome(result.report)
        return result

    def _forget_replaced(self, folds: Mapping[str, DatasetFold]) -> None:
        """Have files that were replaced behind a URL looked at again by the next run; nothing else tells of them."""
        manager = DatasetManager(self.config)
        for dataset in manager.datasets:
            names = {failure.chunk.file.name for failure in folds[dataset.name].failures if failure.replaced}
            if names:
                forget_files(self._store(), dataset, names, manager.files(dataset.name))
                self._metadata = None

    def _store(self) -> MetadataStore:
        return MetadataStore(self.config.general.metadata_dir or self.directory.metadata)

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

    _report: RunReport | None = None

    def _write(
        self, metadata: Sequence[DatasetMetadata], folds: Mapping[str, DatasetFold], seconds: float
    ) -> RunResult:
        config = self.config
        names = [one.dataset.name for one in metadata]
        scales = {one.dataset.name: normalise(config, one, folds[one.dataset.name]) for one in metadata}
        self._report = report = make_report(config, metadata, folds, scales, seconds)
        processes: dict[str, list[str]] = {}
        for one in metadata:
            processes.setdefault(one.dataset.process, []).append(one.dataset.name)
        channels = config.selected_channels() if config.general.run_histogramming else []
        sums = {name: folds[name].sums.histograms for name in names}
        by_dataset = to_datasets(channels, sums, names)
        by_process = merge_processes(channels, sums, processes, lambda name: scales[name].factor)
        output = {
            "histograms": by_process.histograms,
            "entries": by_process.entries,
            "cutflow": cutflow_of_processes(config.selected_channels(), folds, processes, scales),
            "report": report.to_json(),
            "config": config.to_json(),
        }
        # plots are made of it: an old one must not stand beside new histograms if the disk is full now
        self.directory.output.unlink(missing_ok=True)
        save_histograms(self.directory.histograms, by_dataset, by_process)
        self.directory.write_json(self.directory.report, output["report"])
        self._write_context()
        save_output(self.directory.output, output)
        return RunResult(output, report, self.directory.path)

    def _write_context(self) -> None:
        parts = (
            "datasets",
            "preprocess",
            "good_object_masks",
            "baseline_selection",
            "ghost_observables",
            "channels",
        )
        self.directory.write_config(
            self.config.to_json(),
            modules=config_modules(self.config),
            source=self.config.source,
            overrides=self.config.overrides,
            digests={part: self.config.digest(part) for part in parts},
        )
        executor = self.config.general.executor
        self.directory.write_provenance(
            executor=executor if isinstance(executor, str) else type(executor).__name__,
            started=self._started.isoformat(),
            ended=datetime.now(UTC).isoformat(),
        )

    def _show(self, title: str, chunks: Sequence[Chunk]) -> Any:
        return show_progress(title, sum(chunk.entries for chunk in chunks), "events", show=self._progress)

    @contextmanager
    def _workers(self) -> Iterator[Any]:
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
        for name, reason in _NOTHING_TO_SWITCH.items():
            if name in general.model_fields_set:
                logger.info("general.%s=%s: %s, so it does nothing", name, getattr(general, name), reason)


_NOTHING_CONFIGURED = {
    "run_mva_training": "nothing is configured for it (no 'mva')",
    "run_statistics": "nothing is configured for it (no 'statistics')",
}
_NOTHING_TO_SWITCH = {
    "run_systematics": "no corrections are configured",
    "read_from_cache": "no skims are read",
}


def _lost_metadata(lost: Lost) -> FileMetadata:
    file = lost.item.file
    return FileMetadata(file.name, file.urls, error=f"reading it failed: {lost.reason}")


def _log_outcome(report: RunReport | None) -> None:
    if report is None:
        return
    for one in report.datasets:
        logger.debug(
            "%s: %d of %d entries in %d files processed", one.name, one.processed, one.entries, one.files
        )
    for failure in report.failures:
        where = "" if failure.start is None else f" [{failure.start}:{failure.stop}]"
        logger.debug("failed: %s: %s%s: %s", failure.dataset, failure.file, where, failure.reason)
