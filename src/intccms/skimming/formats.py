"""The file formats of skim parts, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from intccms.skimming.parquet import Parquet
from intccms.skimming.root_files import RNTuple, TTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from intccms.datasets.sources import EventSource

__all__ = ["PartFormat", "format_named"]


class PartFormat(Protocol):
    """How the columns of a part become a file, and the file becomes events again."""

    @property
    def name(self) -> str:
        """As in ``preprocess.skimming.output.format``."""
        ...

    @property
    def extension(self) -> str:
        """Of file names, without dot."""
        ...

    @property
    def keeps_runs(self) -> bool:
        """Whether the file has a place for the tree `Runs` of the source."""
        ...

    def write(
        self,
        blocks: Sequence[Mapping[str, Any]],
        path: Path,
        options: Mapping[str, Any],
        runs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the columns of one part, or of several one after the other, to a local file.

        Equal columns give equal bytes.

        Parameters
        ----------
        blocks
            The columns of each part: name -> packed array, shape ``(n_events,)`` or ``n_events * var``; flat ones first.
            All have the same names and types.
        path
            Where; whatever is there is overwritten.
        options
            ``to_kwargs`` of the configuration; ``storage_options`` among them are not for the format.
        runs
            The same of the tree `Runs`, where the format keeps it; None: no such tree.

        Raises
        ------
        ConfigError
            If an option is wrong.
        OSError
            If the file cannot be written.
        """
        ...

    def open(
        self,
        target: Path | bytes,
        *,
        url: str,
        uuid: str,
        size: int,
        options: Mapping[str, Any],
        first: int = 0,
        entries: int | None = None,
    ) -> EventSource:
        """Open a local file, or one that is in memory.

        Parameters
        ----------
        target
            The file or its bytes.
        url, uuid, size
            What the source shall say of itself.
        options
            ``from_kwargs`` of the configuration; ``storage_options`` among them are not for the format.
        first, entries
            Rows of one part in a file of several; None: all that follow.

        Raises
        ------
        OSError, ValueError, ...
            One of `UNREADABLE` if it is something else.
        """
        ...


_FORMATS: dict[str, PartFormat] = {form.name: form for form in (Parquet(), TTree(), RNTuple())}


def format_named(name: str) -> PartFormat:
    """Return a format; the schema knows the same names."""
    return _FORMATS[name]
