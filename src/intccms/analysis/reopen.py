"""Takes up the configuration of a run directory again: as it is now, or exactly as it was run."""

from __future__ import annotations

import json
import logging
import pickle
from contextlib import contextmanager
from dataclasses import dataclass
from os import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.errors import ConfigError, OutputError
from intccms.schema import Config, load_config
from intccms.utils.files import DAMAGED_PICKLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intccms.utils.output import RunDirectory

__all__ = ["Origin", "config_as_run", "present_config", "read_origin", "read_plan", "working_folder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where the configuration of a run came from."""

    source: Path | None
    """The file; None if the configuration was made in Python."""
    overrides: tuple[str, ...]
    folder: Path
    """Where the run was started: relative paths begin there."""
    changed: bool
    """Whether fields were assigned after loading, as in notebooks."""


def read_origin(directory: RunDirectory) -> Origin:
    """Return where the configuration of a run directory came from.

    Raises
    ------
    OutputError
        If it is no run directory.
    """
    try:
        data = json.loads(directory.origin.read_text(encoding="utf-8"))
        source = None if data["source"] is None else Path(data["source"])
        return Origin(source, tuple(data["overrides"]), Path(data["folder"]), bool(data["changed"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        message = (
            f"{directory.path} is no run directory: {directory.origin} cannot be read ({exc}). Name the folder that "
            "general.output_dir gave (default: outputs)."
        )
        raise OutputError(message) from exc


@contextmanager
def working_folder(origin: Origin) -> Iterator[None]:
    """Work where the run was started, so that relative paths mean the same."""
    before = Path.cwd()
    if origin.folder.is_dir():
        chdir(origin.folder)
    else:
        logger.warning(
            "the folder %s, where the run was started, is gone; relative paths begin here", origin.folder
        )
    try:
        yield
    finally:
        chdir(before)


def present_config(directory: RunDirectory, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a run directory with the code as it is now; call it in its `working_folder`.

    Where the configuration was made in Python, or changed after it was loaded, it is the one that was run.

    Parameters
    ----------
    directory
        The run directory; absolute.
    overrides
        Further ``key=value`` texts.

    Raises
    ------
    ConfigError
        If the source is gone or no longer valid, or an override was not kept.
    OutputError
        If it is no run directory.
    """
    origin = read_origin(directory)
    here = (*overrides, f"general.output_dir={directory.path}")
    if origin.source is None or origin.changed:
        why = "was changed after it was loaded" if origin.changed else "was made in Python"
        logger.info("the configuration %s: it is taken as it was run", why)
        return load_config(config_as_run(directory), here)
    given = {text.partition("=")[0] for text in overrides}
    kept = [text for text in origin.overrides if text.partition("=")[0] not in given]
    if hidden := [text for text in kept if "***" in text]:
        message = f"{', '.join(hidden)}: the value looks like a credential and was not kept. Give it again as KEY=VALUE."
        raise ConfigError(message)
    if not origin.source.is_file():
        message = (
            f"the configuration {origin.source} of {directory.path} is gone. Put it back, or run the copy in "
            f"{directory.path / 'config'}."
        )
        raise ConfigError(message)
    return load_config(origin.source, (*kept, *here))


def config_as_run(directory: RunDirectory) -> Config:
    """Return the configuration exactly as it was run, functions included.

    Raises
    ------
    ConfigError
        If it was not kept, or was written by other versions and cannot be read.
    """
    path = directory.pickled_config
    try:
        config = pickle.loads(path.read_bytes())  # written by our own run into the user's own folder
    except FileNotFoundError as exc:
        message = (
            f"{path} was not kept: the configuration has WorkerEval values (whatever they are), holds what looks like a "
            "credential, or cannot be pickled. Use the present code instead (--current)."
        )
        raise ConfigError(message) from exc
    except DAMAGED_PICKLE as exc:
        message = (
            f"{path} cannot be read with the versions installed now ({type(exc).__name__}: {exc}). Use the present "
            "code instead (--current)."
        )
        raise ConfigError(message) from exc
    if not isinstance(config, Config):
        message = f"{path} holds {type(config).__name__}, not a configuration. Run the analysis again."
        raise ConfigError(message)
    return config


def read_plan(directory: RunDirectory) -> dict[str, Any]:
    """Return what the last run wanted.

    Raises
    ------
    OutputError
        If no run has begun to process events.
    """
    try:
        plan: dict[str, Any] = json.loads(directory.plan.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        message = (
            f"no run in {directory.path} has come to processing events: {directory.plan} is absent. Run the analysis "
            "first: intccms run CONFIG."
        )
        raise OutputError(message) from exc
    except (OSError, ValueError) as exc:
        message = f"cannot read {directory.plan}: {exc}. Run the analysis again; nothing is done twice."
        raise OutputError(message) from exc
    return plan
