"""Finds and imports a configuration: a dict, a module, a file, or ``demo``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.errors import ConfigError
from intccms.schema.config import Config
from intccms.schema.overrides import load_config_with_restricted_cli

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["config_modules", "load_config"]


def load_config(source: Config | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the validated configuration that a source describes.

    Parameters
    ----------
    source
        A `Config` or its dict; the name of a module, the path of a Python file or of a package's folder that
        exposes ``config`` (a dict or a `Config`); or ``demo``.
    overrides
        ``key=value`` texts; see `intccms.schema.load_config_with_restricted_cli`.

    Raises
    ------
    ConfigError
        If there is no such source, it exposes no ``config``, or what it holds is not valid.
    """
    if isinstance(source, Config | Mapping):
        return load_config_with_restricted_cli(source, overrides)
    module = _import(str(source))
    config = getattr(module, "config", None)
    if not isinstance(config, Config | Mapping):
        given = "none" if config is None else type(config).__name__
        message = f"{source} must expose 'config', a dict or a Config, but has {given}. Define config = {{...}} in it."
        raise ConfigError(message)
    loaded = load_config_with_restricted_cli(config, overrides)
    loaded.note_origin(source=module.__file__)
    return loaded


def _import(source: str) -> ModuleType:
    if source == "demo":
        return importlib.import_module("intccms.demo.config")
    path = Path(source)
    if path.suffix == ".py" or path.is_dir() or "/" in source:
        return _import_file(path)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(source)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None:
        message = (
            f"no configuration {source!r}: there is no module of that name (looked in {here} and the Python path) "
            "and no such file. Give a module, a .py file, or 'demo'."
        )
        raise ConfigError(message)
    return importlib.import_module(source)


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    if path.is_dir():
        path /= "__init__.py"
    if not path.is_file():
        message = f"no configuration file {path}. Give a module, a .py file, or 'demo'."
        raise ConfigError(message)
    # The folder above the outermost package goes on the path, so that relative imports and neighbours work.
    root, name = path.parent, path.stem
    parts = [] if name == "__init__" else [name]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) != str(path):
        if len(parts) > 1 or known.__spec__ is None or name in sys.stdlib_module_names:
            message = f"{path}: the module name {name!r} is taken by {known.__file__}; rename one of the two."
            raise ConfigError(message)
        del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def config_modules(config: Config) -> list[ModuleType]:
    """Return the user's own modules that the functions of a configuration come from, and their packages.

    Modules that are installed (or belong to Python or intccms itself) are not among them: workers have those.
    """
    names = {function.__module__ for function in _functions(config) if hasattr(function, "__module__")}
    tops = {name.partition(".")[0] for name in names}
    found = [
        module for key, module in sys.modules.items() if key.partition(".")[0] in tops and is_users(module)
    ]
    return sorted(found, key=lambda module: module.__name__)


def is_users(module: ModuleType | None) -> bool:
    """Tell whether a module is the user's own code, neither installed nor part of Python or intccms."""
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return False
    if module.__name__.partition(".")[0] == "intccms":
        return False
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _functions(value: Any) -> list[Any]:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return [found for name in type(value).model_fields for found in _functions(getattr(value, name))]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in _functions(item)]
    if isinstance(value, list | tuple):
        return [found for item in value for found in _functions(item)]
    return [value] if callable(value) else []
