"""What a run left behind, as notebooks and the command line get it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.analysis.report import RunReport

__all__ = ["RunResult"]


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run left behind."""

    output: dict[str, Any]
    """The content of ``output.coffea``: histograms, entries, cutflow, report and config."""
    report: RunReport | None
    """The report; None if no events were read."""
    path: Path
    """The run directory."""
    plots: tuple[Path, ...] = ()
    """The plots that were made."""

    def __repr__(self) -> str:
        """Return where the results are and whether they are complete."""
        state = "complete" if self.output.get("report", {}).get("complete", True) else "incomplete"
        channels = ", ".join(self.output.get("histograms", {})) or "none"
        return f"<RunResult in {self.path}: {state}; channels: {channels}; plots: {len(self.plots)}>"

    def _repr_html_(self) -> str:
        return html.escape(repr(self)) if self.report is None else self.report._repr_html_()

    @property
    def succeeded(self) -> bool:
        """Whether nothing is missing, or as little as the configuration allows."""
        return bool(self.output.get("report", {}).get("succeeded", True))
