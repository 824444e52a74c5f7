"""Runs in processes of their own, which tests kill, starve and count.

The processes are forked from one that has imported everything and done nothing, so that each is as new as a freshly
started one and needs no second to begin.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from coffea.util import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.analysis.toys import Toy

__all__ = [
    "Running",
    "assert_same_bits",
    "assert_skims_are_whole",
    "bits",
    "bits_of",
    "calls_in",
    "counted_skim",
    "datasets_of",
    "permissions_bind",
    "report_of",
    "start",
    "toy_events",
]

_PATIENCE = 100.0
"""Time for a run of a second, on a machine that does much else [s]."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "intccms.cli",
        "intccms.analysis",
        "intccms.analysis.tasks",
        "intccms.skimming.parquet",
        "coffea.processor",
    ]
)


def counted_skim(met: Any, events: Any, *, calls: str, seconds: float = 0.0) -> dict[str, Any]:
    """Skim of the toys that notes each of its calls under the number of the chunk's first event."""
    note(calls, events)
    time.sleep(seconds)
    return {"MET > 20 GeV": met > 20}


def note(calls: str, events: Any) -> None:
    """Append the number of the first event to a file, whole, whoever else appends to it; -1 where there is none."""
    first = min(np.asarray(events).tolist(), default=-1)
    handle = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{first}\n".encode())
    finally:
        os.close(handle)


def calls_in(calls: Path) -> list[int]:
    """Return what was noted: the first events of chunks, in the order in which they were begun."""
    return [int(line) for line in calls.read_text().split()] if calls.exists() else []


def permissions_bind() -> None:
    """Give up the powers of root over files, if this process has them."""
    version_3, this_process = 0x20080522, 0
    ctypes.CDLL(None).capset(struct.pack("Ii", version_3, this_process), bytes(24))


@dataclass
class Running:
    """A run in its own process group."""

    process: Any
    printed: Any
    """Where it prints to: a pipe, for which no limit on the size of files counts."""

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def kill(self, *, group: bool) -> None:
        """Kill the process, or all of its group, and wait for its end."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)
        self.process.join(_PATIENCE)
        assert self.process.exitcode == -signal.SIGKILL

    def wait(self) -> tuple[int, str]:
        """Return exit status and what was printed."""
        self.process.join(_PATIENCE)
        assert self.process.exitcode is not None, self.text()
        return self.process.exitcode, self.text()

    def text(self) -> str:
        """Return what was printed and not returned before."""
        found = b""
        while self.printed.poll(0):
            content = os.read(self.printed.fileno(), 65_536)
            if not content:
                break
            found += content
        return found.decode()

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is true, and return whether it is; False if the process ended before."""
        end = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < end, self.text()
            if not self.process.is_alive():
                return condition()
            time.sleep(0.002)
        return True


def start(
    config: Path, *overrides: str, command: str = "", prepare: Callable[[], None] | None = None
) -> Running:
    """Start a run of a configuration file.

    Parameters
    ----------
    config, overrides
        As on the command line.
    command
        Of the command line, such as ``run``; by default histograms are filled and no plots made, which saves time.
    prepare
        Called in the new process before anything else.
    """
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_main, args=(command, (str(config), *overrides), theirs, prepare))
    process.start()
    theirs.close()
    return Running(process, ours)


def _main(command: str, arguments: tuple[str, ...], printed: Any, prepare: Callable[[], None] | None) -> None:
    os.setsid()
    # jobs in the background of a shell are heedless of it, and so are their children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    if prepare is not None:
        prepare()
    if command:
        from intccms.cli import main

        main([command, *arguments, "--no-progress"])
    sys.exit(_histogram(*arguments))


def _histogram(config: str, *overrides: str) -> int:
    """Return the exit status that the command line would have."""
    from intccms.analysis import AnalysisRunner
    from intccms.errors import IntccmsError
    from intccms.schema import load_config

    try:
        result = AnalysisRunner(load_config(config, overrides), progress=False).histogram()
    except IntccmsError as exc:
        print(f"{type(exc).__name__}: {exc}")
        return 2
    return 0 if result.succeeded else 1


def bits(output: Path) -> dict[str, bytes]:
    """Return the numbers of a run directory, bit by bit: histograms, entries, cutflow, and sums by dataset."""
    found = bits_of(load(str(output / "output.coffea")))
    by_dataset = load(str(output / "histograms" / "by_dataset.coffea"))
    return found | {f"by dataset/{name}": value for name, value in _histogram_bits(by_dataset).items()}


def bits_of(output: Any) -> dict[str, bytes]:
    """Return the numbers of what a run returned, bit by bit."""
    cutflow = {
        f"cutflow/{channel}": json.dumps([one["steps"], one["entries"], one["weighted"]]).encode()
        for channel, one in output["cutflow"].items()
    }
    return _histogram_bits(output) | cutflow


def _histogram_bits(output: Any) -> dict[str, bytes]:
    found = {}
    for kind in ("histograms", "entries"):
        for channel, observables in output[kind].items():
            for observable, histogram in observables.items():
                found[f"{kind}/{channel}/{observable}"] = histogram.view(flow=True).tobytes()
    return found


def assert_same_bits(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Compare two runs, and name what differs."""
    assert len(expected) >= 3
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def report_of(output: Path) -> dict[str, Any]:
    """Return the report of a run directory."""
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def assert_skims_are_whole(skims: Path, toys: dict[str, list[Toy]]) -> None:
    """Check skims of `counted_skim`: each event that passes is there once, and no file but those of the manifest."""
    for name, files in toys.items():
        manifest = json.loads((skims / name / "manifest.json").read_text())
        listed = {}
        for entry, toy in zip(manifest["files"], files, strict=True):
            passed: list[int] = []
            assert [entry["edges"][0], entry["edges"][-1]] == [0, len(toy)]
            assert [
                [part["start"], part["stop"]] for part in sorted(entry["parts"], key=lambda one: one["start"])
            ] == [list(pair) for pair in zip(entry["edges"][:-1], entry["edges"][1:], strict=True)]
            for part in sorted(entry["parts"], key=lambda one: one["start"]):
                if part.get("path") is None:
                    assert part["kept"] == 0
                    continue
                path = skims / name / part["path"]
                listed[part["path"]] = path.stat().st_size == part["size"]
                events = pq.read_table(path, columns=["event"])["event"].to_pylist()
                assert len(events) == part["kept"]
                passed += events
            assert passed == toy.columns["event"][toy.columns["MET_pt"] > 20].tolist()
        assert all(listed.values())
        there = {str(path.relative_to(skims / name)) for path in (skims / name).rglob("*.parquet")}
        assert {one for one in there if not Path(one).name.startswith(".")} == set(listed)


def datasets_of(
    toys: dict[str, list[Toy]], names: tuple[str, ...] = ("tt", "dy", "data")
) -> list[dict[str, Any]]:
    """Return the datasets of the toys, as a configuration has them."""
    from tests.analysis.toys import dataset

    xsec = {"tt": 10.0, "dy": 400.0, "data": None}
    return [dataset(name, *toys[name], xsec=xsec[name]) for name in names]


def toy_events(toys: dict[str, list[Toy]], chunk_size: int) -> list[int]:
    """Return the first event of every chunk of the toys; chunks of a file are as equal as can be."""
    first = []
    for files in toys.values():
        for toy in files:
            count = -(-len(toy) // chunk_size)
            first += [int(toy.columns["event"][len(toy) * index // count]) for index in range(count)]
    return sorted(first)
