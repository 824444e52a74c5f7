"""Evaluates a correction on columns: nominally, or for one direction of one of its sources.

Where an argument is None for an event (there is no leading muon), the correction changes nothing of that event. A factor
that a function makes None of arguments that are there is refused, as NaN is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import awkward as ak
import numpy as np

from intccms.errors import FunctorError, PayloadError, PayloadFileError
from intccms.schema.base import ObjVar, Payload, Sys
from intccms.selection.calling import call
from intccms.systematics.payloads import open_payload
from intccms.systematics.references import declaring
from intccms.systematics.states import flat_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from intccms.schema.corrections import Correction, UncertaintySource
    from intccms.systematics.plan import Shift

__all__ = ["Lookup", "event_factors", "identity", "object_values", "place_of", "same_call", "shift_of"]


class Lookup(Protocol):
    """Columns of events, as `intccms.analysis.columns.Columns` has them."""

    def __len__(self) -> int: ...

    def declared(self, column: ObjVar, where: str) -> Any:
        """Return a column."""
        ...


def place_of(correction: Correction, shift: Shift | None, year: str | None) -> str:
    """Return correction, source and year, for messages."""
    source = "" if shift is None else f", source {shift.source.name!r} ({'up' if shift.up else 'down'})"
    return f"correction {correction.name!r}{source}{f', year {year}' if year else ''}"


def identity(correction: Correction, shift: Shift | None = None) -> float:
    """Return the result that changes nothing; that of a relative shift is 0."""
    return 0.0 if _is_relative(shift) or correction.op != "mult" else 1.0


def _is_relative(shift: Shift | None) -> bool:
    return shift is not None and shift.source.is_delta


def event_factors(
    correction: Correction, shift: Shift | None, columns: Lookup, where: str
) -> NDArray[np.float64]:
    """Return one number per event, shape ``(n_events,)``.

    Raises
    ------
    FunctorError
        If the function raises, or its result is no finite number per event.
    PayloadError
        If a payload does not hold what it is asked for.
    """
    result = _result(correction, shift, columns, where)
    values = _as_array(result, where)
    if values.ndim > 1:
        if correction.reduce is None:
            message = (
                f"{where} gives one number per object ({values.type}); expected one per event. Set reduce='prod' "
                "(or 'sum'), or take one object of each event in transform_in."
            )
            raise FunctorError(message)
        if correction.reduce == "prod" and _is_relative(shift):
            message = (
                f"{where} gives one shift per object, and the shift of a product is not the product of shifts. Give one "
                "per event, or is_delta=False with the varied factors of objects."
            )
            raise FunctorError(message)
        values = reduced(values, correction.reduce)
    if len(values) != len(columns):
        message = f"{where} gives {len(values)} numbers for {len(columns)} events; expected one per event."
        raise FunctorError(message)
    if not isinstance(values, np.ndarray):
        values = _filled(values, identity(correction, shift))
    flat = _floats(values, where)
    if wrong := int(np.count_nonzero(~np.isfinite(flat))):
        message = (
            f"{where}: {wrong} of {len(flat)} factors are not finite, and would spoil every sum they enter. Mask what "
            "the correction is not made for, in transform_in."
        )
        raise FunctorError(message)
    if _is_relative(shift) and correction.op == "mult":
        check_shift(flat, where)
    return flat


def reduced(values: Any, how: str) -> Any:
    """Return the product or the sum of the numbers of each event, in their order; 1 or 0 where there are none."""
    layout = values.layout
    is_plain = isinstance(layout, ak.contents.ListOffsetArray) and isinstance(
        layout.content, ak.contents.NumpyArray
    )
    if not is_plain or layout.content.dtype != np.float64:
        return (ak.prod if how == "prod" else ak.sum)(values, axis=1)
    # the same operations as awkward's, which takes longer to begin than for a thousand events
    offsets, content = np.asarray(layout.offsets.data), np.asarray(layout.content.data)
    counts = np.diff(offsets)
    result = np.ones(len(counts)) if how == "prod" else np.zeros(len(counts))
    operation = np.multiply if how == "prod" else np.add
    for position in range(int(counts.max(initial=0))):
        there = np.flatnonzero(counts > position)
        result[there] = operation(result[there], content[offsets[there] + position])
    return result


def object_values(
    correction: Correction, shift: Shift | None, columns: Lookup, sizes: int, where: str, times: int = 1
) -> list[NDArray[Any]]:
    """Return one flat array per target, with a number for each object.

    Parameters
    ----------
    correction, shift, columns, where
        What is evaluated, on what, and its place for messages.
    sizes
        Number of objects of the target's collection in all events.
    times
        How many states of the same events the columns are of.

    Raises
    ------
    FunctorError, PayloadError
        As `event_factors`.
    """
    targets = correction.target or []
    result = _result(correction, shift, columns, where)
    several = isinstance(result, tuple | list)
    if several and len(result) != len(targets):
        message = f"{where} returned {len(result)} arrays for the targets {[str(one) for one in targets]}; expected one each."
        raise FunctorError(message)
    arrays = list(result) if several else [result]
    flat = []
    for one, target in zip(arrays, targets, strict=False):  # one array may serve several targets
        values = _as_array(one, where)
        if _has_options(values):
            nothing = _changing_nothing(correction, shift, columns.declared(target, where))
            values = _with_none_replaced(values, *nothing)
        numbers = _floats(ak.flatten(values, axis=None) if values.ndim > 1 else values, where)
        if len(numbers) != sizes:
            collection = correction.targets_collection
            message = f"{where} gives {_numbers_for(len(numbers), sizes, len(columns), times, collection)}."
            raise FunctorError(message)
        flat.append(numbers)
    return flat if several else flat * len(targets)


def _numbers_for(found: int, sizes: int, events: int, times: int, collection: str) -> str:
    """Return how many numbers there are and should be, for the events as they were read."""
    if found == events != sizes:
        return f"as many numbers as there are events ({events // times}); expected one per object of {collection} ({sizes // times})"
    if found % times:
        states = f"in nominal and {times - 1} variations together"
        return f"{found} numbers for the {sizes} objects of {collection} {states}; expected one per object"
    return (
        f"{found // times} numbers for the {sizes // times} objects of {collection}; expected one per object"
    )


def _has_options(values: Any) -> bool:
    kind = ak.type(values).content
    while isinstance(kind, ak.types.ListType | ak.types.RegularType):
        kind = kind.content
    return isinstance(kind, ak.types.OptionType)


def _changing_nothing(
    correction: Correction, shift: Shift | None, target: Any
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the result that leaves every object as it is, flat, and the objects per event."""
    before, counts = flat_content(target)
    if correction.op == "replace" and not _is_relative(shift):
        return before.astype(np.float64), counts
    return np.full(len(before), identity(correction, shift)), counts


