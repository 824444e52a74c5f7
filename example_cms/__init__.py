"""A search for a heavy resonance that decays to top quarks, in the muon channel and all of Run 2."""

from __future__ import annotations

from .configs import config

__all__ = ["config"]
