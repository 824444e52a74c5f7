"""The run directory: everything that one configuration produced, under fixed names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.schema.secrets import masked_source, masked_text
from intccms.utils.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["RunDirectory"]


class RunDirectory:
    """Fixed names below one folder; everything is written atomically.

    Parameters
    ----------
    path
        The folder; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def output(self) -> Path:
        """Histograms by process, cutflow, report and configuration in one file."""
        return self.path / "output.coffea"

    @property
    def histograms(self) -> Path:
        """Folder of ``by_dataset.coffea`` and ``histograms.root``."""
        return self.path / "histograms"

    @property
    def metadata(self) -> Path:
        """Folder of the metadata store, unless the configuration names another."""
        return self.path / "metadata"

    @property
    def ledger(self) -> Path:
        """Folder of the ledger, unless the configuration names another place."""
        return self.path / "ledger"

    @property
    def plan(self) -> Path:
        """What the last run wanted: datasets, files, chunks and units."""
        return self.path / "plan.json"

    @property
    def origin(self) -> Path:
        """Where the configuration was loaded from, and with which overrides."""
        return self.path / "config" / "origin.json"

    @property
    def pickled_config(self) -> Path:
        """The configuration with its functions, exactly as it was run."""
        return self.path / "config" / "config.pkl"

    @property
    def plots(self) -> Path:
        """Folder of the plots."""
        return self.path / "plots"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """The run report."""
        return self.path / "report.json"

    @property
    def page(self) -> Path:
        """The run report as a page for a browser."""
        return self.path / "report.html"

    def write_json(self, path: Path, data: Any) -> None:
        """Write JSON data with the given name; numbers that are not finite, which JSON lacks, become null."""
        write_atomically(path, json.dumps(_finite(data), indent=2, default=str, allow_nan=False).encode())

    def write_config(
        self,
        resolved: Mapping[str, Any],
        *,
        modules: Sequence[ModuleType],
        source: str | None,
        overrides: Sequence[str],
        digests: Mapping[str, str],
    ) -> None:
        """Keep the configuration: resolved, its modules as they were, overrides and digests.

        Parameters
        ----------
        resolved
            The configuration as JSON data.
        modules
            The user's own modules that it comes from.
        source
            File that exposes ``config``; a copy stands as ``config.py`` beside the results.
        overrides
            ``key=value`` texts that were applied.
        digests
            Content hashes by part.
        """
        folder = self.path / "config"
        self.write_json(folder / "config.json", resolved)
        self.write_json(folder / "overrides.json", [masked_text(text) for text in overrides])
        self.write_json(folder / "digests.json", dict(digests))
        for module in modules:
            file = Path(str(module.__file__))
            if not file.is_file():  # typed in, or piped to Python
                continue
            parts = module.__name__.split(".")
            name = (
                Path(*parts, "__init__.py")
                if file.name == "__init__.py"
                else Path(*parts).with_suffix(file.suffix)
            )
            _copy(file, folder / "modules" / name)
        if source is not None:
            _copy(Path(source), self.path / "config.py")

    def write_provenance(self, facts: Mapping[str, Any]) -> None:
        """Write where results come from."""
        self.write_json(self.path / "provenance.json", dict(facts))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data


def _copy(source: Path, target: Path) -> None:
    """Copy a file of Python code, without credentials that stand in it."""
    content = source.read_bytes()
    try:
        code = content.decode()
    except UnicodeDecodeError:  # declares another encoding
        code = content.decode("latin-1")
    hidden = masked_source(code)
    write_atomically(target, content if hidden == code else hidden.encode())
