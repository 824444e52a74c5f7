"""Changes of single fields from text: ``general.lumi=16400 channels.SR.observables.mtt.binning.bins=25``.

All changes are applied to a copy, which is validated once and as a whole, so that their order does not matter.
"""

from __future__ import annotations

import ast
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from intccms.errors import ConfigError
from intccms.schema.config import Config
from intccms.schema.explain import did_you_mean, item_name, models_in
from intccms.schema.secrets import masked_text

if typing.TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["apply_overrides", "load_config_with_restricted_cli", "value_at"]


def load_config_with_restricted_cli(base: Config | Mapping[str, Any], args: Sequence[str]) -> Config:
    """Return a configuration with ``key=value`` arguments of a command line applied to it.

    Parameters
    ----------
    base
        A configuration, or the dict of one; it is not changed.
    args
        ``a.b.c=value`` for any field of the schema, at any depth; items of lists by index or by name.

    Raises
    ------
    ConfigError
        For a wrong key or value, naming the field, the value and the nearest valid key.
    """
    if isinstance(base, Config):
        return apply_overrides(base, args)
    # without the changes it may contradict itself
    return apply_overrides(Config.draft(base) if args else Config(**base), args)


def apply_overrides(config: Config, args: Sequence[str]) -> Config:
    """Return a copy of a configuration with ``a.b.c=value`` texts applied; see the module."""
    draft = _copy(config)
    for text in args:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            message = f"override {masked_text(text)!r}: expected key=value, such as general.executor=futures."
            raise ConfigError(message)
        _assign(draft, path.strip(), value.strip())
    try:
        changed = Config(**_as_dict(draft))
    except ConfigError as exc:
        if not args:
            raise
        message = f"with the override{'s' if len(args) > 1 else ''} {masked_text(' '.join(args))}: {exc}"
        raise ConfigError(message) from None
    changed.note_origin(source=config.source, overrides=(*config.overrides, *args))
    return changed


def value_at(config: BaseModel, path: str) -> Any:
    """Return what stands at a path such as ``channels.SR.selection``.

    Raises
    ------
    ConfigError
        If the path leads nowhere.
    """
    target: Any = config
    steps = path.split(".")
    for index, step in enumerate(steps):
        target = _child(config, target, step, ".".join(steps[:index]))
    return target


def _copy(value: Any) -> Any:
    """Copy models and containers, and keep what they hold: an executor or a model file may not allow copies."""
    if isinstance(value, BaseModel):
        return value.model_construct(
            **{name: _copy(getattr(value, name)) for name in type(value).model_fields}
        )
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if type(value) is list else value


def _as_dict(value: Any) -> Any:
    """Return models as the dicts that they can be made from."""
    if isinstance(value, BaseModel):
        return {name: _as_dict(getattr(value, name)) for name in type(value).model_fields}
    if type(value) is dict:
        return {key: _as_dict(item) for key, item in value.items()}
    return [_as_dict(item) for item in value] if type(value) is list else value


def _assign(draft: Config, path: str, text: str) -> None:
    """Put a value into the draft, unvalidated but for its key."""
    *parents, last = path.split(".")
    owner, annotation = typing.cast("Any", draft), typing.cast("Any", Config)
    for index, step in enumerate(parents):
        where = ".".join(parents[:index])
        child = _child(draft, owner, step, where)
        inner = _annotation_of(owner, annotation, step)
        if child is None and index == len(parents) - 1 and _takes(inner, dict):
            child = {}
            _put(owner, step, child, where)
        owner, annotation = child, inner
    where = ".".join(parents)
    if not isinstance(owner, Mapping):
        _child(draft, owner, last, where)  # a clear error for an unknown key
    _put(owner, last, _parse(text, _annotation_of(owner, annotation, last)), where)


def _put(owner: Any, step: str, value: Any, where: str) -> None:
    if isinstance(owner, BaseModel):
        owner.__dict__[step] = value
    elif isinstance(owner, list):
        owner[_index_of(owner, step, where)] = value
    else:
        owner[_key_of(owner, step)] = value


def _key_of(mapping: Mapping[Any, Any], step: str) -> Any:
    """Return the key that a step names: years may have been written as numbers."""
    return next((key for key in mapping if str(key) == step), step)


