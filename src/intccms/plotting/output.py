"""Reads what a run has left in its directory."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from intccms.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_output"]

NEEDED = ("histograms", "cutflow", "report", "config")


def load_output(run_dir: Path) -> dict[str, Any]:
    """Return the content of ``output.coffea`` in a run directory.

    Raises
    ------
    OutputError
        If the file is not there, cannot be read or lacks a part.
    """
    from coffea.util import load

    path = run_dir / "output.coffea"
    if not path.is_file():
        message = (
            f"{run_dir} holds no histograms: there is no file {path.name}. Fill them first with `intccms run` and "
            f"general.output_dir={run_dir}, or pass another run directory."
        )
        raise OutputError(message)
    try:
        output = load(str(path))
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, AttributeError, ImportError) as exc:
        message = f"cannot read {path}: {exc}. It is damaged or was written by another version: run again."
        raise OutputError(message) from exc
    missing = [part for part in NEEDED if part not in output] if isinstance(output, dict) else list(NEEDED)
    if missing:
        message = (
            f"{path} lacks the parts {missing}: it was not written by this version of intccms. Run again."
        )
        raise OutputError(message)
    return dict(output)
