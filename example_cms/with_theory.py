"""The same search with all uncertainties: theory, prefiring and luminosity. ``intccms run example_cms.with_theory``."""

from __future__ import annotations

from typing import Any

from .configs import config as experimental
from .configs.theory import corrections

__all__ = ["config"]

config: dict[str, Any] = {**experimental, "corrections": corrections}
"""The analysis of `example_cms`, with the further corrections."""
