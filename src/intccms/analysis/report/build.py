"""Makes the report of a run from what was expected and what came back."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from intccms.analysis.report.model import DatasetReport, Failure, RunReport, Skipped
from intccms.metadata import notes_on_shared_files
from intccms.metadata.lumis import count_sections, union
from intccms.schema.secrets import masked, masked_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from intccms.analysis.fold import DatasetFold
    from intccms.analysis.normalise import Normalisation
    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config

__all__ = ["make_report"]


def make_report(
    config: Config,
    metadata: Sequence[DatasetMetadata],
    folds: Mapping[str, DatasetFold],
    normalisations: Mapping[str, Normalisation],
    seconds: float,
    *,
    skipped: Iterable[Skipped] = (),
    outputs: Iterable[tuple[str, str]] = (),
    provenance: Mapping[str, Any] | None = None,
    computed_entries: Mapping[str, int] | None = None,
) -> RunReport:
    """Return the report of a run from what was expected and what came back.

    Parameters
    ----------
    config
        Gives luminosity, ``min_coverage`` and the run directory.
    metadata
        What was expected: the datasets with their files.
    folds
        What came back, by dataset.
    normalisations
        How each dataset is scaled.
    seconds
        Wall time of reading and filling [s].
    skipped
        Input that was left out on purpose.
    outputs
        What the run leaves: path relative to the run directory, and what it is.
    provenance
        Versions, host, command and times; credentials in it are masked.
    computed_entries
        Entries of the chunks computed in this run, by dataset; where it is not given, the processed entries count
        with the share of chunks that were computed.
    """
    left_out = tuple(skipped)
    names = [one.dataset.name for one in metadata]
    counted = computed_entries or {}
    return RunReport(
        datasets=tuple(
            _dataset_report(one, folds[name], normalisations[name], counted.get(name))
            for name, one in zip(names, metadata, strict=True)
        ),
        failures=tuple(_failures(metadata, folds, normalisations)),
        notes=(
            *(
                note
                for name, one in zip(names, metadata, strict=True)
                for note in (
                    *normalisations[name].notes,
                    *_notes_on_content(one, folds[name]),
                    *_notes_on_limits(one, left_out),
                )
            ),
            *notes_on_shared_files(metadata),
        ),
        lumi=_lumi(config),
        data_processes=tuple(dict.fromkeys(one.dataset.process for one in metadata if one.dataset.is_data)),
        nan=_nan(folds),
        seconds=seconds,
        min_coverage=config.general.min_coverage,
        skipped=left_out,
        outputs=tuple(outputs),
        provenance=masked(dict(provenance or {})),
        path=str(config.general.output_dir),
    )


def _failures(
    metadata: Sequence[DatasetMetadata],
    folds: Mapping[str, DatasetFold],
    normalisations: Mapping[str, Normalisation],
) -> Iterator[Failure]:
    hidden = cache(masked_text)  # many chunks fail with few tracebacks, and masking one takes a while
    for one in metadata:
        name = one.dataset.name
        for record in one.failed:
            yield Failure(name, record.name, None, None, hidden(record.error or ""))
        for lost in folds[name].failures:
            chunk = lost.chunk
            yield Failure(
                name,
                chunk.file.name,
                chunk.start,
                chunk.stop,
                hidden(lost.reason),
                hidden(lost.traceback),
                chunk.label,
                chunk.entries,
            )
        if (error := normalisations[name].error) is not None:
            yield Failure(name, "", None, None, error, entries=folds[name].sums.entries)


def _notes_on_limits(metadata: DatasetMetadata, skipped: Iterable[Skipped]) -> list[str]:
    """Return a warning for data of which files were left out: unlike simulation, nothing scales them."""
    name = metadata.dataset.name
    return [
        f"{name}: {len(metadata.files)} of {len(metadata.files) + one.files} files were read ({one.reason}); data are "
        "not scaled, simulation is scaled to the full luminosity"
        for one in skipped
        if one.dataset == name and one.files and metadata.dataset.is_data
    ]


def _notes_on_content(metadata: DatasetMetadata, fold: DatasetFold) -> list[str]:
    """Return what a reader should know of a dataset that was read, but perhaps not as meant."""
    name, notes = metadata.dataset.name, []
    if metadata.good and metadata.entries == 0:
        notes.append(f"{name} has no events")
    missing = metadata.entries - fold.sums.entries - sum(lost.chunk.entries for lost in fold.failures)
    if missing:
        notes.append(
            f"{name}: {abs(missing)} entries {'fewer' if missing > 0 else 'more'} were processed than its files have, "
            "and no failure accounts for them; its histograms cannot be trusted"
        )
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
    if absent := sorted(fold.sums.absent_corrections):
        notes.append(
            f"{name}: its files, or some of them, lack columns of the corrections {', '.join(absent)}, which change "
            "nothing there"
        )
    if absent := sorted(fold.sums.absent_triggers):
        notes.append(
            f"{name}: {', '.join(absent)} absent from its files or some of them, and counted as False there"
        )
    if split := fold.sums.split:
        notes.append(
            f"{name}: {split} chunk{'s' if split > 1 else ''} did not fit into the memory of a worker and ran in pieces; "
            "sums differ from those of whole chunks by rounding only"
        )
    notes += _notes_on_replicas(metadata)
    notes += [
        f"{name}: {count} chunk{'s' if count > 1 else ''} could not be read from "
        f"{masked_text(url)} and came from another replica ({masked_text(reason)})"
        for url, (count, reason) in fold.passed_over.items()
    ]
    return notes


def _notes_on_replicas(metadata: DatasetMetadata) -> Iterator[str]:
    """Yield a note for each redirector behind which files could not be read, though their other replicas could."""
    reasons: dict[str, list[str]] = {}
    for record in metadata.good:
        for url, reason in record.passed_over:
            reasons.setdefault(url.removesuffix(record.name).rstrip("/"), []).append(reason)
    for where, found in reasons.items():
        files = "1 file" if len(found) == 1 else f"{len(found)} files"
        yield (
            f"{metadata.dataset.name}: {files} could not be read from {masked_text(where)}, and the metadata came from "
            f"another replica ({masked_text(found[0])})"
        )


def _dataset_report(
    metadata: DatasetMetadata,
    fold: DatasetFold,
    normalisation: Normalisation,
    computed_entries: int | None,
) -> DatasetReport:
    dataset = metadata.dataset
    data = dataset.is_data
    return DatasetReport(
        name=dataset.name,
        process=dataset.process,
        year=dataset.year,
        is_data=data,
        files=len(metadata.files),
        failed_files=len(metadata.failed),
        entries=metadata.entries,
        processed=fold.sums.entries,
        failed_chunks=len(fold.failures),
        sumw=normalisation.sumw,
        scale=normalisation.factor,
        error=normalisation.error,
        sumw_expected=None if data else _sumw_expected(metadata),
        lumi_sections=count_sections(union(record.lumis for record in metadata.good)) if data else None,
        processed_lumi_sections=count_sections(fold.lumis) if data else None,
        chunks=fold.chunks,
        computed=fold.computed,
        reused=fold.reused,
        computed_entries=_computed_entries(fold) if computed_entries is None else computed_entries,
        cpu_seconds=fold.cpu_seconds,
    )


def _sumw_expected(metadata: DatasetMetadata) -> float:
    total = 0.0
    for record in metadata.good:  # no sum(): that rounds otherwise than the normalisation does
        total += record.sumw or 0.0
    return total


def _computed_entries(fold: DatasetFold) -> int:
    done = fold.computed + fold.reused
    return round(fold.sums.entries * fold.computed / done) if done else 0


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
