"""The configuration, one module for each of its parts; `configuration` puts them together."""

from __future__ import annotations

from .configuration import config

__all__ = ["config"]
