"""Generated NanoAOD with all that a Run 2 analysis with systematic variations reads; opt-in, beside the demo."""

from __future__ import annotations

from intccms.demo.full.content import FullSample, full_columns, write_full_nanoaod

__all__ = ["FullSample", "full_columns", "write_full_nanoaod"]
