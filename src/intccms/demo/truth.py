"""What is known about a generated demo: files, sums of weights, and what its selection must keep.

The truth is also the manifest of the demo's folder: it is written last, carries the digest of everything that
went into the files, and a folder without one is not a demo.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.demo.counting import SelectionCounts
from intccms.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TRUTH_FILE", "DatasetTruth", "DemoTruth", "FileTruth"]

TRUTH_FILE = "truth.json"


@dataclass(frozen=True, slots=True)
class FileTruth:
    """One file: its name in the folder, and what is in it.

    Parameters
    ----------
    name
        Name of the file, without folder.
    events
        Entries of its ``Events`` tree.
    n_bytes
        Size [bytes].
    sumw, sumw2
        Sums of ``genWeight`` and of its square over all its events; 0 for data.
    certified_events
        Events in luminosity sections of the golden JSON; for simulation all.
    selected
        What the demo's selection keeps, for data after the golden JSON.
    selected_unmasked
        Selected events without regard to the golden JSON.
    """

    name: str
    events: int
    n_bytes: int
    sumw: float
    sumw2: float
    certified_events: int
    selected: SelectionCounts
    selected_unmasked: int


@dataclass(frozen=True, slots=True)
class DatasetTruth:
    """One dataset: its files, and their sums."""

    name: str
    process: str
    is_data: bool
    xsec_pb: float
    files: tuple[FileTruth, ...]

    @property
    def events(self) -> int:
        """Events in the files; for simulation all generated ones."""
        return sum(file.events for file in self.files)

    @property
    def certified_events(self) -> int:
        """Events in luminosity sections of the golden JSON; for simulation all."""
        return sum(file.certified_events for file in self.files)

    @property
    def sumw(self) -> float:
        """Sum of ``genWeight`` over all generated events; 0 for data."""
        return sum(file.sumw for file in self.files)

    @property
    def selected(self) -> SelectionCounts:
        """What the demo's selection keeps, for data after the golden JSON."""
        return SelectionCounts.total(file.selected for file in self.files)

    @property
    def selected_unmasked(self) -> int:
        """Selected events without regard to the golden JSON."""
        return sum(file.selected_unmasked for file in self.files)


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """Everything known about a generated demo.

    Parameters
    ----------
    digest
        Content hash of the parameters and of the generator's version.
    luminosity_pb
        Integrated luminosity of the certified luminosity sections [pb^-1].
    signal_strength
        Signal rate in data, in units of the signal cross-section.
    parameters
        What the demo was generated with: scale, seed, extra_branches, compression.
    datasets
        Datasets by name.
    """

    digest: str
    luminosity_pb: float
    signal_strength: float
    parameters: Mapping[str, Any]
    datasets: Mapping[str, DatasetTruth]

    def expected_events(self, dataset: str) -> float:
        """Return the selected events that a simulated dataset predicts for the data's luminosity."""
        truth = self.datasets[dataset]
        return truth.xsec_pb * self.luminosity_pb * truth.selected.sumw / truth.sumw

    def paths(self, folder: Path | str, dataset: str) -> list[Path]:
        """Return the files of a dataset in ``folder``."""
        return [Path(folder) / file.name for file in self.datasets[dataset].files]

    def save(self, folder: Path | str) -> Path:
        """Write ``truth.json`` into ``folder``, whole or not at all, and return its path."""
        path = Path(folder) / TRUTH_FILE
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, folder: Path | str) -> DemoTruth:
        """Read ``truth.json`` of a folder.

        Raises
        ------
        InputFileError
            If there is none, or it is not one that this version wrote.
        """
        path = Path(folder) / TRUTH_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            datasets = {name: _dataset(value) for name, value in content.pop("datasets").items()}
            return cls(datasets=datasets, **content)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            msg = (
                f"cannot read the demo's truth {path}: {exc!r}. Expected the JSON file that is written beside a "
                f"generated demo; generate the demo in {path.parent} again."
            )
            raise InputFileError(msg) from exc


def _dataset(value: Mapping[str, Any]) -> DatasetTruth:
    return DatasetTruth(**{**value, "files": tuple(_file(file) for file in value["files"])})


def _file(value: Mapping[str, Any]) -> FileTruth:
    counts = dict(value["selected"])
    for name in ("mtt_entries", "mtt_sumw"):
        counts[name] = tuple(counts[name])
    return FileTruth(**{**value, "selected": SelectionCounts(**counts)})
