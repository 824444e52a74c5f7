"""An analysis with one variation at a time, in plain awkward: what the tiles of variations are compared with.

Nothing of the engine is used: corrections are evaluated with correctionlib or by calling their functions, applied to
the whole events, and functors run on the result. There is no hoisting, no sharing, no tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import correctionlib
import numpy as np

from intccms.schema import ObjVar, Payload, Sys
from intccms.systematics.payloads import open_payload

if TYPE_CHECKING:
    from intccms.schema import Config, Dataset
    from intccms.schema.corrections import Correction, UncertaintySource

__all__ = ["nominal_and_all_variations", "one_variation"]

Key = tuple[str, str]
_OPERATIONS = {
    "mult": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "replace": lambda _before, value: value,
}
_sets: dict[str, Any] = {}


class Events:
    """Events with collections that can be replaced; references are those of the input."""

    def __init__(self, events: Any, absent: frozenset[str] = frozenset()) -> None:
        self.events, self.absent = events, absent
        self.made: dict[str, Any] = {}
        self.read: dict[ObjVar, Any] = {}

    def __len__(self) -> int:
        return len(self.events)

    def column(self, column: ObjVar) -> Any:
        collection, field = column
        if column in self.read:
            return self.read[column]
        if field is not None and field.endswith("_as_read"):
            return self.events[collection][field.removesuffix("_as_read")]
        if column == ObjVar("event"):
            events = self.events
            for name, values in self.made.items():
                events = ak.with_field(events, values, name)
            return events
        if collection == "event":
            return self.made[field] if field in self.made else self.events[field]
        if collection in self.made:
            return self.made[collection] if field is None else self.made[collection][field]
        if f"{collection}_{field}" in self.absent:
            return np.zeros(len(self.events), dtype=bool)
        return self.events[collection] if field is None else self.events[collection][field]

    def put(self, collection: str, field: str, values: Any) -> None:
        objects = self.events[collection]
        self.read.setdefault(ObjVar(collection, f"{field}_as_read"), objects[field])
        self.events = ak.with_field(self.events, ak.with_field(objects, values, field), collection)

    def add(self, collection: str, values: dict[str, Any]) -> None:
        """File the quantities of a ghost observable."""
        if collection == "event":
            self.made |= values
        elif collection in self.events.fields:
            for name, one in values.items():
                self.events = ak.with_field(
                    self.events, ak.with_field(self.events[collection], one, name), collection
                )
        elif collection in self.made:
            for name, one in values.items():
                self.made[collection] = ak.with_field(self.made[collection], one, name)
        else:
            jagged = all(ak.Array(one).ndim > 1 for one in values.values())
            self.made[collection] = ak.zip(values, depth_limit=2 if jagged else 1)

    def select(self, mask: Any) -> None:
        self.events = self.events[mask]
        self.made = {name: values[mask] for name, values in self.made.items()}
        self.read = {name: values[mask] for name, values in self.read.items()}


def one_variation(
    config: Config, dataset: Dataset, events: Any, variation: str = "nominal", absent: Any = frozenset()
) -> dict[Key, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return sums of weights, of their squares, and entries of every histogram, flow bins included.

    `absent` are triggers that count as False, and corrections that change nothing.
    """
    here = Events(events, absent)
    skim = config.preprocess.skimming.functor()
    if skim is not None:
        result = _call(here, skim)
        if isinstance(result, ak.Array) and result.fields:
            here.events = result
        else:
            here.select(_passed(result))
    corrections = [one for one in config.corrections_of(dataset) if one.name not in absent]
    targets = [target for one in corrections if one.type == "object" for target in one.target]
    for target in dict.fromkeys(targets):  # corrections work in double precision
        here.put(target.collection, target.field, ak.values_astype(here.column(target), np.float64))
    for correction in corrections:
        if correction.type == "object":
            _correct(here, correction, variation)
    for target in dict.fromkeys(targets):
        objects = here.events[target.collection]
        if target.field == "pt" and objects.ndim > 1:
            order = ak.argsort(objects.pt, axis=1, ascending=False, stable=True)
            here.events = ak.with_field(here.events, objects[order], target.collection)
    for mask in config.good_object_masks:
        objects = here.events[mask.collection]
        here.events = ak.with_field(here.events, objects[_call(here, mask)], mask.collection)
    if config.baseline_selection is not None:
        here.select(_passed(_call(here, config.baseline_selection)))
    for ghost in config.ghost_observables:
        result = _call(here, ghost)
        values = result if isinstance(result, tuple) else (result,)
        here.add(ghost.collection, dict(zip(ghost.names, values, strict=True)))
    weights = np.ones(len(here))
    if not dataset.is_data:
        weights = np.asarray(here.events[dataset.weight_branch], dtype=np.float64)
    for correction in corrections:
        if correction.type == "event":
            weights = _OPERATIONS[correction.op](weights, _factor(here, correction, variation))
    return {
        (channel.name, observable.name): sums
        for channel in config.selected_channels()
        for observable, sums in _channel(here, channel, weights)
    }


