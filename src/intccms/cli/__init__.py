"""The command line: ``intccms ...``. Heavy imports happen in the commands, so that help comes at once."""

from __future__ import annotations

from intccms.cli import configs, run, runs, skims, systematics
from intccms.cli.base import main

__all__ = ["configs", "main", "run", "runs", "skims", "systematics"]
