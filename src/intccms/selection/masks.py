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
    filled = np.asarray(ak.fill_none(array, value=False))
    if filled.dtype != np.bool_:
        message = f"{where} returned values of type {filled.dtype}; expected booleans. Write the comparison, such as x > 0."
        raise FunctorError(message)
    return filled


def object_mask(mask: Any, objects: Any, where: str) -> Any:
    """Return an object mask after checking that it fits its collection.

    Parameters
    ----------
    mask
        Booleans of shape ``n_events * var``.
    objects
        The collection, same shape.
    where
        Path of the functor in the configuration.

    Raises
    ------
    FunctorError
        If the mask is not jagged and boolean, or its counts differ from the collection's.
    """
    array = _as_array(mask, where)
    if array.ndim != 2 or not ak.all(ak.num(array) == ak.num(objects)):
        message = f"{where} returned {array.type}; expected one boolean per object ({ak.num(objects, axis=0)} events * var)."
        raise FunctorError(message)
    filled = ak.fill_none(array, value=False, axis=-1)
    if len(filled) and ak.type(ak.flatten(filled)).content != ak.types.NumpyType("bool"):
        message = f"{where} returned {array.type}; expected booleans. Write the comparison, such as x > 0."
        raise FunctorError(message)
    return filled


def _as_array(value: Any, where: str) -> Any:
    try:
        array = ak.Array(value)
    except (TypeError, ValueError) as exc:
        message = f"{where} returned {type(value).__name__}; expected an array of booleans."
        raise FunctorError(message) from exc
    if not hasattr(array, "ndim"):
        message = f"{where} returned {type(value).__name__}; expected an array of booleans."
        raise FunctorError(message)
    return array
