"""Sums of theory weights over generated events: which are wanted, and what ``Runs`` or the events of a file tell.

A variation of scales, PDF or parton shower that is normalised with its own sum changes shapes and acceptance, and leaves
out what the theory says of the cross-section.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from intccms.datasets.sources import EventSource
    from intccms.schema import Config, Dataset

__all__ = ["RUNS_COLUMNS", "sums_of_events", "sums_of_runs", "wanted_sums"]

logger = logging.getLogger(__name__)

_IN_RUNS = {
    "LHEScaleWeight": "LHEScaleSumw",
    "LHEPdfWeight": "LHEPdfSumw",
    "PSWeight": "PSSumw",
    "LHEReweightingWeight": "LHEReweightingSumw",
}
"""Branch of the events -> column of ``Runs``, "Sum of genEventWeight * weight[i], divided by genEventSumw"."""

RUNS_COLUMNS = frozenset(f"{name}{mark}" for name in _IN_RUNS.values() for mark in ("", "_"))
"""What may be read of ``Runs``; NanoAOD v6 appends an underscore."""

_SCALES, _NOMINAL_SCALES = 9, 4
"""Scale weights of most generators: muR and muF at 1/2, 1, 2; in the middle both at 1, of which the weight is 1."""

_NEAR_ONE = ("LHEScaleWeight", "LHEPdfWeight")
_LARGEST_MEDIAN = 1.5
"""Median of the relative sums of one row; those of scales and PDF scatter about 1 by tens of per cent at most."""

_STEP = 50_000
"""Events that are read at a time; 41 MB of 103 PDF weights in double precision."""


def wanted_sums(config: Config, dataset: Dataset) -> tuple[str, ...]:
    """Return the branches of weights whose sums a run needs of a dataset, each once.

    Those of skims are kept for later runs, also where this one has no variations.
    """
    general = config.general
    writes_skims = general.save_skimmed_output or general.run_skimming
    if dataset.is_data or not (general.run_systematics or writes_skims):
        return ()
    sources = (source for one in config.corrections_of(dataset) for source in one.uncertainty_sources)
    return tuple(dict.fromkeys(one.weight_sums for one in sources if one.weight_sums is not None))


def sums_of_runs(runs: Mapping[str, Any], sumw: Sequence[float], where: str) -> dict[str, list[float]]:
    """Return the absolute sums of ``genWeight * weight[i]`` over generated events, as far as ``Runs`` tells.

    Parameters
    ----------
    runs
        Columns of ``Runs``; those of `RUNS_COLUMNS` hold one vector per row.
    sumw
        ``genEventSumw``, one per row: what the vectors are relative to. A row of which it is 0 adds nothing.
    where
        The file, for the log.

    Returns
    -------
    dict of str to list of float
        Branch of the events -> sums, one per position. Branches of which a row lacks sums, or whose rows differ in
        length, are left out; so are sums that cannot be what they should be. The log says so.

    Notes
    -----
    Until early v7, the merging of NanoAOD files added up the vectors, relative as they are. A row of such a file is
    told by the scale weight at muR = muF = 1, of which the sum is the number of files; the mean over files is taken.
    """
    totals = np.asarray(sumw, dtype=np.float64)
    rows = np.flatnonzero(totals)
    vectors = {branch: _vectors(runs, column, rows) for branch, column in _IN_RUNS.items()}
    merged = _merged_files(vectors["LHEScaleWeight"], len(rows), where)
    found = {}
    for branch, relative in vectors.items():
        lengths = {len(one) for one in relative}
        if lengths <= {0}:
            continue
        reason = f"their lengths differ ({sorted(lengths)})"
        if len(lengths) == 1:
            sums, reason = _absolute(branch, np.stack(relative) / merged[:, np.newaxis], totals[rows])
            if not reason:
                found[branch] = sums
                continue
        logger.warning("%s: the sums of %s in 'Runs' are left out: %s", where, branch, reason)
    return found


def _vectors(runs: Mapping[str, Any], column: str, rows: Any) -> list[Any]:
    values = runs.get(column, runs.get(f"{column}_"))
    return [] if values is None else [np.asarray(values[row], dtype=np.float64) for row in rows]


def _merged_files(scales: list[Any], rows: int, where: str) -> Any:
    """Return of how many files each row holds the sum of relative sums, shape ``(rows,)``."""
    if not scales or any(len(one) != _SCALES for one in scales):
        return np.ones(rows)
    nominal = np.array([one[_NOMINAL_SCALES] for one in scales])
    counts = np.rint(nominal)
    added_up = (counts >= 2) & (abs(nominal - counts) < 1e-4 * counts)
    if added_up.any():
        logger.warning(
            "%s: the sums of theory weights in 'Runs' are added up over %d merged files; their mean is taken",
            where,
            int(counts[added_up].sum()),
        )
    return np.where(added_up, counts, 1.0)


def _absolute(branch: str, relative: Any, totals: Any) -> tuple[list[float], str]:
    """Return the sums over rows, or why they cannot be right."""
    if not np.isfinite(relative).all():
        return [], "not all of them are finite"
    median = float(np.median(relative, axis=1).max())
    if branch in _NEAR_ONE and median > _LARGEST_MEDIAN:
        return [], f"they are {median:.3g} times that of genWeight, as if added up over merged files"
    return [math.fsum(position) for position in (relative * totals[:, np.newaxis]).T], ""


def sums_of_events(
    source: EventSource, weight_branch: str, branches: Collection[str]
) -> dict[str, list[float]]:
    """Count the sums of ``weight_branch * weight[i]`` over the events of a file, in double precision.

    Parameters
    ----------
    source
        The file, which holds all generated events.
    weight_branch
        Generator weight.
    branches
        Branches of weights, ``n_events * var * float``, with equally many in each event.

    Returns
    -------
    dict of str to list of float
        Branch -> sums, one per position; those that the file lacks, or that differ in length, are left out.
    """
    counted = {branch: _counted(source, weight_branch, branch) for branch in branches}
    return {branch: sums for branch, sums in counted.items() if sums}


def _counted(source: EventSource, weight_branch: str, branch: str) -> list[float]:
    if not {branch, weight_branch} <= source.branches:
        return []
    # a parquet file is read as a whole each time
    step = source.entries if source.format == "parquet" else _STEP
    sums: list[Any] = []
    for start in range(0, source.entries, max(1, step)):
        arrays = source.arrays((weight_branch, branch), start, min(start + step, source.entries))
        values = arrays[branch]
        lengths = {len(one) for one in sums[:1]}
        lengths |= set(np.unique(ak.to_numpy(ak.num(values, axis=1))).tolist()) if values.ndim == 2 else {-1}
        if len(lengths) > 1 or lengths == {-1}:
            what = "it is no list of weights" if -1 in lengths else f"the lengths {sorted(lengths)} occur"
            logger.warning("%s: the sums of %s are left out: %s", source.url, branch, what)
            return []
        weights = np.asarray(arrays[weight_branch], dtype=np.float64)[:, np.newaxis]
        sums.append((weights * ak.to_numpy(ak.to_regular(values, axis=1))).sum(axis=0))
    return [math.fsum(position) for position in zip(*sums, strict=True)]
