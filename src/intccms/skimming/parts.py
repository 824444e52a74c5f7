"""One skim part: which entries of a source file it stands for, what the filter left of them, and the file with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from intccms.metadata.records import LumiRanges  # noqa: TC001 - Pydantic reads the annotations

__all__ = ["SkimPart", "part_path"]


def part_path(file_index: int, part_index: int, extension: str) -> str:
    """Return the path of a part in the folder of its dataset.

    Parameters
    ----------
    file_index
        Number of the source file, given once and never again.
    part_index
        Position of the chunk in the file's list of chunks.
    extension
        Of the format, without dot.

    Examples
    --------
    >>> part_path(3, 0, "parquet")
    'file_3/part_0.parquet'
    """
    return f"file_{file_index}/part_{part_index}.{extension}"


@dataclass(frozen=True)
class SkimPart:
    """The record of one part."""

    start: int
    """First entry of the source chunk."""
    stop: int
    """Entry after the last one of the source chunk."""
    kept: int
    """Events that passed: those in the part."""
    sumw: float
    """Sum of generator weights of the chunk before any cut; 0 for data."""
    steps: tuple[tuple[str, int, float], ...]
    """Cutflow up to and including the skim: name of the step, events left, sum of their weights."""
    path: str | None
    """Relative to the folder of the dataset, None for an empty part, which is recorded and not written.

    The first part of a file is written in any case in formats that keep `Runs`, which would be lost otherwise.
    """
    size: int
    """Size of the file [bytes], 0 if there is none."""
    checksum: str
    """``sha256:`` and the hexadecimal digest of the file's bytes; empty if there is none."""
    changed: int = 0
    """Time of the file's last change [ns since 1970]; 0 where it is not local."""
    first: int = 0
    """Row of the file at which the part begins; one file may hold several parts."""
    absent_triggers: tuple[str, ...] = ()
    """Triggers that the source lacks; they count as False."""
    made: tuple[str, ...] = ()
    """Columns in it that the source lacks: the skim function returned events with them."""
    lumis: LumiRanges = field(default_factory=dict, hash=False)
    """Run and lumi-section content of the chunk (data)."""

    def without_counts(self) -> Self:
        """Return a part that counts nothing of what was before the skim: that stands with another piece of it."""
        steps = tuple((name, 0, 0.0) for name, _, _ in self.steps)
        return replace(
            self, stop=self.start, kept=0, path=None, size=0, checksum="", sumw=0.0, steps=steps, lumis={}
        )

    def __post_init__(self) -> None:
        """Refuse ranges and files that contradict each other.

        Raises
        ------
        ValueError
            Naming the values.
        """
        if not 0 <= self.start <= self.stop or not 0 <= self.kept <= self.stop - self.start:
            message = f"skim part with entries {self.start} to {self.stop}, of which {self.kept} were kept"
            raise ValueError(message)
        if (self.path is None and self.kept) or (self.path is None) != (self.checksum == ""):
            message = (
                f"skim part of {self.kept} events with path {self.path!r} and checksum {self.checksum!r}"
            )
            raise ValueError(message)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data; floating-point numbers come back as they were."""
        data: dict[str, Any] = {
            "start": self.start,
            "stop": self.stop,
            "kept": self.kept,
            "sumw": self.sumw,
            "steps": [list(step) for step in self.steps],
            "path": self.path,
            "size": self.size,
            "checksum": self.checksum,
        }
        if self.changed:
            data["changed"] = self.changed
        if self.first:
            data["first"] = self.first
        if self.absent_triggers:
            data["absent_triggers"] = list(self.absent_triggers)
        if self.made:
            data["made"] = list(self.made)
        if self.lumis:
            data["lumis"] = self.lumis
        return data

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the record that `to_json` made.

        Raises
        ------
        ValueError
            If something is missing or of the wrong type.
        """
        try:
            part: Self = TypeAdapter(cls).validate_python(data)
        except ValidationError as exc:
            message = f"not a skim part: {'; '.join(_errors(exc))}"
            raise ValueError(message) from exc
        return part


def _errors(exc: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in exc.errors(include_url=False)[:5]]
