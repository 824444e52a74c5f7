"""What the JSON of a correctionlib file says of the inputs of a correction: their keys and their ranges.

Nothing is evaluated here; the meaning of the nodes is that of correctionlib's schema, version 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Outline", "edges_of", "limits_of", "named", "outline"]

Node = Any
"""A node of the tree: a number, or a dictionary with ``nodetype``."""
Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Outline:
    """Which values a correction takes, as far as that can be told without evaluating it."""

    choices: Mapping[str, tuple[str | int, ...]]
    """Keys by input, of the categories at every depth; not every combination of keys need exist."""
    open: frozenset[str]
    """Inputs of which some category has a default, so that other keys are taken as well."""
    ranges: Mapping[str, tuple[float, float]]
    """Lowest edge (included) and highest edge (excluded) by input, where every value outside is refused."""


def named(document: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], bool]:
    """Return the JSON of a correction, and whether it is a compound one.

    Raises
    ------
    KeyError
        If there is none.
    """
    for kind in ("corrections", "compound_corrections"):
        for one in document.get(kind) or ():
            if one["name"] == key:
                return one, kind == "compound_corrections"
    raise KeyError(key)


def outline(document: Mapping[str, Any], key: str) -> Outline:
    """Return which keys and ranges a correction has for its inputs.

    Of a compound correction, an input that the stack rewrites has the range of the first of its corrections only,
    which still sees the value that was given.
    """
    found, is_compound = named(document, key)
    if not is_compound:
        return _outline_of_tree(found["data"])
    parts = [_outline_of_tree(named(document, name)[0]["data"]) for name in found["stack"]]
    choices: dict[str, tuple[str | int, ...]] = {}
    ranges: Ranges = {}
    for position, part in enumerate(parts):
        for name, keys in part.choices.items():
            choices[name] = tuple(dict.fromkeys([*choices.get(name, ()), *keys]))
        raw = {
            name: limits
            for name, limits in part.ranges.items()
            if position == 0 or name not in found["inputs_update"]
        }
        ranges = _narrowed(ranges, raw)
    return Outline(choices, frozenset().union(*(part.open for part in parts)), ranges)


def _outline_of_tree(tree: Node) -> Outline:
    choices: dict[str, dict[str | int, None]] = {}
    defaults = set()
    for node in _nodes(tree):
        if node["nodetype"] == "category":
            choices.setdefault(node["input"], {}).update(
                dict.fromkeys(item["key"] for item in node["content"])
            )
            if node.get("default") is not None:
                defaults.add(node["input"])
    return Outline({name: tuple(keys) for name, keys in choices.items()}, frozenset(defaults), _ranges(tree))


def _children(node: Mapping[str, Any]) -> Iterator[Node]:
    """Yield what a node may hand on to, with the input as it received it or rewritten."""
    kind = node["nodetype"]
    if kind in {"binning", "multibinning"}:
        yield from node["content"]
        if not isinstance(node["flow"], str):
            yield node["flow"]
    elif kind == "category":
        yield from (item["value"] for item in node["content"])
        if node.get("default") is not None:
            yield node["default"]
    elif kind == "transform":
        yield node["rule"]
        yield node["content"]


def _nodes(tree: Node) -> Iterator[Mapping[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting.extend(reversed(list(_children(node))))


def _ranges(node: Node) -> Ranges:
    """Return outside of which ranges a tree refuses every value, whatever the other inputs are."""
    if not isinstance(node, Mapping):
        return {}
    if node["nodetype"] == "transform":
        behind = {name: one for name, one in _ranges(node["content"]).items() if name != node["input"]}
        return _narrowed(behind, _ranges(node["rule"]))
    below = _widened(_ranges(child) for child in _children(node))
    return _narrowed(
        below, {name: limits_of(edges) for name, edges in edges_of(node) if node["flow"] == "error"}
    )


def edges_of(node: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the inputs of a binning in one or more dimensions with their edges; none of other nodes."""
    if node["nodetype"] == "binning":
        return [(node["input"], node["edges"])]
    if node["nodetype"] == "multibinning":
        return list(zip(node["inputs"], node["edges"], strict=True))
    return []


def limits_of(edges: Any) -> tuple[float, float]:
    """Return the first and the last edge of a list, or of ``{"n", "low", "high"}``."""
    if isinstance(edges, Mapping):
        return float(edges["low"]), float(edges["high"])
    return float(edges[0]), float(edges[-1])


def _narrowed(one: Ranges, other: Ranges) -> Ranges:
    both = {
        name: (max(one[name][0], other[name][0]), min(one[name][1], other[name][1]))
        for name in one.keys() & other.keys()
    }
    return {**one, **other, **both}


def _widened(several: Iterable[Ranges]) -> Ranges:
    """Return the ranges that hold in all branches; without branches there are none."""
    result: Ranges | None = None
    for one in several:
        if result is None:
            result = one
        else:
            result = {
                name: (min(limits[0], one[name][0]), max(limits[1], one[name][1]))
                for name, limits in result.items()
                if name in one
            }
        if not result:
            break  # most trees end in thousands of plain numbers
    return result or {}
