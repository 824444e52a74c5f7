"""Keep less: which columns an analysis needs, and why."""

from __future__ import annotations

from intccms.skimming.columns import BranchList, ColumnPlan, Use

__all__ = ["BranchList", "ColumnPlan", "Use"]
