"""Opens one input file, whatever its format: TTree, RNTuple or parquet.

Replicas are tried in turn. A worker keeps the files it opened last, so that the description of a tree with
1,500 branches, 0.2 to 0.7 s of CPU, is parsed once per file and worker.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uproot

from intccms.datasets.health import HOSTS
from intccms.datasets.nanoevents import TreeEvents, without_collection
from intccms.datasets.parquet_input import opened_parquet
from intccms.datasets.reading import reading, reason_of, refuse_shorter, unreadable
from intccms.datasets.replicas import SourceFile
from intccms.errors import CredentialsError, InputFileError, NoReachableReplicaError
from intccms.schema.explain import did_you_mean
from intccms.utils.credentials import is_user_refused, refusal_text
from intccms.utils.patience import PATIENCE
from intccms.utils.waiting import limit_waiting
from intccms.utils.xrootd import forget_handle, is_xrootd

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

__all__ = [
    "EventSource",
    "event_source",
    "first_replica",
    "forget_sources",
    "open_root",
    "open_source",
]

_KEPT_OPEN = 3
"""Open files per thread; a file's chunks come one after the other, so few are enough."""


@dataclass(frozen=True)
class EventSource:
    """An open file with events."""

    url: str
    uuid: str
    """ROOT uuid; for parquet, a checksum of the footer and, for local files, of the time of change."""
    format: str
    """``ttree``, ``rntuple`` or ``parquet``."""
    entries: int
    size: int | None
    """Size [bytes], None where the server does not tell."""
    branches: frozenset[str]
    """Names of the top-level columns."""
    _events: Callable[[frozenset[str], int, int], Any]
    _arrays: Callable[[Iterable[str], int, int], dict[str, Any]]
    _runs: Callable[[], dict[str, Any] | None] = lambda: None
    passed_over: tuple[tuple[str, str], ...] = ()
    """Replicas that were tried before this one, each with the reason why it is not read."""

    def events(self, branches: Collection[str], start: int, stop: int, metadata: Mapping[str, Any]) -> Any:
        """Return NanoEvents of an entry range: virtual arrays that read a branch when it is first used.

        Parameters
        ----------
        branches
            Columns that exist for the events returned; others cannot be reached.
        start, stop
            Entry range.
        metadata
            Kept as ``events.metadata``.
        """
        events = self._events(frozenset(branches), start, stop)
        events.metadata.update(metadata)
        return events

    def arrays(self, names: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Read some columns of an entry range as plain awkward arrays, in one request."""
        return self._arrays(names, start, stop)

    def part(self, first: int, entries: int) -> EventSource:
        """Return a range of the entries as if there were no others."""
        if (first, entries) == (0, self.entries):
            return self
        events, arrays = self._events, self._arrays
        return replace(
            self,
            entries=entries,
            _events=lambda branches, start, stop: events(branches, first + start, first + stop),
            _arrays=lambda names, start, stop: arrays(names, first + start, first + stop),
        )

    @cached_property
    def runs(self) -> dict[str, Any] | None:
        """The whole tree `Runs` as plain awkward arrays, None where the file has none."""
        return self._runs()


def first_replica[T](
    file: SourceFile, action: Callable[[str], T], passed_over: list[tuple[str, str]] | None = None
) -> T:
    """Return what the action makes of the first replica for which it succeeds.

    Those on hosts that did not answer lately are tried last.

    Parameters
    ----------
    file
        The file.
    action
        Called with a URL.
    passed_over
        Gets the replicas before that one, each with the reason why it is not read.

    Raises
    ------
    InputFileError
        If there is only one replica and it cannot be read.
    NoReachableReplicaError
        If there are several and none can, with the reason of each.
    CredentialsError
        If none can, and one because its server does not accept the user.
    """
    reasons: list[tuple[str, BaseException]] = []
    for url in HOSTS.order(file.urls):
        try:
            result = action(url)
        except unreadable() as exc:
            HOSTS.failed(url, exc)
            reasons.append((url, exc))
        else:
            HOSTS.worked(url)
            if passed_over is not None:
                passed_over += [(failed, reason_of(exc)) for failed, exc in reasons]
            return result
    _refuse_credentials(reasons)
    last = reasons[-1][1]
    if len(reasons) == 1:
        if isinstance(last, InputFileError):
            raise last
        message = f"cannot read {reasons[0][0]}: {reason_of(last)}"
        raise InputFileError(message) from last
    tried = "; ".join(f"{url}: {reason_of(exc)}" for url, exc in reasons)
    message = f"none of {len(reasons)} replicas of {file.name} can be read: {tried}"
    raise NoReachableReplicaError(message) from last


def _refuse_credentials(reasons: Sequence[tuple[str, BaseException]]) -> None:
    """Raise if a replica might be read with other credentials; its server will refuse all other files too."""
    refused = next(((url, exc) for url, exc in reasons if is_user_refused(exc)), None)
    if refused is None:
        return
    others = "".join(f" {url}: {reason_of(exc)}." for url, exc in reasons if url != refused[0])
    message = (
        f"cannot read {refusal_text(*refused)}{' Other replicas fail as well:' if others else ''}{others}"
    )
    raise CredentialsError(message) from refused[1]


def open_source(file: SourceFile, tree_name: str) -> EventSource:
    """Open the first replica that can be read, or return it from this thread's cache.

    Raises
    ------
    InputFileError
        If no replica can be read, or the file has no such tree (with the names it has).
    CredentialsError
        As `first_replica`.
    """
    cache = _thread_cache()
    key = (HOSTS.order(file.urls), file.replicated, tree_name, _local_state(file))
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    passed_over: list[tuple[str, str]] = []
    source = first_replica(file, lambda url: _open(url, tree_name, timed=not file.replicated), passed_over)
    source = replace(source, passed_over=tuple(passed_over))
    cache[key] = source
    while len(cache) > _KEPT_OPEN:
        cache.popitem(last=False)
    return source


_TOO_SHORT = re.compile(
    rf"expected Chunk of length {uproot.open.defaults['begin_chunk_size']},\s+received (\d+) bytes"
)
"""What uproot says of a file that is shorter than what it reads first."""


def open_root(url: str, **options: Any) -> Any:
    """Open a ROOT file with the time-outs of this package.

    Raises
    ------
    InputFileError
        If it has hardly any bytes; for other errors, what uproot and the file systems raise.
    """
    try:
        return _open_root(url, **options)
    except OSError as exc:
        found = _TOO_SHORT.search(str(exc))
        if found is None:
            raise
        what = (
            "is empty: it has 0 bytes"
            if found[1] == "0"
            else f"is no whole ROOT file: it has {found[1]} bytes"
        )
        message = f"{url} {what}. Transfer it again."
        raise InputFileError(message) from exc


def _open_root(url: str, **options: Any) -> Any:
    # `{url: None}` keeps a colon in the name from being taken for the path of an object
    limit_waiting(url)
    if not is_xrootd(url):
        return uproot.open({url: None}, **options)
    timeout = options.setdefault("timeout", math.ceil(PATIENCE))
    try:
        return uproot.open({url: None}, **options)
    except OSError:
        forget_handle(url, timeout)  # else the next attempt, within 30 s, gets a broken one
        raise
    except ValueError:  # a handle that was closed when the connection was lost
        forget_handle(url, timeout)
    return uproot.open({url: None}, **options)


_local = threading.local()


def _thread_cache() -> OrderedDict[Any, EventSource]:
    if not hasattr(_local, "sources"):
        _local.sources = OrderedDict()
    cache: OrderedDict[Any, EventSource] = _local.sources
    return cache


def forget_sources() -> None:
    """Drop the files that this thread keeps open."""
    _thread_cache().clear()


def _local_state(file: SourceFile) -> tuple[int, int] | None:
    """Return size and change time of a local file: one that was written anew is opened anew."""
    try:
        status = Path(file.urls[0].removeprefix("file://")).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _open(url: str, tree_name: str, *, timed: bool) -> EventSource:
    return _open_parquet(url, timed=timed) if url.endswith(".parquet") else _open_tree(url, tree_name)


def _open_tree(url: str, tree_name: str) -> EventSource:
    directory = open_root(url)
    return event_source(
        directory,
        tree_name,
        url=url,
        uuid=str(directory.file.uuid),
        size=directory.file.source.num_bytes,
    )


def event_source(directory: Any, tree_name: str, *, url: str, uuid: str, size: int | None) -> EventSource:
    """Return the events of an open ROOT file.

    Parameters
    ----------
    directory
        As uproot gives it; closed if there is no such tree.
    tree_name
        TTree or RNTuple of the events.
    url, uuid, size
        What the source is to say of itself.

    Raises
    ------
    InputFileError
        If the file has no such tree (with the names it has).
    """
    names = directory.keys(cycle=False)
    if tree_name not in names:
        directory.close()
        has = ", ".join(names) or "nothing"
        message = f"{url} has no tree {tree_name!r}.{did_you_mean(tree_name, names)} It holds: {has}."
        raise InputFileError(message)
    with without_collection():
        tree = directory[tree_name]
    is_tree = directory.classname_of(tree_name) == "TTree"

    def arrays(columns: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        with reading(url, f"entries {start} to {stop}"):
            read: dict[str, Any] = tree.arrays(list(columns), entry_start=start, entry_stop=stop, how=dict)
            for column in read.values():
                refuse_shorter(column, stop - start)
        return read

    return EventSource(
        url=url,
        uuid=uuid,
        format="ttree" if is_tree else "rntuple",
        entries=int(tree.num_entries),
        size=size,
        branches=frozenset(tree.keys(recursive=False)),
        _events=TreeEvents(directory, tree, url),
        _arrays=arrays,
        _runs=lambda: _runs(directory, url),
    )


def _runs(directory: Any, url: str) -> dict[str, Any] | None:
    if "Runs" not in directory.keys(cycle=False):
        return None
    with reading(url, "Runs"):
        runs = directory["Runs"]
        read: dict[str, Any] = runs.arrays(runs.keys(recursive=False), how=dict)
    return read


def _open_parquet(url: str, *, timed: bool) -> EventSource:
    limit_waiting(url)
    file, size, checksum = opened_parquet(url)
    # a footer tells little of the values: a local file that was written anew in place is another one; the times of
    # replicas tell nothing
    changed = _local_state(SourceFile(url, (url,))) if timed else None
    uuid = hashlib.sha256(f"{checksum}{changed!r}".encode()).hexdigest()[:32]
    return EventSource(url, uuid, "parquet", file.rows, size, file.columns, file.events, file.arrays)
