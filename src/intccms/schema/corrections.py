"""Scale factors and calibrations, each with one nominal and any number of uncertainty sources.

What a payload holds, and whether arguments fit it, is looked at when a run starts; nothing is opened here.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from intccms.schema.base import (
    Arguments,
    Function,
    Model,
    Name,
    ObjVar,
    Payload,
    Sys,
    function_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Correction", "UncertaintySource"]


class UncertaintySource(Model):
    """One nuisance: two variations, ``{name}_up`` and ``{name}_down``, of the correction that it belongs to."""

    name: Name
    """Name of the nuisance. One that ends in ``_{year}`` is of that year alone; another one is the same in all years."""
    up_and_down_idx: Annotated[list[Any], Field(min_length=2, max_length=2)] | None = None
    """Systematic keys of up and down, in the place of SYS; factors, if the correction is a normalisation."""
    members: Annotated[list[Any], Field(min_length=1)] | None = None
    """Systematic keys of the members of a set (scales, PDF eigenvectors), each of which is filled as
    ``{name}_{position}``; `combine` makes up and down of them, bin by bin."""
    combine: Annotated[
        Literal["envelope", "hessian", "replicas"], Field(json_schema_extra={"digest": False})
    ] = "envelope"
    """``envelope``: highest and lowest member; ``hessian``: nominal plus and minus the quadrature sum of the members'
    differences from it; ``replicas``: plus and minus their standard deviation about nominal."""
    weight_sums: str | None = Field(default=None, json_schema_extra={"digest": False})
    """Branch of weights (``LHEScaleWeight``) whose sums over generated events normalise the variations; their keys are
    positions in it. Those of ``LHEScaleWeight`` are of its nine members, also where a sample leaves the nominal one out."""
    args: Arguments | None = None
    """Arguments of its own; default: those of the correction."""
    file: str | None = None
    """Payload of its own; default: that of the correction."""
    key: str | None = None
    """Correction in the payload, if it is not that of the nominal value (JES sources have one each)."""
    is_delta: bool = False
    """The result is a shift relative to the nominal result, evaluated after it was applied: up is 1 + shift, down
    1 - shift of it (for add and subtract: plus and minus the shift)."""
    up_function: Function | None = None
    """Called in place of the correction's payload or function for the variation up."""
    down_function: Function | None = None
    """The same for the variation down; without it, `up_function` serves both (with is_delta, or SYS in `args`)."""
    transform_in: Function | None = None
    """In place of the correction's `transform_in`, which serves where the source has no `args`, payload or function of
    its own."""
    transform_out: Function | None = None
    """The same for the result."""
    varies_with: str | None = None
    """Name of the source, of another correction, with which this one is one nuisance: its key is taken in the
    variations of that source, and there are no histograms under its own name. A source of an object correction leads
    any other; one of a weight leads those of weights."""

    @model_validator(mode="after")
    def _is_complete(self) -> UncertaintySource:
        if self.members is not None and (
            self.up_and_down_idx is not None or self.varies_with or self.is_delta
        ):
            message = "'members' stand alone: without 'up_and_down_idx', 'is_delta' and 'varies_with'"
            raise ValueError(message)
        if self.members is None and "combine" in self.model_fields_set and self.combine != "envelope":
            message = "'combine' needs 'members'"
            raise ValueError(message)
        if self.down_function is not None and self.up_function is None:
            message = "'down_function' needs an 'up_function'"
            raise ValueError(message)
        if self.up_function is not None and self.key is not None:
            message = "give 'up_function' or 'key', not both: a function takes the place of a payload"
            raise ValueError(message)
        if self.weight_sums is not None and any(
            not isinstance(key, int) or isinstance(key, bool) or key < 0
            for key in self.members or self.up_and_down_idx or ["none"]
        ):
            message = "'weight_sums' needs positions in that branch as 'up_and_down_idx' or 'members', such as [8, 0]"
            raise ValueError(message)
        return self

    def variations(self) -> list[tuple[str, Any]]:
        """Return the variations that are filled, with their systematic keys; with `members` one for each."""
        if self.members is not None:
            return [(f"{self.name}_{index}", key) for index, key in enumerate(self.members)]
        up, down = self.up_and_down_idx or (None, None)
        return [(f"{self.name}_up", up), (f"{self.name}_down", down)]


