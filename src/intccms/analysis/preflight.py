"""What can be known to be wrong before any event is read, beyond the configuration's own checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.histograms import merge_processes
from intccms.schema.explain import did_you_mean
from intccms.schema.plotting import PlottingConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config

__all__ = ["check_plotting", "check_skims", "check_weights"]


def check_plotting(config: Config) -> None:
    """Check the plot options against the processes, observables and binnings that the run will have.

    Raises
    ------
    ConfigError
        As plotting itself would, after all events were read.
    """
    if config.plotting == PlottingConfig():
        return  # the import of matplotlib can wait
    from intccms.plotting import check_options, process_colors

    datasets = config.datasets.expand(config.general.weight_branch)
    processes = {one.process: [one.name] for one in datasets}
    empty = merge_processes(config.channels, {}, processes, lambda _name: 0.0)
    data = [one.process for one in datasets if one.is_data]
    check_options(
        config.plotting,
        {"histograms": empty.histograms, "config": config.to_json(), "report": {"data_processes": data}},
    )
    process_colors(list(processes), config.plotting.colors)


def check_skims(config: Config) -> None:
    """Try the options with which skims are written and read on three events.

    Raises
    ------
    ConfigError
        If an option is wrong, before any event is read.
    """
    general, output = config.general, config.preprocess.skimming.output
    if general.save_skimmed_output or general.use_skimmed_input:
        from intccms.skimming.parquet import check_options

        check_options(output.to_kwargs, output.from_kwargs)


def check_weights(metadata: Sequence[DatasetMetadata]) -> None:
    """Refuse a generator weight that not one simulated dataset has.

    Raises
    ------
    ConfigError
        Naming the branch and the nearest one.
    """
    looked = [one for one in metadata if one.branches is not None and one.dataset.weight_branch is not None]
    if not looked or any(one.dataset.weight_branch in (one.branches or ()) for one in looked):
        return
    branch = str(looked[0].dataset.weight_branch)
    known = {name for one in looked for name in one.branches or ()}
    message = (
        f"weight_branch: no simulated dataset has a branch {branch!r}.{did_you_mean(branch, known)} "
        "Correct general.weight_branch or that of the dataset, or set is_data=True for collision data."
    )
    raise ConfigError(message)
