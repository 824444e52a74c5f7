"""What can be known to be wrong before any event is read, beyond the configuration's own checks."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.analysis.progress import show_progress
from intccms.errors import ConfigError
from intccms.histograms import merge_processes
from intccms.schema.explain import did_you_mean
from intccms.schema.plotting import PlottingConfig
from intccms.schema.reach import reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intccms.metadata import DatasetMetadata
    from intccms.schema import Config
    from intccms.schema.corrections import Correction

__all__ = ["check_corrections", "check_payload_files", "check_plotting", "check_skims", "check_weights"]

_MOST_FILES = 3


def check_payload_files(config: Config) -> None:
    """Refuse payloads that are not there; none is opened.

    Raises
    ------
    ConfigError
        Once for all files.
    """
    used = list(_used_corrections(config))
    if not used:
        return
    from intccms.systematics.payload_checks import missing_files

    lacking = missing_files(payload for _, one in used for payload in one.payloads())
    if lacking:
        needing = [(place, one) for place, one in used if any(x.file in lacking for x in one.payloads())]
        places = "; ".join(dict.fromkeys(place for place, _ in needing)).replace("; corrections of", ",")
        names = list(dict.fromkeys(one.name for _, one in needing))
        places += f": {', '.join(names[:_MOST_FILES])}{', ...' if len(names) > _MOST_FILES else ''}"
        shown = ", ".join(lacking[:_MOST_FILES])
        more = f" and {len(lacking) - _MOST_FILES} more" if len(lacking) > _MOST_FILES else ""
        files = "1 payload file is" if len(lacking) == 1 else f"{len(lacking)} payload files are"
        message = (
            f"{files} not there: {shown}{more} ({places}).{_near_file(lacking[0])} Mount the file system (CVMFS, EOS), "
            "or correct 'file' of the corrections, or the variable that the configuration takes the folder from."
        )
        raise ConfigError(message)


def _near_file(file: str) -> str:
    """Return `` Did you mean 'x'?`` for a file of nearly the same name in the same folder."""
    path = Path(file)
    try:
        names = [one.name for one in path.parent.iterdir()]
    except OSError:
        return ""  # no such folder, or not mounted
    return did_you_mean(path.name, names)


def check_corrections(config: Config, *, show: bool = False) -> None:
    """Check the corrections of the selected datasets, as far as they reach a channel, against their payloads.

    Only the JSON of the payloads is read, by year: 0.7 s for the corrections of a year of Run 2, of which 0.3 s are for
    the energy scale of one kind of jets. Workers open them for themselves.

    Parameters
    ----------
    config
        The configuration.
    show
        Show a progress bar.

    Raises
    ------
    ConfigError
        For files that are not there, and with all that is wrong with keys and arguments.
    """
    check_payload_files(config)
    used = list(_used_corrections(config))
    problems: list[str] = []
    with show_progress("payloads", len(used), "corrections", show=show and bool(used)) as advance:
        for place, group in groupby(used, lambda item: item[0]):
            from intccms.systematics.payload_checks import check_correction
            from intccms.systematics.payload_documents import Documents

            documents = Documents()  # large; those of a year are gone before the next is read
            for _, one in group:
                found = check_correction(one, place, documents.open)
                problems += found
                advance(1, failures=int(bool(found)))
    if problems:
        raise ConfigError("\n".join(problems))


def _used_corrections(config: Config) -> Iterator[tuple[str, Correction]]:
    """Yield every correction that will be evaluated, with the list that it stands in, list by list."""
    channels = config.selected_channels()
    nominal: dict[tuple[str, int], Correction] = {}
    varied: set[tuple[str, int]] = set()
    for dataset in config.selected_datasets():
        place = f"corrections of {dataset.year}" if isinstance(config.corrections, dict) else "corrections"
        corrections = config.corrections_of(dataset)
        for index in reach(config, channels, corrections).corrections:
            key = (place, id(corrections[index]))
            nominal[key] = corrections[index]
            if config.general.run_systematics and not dataset.is_data:
                varied.add(key)
    for place in dict.fromkeys(place for place, _ in nominal):
        for key, one in nominal.items():
            if key[0] == place:
                yield place, one if key in varied else one.model_copy(update={"uncertainty_sources": []})


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
        from intccms.skimming.part_files import check_options

        check_options(output.format, output.to_kwargs, output.from_kwargs)


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
