"""From the binning of the configuration to axes of ``hist``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hist

from intccms.schema.selection import Axis, RegularBinning

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["hist_axes"]


def hist_axes(axes: Sequence[Axis]) -> tuple[Any, ...]:
    """Return one ``hist`` axis per axis of an observable, with under- and overflow."""
    return tuple(_one(axis) for axis in axes)


def _one(axis: Axis) -> Any:
    label = axis.title
    if isinstance(axis.binning, RegularBinning):
        binning = axis.binning
        return hist.axis.Regular(binning.bins, binning.start, binning.stop, name=axis.name, label=label)
    return hist.axis.Variable(axis.binning, name=axis.name, label=label)
