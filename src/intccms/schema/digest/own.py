"""The code of intccms itself that reaches a result: the modules that one imports, by their content.

Imports are read from the source, those inside functions included, those for type checking not. A package that
only lies on the way to a module is not followed: ``import intccms.a.b`` reaches ``intccms.a.b``, not what
``intccms.a`` gives out. Code counts as a user's does: without comments, docstrings, annotations and layout.

What is read must be what runs: after an edit of a module that is loaded, and not loaded anew, there is no digest.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.schema.digest.syntax import iter_codes, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["OWN_PACKAGE", "own_closure", "own_code"]

OWN_PACKAGE = "intccms"
ROOT = Path(__file__).parents[2]
"""Folder of the package."""

_STARTED = time.time_ns()


@dataclass(frozen=True, slots=True)
class _Module:
    """One file: what its code is, and which modules of the package it imports."""

    stamp: tuple[int, int]
    sha256: bytes
    imports: frozenset[str]
    spec: object
    """Of the loaded module; another one after it was loaded anew, None if it is not loaded."""


_known: dict[str, _Module] = {}
_REMEDY = "Start Python anew (in a notebook: restart the kernel)."


def own_code(entry_modules: tuple[str, ...], exempt: tuple[str, ...] = ()) -> str:
    """Return the sha256 of all code of intccms that some of its modules reach, in hexadecimal.

    Parameters
    ----------
    entry_modules
        Full names, such as ``intccms.analysis.processor``.
    exempt
        Modules and packages that do not count, nor what lies below them; what they import does, where it is
        reached otherwise or by them.

    Raises
    ------
    ConfigError
        If there is no such module, or if one was edited since this process loaded it.
    """
    digest = hashlib.sha256()
    for name, module in sorted(_reached(entry_modules).items()):
        if not any(name == one or name.startswith(f"{one}.") for one in exempt):
            digest.update(name.encode() + b"\0" + module.sha256)
    return digest.hexdigest()


def own_closure(entry_modules: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the modules of intccms that some of them import, directly or not, and of these.

    Raises
    ------
    ConfigError
        If there is no such module.
    """
    return frozenset(_reached(entry_modules))


def _reached(entries: Iterable[str]) -> dict[str, _Module]:
    reached: dict[str, _Module] = {}
    waiting = []
    for name in entries:
        if _file_of(name) is None:
            message = (
                f"cannot digest the code of {name!r}: {ROOT} holds no such module. Give the full name of one of "
                f"intccms, such as '{OWN_PACKAGE}.analysis.processor'."
            )
            raise ConfigError(message)
        waiting.append(name)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = _module(name)
            waiting.extend(reached[name].imports - reached.keys())
    return reached


def _file_of(name: str) -> Path | None:
    package, _, rest = name.partition(".")
    if package != OWN_PACKAGE:
        return None
    path = ROOT.joinpath(*rest.split(".")) if rest else ROOT
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


_paths: dict[str, str] = {}


def _module(name: str) -> _Module:
    """Return what a module holds, read anew if its file changed."""
    path = _paths.get(name)
    if path is None:
        path = _paths[name] = str(_file_of(name))
    try:
        status = os.stat(path)  # noqa: PTH116  a third of the time, for every module at every call
        stamp = (status.st_mtime_ns, status.st_size)
        known = _known.get(name)
        if known is not None and known.stamp == stamp:
            return known
        fresh = _read(name, Path(path), stamp)
        is_running = _is_running(name, path, fresh, known)
    except (OSError, SyntaxError) as exc:
        message = f"cannot digest the code of {name!r}: {path} cannot be read ({exc}). {_REMEDY}"
        raise ConfigError(message) from exc
    if not is_running:
        message = (
            f"cannot digest the code of {name!r}: {path} was edited since this process loaded it, so that results "
            f"would be filed under code that did not make them. {_REMEDY}"
        )
        raise ConfigError(message)
    _known[name] = fresh
    return fresh


def _is_running(name: str, path: str, fresh: _Module, known: _Module | None) -> bool:
    """Tell whether a file that was changed is what this process runs."""
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != path:
        return True
    if known is not None and known.spec is not None:
        return known.sha256 == fresh.sha256 or known.spec is not fresh.spec
    if fresh.stamp[0] < _STARTED:
        return True
    codes = frozenset(iter_codes(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)))
    return all(function.__code__ in codes for function in _functions(module, path))


def _functions(module: ModuleType, path: str) -> Iterator[FunctionType]:
    for value in vars(module).values():
        members = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            if isinstance(member, FunctionType) and member.__code__.co_filename == path:
                yield member


def _read(name: str, path: Path, stamp: tuple[int, int]) -> _Module:
    tree = ast.parse(path.read_bytes())
    tree.body = list(_running(tree.body))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = {found for node in _statements(tree.body) for found in _imported(node, package)}
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return _Module(stamp, normalised(tree).sha256, frozenset(imports - {name}), spec)


def _running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module that are executed: not those for type checkers."""
    for node in body:
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _running(node.orelse)
        else:
            yield node


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements with those inside them; expressions, which cannot import, are passed over."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            nested = getattr(node, inner, None)
            if isinstance(nested, list):
                yield from _statements(nested)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the modules of intccms that a statement imports."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*above, module] if module else above)
        names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
    else:
        return
    yield from (
        name for name in names if name.partition(".")[0] == OWN_PACKAGE and _file_of(name) is not None
    )
