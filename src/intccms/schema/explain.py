"""Turns validation errors into messages with the path to the field, the value and the remedy.

It reads what Pydantic reports and does not validate anything itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from intccms.schema.secrets import masked, masked_text

__all__ = ["did_you_mean", "explain", "item_name", "models_in", "near_year"]

_MOST_PROBLEMS = 20
"""Problems shown at once; the rest are counted."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of the known names, or an empty text."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        folded = {item.lower(): item for item in known}
        near = [folded[item] for item in difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)]
    return f" Did you mean {near[0]!r}?" if near else ""


def near_year(year: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for a year that is written almost as a known one.

    Another year of four digits is simply another year: 2017 is near 2018, and not meant by it.
    """
    known = list(known)
    if re.fullmatch(r"\d{4}", year) and sorted(year) not in [sorted(one) for one in known]:
        known = [one for one in known if not re.fullmatch(r"\d{4}", one)]
    return did_you_mean(year, known)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that occur in a type annotation, at any depth of its containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def item_name(item: Any) -> str | None:
    """Return what an item of a list is called in paths: its name, its first name, or its collection."""
    for key in ("name", "names", "collection"):
        value = item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if isinstance(value, str):
            return value
    return None


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> str:
    """Return one line per problem: where, what was given, what was expected, the nearest valid key.

    Of a field that may be one of several types, only the types that what was given resembles are mentioned.

    Parameters
    ----------
    error
        What Pydantic reports.
    model
        The model that was validated.
    data
        What was given for it.
    """
    problems = [_locate(found, model, data) for found in error.errors(include_url=False)]
    by_path: dict[str, list[_Problem]] = {}
    for problem in _without_unlikely_types(problems):
        by_path.setdefault(problem.path, []).append(problem)
    lines = [line for group in by_path.values() for line in _explain_group(group)]
    if len(lines) == 1:
        return lines[0]
    more = [f"  - and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    shown = [f"  - {line}" for line in lines[:_MOST_PROBLEMS]]
    return "\n".join([f"{len(lines)} problems:", *shown, *more])


@dataclass(frozen=True)
class _Problem:
    """One problem that Pydantic reports, with its place."""

    path: str
    """Readable path, such as ``channels[SR].observables[mtt].binning``."""
    kind: str
    text: str
    given: Any
    limits: Mapping[str, Any]
    key: str
    """Last part of the path."""
    owners: tuple[type[BaseModel], ...]
    """Models that the last part of the path is a field of."""
    inner: tuple[type[BaseModel], ...]
    """Models that may stand at the path."""
    union: str | None = None
    """Path of the field of several types within which this is, None if there is none."""
    member: str | None = None
    """Which of these types."""

    @property
    def is_of_the_whole(self) -> bool:
        """Whether the value is not even of the kind of this type, so that another one was meant."""
        whole = self.path == self.union
        return whole and self.kind.endswith(("_type", "_parsing", "is_instance_of"))


def _locate(found: Any, model: type[BaseModel], data: Any) -> _Problem:
    """Walk along a location with the data and the models, to tell fields and keys from types of unions."""
    path, key, union, member = "", "", None, None
    owners: tuple[type[BaseModel], ...] = ()
    inner: tuple[type[BaseModel], ...] = (model,)
    for position, step in enumerate(found["loc"], start=1):
        annotations = [one.model_fields[step].annotation for one in inner if step in one.model_fields]
        if isinstance(data, Mapping) and step in data:
            data = data[step]
        elif isinstance(step, int):
            # a single value that was made a list of one has no index that the user would know
            if isinstance(data, list | tuple) and step < len(data):
                data = data[step]
                path += f"[{item_name(data) or step}]"
            continue
        elif annotations:
            data = getattr(data, step, None)
        else:
            union, member = (path, step) if union is None else (union, member)
            continue
        key = str(step)
        path += f".{key}" if path else key
        if not annotations and position < len(found["loc"]):
            continue  # a key that users choose, such as a year: what stands below it is the same
        owners, inner = inner, tuple(one for annotation in annotations for one in models_in(annotation))
    context = found.get("ctx") or {}
    return _Problem(
        path, found["type"], found["msg"], found.get("input"), context, key, owners, inner, union, member
    )


def _without_unlikely_types(problems: Sequence[_Problem]) -> list[_Problem]:
    """Leave out the complaints of those types of a union that the value does not even resemble."""
    misfits = {(one.union, one.member) for one in problems if one.union is not None and one.is_of_the_whole}
    fits = {one.union for one in problems if one.union is not None and (one.union, one.member) not in misfits}
    return [one for one in problems if one.union not in fits or (one.union, one.member) not in misfits]


def _explain_group(problems: Sequence[_Problem]) -> list[str]:
    """Return the lines for one path; the types that would do are put into one line."""
    wanted = dict.fromkeys(text for one in problems if (text := _should_be(one)))
    others = dict.fromkeys(_explain_one(one) for one in problems if not _should_be(one))
    if not wanted:
        return list(others)
    first = problems[0]
    where = f"{first.path}: " if first.path else ""
    near = _nearest_choice(first)
    line = f"{where}should be {' or '.join(wanted)}, not {_short(first)}.{near}{_help(first)}"
    return [line, *others]


def _should_be(problem: _Problem) -> str:
    """Return what was expected, where that is a plain statement."""
    if problem.kind in {"model_type", "model_attributes_type"}:
        keys = dict.fromkeys(name for one in problem.inner for name in one.model_fields)
        return f"a dictionary with the keys {', '.join(keys)}"
    if problem.kind == "path_type":
        return "a path"
    if problem.kind in {"too_short", "too_long"}:
        least, most = problem.limits.get("min_length"), problem.limits.get("max_length")
        count = f"at least {least}" if problem.kind == "too_short" else f"at most {most}"
        return f"a list of {count} item{'' if count.endswith(' 1') else 's'}"
    text = re.sub(r", (unable to|got a number).*", "", problem.text)
    start = re.match(r"(Input|String|List|Tuple) should (be )?", text)
    if problem.kind == "value_error" or start is None:
        return ""
    rest = text[start.end() :].replace("match pattern", "matches the pattern")
    rest = re.sub(r"\ba valid (\w)", lambda found: ("an " if found[1] in "aeiou" else "a ") + found[1], rest)
    return rest if start[2] else f"text that {rest}"


def _explain_one(problem: _Problem) -> str:
    if problem.kind in {"extra_forbidden", "no_such_attribute"}:
        path, _, key = problem.path.rpartition(".")
        known = sorted({field for owner in problem.owners for field in owner.model_fields})
        near = did_you_mean(key, known)
        return (
            f"{path + '.' if path else ''}{key}: unknown key {key!r}.{near} Known keys: {', '.join(known)}."
        )
    where = f"{problem.path}: " if problem.path else ""
    if problem.kind == "missing":
        return f"{where}this key is required and was not given.{_help(problem)}"
    text = problem.text.removeprefix("Value error, ")
    return f"{where}{text}" if problem.kind == "value_error" else f"{where}{text}, not {_short(problem)}."


def _nearest_choice(problem: _Problem) -> str:
    if problem.kind != "literal_error" or not isinstance(problem.given, str):
        return ""
    return did_you_mean(problem.given, re.findall(r"'([^']*)'", str(problem.limits.get("expected", ""))))


def _help(problem: _Problem) -> str:
    """Return the first sentence of the field's help, which carries the unit."""
    for owner in problem.owners:
        field = owner.model_fields.get(problem.key)
        if field is not None and field.description:
            sentence = re.split(r"(?<=[.;])\s", " ".join(field.description.split()), maxsplit=1)[0]
            return f" ({sentence.rstrip('.;')}.)"
    return ""


def _short(problem: _Problem) -> str:
    """Return what was given, shortened and without credentials."""
    given = problem.given
    text = masked_text(repr(masked(given, problem.key) if isinstance(given, str) else given))
    return text if len(text) <= 80 else text[:77] + "..."
