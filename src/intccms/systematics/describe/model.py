"""What there is to say of a variation plan, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "GroupDescription",
    "MemoryEstimate",
    "PlanDescription",
    "SourceDescription",
    "StepDescription",
    "YearTotals",
]

Kind = Literal["object", "weight", "normalisation", "member set"]


@dataclass(frozen=True)
class SourceDescription:
    """One nuisance, in all years that have it."""

    name: str
    """With ``{year}`` in the place of the year at its end, if it is of each year alone."""
    kind: Kind
    correction: str
    """The correction that it is a source of."""
    decorrelated: bool
    """Whether the name ends in its year: one nuisance for each."""
    years: tuple[str, ...]
    """Years of simulation that have it; none if there are no years."""
    is_everywhere: bool
    """Whether these are all years of the run."""
    variations: int
    """Variations that are filled in a year: 2, or the number of members."""
    moves: tuple[str, ...]
    """Further corrections that take a key of their own in its variations."""
    columns: tuple[str, ...]
    """What evaluating it needs, as NanoAOD spells it."""
    datasets: tuple[str, ...]
    """Processes or datasets that it applies to; none: all simulation."""

    @property
    def nuisances(self) -> int:
        """Number of nuisances: one for each year, if it is of each year alone."""
        return len(self.years) if self.decorrelated else 1


@dataclass(frozen=True)
class YearTotals:
    """What a year has."""

    year: str
    """Empty if there are no years."""
    nuisances: int
    variations: int
    """Variations that are filled besides nominal."""
    by_kind: dict[str, int]
    """Kind -> variations."""


@dataclass(frozen=True)
class StepDescription:
    """One evaluation of a chunk, in its order."""

    name: str
    """Path in the configuration, or name of a correction."""
    kind: Literal[
        "object correction", "object mask", "baseline", "ghost", "selection", "observable", "weight"
    ]
    varies: bool
    """Whether it is evaluated for every variation of objects, and not once for all."""
    reason: str
    keys: int = 0
    """Evaluations with a systematic key, or a relative shift, besides the nominal one."""
    states: int = 0
    """Variations of earlier steps on which it is evaluated nominally."""


@dataclass(frozen=True)
class MemoryEstimate:
    """How large the largest batch of rows is, by a rule of thumb."""

    events: int
    """Selected events of a chunk, as was assumed."""
    rows: int
    """Rows of the largest batch: events, counted once for nominal and once for each variation of the batch."""
    batches: int
    """Batches if every variation changes every event; fewer otherwise."""
    bytes_per_row: int
    """8 bytes for each value of the columns that are looked up on rows, twice for intermediate results."""
    state_bytes: int
    """8 bytes for each corrected value of every variation, which are all there at once."""

    @property
    def total(self) -> int:
        """Bytes of the largest batch and the corrected values."""
        return self.rows * self.bytes_per_row + self.state_bytes


@dataclass(frozen=True)
class GroupDescription:
    """How the chunks of some datasets are evaluated."""

    years: tuple[str, ...]
    is_data: bool
    datasets: tuple[str, ...]
    variations: int
    """Variations of objects."""
    steps: tuple[StepDescription, ...]
    memory: MemoryEstimate


@dataclass(frozen=True)
class PlanDescription:
    """The variations of a run and how they are evaluated; shows itself in terminals and notebooks."""

    sources: tuple[SourceDescription, ...]
    years: tuple[YearTotals, ...]
    names: int
    """Different names of variations in all years."""
    groups: tuple[GroupDescription, ...]
    warnings: tuple[str, ...]
    full: bool = False
    """Whether what is shown lists every source and data, and groups nothing."""

    @property
    def nuisances(self) -> int:
        """Number of nuisances in all years."""
        return sum(one.nuisances for one in self.sources)

    def in_full(self) -> Self:
        """Return the description as one that lists every source."""
        return replace(self, full=True)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        found = asdict(self)
        del found["full"]
        for group, one in zip(found["groups"], self.groups, strict=True):
            group["memory"]["total"] = one.memory.total
        return {**found, "nuisances": self.nuisances}

    def __rich__(self) -> RenderableType:
        """Return it for a terminal."""
        from intccms.systematics.describe.terminal import render

        return render(self)

    def _repr_html_(self) -> str:
        from intccms.systematics.describe.page import html_fragment

        return html_fragment(self)
