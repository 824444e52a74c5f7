"""Finds the files of a dataset: in folders of listings, by pattern, or as given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.datasets.replicas import is_remote
from intccms.errors import ConfigError, CredentialsError, InputFileError
from intccms.utils.credentials import is_user_refused, refusal_text
from intccms.utils.remote import error_text, storage_errors
from intccms.utils.urls import is_url
from intccms.utils.waiting import limit_waiting

if TYPE_CHECKING:
    from intccms.schema import Dataset

__all__ = ["list_files"]

_SUFFIXES = (".root", ".parquet")


def list_files(dataset: Dataset, base_dir: str | None) -> list[str]:
    """Return the names of a dataset's files, without repetition: patterns and folders in natural order.

    Parameters
    ----------
    dataset
        Its `files` and `directory` are paths, patterns, URLs or logical names, or listings (``*.txt``) of
        those: one file per line, ``#`` begins a comment. Several URLs in a line are replicas of one file.
    base_dir
        Folder for relative names; see ``datasets.base_dir``.

    Raises
    ------
    ConfigError
        If nothing is found, with the places looked at.
    """
    given = list(dataset.files) or ([dataset.directory] if dataset.directory else [])
    if not given and base_dir is None:
        message = (
            f"dataset {dataset.name!r} names no input: give 'directories' or 'files', or a folder that holds "
            f"{dataset.name}_*.root as datasets.base_dir."
        )
        raise ConfigError(message)
    names = [line for name in given for line in _from_listings(dataset, name, base_dir) or [name]]
    if base_dir is not None and (not names or any(is_remote(name) for name in names)):
        return _from_base_dir(dataset, base_dir)
    return list(dict.fromkeys(found for name in names for found in _resolve(dataset, _below(name, base_dir))))


def _from_listings(dataset: Dataset, name: str, base_dir: str | None) -> list[str]:
    """Return the lines of a listing, or of all in a folder; nothing if the name is neither.

    Listings often stand beside the configuration and not with the data, so they are looked for below ``base_dir``
    and then from the current folder.
    """
    for place in dict.fromkeys((_below(name, base_dir), name)):
        path = Path(place)
        if is_url(place):
            continue
        if place.endswith(".txt") and not _is_pattern(place) and path.is_file():
            return _read_listing(dataset, path)
        if listings := sorted(path.glob("*.txt"), key=_natural) if path.is_dir() else []:
            return [line for listing in listings for line in _read_listing(dataset, listing)]
    return []


def _is_pattern(name: str) -> bool:
    wild = "*[" if is_url(name) else "*?["  # a question mark begins the query of a URL
    return any(character in name for character in wild) and not Path(name).exists()


def _below(name: str, base_dir: str | None) -> str:
    if base_dir is None or is_url(name) or name.startswith("/"):
        return name
    return f"{base_dir.rstrip('/')}/{name}"


def _from_base_dir(dataset: Dataset, base_dir: str) -> list[str]:
    folder = base_dir.rstrip("/")
    patterns = [f"{folder}/{dataset.name}_*{suffix}" for suffix in _SUFFIXES]
    # `wjets_*.root` also matches files of a dataset `wjets_ht100`; what follows must be a file's number or part
    own = re.compile(rf"{re.escape(dataset.name)}_[^/]*$")
    for pattern in patterns:
        found = [name for name in _glob(pattern) if own.search(name)]
        numbered = [name for name in found if re.search(rf"{re.escape(dataset.name)}_\d+\.[a-z]+$", name)]
        if found:
            return numbered or found
    message = (
        f"dataset {dataset.name!r}: no file {' or '.join(patterns)}. Put its files there under that name, or leave "
        "the dataset out with general.processes."
    )
    raise ConfigError(message)


def _resolve(dataset: Dataset, name: str) -> list[str]:
    if _is_pattern(name):
        found = _glob(name)
        if not found:
            message = f"dataset {dataset.name!r}: no file matches {name!r} (looked from {Path.cwd()})."
            raise ConfigError(message)
        return found
    if is_url(name) or name.endswith(_SUFFIXES):
        return [name]
    if not Path(name).is_dir():
        kind = "listing" if name.endswith(".txt") else "file" if dataset.files else "folder"
        message = f"dataset {dataset.name!r}: there is no {kind} {name!r} (looked from {Path.cwd()})."
        raise ConfigError(message)
    found = _glob(f"{name.rstrip('/')}/*.root") or _glob(f"{name.rstrip('/')}/*.parquet")
    if not found:
        message = f"dataset {dataset.name!r}: folder {name!r} holds neither listings (*.txt) nor *.root nor *.parquet."
        raise ConfigError(message)
    return found


def _read_listing(dataset: Dataset, listing: Path) -> list[str]:
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        message = f"dataset {dataset.name!r}: cannot read the listing {listing}: {exc}."
        raise ConfigError(message) from exc
    names = [text for line in lines if (text := re.sub(r"(^|\s)#.*", "", line).strip())]
    if not names:
        message = (
            f"dataset {dataset.name!r}: the listing {listing} is empty; it needs one file name per line."
        )
        raise ConfigError(message)
    return names


def _glob(pattern: str) -> list[str]:
    if is_url(pattern):
        import fsspec

        limit_waiting(pattern)
        protocol = pattern.partition("://")[0]
        filesystem, path = fsspec.core.url_to_fs(pattern)
        try:
            found = [filesystem.unstrip_protocol(one) for one in filesystem.glob(path)]
            if not found:
                filesystem.ls(re.split(r"/[^/]*[*?[]", path)[0])  # patterns keep errors to themselves
        except FileNotFoundError:
            return []
        except storage_errors() as exc:
            if is_user_refused(exc):
                message = f"cannot list {refusal_text(pattern, exc)}"
                raise CredentialsError(message) from exc
            message = f"cannot list {pattern}: {error_text(exc)}."
            raise InputFileError(message) from exc
        return sorted((one if is_url(one) else f"{protocol}://{one}" for one in found), key=_natural)
    path = Path(pattern)
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
    return sorted((str(one) for one in anchor.glob(relative)), key=_natural)


def _natural(name: object) -> list[tuple[bool, int, str]]:
    """Sort key under which part_2 stands before part_10."""
    pieces = re.split(r"(\d+)", str(name))
    return [(piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in pieces]
