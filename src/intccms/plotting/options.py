"""Looks up plot options by observable, and checks that the names in them exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from intccms.errors import ConfigError
from intccms.plotting.binning import Contents, contents, merge_indices, range_indices
from intccms.schema.explain import did_you_mean

if TYPE_CHECKING:
    from intccms.schema.plotting import PlottingConfig

__all__ = ["apply_binning", "check_options", "data_processes", "lookup"]


def lookup[T](
    options: Mapping[str, T], channel: str, observable: str, axis: str | None = None
) -> tuple[str, T] | None:
    """Return the key and value that apply to an observable; ``channel/observable`` goes before ``observable``.

    Parameters
    ----------
    options
        A field such as ``rebin``.
    axis
        Axis name, for an observable with several axes: the keys then end in ``:axis``.
    """
    name = observable if axis is None else f"{observable}:{axis}"
    for key in (f"{channel}/{name}", name):
        if key in options:
            return key, options[key]
    return None


def apply_binning(given: Contents, plotting: PlottingConfig, channel: str, observable: str) -> Contents:
    """Return the contents with ``rebin`` and then ``x_range`` applied to every axis.

    Raises
    ------
    ConfigError
        If an option does not fit the stored binning, or names an observable with several axes without the axis.
    """
    several = len(given.axes) > 1
    for field, options in (("rebin", plotting.rebin), ("x_range", plotting.x_range)):
        if several and (found := lookup(dict(options), channel, observable)):
            names = [f"{found[0]}:{axis.name}" for axis in given.axes]
            message = (
                f"plotting.{field}[{found[0]!r}]: the observable has {len(given.axes)} axes. Name one of them: "
                f"{' or '.join(map(repr, names))}."
            )
            raise ConfigError(message)
    for position, axis in enumerate(given.axes):
        name = axis.name if several else None
        if merge := lookup(plotting.rebin, channel, observable, name):
            where = f"plotting.rebin[{merge[0]!r}]"
            given = given.keep_edges(position, merge_indices(axis.edges, merge[1], where))
        if cut := lookup(plotting.x_range, channel, observable, name):
            where = f"plotting.x_range[{cut[0]!r}]"
            given = given.keep_edges(position, range_indices(given.axes[position].edges, *cut[1], where))
    return given


def data_processes(report: Mapping[str, Any] | None, processes: Collection[str]) -> list[str]:
    """Return those of the processes that are data: as the report says, else the one named ``data``."""
    named = ["data"] if report is None else report.get("data_processes", ["data"])
    return [process for process in processes if process in named]


def check_options(plotting: PlottingConfig, output: Mapping[str, Any]) -> None:
    """Check all names and binnings in plot options against the output of a run, before anything is drawn.

    Names count as known if they are in the histograms or in the configuration of the run, so that options
    stay valid when a run is restricted to some channels or processes.

    Raises
    ------
    ConfigError
        For an unknown process, observable or axis, a rebinning that does not fit, or data among the signals.
    """
    histograms = output["histograms"]
    processes, targets = _known_processes(output), _known_targets(output)
    scales = plotting.signal_scale if isinstance(plotting.signal_scale, dict) else {}
    of_processes: dict[str, Collection[str]] = {
        "colors": plotting.colors,
        "labels": plotting.labels,
        "order": plotting.order,
        "signals": plotting.signals,
        "signal_scale": scales,
    }
    for field, names in of_processes.items():
        _check_names(field, names, processes, "process")
    for field, keys in (("rebin", list(plotting.rebin)), ("x_range", list(plotting.x_range))):
        _check_names(field, keys, targets, "observable")
    for field, listed in (("order", plotting.order), ("signals", plotting.signals)):
        if wrong := data_processes(output.get("report"), listed):
            message = f"plotting.{field}: {wrong} are data, which are drawn as points. List simulated processes only."
            raise ConfigError(message)
    if plotting.rebin or plotting.x_range:
        for channel, observables in histograms.items():
            for observable, histogram in observables.items():
                apply_binning(contents(histogram), plotting, channel, observable)


def _check_names(field: str, names: Iterable[str], known: Collection[str], kind: str) -> None:
    for name in names:
        if name not in known:
            message = (
                f"plotting.{field}: unknown {kind} {name!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )
            raise ConfigError(message)


def _known_processes(output: Mapping[str, Any]) -> set[str]:
    known = {
        str(process)
        for observables in output["histograms"].values()
        for histogram in observables.values()
        for process in histogram.axes["process"]
    }
    known.update(*(one["entries"] for one in output.get("cutflow", {}).values()))
    for dataset in _config(output, "datasets").get("datasets", []):
        known.add(dataset.get("process") or dataset["name"])
    return known


def _known_targets(output: Mapping[str, Any]) -> set[str]:
    """Return every key that names an observable or an axis of one."""
    axes: dict[tuple[str, str], list[str]] = {}
    for channel in output.get("config", {}).get("channels", []):
        for one in channel.get("observables", []):
            axes[channel["name"], one["name"]] = [axis["name"] for axis in one.get("axes", [])]
    for channel, observables in output["histograms"].items():
        for observable, histogram in observables.items():
            names = [axis.name for axis in histogram.axes if axis.name not in {"process", "variation"}]
            axes[channel, observable] = names if len(names) > 1 else []
    known = set()
    for (channel, observable), names in axes.items():
        for name in [observable, *(f"{observable}:{axis}" for axis in names)]:
            known |= {name, f"{channel}/{name}"}
    return known


def _config(output: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    found = output.get("config", {}).get(part)
    return found if isinstance(found, Mapping) else {}
