"""How plots look: formats, scales, binning, colours and labels. Changing it never changes a histogram."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from intccms.schema.base import Model
from intccms.schema.selection import check_binning

__all__ = ["PlottingConfig"]

Range = tuple[
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[float, Field(allow_inf_nan=False)],
]
Rebinning = Annotated[int, Field(ge=1, strict=True)] | Annotated[list[float], Field(min_length=2)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PlottingConfig(Model):
    """Options of the plots. Names of processes and observables are checked when plots are made."""

    formats: Annotated[list[Literal["png", "pdf", "svg"]], Field(min_length=1)] = ["png"]
    """File formats; every plot is written in each of them."""
    dpi: int = Field(default=120, ge=20, le=1200)
    """Resolution of PNG files [dots per inch]; a plot is about 10 by 10 inches."""
    y_scale: Literal["linear", "log", "both"] = "linear"
    """Scale of the event axis (the colour axis of 2-D plots). Logarithmic plots have ``_log`` in their name."""
    flow: Literal["none", "hint", "show", "sum"] = "hint"
    """Entries outside the plotted range: not mentioned; a line of text under the plot; drawn as extra bins;
    added to the first and last bin. 2-D plots know only the first two, and treat the others as ``hint``."""
    band: Literal["stat", "total"] = "total"
    """Uncertainty band of the simulation: its statistical uncertainty, or also all systematic variations in
    the histogram, each source linear over the processes and the sources in quadrature."""
    variations: bool = False
    """Also draw, for 1-D observables, variations relative to nominal (``{observable}_variations``), of many sources the
    forty that change most."""
    ratio: bool = True
    """Draw the panel with data over simulation where there are both."""
    ratio_range: Range = (0.5, 1.5)
    """Vertical range of the ratio panel."""
    rebin: dict[str, Rebinning] = {}
    """Coarser bins by ``observable`` or ``channel/observable``: how many bins to merge into one, or edges that
    are all among the stored ones. An axis of a 2-D observable is named as ``observable:axis``."""
    x_range: dict[str, Range] = {}
    """Plotted range by ``observable`` or ``channel/observable`` (``observable:axis`` in 2-D), in the unit of
    the axis; widened to whole bins."""
    colors: dict[str, str] = {}
    """Colours by process, as Matplotlib writes them (``#5790fc``, ``tab:blue``); default: the CMS palettes."""
    labels: dict[str, str] = {}
    """Texts in the legend by process, LaTeX allowed; default: the name."""
    order: list[str] = []
    """Processes from the bottom of the stack upwards. Those not listed lie beneath, the smallest lowest."""
    signals: list[str] = []
    """Simulated processes drawn as lines over the stack instead of in it."""
    signal_scale: Factor | dict[str, Factor] = 1.0
    """Factor that signal lines are multiplied by, one for all or by process; the legend states it."""
    cms_label: str | None = None
    """Text beside CMS, such as ``Preliminary`` or ``Work in progress``; default: ``Private work``, none if empty.
    ``Simulation`` is put before it where there is no data."""
    com: float = Field(default=13.0, gt=0, allow_inf_nan=False, json_schema_extra={"unit": "TeV"})
    """Centre-of-mass energy [TeV]."""

    @field_validator("formats", "order", "signals", mode="after")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if twice := sorted({item for item in value if value.count(item) > 1}):
            message = f"{twice} listed more than once: list each name once"
            raise ValueError(message)
        return value

    @field_validator("rebin", mode="before")
    @classmethod
    def _edges_increase(cls, value: Any) -> Any:
        return {key: check_binning(item) for key, item in value.items()} if isinstance(value, dict) else value

    @field_validator("ratio_range", mode="after")
    @classmethod
    def _ratio_range_increases(cls, value: Range) -> Range:
        return _increasing(value)

    @field_validator("x_range", mode="after")
    @classmethod
    def _x_ranges_increase(cls, value: dict[str, Range]) -> dict[str, Range]:
        return {key: _increasing(item) for key, item in value.items()}

    @model_validator(mode="after")
    def _scales_belong_to_signals(self) -> Self:
        # An assignment validates field by field: signals may come after their scales, so an empty list passes.
        scaled = set(self.signal_scale) if isinstance(self.signal_scale, dict) and self.signals else set()
        if strangers := sorted(scaled - set(self.signals)):
            message = f"'signal_scale' names {strangers}, which are not among 'signals' {self.signals}"
            raise ValueError(message)
        return self

    def scale_of(self, process: str) -> float:
        """Return the factor that the line of a signal process is multiplied by."""
        if isinstance(self.signal_scale, dict):
            return self.signal_scale.get(process, 1.0)
        return self.signal_scale


def _increasing(value: Range) -> Range:
    low, high = value
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        message = f"the upper end must lie above the lower one, but the range is ({low:g}, {high:g})"
        raise ValueError(message)
    return value
