"""Arguments of payloads as flat NumPy arrays, and results in the structure that the arguments had.

Which values a payload takes is not looked at, only whether they are numbers of the kind of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import awkward as ak
import numpy as np

from intccms.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Input", "Shape", "flatten", "listing"]


@dataclass(frozen=True)
class Input:
    """One input of a payload."""

    name: str
    """Name in the payload; arguments go by position."""
    kind: Literal["real", "int", "string"]
    """What the payload takes: numbers, whole numbers, or one text for all objects."""


@dataclass(frozen=True)
class Shape:
    """The structure of a result."""

    size: int | None
    """Number of values; None if all arguments are scalars."""
    offsets: NDArray[np.int64] | None = None
    """Where the objects of each event begin and the last end, shape ``(n_events + 1,)``; None if flat."""
    is_awkward: bool = False
    """Whether a flat result is an awkward array."""

    def wrap(self, values: Any) -> Any:
        """Return flat float64 values as a float, a flat array, or ``n_events * var * float64``."""
        if self.size is None:
            return float(values)
        if self.offsets is None:
            return ak.Array(values) if self.is_awkward else values
        offsets = ak.index.Index64(self.offsets)
        return ak.Array(ak.contents.ListOffsetArray(offsets, ak.contents.NumpyArray(values)))


@dataclass(frozen=True)
class _Column:
    values: NDArray[Any]
    offsets: NDArray[np.int64] | None
    what: str

    @property
    def n_events(self) -> int:
        return self.values.size if self.offsets is None else self.offsets.size - 1


def flatten(args: Sequence[Any], inputs: Sequence[Input]) -> tuple[list[Any], Shape]:
    """Bring arguments into the form in which correctionlib evaluates them fastest.

    Parameters
    ----------
    args
        One per input: texts and numbers, NumPy arrays of shape ``(n,)``, awkward arrays of type ``n_events`` or
        ``n_events * var``. A flat array is repeated for the objects of each event where there are jagged ones.
    inputs
        What the payload takes.

    Returns
    -------
    tuple
        Texts, Python numbers and contiguous arrays (float64 or int64) of equal length; and the structure of the result.

    Raises
    ------
    PayloadError
        For a wrong number of arguments, a wrong type, missing values (None), NaN, fractions at an input that takes whole
        numbers, or lengths that do not fit. It names the input, and not yet the payload.
    """
    if len(args) != len(inputs):
        message = f"it got {len(args)} arguments, but takes {len(inputs)}: {listing(inputs)}."
        raise PayloadError(message)
    flat: list[Any] = []
    columns: dict[int, _Column] = {}
    for position, (arg, one) in enumerate(zip(args, inputs, strict=True)):
        what = f"input {one.name!r} (argument {position + 1})"
        if one.kind == "string" or isinstance(arg, str):
            flat.append(_text(arg, one, what, inputs))
        elif isinstance(arg, _NUMBERS) or (isinstance(arg, np.ndarray) and arg.ndim == 0):
            flat.append(_numbers(np.asarray(arg), one, what).item())
        else:
            values, offsets = _parts(arg, one, what)
            columns[position] = _Column(_numbers(values, one, what), offsets, what)
            flat.append(None)
    shape = _common_shape(list(columns.values()), any(isinstance(arg, ak.Array) for arg in args))
    for position, column in columns.items():
        flat[position] = _repeated(column, shape)
    return flat, shape


_NUMBERS = (bool, int, float, np.number, np.bool_)


def listing(inputs: Sequence[Input]) -> str:
    """Return what a payload takes, in order, for messages."""
    return ", ".join(f"{one.name} ({one.kind})" for one in inputs)


def _text(arg: Any, one: Input, what: str, inputs: Sequence[Input]) -> str:
    if one.kind == "string" and isinstance(arg, str):
        return arg
    given = repr(arg) if isinstance(arg, str | int | float) else _kind_of(arg)
    taken = "one text for all objects" if one.kind == "string" else "numbers"
    message = f"{what} takes {taken}, not {given}. The arguments are, in order: {listing(inputs)}."
    raise PayloadError(message)


def _kind_of(arg: Any) -> str:
    if isinstance(arg, ak.Array) and (name := _record_name(arg)):
        return f"whole objects ({name}): take a field of them, such as {name}.{arg.fields[0]}"
    if isinstance(arg, ak.Array):
        return f"an array of type {arg.type}"
    if isinstance(arg, np.ndarray):
        return f"an array of shape {arg.shape} and dtype {arg.dtype}"
    return "None" if arg is None else f"a {type(arg).__name__}"


def _record_name(array: Any) -> str:
    """Return what the records of an array are called; empty if it has none."""
    return str(array.layout.purelist_parameter("__record__") or "objects") if array.fields else ""


def _parts(arg: Any, one: Input, what: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return the values of an array without structure, and the offsets of its lists."""
    if isinstance(arg, np.ndarray) and arg.ndim == 1:
        if isinstance(arg, np.ma.MaskedArray):
            _refuse_missing(int(np.ma.count_masked(arg)), what)
            arg = arg.data
        if arg.dtype.kind in "biuf":
            return arg, None
    elif isinstance(arg, ak.Array):
        layout = _without_options(_materialized(arg), what)
        if layout.is_numpy and layout.data.ndim > 1:
            layout = layout.to_RegularArray()
        if layout.is_list and layout.parameter("__array__") is None:
            layout = layout.to_ListOffsetArray64(True)
            offsets = np.asarray(layout.offsets.data)
            content = _without_options(layout.content[: offsets[-1]], what)
        else:
            offsets, content = None, layout
        if content.is_numpy and content.data.ndim == 1 and content.data.dtype.kind in "biuf":
            return np.asarray(content.data), offsets
    numbers = "whole numbers" if one.kind == "int" else "numbers"
    message = f"{what} takes {numbers}, as a number or an array with one per event or one per object, not {_kind_of(arg)}."
    raise PayloadError(message)


