"""Folders and URLs below which a run keeps its files, as a configuration names them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Folder", "Place"]

_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
_XROOTD = re.compile(r"x?roots?://")


def _local(folder: Path) -> Path:
    if _ONE_SLASH.match(str(folder)):  # two slashes are one in a path
        message = f"should be a local folder, not the URL {str(folder)!r}."
        raise ValueError(message)
    return _at_home(folder)


def _place(text: str) -> str:
    if _XROOTD.match(text) and "?" in text:
        message = (
            f"{text!r}: XRootD takes what follows a question mark for options, not for a path. Leave it out."
        )
        raise ValueError(message)
    if _ONE_SLASH.match(text):
        message = f"{text!r} has one slash behind the protocol; expected {text.replace(':/', '://', 1)!r}."
        raise ValueError(message)
    return str(_at_home(Path(text))) if text.startswith("~") else text


def _at_home(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError as exc:
        message = f"{str(folder)!r}: {exc}"
        raise ValueError(message) from exc


Folder = Annotated[Path, AfterValidator(_local)]
"""A local folder; ``~`` is the home of the user."""

Place = Annotated[str, AfterValidator(_place)]
"""A local folder, in which ``~`` is the home of the user, or a URL."""
