"""Where results come from: versions, git commit, host and command."""

from __future__ import annotations

import getpass
import platform
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from intccms.schema.secrets import masked_text

__all__ = ["package_version", "provenance"]

_PACKAGES = (
    "awkward",
    "boost-histogram",
    "coffea",
    "correctionlib",
    "dask",
    "distributed",
    "hist",
    "intccms",
    "matplotlib",
    "mplhep",
    "numba",
    "numpy",
    "pyarrow",
    "pydantic",
    "uproot",
    "vector",
)


def package_version(name: str) -> str | None:
    """Return the version of an installed distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """Return facts about this process as JSON data; no environment variables, no secrets."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: package_version(name) for name in _PACKAGES},
        },
        "git": {"analysis": _git_state(Path.cwd()), "intccms": _git_state(Path(__file__).parent)},
        "host": socket.gethostname(),
        "machine": f"{platform.system()} {platform.machine()}",
        "user": _user(),
        "command": [masked_text(argument) for argument in sys.argv],
    }


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return None


def _git_state(folder: Path) -> str | None:
    """Return the commit of a folder's repository, with ``-dirty`` behind it if there are changes."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
