"""Tells URLs from paths."""

from __future__ import annotations

import re

__all__ = ["is_url"]


def is_url(name: str) -> bool:
    """Tell whether a name carries a protocol (``root://``, ``https://``, ``s3://``)."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", name) is not None