def _one_or_several(value: Any) -> Any:
    single = isinstance(value, ObjVar) or (
        isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    )
    return [value] if single else value


class Correction(Model):
    """A scale factor (``event``), a calibration (``object``) or an uncertainty of the yield (``normalisation``)."""

    name: Name
    """Name of the correction, for the plan and for messages."""
    type: Literal["event", "object", "normalisation"]
    """``event``: multiplies the weight of events. ``object``: changes `target`, one step of a chain in the order of the
    list. ``normalisation``: factors on whole datasets; reads no event."""
    file: str | None = None
    """correctionlib payload, ``.json`` or ``.json.gz``; a worker opens it once."""
    key: str | None = None
    """Name of the correction in the payload, simple or compound."""
    use_correctionlib: bool | None = None
    """Default: whether a `file` is given."""
    nominal_function: Function | None = None
    """Called with `args` in place of a payload. Without both, the nominal value changes nothing."""
    args: Arguments = []
    """What payload or function receive, in order: columns, SYS, constants, payloads."""
    op: Literal["mult", "add", "subtract", "replace"] = "mult"
    """How the result changes weight or target."""
    transform_in: Function | None = None
    """Called with the columns in `args`, before they are used; returns as many arrays (one, or a tuple)."""
    transform_out: Function | None = None
    """Called with the result, before `reduce`."""
    reduce: Literal["prod", "sum"] | None = None
    """Makes one number per event of one per object; an event without objects gets 1 or 0."""
    nominal_idx: Any = None
    """Systematic key of the nominal value, in the place of SYS."""
    target: Annotated[list[ObjVar] | None, BeforeValidator(_one_or_several)] = None
    """What an object correction changes: a field, or several fields of one collection."""
    applies_to: list[str] = Field(default=["simulation"], json_schema_extra={"digest": False})
    """Processes or datasets by name, ``simulation``, ``data``. Data have nominal values only."""
    ignore_missing: bool = False
    """True: where a file lacks a column that is used, the correction and its sources change nothing; sources of other
    corrections that vary with them still do."""
    uncertainty_sources: list[UncertaintySource] = []
    """Its nuisances; none twice."""

    @field_validator("args", mode="after")
    @classmethod
    def _one_key(cls, value: list[Any]) -> list[Any]:
        if sum(isinstance(item, Sys) for item in value) > 1:
            message = "SYS may stand once among the arguments"
            raise ValueError(message)
        return value

    @field_validator("target", mode="before")
    @classmethod
    def _accept_tuples(cls, value: Any) -> Any:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                raise ValueError(_not_a_text(item))  # noqa: TRY004 - Pydantic translates ValueError only
        if isinstance(value, list):
            return [ObjVar(*item) if isinstance(item, tuple | list) else item for item in value]
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Correction:
        for problem in (
            *self._problems_of_kind(),
            *self._problems_of_value(),
            *self._problems_of_sources(),
        ):
            raise ValueError(problem)
        return self

    def _problems_of_kind(self) -> Iterator[str]:
        if self.type == "object":
            if not self.target:
                yield "an object correction needs a 'target', such as ObjVar('Jet', 'pt')"
            elif any(one.field is None for one in self.target):
                yield "a 'target' is a field, such as ObjVar('Jet', 'pt'), not a whole collection"
            elif len({one.collection for one in self.target}) > 1:
                yield f"the targets {[str(one) for one in self.target]} must be fields of one collection"
            if self.reduce is not None:
                yield "'reduce' is for event corrections: an object correction has one result per object"
            if any(source.members is not None for source in self.uncertainty_sources):
                yield "'members' are for weights: give object corrections sources with up and down"
            return
        if self.target:
            yield f"a correction of type {self.type!r} changes weights, and has no 'target'; use type 'object'"
        if self.op == "replace":
            yield "'replace' is for object corrections; a weight is multiplied, or added to"
        for column in self.columns():
            if (column.field or "").endswith("_as_read"):
                yield (
                    f"{column} is offered to object corrections only: weights see events after all of them; use "
                    f"{str(column).removesuffix('_as_read')}"
                )

    def _problems_of_value(self) -> Iterator[str]:
        if self.type == "normalisation":
            given = [name for name in ("file", "nominal_function", "args") if getattr(self, name)]
            if given:
                yield f"a normalisation is one number per source, in 'up_and_down_idx', without {', '.join(given)}"
            return
        if self.uses_payload and self.file is None and self.key is None:
            yield "use_correctionlib needs 'file' and 'key': the payload, and the correction in it"
        if self.uses_payload and self.nominal_function is not None:
            yield (
                "give 'file' and 'key', or 'nominal_function', not both; a function takes a payload as Payload(file, key) "
                "among its 'args'"
            )
        yield from self._problems_of_payload()
        if self.nominal_function is not None:
            yield from _misfit(self.nominal_function, self.args, f"nominal_function of {self.name}")

    def _problems_of_payload(self) -> Iterator[str]:
        """Yield why `file` and `key` would not be read: half of a payload, or functions in its place."""
        sources = self.uncertainty_sources
        alone = self.uses_payload or not any(one.file for one in sources)
        if self.file is None and self.key is not None and alone:
            yield f"'key' is given without 'file': give the payload that holds {self.key!r} with 'file', or remove 'key'"
        if self.uses_payload and self.key is None:
            yield _without_key(self.file)
        if self.file is None or self.uses_payload or any(one.key is not None for one in sources):
            return
        if self.key is not None:
            yield (
                "'file' and 'key' would not be read with use_correctionlib=False: remove these two, or use_correctionlib"
            )
        functions = [one.up_function is not None for one in sources]
        if self.nominal_function is not None or (functions and all(functions)):
            nominal = (
                ""
                if self.nominal_function
                else ", or name the correction of the nominal value in it with 'key'"
            )
            yield f"'file' is read by nothing, for functions take its place ({self.file}): remove 'file'{nominal}"
        yield _without_key(self.file)

    def _problems_of_sources(self) -> Iterator[str]:
        names = [source.name for source in self.uncertainty_sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"the sources {twice} stand twice in correction {self.name!r}: a source is one nuisance, with one name"
        for source in self.uncertainty_sources:
            yield from self._problems_of(source)

    def _problems_of(self, source: UncertaintySource) -> Iterator[str]:
        where = f"source {source.name!r} of correction {self.name!r}"
        if self.type == "normalisation":
            factors = source.up_and_down_idx or []
            if len(factors) != 2 or not all(isinstance(x, int | float) and 0 < x < 2 for x in factors):
                yield (
                    f"{where}: a normalisation needs 'up_and_down_idx' with two factors, such as [1.025, 0.975], above 0 "
                    f"and below 2, not {factors}"
                )
            if factors[0] == factors[1]:
                yield f"{where}: up and down are the same factor, {factors[0]}; give two, such as [1.025, 0.975]"
            return
        yield from self._problems_of_keys(source, where)
        if source.up_function is None and not self._has_value(source):
            yield from self._problems_of_half(source, where)
            yield f"{where} has neither a function nor a payload, and the correction has none either"

    def _problems_of_half(self, source: UncertaintySource, where: str) -> Iterator[str]:
        if source.key is not None:
            yield f"{where}: 'key' is given without 'file': give the payload that holds {source.key!r} with 'file'"
        if source.file is not None and self.key is None:
            yield f"{where}: {_without_key(source.file)}"

    def _problems_of_keys(self, source: UncertaintySource, where: str) -> Iterator[str]:
        """Yield how systematic keys, SYS and functions of a source do not fit each other."""
        args = self.args if source.args is None else source.args
        for function in (source.up_function, source.down_function):
            if function is not None:
                yield from _misfit(function, args, where)
        keyed = any(isinstance(item, Sys) for item in args)
        keys = source.up_and_down_idx is not None or source.members is not None
        if keys and not keyed:
            yield f"{where} has systematic keys, but its arguments hold no SYS to put them at"
        if keys and _is_one_variation(source):
            yield (
                f"{where}: up and down are the same, {source.up_and_down_idx}, so that it would vary nothing; give two keys, or "
                "one and 'nominal_idx' for one that goes one way only"
            )
        if keyed and not keys:
            yield f"{where}: its arguments hold SYS, so it needs 'up_and_down_idx'"
        if not keyed and not source.is_delta and source.down_function is None:
            yield (
                f"{where} says nowhere how up differs from down: give 'up_and_down_idx' and SYS among the arguments, "
                "'up_function' and 'down_function', or is_delta=True"
            )

    def _has_value(self, source: UncertaintySource) -> bool:
        own = source.key is not None or source.file is not None
        own = own and bool(source.key or self.key) and bool(source.file or self.file)
        return own or self.uses_payload or self.nominal_function is not None

    @property
    def uses_payload(self) -> bool:
        """Whether the nominal value comes from a payload."""
        if self.use_correctionlib is None:
            return self.file is not None and self.key is not None
        return self.use_correctionlib

    @property
    def targets_collection(self) -> str:
        """Collection of the targets; empty if there are none."""
        return self.target[0].collection if self.target else ""

    @property
    def targets_fields(self) -> list[str]:
        """Fields of the targets."""
        return [str(one.field) for one in self.target or []]

    def arguments_of(self, source: UncertaintySource | None) -> list[Any]:
        """Return the arguments of a source, or those of the nominal value."""
        return self.args if source is None or source.args is None else source.args

    def columns(self) -> list[ObjVar]:
        """Return every column that nominal value, sources and targets use, each once."""
        lists = [self.args, *(source.args or [] for source in self.uncertainty_sources)]
        used = [item for one in lists for item in one if isinstance(item, ObjVar)]
        return list(dict.fromkeys([*(self.target or []), *used]))

    def payloads(self) -> list[Payload]:
        """Return every payload that it reads, each once."""
        found = [Payload(self.file, self.key)] if self.uses_payload and self.file and self.key else []
        for source in self.uncertainty_sources:
            file, key = source.file or self.file, source.key or self.key
            if (source.key or source.file) and file and key and source.up_function is None:
                found.append(Payload(file, key))
        lists = [self.args, *(source.args or [] for source in self.uncertainty_sources)]
        found += [item for one in lists for item in one if isinstance(item, Payload)]
        return list(dict.fromkeys(found))


def _not_a_text(branch: str) -> str:
    collection, _, name = branch.partition("_")
    return f"{branch!r} is a text; a target is a column, such as ObjVar({collection!r}, {name or 'pt'!r})"


def _without_key(file: str | None) -> str:
    return (
        f"'file' is given without 'key': name the correction in {file} with 'key' (after one that it does not hold, a run "
        "and 'intccms config validate' list those that it holds)"
    )


def _is_one_variation(source: UncertaintySource) -> bool:
    """Tell whether up and down of a source are the same evaluation."""
    up, down = source.up_and_down_idx or (0, 1)
    told_otherwise = source.is_delta or source.down_function is not None
    return not told_otherwise and isinstance(up, str | int | float) and type(up) is type(down) and up == down


def _misfit(function: Any, args: Sequence[Any], where: str) -> Iterator[str]:
    """Yield what is wrong if a function cannot be called with arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # builtins and NumPy ufuncs do not tell
    try:
        signature.bind(*args)
    except TypeError as exc:
        shown = ", ".join(map(str, args)) or "no arguments"
        yield f"{where}: {function_name(function)}{signature} cannot be called with 'args' ({shown}): {exc}"
