"""The truth about a run: what was expected, what was processed, what was not and why."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.fold import DatasetFold
    from intccms.analysis.normalise import Normalisation
    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config

__all__ = ["DatasetReport", "Failure", "RunReport", "make_report"]


@dataclass(frozen=True)
class Failure:
    """A part of the input that was not processed."""

    dataset: str
    file: str
    start: int | None
    """First entry; None if the whole file is missing."""
    stop: int | None
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class DatasetReport:
    """Expected against processed, for one dataset."""

    name: str
    process: str
    year: str | None
    is_data: bool
    files: int
    failed_files: int
    """Files of which not even the metadata could be read."""
    entries: int
    """Entries of the files that could be read."""
    processed: int
    """Entries that were processed."""
    failed_chunks: int
    sumw: float | None
    """Sum of generator weights over generated events of the processed part (simulation)."""
    scale: float
    """Factor applied: ``xsec * lumi / sumw``."""
    error: str | None = None
    """Why the dataset could not be scaled; nothing of it is then in the histograms of its process."""

    @property
    def coverage(self) -> float:
        """Fraction of entries processed; files of unknown length count as average ones.

        Zero for a dataset that could not be scaled.
        """
        known = self.files - self.failed_files
        if known == 0 or self.error is not None:
            return 0.0
        fraction = self.processed / self.entries if self.entries else 1.0
        return fraction * known / self.files


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    datasets: tuple[DatasetReport, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    lumi: dict[str, float]
    """Luminosity by year [pb^-1]; the key is empty where there is one number."""
    data_processes: tuple[str, ...]
    nan: dict[str, int]
    """``channel/observable`` -> candidates that were NaN and are in no bin."""
    seconds: float
    """Wall time of reading and filling [s]."""
    min_coverage: float

    @property
    def coverage(self) -> float:
        """Coverage of the worst dataset, in entries."""
        return min((one.coverage for one in self.datasets), default=1.0)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.failures

    @property
    def succeeded(self) -> bool:
        """Whether the run counts as a success: nothing is missing, or as little as the configuration allows."""
        return self.complete or (self.min_coverage < 1.0 and self.coverage >= self.min_coverage)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        rate = sum(one.processed for one in self.datasets) / self.seconds if self.seconds else 0.0
        return {
            "complete": self.complete,
            "succeeded": self.succeeded,
            "coverage": self.coverage,
            "events_per_second": rate,
            **asdict(self),
            "datasets": [{**asdict(one), "coverage": one.coverage} for one in self.datasets],
        }

    def __rich__(self) -> RenderableType:
        """Return the report for a terminal."""
        parts: list[RenderableType] = [self._table()]
        if self.failures:
            parts.append(self._failures_text())
        lines = [
            *self.notes,
            *(f"{count} NaN in {name}, in no bin" for name, count in self.nan.items() if count),
        ]
        parts += [Text(f"note: {line}", style="yellow") for line in lines]
        return Group(*parts)

    def _failures_text(self) -> Text:
        reasons: dict[str, Counter[str]] = {}
        for one in self.failures:
            reasons.setdefault(one.reason, Counter())[one.dataset] += 1
        text = Text(f"\n{len(self.failures)} file(s) or chunk(s) failed:", style="bold red")
        for reason, datasets in [*reasons.items()][:12]:
            where = ", ".join(f"{name} ({count})" for name, count in [*datasets.items()][:6])
            more = f" and {len(datasets) - 6} more datasets" if len(datasets) > 6 else ""
            text.append(f"\n  {reason}\n    in {where}{more}", style="red")
        more = f" and {len(reasons) - 12} more reasons" if len(reasons) > 12 else ""
        text.append(f"\n  report.json has the tracebacks{more}", style="red")
        return text

    def _table(self) -> Table:
        table = Table(title="Run report", title_justify="left")
        table.add_column("dataset")
        for name in ("files", "entries", "processed", "coverage", "sum of weights"):
            table.add_column(name, justify="right")
        for one in self.datasets:
            files = f"{one.files - one.failed_files}/{one.files}" if one.failed_files else str(one.files)
            sumw = "" if one.sumw is None else f"{one.sumw:,.6g}"
            style = "" if one.coverage == 1.0 else "red"
            table.add_row(
                one.name,
                files,
                f"{one.entries:,}",
                f"{one.processed:,}",
                f"{100 * one.coverage:.4g} %",
                sumw,
                style=style,
            )
        return table

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(one.name)}</td><td>{one.files - one.failed_files}/{one.files}</td>"
            f"<td>{one.entries:,}</td><td>{one.processed:,}</td><td>{100 * one.coverage:.4g} %</td></tr>"
            for one in self.datasets
        )
        head = "".join(
            f"<th>{name}</th>" for name in ("dataset", "files", "entries", "processed", "coverage")
        )
        missing = "".join(
            f"<li>{html.escape(one.dataset)}: {html.escape(one.file)}: {html.escape(one.reason)}</li>"
            for one in self.failures[:20]
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        lists = (f"<p>Missing:</p><ul>{missing}</ul>" if missing else "") + (
            f"<ul>{notes}</ul>" if notes else ""
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{lists}"


def make_report(
    config: Config,
    metadata: Sequence[DatasetMetadata],
    folds: Mapping[str, DatasetFold],
    normalisations: Mapping[str, Normalisation],
    seconds: float,
) -> RunReport:
    """Return the report of a run from what was expected and what came back."""
    failures: list[Failure] = []
    notes: list[str] = []
    for one in metadata:
        name = one.dataset.name
        failures += [Failure(name, record.name, None, None, record.error or "") for record in one.failed]
        failures += [
            Failure(
                name, lost.chunk.file.name, lost.chunk.start, lost.chunk.stop, lost.reason, lost.traceback
            )
            for lost in folds[name].failures
        ]
        if (error := normalisations[name].error) is not None:
            failures.append(Failure(name, "", None, None, error))
        notes += normalisations[name].notes
        notes += _notes_on_content(one, folds[name])
    return RunReport(
        datasets=tuple(
            _dataset_report(one, folds[one.dataset.name], normalisations[one.dataset.name])
            for one in metadata
        ),
        failures=tuple(failures),
        notes=tuple(notes),
        lumi=_lumi(config),
        data_processes=tuple(dict.fromkeys(one.dataset.process for one in metadata if one.dataset.is_data)),
        nan=_nan(folds),
        seconds=seconds,
        min_coverage=config.general.min_coverage,
    )


def _notes_on_content(metadata: DatasetMetadata, fold: DatasetFold) -> list[str]:
    """Return what a reader should know of a dataset that was read, but perhaps not as meant."""
    name, notes = metadata.dataset.name, []
    if metadata.good and metadata.entries == 0:
        notes.append(f"{name} has no events")
    notes += [
        f"{name}: {first} and {second} are the same file, and count twice" for first, second in metadata.twice
    ]
    left = fold.sums.common.steps.get("lumi mask")
    if left is not None and left[0] == 0 and fold.sums.entries:
        notes.append(f"the lumi mask leaves no event of {name}: is it the one of this data-taking period?")
    for channel, cutflow in (("the common steps", fold.sums.common), *fold.sums.channels.items()):
        if cutflow.mixed:
            notes.append(
                f"{name}: the function behind the cutflow of {channel} names other steps, or in another order, in "
                "different chunks; that cutflow cannot be trusted"
            )
    if absent := sorted(fold.sums.absent_triggers):
        notes.append(
            f"{name}: {', '.join(absent)} absent from its files or some of them, and counted as False there"
        )
    return notes


def _dataset_report(
    metadata: DatasetMetadata, fold: DatasetFold, normalisation: Normalisation
) -> DatasetReport:
    dataset = metadata.dataset
    return DatasetReport(
        name=dataset.name,
        process=dataset.process,
        year=dataset.year,
        is_data=dataset.is_data,
        files=len(metadata.files),
        failed_files=len(metadata.failed),
        entries=metadata.entries,
        processed=fold.sums.entries,
        failed_chunks=len(fold.failures),
        sumw=normalisation.sumw,
        scale=normalisation.factor,
        error=normalisation.error,
    )


def _lumi(config: Config) -> dict[str, float]:
    lumi = config.general.lumi
    if lumi is None:
        return {}
    if not isinstance(lumi, dict):
        return {"": lumi}
    used = {dataset.year for dataset in config.selected_datasets()}
    return {year: value for year, value in lumi.items() if year in used or used == {None}}


def _nan(folds: Mapping[str, DatasetFold]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for fold in folds.values():
        for (channel, observable), content in fold.sums.histograms.items():
            if content.nan:
                counts[f"{channel}/{observable}"] += content.nan
    return dict(counts)
