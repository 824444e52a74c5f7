"""What skims behind ``root://`` cost over local ones, where every answer of the server takes its time to arrive.

The clock on the wall counts here, since the waiting is what is measured.
"""

from __future__ import annotations

import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.measure import in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from intccms.schema import Config

__all__ = ["REMOTE_LINES", "RemoteReading", "measure_remote"]

_COLLECTIONS = tuple(f"DemoObject{number:02}" for number in range(10))
"""What the skim keeps beside the columns that the analysis reads: 240 columns."""

_ONCE = ("protocol", "login")
"""Requests of a process that connects."""

_REMOTE = ("waiting", "remote", "cold", "warm")

_READ = ("Muon_pt", "Muon_eta", "Muon_phi", "Jet_pt", "Jet_eta", "Jet_phi", "PuppiMET_pt", "genWeight")


@dataclass(frozen=True)
class RemoteReading:
    """Times on the wall per chunk [s], the fastest of several repetitions, taken in turn."""

    format: str
    chunks: int
    columns: int
    events: int
    """In all parts."""
    part_bytes: float
    """Mean size of a part [bytes]."""
    round_trip: float
    """Time that every answer takes longer [s]."""
    requests: dict[str, float]
    """Requests to the server per part, by kind."""
    other_requests: dict[str, int]
    """Those of a whole run that are for no part: logging in, and the manifest."""
    bare: dict[str, float]
    """Opening a part, checksum included, and reading a few columns: ``local``, ``remote``."""
    chunk: dict[str, float]
    """A chunk of a run, results committed: ``local``, ``remote``, ``cold`` (making copies), ``warm`` (with copies).

    And ``waiting``, which is ``remote`` with nothing read ahead.
    """
    run: dict[str, float]
    """The whole run, not per chunk, the same."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return asdict(self)


def _listed(requests: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.3g} {kind}" for kind, count in sorted(requests.items())) or "none"


def _ratio(kind: str, what: str) -> tuple[str, Any]:
    titles = {
        "waiting": "without copies, nothing read ahead",
        "remote": "without copies",
        "cold": "making copies",
        "warm": "with copies",
    }
    return titles[what], lambda one: f"{getattr(one, kind)[what] / getattr(one, kind)['local']:.2f}"


REMOTE_LINES = (
    ("format", lambda one: one.format),
    ("chunks", lambda one: f"{one.chunks:,}"),
    ("columns", lambda one: f"{one.columns:,}"),
    ("events in a part", lambda one: f"{one.events / one.chunks:,.0f}"),
    ("part [MB]", lambda one: f"{one.part_bytes / 1e6:.1f}"),
    ("round trip [ms]", lambda one: f"{1e3 * one.round_trip:.0f}"),
    ("requests per part", lambda one: _listed(one.requests)),
    ("others of the run", lambda one: _listed(one.other_requests)),
    ("reading alone: local [ms]", lambda one: f"{1e3 * one.bare['local']:.0f}"),
    ("  remote [ms]", lambda one: f"{1e3 * one.bare['remote']:.0f}"),
    ("  ratio", lambda one: f"{one.bare['remote'] / one.bare['local']:.2f}"),
    ("chunk of a run: local [ms]", lambda one: f"{1e3 * one.chunk['local']:.0f}"),
    ("  remote, without copies [ms]", lambda one: f"{1e3 * one.chunk['remote']:.0f}"),
    ("  remote, making copies [ms]", lambda one: f"{1e3 * one.chunk['cold']:.0f}"),
    ("  remote, with copies [ms]", lambda one: f"{1e3 * one.chunk['warm']:.0f}"),
    *((f"  ratio {title}", text) for title, text in (_ratio("chunk", what) for what in _REMOTE)),
    ("run: local [ms]", lambda one: f"{1e3 * one.run['local']:.0f}"),
    *((f"  ratio {title}", text) for title, text in (_ratio("run", what) for what in _REMOTE)),
)
"""Lines of the table."""


def measure_remote(
    files: Sequence[Path], folder: Path, *, form: str, chunk_size: int, round_trip: float, repeat: int
) -> RemoteReading:
    """Return what one format costs behind a server of our own.

    Parameters
    ----------
    files
        Files with events, as wide as NanoAOD.
    folder
        A new folder.
    form
        The format.
    chunk_size
        Events in a chunk of the source.
    round_trip
        Time that every answer takes longer [s].
    repeat
        Repetitions.
    """
    from tests.servers.proxy import proxy
    from tests.servers.xrootd import xrootd

    skims = folder / "skims"
    runs = _Runs([str(file) for file in files], folder, form, chunk_size)
    in_fresh_process(runs.write)
    with xrootd() as server, proxy(server.port) as slow:
        shutil.copytree(skims, server.files / "skims")
        slow.delay(round_trip / 2, round_trip / 2)
        url = f"root://127.0.0.1:{slow.port}//store/skims"
        in_fresh_process(runs.read, url, 1)
        of_parts = slow.requests
        in_fresh_process(runs.histogram, url, "counted", 0)
        of_run = slow.requests
        chunks, events, columns, bare = in_fresh_process(runs.read, url, repeat)
        chunk, run = in_fresh_process(runs.times, url, repeat)
    sizes = [path.stat().st_size for path in skims.rglob(f"*.{'parquet' if form == 'parquet' else 'root'}")]
    return RemoteReading(
        format=form,
        chunks=chunks,
        columns=columns,
        events=events,
        part_bytes=sum(sizes) / len(sizes),
        round_trip=round_trip,
        requests={kind: count / chunks for kind, count in of_parts.items() if kind not in _ONCE},
        other_requests={
            kind: count - of_parts.get(kind, 0) * (1 if kind in _ONCE else 2)
            for kind, count in of_run.items()
        },
        bare=bare,
        chunk=chunk,
        run=run,
    )


@dataclass(frozen=True)
class _Runs:
    """Writes a skim, and reads it in several ways; each method for a process of its own."""

    files: list[str]
    folder: Path
    form: str
    chunk_size: int

    def write(self) -> None:
        """Write the skim."""
        from intccms.analysis import AnalysisRunner

        config = self._config(self.folder / "write", {"save_skimmed_output": True, "run_analysis": False})
        AnalysisRunner(config, progress=False).skim()

    def read(self, url: str, repeat: int) -> tuple[int, int, int, dict[str, float]]:
        """Return numbers of parts, events and columns, and the times per part of reading alone."""
        from benchmarks.configurations import DATASET
        from intccms.analysis.skims import SkimIO
        from intccms.skimming.manifest import Manifest
        from intccms.utils.storage import Storage

        config = self._config(self.folder / "read", {"use_skimmed_input": True, "read_from_cache": False})
        manifest = Manifest.load(Storage(str(self.folder / "skims")), DATASET)
        assert manifest is not None
        parts = [part for file in manifest.files for part in file.parts.values()]
        times: dict[str, float] = {}
        columns = 0
        for _ in range(repeat):
            for name, place in (("local", str(self.folder / "skims")), ("remote", url)):
                skims, begin = SkimIO(config, place), time.monotonic()
                for part in parts:
                    source = skims.read(DATASET, part)
                    source.arrays(_READ, 0, part.kept)
                    columns = len(source.branches)
                passed = (time.monotonic() - begin) / len(parts)
                times[name] = min(passed, times.get(name, passed))
        return len(parts), sum(part.kept for part in parts), columns, times

    def times(self, url: str, repeat: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return the times of a chunk and of a whole run, from everywhere."""
        local = str(self.folder / "skims")
        self.histogram(local, "first", 0)  # what is imported and compiled is not to count
        groups: dict[str, list[float]] = {}
        run: dict[str, float] = {}
        chunks = 1
        for number in range(1, repeat + 1):
            for name, place, cached in (
                ("local", local, False),
                ("waiting", url, False),
                ("remote", url, False),
                ("cold", url, True),
                ("warm", url, True),
            ):
                _forget_copies()
                with _nothing_ahead() if name == "waiting" else nullcontext():
                    watch, whole = self.histogram(place, name, number, cached=cached)
                # a busy moment of the machine spoils one group, seldom the same one of all repetitions
                groups[name] = list(map(min, watch.seconds, groups.get(name, watch.seconds)))
                run[name] = min(whole, run.get(name, whole))
                chunks = watch.chunks
        return {name: sum(seconds) / chunks for name, seconds in groups.items()}, run

    def histogram(self, place: str, name: str, number: int, *, cached: bool = False) -> tuple[_Watch, float]:
        """Return the times of the chunks and of the run, in a run that finds nothing done."""
        from intccms.analysis import AnalysisRunner

        general = {
            "use_skimmed_input": True,
            "read_from_cache": cached,
            "cache_dir": self.folder / f"cache_{number}",
        }
        config = self._config(self.folder / f"{name}_{number}", general, place)
        watch = _Watch()
        with watch:
            begin = time.monotonic()
            result = AnalysisRunner(config, progress=False).histogram()
            whole = time.monotonic() - begin
        if not result.succeeded:
            message = f"the measured run is not complete, see {result.path}/report.json"
            raise RuntimeError(message)
        return watch, whole

    def _config(self, output: Path, general: dict[str, Any], place: str | None = None) -> Config:
        from benchmarks.configurations import analysis_on

        return analysis_on(
            self.files,
            output,
            chunk_size=self.chunk_size,
            collections=_COLLECTIONS,
            output={"format": self.form, "output_dir": place or str(self.folder / "skims")},
            metadata_dir=self.folder / "metadata",
            **general,
        )


class _Watch:
    """Takes the time on the wall that groups of chunks take in this process."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.chunks = 0

    def __enter__(self) -> None:
        from intccms.analysis.tasks import ProcessChunks

        self._own = own = ProcessChunks.__call__

        def timed(task: ProcessChunks, work: Any) -> Any:
            begin = time.monotonic()
            outcomes = own(task, work)
            self.seconds.append(time.monotonic() - begin)
            self.chunks += len(outcomes)
            return outcomes

        ProcessChunks.__call__ = timed  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        from intccms.analysis.tasks import ProcessChunks

        ProcessChunks.__call__ = self._own  # type: ignore[method-assign]


def _nothing_ahead() -> Any:
    from intccms.analysis.one_chunk import OneChunk

    return mock.patch.object(OneChunk, "fetch", return_value=None)


def _forget_copies() -> None:
    """Have copies read for their checksum, as a new process does."""
    from intccms.skimming import cache

    cache._checksum.cache_clear()  # noqa: SLF001
