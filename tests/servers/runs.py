"""Runs of the toys as a user starts them, with servers behind their input that tests break meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.analysis import AnalysisRunner
from intccms.schema import load_config
from tests.analysis.breaking import bits, note
from tests.analysis.toys import toy_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["CHUNK_SIZE", "UserRun", "patient_config", "patient_skim", "start_run", "truth"]

CHUNK_SIZE = 90

PATIENCE = 2
"""Seconds that runs wait for a server, instead of the 30 that are the default."""

_ROOT = Path(__file__).parent.parent.parent
_LONGEST = 100.0
"""Time for a run of some seconds, on a machine that does much else [s]."""

_CONFIG = """\
from tests.servers.runs import patient_config

config = patient_config({datasets!r}, {folder!r}, at={at!r}, **{general!r})
"""


def patient_config(
    datasets: list[dict[str, Any]], folder: str, *, at: int, lost: tuple[int, ...] = (), **general: Any
) -> dict[str, Any]:
    """Return the analysis of the toys with `patient_skim`, and one channel, since plots take their time."""
    config: dict[str, Any] = toy_config(datasets, Path(folder) / "out", chunk_size=CHUNK_SIZE, **general)
    config["preprocess"]["skimming"] |= {
        "function": patient_skim,
        "use": [("MET", "pt"), ("event", "event")],
        "static_kwargs": {"folder": folder, "at": at, "lost": lost},
    }
    config["channels"] = [one for one in config["channels"] if one["name"] == "all"]
    return config


def patient_skim(met: Any, events: Any, *, folder: str, at: int, lost: tuple[int, ...]) -> dict[str, Any]:
    """Skim of the toys that notes its calls, and waits in the chunk of one event for a file to appear.

    Chunks that begin with a lost event raise.
    """
    place = Path(folder)
    numbers = np.asarray(events).tolist()
    note(str(place / "calls"), events)
    if at in numbers:
        (place / "waits").touch()
        while not (place / "go").exists():
            time.sleep(0.01)
    if numbers and numbers[0] in lost:
        message = "lost"
        raise RuntimeError(message)
    return {"MET > 20 GeV": met > 20}


@dataclass
class UserRun:
    """A run in a session of its own."""

    process: subprocess.Popen[str]
    folder: Path
    started: float

    def until_it_waits(self) -> None:
        """Wait until the chunk is begun in which the skim waits."""
        self._until((self.folder / "waits").exists)

    def go_on(self) -> float:
        """Let the skim go on, and return the time."""
        (self.folder / "go").touch()
        return time.monotonic()

    def wait(self) -> tuple[int, str]:
        """Return exit status and what was printed; no process of the run may be left."""
        text, _ = self.process.communicate(timeout=_LONGEST)
        end = time.monotonic() + 10
        while left := _session(self.process.pid):
            assert time.monotonic() < end, f"processes of the run are left: {left}"
            time.sleep(0.05)
        return self.process.returncode, text

    def kill(self) -> None:
        """Kill what is left after a test that failed."""
        for one in _session(self.process.pid):
            os.kill(one, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _LONGEST
        while not condition():
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.01)


def start_run(
    folder: Path,
    datasets: list[dict[str, Any]],
    *,
    at: int = -1,
    environment: dict[str, str] | None = None,
    without: Iterable[str] = (),
    **general: Any,
) -> UserRun:
    """Start ``intccms run``.

    Parameters
    ----------
    folder
        For the configuration and what the skim notes; results are in its ``out``.
    datasets
        As a configuration has them.
    at
        Number of the event in whose chunk the skim waits.
    environment, without
        Variables beyond those of the tests, and those of them that are not set.
    general
        Switches.
    """
    folder.mkdir(exist_ok=True)
    general = {"executor": "iterative", **general}
    text = _CONFIG.format(datasets=datasets, general=general, folder=str(folder), at=at)
    (folder / "config.py").write_text(text)
    # limits of XRootD that this process has set for itself, with another patience, are not the run's
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("XRD_")}
    variables = {**inherited, "INTCCMS_PATIENCE": str(PATIENCE), **(environment or {})}
    command = [sys.executable, "-m", "intccms", "run", str(folder / "config.py"), "--no-progress"]
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env={name: value for name, value in variables.items() if name not in without},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return UserRun(process, folder, time.monotonic())


def truth(folder: Path, datasets: list[dict[str, Any]], lost: tuple[int, ...] = ()) -> dict[str, bytes]:
    """Return the numbers of a run over local files, in which chunks that begin with some events fail."""
    folder.mkdir(exist_ok=True)
    config = patient_config(datasets, str(folder), at=-1, lost=lost)
    AnalysisRunner(load_config(config), progress=False).histogram()
    return bits(folder / "out")


def _session(leader: int) -> list[int]:
    """Return the processes of a session that are alive; the session is the fourth field after the name, proc(5)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
            except OSError:  # it has ended meanwhile
                continue
            if int(session) == leader and state != "Z":
                found.append(int(entry.name))
    return found
