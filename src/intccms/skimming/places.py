"""Where skims are, from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from intccms.utils.storage import Storage
from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from intccms.schema import Config

__all__ = ["skim_folder", "skim_storage"]


def skim_folder(config: Config) -> str:
    """Return the URL or absolute path below which skims are kept, one folder per dataset."""
    output = config.preprocess.skimming.output.output_dir
    folder = output or config.general.skimmed_dir or str(config.general.output_dir / "skimmed")
    return folder if is_url(folder) else str(Path(folder).absolute())


def skim_storage(config: Config, folder: str | None = None, *, reading: bool = False) -> Storage:
    """Return the storage of skims, with the ``storage_options`` configured for writing or reading.

    Parameters
    ----------
    config
        The configuration.
    folder
        What `skim_folder` gave on another machine, where relative paths begin elsewhere.
    reading
        With the options for reading.
    """
    output = config.preprocess.skimming.output
    options = (output.from_kwargs if reading else output.to_kwargs).get("storage_options") or {}
    return Storage(folder or skim_folder(config), options)
