"""Tells URLs from paths."""

from __future__ import annotations

import re

__all__ = ["is_s3", "is_url"]


def is_url(name: str) -> bool:
    """Tell whether a name carries a protocol (``root://``, ``https://``, ``s3://``)."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


def is_s3(url: str) -> bool:
    """Tell whether a URL is that of an object in S3."""
    return url.startswith(("s3://", "s3a://"))
