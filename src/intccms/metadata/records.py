"""What is known of one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FileMetadata", "LumiRanges"]

LumiRanges = dict[str, list[list[int]]]
"""Lumi sections as golden JSON files have them: ``{run: [[first, last], ...]}``."""


@dataclass(frozen=True)
class FileMetadata:
    """Facts of one file, or the reason why there are none."""

    name: str
    """As in the listing."""
    urls: tuple[str, ...]
    """Replicas when it was read; other ones make the record stale."""
    state: tuple[int, int] | None = None
    """Size and change time of a local file; others make the record stale."""
    error: str | None = None
    """Why the file could not be read; then nothing below is known."""
    url: str | None = None
    """The replica that was read."""
    uuid: str | None = None
    size: int | None = None
    """[bytes]"""
    format: str | None = None
    """``ttree``, ``rntuple`` or ``parquet``."""
    entries: int | None = None
    """Entries of the event tree, which is what will be read."""
    generated: int | None = None
    """Generated events (simulation); more than `entries` if the file is a skim."""
    sumw: float | None = None
    """Sum of genWeight over the generated events (simulation)."""
    sumw_from: Literal["Runs", "Events"] | None = None
    """Where `sumw` comes from; ``Events`` counts only what the file still holds."""
    weight_sums: dict[str, list[float]] = field(default_factory=dict)
    """Branch of theory weights (``LHEScaleWeight``) -> sums of genWeight times weight over the generated events, one per
    position (simulation). An empty list says that it was looked for, and the file does not tell."""
    weight_sums_from: dict[str, Literal["Runs", "Events"]] = field(default_factory=dict)
    """Where those sums come from."""
    lumis: LumiRanges = field(default_factory=dict)
    """Run and lumi-section content (data)."""
    branches: tuple[str, ...] | None = None
    """Columns of the event tree, where they were looked at."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Replicas that could not be read, each with the reason, where another one served; forgotten after the run."""

    def lacks(self, branches: Iterable[str]) -> list[str]:
        """Return the branches of theory weights of which it is unknown whether the file tells sums."""
        return [] if self.error is not None else [one for one in branches if one not in self.weight_sums]

    def to_json(self) -> dict[str, Any]:
        """Return the facts that are set as JSON data."""
        kept = {name: value for name, value in vars(self).items() if value not in (None, {}, ())}
        kept.pop("passed_over", None)
        return kept

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the record that `to_json` made.

        Raises
        ------
        ValueError
            If a fact is missing or of the wrong type.
        """
        record: Self = _adapter().validate_python(data)
        return record


@cache
def _adapter() -> TypeAdapter[Any]:
    """Return what checks records; making it takes a hundred times as long as using it."""
    return TypeAdapter(FileMetadata)
