"""Columns of a NanoAOD file in memory, and the rounding of their mantissas.

A collection is kept as counts and contents, the way NanoAOD stores it; the padded rectangles in which objects
are simulated become one through `Padded.collection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Collection", "EventColumns", "Padded", "truncate_mantissa"]

type Array = npt.NDArray[Any]

MANTISSA_BITS = 23
_EXPONENT_MASK = np.uint32(0x7F80_0000)


def truncate_mantissa(array: npt.ArrayLike, bits: int) -> npt.NDArray[np.float32]:
    """Round to the nearest float32 whose mantissa uses only the leading ``bits`` of its 23 bits.

    NanoAOD does so before it compresses, because the dropped bits would be noise that does not compress.

    Parameters
    ----------
    array
        Values of any shape, rounded to float32 first.
    bits
        Bits of the mantissa to keep, 1 to 23; 23 changes nothing.

    Returns
    -------
    numpy.ndarray
        Values of the same shape, dtype float32. The relative error is at most ``2 ** -(bits + 1)``; ties go to
        the even neighbour. Infinities and NaN stay, and no finite value becomes infinite. The order of two
        values is never reversed.

    Raises
    ------
    ConfigError
        If ``bits`` is not between 1 and 23.

    Examples
    --------
    >>> float(truncate_mantissa(100.3, 10))
    100.3125
    """
    if not 1 <= bits <= MANTISSA_BITS:
        msg = f"cannot keep {bits} bits of a mantissa: a float32 has {MANTISSA_BITS}. Choose 1 to {MANTISSA_BITS}."
        raise ConfigError(msg)
    values = np.asarray(array, dtype=np.float32)
    if bits == MANTISSA_BITS:
        return values.copy()
    shift = np.uint32(MANTISSA_BITS - bits)
    raw = np.atleast_1d(values).view(np.uint32)
    keep = np.uint32(0xFFFF_FFFF) << shift
    # half of the last kept bit, minus one unit where that bit is even: ties then go to even
    half = np.uint32((1 << (int(shift) - 1)) - 1) + ((raw >> shift) & np.uint32(1))
    special = (raw & _EXPONENT_MASK) == _EXPONENT_MASK
    rounded = (np.where(special, np.uint32(0), half) + raw) & keep
    overflow = ~special & ((rounded & _EXPONENT_MASK) == _EXPONENT_MASK)
    result = np.where(special, raw, np.where(overflow, raw & keep, rounded))
    return result.astype(np.uint32).view(np.float32).reshape(values.shape)


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one kind, as counts per event and flat contents.

    Parameters
    ----------
    counts
        Objects per event, int32, shape ``(n_events,)``.
    fields
        Contents by name, each of shape ``(sum of counts,)``.
    """

    counts: npt.NDArray[np.int32]
    fields: Mapping[str, Array]

    def event_index(self) -> npt.NDArray[np.int64]:
        """Return for every object the position of its event."""
        return np.repeat(np.arange(self.counts.size), self.counts)


@dataclass(frozen=True, slots=True)
class Padded:
    """Objects of one kind in rectangles of ``n_events * n_slots``.

    Parameters
    ----------
    present
        Which slots hold an object; the fields are meaningless elsewhere.
    fields
        Values by name, all of the shape of ``present``; one of them is ``pt``.
    """

    present: npt.NDArray[np.bool_]
    fields: Mapping[str, Array]

    def sorted_by_pt(self) -> Padded:
        """Return the same objects with falling pt, the empty slots last."""
        order = np.argsort(np.where(self.present, -self.fields["pt"], np.inf), axis=1, kind="stable")
        fields = {name: np.take_along_axis(values, order, axis=1) for name, values in self.fields.items()}
        return Padded(np.take_along_axis(self.present, order, axis=1), fields)

    def collection(self, bits: Mapping[str, int]) -> Collection:
        """Drop the padding; fields named in ``bits`` are rounded to so many bits, other floats to float32."""
        fields = {}
        for name, values in self.fields.items():
            content = values[self.present]
            if np.issubdtype(content.dtype, np.floating):
                content = truncate_mantissa(content, bits.get(name, MANTISSA_BITS))
            fields[name] = content
        return Collection(self.present.sum(axis=1, dtype=np.int32), fields)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Columns of some events: ``flat`` by branch name, ``collections`` by collection name."""

    flat: Mapping[str, Array]
    collections: Mapping[str, Collection]

    def __len__(self) -> int:
        return int(self.flat["event"].size)
