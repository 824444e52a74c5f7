"""Where skims are, from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.utils.storage import Storage

if TYPE_CHECKING:
    from intccms.schema import Config

__all__ = ["skim_folder", "skim_storage"]


def skim_folder(config: Config) -> str:
    """Return the folder or URL below which skims are kept, one folder per dataset."""
    output = config.preprocess.skimming.output.output_dir
    return output or config.general.skimmed_dir or str(config.general.output_dir / "skimmed")


def skim_storage(config: Config, *, reading: bool = False) -> Storage:
    """Return the storage of skims, with the ``storage_options`` configured for writing or reading."""
    output = config.preprocess.skimming.output
    options = (output.from_kwargs if reading else output.to_kwargs).get("storage_options") or {}
    return Storage(skim_folder(config), options)
