"""Names of files that are being written, which listings leave out."""

from __future__ import annotations

import secrets

__all__ = ["is_temporary", "temporary_name"]

_TEMPORARY = ".tmp"


def temporary_name(name: str) -> str:
    """Return a name beside another one, new each time."""
    return f".{name}-{secrets.token_hex(6)}{_TEMPORARY}"


def is_temporary(name: str) -> bool:
    """Tell whether a path is one that `temporary_name` gave."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(_TEMPORARY)
