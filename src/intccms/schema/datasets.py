"""Which data to read: entries of the configuration, and the single datasets they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from intccms.errors import ConfigError
from intccms.schema.base import Count, Model, Picobarn, YearKey

__all__ = ["Dataset", "DatasetEntry", "DatasetsConfig"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) else value


Strings = Annotated[list[str], BeforeValidator(_as_list)]
"""A text, or a list of texts."""


@dataclass(frozen=True)
class Dataset:
    """One dataset: one process, one year, one cross-section; an element of a `DatasetEntry`."""

    name: str
    """Unique; stands in paths, reports and histograms."""
    process: str
    is_data: bool
    year: str | None
    cross_section: float | None
    """Cross-section [pb]; None for data."""
    directory: str | None
    """A folder or pattern to list, or None where `files` are given."""
    files: tuple[str, ...]
    """Explicit files and patterns."""
    tree_name: str
    weight_branch: str | None
    redirectors: tuple[str, ...]
    """Prefixes for logical file names, in the order in which they are tried."""
    lumi_mask: str | None


class DatasetEntry(Model):
    """One entry of the list of datasets; it may stand for several.

    `directories`, `files` (as a list of lists), `cross_sections`, `years` and `lumi_mask` pair by index.
    A single cross-section, year or lumi mask serves all; input serves one dataset only.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    """Name of the dataset, or the stem of the names ``{name}_{year}`` of several."""
    process: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    """Label in histograms; default: the name. Several datasets may share one."""
    directories: Strings | None = None
    """Folders that hold text files listing the input (``*.txt``, a file per line), or the input itself."""
    files: Annotated[list[str] | list[list[str]], BeforeValidator(_as_list)] | None = None
    """Files or patterns: paths, URLs or logical names (``/store/...``); one list per dataset (year) if there are
    several: ``[[...], [...]]``. Several URLs in one text, separated by spaces, are replicas of one file, in the order
    in which they are tried; redirectors do not apply to it."""
    cross_sections: Annotated[list[Picobarn], BeforeValidator(_as_list)] | None = None
    """Cross-section times branching ratio times filter efficiency [pb]; required for simulation."""
    years: Annotated[list[YearKey], BeforeValidator(_as_list)] | None = None
    """Data-taking eras, such as ``2016preVFP``, ``2017``."""
    tree_name: str = "Events"
    """Tree, or RNTuple, with the events."""
    weight_branch: str | None = None
    """Branch with the generator weight; default: that of ``general``."""
    redirector: Strings = Field(default=[], json_schema_extra={"digest": False})
    """Prefix for logical file names, or an ordered list that is tried in turn."""
    is_data: bool = False
    """Collision data: no generator weight, no cross-section."""
    lumi_mask: Strings | None = Field(default=None, json_schema_extra={"digest": "files"})
    """Certified lumi sections (golden JSON); data only."""

    @model_validator(mode="after")
    def _is_consistent(self) -> DatasetEntry:
        if self.directories is not None and self.files is not None:
            message = "give 'directories' or 'files', not both"
            raise ValueError(message)
        if self.is_data and self.cross_sections is not None:
            message = "data have no cross-section: remove 'cross_sections', or set is_data=False"
            raise ValueError(message)
        if not self.is_data and self.cross_sections is None:
            message = "simulation needs 'cross_sections' [pb]; set is_data=True if these are collision data"
            raise ValueError(message)
        if not self.is_data and self.lumi_mask is not None:
            message = "a lumi mask applies to data only: remove 'lumi_mask', or set is_data=True"
            raise ValueError(message)
        for name in ("directories", "files", "cross_sections", "years", "lumi_mask"):
            if getattr(self, name) == []:
                message = f"'{name}' is empty: give at least one, or leave the key out"
                raise ValueError(message)
        self._count()
        return self

    def _columns(self) -> dict[str, list[Any]]:
        files: list[Any] | None = None
        if self.files is not None:
            flat = not isinstance(self.files[0], list)
            files = [self.files] if flat else list(self.files)
        columns = {
            "directories": self.directories,
            "files": files,
            "cross_sections": self.cross_sections,
            "years": self.years,
            "lumi_mask": self.lumi_mask,
        }
        return {name: list(values) for name, values in columns.items() if values is not None}

    def _count(self) -> int:
        lengths = {name: len(values) for name, values in self._columns().items()}
        longest = max(lengths.values(), default=1)
        if wrong := {name: n for name, n in lengths.items() if n not in (1, longest)}:
            message = (
                f"lists pair by index, so each has length 1 or {longest}, but {wrong}. "
                "Give one element per dataset, or a single one for all."
            )
            raise ValueError(message)
        self._refuse_shared_input(lengths, longest)
        return longest

    def _refuse_shared_input(self, lengths: dict[str, int], count: int) -> None:
        """Refuse input that each of several datasets would read in full, so that it would be counted several times."""
        by_year = lengths.get("years") == count
        of = self.years if by_year and self.years else [f"{self.name}_{index}" for index in range(count)]
        for name, what, item in (("files", "list", "[...{}...]"), ("directories", "folder", "'.../{}'")):
            if count > 1 and lengths.get(name) == 1:
                example = ", ".join(item.format(one) for one in of)
                message = (
                    f"'{name}' is one {what} for {count} datasets ({', '.join(of)}), each of which would read all of it; "
                    f"expected one {what} per {'year' if by_year else 'dataset'}. Write {name}: [{example}]"
                )
                raise ValueError(message)

    def expand(self, default_weight: str) -> list[Dataset]:
        """Return the datasets this entry stands for, named ``{name}_{year}`` (``_{i}`` if a year repeats)."""
        count = self._count()
        columns = {name: v * count if len(v) == 1 else v for name, v in self._columns().items()}
        none = [None] * count
        years = columns.get("years", none)
        return [
            Dataset(
                name=_element_name(self.name, years, index),
                process=self.process or self.name,
                is_data=self.is_data,
                year=years[index],
                cross_section=columns.get("cross_sections", none)[index],
                directory=columns.get("directories", none)[index],
                files=tuple(columns.get("files", [()] * count)[index]),
                tree_name=self.tree_name,
                weight_branch=None if self.is_data else self.weight_branch or default_weight,
                redirectors=tuple(self.redirector),
                lumi_mask=columns.get("lumi_mask", none)[index],
            )
            for index in range(count)
        ]


