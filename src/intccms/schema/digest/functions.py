"""The form of functions and of what wraps them.

A user's function is its syntax tree (or its code object where the source is not to be had), its defaults,
closure values and attributes, and everything that its code refers to by name.
"""

from __future__ import annotations

import functools
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from intccms.schema.digest.files import files_in_code
from intccms.schema.digest.forms import Form, Part, UndigestibleError, leaf, mapping, sequence
from intccms.schema.digest.origins import module_file, origin_of, origin_of_module, published
from intccms.schema.digest.references import Chain, follow, imported, referenced_chains, referenced_imports
from intccms.schema.digest.syntax import module_syntax, syntax_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.schema.digest.syntax import Syntax

__all__ = ["describe_code", "describe_compiled", "describe_function", "describe_module"]

_LRU_CACHE = type(functools.lru_cache(len))


def describe_function(function: FunctionType) -> Form:
    """Return the form of a Python function or lambda; see the module."""
    known = published(function)
    if known is not None:
        return known
    registry = getattr(function, "registry", None)
    if registry is not None and hasattr(function, "dispatch") and _origin_version(function) != "":
        return sequence("singledispatch", [(" > registry", dict(registry))])
    syntax = syntax_of(function.__code__, function.__globals__)
    parts: list[Part] = [
        _content(function.__code__, syntax),
        (" > defaults", function.__defaults__),
        (" > defaults", function.__kwdefaults__),
    ]
    attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    if attributes:
        parts.append(("", mapping("attributes", attributes)))
    parts.append(("", _closure_and_globals(function, syntax)))
    return sequence("function", parts, _origin_version(function))


def describe_code(code: CodeType) -> Form:
    """Return the form of a code object without its names of files and numbers of lines."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    constants = tuple(code.co_consts)
    return sequence(
        "code",
        [
            ("", (code.co_code, code.co_exceptiontable, counts, names)),
            (" > constants", constants),
        ],
    )


def describe_module(module: ModuleType) -> Form:
    """Return the form of a module as a whole.

    Installed modules count by their version, a user's module by its syntax tree and what its code refers to.

    Raises
    ------
    UndigestibleError
        If the source of a user's module is not to be had.
    """
    origin = origin_of_module(module)
    if origin.is_published:
        return leaf("module", origin.version, module.__name__)
    file = module_file(module)
    source = module_syntax(file) if file is not None else None
    if source is None:
        message = f"the module '{module.__name__}' as a whole has no source; refer to its members by name"
        raise UndigestibleError(message)
    syntax, code = source
    return sequence(
        "user module", [("", leaf("syntax", syntax.sha256)), ("", _references(code, vars(module), syntax))]
    )


def _origin_version(function: FunctionType) -> str:
    """Return the version of the code, not of the function that it may wrap; empty for a user's code."""
    return origin_of(function.__globals__.get("__name__"), function.__code__.co_filename).version


def _content(code: CodeType, syntax: Syntax | None) -> Part:
    return ("", leaf("syntax", syntax.sha256) if syntax is not None else code)


def _closure_and_globals(function: FunctionType, syntax: Syntax | None) -> Form:
    code = function.__code__
    cells = {
        name: _cell_content(cell)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    }
    origin = origin_of(function.__globals__.get("__name__"), code.co_filename)
    if origin.kind in {"python", "installed"}:
        # the names in a library's code are covered by its version; what it was given to hold is not
        return _named("closure", cells)
    return _references(code, function.__globals__, syntax, cells)


def _cell_content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return leaf("empty")


def _references(
    code: CodeType,
    scope: Mapping[str, Any],
    syntax: Syntax | None,
    cells: Mapping[str, object] | None = None,
) -> Form:
    """Return all that a code object refers to, by name; modules in cells count by the attributes used."""
    cells = cells or {}
    found: dict[str, object] = {}
    for is_free, chain in referenced_chains(code):
        if not _is_written(chain, syntax):
            continue
        if is_free:
            if isinstance(cells.get(chain[0]), ModuleType):
                name, value = follow(chain, cells)
                found[f"closure variable '{name}'"] = value
        else:
            name, value = follow(chain, scope)
            found[f"global '{name}'"] = value
    for name, value in cells.items():
        if not isinstance(value, ModuleType):
            found[f"closure variable '{name}'"] = value
    for statement in referenced_imports(code):
        for name, value in imported(statement, scope.get("__package__")):
            found[f"import '{name}'"] = value
    for text, file in files_in_code(code, scope):
        found[f"file '{text}'"] = file
    return _named("references", found)


def _is_written(chain: Chain, syntax: Syntax | None) -> bool:
    """Tell whether the code itself names the chain: annotations of inner functions also load names."""
    name = chain[0]
    if syntax is None or name in syntax.names:
        return True
    return any(written.startswith("__") and name.endswith(written) for written in syntax.names)


def _named(tag: str, values: Mapping[str, object]) -> Form:
    return mapping(tag, values, step=" > {}")


def describe_compiled(value: Any) -> Form | None:
    """Return the form of a compiled wrapper (``functools.lru_cache``, what numba makes); None for others."""
    parts: list[Part] = [(" > class", type(value))]
    if isinstance(value, _LRU_CACHE):
        return sequence("wrapper", [*parts, (" > wrapped function", value.__wrapped__)])
    if not type(value).__module__.startswith("numba."):
        return None
    # what numba.vectorize makes holds its function one level down
    dispatcher = getattr(value, "_dispatcher", value)
    function = getattr(dispatcher, "py_func", None)
    if function is None:
        return None
    options = dict(getattr(dispatcher, "targetoptions", {}))
    return sequence("wrapper", [*parts, (" > wrapped function", function), (" > options", options)])
