"""Objects, cuts, channels and observables."""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Real
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from intccms.schema.base import Count, Functor, Model, Name

__all__ = ["Axis", "Channel", "GhostObservable", "ObjectMask", "Observable", "RegularBinning"]


class RegularBinning(Model):
    """Bins of equal width."""

    bins: Count
    """Number of bins."""
    start: float = Field(allow_inf_nan=False)
    """Lower edge of the first bin, in the unit of the axis."""
    stop: float = Field(allow_inf_nan=False)
    """Upper edge of the last bin, in the unit of the axis."""

    @model_validator(mode="after")
    def _increases(self) -> RegularBinning:
        if not self.stop > self.start:
            message = f"the upper edge must lie above the lower one, but start={self.start}, stop={self.stop}"
            raise ValueError(message)
        return self


Edges = Annotated[list[float], Field(min_length=2)]


class Axis(Model):
    """One axis of a histogram."""

    name: Name
    """Name of the axis."""
    binning: RegularBinning | Edges
    """``{"bins": 50, "start": 0, "stop": 3000}``, or a list of increasing edges."""
    label: str = Field(default="", json_schema_extra={"digest": False})
    """Text for plots, LaTeX allowed; default: the name."""
    unit: str = Field(default="", json_schema_extra={"digest": False})
    """Unit for plots, such as ``GeV``."""

    @field_validator("binning", mode="before")
    @classmethod
    def _increases(cls, value: Any) -> Any:
        return check_binning(value)

    @property
    def title(self) -> str:
        """Label with the unit, as it stands at the axis of a plot."""
        label = self.label or self.name
        return f"{label} [{self.unit}]" if self.unit else label


def check_binning(value: Any) -> Any:
    """Return a binning as it was given, if lists of edges increase and are finite; else raise ValueError."""
    if hasattr(value, "tolist"):
        value = value.tolist()  # a NumPy array
    if isinstance(value, list | tuple):
        if wrong := [edge for edge in value if type(edge) is bool or not isinstance(edge, Real)]:
            message = f"edges must be numbers, not {wrong[0]!r}"
            raise ValueError(message)
        edges = [float(edge) for edge in value]
        if not all(math.isfinite(edge) for edge in edges):
            message = f"edges must be finite numbers, not {edges}"
            raise ValueError(message)
        for low, high in pairwise(edges):
            if not high > low:
                message = f"edges must increase, but {high:g} follows {low:g}: sort them, without repetition"
                raise ValueError(message)
        return edges
    return value


class ObjectMask(Functor):
    """Which objects of a collection are kept: the function returns one boolean per object.

    Masks apply in the order of the list, so a later one sees what earlier ones have left.
    """

    collection: str
    """Collection that is narrowed."""


class GhostObservable(Functor):
    """A computed quantity that later functors can use as ``ObjVar(collection, name)``."""

    names: Annotated[list[Name], Field(min_length=1)]
    """Names of the quantities, one per array that the function returns."""
    collection: str = "event"
    """Where they are filed: ``event``, an existing collection (one value per object), or a new one."""

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("names"), str):
            return {**data, "names": [data["names"]]}
        return data


class Observable(Functor):
    """A quantity that is histogrammed in a channel, in one dimension or more.

    The function returns one array (events, or events * var for an entry per candidate), or a tuple of one
    array per axis. None is not filled; NaN is counted and reported.
    """

    name: Name
    """Name of the histogram."""
    binning: RegularBinning | Edges | None = None
    """Bins of a 1-D observable; `axes` for more."""
    label: str = Field(default="", json_schema_extra={"digest": False})
    """Text for plots of a 1-D observable."""
    unit: str = Field(default="", json_schema_extra={"digest": False})
    """Unit of a 1-D observable."""
    axes: list[Axis] = []
    """The axes of an observable in several dimensions."""

    @field_validator("binning", mode="before")
    @classmethod
    def _increases(cls, value: Any) -> Any:
        return check_binning(value)

    @model_validator(mode="after")
    def _has_axes(self) -> Observable:
        if (self.binning is None) == (not self.axes):
            message = "give 'binning' for one dimension, or 'axes' for several (exactly one of the two)"
            raise ValueError(message)
        if self.axes and (self.label or self.unit):
            message = "labels and units of an observable with 'axes' belong to the axes"
            raise ValueError(message)
        names = [axis.name for axis in self.axes] or [self.name]
        if len(set(names)) < len(names) or {"process", "variation", "dataset"} & set(names):
            message = f"axes need distinct names other than process, variation and dataset, not {names}"
            raise ValueError(message)
        return self

    def all_axes(self) -> list[Axis]:
        """Return the axes, for one dimension and for several alike."""
        if self.axes:
            return self.axes
        assert self.binning is not None
        return [Axis(name=self.name, binning=self.binning, label=self.label, unit=self.unit)]


class Channel(Model):
    """A named event category with its observables."""

    name: Name
    """Name of the channel."""
    selection: Functor | None = None
    """Returns one boolean per event, a dict of named masks, or a PackedSelection; None keeps every event."""
    observables: list[Observable] = []
    """What is histogrammed."""

    @field_validator("observables", mode="after")
    @classmethod
    def _distinct(cls, value: list[Observable]) -> list[Observable]:
        names = [one.name for one in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"duplicate names {twice}: observables of a channel need distinct names"
            raise ValueError(message)
        return value
