"""How records are named: everything a run must know to tell what is done stands in the name.

One folder per dataset, so that one listing tells what there is::

    .batches/{batch}.json                                   which channels, under which digests, and why
    {dataset}/{file}.{start}-{stop}.{batch}.chunk           one chunk
    {dataset}/{file}.{edges}.{batch}.file                   all chunks of a file, added up
    {dataset}/{files}.{batch}.whole                         all files of the dataset, added up
    {dataset}/{file}.{start}-{stop}.{digest}.skim           the facts of a skim part that was written
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intccms.metadata import FileMetadata

__all__ = ["Name", "batch_of", "batch_path", "file_key", "short_hash"]

BATCHES = ".batches"
"""No dataset has such a name."""
RUNS = ".runs"
"""Which run directories use a ledger."""
_DIGITS = 16


@dataclass(frozen=True)
class Name:
    """The name of a record, taken apart."""

    dataset: str
    kind: str
    """``chunk``, ``file``, ``whole`` or ``skim``."""
    key: str
    """The file, or all files of a dataset."""
    extent: str
    """``start-stop`` of a chunk or part, hash of the chunk edges of a file; empty for a dataset."""
    batch: str
    """Batch of channels, or digest of a skim."""

    def __str__(self) -> str:
        """Return the path below the ledger."""
        parts = [self.key, self.extent, self.batch, self.kind]
        return f"{self.dataset}/{'.'.join(part for part in parts if part)}"

    @classmethod
    def parse(cls, path: str) -> Name | None:
        """Return the name that a path stands for, None for other files."""
        dataset, _, rest = path.rpartition("/")
        parts = rest.split(".")
        if len(parts) == 3 and parts[-1] == "whole":
            return cls(dataset, "whole", parts[0], "", parts[1])
        if len(parts) == 4 and parts[-1] in {"chunk", "file", "skim"}:
            return cls(dataset, parts[3], parts[0], parts[1], parts[2])
        return None


def short_hash(*content: object) -> str:
    """Return 64 bits of the hash of some JSON data, as text for names of files."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_DIGITS]


def file_key(record: FileMetadata, tree_name: str) -> str:
    """Return what identifies the content of a file, wherever it lies and whatever its name."""
    return short_hash(record.uuid, record.size, record.entries, tree_name)


def batch_of(digests: Mapping[str, str]) -> str:
    """Return the name of a set of channels under their digests."""
    return short_hash(sorted(digests.items()))


def batch_path(batch: str) -> str:
    """Return where the description of a batch stands."""
    return f"{BATCHES}/{batch}.json"


def edges_key(edges: Sequence[int]) -> str:
    """Return the extent of a whole file, cut into chunks at these entries."""
    return short_hash(list(edges))
