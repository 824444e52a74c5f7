"""Generated files of the size that CMS writes: 1,500 branches, clusters of several thousand events."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import uproot

from benchmarks.configurations import DATASET
from intccms.demo import DEFAULT_SEED, DEMO_SAMPLES
from intccms.demo.full import write_full_nanoaod
from intccms.demo.production import FileJob, produce_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["branches_of", "copies", "full_content_file", "full_size_file", "hard_file"]

_OWN_BRANCHES = 65
"""Branches that the generator writes without being asked for more."""

_HEADER = 1024
"""Bytes at the beginning of a ROOT file in which its uuid stands."""


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
    sample = next(one for one in DEMO_SAMPLES if one.name == DATASET)
    home = folder / f"{events}-{branches}-{compression.replace(':', '')}"
    path = home / f"{DATASET}_0.root"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        scale = events / sample.events_per_file
        produce_file(
            FileJob(home, sample, 0, scale, DEFAULT_SEED, max(0, branches - _OWN_BRANCHES), compression)
        )
    return path


def full_content_file(folder: Path, *, events: int, branches: int, compression: str) -> Path:
    """Return a generated file with all that an analysis with systematic variations reads; 4 % pass its skim.

    Parameters
    ----------
    folder, events, branches, compression
        As for `full_size_file`.
    """
    home = folder / f"full-{events}-{branches}-{compression.replace(':', '')}"
    return _searched_file(home, events, branches=branches, compression=compression, efficiency=0.04)


def hard_file(folder: Path, *, events: int) -> Path:
    """Return a generated file with the same columns and no further ones, of hard events only: a fifth pass the skim."""
    home = folder / f"hard-{events}-zstd5"
    return _searched_file(home, events, branches=None, compression="zstd:5", efficiency=None)


def _searched_file(home: Path, events: int, **options: Any) -> Path:
    path = home / f"{DATASET}_2018.root"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        write_full_nanoaod(path, process=DATASET, year="2018", events=events, seed=DEFAULT_SEED, **options)
    return path


def copies(path: Path, number: int, folder: Path) -> list[Path]:
    """Return copies of a ROOT file, each with a uuid of its own, so that they count as different files."""
    with uproot.open(path) as file:
        own = bytes(file.file.fUUID)
    content = path.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{DATASET}_{index}.root" for index in range(number)]
    for index, copy in enumerate(paths):
        other = uuid.uuid5(uuid.NAMESPACE_URL, f"{own.hex()} {index}").bytes
        copy.write_bytes(content[:_HEADER].replace(own, other) + content[_HEADER:])
    return paths


def branches_of(path: Path) -> list[str]:
    """Return the names of the branches of a file."""
    with uproot.open(path) as file:
        names: list[str] = file["Events"].keys()
    return names
