"""Brings what selection functions return into one form: named boolean masks, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.errors import FunctorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["named_masks", "object_mask"]


def named_masks(result: Any, length: int, where: str) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the cuts that a selection function gave, in order, one boolean per event.

    Parameters
    ----------
    result
        A boolean array of shape ``(length,)`` (None counts as False); a dict of them by name; or a
        coffea ``PackedSelection``, whose cuts apply in the order in which they were added.
    length
        Number of events.
    where
        Path of the functor in the configuration; its last part names a single mask.

    Raises
    ------
    FunctorError
        If the result is something else, has another length or is not boolean.
    """
    if isinstance(result, Mapping):
        return [(str(name), _event_mask(mask, length, f"{where}[{name}]")) for name, mask in result.items()]
    if hasattr(result, "names") and hasattr(result, "all"):
        return [(name, _event_mask(result.all(name), length, f"{where}[{name}]")) for name in result.names]
    return [(where.rsplit(".", 1)[-1], _event_mask(result, length, where))]


def _event_mask(mask: Any, length: int, where: str) -> NDArray[np.bool_]:
    array = _as_array(mask, where)
    if array.ndim != 1:
        message = (
            f"{where} returned an array of {array.ndim} dimensions ({array.type}); expected one boolean per event. "
            "Reduce the object axis, for example with ak.any(..., axis=1)."
        )
        raise FunctorError(message)
    if len(array) != length:
        message = f"{where} returned {len(array)} booleans for {length} events; expected one per event."
        raise FunctorError(message)
    _check_boolean(array, ak.type(array).content, where)
    return np.asarray(ak.fill_none(array, value=False), dtype=np.bool_)


def object_mask(mask: Any, objects: Any, where: str) -> Any:
    """Return an object mask after checking that it fits its collection.

    Parameters
    ----------
    mask
        Booleans of shape ``n_events * var``; None counts as False, also in the place of a whole event.
    objects
        The collection, same shape.
    where
        Path of the functor in the configuration.

    Raises
    ------
    FunctorError
        If the mask is not jagged and boolean, its counts differ from the collection's, or the collection has
        one object per event and cannot be narrowed.
    """
    if objects.ndim < 2:
        message = f"{where}: the collection has exactly one object per event ({objects.type.length} events); cut on events instead."
        raise FunctorError(message)
    array = _as_array(mask, where)
    counts = ak.to_numpy(ak.num(objects, axis=1))
    if array.ndim != 2 or len(array) != len(counts):
        raise FunctorError(_does_not_fit(array, len(counts), where))
    _check_boolean(array, ak.type(ak.flatten(array, axis=1)).content, where)
    whole = _without_missing_events(ak.from_regular(array, axis=1), counts)
    if not np.array_equal(ak.to_numpy(ak.num(whole, axis=1)), counts):
        raise FunctorError(_does_not_fit(array, len(counts), where))
    return ak.values_astype(ak.fill_none(whole, value=False, axis=1), np.bool_)


def _without_missing_events(array: Any, counts: NDArray[np.int64]) -> Any:
    """Return a mask with False for all objects of the events of which it says None as a whole."""
    missing = ak.to_numpy(ak.is_none(array, axis=0))
    if not missing.any():
        return ak.drop_none(array, axis=0)  # removes the option from the type
    sizes = np.where(missing, counts, 0)
    nothing = ak.unflatten(np.zeros(int(sizes.sum()), dtype=bool), sizes)
    return ak.concatenate([ak.fill_none(array, [], axis=0), nothing], axis=1)


def _does_not_fit(array: Any, length: int, where: str) -> str:
    return f"{where} returned {array.type}; expected one boolean per object ({length} events * var)."


def _check_boolean(array: Any, kind: Any, where: str) -> None:
    """Raise unless a type is boolean, optional or not; nothing at all (no event, only None) passes."""
    if isinstance(kind, ak.types.OptionType):
        kind = kind.content
    is_boolean = isinstance(kind, ak.types.NumpyType) and kind.primitive == "bool"
    if not is_boolean and not isinstance(kind, ak.types.UnknownType):
        message = f"{where} returned {array.type}; expected booleans. Write the comparison, such as x > 0."
        raise FunctorError(message)


def _as_array(value: Any, where: str) -> Any:
    try:
        return ak.Array(value)
    except (TypeError, ValueError) as exc:
        message = f"{where} returned {type(value).__name__}; expected an array of booleans."
        raise FunctorError(message) from exc
