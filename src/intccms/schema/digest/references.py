"""Find what a code object refers to outside itself, and what that is now.

References are read from the bytecode, where the scope of every name is settled, nested functions included;
``module.attribute`` chains are followed through the user's modules to the first thing that is not a module.
What is looked up by a computed name (``getattr(module, name)``, ``globals()[name]``) is not seen, except that
a user's module which is passed on as a whole counts as a whole.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from intccms.schema.digest.forms import Form, UndigestibleError, leaf
from intccms.schema.digest.origins import origin_of, origin_of_module
from intccms.schema.digest.syntax import iter_codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Chain", "Import", "follow", "imported", "referenced_chains", "referenced_imports"]

type Chain = tuple[str, ...]
"""A name and the attributes taken from it: ``("helpers", "PT_MIN")``."""

_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FREE_LOADS = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTE_LOADS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_IMPORT = dis.opmap["IMPORT_NAME"]
_SILENT = frozenset({"EXTENDED_ARG", "NOP", "CACHE"})
# facts of the place where the code lies, which differ between machines and say nothing of what it does
_DUNDERS_OF_MODULES = frozenset({"__file__", "__name__", "__path__", "__spec__", "__package__", "__loader__"})


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement inside a function."""

    module: str
    level: int
    names: tuple[str, ...]


@functools.lru_cache(maxsize=8192)
def referenced_chains(code: CodeType) -> frozenset[tuple[bool, Chain]]:
    """Return the chains that a code object and its inner functions load, each with whether it is a closure's."""
    return frozenset(chain for inner in iter_codes(code) for chain in _chains(inner))


@functools.lru_cache(maxsize=8192)
def referenced_imports(code: CodeType) -> frozenset[Import]:
    """Return the import statements in a code object and its inner functions."""
    # most functions have none, and a look at the bytes tells it in a hundredth of the time
    return frozenset(
        found for inner in iter_codes(code) if _IMPORT in inner.co_code[::2] for found in _imports(inner)
    )


def follow(chain: Chain, scope: Mapping[str, Any]) -> tuple[str, object]:
    """Follow a chain from a scope to the first value that is not a user's module.

    Returns
    -------
    tuple
        The part of the chain that was followed, with dots, and the value it leads to; a form of its own
        where the name does not exist (yet) or where what lies behind it counts by its version.
    """
    name = chain[0]
    if name in _DUNDERS_OF_MODULES:
        return name, leaf("module attribute", name)
    if name not in scope:
        known = hasattr(builtins, name)
        return name, leaf("builtin" if known else "missing", name)
    value: object = scope[name]
    for position, attribute in enumerate(chain[1:], 1):
        if not isinstance(value, ModuleType) or origin_of_module(value).kind in {"python", "installed"}:
            return ".".join(chain[:position]), value
        followed = ".".join(chain[: position + 1])
        if attribute in _DUNDERS_OF_MODULES:
            return followed, leaf("module attribute", attribute)
        if not hasattr(value, attribute):
            return followed, leaf("missing", attribute)
        value = getattr(value, attribute)
    return ".".join(chain), value


def imported(statement: Import, package: str | None) -> Iterator[tuple[str, object]]:
    """Yield what an import statement inside a function brings in, by name.

    Raises
    ------
    UndigestibleError
        If the module cannot be imported here.
    """
    relative = "." * statement.level + statement.module
    unloaded = None if statement.level else _unloaded(statement.module)
    if unloaded is not None:
        yield relative, unloaded
        return
    try:
        module = importlib.import_module(relative, package if statement.level else None)
    except ImportError as exc:
        message = f"it imports '{relative}', which fails here ({type(exc).__name__})"
        raise UndigestibleError(message) from exc
    if not statement.names or origin_of_module(module).kind in {"python", "installed"}:
        yield relative, module
        return
    for name in statement.names:
        value = getattr(module, name, None)
        if value is None and f"{module.__name__}.{name}" in sys.modules:
            value = sys.modules[f"{module.__name__}.{name}"]
        yield (
            f"{relative}.{name}",
            value if hasattr(module, name) or value is not None else leaf("missing", name),
        )


def _unloaded(module: str) -> Form | None:
    """Return the form of a library that is not imported yet, without importing it; None for a user's module."""
    top = module.partition(".")[0]
    if top in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        # an optional library that this machine lacks: the code's own text still counts
        return leaf("missing module", top)
    file = spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)
    origin = origin_of(top, file)
    return leaf("module", origin.version, module) if origin.kind in {"python", "installed"} else None


def _chains(code: CodeType) -> Iterator[tuple[bool, Chain]]:
    is_free = False
    chain: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname in _SILENT:
            continue
        if chain and instruction.opname in _ATTRIBUTE_LOADS:
            chain.append(instruction.argval)
            continue
        if chain:
            yield is_free, tuple(chain)
        is_free = instruction.opname in _FREE_LOADS
        chain = [instruction.argval] if is_free or instruction.opname in _GLOBAL_LOADS else []


def _imports(code: CodeType) -> Iterator[Import]:
    arguments: list[Any] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, names = arguments[-2:]
            yield Import(instruction.argval, level, tuple(names or ()))
        if instruction.opname not in _SILENT:
            arguments = [*arguments[-1:], instruction.argval]
