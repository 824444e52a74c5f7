"""Checks of corrections against their payloads, before any event is read.

Values of columns are not known here: whether they lie in the range of a payload shows when they are evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from intccms.errors import PayloadError
from intccms.schema.base import ObjVar, Payload, Sys, WorkerEval
from intccms.schema.explain import did_you_mean
from intccms.systematics.payload_arrays import Input, listing
from intccms.systematics.payload_refusals import known_keys
from intccms.systematics.payloads import open_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from intccms.schema.corrections import Correction, UncertaintySource

__all__ = ["Inputs", "check_correction", "missing_files"]

_MOST_SOURCES = 3
_FIELDS = ("eta", "phi", "pt", "mass")


class Inputs(Protocol):
    """What a correction of a payload takes, as an `Evaluator` and a `Described` tell."""

    file: str
    key: str
    inputs: tuple[Input, ...]

    def choices(self, name: str) -> tuple[str | int, ...] | None:
        """Return the keys that an input may have, None if that cannot be told."""
        ...

    def limits(self, name: str) -> tuple[float, float] | None:
        """Return the range of an input, None if there is none."""
        ...


def missing_files(payloads: Iterable[Payload]) -> list[str]:
    """Return the files of payloads that are not there, each once, in the order given."""
    return [file for file in dict.fromkeys(one.file for one in payloads) if not _is_there(file)]


def _is_there(file: str) -> bool:
    try:
        Path(file).stat()
    except OSError:  # a mount that hangs or is gone gives more than FileNotFoundError
        return False
    return True


def check_correction(
    correction: Correction, where: str, opened: Callable[[Payload], Inputs] = open_payload
) -> list[str]:
    """Return what would certainly fail, or be wrong, when the payloads of a correction are evaluated.

    Parameters
    ----------
    correction
        A correction of any type; those without payload have no problems here.
    where
        In which list it stands, such as ``corrections of 2017``.
    opened
        Opens payloads, as they are evaluated or (`Documents`) only described.

    Returns
    -------
    list of str
        One sentence or more per problem, naming `where`, correction and sources; a problem that several sources share
        stands once. Looked at are: files and keys; number, order and type of the arguments; systematic keys and
        constants, as far as the payload tells which it takes.
    """
    found: dict[str, list[str]] = {}
    for subject, problem in _problems(correction, opened):
        subjects = found.setdefault(problem, [])
        if subject not in subjects:
            subjects.append(subject)
    prefix = f"{where}, correction {correction.name!r}"
    return [f"{prefix}{_subjects(subjects)}: {problem}" for problem, subjects in found.items()]


def _subjects(subjects: Sequence[str]) -> str:
    sources = [one for one in subjects if one]
    if not sources:
        return ""
    shown = ", ".join(map(repr, sources[:_MOST_SOURCES]))
    more = f" and {len(sources) - _MOST_SOURCES} more" if len(sources) > _MOST_SOURCES else ""
    nominal = " nominal value and" if len(sources) < len(subjects) else ""
    return f",{nominal} source{'s' if len(sources) > 1 else ''} {shown}{more}"


@dataclass(frozen=True)
class _Use:
    """What a payload is called with, for the nominal value or a source."""

    subject: str
    """Name of the source; empty for the nominal value."""
    payload: Payload
    args: Sequence[Any]
    keys: Sequence[Any]
    """What stands in the place of SYS, one after the other."""
    transformed: bool
    """Whether a `transform_in` stands between the arguments and the payload."""


def _problems(correction: Correction, opened: Callable[[Payload], Inputs]) -> Iterator[tuple[str, str]]:
    """Yield problems with the name of the source that has them."""
    for use in _uses(correction):
        try:
            evaluator = opened(use.payload)
            problems = list(_misfits(evaluator, use))
        except PayloadError as exc:
            problems = [str(exc)]
        yield from ((use.subject, problem) for problem in problems)
    for subject, payload in _payloads_among_arguments(correction):
        try:
            opened(payload)
        except PayloadError as exc:
            yield subject, str(exc)


def _uses(correction: Correction) -> Iterator[_Use]:
    if correction.uses_payload and correction.file and correction.key:
        nominal = Payload(correction.file, correction.key)
        transformed = correction.transform_in is not None
        yield _Use("", nominal, correction.args, [correction.nominal_idx], transformed)
    for source in correction.uncertainty_sources:
        payload = _payload_of(correction, source)
        if payload is not None:
            keys = source.members if source.members is not None else source.up_and_down_idx or []
            transformed = (source.transform_in or correction.transform_in) is not None
            yield _Use(source.name, payload, correction.arguments_of(source), keys, transformed)


def _payload_of(correction: Correction, source: UncertaintySource) -> Payload | None:
    """Return the payload that a source evaluates, its own or that of the correction."""
    file, key = source.file or correction.file, source.key or correction.key
    own = source.file is not None or source.key is not None
    if source.up_function is not None or not (own or correction.uses_payload) or not (file and key):
        return None
    return Payload(file, key)


def _payloads_among_arguments(correction: Correction) -> Iterator[tuple[str, Payload]]:
    lists = [("", correction.args)]
    lists += [(source.name, source.args or []) for source in correction.uncertainty_sources]
    for subject, args in lists:
        yield from ((subject, item) for item in args if isinstance(item, Payload))


def _misfits(evaluator: Inputs, use: _Use) -> Iterator[str]:
    """Yield why a payload cannot be called with arguments, or with some of the systematic keys."""
    inputs = evaluator.inputs
    what = f"{evaluator.key!r} of {evaluator.file}"
    if len(use.args) != len(inputs):
        shown = ", ".join(map(str, use.args)) or "none"
        yield f"{what} takes {len(inputs)} arguments, {listing(inputs)}, but 'args' has {len(use.args)}: {shown}."
        return
    wrong = []
    for position, (item, one) in enumerate(zip(use.args, inputs, strict=True)):
        values = list(use.keys) if isinstance(item, Sys) else [item]
        kinds = dict.fromkeys(text for value in values if (text := _wrong_kind(item, value, one)))
        if kinds:
            wrong.append(f"argument {position + 1} should be {_wanted(one)}, not {' and '.join(kinds)}")
            continue
        for value in values:
            yield from _outside(evaluator, item, value, one, f"argument {position + 1} of {what}")
    if not wrong and not use.transformed:
        wrong = [*_collections(use.args, inputs), *_swapped(use.args, inputs)]
    if wrong:
        yield f"the arguments do not fit {what}: {'; '.join(wrong)}. It takes, in order: {listing(inputs)}."


def _collections(args: Sequence[Any], inputs: Sequence[Input]) -> Iterator[str]:
    """Yield whole collections in the place of numbers.

    A column without field may also be an array of numbers: those of weights and of single values are spelt otherwise.
    """
    for position, (item, one) in enumerate(zip(args, inputs, strict=True)):
        if not isinstance(item, ObjVar) or item.field is not None or item.collection == "event":
            continue
        if item.collection[:1].isupper() and not item.collection.endswith("Weight"):
            yield (
                f"argument {position + 1}, {one.name!r}, is the whole collection {item.collection}; give a field of it, "
                f"such as ObjVar({item.collection!r}, {_field_like(one.name)!r})"
            )


def _field_like(name: str) -> str:
    """Return the field of a collection that an input is named after, such as eta for ``abseta`` or ``JetEta``."""
    return next((field for field in _FIELDS if name.lower().endswith(field)), name)


def _swapped(args: Sequence[Any], inputs: Sequence[Input]) -> Iterator[str]:
    """Yield which two columns stand in each other's place, by their names.

    Payloads that clamp return a number for a pseudorapidity in the place of a momentum, so that values cannot tell.
    """
    for first, second in combinations(range(len(inputs)), 2):
        pair = (args[first], args[second])
        as_given = _named_like(pair[0], inputs[first]) or _named_like(pair[1], inputs[second])
        crossed = _named_like(pair[0], inputs[second]) and _named_like(pair[1], inputs[first])
        if crossed and not as_given:
            yield (
                f"argument {first + 1} is the column {pair[0]} where it takes {inputs[first].name!r}, and "
                f"argument {second + 1} the column {pair[1]} where it takes {inputs[second].name!r}: they are swapped"
            )


def _named_like(item: Any, one: Input) -> bool:
    """Return whether a column has the name of an input, which may begin with more: ``JetEta``, ``abseta``, ``probe_pt``."""
    return (
        isinstance(item, ObjVar) and bool(item.field) and one.name.lower().endswith(str(item.field).lower())
    )


def _wanted(one: Input) -> str:
    kinds = {"string": "a text", "int": "a whole number or a column of them", "real": "a number or a column"}
    return f"{one.name!r}, {kinds[one.kind]}"


def _wrong_kind(item: Any, value: Any, one: Input) -> str:
    """Return what stands at an input, if it is of the wrong kind."""
    if isinstance(value, WorkerEval):
        return ""  # known on the worker only
    if one.kind == "string":
        fits = isinstance(value, str)
    elif isinstance(value, bool):
        fits = False
    else:
        fits = isinstance(value, ObjVar | int | float)
        if one.kind == "int" and isinstance(value, float):
            fits = value.is_integer()
    if fits:
        return ""
    if isinstance(item, Sys):
        if value is None:
            return "SYS, as 'nominal_idx' is not given"
        return "SYS, the keys of which are texts" if isinstance(value, str) else f"SYS with the key {value!r}"
    return f"the column {value}" if isinstance(value, ObjVar) else repr(value)


def _outside(evaluator: Inputs, item: Any, value: Any, one: Input, what: str) -> Iterator[str]:
    """Yield why a payload would refuse a key or a constant at an input."""
    if not isinstance(value, str | int | float):
        return
    kind = "systematic key" if isinstance(item, Sys) else "constant"
    choices = evaluator.choices(one.name)
    if choices is not None and value not in choices:
        near = (
            did_you_mean(value, [key for key in choices if isinstance(key, str)])
            if isinstance(value, str)
            else ""
        )
        yield f"the {kind} {value!r} is unknown to {what}, {one.name!r}.{near} It has {known_keys(choices)}."
    limits = evaluator.limits(one.name)
    if limits is not None and not isinstance(value, str) and not limits[0] <= value < limits[1]:
        yield (
            f"the {kind} {value:g} is outside the range {limits[0]:.8g} <= {one.name} < {limits[1]:.8g} of {what}, "
            f"{one.name!r}."
        )
