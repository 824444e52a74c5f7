"""The whole configuration: its parts, and the checks that need more than one of them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from intccms.errors import ConfigError
from intccms.schema.base import Functor, Model, ObjVar
from intccms.schema.correction_lists import CorrectionLists, applies, check_corrections
from intccms.schema.datasets import Dataset, DatasetsConfig
from intccms.schema.digest import digest
from intccms.schema.explain import did_you_mean, near_year
from intccms.schema.general import GeneralConfig
from intccms.schema.plotting import PlottingConfig
from intccms.schema.preprocess import PreprocessConfig
from intccms.schema.secrets import check_url, masked
from intccms.schema.selection import Channel, GhostObservable, ObjectMask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from intccms.schema.corrections import Correction

__all__ = ["Config"]

_drafted: ContextVar[bool] = ContextVar("drafted", default=False)


class Config(Model):
    """What an analysis is. Build it from a dict, or load it with `load_config`."""

    general: GeneralConfig = GeneralConfig()
    """Luminosity, executor, stage switches, filters, folders."""
    datasets: DatasetsConfig
    """What is read."""
    preprocess: PreprocessConfig = PreprocessConfig()
    """Loose event filter, chunks and columns."""
    corrections: CorrectionLists = []
    """Scale factors and calibrations with their uncertainty sources, in order: a list, or one list per year."""
    good_object_masks: list[ObjectMask] = []
    """Which objects are kept, collection by collection, in order."""
    baseline_selection: Functor | None = None
    """Cuts that all channels share."""
    ghost_observables: list[GhostObservable] = []
    """Computed quantities for channels and observables, in order."""
    channels: list[Channel] = []
    """Event categories with their observables; a run that only writes skims needs none."""
    plotting: Annotated[PlottingConfig, Field(json_schema_extra={"digest": False})] = PlottingConfig()
    """How plots look."""

    _source: str | None = PrivateAttr(default=None)
    _overrides: tuple[str, ...] = PrivateAttr(default=())
    _loaded: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def source(self) -> str | None:
        """File that the configuration was loaded from, None if it was made in Python."""
        return self._source

    @property
    def overrides(self) -> tuple[str, ...]:
        """The ``key=value`` texts that were applied to it."""
        return self._overrides

    @property
    def was_changed(self) -> bool:
        """Whether it is no longer what its source and overrides give: fields were assigned since."""
        return self._loaded is not None and self._loaded != self.to_json()

    def note_origin(self, *, source: str | None = None, overrides: Sequence[str] = ()) -> None:
        """Remember where the configuration comes from, for the run directory."""
        self._source = source or self._source
        self._overrides = (*self._overrides, *overrides)
        self._loaded = self.to_json()

    @field_validator("corrections", mode="before")
    @classmethod
    def _are_listed(cls, value: Any) -> Any:
        if isinstance(value, dict) and {"name", "type"} <= value.keys():
            message = (
                f"should be a list of corrections, or one list per year, not the correction {value['name']!r} itself. "
                "Put it into a list: [{...}]"
            )
            raise ValueError(message)
        return value

    @field_validator("channels", mode="after")
    @classmethod
    def _distinct_channels(cls, value: list[Channel]) -> list[Channel]:
        names = [channel.name for channel in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"duplicate names {twice}: channels need distinct names"
            raise ValueError(message)
        return value

    @field_validator("ghost_observables", mode="after")
    @classmethod
    def _distinct_ghosts(cls, value: list[GhostObservable]) -> list[GhostObservable]:
        names = [f"{ghost.collection}.{name}" for ghost in value for name in ghost.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"duplicate names {twice}: ghost observables of a collection need distinct names"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._find_ghosts_with_underscores()
        if not _drafted.get():
            self.check()
        return self

    @classmethod
    def draft(cls, content: Mapping[str, Any]) -> Self:
        """Return a configuration whose parts are valid by themselves; changes may be needed before `check` passes.

        Raises
        ------
        ConfigError
            If a part is not valid.
        """
        token = _drafted.set(True)
        try:
            return cls(**content)
        finally:
            _drafted.reset(token)

    def _find_ghosts_with_underscores(self) -> None:
        """Give ``("event", "m_tt")`` its meaning back, which reads like the field ``tt`` of a collection ``m``."""
        ghosts = {
            name for ghost in self.ghost_observables if ghost.collection == "event" for name in ghost.names
        }
        for columns in (*(functor.use for functor in self._functors()), *self._arguments()):
            for index, column in enumerate(columns):
                if isinstance(column, ObjVar) and column.collection != "event" and str(column) in ghosts:
                    columns[index] = ObjVar("event", str(column))

    def _arguments(self) -> Iterator[list[Any]]:
        for correction in self.all_corrections():
            yield correction.args
            yield from (one.args for one in correction.uncertainty_sources if one.args is not None)

    def _functors(self) -> Iterator[Functor]:
        yield from self.good_object_masks
        if self.baseline_selection is not None:
            yield self.baseline_selection
        yield from self.ghost_observables
        for channel in self.channels:
            if channel.selection is not None:
                yield channel.selection
            yield from channel.observables

    def check(self) -> None:
        """Check what concerns several fields; called on construction, after overrides and before a run.

        Raises
        ------
        ConfigError
            For contradictory switches, luminosities that do not fit the years, and filters that name
            nothing.
        """
        for where, url in self._urls():
            check_url(url, where)
        _check_modes(self.general)
        if not self.channels and self.analyses:
            message = (
                "channels: should be a list of at least 1 item, not []. Give one, such as {'name': 'SR', 'observables': [...]}; "
                "only a run that stops after the skim (general.run_analysis=False) needs none."
            )
            raise ConfigError(message)
        _check_filter("general.channels", self.general.channels, [channel.name for channel in self.channels])
        datasets = self.datasets.expand(self.general.weight_branch)
        _check_filter("general.processes", self.general.processes, [one.process for one in datasets])
        selected = self.selected_datasets()
        _check_lumi(self.general, selected)
        _check_kinds(datasets)
        if isinstance(self.general.lumi, dict):
            for dataset in selected:
                if not dataset.is_data:
                    self.lumi_of(dataset)
        check_corrections(self.corrections, datasets, selected)

    def _urls(self) -> Iterator[tuple[str, str]]:
        """Give what may be URLs, each with its path."""
        output = self.preprocess.skimming.output.output_dir
        single = {
            "general.skimmed_dir": self.general.skimmed_dir,
            "general.ledger_url": self.general.ledger_url,
            "preprocess.skimming.output.output_dir": output,
            "datasets.base_dir": self.datasets.base_dir,
        }
        yield from ((where, url) for where, url in single.items() if url is not None)
        for entry in self.datasets.datasets:
            for name in ("redirector", "directories", "files"):
                for item in getattr(entry, name) or []:
                    for url in [item] if isinstance(item, str) else item:
                        yield f"datasets.datasets[{entry.name}].{name}", url

    def selected_datasets(self) -> list[Dataset]:
        """Return the single datasets that ``general.processes`` lets pass, in configuration order."""
        wanted = self.general.processes
        datasets = self.datasets.expand(self.general.weight_branch)
        return [one for one in datasets if wanted is None or one.process in wanted]

    def selected_channels(self) -> list[Channel]:
        """Return the channels that ``general.channels`` lets pass, in configuration order."""
        wanted = self.general.channels
        return [channel for channel in self.channels if wanted is None or channel.name in wanted]

    @property
    def years(self) -> list[str]:
        """The years of all datasets, each once."""
        datasets = self.datasets.expand(self.general.weight_branch)
        return list(dict.fromkeys(one.year for one in datasets if one.year is not None))

    def all_corrections(self) -> list[Correction]:
        """Return the corrections of all years, in configuration order."""
        if isinstance(self.corrections, dict):
            return [one for corrections in self.corrections.values() for one in corrections]
        return self.corrections

    def corrections_of(self, dataset: Dataset) -> list[Correction]:
        """Return the corrections that apply to a dataset, in order; data have nominal values only."""
        if isinstance(self.corrections, dict):
            corrections = self.corrections.get(dataset.year or "", [])
        else:
            corrections = self.corrections
        return [one for one in corrections if applies(one, dataset)]

    @property
    def analyses(self) -> bool:
        """Whether the run goes on after the skim."""
        return self.general.run_analysis and self.general.analysis != "skip"

    def lumi_of(self, dataset: Dataset) -> float:
        """Return the integrated luminosity that a simulated dataset is scaled to [pb^-1].

        Raises
        ------
        ConfigError
            If none is configured for its year.
        """
        lumi = self.general.lumi
        if isinstance(lumi, dict):
            if dataset.year is None and len(lumi) == 1:
                return next(iter(lumi.values()))
            if dataset.year is None:
                message = (
                    f"general.lumi has the years {sorted(lumi)}, but dataset {dataset.name!r} has none. "
                    "Give it 'years'."
                )
                raise ConfigError(message)
            if dataset.year not in lumi:
                message = (
                    f"general.lumi: no luminosity for year {dataset.year!r} of dataset {dataset.name!r}; there is "
                    f"{sorted(lumi)}.{near_year(dataset.year, lumi)} Add general.lumi[{dataset.year!r}] in pb^-1."
                )
                raise ConfigError(message)
            return lumi[dataset.year]
        if lumi is None:
            message = (
                f"general.lumi: dataset {dataset.name!r} is simulation and needs a luminosity [pb^-1] to be "
                "scaled to. Set general.lumi."
            )
            raise ConfigError(message)
        return lumi

    def digest(self, part: str | None = None) -> str:
        """Return the content hash of the configuration, or of one part of it.

        Parameters
        ----------
        part
            Path as in overrides, such as ``channels.SR.selection``; None for the whole.

        Returns
        -------
        str
            sha256 in hexadecimal; it sees the source, closure values and defaults of functions, and leaves
            out what does not change results (folders, executor, redirectors, plot options).
        """
        from intccms.schema.overrides import value_at

        return digest(self if part is None else value_at(self, part), where=part or "")

    def to_json(self) -> dict[str, Any]:
        """Return the resolved configuration as plain JSON data; functions by name, no secrets."""
        dumped: dict[str, Any] = masked(self.model_dump(mode="json", warnings=False))
        return dumped


def _check_filter(where: str, wanted: list[str] | None, known: list[str]) -> None:
    for name in wanted or []:
        if name not in known:
            near = did_you_mean(name, known)
            message = f"{where}: {name!r} is not configured.{near} Known: {', '.join(dict.fromkeys(known))}."
            raise ConfigError(message)
    if wanted == []:
        message = f"{where} is empty and would select nothing; leave it out (None) for all."
        raise ConfigError(message)


def _check_kinds(datasets: list[Dataset]) -> None:
    """Refuse a process that is both data and simulation: its histogram would mean neither."""
    for process in dict.fromkeys(one.process for one in datasets):
        kinds = {one.is_data: one.name for one in datasets if one.process == process}
        if len(kinds) > 1:
            message = (
                f"datasets.datasets: process {process!r} holds data ({kinds[True]!r}) and simulation "
                f"({kinds[False]!r}), which would be added up. Give them different processes."
            )
            raise ConfigError(message)


def _check_lumi(general: GeneralConfig, datasets: list[Dataset]) -> None:
    years = sorted({one.year for one in datasets if one.year is not None})
    if isinstance(general.lumi, float) and len(years) > 1:
        message = (
            f"general.lumi is one number ({general.lumi:g} pb^-1), but the datasets span the years {years}. "
            "Give one luminosity per year: {year: pb^-1}."
        )
        raise ConfigError(message)


def _check_modes(general: GeneralConfig) -> None:
    """Refuse combinations of stage switches that contradict each other; DESIGN has the table."""
    if general.run_plots_only:
        return
    if general.run_skimming and not general.save_skimmed_output and not general.use_skimmed_input:
        message = (
            "general.run_skimming=True without save_skimmed_output rewrites skims only to be read again: "
            "set general.use_skimmed_input=True as well, or general.save_skimmed_output=True."
        )
        raise ConfigError(message)
    if general.save_skimmed_output and general.use_skimmed_input and not general.run_skimming:
        message = (
            "general.save_skimmed_output=True while general.use_skimmed_input=True would write skims of skims: "
            "set one of them to False, or general.run_skimming=True to write first and read then."
        )
        raise ConfigError(message)
    analyse = general.run_analysis and general.analysis != "skip"
    if general.run_processor and not analyse and not general.save_skimmed_output and not general.run_skimming:
        message = (
            "nothing to do: general.run_analysis is off (or general.analysis='skip') and no skim is written. "
            "Set general.save_skimmed_output=True to write one, general.run_analysis=True (and analysis) to analyse, or "
            "general.run_processor=False to leave out the events."
        )
        raise ConfigError(message)
