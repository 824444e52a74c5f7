"""One result as bytes: sparse, compressed, with a checksum; and the sum of many in bounded memory.

A record holds what one chunk, one file or one dataset contributed to some channels. Of a channel's histograms,
laid end to end, nominal first and then once more for each variation, only the bins that anything fell into are
stored. Adding bins that are zero changes no bit, so sums of records are the sums of the arrays themselves.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from intccms.errors import IntccmsError
from intccms.histograms import Sums
from intccms.selection import Cutflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from intccms.analysis.results import DatasetSums

__all__ = ["Accumulator", "ChannelContent", "DamagedRecordError", "Record", "decode", "encode", "record_of"]

_MAGIC = b"intccms3"
_CHECKSUM_BYTES = 16
_COUNTS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<i8"))
"""Types for unweighted entries; the smallest that holds them is stored."""

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Observables with the shapes of their histograms (flow bins included), in the order in which they are laid."""


class DamagedRecordError(IntccmsError, ValueError):
    """A record of the ledger is not as it was written."""


@dataclass
class ChannelContent:
    """What one channel got: bins that are not empty, and cutflows."""

    layout: Layout
    index: NDArray[np.int64]
    """Positions of the bins in the histograms laid end to end, increasing."""
    sumw: NDArray[np.float64]
    sumw2: NDArray[np.float64]
    entries: NDArray[np.int64]
    """Of the nominal bins, which come first."""
    nan: dict[str, int]
    """Candidates by observable that were NaN and are in no bin."""
    common: Cutflow
    """Steps before the channel's own."""
    cutflow: Cutflow
    absent_triggers: frozenset[str] = frozenset()
    variations: tuple[str, ...] = ()
    """Variations that were filled, in the order in which they are laid after nominal."""


@dataclass
class Record:
    """What a range of entries contributed."""

    entries: int
    """Entries read, before any cut."""
    sumw: float
    """Sum of their generator weights (simulation)."""
    channels: dict[str, ChannelContent]
    lumis: dict[str, list[list[int]]] = field(default_factory=dict)
    """Runs and lumi sections of the entries (data)."""
    cpu_seconds: float = 0.0
    """CPU time that making it took [s]."""
    absent_corrections: frozenset[str] = frozenset()
    """Corrections that changed nothing in some of the entries, because the input lacked a column of theirs."""
    split: int = 0
    """Chunks in it that were processed in pieces, because memory was short."""


def record_of(sums: DatasetSums, cpu_seconds: float = 0.0) -> Record:
    """Return the record of a processed chunk."""
    channels = {}
    for name, cutflow in sums.channels.items():
        # in one order whatever that of the configuration, which the digest of a channel does not see
        observables = sorted(observable for channel, observable in sums.histograms if channel == name)
        contents = {observable: sums.histograms[name, observable] for observable in observables}
        total = Accumulator(
            tuple((observable, one.sumw.shape) for observable, one in contents.items()),
            tuple(next(iter(contents.values())).varied) if contents else (),
        )
        for observable, one in contents.items():
            total.put(observable, one)
        channels[name] = total.content(sums.common, cutflow, sums.absent_of.get(name, frozenset()))
    return Record(sums.entries, sums.sumw, channels, sums.lumis, cpu_seconds, sums.absent_corrections)


class Accumulator:
    """Dense sums of one channel's histograms, to which sparse contents are added one by one.

    Parameters
    ----------
    layout
        The histograms.
    variations
        Variations of all of them.
    """

    def __init__(self, layout: Layout, variations: tuple[str, ...] = ()) -> None:
        self.layout = layout
        self.variations = variations
        self._sizes = [int(np.prod(shape)) for _, shape in layout]
        size = sum(self._sizes)
        self._size = size
        self._sumw = np.zeros((1 + len(variations)) * size)
        self._sumw2 = np.zeros((1 + len(variations)) * size)
        self._entries = np.zeros(size, dtype=np.int64)
        self._nan: dict[str, int] = {}

    def add(self, content: ChannelContent) -> None:
        """Add the content of a record with the same layout."""
        if content.layout != self.layout or content.variations != self.variations:
            message = (
                f"histograms {content.layout} with the variations {content.variations} cannot be added to {self.layout} "
                f"with {self.variations}"
            )
            raise DamagedRecordError(message)
        # a position occurs once in a record, so that fancy indexing adds each value
        self._sumw[content.index] += content.sumw
        self._sumw2[content.index] += content.sumw2
        self._entries[content.index[: len(content.entries)]] += content.entries
        for name, count in content.nan.items():
            self._nan[name] = self._nan.get(name, 0) + count

    def put(self, observable: str, sums: Sums) -> None:
        """Set one histogram."""
        if tuple(sums.varied) != self.variations:
            message = (
                f"observable {observable!r} has the variations {tuple(sums.varied)}, others {self.variations}"
            )
            raise ValueError(message)
        place = self._place(observable)
        self._entries[place] = sums.entries.ravel()
        for index, (sumw, sumw2) in enumerate([(sums.sumw, sums.sumw2), *sums.varied.values()]):
            here = slice(place.start + index * self._size, place.stop + index * self._size)
            self._sumw[here], self._sumw2[here] = sumw.ravel(), sumw2.ravel()
        if sums.nan:
            self._nan[observable] = sums.nan

    def content(self, common: Cutflow, cutflow: Cutflow, absent_triggers: frozenset[str]) -> ChannelContent:
        """Return the bins that are not empty."""
        filled = (self._sumw != 0) | (self._sumw2 != 0)
        filled[: self._size] |= self._entries != 0
        index = np.flatnonzero(filled)
        nominal = index[: np.searchsorted(index, self._size)]
        return ChannelContent(
            self.layout,
            index,
            self._sumw[index],
            self._sumw2[index],
            self._entries[nominal],
            dict(self._nan),
            common,
            cutflow,
            absent_triggers,
            self.variations,
        )

    def histograms(self) -> dict[str, Sums]:
        """Return the histograms in their shapes."""
        sumw, sumw2 = (
            array.reshape(1 + len(self.variations), self._size) for array in (self._sumw, self._sumw2)
        )
        found = {}
        for observable, shape in self.layout:
            place = self._place(observable)
            varied = {
                name: (sumw[index, place].reshape(shape), sumw2[index, place].reshape(shape))
                for index, name in enumerate(self.variations, start=1)
            }
            found[observable] = Sums(
                sumw[0, place].reshape(shape),
                sumw2[0, place].reshape(shape),
                self._entries[place].reshape(shape),
                self._nan.get(observable, 0),
                varied,
            )
        return found

    def _place(self, observable: str) -> slice:
        start = 0
        for (name, _), size in zip(self.layout, self._sizes, strict=True):
            if name == observable:
                return slice(start, start + size)
            start += size
        raise KeyError(observable)


