"""The form of every kind of value that a configuration may hold, and the rules in the order they are tried."""

from __future__ import annotations

import copyreg
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import logging
import pickle
import re
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    EllipsisType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    NotImplementedType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
from pydantic import BaseModel

from intccms.schema.digest import classes, functions
from intccms.schema.digest.arrays import describe_array, describe_axis, describe_ufunc, is_axis
from intccms.schema.digest.forms import Form, Part, UndigestibleError, leaf, sequence
from intccms.schema.digest.origins import origin_of_module, published

__all__ = ["describe"]

_ATOMS: dict[type, Callable[[Any], str | bytes]] = {
    type(None): str,
    bool: str,
    int: hex,
    float: float.hex,
    complex: lambda value: f"{value.real.hex()} {value.imag.hex()}",
    str: str,
    bytes: bytes,
    bytearray: bytes,
    EllipsisType: repr,
    NotImplementedType: repr,
    range: repr,
    dt.date: repr,
    dt.timedelta: repr,
    dt.timezone: repr,
    zoneinfo.ZoneInfo: repr,
    decimal.Decimal: repr,
    fractions.Fraction: repr,
    uuid.UUID: repr,
}

# functools.update_wrapper copies them to objects that wrap a function
_WRAPPER_TEXTS = frozenset(
    {"__annotations__", "__doc__", "__module__", "__name__", "__qualname__", "__type_params__"}
)
_UNREADABLE = (TypeError, ValueError, AttributeError, RuntimeError, OSError, pickle.PicklingError)


def describe(value: object) -> Form:
    """Return the form of a value.

    Raises
    ------
    UndigestibleError
        If it has no content that another process could reproduce (open files, locks, iterators, ...).
    """
    cls = type(value)
    if getattr(cls, "__digest_exclude__", False) is True:
        return leaf("excluded", classes.class_name(cls))
    atom = _ATOMS.get(cls)
    if atom is not None:
        return leaf(cls.__name__, atom(value))
    container = _CONTAINERS.get(cls)
    if container is not None:
        return container(value)
    for kinds, rule in _RULES:
        if isinstance(value, kinds):
            return rule(value)
    return _describe_object(value)


def _sequence(value: Any) -> Form:
    return Form(type(value).__name__, parts=tuple((_step(i, item), item) for i, item in enumerate(value)))


def _set(value: Any) -> Form:
    return Form(type(value).__name__, parts=tuple((" > item", item) for item in value), ordered=False)


def _set_subclass(value: Any) -> Form:
    # pickle would store the items in the order of their hashes
    return sequence(
        "set subclass",
        [classes.class_part(value), ("", frozenset(value)), ("", getattr(value, "__dict__", None))],
    )


def _dict(value: Any) -> Form:
    items = tuple(
        (
            f"[{key}]" if isinstance(key, str | int) else " > item",
            Form("item", parts=((" > key", key), ("", item))),
        )
        for key, item in value.items()
    )
    return Form("dict", parts=items, ordered=False)


def _step(position: int, item: object) -> str:
    """Return the step of a path to an item of a list: its name, if the item is something that has one."""
    name = None
    if isinstance(item, dict):
        name = item.get("name")
    elif isinstance(item, BaseModel) or dataclasses.is_dataclass(item):
        name = getattr(item, "name", None)
    return f"[{name}]" if isinstance(name, str) else f"[{position}]"


_CONTAINERS: dict[type, Callable[[Any], Form]] = {
    tuple: _sequence,
    list: _sequence,
    set: _set,
    frozenset: _set,
    dict: _dict,
    MappingProxyType: _dict,
}


def _datetime(value: dt.datetime | dt.time) -> Form:
    naive = value.replace(tzinfo=None)
    return sequence(type(value).__name__, [(".tzinfo", value.tzinfo)], naive.isoformat(), str(value.fold))


def _path(value: PurePath) -> Form:
    return leaf("path", value.as_posix())


def _pattern(value: re.Pattern[Any]) -> Form:
    return sequence("pattern", [("", value.pattern)], str(value.flags))


def _slice(value: slice) -> Form:
    return sequence("slice", [("", (value.start, value.stop, value.step))])


def _method(value: MethodType) -> Form:
    return sequence("method", [("", value.__func__), (" > self", value.__self__)])


def _builtin(value: BuiltinFunctionType) -> Form:
    """Return the form of a compiled function, or of a compiled method with the object it is bound to."""
    owner = value.__self__
    if owner is not None and not isinstance(owner, ModuleType):
        return sequence("builtin method", [(" > self", owner)], value.__name__)
    known = published(value)
    if known is not None:
        return known
    if owner is not None and origin_of_module(owner).is_published:
        return sequence("builtin", [("", owner)], value.__qualname__)
    message = (
        f"the compiled function '{value.__qualname__}' belongs to no installed package, so it has no version"
    )
    raise UndigestibleError(message)


