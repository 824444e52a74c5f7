"""What reaches a result: the parts of configuration, code and packages behind a channel or a skim part.

A unit is known by the digest of these parts, which have names, so that a run can say why something is computed
again. Cross-sections, luminosities, redirectors, folders, executors and plot options reach nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from intccms.schema import Functor
from intccms.schema.digest import digest
from intccms.schema.digest.files import content_of_files, noting
from intccms.schema.digest.own import own_code
from intccms.schema.reach import Reach, reach
from intccms.systematics.plan import SystematicsPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.schema import Config, Dataset
    from intccms.schema.corrections import Correction
    from intccms.schema.selection import Channel

__all__ = ["Unit", "Units", "differences"]

_PACKAGES = (
    "awkward",
    "awkward-cpp",
    "boost-histogram",
    "coffea",
    "correctionlib",
    "hist",
    "numba",
    "numpy",
    "pyarrow",
    "scipy",
    "uproot",
    "vector",
)
"""What reads, computes and fills; what the user's functions call besides is in their digests."""

_ENTRY_MODULES = (
    "intccms.analysis.processor",
    "intccms.analysis.ledger.records",
    "intccms.datasets.sources",
    "intccms.skimming.columns",
    "intccms.skimming.flat",
    "intccms.skimming.parquet",
    "intccms.skimming.root_files",
)
"""What makes a result of events, and bytes of a result."""

_EXEMPT = (
    *(
        f"intccms.schema.{name}"
        for name in (
            "base",
            "config",
            "correction_lists",
            "corrections",
            "datasets",
            "digest",
            "explain",
            "general",
            "loading",
            "overrides",
            "plotting",
            "preprocess",
            "secrets",
            "selection",
        )
    ),
    *(f"intccms.metadata.{name}" for name in ("reader", "records", "stage", "store")),
    "intccms.analysis.runner",
    "intccms.datasets.listing",
    "intccms.datasets.manager",
    "intccms.errors",
    "intccms.histograms.merge",
    "intccms.histograms.storage",
    "intccms.skimming.cache",
    "intccms.skimming.places",
    "intccms.utils",
)
"""Modules that these import and that do not decide what a result is; what the configuration says counts part by part."""

_SHORT = 16
"""Hexadecimal digits of a digest in names of files: 64 bits."""


