"""Where the payloads of corrections and the golden JSON files are. Nothing is opened here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .eras import Era

__all__ = ["CVMFS", "golden_json", "payload"]

CVMFS = "/cvmfs/cms.cern.ch/rsync/cms-nanoAOD/jsonpog-integration/POG"
"""Where CMS distributes the payloads of the physics object groups."""


def payload(group: str, era: Era, name: str) -> str:
    """Return the path of a payload, such as ``{folder}/JME/2018_UL/jet_jerc.json.gz``.

    The folder is ``INTCCMS_PAYLOADS``, by default that of CVMFS.
    """
    return f"{_folder()}/{group}/{era.payloads}/{name}.json.gz"


def golden_json(era: Era) -> str:
    """Return the path of the certified lumi sections of an era.

    They are in ``INTCCMS_GOLDEN``, by default in the folder ``golden`` beside that of the payloads.
    """
    folder = os.environ.get("INTCCMS_GOLDEN") or str(Path(_folder()).parent / "golden")
    return f"{folder}/{era.golden_json}"


def _folder() -> str:
    return os.environ.get("INTCCMS_PAYLOADS") or CVMFS