def encode(record: Record, name: str) -> bytes:
    """Return a record as bytes that know under which name they are kept."""
    arrays: list[bytes] = []
    channels = {name: _channel_header(content, arrays) for name, content in record.channels.items()}
    header = json.dumps(
        {
            "name": name,
            "entries": record.entries,
            "sumw": record.sumw,
            "lumis": record.lumis,
            "cpu_seconds": record.cpu_seconds,
            "absent_corrections": sorted(record.absent_corrections),
            "split": record.split,
            "channels": channels,
        },
        separators=(",", ":"),
    ).encode()
    body = b"".join((struct.pack("<I", len(header)), header, *arrays))
    packed = pa.compress(body, codec="zstd", asbytes=True)
    content = b"".join((_MAGIC, struct.pack("<Q", len(body)), packed))
    return content + _checksum(content)


def _channel_header(content: ChannelContent, arrays: list[bytes]) -> dict[str, Any]:
    counts = next(
        kind
        for kind in _COUNTS
        if not len(content.entries)
        or (content.entries.min() >= np.iinfo(kind).min and content.entries.max() <= np.iinfo(kind).max)
    )
    # differences of increasing positions are small numbers, which compress well
    steps = np.diff(content.index, prepend=0).astype("<u4")
    arrays += [
        steps.tobytes(),
        content.sumw.astype("<f8").tobytes(),
        content.sumw2.astype("<f8").tobytes(),
        content.entries.astype(counts).tobytes(),
    ]
    return {
        "layout": content.layout,
        "variations": content.variations,
        "bins": len(content.index),
        "nominal": len(content.entries),
        "counts": counts.str,
        "nan": content.nan,
        "common": _cutflow_to_json(content.common),
        "cutflow": _cutflow_to_json(content.cutflow),
        "absent_triggers": sorted(content.absent_triggers),
    }


def decode(content: bytes, name: str, channels: Mapping[str, Any] | None = None) -> Record:
    """Return the record that `encode` made.

    Parameters
    ----------
    content
        The bytes.
    name
        Under which they were found.
    channels
        Only these channels; None for all.

    Raises
    ------
    DamagedRecordError
        If the bytes are not those that were written.
    """
    body = _body(content)
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(bytes(body[4 : 4 + length]))
    if header["name"] != name:
        message = f"it is the record {header['name']}"
        raise DamagedRecordError(message)
    position, found = 4 + length, {}
    for channel, one in header["channels"].items():
        kinds: list[tuple[np.dtype[Any], int]] = [
            (np.dtype("<u4"), one["bins"]),
            (np.dtype("<f8"), one["bins"]),
            (np.dtype("<f8"), one["bins"]),
        ]
        kinds.append((np.dtype(one["counts"]), one["nominal"]))
        arrays = []
        for kind, number in kinds:
            arrays.append(np.frombuffer(body, kind, number, position))
            position += number * kind.itemsize
        if channels is None or channel in channels:
            found[channel] = _channel(one, arrays)
    return Record(
        header["entries"],
        header["sumw"],
        found,
        header["lumis"],
        header["cpu_seconds"],
        frozenset(header["absent_corrections"]),
        header["split"],
    )


def _channel(header: Mapping[str, Any], arrays: list[NDArray[Any]]) -> ChannelContent:
    steps, sumw, sumw2, entries = arrays
    return ChannelContent(
        tuple((observable, tuple(shape)) for observable, shape in header["layout"]),
        np.cumsum(steps, dtype=np.int64),
        sumw,
        sumw2,
        entries,
        header["nan"],
        _cutflow_from_json(header["common"]),
        _cutflow_from_json(header["cutflow"]),
        frozenset(header["absent_triggers"]),
        tuple(header["variations"]),
    )


def _body(content: bytes) -> memoryview:
    packed, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if not packed.startswith(_MAGIC) or _checksum(packed) != checksum:
        message = f"{len(content)} bytes that are no record, or no longer the one that was written"
        raise DamagedRecordError(message)
    (size,) = struct.unpack_from("<Q", packed, len(_MAGIC))
    return memoryview(pa.decompress(packed[len(_MAGIC) + 8 :], size, codec="zstd", asbytes=True))


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def _cutflow_to_json(cutflow: Cutflow) -> dict[str, Any]:
    return {"steps": [[name, *left] for name, left in cutflow.steps.items()], "mixed": cutflow.mixed}


def _cutflow_from_json(data: Mapping[str, Any]) -> Cutflow:
    return Cutflow({name: (entries, sumw) for name, entries, sumw in data["steps"]}, data["mixed"])
