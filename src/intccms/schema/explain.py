"""Turns validation errors into messages with the path to the field, the value and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

__all__ = ["did_you_mean", "explain", "models_in"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of the known names, or an empty text."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        folded = {item.lower(): item for item in known}
        near = [folded[item] for item in difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)]
    return f" Did you mean {near[0]!r}?" if near else ""


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that occur in a type annotation, at any depth of its containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> str:
    """Return one line per problem: where, what was given, what was expected, the nearest valid key."""
    lines: dict[str, None] = {}
    for problem in error.errors(include_url=False):
        lines[_explain_one(problem, model, data)] = None
    if len(lines) == 1:
        return next(iter(lines))
    return "\n".join(f"  - {line}" for line in [*lines][:20]).join([f"{len(lines)} problems:\n", ""])


def _explain_one(problem: Any, model: type[BaseModel], data: Any) -> str:
    location = tuple(problem["loc"])
    where = _readable_path(location, model, data)
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        owners = _models_at(model, location[:-1])
        known = sorted({field for owner in owners for field in owner.model_fields})
        key = str(location[-1])
        return f"{where}: unknown key {key!r}.{did_you_mean(key, known)} Known keys: {', '.join(known)}."
    if kind == "missing":
        return f"{where}: this key is required and was not given."
    text = str(problem["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        return f"{where}: {text}" if where else text
    return f"{where}: {text}, not {_short(given)}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _readable_path(location: Sequence[Any], model: type[BaseModel], data: Any) -> str:
    """Return ``channels[SR].observables[2].binning`` for a location; names where items have them."""
    parts: list[str] = []
    owners: list[type[BaseModel]] = [model]
    for step in location:
        if isinstance(step, int):
            item = data[step] if isinstance(data, Sequence) and step < len(data) else None
            name = item.get("name") if isinstance(item, Mapping) else getattr(item, "name", None)
            parts.append(f"[{name if isinstance(name, str) else step}]")
            data = item
            continue
        known = {field for owner in owners for field in owner.model_fields}
        is_key = isinstance(data, Mapping) and step in data
        if step not in known and not is_key and step is not location[-1]:
            continue  # the tag of a union member: noise to a reader
        if step not in known and not is_key and ("[" in str(step) or str(step) in {"float", "int", "str"}):
            continue
        parts.append(f".{step}" if parts else str(step))
        data = data.get(step) if isinstance(data, Mapping) else getattr(data, str(step), None)
        annotations = [owner.model_fields[step].annotation for owner in owners if step in owner.model_fields]
        owners = [found for annotation in annotations for found in models_in(annotation)] or owners
    return "".join(parts)


def _models_at(model: type[BaseModel], location: Sequence[Any]) -> list[type[BaseModel]]:
    owners = [model]
    for step in location:
        found = [
            inner
            for owner in owners
            if isinstance(step, str) and step in owner.model_fields
            for inner in models_in(owner.model_fields[step].annotation)
        ]
        owners = found or owners
    return owners
