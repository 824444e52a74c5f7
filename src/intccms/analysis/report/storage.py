"""Writes a report into its run directory, and reads it back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intccms.analysis.report.model import RunReport
from intccms.analysis.report.page import html_page
from intccms.errors import OutputError
from intccms.utils.files import write_atomically
from intccms.utils.output import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["json_text", "read_report", "write_report"]


def write_report(directory: RunDirectory, report: RunReport) -> None:
    """Write ``report.json`` and ``report.html``.

    Raises
    ------
    OutputError
        If the run directory cannot be written.
    """
    write_atomically(directory.report, json_text(report).encode())
    write_atomically(directory.page, html_page(report).encode())


def read_report(folder: Path) -> RunReport:
    """Return the report of a run directory.

    Raises
    ------
    OutputError
        If there is none, or none that can be read.
    """
    path = RunDirectory(folder).report
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as exc:
        message = (
            f"there is no report in {folder}: expected {path}, which a run writes at its end. Name the run directory "
            "(general.output_dir), or run the analysis first: intccms run CONFIG."
        )
        raise OutputError(message) from exc
    except (OSError, UnicodeDecodeError) as exc:
        message = f"cannot read {path}: {exc}. Check its permissions, or run the analysis again."
        raise OutputError(message) from exc
    try:
        report = RunReport.from_json(json.loads(text))
    except (ValueError, TypeError) as exc:
        message = (
            f"{path} is no run report of this version of intccms: {exc}. Run the analysis again; what it has computed "
            "is not computed twice."
        )
        raise OutputError(message) from exc
    # a run directory may have been moved, and the commands shown are for the place where it is
    return replace(report, path=str(folder))


def json_text(report: RunReport) -> str:
    """Return the report as JSON with one line for each failed chunk; numbers that are not finite become null."""
    data = _finite(report.to_json())
    failures = data.pop("failures")
    head = json.dumps(data, indent=2, default=str, allow_nan=False).removesuffix("\n}")
    groups = ",\n".join(_group_lines(group) for group in failures)
    return f'{head},\n  "failures": [{f"\n{groups}\n  " if groups else ""}]\n}}\n'


def _group_lines(group: Mapping[str, Any]) -> str:
    head = [f"      {json.dumps(name)}: {json.dumps(group[name])}" for name in group if name != "chunks"]
    chunks = ",\n".join(f"        {json.dumps(chunk)}" for chunk in group["chunks"])
    lines = ",\n".join([*head, f'      "chunks": [\n{chunks}\n      ]'])
    return f"    {{\n{lines}\n    }}"


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data
