"""A search for a heavy resonance in CMS Open Data of 2016: the configuration of the Open Data Workshop 2024."""

from __future__ import annotations

from .config import config

__all__ = ["config"]