def _with_none_replaced(values: Any, nothing: NDArray[np.float64], counts: NDArray[np.int64] | None) -> Any:
    """Return flat values, and what changes nothing in the place of None, be it for an object or a whole event."""
    there = ~ak.to_numpy(ak.is_none(values))
    if values.ndim > 1:
        if counts is None or len(counts) != len(there):
            return values
        there = np.repeat(there, counts)
        values = ak.flatten(ak.drop_none(values, axis=0), axis=1)
    elif len(there) == len(nothing):
        values = values[there]
    if len(there) != len(nothing) or len(values) != np.count_nonzero(there):
        return values  # of a wrong length, which is told
    result = nothing.copy()
    result[there] = ak.where(ak.is_none(values), nothing[there], values)
    return ak.Array(result)


def same_call(correction: Correction, one: Shift, other: Shift) -> bool:
    """Tell whether two shifts are one evaluation: up and down of a relative shift."""
    if one.source is not other.source or not one.source.is_delta:
        return False
    keyed = any(isinstance(item, Sys) for item in correction.arguments_of(one.source))
    return not keyed and one.source.down_function is None


def check_shift(result: NDArray[Any], where: str) -> None:
    """Refuse relative shifts above 1, which would turn momenta and weights around.

    Raises
    ------
    FunctorError
        Naming the largest of them.
    """
    largest = float(np.max(np.abs(result), initial=0.0))
    if largest > 1.0:
        message = (
            f"{where}: a relative shift of {largest:.4g}. Sources with is_delta give fractions of the nominal result, such "
            "as 0.02; give 'up_function' and 'down_function' without is_delta if these are factors or shifted values."
        )
        raise FunctorError(message)


def shift_of(result: NDArray[Any], shift: Shift) -> NDArray[Any]:
    """Return what a relative shift multiplies the nominal result with."""
    return 1.0 + result if shift.up or shift.source.down_function is not None else 1.0 - result


def _result(correction: Correction, shift: Shift | None, columns: Lookup, where: str) -> Any:
    arguments = correction.arguments_of(None if shift is None else shift.source)
    with declaring([one for one in arguments if isinstance(one, ObjVar)], "args"):
        return _called(correction, shift, columns, where)


def _called(correction: Correction, shift: Shift | None, columns: Lookup, where: str) -> Any:
    source = None if shift is None else shift.source
    key = correction.nominal_idx if shift is None else shift.key
    arguments = correction.arguments_of(source)
    transform_in, transform_out = _transforms(correction, source)
    arrays = [columns.declared(one, where) for one in arguments if isinstance(one, ObjVar)]
    if transform_in is not None:
        arrays = _transformed(call(transform_in, arrays, {}, where), len(arrays), where)
    given = iter(arrays)
    try:
        filled = [
            next(given)
            if isinstance(one, ObjVar)
            else key
            if isinstance(one, Sys)
            else open_payload(one)
            if isinstance(one, Payload)
            else one
            for one in arguments
        ]
        result = _value(correction, shift, filled, where)
    except PayloadError as exc:
        shown = ", ".join(map(str, arguments))
        order = "" if isinstance(exc, PayloadFileError) else f" The 'args' are {shown}."
        message = f"{where}: {exc}{order}"
        raise type(exc)(message) from exc  # one that cannot be opened ends the run
    if transform_out is not None:
        result = call(transform_out, [result], {}, where)
    if correction.type == "event":
        _refuse_none(result, arrays, identity(correction, shift), where)
    return result


