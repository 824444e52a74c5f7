"""Skim parts as ROOT files: a TTree as NanoAOD has it, or an RNTuple of the same flat columns."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import threading
import uuid as uuids
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np
import uproot
import uproot.writing._cascade
import uproot.writing._cascadentuple
import uproot.writing._cascadetree
import uproot.writing.writable

from intccms.datasets.sources import EventSource, event_source
from intccms.errors import ConfigError
from intccms.utils.storage import evaluated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["RNTuple", "TTree"]

_TREE = "Events"

_COMPRESSIONS = ("zstd", "lz4", "zlib", "lzma")
_LEVELS = {"zstd": 5, "lz4": 1, "zlib": 1, "lzma": 1}
"""Where the configuration names none."""

_OPTIONS = frozenset({"compression", "compression_level", "storage_options"})


class _RootFile:
    """What both have in common: uproot makes and opens the file."""

    name: str
    extension = "root"
    keeps_runs = True

    def write(
        self,
        blocks: Sequence[Mapping[str, Any]],
        path: Path,
        options: Mapping[str, Any],
        runs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write columns to a local file, as `PartFormat.write` describes it."""
        compression = _compression(evaluated(dict(options)))
        identity = partial(_identity, blocks)
        with (
            _time_stands_still(),
            path.open("w+b") as handle,  # given a path, uproot writes its name into the file
            uproot.recreate(handle, compression=compression, uuid_function=identity) as file,
        ):
            self._add(file, _TREE, blocks)
            if runs:
                self._add(file, "Runs", [runs])

    def open(
        self,
        target: Path | bytes,
        *,
        url: str,
        uuid: str,
        size: int,
        options: Mapping[str, Any],
        first: int = 0,
        entries: int | None = None,
    ) -> EventSource:
        """Open a file, as `PartFormat.open` describes it."""
        # the file system has been asked already
        chosen = {key: value for key, value in options.items() if key != "storage_options"}
        if unknown := sorted(set(chosen) - set(uproot.open.defaults)):
            message = (
                f"uproot.open has no option {', '.join(unknown)}; it has {', '.join(uproot.open.defaults)}"
            )
            raise TypeError(message)
        file = io.BytesIO(target) if isinstance(target, bytes) else {str(target): None}
        directory = uproot.open(file, **evaluated(chosen))
        source = event_source(directory, _TREE, url=url, uuid=uuid, size=size)
        return source.part(first, source.entries - first if entries is None else entries)

    def _add(self, file: Any, name: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        raise NotImplementedError


class TTree(_RootFile):
    """A TTree like that of NanoAOD: branches of a collection share its counter, which is an ``Int_t``."""

    name = "ttree"

    def _add(self, file: Any, name: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        columns = blocks[0]
        jagged = [one for one, values in columns.items() if values.ndim > 1]
        counters = {one: _counter(one, columns) for one in jagged}
        flat = [one for one in columns if one not in counters]
        types = {one: _dtype(columns[one]) for one in flat if one not in counters.values()}
        types |= {one: ak.types.ListType(ak.types.NumpyType(str(_dtype(columns[one])))) for one in jagged}
        tree = file.mktree(
            name,
            types,
            counter_name=lambda branch: counters.get(branch, f"n{branch}"),
            initial_basket_capacity=len(blocks) + 1,  # growing it writes the description of all branches anew
        )
        for block in blocks:
            tree.extend({one: np.asarray(block[one]) for one in flat} | {one: block[one] for one in jagged})


class RNTuple(_RootFile):
    """An RNTuple whose fields are flat columns, counters included."""

    name = "rntuple"

    def _add(self, file: Any, name: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        tuples = file.mkrntuple(name, ak.zip(dict(blocks[0]), depth_limit=1).layout.form)
        for block in blocks:
            if len(next(iter(block.values()))):  # ROOT refuses clusters without entries
                tuples.extend(dict(block))


def _counter(branch: str, columns: Mapping[str, Any]) -> str:
    """Return the branch with the number of values: ``nMuon`` of ``Muon_pt``, ``nPSWeight`` of ``PSWeight``."""
    whole = f"n{branch}"
    return whole if whole in columns else f"n{branch.partition('_')[0]}"


def _dtype(values: Any) -> Any:
    layout = ak.to_layout(values)
    return layout.content.dtype if layout.is_list else layout.dtype


def _compression(options: Mapping[str, Any]) -> Any:
    where = "preprocess.skimming.output.to_kwargs"
    if unknown := sorted(set(options) - _OPTIONS):
        message = f"{where}: ROOT files have no option {', '.join(unknown)}; they have {', '.join(sorted(_OPTIONS))}."
        raise ConfigError(message)
    name = options.get("compression", "zstd")
    if name is None:
        return None
    if not isinstance(name, str) or name.lower() not in _COMPRESSIONS:
        message = f"{where}: no compression {name!r}; expected {', '.join(map(repr, _COMPRESSIONS))} or None."
        raise ConfigError(message)
    level = options.get("compression_level")
    level = _LEVELS[name.lower()] if level is None else level
    try:
        return getattr(uproot, name.upper())(level)
    except (TypeError, ValueError) as exc:
        message = f"{where}: compression_level={level!r} with compression {name!r}: {exc}."
        raise ConfigError(message) from exc


def _identity(blocks: Sequence[Mapping[str, Any]]) -> uuids.UUID:
    """Return a uuid that is the same for the same events and columns, and another one for others."""
    digest = hashlib.sha256("\n".join(blocks[0]).encode())
    for block in blocks:
        for name in ("run", "luminosityBlock", "event"):
            if name in block:
                digest.update(np.ascontiguousarray(block[name]))
    return uuids.UUID(bytes=digest.digest()[:16], version=5)


class _Clock(dt.datetime):
    """Tells no time to threads that write parts: every key of a ROOT file has the time of its writing in it."""

    still = threading.local()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        """Return the time, or the first moment that a ROOT file can hold."""
        if getattr(cls.still, "writes", False):
            return cls(1995, 1, 1, tzinfo=tz)
        return super().now(tz)


class _Datetime:
    """Stands for the module `datetime` in the modules of uproot that write."""

    datetime = _Clock


@contextmanager
def _time_stands_still() -> Iterator[None]:
    """Let ROOT files of the same content have the same bytes; two workers may write the same part."""
    writing = uproot.writing
    for module in (writing._cascade, writing._cascadentuple, writing._cascadetree, writing.writable):  # noqa: SLF001
        module.datetime = _Datetime
    _Clock.still.writes = True
    try:
        yield
    finally:
        _Clock.still.writes = False
