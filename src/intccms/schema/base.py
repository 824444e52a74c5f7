"""The base of every configuration model, and the small types that the models are made of.

One strict base: unknown keys are errors that name the nearest valid key, defaults and assignments are
validated, and a field's docstring is its help. Nothing here knows of files or arrays.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from intccms.errors import ConfigError
from intccms.schema.explain import explain
from intccms.schema.secrets import masked, remembered

__all__ = [
    "SYS",
    "Arguments",
    "Count",
    "Function",
    "Functor",
    "InversePicobarn",
    "Model",
    "Name",
    "ObjVar",
    "Payload",
    "Picobarn",
    "Sys",
    "WorkerEval",
    "YearKey",
]


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        message = f"should be a number, not {value}."
        raise ValueError(message)  # noqa: TRY004 - Pydantic translates ValueError only
    return value


InversePicobarn = Annotated[
    float,
    BeforeValidator(_no_truth_value),
    Field(gt=0, allow_inf_nan=False, json_schema_extra={"unit": "pb^-1"}),
]
Picobarn = Annotated[
    float,
    BeforeValidator(_no_truth_value),
    Field(ge=0, allow_inf_nan=False, json_schema_extra={"unit": "pb"}),
]
Count = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=1)]
"""A number of things, at least one; True is none."""

YearKey = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
"""A data-taking era: ``2016preVFP``, ``2017``, ...; a number is taken as its text."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
"""A name that may stand in paths and in names of histograms."""

_validation_depth: ContextVar[int] = ContextVar("intccms_validation_depth", default=0)


class Model(BaseModel):
    """Base of all configuration models: strict, validated on assignment, documented by its attributes.

    Raises
    ------
    ConfigError
        On construction and on assignment, naming the path to the field, the value and the remedy.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        validate_assignment=True,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )

    def __init__(self, /, **data: Any) -> None:
        try:
            with self._translated_errors(data):
                super().__init__(**data)
        except ConfigError as exc:
            _forget_pydantic(exc)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign a field after validating it; see the class. After an error the model is as it was."""
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        before, known = dict(self.__dict__), set(self.model_fields_set)
        try:
            with self._translated_errors({**before, name: value}):
                super().__setattr__(name, value)
        except (ConfigError, ValidationError) as exc:
            _forget_pydantic(exc)
            # Pydantic assigns first where a validator sees the whole model
            object.__setattr__(self, "__dict__", before)
            object.__setattr__(self, "__pydantic_fields_set__", known)
            raise

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Give the fields for a display, without what looks like a credential."""
        for name, value in super().__repr_args__():
            yield name, masked(value, name or "") if isinstance(value, Mapping) else value

    @classmethod
    @contextmanager
    def _translated_errors(cls, data: Mapping[str, Any]) -> Iterator[None]:
        # Nested models are built inside the outermost one's validation: only that one translates the
        # error, so that the whole path is known.
        depth = _validation_depth.get()
        token = _validation_depth.set(depth + 1)
        try:
            yield
        except ValidationError as exc:
            if depth:
                raise
            raise ConfigError(explain(exc, cls, data)) from None
        finally:
            _validation_depth.reset(token)


def _forget_pydantic(error: BaseException) -> None:
    """Let go of the error of Pydantic behind ours: it quotes what was given, which may hold credentials."""
    if isinstance(error.__context__, ValidationError):
        error.__context__ = None


class ObjVar(NamedTuple):
    """Name a column that a functor uses.

    ``ObjVar("Muon", "pt")`` is the branch ``Muon_pt``; ``ObjVar("Muon")`` the whole collection;
    ``ObjVar("event", "genWeight")`` an event-level branch. A plain tuple serves as well.
    """

    collection: str
    """NanoAOD collection (``Muon``, ``MET``, ``HLT``, ...), a ghost collection, or ``event``."""
    field: str | None = None
    """Field of the collection; None for the whole collection."""

    def __str__(self) -> str:
        """Return the name as NanoAOD spells the branch, ``Muon_*`` for a whole collection."""
        if self.collection == "event":
            return self.field or "event"
        return f"{self.collection}_{self.field or '*'}"


@dataclass(frozen=True)
class Sys:
    """Stands in the arguments of a correction for the systematic key: the nominal one, or that of a variation."""

    def __repr__(self) -> str:
        """Return the name under which it is imported."""
        return "SYS"


SYS = Sys()
"""The systematic key among the arguments of a correction."""


@dataclass(frozen=True)
class Payload:
    """A correction of a correctionlib file, as an argument of a Python function.

    The function receives what `intccms.systematics.payloads.open_payload` returns; each worker opens a file once.
    """

    file: str
    """Path of the ``.json`` or ``.json.gz`` file."""
    key: str
    """Name of the correction, simple or compound, in the file."""


class WorkerEval:
    """A value that is computed on the worker, at the moment of use (a credential, a local path).

    The value itself is never stored: neither the configuration dump nor a pickle nor a digest holds it. Texts that were
    computed are hidden in logs, errors and reports.

    Parameters
    ----------
    function
        Called without arguments on the worker; must be picklable.
    """

    __digest_exclude__ = True

    def __init__(self, function: Any) -> None:
        if not callable(function):
            message = (
                f"WorkerEval takes a callable, not {type(function).__name__}. Wrap the value: lambda: ..."
            )
            raise ConfigError(message)
        self.function: Callable[[], Any] = function

    def __call__(self) -> Any:
        """Compute the value, here and now."""
        return remembered(self.function())

    def __repr__(self) -> str:
        """Show that there is a value, never which."""
        return "WorkerEval(...)"


def function_name(function: Any) -> str:
    """Return ``module:qualified name`` of a function, or the repr of an exotic callable."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}:{name}" if module and name else repr(function)


