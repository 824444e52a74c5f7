"""Find the syntax tree that a code object was compiled from, and write it without what does not matter.

A tree is only ever given for a code object that the source compiles to: after an edit without a reload the
running code is no longer that of the file, and the caller must fall back on the code itself.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import tokenize
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Syntax", "iter_codes", "module_syntax", "normalised", "syntax_of"]

type _FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
type _Span = tuple[tuple[int, int], tuple[int, int]]

# the one feature that notebooks pass on from cell to cell and that changes code
_FUTURES = annotations.compiler_flag
_MAX_FILES = 1024


@dataclass(frozen=True, slots=True)
class Syntax:
    """A normalised syntax tree.

    Attributes
    ----------
    sha256
        Of the tree without comments, docstrings, positions, annotations and statements without effect.
    names
        The names that occur in it, as written.
    """

    sha256: bytes
    names: frozenset[str]


@dataclass(slots=True)
class _Source:
    """One parsed file or notebook cell."""

    stamp: object
    text: str
    module: CodeType
    tree: ast.Module
    codes: frozenset[CodeType]
    nodes: dict[tuple[int, str], list[_FunctionNode]]
    known: dict[int, Syntax] = field(default_factory=dict)

    def function(self, code: CodeType) -> Syntax | None:
        if code not in self.codes:
            return None
        nodes: Sequence[_FunctionNode] = self.nodes[code.co_firstlineno, code.co_name]
        if len(nodes) > 1:
            nodes = _innermost(nodes, code)
        return self._syntax(nodes[0]) if nodes else None

    def whole(self) -> Syntax:
        return self._syntax(self.tree)

    def _syntax(self, node: ast.AST) -> Syntax:
        if id(node) not in self.known:
            self.known[id(node)] = normalised(node)
        return self.known[id(node)]


_sources: dict[tuple[str, int], _Source] = {}


def syntax_of(code: CodeType, module_globals: dict[str, Any] | None = None) -> Syntax | None:
    """Return the syntax tree of a function by its code object; None if its source is not to be had.

    Parameters
    ----------
    code
        Of a function or lambda.
    module_globals
        The function's globals, with which ``linecache`` finds sources in zip archives.
    """
    for source in _candidates(code.co_filename, code.co_flags & _FUTURES, module_globals):
        found = source.function(code)
        if found is not None:
            return found
    return None


def module_syntax(filename: str) -> tuple[Syntax, CodeType] | None:
    """Return the syntax tree and code of a whole module; None if its source is not to be had."""
    source = next(iter(_candidates(filename, 0, None)), None)
    return None if source is None else (source.whole(), source.module)


def normalised(tree: ast.AST) -> Syntax:
    """Return a syntax tree without what does not matter."""
    return _Normaliser().run(tree)


def iter_codes(code: CodeType) -> list[CodeType]:
    """Return a code object and those of all functions, classes and comprehensions inside it."""
    found = [code]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.extend(iter_codes(constant))
    return found


def _candidates(filename: str, flags: int, module_globals: dict[str, Any] | None) -> list[_Source]:
    """Return the parsed file, read anew if it changed."""
    known = _sources.get((filename, flags))
    stamp = _file_stamp(filename)
    if known is not None and stamp is not None and known.stamp == stamp:
        return [known]
    text = _read(filename, module_globals)
    if known is not None and known.text == text:
        known.stamp = stamp
        return [known]
    source = _parse(filename, flags, stamp, text) if text is not None else None
    if source is None:
        return []
    if len(_sources) >= _MAX_FILES:
        _sources.clear()
    _sources[filename, flags] = source
    return [source]


def _file_stamp(filename: str) -> tuple[int, int] | None:
    try:
        status = Path(filename).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _read(filename: str, module_globals: dict[str, Any] | None) -> str | None:
    """Read a file from disk, for linecache may hold it as it was; cells and archives from linecache."""
    try:
        with tokenize.open(filename) as stream:
            return stream.read()
    except (SyntaxError, UnicodeDecodeError):
        return None
    except (OSError, ValueError):
        linecache.checkcache(filename)
        return "".join(linecache.getlines(filename, module_globals)) or None


def _parse(filename: str, flags: int, stamp: object, text: str) -> _Source | None:
    allowed = flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(text, filename, "exec", ast.PyCF_ONLY_AST | allowed, dont_inherit=True)
        module = compile(tree, filename, "exec", allowed, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    nodes: dict[tuple[int, str], list[_FunctionNode]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            nodes[node.lineno, "<lambda>"].append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            nodes[first, node.name].append(node)
    return _Source(stamp, text, module, tree, frozenset(iter_codes(module)), nodes)


def _innermost(nodes: Sequence[_FunctionNode], code: CodeType) -> Sequence[_FunctionNode]:
    """Keep the function, of several with one name on one line, whose body holds the code's instructions."""
    span = _code_span(code)
    if span is None:
        return [node for node in nodes if isinstance(node, ast.Lambda) and _compiles_to(node, code)][:1]
    around = [(body, node) for node in nodes if _holds(body := _body_span(node), span)]
    # the narrowest body is the one that begins last and ends first
    around.sort(key=lambda pair: (pair[0][0], [-number for number in pair[0][1]]))
    return [node for _, node in around[-1:]]


