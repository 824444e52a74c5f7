"""Keeps what a run logs in its run directory."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from intccms.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["log_to"]


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append what intccms logs in the block to a file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, delay=False, encoding="utf-8")
    except OSError as exc:
        message = f"cannot write {path}: {exc.strerror}. Check space and permissions of {path.parent}."
        raise OutputError(message) from exc
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("intccms")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)  # other handlers have levels of their own
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