def _child(config: BaseModel, target: Any, step: str, where: str) -> Any:
    if isinstance(target, BaseModel):
        fields = type(target).model_fields
        if step not in fields:
            raise ConfigError(_unknown(config, step, where, fields))
        return getattr(target, step)
    if isinstance(target, Mapping):
        if _key_of(target, step) not in target:
            keys = [str(key) for key in target]
            message = f"unknown key {step!r} in {where}.{did_you_mean(step, keys)} Known: {', '.join(keys) or 'none'}."
            raise ConfigError(message)
        return target[_key_of(target, step)]
    if isinstance(target, list | tuple):
        return target[_index_of(target, step, where)]
    message = (
        f"{where} is {target!r} and has no parts, so {where}.{step} does not exist. Set {where} as a whole."
    )
    raise ConfigError(message)


def _index_of(items: Sequence[Any], step: str, where: str) -> int:
    names = [item_name(item) for item in items]
    if step in names:
        return names.index(step)
    if step.lstrip("-").isdigit() and -len(items) <= int(step) < len(items):
        return int(step) % len(items)
    known = [name for name in names if name is not None]
    indices = f"indices 0 to {len(items) - 1}" if items else "the list is empty"
    message = f"{where} has no item {step!r}.{did_you_mean(step, known)} Items: {', '.join(known) or 'unnamed'}; {indices}."
    raise ConfigError(message)


def _unknown(config: BaseModel, step: str, where: str, fields: Mapping[str, Any]) -> str:
    full = f"{where}.{step}" if where else step
    near = did_you_mean(step, fields)
    if near:
        nearest = near.split("'")[1]
        near = f" Did you mean '{where}.{nearest}'?" if where else f" Did you mean {nearest!r}?"
    else:
        elsewhere = [path for path in _paths(type(config)) if path.rsplit(".", 1)[-1] == step]
        near = f" Did you mean {elsewhere[0]!r}?" if elsewhere else ""
    return f"unknown key {full!r}.{near} Known keys{f' of {where}' if where else ''}: {', '.join(fields)}."


def _paths(model: type[BaseModel], prefix: str = "", seen: tuple[type, ...] = ()) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in models_in(field.annotation):
            if inner not in seen:
                yield from _paths(inner, f"{prefix}{name}.", (*seen, model))


def _annotation(field: FieldInfo) -> Any:
    metadata = tuple(field.metadata)
    return typing.Annotated[(field.annotation, *metadata)] if metadata else field.annotation


def _annotation_of(owner: Any, annotation: Any, step: str) -> Any:
    """Return the type of a part of something: of a field, or of the elements of a container."""
    if isinstance(owner, BaseModel):
        return _annotation(type(owner).model_fields[step]) if step in type(owner).model_fields else Any
    elements = [
        arguments[-1]
        for one in _members(annotation)
        for arguments in [[item for item in typing.get_args(one) if item is not Ellipsis]]
        if arguments and isinstance(owner, typing.get_origin(one) or ())
    ]
    return typing.Union[tuple(elements)] if elements else Any  # noqa: UP007 - the members are known at run time only


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows, without their constraints."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _members(one)
    else:
        yield annotation


def _takes(annotation: Any, kind: type) -> bool:
    """Tell whether values of a kind are proper values of a type, as ``2017`` may be the text it is."""
    return any((typing.get_origin(one) or one) is kind for one in _members(annotation))


def _literal(text: str) -> Any:
    lowered = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in lowered:
        return lowered[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _parse(text: str, annotation: Any) -> Any:
    """Return the first reading of a text that the type accepts, and its plain reading if none is."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_adapter_config(annotation))
    for candidate in _readings(text, annotation):
        try:
            adapter.validate_python(candidate)
        except (ValidationError, ConfigError):
            continue
        return candidate
    return _literal(text)


def _readings(text: str, annotation: Any) -> Iterable[Any]:
    """Yield what a text may stand for, the likeliest first: a literal, the text itself, a list of either."""
    literal = _literal(text)
    pieces = [piece.strip() for piece in re.sub(r"^[\[(](.*)[\])]$", r"\1", text, flags=re.DOTALL).split(",")]
    as_list = [[_literal(piece) for piece in pieces if piece], [piece for piece in pieces if piece]]
    is_plain = not isinstance(literal, str | list | tuple | dict | None)
    if is_plain and _takes(annotation, str):
        yield text
    if _takes(annotation, list) and ("," in text or text.startswith(("[", "("))):
        if isinstance(literal, list | tuple):
            yield literal
        yield from as_list
    yield literal
    yield text
    yield from as_list


def _adapter_config(annotation: Any) -> Any:
    """Return what lets functions and foreign objects through; models bring their own."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return None if is_model else {"arbitrary_types_allowed": True}
