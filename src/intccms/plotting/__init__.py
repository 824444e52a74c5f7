"""Plots and tables of a run: stacks with ratio, 2-D, variations, cutflow. Needs only a run directory."""

from __future__ import annotations

from intccms.plotting.cutflow import cutflow_plot
from intccms.plotting.options import check_options
from intccms.plotting.run import plot_run
from intccms.plotting.stack import stack_plot
from intccms.plotting.style import process_colors
from intccms.plotting.tables import Table, cutflow_table, yields_table
from intccms.plotting.two_dimensional import plot_2d
from intccms.plotting.variations import variations_plot

__all__ = [
    "Table",
    "check_options",
    "cutflow_plot",
    "cutflow_table",
    "plot_2d",
    "plot_run",
    "process_colors",
    "stack_plot",
    "variations_plot",
    "yields_table",
]
