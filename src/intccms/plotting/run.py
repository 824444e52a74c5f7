"""All plots and tables of a run, from nothing but its run directory."""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from intccms.errors import ConfigError
from intccms.plotting.binning import Contents, contents
from intccms.plotting.cutflow import cutflow_plot
from intccms.plotting.options import check_options, data_processes
from intccms.plotting.output import load_output
from intccms.plotting.stack import draw_stack
from intccms.plotting.style import process_colors, save_figure
from intccms.plotting.tables import cutflow_table
from intccms.plotting.two_dimensional import draw_2d
from intccms.plotting.variations import draw_variations
from intccms.schema.explain import did_you_mean
from intccms.schema.plotting import PlottingConfig
from intccms.utils.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

__all__ = ["plot_run"]

logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """A plot that is to be made."""

    channel: str
    name: str
    draw: Callable[[], Figure]


def plot_run(
    run_dir: Path,
    *,
    plotting: PlottingConfig | None = None,
    channels: Sequence[str] | None = None,
    on_plot: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Make all plots and cutflow tables of a run.

    Writes ``plots/{channel}/{observable}.{format}``: a stack for every 1-D observable, a picture per process
    for 2-D ones (``{observable}_{process}``), a stack per axis for observables with more axes
    (``{observable}_{axis}``), ``_log`` and ``_variations`` where configured; ``plots/{channel}/cutflow.{format}``;
    ``cutflow/{channel}.csv`` and ``.md``. Files appear whole, and replace those of an earlier call.

    Parameters
    ----------
    run_dir
        The run directory; its ``output.coffea`` is all that is read.
    plotting
        How plots look; default: the section ``plotting`` of the run's configuration.
    channels
        Only these channels; default: all.
    on_plot
        Called with the path of every picture as soon as it is there.

    Returns
    -------
    list of pathlib.Path
        Everything written: tables and pictures, channel by channel.

    Raises
    ------
    OutputError
        If there is no readable output, or a file cannot be written.
    ConfigError
        If a plot option names something unknown or does not fit the binning; nothing is written then.
    """
    run_dir = Path(run_dir)
    output = load_output(run_dir)
    plotting = plotting or PlottingConfig(**output["config"].get("plotting", {}))
    check_options(plotting, output)
    chosen = _chosen_channels(output, channels)
    plotting = plotting.model_copy(update={"colors": process_colors(_simulated(output), plotting.colors)})
    pictures = [picture for channel in chosen for picture in _pictures(output, channel, plotting)]
    _check_distinct(pictures)
    _remove_variations(run_dir, chosen, {(one.channel, one.name) for one in pictures})
    written: list[Path] = []
    for channel in chosen:
        if channel in output["cutflow"]:
            written += _write_tables(run_dir, output, channel)
        for picture in pictures:
            if picture.channel == channel:
                stem = run_dir / "plots" / channel / picture.name
                paths = save_figure(picture.draw(), stem, plotting.formats, plotting.dpi)
                logger.debug("wrote %s", ", ".join(map(str, paths)))
                written += paths
                for path in paths:
                    if on_plot is not None:
                        on_plot(path)
    return written


def _remove_variations(run_dir: Path, channels: Sequence[str], drawn: Collection[tuple[str, str]]) -> None:
    """Remove pictures of variations that are not drawn any more: the histograms beside them have others, or none."""
    for channel in channels:
        for path in (run_dir / "plots" / channel).glob("*_variations.*"):
            if (channel, path.stem) not in drawn:
                path.unlink()


def _chosen_channels(output: Mapping[str, Any], channels: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys([*output["histograms"], *output["cutflow"]]))
    if channels is None:
        return known
    for channel in channels:
        if channel not in known:
            message = f"unknown channel {channel!r}.{did_you_mean(channel, known)} Known: {', '.join(known) or 'none'}."
            raise ConfigError(message)
    return [channel for channel in known if channel in channels]


def _simulated(output: Mapping[str, Any]) -> list[str]:
    """Return all simulated processes of a run, in the order in which they first occur."""
    names = [
        str(process)
        for observables in output["histograms"].values()
        for histogram in observables.values()
        for process in histogram.axes["process"]
    ]
    names += [process for cutflow in output["cutflow"].values() for process in cutflow["entries"]]
    distinct = list(dict.fromkeys(names))
    data = data_processes(output["report"], distinct)
    return [name for name in distinct if name not in data]


def _pictures(output: Mapping[str, Any], channel: str, plotting: PlottingConfig) -> Iterator[Picture]:
    report = output["report"]
    for observable, histogram in output["histograms"].get(channel, {}).items():
        for name, draw in _of_observable(histogram, observable, channel, plotting, report):
            yield Picture(channel, name, draw)
    if channel in output["cutflow"]:
        draw = partial(
            cutflow_plot, output["cutflow"][channel], plotting=plotting, report=report, channel=channel
        )
        yield Picture(channel, "cutflow", draw)


def _of_observable(
    histogram: Any, observable: str, channel: str, plotting: PlottingConfig, report: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield name and drawing function of every picture of one observable."""
    scales = ("linear", "log") if plotting.y_scale == "both" else (plotting.y_scale,)
    n_axes = sum(axis.name not in {"process", "variation"} for axis in histogram.axes)
    for scale in scales:
        ending = "_log" if scale == "log" else ""
        if n_axes == 2:
            for process in histogram.axes["process"]:
                name = f"{observable}_{_file_name(process)}{ending}"
                yield (
                    name,
                    partial(_draw_2d, histogram, process, plotting, report, channel, observable, scale),
                )
            continue
        for position, (name, target) in enumerate(_stacks(histogram, observable, n_axes)):
            yield (
                f"{name}{ending}",
                partial(_draw_stack, histogram, position, plotting, report, channel, target, scale),
            )
    if plotting.variations and n_axes == 1 and len(_variations(histogram)) > 1:
        yield (
            f"{observable}_variations",
            partial(_draw_variations, histogram, plotting, report, channel, observable),
        )


def _stacks(histogram: Any, observable: str, n_axes: int) -> list[tuple[str, str]]:
    """Return file name and name in options of every stack of an observable."""
    if n_axes == 1:
        return [(observable, observable)]
    names = [axis.name for axis in histogram.axes if axis.name not in {"process", "variation"}]
    return [(f"{observable}_{name}", f"{observable}:{name}") for name in names]


def _variations(histogram: Any) -> list[str]:
    return [name for axis in histogram.axes if axis.name == "variation" for name in axis]


def _along(histogram: Any, position: int) -> Contents:
    given = contents(histogram)
    return given.project(position) if len(given.axes) > 1 else given


def _draw_stack(histogram: Any, position: int, *arguments: Any) -> Figure:
    return draw_stack(_along(histogram, position), *arguments)


def _draw_2d(histogram: Any, *arguments: Any) -> Figure:
    return draw_2d(contents(histogram), *arguments)


def _draw_variations(histogram: Any, *arguments: Any) -> Figure:
    return draw_variations(contents(histogram), *arguments)


def _file_name(process: str) -> str:
    return re.sub(r"[^\w.+-]", "_", process)


def _check_distinct(pictures: Sequence[Picture]) -> None:
    seen: set[tuple[str, str]] = set()
    for channel, name, _ in pictures:
        if (channel, name) in seen:
            message = (
                f"two plots of channel {channel!r} would be written to the same file {name!r}. Rename the "
                "observable: the names 'cutflow', '{observable}_log', '{observable}_variations' and "
                "'{observable}_{process}' are taken by other plots."
            )
            raise ConfigError(message)
        seen.add((channel, name))


def _write_tables(run_dir: Path, output: Mapping[str, Any], channel: str) -> list[Path]:
    data = output["report"].get("data_processes", ["data"])
    table = cutflow_table(
        output["cutflow"][channel], data_processes=data, entries=True, title=f"Cutflow of channel {channel}"
    )
    paths = []
    for ending, text in (("csv", table.to_csv()), ("md", table.to_markdown())):
        path = run_dir / "cutflow" / f"{channel}.{ending}"
        write_atomically(path, text.encode())
        paths.append(path)
    return paths