def _import_function(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    module_name, _, name = value.partition(":")
    if not name:
        message = f"a function given as text must read 'module:name', not {value!r}"
        raise ValueError(message)
    try:
        target: Any = importlib.import_module(module_name)
        for part in name.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as exc:
        message = f"cannot import {value!r}: {exc}"
        raise ValueError(message) from exc
    return target


Function = Annotated[
    Callable[..., Any],
    BeforeValidator(_import_function),
    PlainSerializer(function_name, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "description": "a Python function; as text: 'module:name'"}),
]


def _plain(value: Any) -> Any:
    """Return a JSON-able picture of a static argument (WorkerEval values stay hidden)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return function_name(value) if inspect.isroutine(value) else repr(value)


def _argument(value: Any) -> Any:
    """Return an argument of a correction as an object, also from the form that it has in JSON."""
    if isinstance(value, ObjVar | Sys | Payload):
        return value
    if value is Sys:
        return SYS
    if value == repr(SYS):
        message = "'SYS' is a text here: write SYS without quotes, and import it: from intccms import SYS"
        raise ValueError(message)
    if isinstance(value, Mapping):
        if dict(value) == {"sys": True}:
            return SYS
        if set(value) == {"file", "key"}:
            return Payload(str(value["file"]), str(value["key"]))
    if isinstance(value, tuple | list):
        return _as_objvar(value)
    if value is None or isinstance(value, bool | int | float | str | WorkerEval):
        return value
    message = f"expected ObjVar(collection, field), SYS, a number, a text, Payload(file, key) or WorkerEval, not {value!r}"
    raise ValueError(message)


def _plain_argument(value: Any) -> Any:
    if isinstance(value, Sys):
        return {"sys": True}
    if isinstance(value, Payload):
        return {"file": value.file, "key": value.key}
    return _plain(value)


Arguments = Annotated[
    list[Any],
    BeforeValidator(
        lambda value: (
            [_argument(item) for item in value]
            if isinstance(value, list | tuple) and not isinstance(value, ObjVar)
            else value
        )
    ),
    PlainSerializer(lambda value: [_plain_argument(item) for item in value], when_used="json"),
    WithJsonSchema({"type": "array"}),
]
"""What a correction is called with, in order: columns (`ObjVar`), the systematic key (`SYS`) and constants."""

StaticArguments = Annotated[
    dict[str, Any],
    PlainSerializer(_plain, when_used="json"),
    WithJsonSchema({"type": "object"}),
]


class Functor(Model):
    """A function of columns: ``function(*columns named by use, **static_kwargs)``.

    The columns it uses are declared, so that the list of branches to read follows from the configuration.
    """

    function: Function
    """Called with one array per entry of `use`, in that order, and `static_kwargs` by name."""
    use: list[ObjVar] = []
    """The columns: ``ObjVar(collection, field)`` or plain tuples; field None is the whole collection."""
    static_kwargs: StaticArguments = {}
    """Constants by keyword. A WorkerEval among them is resolved on the worker."""

    @field_validator("use", mode="before")
    @classmethod
    def _accept_tuples(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and not isinstance(value, ObjVar):
            return [_as_objvar(item) for item in value]
        return value

    @model_validator(mode="after")
    def _signature_fits(self) -> Functor:
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return self  # builtins and NumPy ufuncs do not tell
        try:
            signature.bind(*self.use, **self.static_kwargs)
        except TypeError as exc:
            columns = ", ".join(str(item) for item in self.use) or "no columns"
            message = (
                f"{function_name(self.function)}{signature} cannot be called with the columns ({columns}) and the "
                f"constants {sorted(self.static_kwargs)}: {exc}. One positional argument per entry of 'use' is "
                "passed, and 'static_kwargs' by name."
            )
            raise ValueError(message) from None
        return self


def _as_objvar(item: Any) -> Any:
    if (
        isinstance(item, tuple | list)
        and 1 <= len(item) <= 2
        and all(isinstance(x, str | None) for x in item)
    ):
        collection, field = (*item, None)[:2]
        if collection == "event" and field and "_" in field:
            return ObjVar(*field.split("_", 1))  # the schema of NanoEvents files HLT_X under HLT
        return ObjVar(collection, field)
    message = f"expected ObjVar(collection, field) or a tuple ('Muon', 'pt') or ('Muon', None), not {item!r}"
    raise ValueError(message)
