"""Reads events from parquet files: input, and parts of skims. Errors name the file."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import awkward as ak
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from coffea.nanoevents import NanoEventsFactory

from intccms.datasets.counts import Counts, collections_of_lists
from intccms.datasets.nanoevents import Schema, quiet_schema
from intccms.datasets.reading import reading
from intccms.utils.xrootd import is_xrootd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["ParquetEvents", "opened_parquet"]


class _Rows(pq.ParquetFile):
    """A parquet file of which there are only some row groups and columns."""

    url: str
    groups: Sequence[int]
    shown: pa.Schema
    counts = Counts(frozenset())

    @property
    def schema_arrow(self) -> pa.Schema:
        """Return the columns that there are: coffea makes events of all of them, and refuses some types."""
        return self.shown

    def read(self, columns: Any = None, **options: Any) -> Any:
        """Read columns of the row groups."""
        with reading(self.url, ", ".join(columns)):
            table = self.read_row_groups(self.groups, columns, **options)
            table.validate(full=True)  # a corrupt page may give lists that end before they begin
            for name in filter(self.counts.concern, table.column_names):
                counts = pc.fill_null(pc.list_value_length(table.column(name)), 0)
                self.counts.compare(name, counts.to_numpy())
        # coffea takes the first piece for the whole
        return table.combine_chunks() if any(column.num_chunks > 1 for column in table.columns) else table


class ParquetEvents:
    """Makes events and arrays of a parquet file, or of a range of its rows; only row groups that hold them are read.

    Parameters
    ----------
    target
        Gives what pyarrow is to open: a path, a buffer, or an open file.
    url
        The file, for errors.
    options
        Further options of ``NanoEventsFactory.from_parquet``.
    footer
        Metadata of the file, if they have been read.
    """

    def __init__(
        self,
        target: Callable[[], Any],
        url: str,
        options: Mapping[str, Any] | None = None,
        footer: pq.FileMetaData | None = None,
    ) -> None:
        self._target, self._url = target, url
        self._options = {"schemaclass": Schema, **(options or {})}
        self._footer = footer or pq.read_metadata(target())
        sizes = (self._footer.row_group(index).num_rows for index in range(self._footer.num_row_groups))
        self._begins: list[int] = list(accumulate(sizes, initial=0))
        self._schema = self._footer.schema.to_arrow_schema()
        self._known: dict[frozenset[str], tuple[pa.Schema, frozenset[str]]] = {}

    @property
    def rows(self) -> int:
        """Return the number of rows of the file."""
        return self._begins[-1]

    @property
    def columns(self) -> frozenset[str]:
        """Return the names of the columns."""
        return frozenset(self._schema.names)

    def events(self, branches: frozenset[str], start: int, stop: int) -> Any:
        """Return NanoEvents of an entry range, with virtual arrays of some columns."""
        options = dict(self._options)
        with reading(self._url, f"entries {start} to {stop}"), quiet_schema():
            rows, first = self._rows(start, stop, **options.pop("parquet_options", {}))
            rows.shown, of_lists = self._restricted_to(branches)
            rows.counts = Counts(of_lists)
            factory = NanoEventsFactory.from_parquet(
                rows, entry_start=start - first, entry_stop=stop - first, metadata={}, **options
            )
        return factory.events()

    def arrays(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Return plain arrays of an entry range."""
        names = list(columns)
        with reading(self._url, f"entries {start} to {stop}"):
            rows, first = self._rows(start, stop)
            found = ak.from_arrow(rows.read(names, use_threads=False))[start - first : stop - first]
            return {name: found[name] for name in names}

    def _restricted_to(self, branches: frozenset[str]) -> tuple[pa.Schema, frozenset[str]]:
        """Return the schema of some columns, and the collections of lists in it."""
        if branches not in self._known:
            fields = [one for one in self._schema if one.name in branches]
            of_lists = collections_of_lists((one.name, _is_list(one.type)) for one in fields)
            self._known[branches] = (pa.schema(fields, self._schema.metadata), of_lists)
        return self._known[branches]

    def _rows(self, start: int, stop: int, **options: Any) -> tuple[_Rows, int]:
        """Return the rows of the row groups that hold a range, and the entry at which they begin."""
        rows = _Rows(self._target(), metadata=self._footer, **options)
        begins = self._begins
        rows.groups = [
            index for index, begin in enumerate(begins[:-1]) if begin < stop and start < begins[index + 1]
        ]
        rows.url = self._url
        return rows, begins[rows.groups[0]] if rows.groups else start


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def opened_parquet(url: str) -> tuple[ParquetEvents, int, str]:
    """Return the events of a file behind a URL, its size [bytes], and a checksum of its footer.

    Raises
    ------
    OSError, ValueError, ...
        One of `unreadable()` if it cannot be read.
    """
    with _opened(url) as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 8))
        length = int.from_bytes(handle.read(4), "little")
        handle.seek(max(0, size - 8 - length))
        checksum = hashlib.sha256(handle.read(length)).hexdigest()
        handle.seek(0)
        events = ParquetEvents(lambda: _opened(url), url, footer=pq.read_metadata(handle))
    return events, int(size), checksum


def _opened(url: str) -> Any:
    import fsspec

    with _told_why(url):
        # where else a server that does not answer may have the file would be one more question that it does not answer
        options = {"locate_all_sources": False} if is_xrootd(url) else {}
        return fsspec.open(url, "rb", **options).open()


@contextmanager
def _told_why(url: str) -> Iterator[None]:
    """Let a refusal say whether it is the user's or the file's: S3 answers questions for a size without a code."""
    import fsspec

    try:
        yield
    except PermissionError:
        files, path = fsspec.core.url_to_fs(url)
        files.cat_file(path, start=0, end=1)
        raise
