"""The variation plan before anything runs: which variations there are, and what is evaluated how often because of them.

It follows from the configuration; neither events nor payloads are looked at.
"""

from __future__ import annotations

from intccms.systematics.describe.build import describe_plan
from intccms.systematics.describe.model import (
    GroupDescription,
    MemoryEstimate,
    PlanDescription,
    SourceDescription,
    StepDescription,
    YearTotals,
)
from intccms.systematics.describe.warn import slips_of

__all__ = [
    "GroupDescription",
    "MemoryEstimate",
    "PlanDescription",
    "SourceDescription",
    "StepDescription",
    "YearTotals",
    "describe_plan",
    "slips_of",
]
