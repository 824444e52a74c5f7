"""The skim contract of one dataset: what was written, from which inputs, for which configuration.

It stands beside the parts, and readers use only the parts that it lists. Which configuration is compatible is not
decided here.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from intccms.errors import MetadataError, OutputError
from intccms.metadata.records import FileMetadata, LumiRanges
from intccms.schema.secrets import masked_text
from intccms.skimming.parts import SkimPart  # noqa: TC001 - Pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intccms.utils.storage import Storage

__all__ = ["MANIFEST_VERSION", "Manifest", "ManifestFile", "manifest_name"]

MANIFEST_VERSION = 1


def manifest_name(dataset: str) -> str:
    """Return the name of a dataset's manifest in the storage of skims."""
    return f"{dataset}/manifest.json"


@dataclass
class ManifestFile:
    """One source file and its chunks."""

    index: int
    """Number in the paths of its parts; given once and never again."""
    name: str
    """As in the listing; no URL."""
    uuid: str
    size: int | None = None
    """Size of the source file [bytes]."""
    entries: int = 0
    """Entries of its event tree."""
    generated: int | None = None
    """Generated events (simulation)."""
    sumw: float | None = None
    """Sum of genWeight over the generated events (simulation)."""
    sumw_from: Literal["Runs", "Events"] | None = None
    """Where `sumw` comes from."""
    weight_sums: dict[str, list[float]] = field(default_factory=dict)
    """Branch of theory weights -> sums over the generated events, as in the metadata (simulation)."""
    weight_sums_from: dict[str, Literal["Runs", "Events"]] = field(default_factory=dict)
    """Where those sums come from."""
    lumis: LumiRanges = field(default_factory=dict)
    """Run and lumi-section content (data)."""
    edges: list[int] = field(default_factory=list)
    """Boundaries of its chunks: one more than there are chunks."""
    parts: dict[int, SkimPart] = field(default_factory=dict)
    """Parts that were written, or found empty, by first entry of their chunk."""
    failed: dict[int, str] = field(default_factory=dict)
    """Why there is no part, by first entry of the chunk."""
    digest: str = ""
    """Of what the parts were made with; opaque here."""

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Chunks without a part, as entry ranges."""
        return [(start, stop) for start, stop in pairwise(self.edges) if start not in self.parts]

    def describe(self, record: FileMetadata) -> None:
        """Take over what the metadata say of the source file."""
        self.name, self.uuid = record.name, str(record.uuid)
        self.size, self.entries, self.generated = record.size, record.entries or 0, record.generated
        self.sumw, self.sumw_from, self.lumis = record.sumw, record.sumw_from, record.lumis
        self.weight_sums, self.weight_sums_from = record.weight_sums, record.weight_sums_from

    def metadata(self) -> FileMetadata:
        """Return what a run on skims needs to know of the source file, which it does not open."""
        return FileMetadata(
            name=self.name,
            urls=(self.name,),
            uuid=self.uuid,
            size=self.size,
            entries=self.entries,
            generated=self.generated,
            sumw=self.sumw,
            sumw_from=self.sumw_from,
            weight_sums=self.weight_sums,
            weight_sums_from=self.weight_sums_from,
            lumis=self.lumis,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the file as JSON data; what is not set is left out."""
        data = {**vars(self), "parts": [part.to_json() for part in self.parts.values()]}
        return {key: value for key, value in data.items() if value not in (None, {}, [], "")}