def _element_name(name: str, years: list[Any], index: int) -> str:
    year = years[index]
    stem = name if year is None else f"{name}_{year}"
    same = [i for i, other in enumerate(years) if other == year]
    return stem if len(same) == 1 else f"{stem}_{same.index(index)}"


class DatasetsConfig(Model):
    """All datasets, and where they are."""

    base_dir: str | None = Field(default=None, json_schema_extra={"digest": False})
    """A local folder (or URL) that holds all datasets: relative `directories` and `files` are taken below it; a
    dataset with remote files (given or listed) or none is taken from ``{base_dir}/{dataset}_*.root`` (or
    ``.parquet``). Redirectors do not apply."""
    max_files: Count | None = Field(default=None, json_schema_extra={"digest": False})
    """Read at most so many files of each dataset."""
    datasets: list[DatasetEntry]
    """The entries."""

    @field_validator("datasets", mode="after")
    @classmethod
    def _not_empty(cls, value: list[DatasetEntry]) -> list[DatasetEntry]:
        if not value:
            message = "the list of datasets is empty: give at least one"
            raise ValueError(message)
        return value

    def expand(self, default_weight: str) -> list[Dataset]:
        """Return all single datasets, in the order of the configuration.

        Raises
        ------
        ConfigError
            If two of them have the same name.
        """
        datasets = [one for entry in self.datasets for one in entry.expand(default_weight)]
        names = [one.name for one in datasets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"datasets.datasets: duplicate names {twice}; each dataset needs its own name."
            raise ConfigError(message)
        return datasets
