"""Finds and imports a configuration: a dict, a module, a file, or ``demo``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from intccms.errors import ConfigError
from intccms.schema.config import Config
from intccms.schema.overrides import load_config_with_restricted_cli
from intccms.schema.secrets import hide_in_error, masked_text

__all__ = ["config_modules", "load_config"]


def load_config(
    source: Config | Mapping[str, Any] | str | Path, overrides: str | Sequence[str] = ()
) -> Config:
    """Return the validated configuration that a source describes.

    Parameters
    ----------
    source
        A `Config` or its dict; the name of a module, the path of a Python file or of a package's folder that
        exposes ``config`` (a dict or a `Config`); or ``demo``.
    overrides
        ``key=value`` texts, or one of them; see `intccms.schema.load_config_with_restricted_cli`.

    Raises
    ------
    ConfigError
        If there is no such source, it exposes no ``config``, or what it holds is not valid.
    """
    overrides = [overrides] if isinstance(overrides, str) else overrides
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
        return _import_file(path.resolve())
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    _forget_outdated(Path(here))
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):  # ImportError: a name that begins with a dot
        spec = None
    if spec is None:
        message = (
            f"no configuration {source!r}: there is no module of that name (looked in {here} and the Python path) "
            "and no such file. Give a module, a .py file, or 'demo'."
        )
        raise ConfigError(message)
    return _import_module(source, source)


def _import_file(path: Path) -> ModuleType:
    """Import a file under the name that it has in its package, if it is in one."""
    if path.is_dir():
        path /= "__init__.py"
    if not path.is_file():
        message = f"no configuration file {path}. Give a module, a .py file, or 'demo'."
        raise ConfigError(message)
    # The folder above the outermost package goes first on the path, so that its neighbours can be imported.
    root, name = path.parent, path.stem
    parts = [] if name == "__init__" else [name]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    _forget_namesakes(root)
    _forget_outdated(root)
    known = sys.modules.get(parts[0])
    if known is not None and Path(getattr(known, "__file__", None) or "").parent not in {
        root,
        root / parts[0],
    }:
        taken = getattr(known, "__file__", None) or "Python itself"
        message = f"{path}: the module name {parts[0]!r} is taken by {taken}. Rename one of the two."
        raise ConfigError(message)
    importlib.invalidate_caches()
    return _import_module(name, str(path))


def _import_module(name: str, source: str) -> ModuleType:
    before = set(sys.modules)
    try:
        module = importlib.import_module(name)
    except Exception as exc:
        message = (
            f"{source} cannot be imported: {masked_text(f'{type(exc).__name__}: {exc}')}{_place_of(exc)}"
        )
        hide_in_error(exc)
        raise ConfigError(message) from exc
    _note_states(module, set(sys.modules) - before)
    return module


def _place_of(exc: Exception) -> str:
    """Return where the user's code raised, in brackets."""
    if isinstance(exc, SyntaxError):
        return ""  # says so itself
    frames = [
        frame for frame in traceback.extract_tb(exc.__traceback__) if not frame.filename.startswith("<frozen")
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""


_states: WeakKeyDictionary[ModuleType, tuple[int, int] | None] = WeakKeyDictionary()
"""Change time [ns] and size [bytes] of the files of configurations' modules, as they were when first loaded."""


def _note_states(config: ModuleType, imported: set[str]) -> None:
    """Remember the files of a configuration: of what it imported, and of what it refers to."""
    for module in _led_to([config, *(sys.modules.get(name) for name in imported)]):
        _states.setdefault(module, _state_of(module))


def _led_to(modules: Iterable[ModuleType | None]) -> list[ModuleType]:
    """Return the user's modules among some, and those that their content comes from, directly or not."""
    waiting: list[Any] = list(modules)
    found: dict[int, ModuleType] = {}
    while waiting:
        module = waiting.pop()
        if not isinstance(module, ModuleType) or id(module) in found or not is_users(module):
            continue
        found[id(module)] = module
        for value in vars(module).values():
            name = getattr(value, "__module__", None) if callable(value) else None
            waiting.append(value if isinstance(value, ModuleType) else sys.modules.get(str(name)))
    return list(found.values())


def _state_of(module: ModuleType) -> tuple[int, int] | None:
    try:
        status = Path(str(module.__file__)).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _forget_namesakes(root: Path) -> None:
    """Let go of the users' modules of other folders that have the name of one in this folder.

    Analyses have a ``config.py`` and a ``cuts.py`` each; the second one must not get the first one's.
    """
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__" or not is_users(module):
            continue
        there = Path(str(module.__file__)).resolve()
        here = [path for path in (root / f"{name}.py", root / name / "__init__.py") if path.is_file()]
        if here and there not in here:
            _forget(name)


def _forget_outdated(root: Path) -> None:
    """Let go of the configurations' modules of a folder if one of them has changed since it was loaded.

    A cut that was changed in an editor must count when the configuration is loaded again in a notebook.
    """
    loaded = {name: one for name, one in sys.modules.items() if one in _states and name != "__main__"}
    below = {
        name: module
        for name, module in loaded.items()
        if Path(str(module.__file__)).resolve().is_relative_to(root.resolve())
    }
    if any(_state_of(module) != _states[module] for module in below.values()):
        for name in below:
            _forget(name)


def _forget(name: str) -> None:
    for one in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[one]


def config_modules(config: Config) -> list[ModuleType]:
    """Return the user's own modules that the functions of a configuration come from or lead to, and their packages.

    Modules that are installed (or belong to Python or intccms itself) are not among them: workers have those. The
    others go to workers by value: what runs there is what was loaded, whatever becomes of the files meanwhile.
    """
    names = {function.__module__ for function in _functions(config) if hasattr(function, "__module__")}
    tops = {one.__name__.partition(".")[0] for one in _led_to(sys.modules.get(name) for name in names)}
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
