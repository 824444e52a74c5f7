"""Further branches that bring the demo's files to the width of real NanoAOD.

Two thirds are trigger decisions, most of which hardly ever fire; the rest are floats, one half flat, one half
in collections, with the mantissas that NanoAOD keeps. Their contents mean nothing.
"""

from __future__ import annotations

import numpy as np

from intccms.demo.columns import Collection, EventColumns, truncate_mantissa
from intccms.errors import ConfigError

__all__ = ["check_extra_branches", "with_extra_branches"]

FIELDS_PER_COLLECTION = 25
MEAN_OBJECTS = 3.0


def check_extra_branches(number: int) -> None:
    """Raise `ConfigError` for a negative number of further branches."""
    if number < 0:
        msg = f"cannot add {number} further branches; expected 0 or more (about 1400 make a full-size file)."
        raise ConfigError(msg)


def with_extra_branches(columns: EventColumns, number: int, rng: np.random.Generator) -> EventColumns:
    """Return the columns and ``number`` further branches.

    The counters of the further collections (one for 25 branches) come on top of ``number``.
    """
    n = len(columns)
    n_triggers = round(number * 2 / 3)
    n_flat = (number - n_triggers) // 2
    n_jagged = number - n_triggers - n_flat
    flat, collections = dict(columns.flat), dict(columns.collections)
    for i in range(n_triggers):
        # rates of 1e-5 to 0.1: compressing to next to nothing, as a real trigger menu does
        rate = 10.0 ** -(1.0 + 4.0 * ((i * 0.618) % 1.0))
        flat[f"HLT_Demo{i:04d}"] = rng.random(n, dtype=np.float32) < rate
    for i in range(n_flat):
        flat[f"DemoFlat_value{i:04d}"] = truncate_mantissa(rng.exponential(50.0, n), 10)
    for first in range(0, n_jagged, FIELDS_PER_COLLECTION):
        counts = rng.poisson(MEAN_OBJECTS, n).astype(np.int32)
        size = int(counts.sum())
        fields = {
            f"value{i:02d}": truncate_mantissa(rng.normal(0.0, 2.0, size), 10 if i % 2 else 8)
            for i in range(min(FIELDS_PER_COLLECTION, n_jagged - first))
        }
        collections[f"DemoObject{first // FIELDS_PER_COLLECTION:02d}"] = Collection(counts, fields)
    return EventColumns(flat, collections)