def nominal_and_all_variations(
    config: Config, dataset: Dataset, events: Any, variations: Any, absent: Any = frozenset()
) -> dict[str, dict[Key, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return `one_variation` of each."""
    return {name: one_variation(config, dataset, events, name, absent) for name in ("nominal", *variations)}


def _call(here: Events, functor: Any) -> Any:
    return functor.function(*(here.column(ObjVar(*one)) for one in functor.use), **functor.static_kwargs)


def _passed(result: Any) -> Any:
    masks = list(result.values()) if isinstance(result, dict) else [result]
    passed = np.ones(len(masks[0]), dtype=bool)
    for mask in masks:
        passed = passed & ak.to_numpy(ak.fill_none(mask, value=False))
    return passed


def _chosen(correction: Correction, variation: str) -> tuple[UncertaintySource | None, Any, bool]:
    """Return source, key and direction that a correction takes in a variation."""
    for source in correction.uncertainty_sources:
        if source.members is not None:
            names = [f"{source.name}_{index}" for index in range(len(source.members))]
            if variation in names:
                return source, source.members[names.index(variation)], True
            continue
        leader = source.varies_with or source.name
        if variation in {f"{leader}_up", f"{leader}_down"}:
            up = variation == f"{leader}_up"
            keys = source.up_and_down_idx or (None, None)
            return source, keys[0 if up else 1], up
    return None, correction.nominal_idx, True


def _evaluate(here: Events, correction: Correction, source: Any, key: Any, *, up: bool) -> Any:
    own = source is not None and any(
        x is not None for x in (source.args, source.key, source.file, source.up_function)
    )
    arguments = source.args if source is not None and source.args is not None else correction.args
    transform_in = correction.transform_in if not own else None
    transform_out = correction.transform_out if not own else None
    if source is not None:
        transform_in = source.transform_in or transform_in
        transform_out = source.transform_out or transform_out
    arrays = [here.column(one) for one in arguments if isinstance(one, ObjVar)]
    if transform_in is not None:
        arrays = transform_in(*arrays)
        arrays = list(arrays) if isinstance(arrays, tuple) else [arrays]
    left = list(arrays)
    filled = []
    for one in arguments:
        if isinstance(one, ObjVar):
            filled.append(left.pop(0))
        elif isinstance(one, Sys):
            filled.append(key)
        else:
            filled.append(open_payload(one) if isinstance(one, Payload) else one)
    if source is not None and source.up_function is not None:
        function = source.up_function if up or source.down_function is None else source.down_function
        result = function(*filled)
    elif correction.nominal_function is not None and not (source is not None and (source.key or source.file)):
        result = correction.nominal_function(*filled)
    else:
        file = (source.file if source is not None else None) or correction.file
        name = (source.key if source is not None else None) or correction.key
        result = _payload(file, name, filled)
    return result if transform_out is None else transform_out(result)


def _payload(file: str, name: str, arguments: list[Any]) -> Any:
    if file not in _sets:
        _sets[file] = correctionlib.CorrectionSet.from_file(file)
    found = _sets[file].compound[name] if name in _sets[file].compound else _sets[file][name]
    there, columns = None, [one for one in arguments if not isinstance(one, str | int | float)]
    for one in columns:
        known = ~ak.is_none(one)
        there = known if there is None else there & known
    if there is not None and not ak.all(there):
        kept = [one if isinstance(one, str | int | float) else ak.drop_none(one[there]) for one in arguments]
        values = np.ones(len(there))
        values[ak.to_numpy(there)] = found.evaluate(*kept)
        return values
    return found.evaluate(*arguments)


def _correct(here: Events, correction: Correction, variation: str) -> None:
    source, key, up = _chosen(correction, variation)
    if source is not None and not source.is_delta:
        _apply(here, correction, _evaluate(here, correction, source, key, up=up))
        return
    if correction.nominal_function is not None or correction.uses_payload:
        _apply(here, correction, _evaluate(here, correction, None, correction.nominal_idx, up=True))
    if source is not None:
        delta = _evaluate(here, correction, source, key, up=up)
        deltas = delta if isinstance(delta, tuple) else (delta,) * len(correction.target)
        for target, one in zip(correction.target, deltas, strict=True):
            shift = one if up or source.down_function is not None else -one
            before = here.column(target)
            additive = correction.op in ("add", "subtract")
            after = before + shift if additive else before * (1.0 + shift)
            here.put(target.collection, target.field, _filled_up(before, after))


def _apply(here: Events, correction: Correction, result: Any) -> None:
    values = result if isinstance(result, tuple) else (result,) * len(correction.target)
    for target, value in zip(correction.target, values, strict=True):
        before = here.column(target)
        after = _OPERATIONS[correction.op](before, value)
        here.put(target.collection, target.field, _filled_up(before, after))


def _filled_up(before: Any, after: Any) -> Any:
    """Return what a correction made of a target, and what was there before where it gave None."""
    if ak.any(ak.is_none(after, axis=0)) or (after.ndim > 1 and ak.any(ak.is_none(after, axis=1))):
        after = ak.Array([_kept(old, new) for old, new in zip(before.tolist(), after.tolist(), strict=True)])
    return ak.values_astype(after, np.float64)


def _kept(before: Any, after: Any) -> Any:
    if after is None:
        return before
    if isinstance(after, list):
        return [old if new is None else new for old, new in zip(before, after, strict=True)]
    return after


def _factor(here: Events, correction: Correction, variation: str) -> np.ndarray:
    source, key, up = _chosen(correction, variation)
    nominal = None
    if source is None or source.is_delta:
        if not (correction.nominal_function is not None or correction.uses_payload):
            nominal = np.ones(len(here)) if correction.op == "mult" else np.zeros(len(here))
        else:
            nominal = _reduced(correction, _evaluate(here, correction, None, correction.nominal_idx, up=True))
        if source is None:
            return nominal
    result = _evaluate(here, correction, source, key, up=up)
    if not source.is_delta:
        return _reduced(correction, result)
    value = _reduced(correction, result, nothing=0.0)
    shift = value if up or source.down_function is not None else -value
    if correction.op == "mult":
        return nominal * (1.0 + shift)
    return nominal + shift if correction.op == "add" else nominal - shift


def _reduced(correction: Correction, result: Any, nothing: float | None = None) -> np.ndarray:
    values = ak.Array(result)
    if values.ndim > 1:
        values = (ak.prod if correction.reduce == "prod" else ak.sum)(values, axis=1)
    if nothing is None:
        nothing = 1.0 if correction.op == "mult" else 0.0
    return np.asarray(ak.to_numpy(ak.fill_none(values, nothing)), dtype=np.float64)


def _channel(here: Events, channel: Any, weights: np.ndarray) -> Any:
    mine = Events(here.events, here.absent)
    mine.made, mine.read = dict(here.made), dict(here.read)
    if channel.selection is not None:
        passed = _passed(_call(here, channel.selection))
        mine.select(passed)
        weights = weights[passed]
    for observable in channel.observables:
        result = _call(mine, observable)
        values = result if isinstance(result, tuple) else (result,)
        yield observable, _filled(observable.all_axes(), values, weights)


def _filled(axes: Any, values: Any, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    *columns, spread = ak.broadcast_arrays(*map(ak.Array, values), weights)
    flat = [
        np.asarray(ak.to_numpy(ak.flatten(one, axis=None), allow_missing=False), dtype=np.float64)
        for one in columns
    ]
    each = np.asarray(ak.to_numpy(ak.flatten(spread, axis=None), allow_missing=False), dtype=np.float64)
    good = ~np.any([np.isnan(one) for one in flat], axis=0)
    bins = [_edges(axis.binning) for axis in axes]
    places = [np.searchsorted(edges, one[good], side="right") for edges, one in zip(bins, flat, strict=True)]
    shape = tuple(len(edges) + 1 for edges in bins)
    sumw, sumw2, entries = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64)
    np.add.at(sumw, tuple(places), each[good])
    np.add.at(sumw2, tuple(places), each[good] ** 2)
    np.add.at(entries, tuple(places), 1)
    return sumw, sumw2, entries


def _edges(binning: Any) -> np.ndarray:
    if hasattr(binning, "bins"):
        return np.linspace(binning.start, binning.stop, binning.bins + 1)
    return np.asarray(binning, dtype=np.float64)
