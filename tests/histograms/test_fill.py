"""Filling against `numpy.histogramdd`, which knows nothing of ours, and the errors for what cannot be filled."""

from __future__ import annotations

from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intccms.errors import FunctorError
from intccms.histograms import Sums, fill, hist_axes
from intccms.schema.selection import Axis

X = Axis(name="x", binning={"bins": 4, "start": 0.0, "stop": 4.0})
Y = Axis(name="y", binning=[0.0, 1.0, 5.0, 6.0])
Z = Axis(name="z", binning={"bins": 2, "start": -1.0, "stop": 1.0})


def filled(axes, values, weights) -> Sums:
    return fill(hist_axes(axes), values, np.asarray(weights, dtype=np.float64), "channels.SR.observables.x")


def edges_with_flow(axis: Axis) -> np.ndarray:
    binning = axis.binning
    edges = (
        np.asarray(binning)
        if isinstance(binning, list)
        else np.linspace(binning.start, binning.stop, binning.bins + 1)
    )
    return np.concatenate([[-np.inf], edges, [np.inf]])


def by_numpy(axes, columns, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of w, w^2 and 1 with flow bins; no value may lie on an edge or be infinite."""
    edges = [edges_with_flow(axis) for axis in axes]
    sample = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    weights = np.asarray(weights, dtype=float)
    return tuple(
        np.histogramdd(sample, edges, weights=w)[0] for w in (weights, weights**2, np.ones_like(weights))
    )


def assert_same(content: Sums, expected) -> None:
    sumw, sumw2, entries = expected
    np.testing.assert_allclose(content.sumw, sumw, rtol=0, atol=1e-12)
    np.testing.assert_allclose(content.sumw2, sumw2, rtol=0, atol=1e-12)
    assert np.array_equal(content.entries, entries)
    assert content.entries.dtype == np.int64


FLAT = np.array([-3.1, 0.1, 0.2, 1.7, 3.99, 4.2, 250.0])
OTHER = np.array([0.5, 0.7, 5.5, -2.0, 4.5, 6.5, 0.1])
WEIGHTS = np.array([1.0, -1.0, 0.5, 2.0, 1.5, -0.25, 3.0])


def test_a_flat_array_fills_like_numpy_with_under_and_overflow():
    content = filled([X], FLAT, WEIGHTS)
    assert_same(content, by_numpy([X], [FLAT], WEIGHTS))
    assert content.sumw[0] == 1.0
    assert content.sumw[-1] == -0.25 + 3.0


def test_the_lower_edge_belongs_to_a_bin_and_the_upper_edge_to_the_next():
    assert filled([X], np.array([0.0, 1.0, 4.0]), np.ones(3)).entries.tolist() == [0, 1, 1, 0, 0, 1]


def test_infinite_values_are_in_the_flow_bins():
    assert filled([X], np.array([-np.inf, np.inf]), np.ones(2)).entries.tolist() == [1, 0, 0, 0, 0, 1]


def test_two_flat_arrays_fill_like_numpy():
    assert_same(filled([X, Y], (FLAT, OTHER), WEIGHTS), by_numpy([X, Y], [FLAT, OTHER], WEIGHTS))


def test_three_arrays_fill_like_numpy():
    third = np.linspace(-1.4, 1.45, len(FLAT))
    content = filled([X, Y, Z], (FLAT, OTHER, third), WEIGHTS)
    assert content.sumw.shape == (6, 5, 4)
    assert_same(content, by_numpy([X, Y, Z], [FLAT, OTHER, third], WEIGHTS))


def test_four_arrays_fill_like_numpy():
    axes = [X, Y, Z, Axis(name="u", binning=[0.0, 2.0, 3.0])]
    columns = (FLAT, OTHER, OTHER / 5, FLAT + 0.05)
    assert_same(filled(axes, columns, WEIGHTS), by_numpy(axes, columns, WEIGHTS))


JAGGED = ak.Array([[0.5, 1.5], [], [3.5], [-1.0, 9.0, 2.5]])
EVENT_WEIGHTS = np.array([1.0, 10.0, 0.5, -2.0])
REPEATED = np.array([1.0, 1.0, 0.5, -2.0, -2.0, -2.0])


def test_every_candidate_of_a_jagged_array_carries_the_weight_of_its_event():
    flat = [0.5, 1.5, 3.5, -1.0, 9.0, 2.5]
    assert_same(filled([X], JAGGED, EVENT_WEIGHTS), by_numpy([X], [flat], REPEATED))


@pytest.mark.parametrize("flat_first", [True, False])
def test_a_flat_axis_broadcasts_to_the_candidates_of_a_jagged_one(flat_first: bool):
    flat = np.array([0.5, 5.5, 4.5, 0.7])
    jagged_by_hand, flat_by_hand = [0.5, 1.5, 3.5, -1.0, 9.0, 2.5], [0.5, 0.5, 4.5, 0.7, 0.7, 0.7]
    if flat_first:
        content = filled([Y, X], (flat, JAGGED), EVENT_WEIGHTS)
        assert_same(content, by_numpy([Y, X], [flat_by_hand, jagged_by_hand], REPEATED))
    else:
        content = filled([X, Y], (JAGGED, flat), EVENT_WEIGHTS)
        assert_same(content, by_numpy([X, Y], [jagged_by_hand, flat_by_hand], REPEATED))


def test_lists_within_lists_fill_once_per_number():
    nested = ak.Array([[[0.5], [1.5, 1.6]], [], [[]], [[2.5]]])
    assert filled([X], nested, EVENT_WEIGHTS).sumw.tolist() == [0.0, 1.0, 2.0, -2.0, 0.0, 0.0]


@pytest.mark.parametrize("square", [True, False])
def test_a_rectangular_array_repeats_the_weight_along_rows_not_columns(square: bool):
    # broadcast from the right, as NumPy does, a square array would silently take the weights of other events
    values = np.array([[0.5, 0.6], [1.5, 1.6]]) if square else np.array([[0.5, 0.6, 0.7], [1.5, 1.6, 1.7]])
    content = filled([X], values, [1.0, 100.0])
    width = values.shape[1]
    assert content.sumw.tolist() == [0.0, width * 1.0, width * 100.0, 0.0, 0.0, 0.0]


NONE_CASES = {
    "among events": (ak.Array([0.5, None, 1.5]), [1.0, 10.0, 100.0], [0, 1.0, 100.0, 0, 0, 0]),
    "among candidates": (
        ak.Array([[0.5, None], [None], [1.5]]),
        [1.0, 10.0, 100.0],
        [0, 1.0, 100.0, 0, 0, 0],
    ),
    "whole lists": (ak.Array([[0.5], None, [1.5, None]]), [1.0, 10.0, 100.0], [0, 1.0, 100.0, 0, 0, 0]),
    "in lists of lists": (
        ak.Array([[[0.5, None], None], None, [[1.5]]]),
        [1.0, 10.0, 100.0],
        [0, 1.0, 100.0, 0, 0, 0],
    ),
    "everywhere": (ak.Array([None, None, None]), [1.0, 10.0, 100.0], [0, 0, 0, 0, 0, 0]),
    "only empty lists": (ak.Array([[], [], []]), [1.0, 10.0, 100.0], [0, 0, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("case", NONE_CASES)
def test_none_is_not_filled_and_not_counted_as_nan(case: str):
    values, weights, expected = NONE_CASES[case]
    content = filled([X], values, weights)
    assert content.sumw.tolist() == expected
    assert content.nan == 0


def test_none_on_one_axis_drops_the_candidate_on_all():
    x = ak.Array([[0.5, None], None, [2.5]])
    y = ak.Array([[0.5, 0.6], [0.7], [5.5]])
    content = filled([X, Y], (x, y), [1.0, 10.0, 100.0])
    assert content.entries.sum() == 2
    assert content.sumw[1, 1] == 1.0
    assert content.sumw[3, 3] == 100.0


def test_nan_is_counted_and_in_no_bin_not_even_overflow():
    content = filled([X], np.array([0.5, np.nan, 1.5, np.nan]), np.ones(4))
    assert content.nan == 2
    assert content.entries.tolist() == [0, 1, 1, 0, 0, 0]


def test_a_candidate_that_is_nan_on_two_axes_counts_once():
    values = (ak.Array([[np.nan, 1.5], [0.5]]), ak.Array([[np.nan, np.nan], [0.5]]))
    content = filled([X, Y], values, np.ones(2))
    assert content.nan == 2
    assert content.entries.sum() == 1


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2, 2], dtype=np.int32),
        np.array([1, 2, 2], dtype=np.uint8),
        np.array([1.0, 2.0, 2.0], dtype=np.float32),
        ak.Array([[1], [2], [2]]),
        ak.values_astype(ak.Array([[1], [2], [2]]), np.int16),
        [1, 2, 2],
    ],
)
def test_any_kind_of_real_number_is_filled(values):
    assert filled([X], values, np.ones(3)).entries.tolist() == [0, 0, 1, 2, 0, 0]


def test_booleans_count_as_zero_and_one():
    assert filled([X], np.array([True, False, True]), np.ones(3)).entries.tolist() == [0, 1, 2, 0, 0, 0]
    assert filled([X], ak.Array([[True], [], [False]]), np.ones(3)).entries.tolist() == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "empty", [np.zeros(0), ak.Array([]), [], ak.Array([[1.0]])[:0], ak.Array([None])[:0], np.zeros((0, 3))]
)
def test_a_chunk_without_events_fills_nothing(empty):
    content = filled([X], empty, np.zeros(0))
    assert content.sumw.shape == content.sumw2.shape == content.entries.shape == (6,)
    assert content.sumw.sum() == content.entries.sum() == content.nan == 0


def test_unequal_numbers_of_candidates_are_an_error_that_names_the_observable():
    x, y = ak.Array([[0.5, 1.5], [2.5]]), ak.Array([[0.5], [0.6]])
    with pytest.raises(FunctorError, match=r"channels.SR.observables.x: .*unequal numbers of candidates"):
        filled([X, Y], (x, y), np.ones(2))


UNUSABLE = {
    "too few arrays": (np.zeros(2), [X, Y], r"returned 1 array\(s\) for 2 axes \(x, y\); expected a tuple"),
    "too many arrays": (
        (np.zeros(2), np.zeros(2)),
        [X],
        r"returned 2 array\(s\) for 1 axes \(x\); expected one",
    ),
    "too short": (np.zeros(1), [X], r"axis 'x': returned 1 elements for 2 events"),
    "too long": (ak.Array([[1.0], [], []]), [X], r"axis 'x': returned 3 elements for 2 events"),
    "records": (ak.Array([{"pt": 1.0}, {"pt": 2.0}]), [X], r"returned records \['pt'\]; expected numbers"),
    "jagged records": (ak.Array([[{"pt": 1.0}], []]), [X], r"returned records \['pt'\]; expected numbers"),
    "strings": (ak.Array(["1.0", "2.0"]), [X], r"returned 2 \* string; expected numbers"),
    "jagged strings": (ak.Array([["1.0"], []]), [X], r"expected numbers"),
    "a string": ("mass", [X], r"returned str; expected an array of numbers"),
    "a number": (1.5, [X], r"returned float; expected an array of numbers"),
    "nothing": (None, [X], r"returned NoneType; expected an array of numbers"),
    "an object": (object(), [X], r"returned object; expected an array of numbers"),
    "complex numbers": (np.array([1j, 2j]), [X], r"complex128; expected numbers"),
    "dates": (np.array(["2016-01-01", "2017-01-01"], dtype="M8[D]"), [X], r"datetime64.*; expected numbers"),
    "numbers and lists mixed": (ak.Array([1.0, [2.0]]), [X], r"union.*; expected numbers"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_filled_is_an_error_that_says_what_was_returned(case: str):
    values, axes, words = UNUSABLE[case]
    with pytest.raises(FunctorError, match=rf"^channels.SR.observables.x.*{words}"):
        filled(axes, values, np.ones(2))


def test_adding_two_parts_changes_the_first_only():
    first, second = filled([X], FLAT, WEIGHTS), filled([X], np.array([0.5, np.nan]), np.ones(2))
    before = second.copy()
    total = first.copy()
    total.add(second)
    assert total.nan == 1
    assert total.entries.sum() == len(FLAT) + 1
    assert first.entries.sum() == len(FLAT)
    assert np.array_equal(second.sumw, before.sumw)


values_and_weights = st.lists(
    st.tuples(
        st.lists(st.floats(-2, 6, allow_nan=False) | st.just(float("nan")), max_size=4),
        st.floats(-1e3, 1e3, allow_nan=False),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(values_and_weights, st.lists(st.integers(0, 30), max_size=4))
def test_the_parts_of_a_chunk_add_up_to_the_whole(events, cuts):
    values = [list(one) for one, _ in events]
    weights = np.array([weight for _, weight in events], dtype=np.float64)

    def part(start: int, stop: int) -> Sums:
        # a typed empty list keeps the type of a part without candidates
        return filled([X], ak.values_astype(ak.Array(values[start:stop]), np.float64), weights[start:stop])

    whole = part(0, len(events))
    edges = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    total = part(0, 0)
    for start, stop in pairwise(edges):
        total.add(part(start, stop))
    absolute = filled([X], ak.values_astype(ak.Array(values), np.float64), np.abs(weights))
    assert np.array_equal(total.entries, whole.entries)
    assert total.nan == whole.nan == sum(np.isnan(one).sum() for one in values)
    assert np.all(np.abs(total.sumw - whole.sumw) <= 1e-12 * absolute.sumw)
    assert np.all(np.abs(total.sumw2 - whole.sumw2) <= 1e-12 * whole.sumw2)
