"""Keep less: which columns an analysis needs and why, and skims: their parts, their place and their contract.

What concerns written skims is imported when it is first asked for, so that cuts and histograms do not depend on it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from intccms.skimming.columns import BranchList, ColumnPlan, Use

if TYPE_CHECKING:
    from intccms.skimming.manifest import Manifest, ManifestFile
    from intccms.skimming.parts import SkimPart, part_path
    from intccms.skimming.places import skim_folder, skim_storage

__all__ = [
    "BranchList",
    "ColumnPlan",
    "Manifest",
    "ManifestFile",
    "SkimPart",
    "Use",
    "part_path",
    "skim_folder",
    "skim_storage",
]

_MODULES = {
    "Manifest": "manifest",
    "ManifestFile": "manifest",
    "SkimPart": "parts",
    "part_path": "parts",
    "skim_folder": "places",
    "skim_storage": "places",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
