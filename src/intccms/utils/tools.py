"""Small helpers for notebooks and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_dotenv"]


def load_dotenv(path: str | Path = ".env") -> bool:
    """Set environment variables from a ``.env`` file; variables that exist already win.

    Returns
    -------
    bool
        Whether there was such a file with at least one variable.
    """
    import dotenv

    return bool(dotenv.load_dotenv(path, override=False))