def _descriptor(value: Any) -> Form:
    return sequence("descriptor", [(" > class", value.__objclass__)], value.__name__)


def _method_wrapper(value: MethodWrapperType) -> Form:
    return sequence("method wrapper", [(" > self", value.__self__)], value.__name__)


def _partial(value: functools.partial[Any]) -> Form:
    return sequence("partial", [(".func", value.func), (".args", value.args), (".keywords", value.keywords)])


def _property(value: property) -> Form:
    return sequence(
        "property", [(" > getter", value.fget), (" > setter", value.fset), (" > deleter", value.fdel)]
    )


def _wrapped_member(value: Any) -> Form:
    return sequence(type(value).__name__, [("", value.__func__)])


def _cached_property(value: functools.cached_property[Any]) -> Form:
    return sequence("cached property", [("", value.func)])


def _logger(value: logging.Logger | logging.LoggerAdapter[Any]) -> Form:
    return leaf("logger", type(value).__name__)


def _iterator(value: object) -> Form:
    message = f"reading a '{_type_name(value)}' would use it up; make it a list or tuple"
    raise UndigestibleError(message)


def _type_name(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_RULES: tuple[tuple[Any, Callable[[Any], Form]], ...] = (
    (enum.Enum, classes.describe_enum),
    (BaseModel, classes.describe_model),
    (type, classes.describe_class),
    (ModuleType, functions.describe_module),
    (FunctionType, functions.describe_function),
    (CodeType, functions.describe_code),
    (np.ndarray | np.generic | np.dtype, describe_array),
    (np.ufunc, describe_ufunc),
    (MethodType, _method),
    (BuiltinFunctionType, _builtin),
    (
        MethodDescriptorType
        | WrapperDescriptorType
        | ClassMethodDescriptorType
        | GetSetDescriptorType
        | MemberDescriptorType,
        _descriptor,
    ),
    (MethodWrapperType, _method_wrapper),
    (functools.partial, _partial),
    (property, _property),
    (staticmethod | classmethod, _wrapped_member),
    (functools.cached_property, _cached_property),
    (set | frozenset, _set_subclass),
    (PurePath, _path),
    (re.Pattern, _pattern),
    (dt.datetime | dt.time, _datetime),
    (slice, _slice),
    (logging.Logger | logging.LoggerAdapter, _logger),
)


def _describe_object(value: Any) -> Form:
    """Return the form of an object of a class without a rule: published, wrapping a function, or its state."""
    if dataclasses.is_dataclass(value):
        return classes.describe_dataclass(value)
    if is_axis(value):
        return describe_axis(value)
    if callable(value):
        known = published(value)
        if known is not None:
            return known
        wrapper = functions.describe_compiled(value)
        if wrapper is not None:
            return wrapper
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
        return _iterator(value)
    return _describe_by_reduction(value)


def _describe_by_reduction(value: Any) -> Form:
    """Return the form of what ``pickle`` would store: how the object is made again, and its state."""
    cls = type(value)
    parts: list[Part] = [classes.class_part(value)]
    try:
        reduce = copyreg.dispatch_table.get(cls)
        reduced = reduce(value) if reduce is not None else value.__reduce_ex__(2)
    except _UNREADABLE as exc:
        message = (
            f"a '{_type_name(value)}' has no content that another process could reproduce; expected plain data, "
            "arrays, functions or classes"
        )
        raise UndigestibleError(message) from exc
    if isinstance(reduced, str):
        return leaf("named object", classes.class_name(cls), reduced)
    make, arguments, *rest = reduced
    state, items, pairs = (*rest, None, None, None)[:3]
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        arguments = arguments[1:]
    else:
        parts.append((" > constructor", make))
    parts += [
        (" > arguments", tuple(arguments)),
        ("", _state(cls, state)),
        ("", list(items or ())),
        ("", dict(pairs or ())),
    ]
    return sequence("object", parts)


def _state(cls: type, state: object) -> Form:
    """Return the form of an object's attributes; cached properties are results, not content."""
    if isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, dict | None) for part in state):
        state = {**(state[0] or {}), **(state[1] or {})}
    if not isinstance(state, dict):
        return sequence("state", [("", state)])
    parts = tuple(
        (f".{name}", Form("item", parts=(("", name), ("", item))))
        for name, item in state.items()
        if not (name in _WRAPPER_TEXTS and "__wrapped__" in state) and not _is_cached_property(cls, name)
    )
    return Form("state", parts=parts, ordered=False)


def _is_cached_property(cls: type, name: object) -> bool:
    return isinstance(name, str) and isinstance(getattr(cls, name, None), functools.cached_property)
