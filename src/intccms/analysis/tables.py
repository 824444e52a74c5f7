"""The cutflow of processes: entries and yields after each step, from the cutflows of datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intccms.selection import Cutflow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.analysis.fold import DatasetFold
    from intccms.analysis.normalise import Normalisation
    from intccms.schema.selection import Channel

__all__ = ["cutflow_of_processes"]


def cutflow_of_processes(
    channels: Sequence[Channel],
    folds: Mapping[str, DatasetFold],
    processes: Mapping[str, Sequence[str]],
    scales: Mapping[str, Normalisation],
) -> dict[str, dict[str, Any]]:
    """Return, for each channel, the steps and what is left of each process after them.

    Returns
    -------
    dict
        channel -> ``{"steps": [...], "entries": {process: [...]}, "weighted": {process: [...]}}``. Steps that all
        channels share come first; `weighted` is scaled to the luminosity. A step that a dataset does not have
        (the lumi mask in simulation) leaves what was there before.
    """
    return {channel.name: _one_channel(channel.name, folds, processes, scales) for channel in channels}


def _one_channel(
    channel: str,
    folds: Mapping[str, DatasetFold],
    processes: Mapping[str, Sequence[str]],
    scales: Mapping[str, Normalisation],
) -> dict[str, Any]:
    flows = {name: _joined(fold, channel) for name, fold in folds.items()}
    steps = _merged_order([list(flow) for flow in flows.values()])
    entries: dict[str, list[int]] = {}
    weighted: dict[str, list[float]] = {}
    for process, datasets in processes.items():
        entries[process], weighted[process] = [0] * len(steps), [0.0] * len(steps)
        for dataset in datasets:
            left = (0, 0.0)
            for index, step in enumerate(steps):
                left = flows[dataset].get(step, left)
                entries[process][index] += left[0]
                weighted[process][index] += left[1] * scales[dataset].factor
    return {"steps": steps, "entries": entries, "weighted": weighted}


def _joined(fold: DatasetFold, channel: str) -> dict[str, tuple[int, float]]:
    own = fold.sums.channels.get(channel, Cutflow()).steps
    common = fold.sums.common.steps
    return {
        **common,
        **{name if name not in common else f"{channel}: {name}": left for name, left in own.items()},
    }


def _merged_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return all names in an order that agrees with each list's (they come from one configuration)."""
    merged: list[str] = []
    for names in lists:
        position = 0
        for name in names:
            if name in merged:
                position = merged.index(name) + 1
            else:
                merged.insert(position, name)
                position += 1
    return merged
