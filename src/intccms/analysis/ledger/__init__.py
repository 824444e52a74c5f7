"""Results that are kept: addressed by what produced them, committed one by one, added up in one order."""

from __future__ import annotations

from intccms.analysis.ledger.ledger import Ledger
from intccms.analysis.ledger.merge import compact_file, fold_dataset
from intccms.analysis.ledger.names import Name
from intccms.analysis.ledger.place import Place
from intccms.analysis.ledger.plan import DatasetPlan, FilePlan, Missing, find_missing
from intccms.analysis.ledger.records import DamagedRecordError, Record
from intccms.analysis.ledger.units import Unit, Units

__all__ = [
    "DamagedRecordError",
    "DatasetPlan",
    "FilePlan",
    "Ledger",
    "Missing",
    "Name",
    "Place",
    "Record",
    "Unit",
    "Units",
    "compact_file",
    "find_missing",
    "fold_dataset",
]
