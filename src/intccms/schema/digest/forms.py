"""The canonical form of one value: what it is, its own content, and the values it is made of.

A form says nothing of how the parts are hashed (:mod:`.graph` does) and is not recursive: its parts are the
values themselves, so that objects which refer to each other need no care here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Form", "Part", "UndigestibleError", "leaf", "mapping", "sequence"]

type Part = tuple[str, object]
"""The step of the path that leads to a value (``.field``, ``[key]``, `` > global 'x'``), and the value."""


class UndigestibleError(Exception):
    """A value has no content that another process could reproduce; the text says why, ``remedy`` what to do."""

    def __init__(
        self,
        reason: str,
        *,
        remedy: str = (
            "Pass what it holds as plain values through static_kwargs, or make it a module-level function"
        ),
    ) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Form:
    """One value without its parts' content.

    Attributes
    ----------
    tag
        What kind of value it is; forms with different tags never have the same digest.
    atom
        The content that is not in the parts.
    parts
        The values it is made of, each with the step of the path that leads to it.
    ordered
        False where the order of the parts carries no meaning (sets, the items of a dict).
    files
        Whether texts and paths in the parts name files that code opens; None: as in what the value is part of.
    """

    tag: str
    atom: bytes = b""
    parts: tuple[Part, ...] = ()
    ordered: bool = True
    files: bool | None = None


def leaf(tag: str, *atoms: str | bytes) -> Form:
    """Return a form without parts; the atoms are joined so that their boundaries count."""
    raw = [atom if isinstance(atom, bytes) else atom.encode("utf-8", "surrogatepass") for atom in atoms]
    if len(raw) == 1:
        return Form(tag, raw[0])
    return Form(tag, b"".join(len(atom).to_bytes(8, "big") + atom for atom in raw))


def sequence(tag: str, parts: Iterable[Part], *atoms: str) -> Form:
    """Return a form whose parts count in their order."""
    return Form(tag, leaf(tag, *atoms).atom if atoms else b"", tuple(parts))


def mapping(tag: str, items: Mapping[str, object], *atoms: str, step: str = ".{}") -> Form:
    """Return a form of named parts, whose order does not count; ``step`` makes a path step of a name."""
    pairs = tuple(
        (step.format(name), Form("named", name.encode("utf-8", "surrogatepass"), (("", value),)))
        for name, value in items.items()
    )
    return Form(tag, leaf(tag, *atoms).atom if atoms else b"", pairs, ordered=False)
