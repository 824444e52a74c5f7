"""Compares what a skim was written for with what a configuration asks of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from intccms.analysis.ledger.units import differences
from intccms.skimming import ColumnPlan
from intccms.skimming.columns import EVENT_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from intccms.schema import Config, Dataset
    from intccms.skimming.manifest import Manifest

__all__ = ["columns_used", "described", "differences_from", "lacking_columns", "why_all"]

_FIELDS = {
    "preprocess.skimming": ("skimming.function", "skimming.use", "skimming.static_kwargs"),
    "preprocess.branches": ("branches", "mc_branches", "ignore_missing"),
    "format": ("skimming.output.format",),
    "to_kwargs": ("skimming.output.to_kwargs",),
}
"""Part of the contract -> the fields of ``preprocess`` behind it."""

_LONGEST = 60
"""Characters of a value in a message."""


def described(config: Config) -> dict[str, Any]:
    """Return the fields that decide on skims, by path below ``preprocess``, as people wrote them.

    The contract has digests, which see the code of functions too, but cannot say what differs.
    """
    paths = tuple(path for paths in _FIELDS.values() for path in paths)
    flat = _flat(config.to_json()["preprocess"])
    return {
        path: value
        for path, value in flat
        if any(_is_below(path, one) for one in paths) and ".storage_options" not in path
    }


def differences_from(manifest: Manifest, contract: Mapping[str, str], config: Config) -> list[str]:
    """Return what differs between a skim and a configuration, with the values where these are known."""
    now, phrases = described(config), []
    for phrase in differences(manifest.contract, contract):
        part = phrase.removesuffix(" changed")
        paths = [
            path
            for path in dict.fromkeys([*now, *manifest.described])
            if any(_is_below(path, one) for one in _FIELDS.get(part, ()))
        ]
        fields = [
            f"preprocess.{path} is {_text(now, path)}, and was {_text(manifest.described, path)}"
            for path in paths
            if now.get(path) != manifest.described.get(path)
        ]
        if part == "kind of dataset":
            fields = [f"the dataset is {contract.get(part)!r}, and was {manifest.contract.get(part)!r}"]
        if part == "preprocess.skimming" and manifest.described and not fields:
            fields = [
                f"{phrase}: the code of {now.get('skimming.function')}, or what it calls, is another one"
            ]
        phrases += fields if manifest.described and fields else [phrase]
    return phrases


def why_all(
    manifest: Manifest, contract: Mapping[str, str], uses: list[str], config: Config, *, force: bool
) -> str:
    """Return why no part of a manifest can stay; an empty text if they can."""
    if not manifest.files:
        return ""
    if force:
        return "run_skimming=True"
    changes = differences(manifest.contract, contract)
    if more := lacking_columns(uses, manifest, config):
        shown = ", ".join(more[:4]) + (f" and {len(more) - 4} more" if len(more) > 4 else "")
        changes.append(f"columns {shown} added")
    return ", ".join(changes)


def columns_used(config: Config, dataset: Dataset, *, everything: bool = True) -> list[str]:
    """Return the columns of a dataset that are used, those of channels that are left out included or not.

    Those of corrections with ``ignore_missing`` too: what a file lacks and what its skim lacks are not the same.
    """
    plan = ColumnPlan(config, everything=everything)
    return sorted({str(use.column) for use in plan.wished_for(dataset)})


def lacking_columns(uses: list[str], manifest: Manifest, config: Config) -> list[str]:
    """Return the columns that a skim does not hold, of those that are used.

    A whole collection holds its fields, where it is narrowed the listed ones; what identifies events is always there.
    """
    preprocess = config.preprocess
    held = _held(manifest)

    def is_there(name: str) -> bool:
        collection, _, field = name.partition("_")
        if name in held or name in EVENT_IDS:
            return True
        if f"{collection}_*" not in held:
            return False
        listed = preprocess.branches.get(collection)
        simulated = () if manifest.is_data else preprocess.mc_branches.get(collection, ())
        return listed is None or field in {*listed, *simulated}

    return sorted(name for name in set(uses) if not is_there(name))


def _held(manifest: Manifest) -> set[str]:
    """Return the columns of a skim: what it was written for, and what its function added."""
    made = {name for file in manifest.files for part in file.parts.values() for name in part.made}
    return {*manifest.uses, *made}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _is_below(path: str, field: str) -> bool:
    return path == field or path.startswith(f"{field}.")


def _text(values: Mapping[str, Any], path: str) -> str:
    if path not in values:
        return "not set"
    text = json.dumps(values[path], default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
