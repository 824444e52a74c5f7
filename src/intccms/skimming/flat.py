"""From NanoEvents back to flat NanoAOD columns: ``Muon_pt``, ``nMuon``, ``MET_pt``, ``run``.

What the schema of NanoEvents made (global indices, masses set to zero) is never written, what it replaced is taken
from the source. Nothing here writes files.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema

from intccms.errors import ConfigError, FunctorError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from intccms.errors import IntccmsError

    Read = Callable[[Collection[str]], Mapping[str, Any]]

__all__ = ["concatenated", "flat_columns", "made_columns", "packed_columns"]

logger = logging.getLogger(__name__)

_REPLACED = frozenset(NanoAODSchema.full_like_items)
"""Branches that the schema sets to zero, also where the source has them."""

_MADE = frozenset(
    [f"{name}G" for name in NanoAODSchema.all_cross_references]
    + [*NanoAODSchema.nested_items, *NanoAODSchema.nested_index_items, *NanoAODSchema.special_items]
    + [*_REPLACED, *NanoAODSchema.rename_items, *NanoAODSchema.alias_items]
)
"""Branches of the schema's own making."""


def flat_columns(events: Any, branches: Collection[str], read: Read) -> dict[str, Any]:
    """Return the planned branches of the selected events as the source has them, bit by bit.

    Parameters
    ----------
    events
        NanoEvents of a source, selected by event; those columns that were read already are not read again.
    branches
        Names of the source's branches, counters included (`BranchList.names`).
    read
        Called once with the branches that NanoEvents do not show as they are (counters of collections, charges of
        jets and photons), to return them for the same selected events.

    Returns
    -------
    dict
        Packed awkward arrays without parameters, shape ``(n_events,)`` or ``n_events * var``; flat ones first.

    Raises
    ------
    ConfigError
        If a branch has a type that a skim cannot hold, or columns of a collection have unequal counts.
    """
    shown = _shown(events, branches)
    columns = {name: _packed(name, array, ConfigError) for name, array in shown.items()}
    rest = sorted(set(branches) - set(columns))
    columns |= _read(rest, read, len(events))
    return _checked(columns, ConfigError)


def made_columns(events: Any, branches: Collection[str], types: Read) -> dict[str, Any]:
    """Return the columns of events that a user's function returned: changed, narrowed or added ones as well.

    Parameters
    ----------
    events
        NanoEvents, or records of the same shape; fields that were taken away are not written.
    branches
        Names of the source's branches.
    types
        Called once with the counters, to return arrays of their types (they may be empty).

    Returns
    -------
    dict
        As `flat_columns`; a counter ``nX`` stands beside every jagged collection ``X``, counted anew. Branches that
        the schema sets to zero in any case are left out.

    Raises
    ------
    FunctorError
        If a column has missing values or another type that a skim cannot hold, or if columns of a collection have
        unequal counts; it names them.
    """
    shown = _shown(events, branches) | dict(_added(events, branches))
    columns = {name: _packed(name, array, FunctorError) for name, array in shown.items()}
    counts: dict[str, Any] = {}
    for name, array in columns.items():
        if array.ndim > 1:
            counts.setdefault(f"n{_collection_of(name)}", ak.num(array, axis=1))
    known = sorted(set(counts) & set(branches))
    dtypes = {name: _dtype(array) for name, array in (types(known) if known else {}).items()}
    for name, values in counts.items():
        columns[name] = ak.Array(np.asarray(values).astype(dtypes.get(name, np.int32)))
    return _checked(columns, FunctorError)


def packed_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain columns as writers take them, those that a skim cannot hold (texts, nested lists) left out."""
    found = {}
    for name, array in columns.items():
        try:
            found[name] = _packed(name, array, ConfigError)
        except ConfigError:
            logger.debug("column %s of Runs is not written", name)
    return {name: found[name] for name in sorted(found, key=lambda name: (found[name].ndim, name))}


def concatenated(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the rows of all blocks of plain columns, with the columns that all of them have."""
    if len(blocks) == 1:
        return dict(blocks[0])
    names = [name for name in blocks[0] if all(name in one for one in blocks)]
    return packed_columns({name: ak.concatenate([one[name] for one in blocks]) for name in names})


