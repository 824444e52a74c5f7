"""How much there is: entries, identities and sums of weights of files, and the store that remembers them."""

from __future__ import annotations

from intccms.metadata.records import FileMetadata, LumiRanges
from intccms.metadata.stage import (
    DatasetMetadata,
    MetadataTask,
    forget_files,
    notes_on_shared_files,
    read_metadata,
)
from intccms.metadata.store import MetadataStore
from intccms.metadata.sums import wanted_sums

__all__ = [
    "DatasetMetadata",
    "FileMetadata",
    "LumiRanges",
    "MetadataStore",
    "MetadataTask",
    "forget_files",
    "notes_on_shared_files",
    "read_metadata",
    "wanted_sums",
]
