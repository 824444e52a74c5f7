"""Generated files of the size that CMS writes: 1,500 branches, clusters of several thousand events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.demo import DEFAULT_SEED, DEMO_SAMPLES
from intccms.demo.production import FileJob, produce_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["full_size_file"]

_DATASET = "ttbar_semilep"
_OWN_BRANCHES = 65
"""Branches that the generator writes without being asked for more."""


def full_size_file(folder: Path, *, events: int, branches: int, compression: str) -> Path:
    """Return a generated file, made if it is not there yet.

    Parameters
    ----------
    folder
        Where generated files are kept.
    events, branches
        Size of the file.
    compression
        Codec and level, such as ``lzma:9`` (what CMS uses).
    """
    sample = next(one for one in DEMO_SAMPLES if one.name == _DATASET)
    home = folder / f"{events}-{branches}-{compression.replace(':', '')}"
    path = home / f"{_DATASET}_0.root"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        scale = events / sample.events_per_file
        produce_file(
            FileJob(home, sample, 0, scale, DEFAULT_SEED, max(0, branches - _OWN_BRANCHES), compression)
        )
    return path
