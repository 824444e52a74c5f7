"""Book, fill, add and store histograms. Pure functions of arrays, but for `storage`."""

from __future__ import annotations

from intccms.histograms.axes import hist_axes
from intccms.histograms.fill import (
    Candidates,
    Sums,
    candidates,
    empty,
    fill,
    fill_candidates,
    sums_by_variation,
)
from intccms.histograms.members import MemberSet
from intccms.histograms.merge import HistogramSet, Scale, merge_processes, to_datasets
from intccms.histograms.storage import load_output, save_histograms

__all__ = [
    "Candidates",
    "HistogramSet",
    "MemberSet",
    "Scale",
    "Sums",
    "candidates",
    "empty",
    "fill",
    "fill_candidates",
    "hist_axes",
    "load_output",
    "merge_processes",
    "save_histograms",
    "sums_by_variation",
    "to_datasets",
]
