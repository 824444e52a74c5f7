"""Writes what a run found to its directory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from intccms.analysis.normalise import normalise
from intccms.analysis.report import RunReport, Skipped, make_report, write_report
from intccms.analysis.scales import member_sets, scale_of, variations_of
from intccms.analysis.tables import cutflow_of_processes
from intccms.histograms import merge_processes, save_histograms, to_datasets
from intccms.histograms.storage import save_output
from intccms.utils.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.fold import DatasetFold
    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config
    from intccms.utils.output import RunDirectory

__all__ = ["write_results"]

_PLOTS = (("plots", "pictures"), ("cutflow", "tables of the cutflow"))
_OUTPUTS = (
    ("output.coffea", "histograms, entries, cutflow, report, configuration"),
    ("histograms/histograms.root", "the same histograms for ROOT"),
    ("histograms/by_dataset.coffea", "as filled, by dataset, not scaled"),
)


def write_results(
    config: Config,
    directory: RunDirectory,
    metadata: Sequence[DatasetMetadata],
    folds: Mapping[str, DatasetFold],
    *,
    started: datetime,
    seconds: float,
    skipped: Sequence[Skipped] = (),
    skims: str | None = None,
    histograms: bool = True,
) -> tuple[dict[str, Any], RunReport]:
    """Write histograms, cutflow and report, and return what stands in ``output.coffea`` and the report.

    Parameters
    ----------
    config, directory, metadata, folds
        What was run, where, on what, and what came of it.
    started, seconds
        When the run began, and the wall time of reading and filling [s].
    skipped
        Input that was left out on purpose.
    skims
        Where skims were written; None if none were.
    histograms
        False: the run was a skim only. Histograms of earlier runs stay as they are.

    Raises
    ------
    OutputError
        If the run directory cannot be written.
    """
    scales = {one.dataset.name: normalise(config, one, folds[one.dataset.name]) for one in metadata}
    plotted = config.general.run_histogramming and any(fold.sums.entries for fold in folds.values())
    outputs = [*(_PLOTS if histograms and plotted else ()), *(_OUTPUTS if histograms else ())]
    outputs += [] if skims is None else [(skims, "skims")]
    facts = _provenance(config, started)
    report = make_report(
        config,
        metadata,
        folds,
        scales,
        seconds,
        skipped=skipped,
        outputs=outputs,
        provenance=facts,
        computed_entries={name: fold.computed_entries for name, fold in folds.items()},
    )
    processes: dict[str, list[str]] = {}
    for one in metadata:
        processes.setdefault(one.dataset.process, []).append(one.dataset.name)
    output = {
        "histograms": {},
        "entries": {},
        "cutflow": cutflow_of_processes(config.selected_channels(), folds, processes, scales),
        "report": report.to_json(),
        "config": config.to_json(),
    }
    if histograms:
        channels = config.selected_channels() if config.general.run_histogramming else []
        names = [one.dataset.name for one in metadata]
        sums = {name: folds[name].sums.histograms for name in names}
        state = {"complete": report.complete, "coverage": report.coverage}
        by_dataset = to_datasets(channels, sums, names, state)
        by_process = merge_processes(
            channels,
            sums,
            processes,
            {
                one.dataset.name: scale_of(config, one.dataset, scales[one.dataset.name]) for one in metadata
            }.__getitem__,
            state,
            sets=member_sets(config, [one.dataset for one in metadata]),
            variations=variations_of(config, [one.dataset for one in metadata]),
        )
        output |= {"histograms": by_process.histograms, "entries": by_process.entries}
        # plots are made of it: an old one must not stand beside new histograms if the disk is full now
        directory.output.unlink(missing_ok=True)
        data = [one.dataset.process for one in metadata if one.dataset.is_data]
        save_histograms(directory.histograms, by_dataset, by_process, state, data=data)
    write_report(directory, report)
    directory.write_provenance(facts)
    if histograms:
        save_output(directory.output, output)
    return output, report


def _provenance(config: Config, started: datetime) -> dict[str, Any]:
    executor = config.general.executor
    return {
        **provenance(),
        "executor": executor if isinstance(executor, str) else type(executor).__name__,
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
    }
