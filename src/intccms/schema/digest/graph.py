"""Hash values that are made of other values, in any shape, cycles included.

Values are visited depth first. A value that takes part in no cycle is hashed from the digests of its parts.
Values that refer to each other in a circle (functions that call each other, a class and its methods) are
hashed together: the colours of their nodes are refined until no two nodes that behave differently share one,
and the table of all colours becomes part of each digest. So a digest depends neither on the value the visit
started from nor on the order of dicts and sets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intccms.errors import ConfigError
from intccms.schema.digest.forms import Form, UndigestibleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["GraphHasher"]


@dataclass(slots=True, eq=False)
class _Node:
    """A value with parts, while its digest is not known yet."""

    form: Form
    index: int
    low: int
    children: list[bytes | _Node] = field(default_factory=list)
    digest: bytes | None = None


class GraphHasher:
    """Digest values by their forms.

    Parameters
    ----------
    describe
        Gives the form of a value, or raises ``UndigestibleError``.
    where
        The place of the first value, for error messages.
    named_file
        Gives the form of the file that a value names, or None; asked within anything that can be called, and
        where forms say so.
    """

    def __init__(
        self,
        describe: Callable[[object], Form],
        *,
        where: str = "",
        named_file: Callable[[object], Form | None] | None = None,
    ) -> None:
        self._describe = describe
        self._named_file = named_file
        self._where = where
        self._path: list[str] = []
        self._stack: list[_Node] = []
        self._count = 0
        # the value is kept beside its node: the id of a freed temporary would be given to another value
        self._seen: dict[tuple[int, bool], tuple[object, _Node]] = {}

    def digest(self, value: object, *, files: bool = False) -> bytes:
        """Return the sha256 of a value.

        Parameters
        ----------
        value
            Any value.
        files
            Whether texts and paths in it name files that code opens.

        Raises
        ------
        ConfigError
            If the value or anything it refers to cannot be digested; the message names the place.
        """
        try:
            result = self._visit(value, files=files)
        except UndigestibleError as exc:
            message = f"cannot digest {self._place()}: {exc}. {exc.remedy}."
            raise ConfigError(message) from exc
        except RecursionError as exc:
            start = "".join([self._where, *self._path[:4]]).lstrip(".") or "the value"
            message = (
                f"cannot digest {start}: it is nested {len(self._path)} levels deep, more than Python's "
                f"recursion limit allows. Flatten it."
            )
            raise ConfigError(message) from exc
        # the first value visited closes every cycle, so that it has its digest by now
        assert isinstance(result, bytes)
        return result

    def _place(self) -> str:
        return "".join([self._where, *self._path]).removeprefix(".").removeprefix(" > ") or "the value"

    def _visit(self, value: object, *, files: bool) -> bytes | _Node:
        if isinstance(value, Form):
            form = value
        else:
            files = files or callable(value)
            known = self._seen.get((id(value), files))
            if known is not None:
                return known[1].digest or known[1]
            form = self._form(value, files=files)
        if not form.parts:
            return _combine(form, ())
        node = _Node(form, self._count, self._count)
        self._count += 1
        self._seen[id(value), files] = (value, node)
        self._stack.append(node)
        inside = files if form.files is None else form.files
        for step, part in form.parts:
            self._path.append(step)
            child = self._visit(part, files=inside)
            self._path.pop()
            node.children.append(child)
            if isinstance(child, _Node):
                node.low = min(node.low, child.low)
        if node.low == node.index:
            self._close(node)
        return node.digest or node

    def _form(self, value: object, *, files: bool) -> Form:
        named = self._named_file(value) if files and self._named_file is not None else None
        return self._describe(value) if named is None else named

    def _close(self, root: _Node) -> None:
        """Hash the nodes that form a cycle with ``root``, or ``root`` alone."""
        start = self._stack.index(root) if self._stack[-1] is not root else len(self._stack) - 1
        members = self._stack[start:]
        del self._stack[start:]
        if len(members) == 1 and not any(isinstance(child, _Node) for child in root.children):
            root.digest = _combine(root.form, [child for child in root.children if isinstance(child, bytes)])
            return
        colours = _refine(members)
        table = _hash(b"table", sorted({_colour(node, colours) + colours[id(node)] for node in members}))
        for node in members:
            node.digest = _hash(b"cycle", [colours[id(node)], table])


def _refine(members: list[_Node]) -> dict[int, bytes]:
    """Give two nodes of a cycle the same colour exactly if nothing tells them apart."""
    colours = dict.fromkeys(map(id, members), b"\0" * 32)
    distinct = 0
    while len(set(colours.values())) > distinct:
        distinct = len(set(colours.values()))
        colours = {id(node): _colour(node, colours) for node in members}
    return colours


def _colour(node: _Node, colours: dict[int, bytes]) -> bytes:
    children = [
        child if isinstance(child, bytes) else child.digest or colours[id(child)] for child in node.children
    ]
    return _combine(node.form, children)


def _combine(form: Form, children: Iterable[bytes]) -> bytes:
    parts = list(children) if form.ordered else sorted(children)
    return _hash(form.tag.encode(), [form.atom, *parts])


def _hash(tag: bytes, parts: list[bytes]) -> bytes:
    digest = hashlib.sha256()
    for part in (tag, *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