def _compiles_to(node: ast.Lambda, code: CodeType) -> bool:
    """Tell whether a lambda has the code given, where no instruction knows its column (``lambda: 1``)."""
    outer = compile(
        ast.Expression(node), code.co_filename, "eval", code.co_flags & _FUTURES, dont_inherit=True
    )
    return any(_essence(inner) == _essence(code) for inner in iter_codes(outer)[1:])


def _essence(code: CodeType) -> tuple[object, ...]:
    return code.co_code, repr(code.co_consts), code.co_names, code.co_varnames, code.co_argcount


def _holds(outer: _Span, inner: _Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _body_span(node: _FunctionNode) -> _Span:
    first, last = (node.body, node.body) if isinstance(node, ast.Lambda) else (node.body[0], node.body[-1])
    return (first.lineno, first.col_offset), (last.end_lineno or 0, last.end_col_offset or 0)


def _code_span(code: CodeType) -> _Span | None:
    """Return where the instructions of a function lie; those of its own start carry no columns."""
    starts, ends = [], []
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None:
            continue
        if (column, end_column) != (0, 0):
            starts.append((line, column))
            ends.append((end_line, end_column))
    return (min(starts), max(ends)) if starts else None


class _Normaliser:
    """Write a syntax tree as text and collect the names in it."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._names: set[str] = set()

    def run(self, node: ast.AST) -> Syntax:
        match node:
            case ast.Lambda():
                self._write("function", self._arguments(node.args), [ast.Return(node.body)])
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._write(type(node).__name__, node.name, self._arguments(node.args), node.body)
            case _:
                self._node(node, in_class=False)
        text = "".join(self._text).encode("utf-8", "surrogatepass")
        return Syntax(hashlib.sha256(text).digest(), frozenset(self._names))

    def _arguments(self, args: ast.arguments) -> list[object]:
        """Return the names of the parameters; the defaults of the outermost function count by value."""
        groups: list[object] = [
            [arg.arg for arg in group] for group in (args.posonlyargs, args.args, args.kwonlyargs)
        ]
        return [*groups, *(star.arg if star else None for star in (args.vararg, args.kwarg))]

    def _write(self, *values: object, in_class: bool = False) -> None:
        for value in values:
            if isinstance(value, ast.AST):
                self._node(value, in_class=in_class)
            elif isinstance(value, list):
                self._text.append("[")
                for item in value:
                    if not _is_idle(item, in_class=in_class):
                        self._write(item, in_class=in_class)
                self._text.append("]")
            else:
                self._text.append(f"{type(value).__name__}:{value!r},")

    def _node(self, node: ast.AST, *, in_class: bool) -> None:
        if isinstance(node, ast.Name):
            self._names.add(node.id)
        if isinstance(node, ast.AnnAssign) and node.value is not None and not in_class:
            self._node(ast.Assign([node.target], node.value), in_class=False)
            return
        self._text.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name in _IGNORED_FIELDS and not (in_class and isinstance(node, ast.AnnAssign)):
                continue
            # an absent field is not written: later versions of Python add optional fields to nodes
            if value is None and not isinstance(node, ast.Constant):
                continue
            if not isinstance(value, list) or value:
                self._text.append(f"{name}=")
                self._write(value, in_class=isinstance(node, ast.ClassDef) and name == "body")
        self._text.append(")")


_IGNORED_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})


def _is_idle(node: object, *, in_class: bool) -> bool:
    """Tell whether a statement has no effect: docstrings, ``pass``, ``...``, bare annotations."""
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.AnnAssign(value=None):
            return not in_class
    return False
