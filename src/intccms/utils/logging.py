"""Keeps what a run logs in its run directory."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from intccms.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MaskingFormatter", "log_to"]


class MaskingFormatter(logging.Formatter):
    """Formats records without credentials, in messages and in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        from intccms.schema.secrets import masked_text  # not for `--help`, which logs nothing

        return masked_text(super().format(record))


class _FileLog(logging.FileHandler):
    """A log that a full disk cuts short, and nothing more: what else is written there tells of the disk."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave out what cannot be written, but no other error of a record."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, whether or not its last lines can be written."""
        with suppress(OSError):
            super().close()


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append what intccms logs in the block to a file; once, where blocks for the same file are nested.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    logger = logging.getLogger("intccms")
    if any(getattr(one, "baseFilename", None) == os.path.abspath(path) for one in logger.handlers):  # noqa: PTH100
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _FileLog(path, delay=False, encoding="utf-8")
    except OSError as exc:
        message = f"cannot write {path}: {exc.strerror}. Check space and permissions of {path.parent}."
        raise OutputError(message) from exc
    handler.setFormatter(MaskingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = logger.level
    # without a handler Python would print warnings; in a notebook the one for the file must not silence them
    handlers = (
        [handler] if logger.hasHandlers() or logging.lastResort is None else [handler, logging.lastResort]
    )
    for one in handlers:
        logger.addHandler(one)
    logger.setLevel(logging.DEBUG)  # other handlers have levels of their own
    try:
        yield
    finally:
        logger.setLevel(level)
        for one in handlers:
            logger.removeHandler(one)
        handler.close()
