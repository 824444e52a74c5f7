"""Changes of single fields from text: ``general.lumi=16400 channels.SR.observables.mtt.binning.bins=25``."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from intccms.errors import ConfigError
from intccms.schema.config import Config
from intccms.schema.explain import did_you_mean, models_in

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
    config = base if isinstance(base, Config) else Config(**base)
    return apply_overrides(config, args)


def apply_overrides(config: Config, args: Sequence[str]) -> Config:
    """Return a copy of a configuration with ``a.b.c=value`` texts applied; see the module."""
    changed = config.model_copy(deep=True)
    for text in args:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            message = f"override {text!r}: expected key=value, such as general.executor=futures."
            raise ConfigError(message)
        _assign(changed, path.strip(), value.strip())
    changed.check()
    changed.note_origin(overrides=args)
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


def _assign(config: Config, path: str, text: str) -> None:
    *parents, last = path.split(".")
    chain: list[Any] = [config]
    for index, step in enumerate(parents):
        chain.append(_child(config, chain[-1], step, ".".join(parents[:index])))
    owner = chain[-1]
    where = ".".join(parents)
    if isinstance(owner, BaseModel):
        _child(config, owner, last, where)  # a clear error for an unknown key
        _set(owner, last, _parse(text, _annotation(type(owner).model_fields[last])), path)
        return
    # An element of a dict or list: change a copy and assign the whole to the model that owns it.
    depth = next(i for i in range(len(chain) - 1, -1, -1) if isinstance(chain[i], BaseModel))
    model, field_name = chain[depth], parents[depth]
    copy = _with_element(chain[depth + 1], [*parents[depth + 1 :], last], _literal(text), where)
    _set(model, field_name, copy, path)


def _annotation(field: FieldInfo) -> Any:
    metadata = tuple(field.metadata)
    return typing.Annotated[(field.annotation, *metadata)] if metadata else field.annotation


def _set(model: BaseModel, name: str, value: Any, path: str) -> None:
    try:
        setattr(model, name, value)
    except ConfigError as exc:
        message = f"override {path}={value!r}: {exc}"
        raise ConfigError(message) from None


def _with_element(container: Any, steps: Sequence[str], value: Any, where: str) -> Any:
    step, *rest = steps
    if isinstance(container, Mapping):
        if rest and step not in container:
            message = f"unknown key {step!r} in {where}.{did_you_mean(step, map(str, container))}"
            raise ConfigError(message)
        return {**container, step: _with_element(container[step], rest, value, where) if rest else value}
    index = _index_of(container, step, where)
    copy = list(container)
    copy[index] = _with_element(copy[index], rest, value, where) if rest else value
    return copy


def _child(config: BaseModel, target: Any, step: str, where: str) -> Any:
    if isinstance(target, BaseModel):
        fields = type(target).model_fields
        if step not in fields:
            raise ConfigError(_unknown(config, step, where, fields))
        return getattr(target, step)
    if isinstance(target, Mapping):
        if step not in target:
            keys = [str(key) for key in target]
            message = f"unknown key {step!r} in {where}.{did_you_mean(step, keys)} Known: {', '.join(keys) or 'none'}."
            raise ConfigError(message)
        return target[step]
    if isinstance(target, list | tuple):
        return target[_index_of(target, step, where)]
    message = f"{where} is {target!r} and has no parts, so {where}.{step} does not exist."
    raise ConfigError(message)


def _index_of(items: Sequence[Any], step: str, where: str) -> int:
    names = [getattr(item, "name", None) or getattr(item, "collection", None) for item in items]
    if step in names:
        return names.index(step)
    if step.lstrip("-").isdigit() and -len(items) <= int(step) < len(items):
        return int(step) % len(items)
    known = [name for name in names if isinstance(name, str)]
    message = (
        f"{where} has no item {step!r}.{did_you_mean(step, known)} Items: "
        f"{', '.join(known) or 'unnamed'}; indices 0 to {len(items) - 1}."
    )
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


def _literal(text: str) -> Any:
    lowered = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in lowered:
        return lowered[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parse(text: str, annotation: Any) -> Any:
    """Return the first reading of a text that the type accepts: a literal, the text itself, a list."""
    candidates = [_literal(text)]
    if _takes_text(annotation) and not isinstance(candidates[0], str | list | tuple | dict | None):
        candidates.insert(0, text)
    candidates += [text, [_literal(item.strip()) for item in text.strip("[]()").split(",") if item.strip()]]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config={"arbitrary_types_allowed": True})
    for candidate in candidates:
        try:
            adapter.validate_python(candidate)
        except (ValidationError, ConfigError):
            continue
        return candidate
    return candidates[0]


def _takes_text(annotation: Any) -> bool:
    """Tell whether text is a proper value of a type, so that ``2017`` stays the text it is."""
    if annotation is str:
        return True
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        arguments = typing.get_args(annotation)
        return any(_takes_text(one) for one in (arguments[:1] if origin is typing.Annotated else arguments))
    return False