def _refuse_none(result: Any, arrays: Sequence[Any], nothing: float, where: str) -> None:
    """Refuse None where no argument is None: it would count as a factor that changes nothing, without a word.

    Raises
    ------
    FunctorError
        With the number of them.
    """
    if not isinstance(result, ak.Array | np.ma.MaskedArray):
        return
    values = ak.Array(result)
    if not _has_options(values):
        return
    own = ak.to_numpy(ak.is_none(values))
    for one in arrays:
        if isinstance(one, ak.Array) and len(one) == len(own):
            own = own & ~ak.to_numpy(ak.is_none(one))
    number, of = int(np.count_nonzero(own)), len(own)
    if values.ndim > 1 and not any(isinstance(one, ak.Array) and _has_options(one) for one in arrays):
        inner = ak.is_none(ak.drop_none(values, axis=0), axis=1)
        number, of = number + int(ak.sum(inner)), int(ak.count(inner))
    if number:
        message = (
            f"{where}: {number} of {of} factors are None, although no argument is, and would count as {nothing:g}. Fill them, "
            f"ak.fill_none(factors, {nothing:g}), where the correction is to change nothing."
        )
        raise FunctorError(message)


def _transforms(correction: Correction, source: UncertaintySource | None) -> tuple[Any, Any]:
    if source is None or not _has_its_own(source):
        inherited = (correction.transform_in, correction.transform_out)
    else:
        inherited = (None, None)
    if source is None:
        return inherited
    return source.transform_in or inherited[0], source.transform_out or inherited[1]


def _has_its_own(source: UncertaintySource) -> bool:
    return any(item is not None for item in (source.args, source.key, source.file, source.up_function))


def _transformed(result: Any, number: int, where: str) -> list[Any]:
    arrays = list(result) if isinstance(result, tuple | list) else [result]
    if len(arrays) != number:
        message = (
            f"{where}: transform_in returned {len(arrays)} arrays for {number} columns; expected as many."
        )
        raise FunctorError(message)
    return arrays


def _value(correction: Correction, shift: Shift | None, arguments: list[Any], where: str) -> Any:
    source = None if shift is None else shift.source
    if source is not None and source.up_function is not None:
        down = source.down_function if shift is not None and not shift.up else None
        return call(down or source.up_function, arguments, {}, where)
    own = source is not None and (source.key is not None or source.file is not None)
    if own or correction.uses_payload:
        file = (source.file if source is not None else None) or correction.file
        key = (source.key if source is not None else None) or correction.key
        return _from_payload(Payload(str(file), str(key)), arguments)
    if correction.nominal_function is not None:
        return call(correction.nominal_function, arguments, {}, where)
    message = f"{where} has neither a payload nor a function."
    raise FunctorError(message)


def _from_payload(payload: Payload, arguments: list[Any]) -> Any:
    """Evaluate a payload where no argument is None, and give None elsewhere."""
    arrays = [one for one in arguments if isinstance(one, ak.Array)]
    optional = [one for one in arrays if isinstance(ak.type(one).content, ak.types.OptionType)]
    evaluator = open_payload(payload)
    if not optional:
        return evaluator.evaluate(*arguments)
    there = np.ones(len(optional[0]), dtype=bool)
    for one in optional:
        there &= ~ak.to_numpy(ak.is_none(one))
    kept = [
        ak.drop_none(one[there], axis=0)
        if isinstance(one, ak.Array)
        else one[there]
        if isinstance(one, np.ndarray) and one.ndim
        else one
        for one in arguments
    ]
    values = ak.Array(evaluator.evaluate(*kept))
    positions = np.where(there, np.cumsum(there) - 1, -1)
    return ak.Array(ak.contents.IndexedOptionArray(ak.index.Index64(positions), ak.to_layout(values)))


def _filled(values: Any, number: float) -> Any:
    """Return flat values with a number in the place of None."""
    return (
        ak.fill_none(values, number) if isinstance(ak.type(values).content, ak.types.OptionType) else values
    )


def _as_array(value: Any, where: str) -> Any:
    try:
        return ak.Array(value)
    except (TypeError, ValueError) as exc:
        message = f"{where} returned {type(value).__name__}; expected an array of numbers."
        raise FunctorError(message) from exc


def _floats(array: Any, where: str) -> NDArray[np.float64]:
    try:
        values: NDArray[Any] = ak.to_numpy(array, allow_missing=False)
    except (TypeError, ValueError) as exc:
        message = f"{where} returned {ak.type(array)}; expected numbers."
        raise FunctorError(message) from exc
    if values.dtype.kind not in "fiub":
        message = f"{where} returned {ak.type(array)}; expected numbers."
        raise FunctorError(message)
    return values.astype(np.float64, copy=False)
