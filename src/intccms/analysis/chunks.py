"""Cuts files into chunks, and groups the work on them so that a worker opens a file once."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from intccms.analysis.ledger.names import file_key
from intccms.analysis.ledger.plan import FilePlan
from intccms.analysis.results import Chunk
from intccms.datasets import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from intccms.analysis.results import Work
    from intccms.metadata import DatasetMetadata, FileMetadata
    from intccms.schema import Dataset
    from intccms.skimming.parts import SkimPart

__all__ = ["chunks_of", "edges_of", "files_of", "group_by_file"]


def edges_of(entries: int, chunk_size: int) -> list[int]:
    """Return the entries at which a file is cut: equally long chunks of at most `chunk_size` entries."""
    count = math.ceil(entries / chunk_size)
    return [entries * i // count for i in range(count + 1)]


def files_of(metadata: DatasetMetadata, chunk_size: int) -> Iterator[FilePlan]:
    """Yield the files of a dataset that can be read and have events, cut into chunks, in canonical order."""
    for index, record in enumerate(metadata.files):
        if record.error is None and record.entries:
            edges = edges_of(record.entries, chunk_size)
            yield FilePlan(tuple(chunks_of(metadata.dataset, index, record, edges)))


def chunks_of(
    dataset: Dataset,
    index: int,
    record: FileMetadata,
    edges: Sequence[int],
    parts: Mapping[int, SkimPart] | None = None,
) -> Iterator[Chunk]:
    """Yield the chunks of one file, with their skim parts by first entry if those are read."""
    # the replica that the metadata were read from goes first: it is known to work
    urls = tuple(dict.fromkeys([record.url or record.urls[0], *record.urls]))
    file, key = SourceFile(record.name, urls), file_key(record, dataset.tree_name)
    for number, (start, stop) in enumerate(pairwise(edges)):
        part = None if parts is None else parts.get(start)
        yield Chunk(dataset.name, index, file, dataset.tree_name, record.uuid, start, stop, number, key, part)


def group_by_file(work: Sequence[Work], workers: int, *, longest: int = 8) -> list[list[Work]]:
    """Return work on neighbouring chunks of the same file in groups, so that a worker opens the file once.

    Skim parts are files of their own, so that all of a dataset are neighbours: the next one is fetched meanwhile.
    Groups are short enough that every worker gets several.
    """
    length = max(1, min(longest, len(work) // (4 * workers)))
    groups: list[list[Work]] = []
    for one in work:
        last = groups[-1] if groups else []
        if last and len(last) < length and _are_neighbours(last[-1].chunk, one.chunk):
            last.append(one)
        else:
            groups.append([one])
    return groups


def _are_neighbours(one: Chunk, other: Chunk) -> bool:
    if one.dataset != other.dataset:
        return False
    return (one.part is not None and other.part is not None) or one.file == other.file
