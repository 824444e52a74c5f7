"""The datasets of a configuration with their files: what a run reads."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from intccms.datasets.listing import list_files
from intccms.datasets.replicas import source_file
from intccms.errors import ConfigError
from intccms.schema.explain import did_you_mean
from intccms.schema.secrets import check_url

if TYPE_CHECKING:
    from intccms.datasets.replicas import SourceFile
    from intccms.schema import Config, Dataset

__all__ = ["DatasetManager"]


class DatasetManager:
    """Knows the datasets of a configuration, their files and their redirectors.

    Parameters
    ----------
    config
        The configuration; ``general.processes``, ``datasets.base_dir`` and ``datasets.max_files`` apply.

    Raises
    ------
    ConfigError
        As soon as files are asked for, if a dataset is empty or its listing cannot be read.
    """

    def __init__(self, config: Config) -> None:
        self._datasets = {dataset.name: dataset for dataset in config.selected_datasets()}
        self._base_dir = config.datasets.base_dir
        self._max_files = config.datasets.max_files
        self._files: dict[str, list[SourceFile]] = {}
        self._names: dict[str, list[str]] = {}

    @property
    def datasets(self) -> list[Dataset]:
        """The single datasets, in the order of the configuration."""
        return list(self._datasets.values())

    def __getitem__(self, name: str) -> Dataset:
        """Return a dataset by name."""
        if name not in self._datasets:
            message = f"there is no dataset {name!r}.{did_you_mean(name, self._datasets)}"
            raise ConfigError(message)
        return self._datasets[name]

    def files(self, name: str) -> list[SourceFile]:
        """Return the files of a dataset, at most ``max_files``, with their replicas."""
        if name not in self._files:
            dataset = self[name]
            redirectors = self.get_redirector(name)
            files = [source_file(line, redirectors) for line in list_files(dataset, self._base_dir)]
            self._names[name] = [file.name for file in files]
            if again := [one for one, count in Counter(self._names[name]).items() if count > 1]:
                message = (
                    f"dataset {name!r}: {again[0]} is named more than once, with other replicas. Its events would count "
                    "as often: put all its URLs into one line."
                )
                raise ConfigError(message)
            self._files[name] = files[: self._max_files]
            for url in (url for file in self._files[name] for url in file.urls):
                check_url(url, f"dataset {name!r}")  # a line of a listing
        return self._files[name]

    def names(self, name: str) -> list[str]:
        """Return the names of all files of a dataset, also of those that ``max_files`` leaves out."""
        self.files(name)
        return list(self._names[name])

    def get_redirector(self, name: str | None = None) -> list[str]:
        """Return the redirectors of a dataset, in the order in which they are tried.

        Parameters
        ----------
        name
            The dataset; None for all redirectors of the configuration, each once.

        Returns
        -------
        list of str
            Empty whenever ``datasets.base_dir`` says where all datasets are.
        """
        if self._base_dir is not None:
            return []
        chosen = self.datasets if name is None else [self[name]]
        return list(dict.fromkeys(url for dataset in chosen for url in dataset.redirectors))

    def fileset(self) -> dict[str, dict[str, Any]]:
        """Return coffea's mapping of datasets to files (first replica each) and trees."""
        return {
            name: {
                "files": {file.urls[0]: dataset.tree_name for file in self.files(name)},
                "metadata": {"process": dataset.process, "year": dataset.year, "is_data": dataset.is_data},
            }
            for name, dataset in self._datasets.items()
        }
