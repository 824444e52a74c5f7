"""Keep less: which columns an analysis needs and why, and skims: their parts, their place and their contract.

What reads and writes parts is imported where it is used: `intccms.skimming.flat`, `intccms.skimming.parquet`.
"""

from __future__ import annotations

from intccms.skimming.columns import BranchList, ColumnPlan, Use
from intccms.skimming.manifest import Manifest, ManifestFile
from intccms.skimming.parts import SkimPart, part_path
from intccms.skimming.storage import Storage, skim_folder, skim_storage

__all__ = [
    "BranchList",
    "ColumnPlan",
    "Manifest",
    "ManifestFile",
    "SkimPart",
    "Storage",
    "Use",
    "part_path",
    "skim_folder",
    "skim_storage",
]