def _shown(events: Any, branches: Collection[str]) -> dict[str, Any]:
    """Return the branches that are fields of the events, under their own names."""
    renamed = {old: new for new, old in NanoAODSchema.rename_items.items() if old in branches}
    overwritten = set(renamed.values()) | {
        alias for alias, original in NanoAODSchema.alias_items.items() if original in branches
    }
    # layouts: behaviours refuse collections without the fields that they need, which may have been left out
    layout = ak.to_layout(events)
    collections: dict[str, Any] = {name: layout[name] for name in layout.fields}
    found = {}
    for branch in branches:
        if branch in _REPLACED or branch in overwritten:
            continue
        collection, _, field = renamed.get(branch, branch).partition("_")
        if branch in collections and not collections[branch].fields:
            found[branch] = collections[branch]
        elif field and collection in collections and field in collections[collection].fields:
            found[branch] = collections[collection][field]
    return found


def _added(events: Any, branches: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Give the fields that are neither branches of the source nor made by the schema."""
    layout = ak.to_layout(events)
    for name in layout.fields:
        array = layout[name]
        if not array.fields and name not in branches:
            yield name, array
        for field in array.fields:
            branch = f"{name}_{field}"
            if branch not in branches and branch not in _MADE:
                yield branch, array[field]


def _read(names: list[str], read: Read, n_events: int) -> dict[str, Any]:
    if not names:
        return {}
    arrays = read(names)
    columns = {name: _packed(name, arrays[name], ConfigError) for name in names}
    for name, array in columns.items():
        if len(array) != n_events:
            message = f"{name} was read for {len(array)} events, expected the {n_events} selected ones"
            raise ValueError(message)
    return columns


def _packed(name: str, array: Any, error: type[IntccmsError]) -> Any:
    """Return a column with nothing but its own buffers."""
    array = ak.to_packed(array)
    text = ak.to_layout(array).purelist_parameter("__array__") in ("string", "bytestring")
    layout = _without_option(name, ak.to_layout(ak.without_parameters(array)), error)
    content = layout.content if layout.is_list and not layout.is_regular else layout
    content = _without_option(name, content, error)
    plain = isinstance(content, ak.contents.NumpyArray) and content.data.ndim == 1
    if text or not plain or content.dtype.kind not in "biuf" or content.dtype == np.float16:
        kind = str(ak.type(array) if text else ak.type(ak.Array(layout))).partition("*")[2].strip()
        message = (
            f"column {name} has the type {kind[:80]!r}, which a skim cannot hold; expected numbers or "
            f"truth values, one per event or one list of them per event. {_remedy(name, error)}"
        )
        raise error(message)
    if content is layout:
        return ak.Array(content)
    return ak.Array(ak.contents.ListOffsetArray(layout.offsets, content))


def _remedy(name: str, error: type[IntccmsError]) -> str:
    if error is FunctorError:
        return "Return its parts as separate fields, or take it away (ak.without_field)."
    collection, _, field = name.partition("_")
    if not field:
        return f"Leave ('event', {name!r}) out of what is used."
    return f"Leave {field!r} out: list the fields to keep in preprocess.branches[{collection!r}]."


def _without_option(name: str, layout: Any, error: type[IntccmsError]) -> Any:
    """Refuse missing values: read back from parquet, integers among them would be other numbers."""
    if not layout.is_option:
        return layout
    missing = int(np.count_nonzero(np.asarray(layout.mask_as_bool(valid_when=False))))
    if missing or error is FunctorError:
        message = (
            f"column {name} can have missing values (it has {missing} in this chunk), which a skim cannot hold. "
            "Fill them with a number (ak.fill_none), or drop the events."
        )
        raise error(message)
    # sources in parquet may declare every column nullable
    return ak.to_layout(ak.to_packed(ak.drop_none(ak.Array(layout))))


def _dtype(array: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.asarray(array[:0]).dtype
    return dtype


def _collection_of(branch: str) -> str:
    return branch.partition("_")[0]


def _checked(columns: dict[str, Any], error: type[IntccmsError]) -> dict[str, Any]:
    """Return the columns in a fixed order, after comparing those of each collection with its counter.

    NanoEvents cut every column of a collection by the one counter: with other counts values would shift.
    """
    counts: dict[str, Any] = {}
    wrong = []
    for name in sorted(columns):
        counter = f"n{_collection_of(name)}"
        if columns[name].ndim > 1 and counter in columns:
            if counter not in counts:
                counts[counter] = np.asarray(columns[counter])
            if not np.array_equal(np.diff(columns[name].layout.offsets.data), counts[counter]):
                wrong.append((name, counter))
    if wrong:
        listed = ", ".join(name for name, _ in wrong)
        counters = ", ".join(dict.fromkeys(counter for _, counter in wrong))
        message = (
            f"columns {listed} do not have as many values per event as the others of their collection ({counters}). "
            "Give all of them the same selection, or another collection."
        )
        raise error(message)
    return {name: columns[name] for name in sorted(columns, key=lambda name: (columns[name].ndim, name))}
