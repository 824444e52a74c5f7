"""The form of classes and of the instances whose fields are declared.

Classes of installed packages count by version and name. A user's class counts by what is in it now: its
bases, functions, constants and declared fields. Functions that dataclasses, named tuples, enums and Pydantic
generate follow from the fields and are left out.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import replace
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from pydantic import BaseModel

from intccms.schema.digest.files import content_of_files
from intccms.schema.digest.forms import Form, Part, leaf, mapping, sequence
from intccms.schema.digest.origins import is_importable, origin_of, published

__all__ = [
    "class_name",
    "class_part",
    "describe_class",
    "describe_dataclass",
    "describe_enum",
    "describe_model",
]

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: absent from the classes that are compiled into C
_NOT_CONTENT = frozenset({
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__",
    "__classcell__", "__classdictcell__", "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__",
    "__firstlineno__", "__match_args__", "__module__", "__qualname__", "__signature__", "__static_attributes__",
    "__weakref__", "_abc_impl",
})  # fmt: skip
_GIVEN_TO_FUNCTIONS = frozenset({"args", "file", "static_kwargs"})
"""Fields of the configuration that name files whose content counts: payloads, and what a function receives."""
_NAMED_TUPLE_MEMBERS = frozenset({
    "__getnewargs__", "__new__", "__orig_bases__", "__replace__", "__repr__", "_asdict", "_make", "_replace",
})  # fmt: skip


def describe_class(cls: type) -> Form:
    """Return the form of a class; see the module."""
    known = published(cls)
    if known is not None:
        return known
    if not cls.__flags__ & _HEAP_TYPE:
        return leaf("class", cls.__module__, cls.__qualname__)
    parts: list[Part] = [(" > base class", base) for base in cls.__bases__ if base is not object]
    if type(cls) is not type:
        parts.append((" > metaclass", type(cls)))
    parts += [("", mapping("members", _members(cls))), ("", _declared_fields(cls))]
    return sequence("class", parts, cls.__qualname__)


def class_name(cls: type) -> str:
    """Return the name of a class; the module is part of it unless it is a user's, which may be loaded anew."""
    if is_importable(cls) and origin_of(cls.__module__).is_published:
        return f"{cls.__module__}.{cls.__qualname__}"
    return cls.__qualname__


def class_part(value: object) -> Part:
    """Return what an instance owes to its class.

    A user's class counts with its code; an installed one by name, and by version as well if instances can be
    called, for then the code of the class is part of what they are.
    """
    cls = type(value)
    is_users = not is_importable(cls) or not origin_of(cls.__module__).is_published
    return (" > class", cls) if is_users or callable(value) else ("", leaf("class", class_name(cls)))


def describe_enum(member: enum.Enum) -> Form:
    """Return the form of a member of an enumeration: class, name and value."""
    return sequence("enum", [class_part(member), (".value", member.value)], str(member.name))


def describe_dataclass(value: Any) -> Form:
    """Return the form of an instance: its class and its fields; ``metadata={"digest": False}`` omits a field."""
    fields = {
        field.name: getattr(value, field.name, leaf("missing"))
        for field in dataclasses.fields(value)
        if field.metadata.get("digest", True) is not False
    }
    return sequence("dataclass", [class_part(value), ("", _fields_form(type(value), fields))])


def describe_model(value: BaseModel) -> Form:
    """Return the form of a model: its class and fields.

    A field with ``json_schema_extra={"digest": False}`` is left out; of one with ``{"digest": "files"}``, which
    names files, their content counts and their paths do not.
    """
    fields: dict[str, object] = {}
    for name, field in type(value).model_fields.items():
        extra = field.json_schema_extra
        rule = extra.get("digest") if isinstance(extra, dict) else None
        content = getattr(value, name, leaf("missing"))
        if rule is not False:
            fields[name] = content_of_files(content) if rule == "files" else content
    parts = [class_part(value), ("", _fields_form(type(value), fields))]
    if value.model_extra:
        parts.append(("", mapping("extra", value.model_extra)))
    return sequence("model", parts)


def _fields_form(cls: type, fields: dict[str, object]) -> Form:
    """Return the form of fields; those of a configuration name input files, but for what functions are given."""
    if origin_of(cls.__module__).kind != "intccms":
        return mapping("fields", fields)
    for name in _GIVEN_TO_FUNCTIONS & fields.keys():
        fields[name] = Form("values", parts=(("", fields[name]),), files=True)
    return replace(mapping("fields", fields), files=False)


def _members(cls: type) -> dict[str, object]:
    """Return what the class body holds, without what Python and the class's makers put there."""
    members = {name: value for name, value in vars(cls).items() if name not in _NOT_CONTENT}
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        members = {name: value for name, value in members.items() if name not in _NAMED_TUPLE_MEMBERS}
        return {name: value for name, value in members.items() if name not in cls._fields}
    if dataclasses.is_dataclass(cls):
        members = {name: value for name, value in members.items() if not _is_generated(value)}
    if issubclass(cls, enum.Enum | BaseModel):
        members = {
            name: inner for name, value in members.items() if (inner := _written_function(value)) is not None
        }
    slots = (MemberDescriptorType, GetSetDescriptorType)
    return {name: value for name, value in members.items() if not isinstance(value, slots)}


def _is_generated(value: object) -> bool:
    function = getattr(value, "__wrapped__", value)
    return isinstance(function, FunctionType) and function.__code__.co_filename == "<string>"


def _written_function(value: object) -> object | None:
    """Return a member if it is a function that a user wrote, in whatever descriptor; None otherwise."""
    if isinstance(value, enum.Enum):
        return None
    value = getattr(value, "wrapped", value)  # Pydantic's validators and serializers
    function = (
        getattr(value, "__func__", None)
        or getattr(value, "fget", None)
        or getattr(value, "func", None)
        or value
    )
    if not isinstance(function, FunctionType):
        return None
    written = origin_of(function.__globals__.get("__name__"), function.__code__.co_filename).kind
    return value if written in {"user", "intccms"} else None


def _declared_fields(cls: type) -> Form:
    fields: dict[str, object] = {}
    if dataclasses.is_dataclass(cls):
        fields = {name: _dataclass_field(field) for name, field in cls.__dataclass_fields__.items()}
        fields["class options"] = repr(getattr(cls, "__dataclass_params__", None))
    elif issubclass(cls, BaseModel):
        fields = {
            name: (
                field.annotation,
                tuple(field.metadata),
                _default(field.default),
                field.default_factory,
                field.alias,
            )
            for name, field in cls.model_fields.items()
        }
    elif issubclass(cls, enum.Enum):
        fields = {name: member.value for name, member in cls.__members__.items()}
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        fields = {"_fields": cls._fields, "_field_defaults": getattr(cls, "_field_defaults", {})}
    return mapping("declared", fields)


def _dataclass_field(field: dataclasses.Field[Any]) -> tuple[object, ...]:
    flags = (field.init, field.repr, field.hash, field.compare, bool(field.kw_only))
    return (_default(field.default), _default(field.default_factory), flags, dict(field.metadata))


def _default(value: object) -> object:
    """Return a default, or a form in place of the objects that stand for "none was given"."""
    if value is dataclasses.MISSING or type(value).__name__ == "PydanticUndefinedType":
        return leaf("no default")
    return value