@dataclass(frozen=True)
class Unit:
    """A channel, or the skim, as it is defined for one kind of dataset."""

    name: str
    parts: Mapping[str, str]
    """Name of a part -> its digest, or its version."""

    @cached_property
    def digest(self) -> str:
        """Content hash, short enough for names of files."""
        text = json.dumps([self.name, sorted(self.parts.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]


class Units:
    """The units of a configuration.

    Parameters
    ----------
    config
        The configuration as it is now; a changed one needs an object of its own.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known_parts: dict[tuple[str, tuple[int, ...], tuple[int, ...]], dict[str, str]] = {}
        self._known_corrections: dict[int, tuple[str, str]] = {}
        self.files: dict[str, tuple[int, int, int]] = {}
        """Files whose content is in the digests, as they were when these were taken."""

    def channels(self, dataset: Dataset, *, everything: bool = False) -> dict[str, Unit]:
        """Return the channels of a dataset, by name; with `everything` also those that a filter leaves out.

        Raises
        ------
        ConfigError
            If something that reaches them cannot be digested; the message names it.
        """
        chosen = self._config.channels if everything else self._config.selected_channels()
        with noting(self.files):
            common = {**self._of_dataset(dataset), **self._environment}
            plan = SystematicsPlan(self._config, dataset, chosen)
            return {
                channel.name: Unit(channel.name, {**common, **self._of_channel(channel, plan)})
                for channel in chosen
            }

    def skim(self, dataset: Dataset) -> Unit:
        """Return the unit of a skim part."""
        return Unit("skim", {**self.contract(dataset), **self._environment})

    def contract(self, dataset: Dataset) -> dict[str, str]:
        """Return what decides which events a skim holds, and which columns of theirs, apart from versions."""
        output = self._config.preprocess.skimming.output
        # where it lies and who may write there decide nothing
        written = {key: value for key, value in output.to_kwargs.items() if key != "storage_options"}
        with noting(self.files):
            return {
                **self._of_dataset(dataset),
                "format": output.format,
                "to_kwargs": digest(written, where="preprocess.skimming.output.to_kwargs"),
            }

    def _of_dataset(self, dataset: Dataset) -> dict[str, str]:
        kind = f"tree {dataset.tree_name}, " + (
            "data" if dataset.is_data else f"weight {dataset.weight_branch}"
        )
        parts = {"kind of dataset": kind, **self._of_preprocessing}
        if dataset.lumi_mask is not None:
            parts["lumi mask"] = digest(content_of_files(dataset.lumi_mask), where="lumi_mask")
        return parts

    @cached_property
    def _of_preprocessing(self) -> dict[str, str]:
        preprocess = self._config.preprocess
        listed = (preprocess.branches, preprocess.mc_branches, preprocess.ignore_missing)
        return {
            "preprocess.skimming": _functor(preprocess.skimming.functor(), "preprocess.skimming"),
            "preprocess.branches": digest(listed, where="preprocess"),
        }

    def _of_channel(self, channel: Channel, plan: SystematicsPlan) -> dict[str, str]:
        reached = reach(self._config, [channel], plan.corrections)
        return self._parts(channel, reached) | self._of_corrections(channel, plan, reached)

    def _parts(self, channel: Channel, reached: Reach) -> dict[str, str]:
        key = (channel.name, reached.masks, reached.ghosts)
        if key not in self._known_parts:
            self._known_parts[key] = self._parts_of(channel, reached)
        return self._known_parts[key]

    def _parts_of(self, channel: Channel, reached: Reach) -> dict[str, str]:
        config, where = self._config, f"channels[{channel.name}]"
        parts = {
            f"good_object_masks ({position}: {config.good_object_masks[index].collection})": self._masks[
                index
            ]
            for position, index in enumerate(reached.masks)
        }
        parts |= {
            f"ghost_observables ({position}: {', '.join(config.ghost_observables[index].names)})": self._ghosts[
                index
            ]
            for position, index in enumerate(reached.ghosts)
        }
        parts["baseline_selection"] = self._baseline
        parts["selection"] = _functor(channel.selection, f"{where}.selection")
        parts["run_histogramming"] = str(config.general.run_histogramming)
        for one in channel.observables:
            place = f"{where}.observables[{one.name}]"
            parts[f"observable {one.name}"] = _functor(one, place)
            parts[f"binning of {one.name}"] = digest(one.all_axes(), where=place)
        return parts

    def _of_corrections(self, channel: Channel, plan: SystematicsPlan, reached: Reach) -> dict[str, str]:
        """Return the corrections that reach a channel, in order; their sources count where there are variations."""
        parts = {}
        for position, index in enumerate(reached.corrections):
            one = plan.corrections[index]
            nominal, sources = self._correction(one)
            name = f"correction ({position}: {one.name})"
            parts[name] = nominal
            if plan.varies and one.uncertainty_sources:
                parts[f"sources of {name}"] = sources
        if variations := plan.of_channel(channel):
            parts["variations"] = digest(variations)
        return parts

    def _correction(self, correction: Correction) -> tuple[str, str]:
        key = id(correction)
        if key not in self._known_corrections:
            where = f"corrections[{correction.name}]"
            nominal = correction.model_construct(
                **{
                    **{name: getattr(correction, name) for name in type(correction).model_fields},
                    "uncertainty_sources": [],
                }
            )
            sources = digest(correction.uncertainty_sources, where=f"{where}.uncertainty_sources")
            self._known_corrections[key] = (digest(nominal, where=where), sources)
        return self._known_corrections[key]

    @cached_property
    def _masks(self) -> list[str]:
        masks = self._config.good_object_masks
        return [
            digest((one.collection, _functor(one, f"good_object_masks[{index}]")))
            for index, one in enumerate(masks)
        ]

    @cached_property
    def _ghosts(self) -> list[str]:
        ghosts = self._config.ghost_observables
        return [
            digest((one.collection, one.names, _functor(one, f"ghost_observables[{index}]")))
            for index, one in enumerate(ghosts)
        ]

    @cached_property
    def _baseline(self) -> str:
        return _functor(self._config.baseline_selection, "baseline_selection")

    @cached_property
    def _environment(self) -> dict[str, str]:
        versions = {name: _version(name) for name in _PACKAGES}
        python = ".".join(platform.python_version_tuple()[:2])
        return {"python": python, **versions, "intccms": own_code(_ENTRY_MODULES, _EXEMPT)[:_SHORT]}


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return what differs between two definitions of a unit, as phrases."""
    phrases = []
    for name in dict.fromkeys([*new, *old]):
        before, now = old.get(name), new.get(name)
        if before == now:
            continue
        if name in _PACKAGES or name == "python":
            phrases.append(f"{name} {before} -> {now}")
        elif before is None or now is None:
            phrases.append(f"{name} {'added' if before is None else 'removed'}")
        else:
            phrases.append(f"{name} changed")
    return phrases


def _functor(functor: Functor | None, where: str) -> str:
    """Return the digest of function, columns and constants; what a subclass adds has parts of its own."""
    if functor is None:
        return "none"
    plain = Functor.model_construct(
        function=functor.function, use=functor.use, static_kwargs=functor.static_kwargs
    )
    return digest(plain, where=where)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
