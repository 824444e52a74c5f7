"""Book, fill, add and store histograms. Pure functions of arrays, but for `storage`."""

from __future__ import annotations

from intccms.histograms.axes import hist_axes
from intccms.histograms.fill import Sums, empty, fill
from intccms.histograms.merge import HistogramSet, merge_processes, to_datasets
from intccms.histograms.storage import load_output, save_histograms

__all__ = [
    "HistogramSet",
    "Sums",
    "empty",
    "fill",
    "hist_axes",
    "load_output",
    "merge_processes",
    "save_histograms",
    "to_datasets",
]