def _materialized(array: Any) -> Any:
    # the check first: ak.materialize takes as long as all the rest here
    return array.layout if array.layout.is_all_materialized else ak.materialize(array).layout


def _without_options(layout: Any, what: str) -> Any:
    while layout.is_option or layout.is_indexed:
        if layout.is_option:
            _refuse_missing(int(np.count_nonzero(layout.mask_as_bool(valid_when=False))), what)
        layout = layout.project()
    return layout


def _refuse_missing(count: int, what: str) -> None:
    if count:
        message = f"{what} is None for {count} values. Leave these out before the payload is evaluated."
        raise PayloadError(message)


def _numbers(values: NDArray[Any], one: Input, what: str) -> NDArray[Any]:
    """Return numbers as float64 or int64."""
    if values.dtype.kind == "f":
        # correctionlib lets NaN fall into any bin, and cuts fractions off
        missing = np.isnan(values)
        if missing.any():
            message = (
                f"{what} is NaN for {np.count_nonzero(missing)} of {values.size} values. Give them a number "
                "in transform_in, or leave such objects out there (event corrections)."
            )
            raise PayloadError(message)
        if one.kind == "int" and (broken := values[values != np.trunc(values)]).size:
            message = f"{what} takes whole numbers, not {broken.flat[0]:.8g}."
            raise PayloadError(message)
    return np.ascontiguousarray(values, dtype=np.int64 if one.kind == "int" else np.float64)


def _common_shape(columns: Sequence[_Column], is_awkward: bool) -> Shape:
    """Return the structure that all arrays share, or to which flat ones are repeated."""
    if not columns:
        return Shape(None)
    first = next((one for one in columns if one.offsets is not None), columns[0])
    for other in columns:
        if other.n_events != first.n_events:
            message = f"{first.what} has {first.n_events} entries, but {other.what} has {other.n_events}."
            raise PayloadError(message)
        if other.offsets is None or other.offsets is first.offsets or first.offsets is None:
            continue
        if not np.array_equal(other.offsets, first.offsets):
            counts, others = np.diff(first.offsets), np.diff(other.offsets)
            event = int(np.flatnonzero(counts != others)[0])
            message = (
                f"{first.what} and {other.what} have different numbers of objects, in event {event} of the chunk "
                f"{counts[event]} and {others[event]}. Give both from the same collection."
            )
            raise PayloadError(message)
    size = first.values.size
    return Shape(size, first.offsets, is_awkward)


def _repeated(column: _Column, shape: Shape) -> NDArray[Any]:
    if column.offsets is None and shape.offsets is not None:
        return np.repeat(column.values, np.diff(shape.offsets))
    return column.values
