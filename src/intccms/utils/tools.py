"""Small helpers for notebooks and scripts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_dotenv"]

logger = logging.getLogger(__name__)


def load_dotenv(path: str | Path | None = None) -> bool:
    """Set environment variables from a ``.env`` file, as python-dotenv reads it; variables that exist already win.

    Parameters
    ----------
    path
        The file; default: ``.env`` in the current folder, or else in the nearest folder above that has one, so that
        a notebook in a folder of a project finds the file of the project.

    Returns
    -------
    bool
        Whether there was such a file with at least one variable.
    """
    import dotenv

    # without `usecwd` python-dotenv would search the folders above this module
    path = path or dotenv.find_dotenv(usecwd=True)
    if not path:
        return False
    found = bool(dotenv.load_dotenv(path, override=False))
    logger.debug("%s %s", "environment variables come from" if found else "no variables in", path)
    return found
