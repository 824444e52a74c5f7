"""Weights of events: nominally, for every variation of a weight, and for the variations of objects.

A weight is the generator weight times the factors of the event corrections, multiplied in their order. Each correction
is evaluated once for each systematic key; a variation takes its factor in the place of the nominal one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.systematics.evaluate import event_factors, place_of, same_call, shift_of
from intccms.systematics.states import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from intccms.schema.corrections import Correction
    from intccms.systematics.evaluate import Lookup
    from intccms.systematics.plan import Shift, SystematicsPlan

__all__ = ["nominal_factors", "object_variation_weights", "weight_block"]


def nominal_factors(
    plan: SystematicsPlan, columns: Callable[[bool], Lookup]
) -> dict[str, NDArray[np.float64]]:
    """Return the nominal factor of each event correction.

    Parameters
    ----------
    plan
        The corrections.
    columns
        Returns the columns of all rows, or of the events once each where the argument is False.
    """
    found = {}
    for one in plan.weights:
        if _changes_nominally(one):
            here = columns(one.name in plan.touched.weights)
            found[one.name] = event_factors(one, None, here, place_of(one, None, plan.dataset.year))
    return found


def weight_block(
    plan: SystematicsPlan,
    generator: NDArray[np.float64],
    nominal: Mapping[str, NDArray[np.float64]],
    columns: Callable[[bool], Lookup],
) -> NDArray[np.float64]:
    """Return the weights of nominal events for all variations of weights.

    Parameters
    ----------
    plan
        The corrections and their variations.
    generator
        Generator weights, shape ``(n_events,)``.
    nominal
        Nominal factors of these events, by correction.
    columns
        Returns the columns of these events.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_events, 1 + n_variations)``: nominal first.
    """
    variations = list(plan.weight_variations)
    position = {name: index for index, name in enumerate(variations, start=1)}
    block = np.empty((len(generator), 1 + len(variations)))
    block[:] = generator[:, None]
    kept = {touched: Kept(columns(touched)) for touched in (True, False)} if variations else {}
    for one in plan.weights:
        factor = nominal.get(one.name)
        varied = _varied_factors(plan, one, variations, kept, factor)
        own = [position[name] for name in varied]
        before = block[:, own]
        if factor is not None:
            _apply(one, block, factor[:, None])
        for index, name in enumerate(varied):
            changed = np.ascontiguousarray(before[:, index])
            _apply(one, changed, varied[name])
            block[:, own[index]] = changed
    return block


def _varied_factors(
    plan: SystematicsPlan,
    correction: Correction,
    variations: Sequence[str],
    kept: Mapping[bool, Kept],
    nominal: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float64]]:
    shifts = {shift.variation: shift for shift in plan.shifts(correction)}
    for name in variations:
        following = plan.following(correction, name)
        if following is not None and plan.weight_variations[name] is not correction:
            shifts[name] = following
    found: dict[str, NDArray[np.float64]] = {}
    last: tuple[Shift, NDArray[np.float64]] | None = None
    for name, shift in shifts.items():
        if last is None or not same_call(correction, last[0], shift):
            here = kept[correction.name in plan.touched.weights]
            last = (
                shift,
                event_factors(correction, shift, here, place_of(correction, shift, plan.dataset.year)),
            )
        found[name] = _of_shift(correction, shift, last[1], nominal)
    return found


def object_variation_weights(
    plan: SystematicsPlan,
    generator: NDArray[np.float64],
    nominal: Mapping[str, NDArray[np.float64]],
    rows: Mapping[str, NDArray[np.int64]],
    take: Callable[[NDArray[np.int64], bool], Lookup],
) -> dict[str, NDArray[np.float64]]:
    """Return the weights of the events of each variation of objects.

    Parameters
    ----------
    plan
        The corrections and their variations.
    generator
        Generator weights of rows.
    nominal
        Nominal factors of rows, by correction.
    rows
        Variation -> its rows, in the order of events.
    take
        Returns the columns of some rows, for evaluations that differ between the rows of an event or do not.
    """
    weights = {name: generator[index] for name, index in rows.items()}
    for one in plan.weights:
        following = {name: shift for name in rows if (shift := plan.following(one, name)) is not None}
        varied = _following_factors(plan, one, following, nominal.get(one.name), rows, take)
        for name, index in rows.items():
            if name in varied:
                _apply(one, weights[name], varied[name])
            elif one.name in nominal:
                _apply(one, weights[name], nominal[one.name][index])
    return weights


def _following_factors(
    plan: SystematicsPlan,
    correction: Correction,
    following: Mapping[str, Shift],
    nominal: NDArray[np.float64] | None,
    rows: Mapping[str, NDArray[np.int64]],
    take: Callable[[NDArray[np.int64], bool], Lookup],
) -> dict[str, NDArray[np.float64]]:
    if not following:
        return {}
    touched = correction.name in plan.touched.weights
    everything = np.concatenate([rows[name] for name in following])
    columns = Kept(take(everything, touched))
    found, start = {}, 0
    for name, shift in following.items():
        number = len(rows[name])
        here = columns.part(start, number)
        start += number
        where = place_of(correction, shift, plan.dataset.year)
        values = event_factors(correction, shift, here, where)
        own = None if nominal is None else nominal[rows[name]]
        found[name] = _of_shift(correction, shift, values, own)
    return found


def _of_shift(
    correction: Correction, shift: Shift, values: NDArray[np.float64], nominal: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the factor of a variation: the value itself, or the nominal one shifted by it."""
    if not shift.source.is_delta:
        return values
    if correction.op == "mult":
        relative = shift_of(values, shift)
        return relative if nominal is None else nominal * relative
    # up is more weight, whether the correction is added or subtracted
    is_up = shift.up or shift.source.down_function is not None
    signed = values if is_up == (correction.op == "add") else -values
    return signed if nominal is None else nominal + signed


def _apply(correction: Correction, weights: NDArray[np.float64], factor: NDArray[Any]) -> None:
    """Change weights by a factor, in place."""
    operation: Any = {"mult": np.multiply, "add": np.add, "subtract": np.subtract}[correction.op]
    operation(weights, factor, out=weights)


def _changes_nominally(correction: Correction) -> bool:
    return correction.uses_payload or correction.nominal_function is not None
