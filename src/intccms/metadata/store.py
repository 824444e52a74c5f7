"""Remembers the facts of files: one JSON file per dataset, written atomically."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.metadata.records import FileMetadata
from intccms.utils.files import write_atomically
from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.datasets.replicas import SourceFile

__all__ = ["MetadataStore"]

logger = logging.getLogger(__name__)

_VERSION = 1


class MetadataStore:
    """Facts of files by dataset and tree; a file whose state or replicas changed is unknown again.

    Parameters
    ----------
    folder
        Where the JSON files are; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, dict[str, FileMetadata]] = {}

    def get(self, dataset: str, source: str, file: SourceFile) -> FileMetadata | None:
        """Return the fresh record of a file that was read successfully, or None.

        Parameters
        ----------
        dataset
            Name of the dataset.
        source
            What the facts depend on besides the file (tree, kind of dataset, weight branch).
        file
            The file with its present replicas.
        """
        record = self._load(dataset, source).get(file.name)
        if record is None or record.error is not None:
            return None
        return record if (record.urls, record.state) == (file.urls, state_of(file)) else None

    def failed(self, dataset: str, source: str, file: SourceFile) -> FileMetadata | None:
        """Return the record of a failure, if that is what is remembered of a file."""
        record = self._load(dataset, source).get(file.name)
        return record if record is not None and record.error is not None else None

    def records(self, dataset: str, source: str) -> list[FileMetadata]:
        """Return all that is remembered of a dataset, failures included, fresh or not."""
        return list(self._load(dataset, source).values())

    def count(self, dataset: str, source: str) -> int:
        """Return of how many files something is remembered."""
        return len(self._load(dataset, source))

    def put(self, dataset: str, source: str, records: Iterable[FileMetadata]) -> None:
        """Remember records of a dataset's files, in memory and on disk.

        Raises
        ------
        OutputError
            If the store cannot be written.
        """
        known = self._load(dataset, source)
        known.update({record.name: record for record in records})
        head = json.dumps({"version": _VERSION, "dataset": dataset, "source": source})
        # one file a line, for people who look into it
        lines = ",\n".join(json.dumps(record.to_json()) for record in known.values())
        write_atomically(self._path(dataset), f'{head[:-1]}, "files": [\n{lines}\n]}}\n'.encode())

    def _path(self, dataset: str) -> Path:
        return self.folder / f"{dataset}.json"

    def _load(self, dataset: str, source: str) -> dict[str, FileMetadata]:
        key = f"{dataset}\n{source}"
        if key not in self._known:
            self._known[key] = self._read(dataset, source)
        return self._known[key]

    def _read(self, dataset: str, source: str) -> dict[str, FileMetadata]:
        path = self._path(dataset)
        if not path.exists():
            return {}
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] != _VERSION or data["source"] != source:
                return {}
            records = [FileMetadata.from_json(item) for item in data["files"]]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            logger.warning("the metadata store %s is damaged (%s); it is made anew", path, _first_line(exc))
            return {}
        return {record.name: record for record in records}


def _first_line(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}".splitlines()[0]


def state_of(file: SourceFile) -> tuple[int, int] | None:
    """Return size [bytes] and change time [ns] of a local file, None for others."""
    path = file.urls[0].removeprefix("file://")
    if is_url(path):
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