@dataclass
class Manifest:
    """The skim contract of a dataset."""

    dataset: str
    is_data: bool
    contract: dict[str, str] = field(default_factory=dict)
    """Part of the configuration -> digest; opaque here."""
    described: dict[str, Any] = field(default_factory=dict)
    """Field of the configuration -> its value when the skim was written, for messages."""
    uses: list[str] = field(default_factory=list)
    """Columns that the skim was written for, such as ``Muon_pt`` or ``Muon_*``."""
    format: str = "parquet"
    next_index: int = 0
    """Number that the next new file is given."""
    next_pack: int = 0
    """Number that the next file of several parts is given."""
    files: list[ManifestFile] = field(default_factory=list)
    """In the order in which they were first seen, which is that of their numbers."""
    listing: list[str] = field(default_factory=list)
    """Names of all files of the dataset in the order of the source, when the skim was last written."""
    obsolete: set[str] = field(default_factory=set)
    """Paths of files that are no parts any more and are still to be removed."""
    version: int = MANIFEST_VERSION

    def __post_init__(self) -> None:
        """Make the tables for looking files up."""
        self._by_name = {file.name: file for file in self.files}
        self._by_index = {file.index: file for file in self.files}
        self._by_uuid: dict[str, list[ManifestFile]] = {}
        for file in self.files:
            self._by_uuid.setdefault(file.uuid, []).append(file)

    @classmethod
    def load(cls, storage: Storage, dataset: str) -> Self | None:
        """Return the manifest of a dataset, None if there is none.

        Raises
        ------
        OutputError
            If it or its bucket cannot be read, it is damaged, or was written by a newer version; it says what to do.
        """
        name = manifest_name(dataset)
        try:
            content = storage.get(name)
        except FileNotFoundError:
            storage.check_bucket()
            return None
        where = masked_text(storage.url(name))
        try:
            data = json.loads(content)
            version = data["version"]
            if isinstance(version, int) and version > MANIFEST_VERSION:
                message = (
                    f"the skim manifest {where} has version {version}, this intccms knows up to {MANIFEST_VERSION}. "
                    "Update intccms, or give preprocess.skimming.output.output_dir another folder."
                )
                raise OutputError(message)
            return cls._from_json(data, dataset)
        except (ValueError, KeyError, TypeError) as exc:
            message = (
                f"the skim manifest {where} is damaged ({_reason(exc)}). Restore it, or remove the folder of the "
                "dataset and write its skims again with general.run_skimming=True."
            )
            raise OutputError(message) from exc

    @classmethod
    def _from_json(cls, data: Any, dataset: str) -> Self:
        for file in data["files"]:
            file["parts"] = {part["start"]: part for part in file.get("parts", ())}
        manifest: Self = TypeAdapter(cls).validate_python(data)
        if manifest.dataset != dataset:
            message = f"it is that of dataset {manifest.dataset!r}"
            raise ValueError(message)
        numbers = [file.index for file in manifest.files]
        if any(first >= second for first, second in pairwise([-1, *numbers, manifest.next_index])):
            message = "its file numbers do not ascend"
            raise ValueError(message)
        return manifest

    def save(self, storage: Storage) -> None:
        """Write the manifest, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        head = {
            "version": self.version,
            "dataset": self.dataset,
            "is_data": self.is_data,
            "contract": self.contract,
            "described": self.described,
            "uses": self.uses,
            "format": self.format,
            "next_index": self.next_index,
            "next_pack": self.next_pack,
            "listing": self.listing,
            "obsolete": sorted(self.obsolete - self._paths()),
        }
        # one file a line, for people who look into it
        lines = ",\n".join(json.dumps(file.to_json(), separators=(",", ":")) for file in self.files)
        text = f'{json.dumps(head)[:-1]}, "files": [\n{lines}\n]}}\n'
        storage.put(manifest_name(self.dataset), text.encode())

    def sweep(self, storage: Storage) -> None:
        """Remove files that are no parts any more; call it after `save`, while no part is being written.

        Raises
        ------
        OutputError
            If one cannot be removed; those that remain are tried again next time.
        """
        paths = sorted(self.obsolete - self._paths())
        storage.delete(f"{self.dataset}/{path}" for path in paths)
        self.obsolete.clear()

    def index_for(self, record: FileMetadata, present_names: set[str]) -> int:
        """Return the number of a source file, and take over what its metadata say.

        A file is the same if name and uuid are. One with a known uuid and another name was moved and keeps its
        number, unless the known name is listed as well: then it is a copy. One with a known name and another uuid
        was replaced: it gets a new number, and the parts of the old one become obsolete.

        Parameters
        ----------
        record
            Metadata of the file.
        present_names
            Names of all files in the present listing.

        Raises
        ------
        MetadataError
            If the file could not be read.
        """
        if record.uuid is None or record.entries is None:
            message = f"{record.name}: {record.error or 'neither uuid nor entries are known'}. Re-run the metadata stage."
            raise MetadataError(message)
        file = self._known(record, present_names)
        if file is None:
            if record.name in self._by_name:
                self._drop(self._by_name[record.name])
            file = ManifestFile(self.next_index, record.name, record.uuid)
            self.next_index += 1
            self.files.append(file)
            self._by_index[file.index] = file
            self._by_uuid.setdefault(record.uuid, []).append(file)
        elif file.name != record.name:
            if record.name in self._by_name:
                self._drop(self._by_name[record.name])
            del self._by_name[file.name]
        self._by_name[record.name] = file
        file.describe(record)
        return file.index

    def file(self, index: int) -> ManifestFile:
        """Return a file by its number.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._by_index[index]

    def set_chunks(self, index: int, edges: Sequence[int]) -> bool:
        """Set the chunks of a file, and tell whether they changed: then its parts become obsolete.

        Parameters
        ----------
        index
            Number of the file.
        edges
            Boundaries in entries, from 0 to the entries of the file, one more than there are chunks.

        Raises
        ------
        ValueError
            If the boundaries do not cover the file.
        """
        file = self.file(index)
        chosen = list(edges)
        covered = chosen[:1] == [0] and chosen[-1] == file.entries
        if not covered or any(start > stop for start, stop in pairwise(chosen)):
            message = f"chunks {chosen[:10]} do not cover the {file.entries} entries of {file.name}"
            raise ValueError(message)
        if chosen == file.edges:
            return False
        self.forget_parts(index)
        file.edges = chosen
        return True

    def forget_parts(self, index: int) -> None:
        """Drop the parts and failures of a file; what is not written again under the same path becomes obsolete."""
        file = self.file(index)
        self.obsolete.update(part.path for part in file.parts.values() if part.path is not None)
        file.parts, file.failed = {}, {}

    def add_part(self, index: int, part: SkimPart) -> None:
        """Record a part in the place of one of the same chunk, or of its failure.

        Raises
        ------
        ValueError
            If the file has no such chunk.
        """
        file = self.file(index)
        if (part.start, part.stop) not in _chunks(tuple(file.edges)):
            message = f"{file.name} has no chunk of the entries {part.start} to {part.stop}"
            raise ValueError(message)
        self._forget_part(file, part.start)
        file.failed.pop(part.start, None)
        file.parts[part.start] = part

    def add_failure(self, index: int, start: int, reason: str) -> None:
        """Record why a chunk has no part; one that it had becomes obsolete."""
        file = self.file(index)
        self._forget_part(file, start)
        file.failed[start] = reason

    def _known(self, record: FileMetadata, present_names: set[str]) -> ManifestFile | None:
        same = self._by_uuid.get(str(record.uuid), [])
        named = [file for file in same if file.name == record.name]
        moved = [file for file in same if file.name not in present_names]
        return next(iter([*named, *moved]), None)

    def _drop(self, file: ManifestFile) -> None:
        self.forget_parts(file.index)
        del self.files[bisect_left(self.files, file.index, key=lambda one: one.index)]
        del self._by_name[file.name], self._by_index[file.index]
        self._by_uuid[file.uuid].remove(file)

    def _forget_part(self, file: ManifestFile, start: int) -> None:
        old = file.parts.pop(start, None)
        if old is not None and old.path is not None:
            self.obsolete.add(old.path)

    def _paths(self) -> set[str]:
        """Return the paths of all parts."""
        return {part.path for file in self.files for part in file.parts.values() if part.path is not None}


@cache
def _chunks(edges: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    return frozenset(pairwise(edges))


def _reason(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = exc.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(exc).__name__}: {exc}"[:300]
