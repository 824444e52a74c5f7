"""Why a payload refused values: which input, which values, what it would have taken, and what to do.

Only used after correctionlib has raised, whose message names one value and no remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import correctionlib
import numpy as np
from numpy.typing import NDArray

from intccms.schema.explain import did_you_mean
from intccms.systematics.payload_trees import edges_of, limits_of, named

if TYPE_CHECKING:
    from intccms.systematics.payload_arrays import Input

__all__ = ["known_keys", "refusals"]

_MOST_KEYS = 12
_MOST_REFUSALS = 4
_NEARLY_ALL = 0.9
"""Part of the values outside of a range from which on another quantity was probably given."""
_OPERATIONS = {"+": np.add, "*": np.multiply, "/": np.divide}

Values = dict[str, Any]
"""By name of input: a text, or an array of shape ``(n,)``."""
Indices = NDArray[np.int64]


def refusals(
    document: Mapping[str, Any], key: str, inputs: Sequence[Input], flat: Sequence[Any]
) -> list[str]:
    """Say which values of which inputs a correction refuses.

    Parameters
    ----------
    document
        The JSON of the payload.
    key
        Name of the correction, simple or compound.
    inputs, flat
        What it takes, and what it was given: texts, numbers and arrays of one length.

    Returns
    -------
    list of str
        One sentence or more for each input and range; empty if nothing was found.
    """
    size = next((one.size for one in flat if isinstance(one, np.ndarray)), 1)
    values = {
        one.name: given if isinstance(given, str) else np.broadcast_to(given, size)
        for one, given in zip(inputs, flat, strict=True)
    }
    found, is_compound = named(document, key)
    parts = [named(document, name)[0] for name in found["stack"]] if is_compound else [found]
    for part in parts:
        walk = _Walk(part, size)
        walk.visit(part["data"], values, np.arange(size))
        if walk.found:
            places = {one.name: position + 1 for position, one in enumerate(inputs)}
            return [_sentence(*one, places, size) for one in list(walk.found.items())[:_MOST_REFUSALS]]
        if is_compound:
            result = _evaluated(part, part["data"], values, np.arange(size))
            operation = _OPERATIONS[found["input_op"]]
            with np.errstate(all="ignore"):
                values |= {name: operation(values[name], result) for name in found["inputs_update"]}
    return []


@dataclass(frozen=True)
class _Refusal:
    """An input with what would have been taken in its place."""

    name: str
    limits: tuple[float, float] | None = None
    known: tuple[str | int, ...] = ()
    context: tuple[tuple[str, Any], ...] = ()
    """Keys of the categories above."""


@dataclass
class _Walk:
    """Follows values through the tree of a correction, as correctionlib does, for all objects at once."""

    correction: Mapping[str, Any]
    size: int
    found: dict[_Refusal, list[Any]] = field(default_factory=dict)
    """The values that were refused, a text or arrays."""

    def visit(
        self, node: Any, values: Values, index: Indices, context: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        """Note what a node and those below it refuse of the objects at `index`."""
        if not isinstance(node, Mapping) or not index.size:
            return
        if node["nodetype"] == "category":
            self._visit_category(node, values, index, context)
        elif node["nodetype"] in {"binning", "multibinning"}:
            self._visit_binning(node, values, index, context)
        elif node["nodetype"] == "transform":
            before = len(self.found)
            self.visit(node["rule"], values, index, context)
            if len(self.found) == before:
                changed = np.array(values[node["input"]])
                changed[index] = _evaluated(self.correction, node["rule"], values, index)
                self.visit(node["content"], {**values, node["input"]: changed}, index, context)

    def _visit_category(
        self, node: Mapping[str, Any], values: Values, index: Indices, context: tuple[tuple[str, Any], ...]
    ) -> None:
        name, given = node["input"], values[node["input"]]
        items = {item["key"]: item["value"] for item in node["content"]}
        groups = [(given, index)] if isinstance(given, str) else list(_groups(given[index], index))
        for key, chosen in groups:
            if key in items:
                self.visit(items[key], values, chosen, (*context, (name, key)))
            elif node.get("default") is not None:
                self.visit(node["default"], values, chosen, (*context, (name, key)))
            else:
                refusal = _Refusal(name, known=tuple(items), context=context)
                self.found.setdefault(refusal, []).append(key if isinstance(given, str) else given[chosen])

    def _visit_binning(
        self, node: Mapping[str, Any], values: Values, index: Indices, context: tuple[tuple[str, Any], ...]
    ) -> None:
        axes = edges_of(node)
        inside = np.ones(index.size, dtype=bool)
        for name, edges in axes:
            low, high = limits_of(edges)
            outside = ~((values[name][index] >= low) & (values[name][index] < high))
            if node["flow"] == "error" and outside.any():
                self.found.setdefault(_Refusal(name, (low, high)), []).append(values[name][index[outside]])
            inside &= ~outside
        if not isinstance(node["flow"], str):
            self.visit(node["flow"], values, index[~inside], context)
        if node["flow"] in ("clamp", "wrap"):
            inside[:] = True
        if not any(isinstance(child, Mapping) for child in node["content"]):
            return
        taken = index[inside]
        position = np.zeros(taken.size, dtype=np.int64)
        for name, edges in axes:
            bins, count = _bins(values[name][taken], edges, node["flow"])
            position = position * count + bins
        for child, chosen in _groups(position, taken):
            self.visit(node["content"][child], values, chosen, context)


def _groups(keys: NDArray[Any], index: Indices) -> Iterator[tuple[Any, Indices]]:
    for key in np.unique(keys):
        yield key.item(), index[keys == key]


def _bins(values: NDArray[Any], edges: Any, flow: Any) -> tuple[NDArray[np.int64], int]:
    """Return the bins of values and how many bins there are; a bin holds its lower edge."""
    if isinstance(edges, Mapping):
        edges = np.linspace(edges["low"], edges["high"], edges["n"] + 1)
    edges = np.asarray([float(edge) for edge in edges])
    if flow == "wrap":
        with np.errstate(all="ignore"):
            values = edges[0] + np.mod(values - edges[0], edges[-1] - edges[0])
    count = edges.size - 1
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, count - 1), count


def _evaluated(correction: Mapping[str, Any], tree: Any, values: Values, index: Indices) -> Any:
    """Evaluate one tree of a correction, with the inputs and formulas of that."""
    alone = {"name": "tree", "version": 1, "output": {"name": "result", "type": "real"}, "data": tree}
    shared = {
        one: correction[one] for one in ("inputs", "generic_formulas") if correction.get(one) is not None
    }
    text = json.dumps({"schema_version": 2, "corrections": [{**alone, **shared}]})
    given = [values[one["name"]] for one in correction["inputs"]]
    evaluator = correctionlib.CorrectionSet.from_string(text)["tree"]
    return evaluator.evaluate(*(one if isinstance(one, str) else one[index] for one in given))


def known_keys(keys: Sequence[str | int]) -> str:
    """Return keys for a message, the first ones if they are many."""
    shown = ", ".join(repr(key) for key in keys[:_MOST_KEYS])
    return f"{shown} and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else shown


def _sentence(refusal: _Refusal, refused: list[Any], places: Mapping[str, int], size: int) -> str:
    place = places.get(refusal.name)
    what = f"input {refusal.name!r}" + (f" (argument {place})" if place else "")
    if isinstance(refused[0], str):
        return f"{what} is {refused[0]!r}{_lacking(refusal, refused[0])}"
    values = np.concatenate(refused)
    many = f" for {values.size} of {size} values" if size > 1 else ""
    if refusal.limits is None:
        keys = sorted(set(values.tolist()))
        return f"{what} is {known_keys(keys)}{many}{_lacking(refusal, None)}"
    low, high = values.min(), values.max()
    shown = f"{low:.8g}" if low == high else f"{low:.8g} to {high:.8g}"
    first, last = refusal.limits
    remedy = _clamp(refusal.name, refusal.limits, below=low < first, above=high >= last)
    if size > 1 and values.size >= _NEARLY_ALL * size and len(places) > 1:
        order = ", ".join(places)
        remedy = f"Are the arguments in the right order? The payload takes {order}. If they are, {remedy[0].lower()}{remedy[1:]}"
    return (
        f"{what} is {shown}{many}, outside the range {first:.8g} <= {refusal.name} < {last:.8g} of the payload. "
        f"{remedy}leave such objects out in the transform_in of an event correction."
    )


def _lacking(refusal: _Refusal, key: str | None) -> str:
    """Return what is known in place of a key, and what to do."""
    near = did_you_mean(key, [one for one in refusal.known if isinstance(one, str)]) if key else ""
    above = ", ".join(f"{name}={value!r}" for name, value in refusal.context)
    within = f"with {above} " if above else ""
    concerns_all = key is not None and all(isinstance(value, str) for _, value in refusal.context)
    remedy = (
        "Ask for one of these."
        if concerns_all
        else "Leave such objects out in the transform_in of an event correction, or ask for what it has."
    )
    return f", but {within}the payload has only {known_keys(refusal.known)}.{near} {remedy}"


def _clamp(name: str, limits: tuple[float, float], *, below: bool, above: bool) -> str:
    """Return an expression that clamps flat and jagged arrays, float32 as well, into a range."""
    if (below and np.isinf(limits[0])) or (above and np.isinf(limits[1])):
        return "Only finite values can be looked up: "
    low, high = _inside(limits[0], np.inf), _inside(limits[1], -np.inf)
    text = f"np.minimum({name}, {high!r})" if above else name
    text = f"np.maximum({text}, {low!r})" if below else text
    return f"Clamp it, {text}, or "


def _inside(edge: float, inward: float) -> float:
    """Return the nearest float32 on the inner side of an edge, with all digits: 2.4 as float32 is above 2.4.

    Rounded to what tells float32 apart, it may be the edge again in double precision.
    """
    nearest = np.float32(edge)
    if float(nearest) == edge and inward > 0:
        return float(nearest)
    is_inside = float(nearest) > edge if inward > 0 else float(nearest) < edge
    return float(nearest if is_inside else np.nextafter(nearest, np.float32(inward)))
