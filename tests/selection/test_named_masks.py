"""What selection functions and object masks may return, and the words for what they may not."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from coffea.analysis_tools import PackedSelection

from intccms.errors import FunctorError
from intccms.selection import named_masks, object_mask

WHERE = "channels.SR.selection"

SINGLE = {
    "numpy": np.array([True, False, True]),
    "awkward": ak.Array([True, False, True]),
    "a list": [True, False, True],
    "with None": ak.Array([True, None, True]),
    "with NaN-free option type": ak.mask(ak.Array([True, True, True]), [True, False, True]),
}


@pytest.mark.parametrize("case", SINGLE)
def test_one_array_is_one_cut_named_after_its_functor(case: str):
    ((name, mask),) = named_masks(SINGLE[case], 3, WHERE)
    assert name == "selection"
    assert isinstance(mask, np.ndarray)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [True, False, True]


def test_a_dict_gives_its_cuts_in_its_order():
    cuts = {"b": ak.Array([True, None]), "a": np.array([False, True])}
    assert [(name, mask.tolist()) for name, mask in named_masks(cuts, 2, WHERE)] == [
        ("b", [True, False]),
        ("a", [False, True]),
    ]


def test_an_empty_dict_cuts_nothing():
    assert named_masks({}, 2, WHERE) == []


@pytest.mark.parametrize(("dtype", "number"), [("uint32", 32), ("uint64", 40), ("uint64", 64)])
def test_a_packed_selection_gives_its_cuts_in_the_order_added(dtype: str, number: int):
    rng = np.random.default_rng(number)
    masks = {f"cut{index}": rng.random(50) > 0.3 for index in reversed(range(number))}
    selection = PackedSelection(dtype=dtype)
    for name, mask in masks.items():
        selection.add(name, mask)
    found = named_masks(selection, 50, WHERE)
    assert [name for name, _ in found] == list(masks)
    assert all(np.array_equal(mask, masks[name]) for name, mask in found)


def test_none_in_a_packed_selection_counts_as_false():
    selection = PackedSelection()
    selection.add("lead", ak.Array([True, None, False]), fill_value=False)
    assert named_masks(selection, 3, WHERE)[0][1].tolist() == [True, False, False]


@pytest.mark.parametrize("empty", [[], np.zeros(0, dtype=bool), ak.Array([]), ak.Array([None])[:0]])
def test_no_events_give_an_empty_boolean_mask(empty):
    ((_, mask),) = named_masks(empty, 0, WHERE)
    assert mask.shape == (0,)
    assert mask.dtype == np.bool_


def test_only_none_is_false_throughout():
    assert named_masks(ak.Array([None, None]), 2, WHERE)[0][1].tolist() == [False, False]


UNUSABLE = {
    "one boolean": (True, "returned bool; expected an array of booleans"),
    "nothing": (None, "returned NoneType; expected an array of booleans"),
    "too short": ([True], "returned 1 booleans for 2 events; expected one per event"),
    "integers": (np.array([1, 0]), r"returned 2 \* int64; expected booleans. Write the comparison"),
    "integers with None": (ak.Array([1, None]), r"returned 2 \* \?int64; expected booleans"),
    "floats": (ak.Array([1.0, 0.0]), r"returned 2 \* float64; expected booleans"),
    "texts": (ak.Array(["a", "b"]), r"returned 2 \* string; expected booleans"),
    "records": (ak.Array([{"a": True}, {"a": False}]), r"returned 2 \* \{a: bool\}; expected booleans"),
    "one list per event": (
        ak.Array([[True], []]),
        r"returned an array of 2 dimensions .*ak.any\(..., axis=1\)",
    ),
    "a matrix": (np.ones((2, 3), dtype=bool), "returned an array of 2 dimensions"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_no_event_mask_is_an_error_that_says_what_was_returned(case: str):
    value, words = UNUSABLE[case]
    with pytest.raises(FunctorError, match=rf"^{WHERE} {words}"):
        named_masks(value, 2, WHERE)


def test_the_error_names_the_cut_of_a_dict():
    with pytest.raises(FunctorError, match=r"channels.SR.selection\[met\] returned 2 \* int64"):
        named_masks({"jet": np.array([True, False]), "met": np.array([1, 0])}, 2, WHERE)


def test_the_error_names_the_cut_of_a_packed_selection_of_another_length():
    selection = PackedSelection()
    selection.add("jet", np.array([True, False, True]))
    with pytest.raises(FunctorError, match=r"channels.SR.selection\[jet\] returned 3 booleans for 2 events"):
        named_masks(selection, 2, WHERE)


JETS = ak.Array([[{"pt": 10.0}, {"pt": 50.0}], [], [{"pt": 70.0}]])

OBJECT_MASKS = {
    "plain": (JETS.pt > 30, [[False, True], [], [True]]),
    "a nested list": ([[False, True], [], [True]], [[False, True], [], [True]]),
    "None among objects": (ak.Array([[None, True], [], [True]]), [[False, True], [], [True]]),
    "None for an event with objects": (ak.Array([None, [], [True]]), [[False, False], [], [True]]),
    "None for an event without": (ak.Array([[False, True], None, [True]]), [[False, True], [], [True]]),
    "None for both": (ak.Array([None, None, [None]]), [[False, False], [], [False]]),
}


@pytest.mark.parametrize("case", OBJECT_MASKS)
def test_an_object_mask_keeps_its_shape_with_none_as_false(case: str):
    mask, expected = OBJECT_MASKS[case]
    checked = object_mask(mask, JETS, "good_object_masks.0")
    assert checked.tolist() == expected
    assert ak.num(JETS[checked]).tolist() == [sum(one) for one in expected]


def test_a_comparison_with_a_missing_object_masks_all_objects_of_the_event():
    # the usual source of None for a whole event: the leading lepton of an event without leptons
    muons = ak.Array([[{"pt": 20.0}], [], []])
    checked = object_mask(JETS.pt > ak.firsts(muons.pt), JETS, "good_object_masks.0")
    assert checked.tolist() == [[False, True], [], [False]]


def test_a_rectangular_mask_fits_a_collection_of_the_same_counts():
    square = ak.Array([[{"pt": 1.0}, {"pt": 2.0}], [{"pt": 3.0}, {"pt": 4.0}]])
    checked = object_mask(np.array([[True, False], [False, True]]), square, "m")
    assert square[checked].pt.tolist() == [[1.0], [4.0]]


@pytest.mark.parametrize("objects", [JETS[:0], JETS[1:2]])
def test_an_untyped_empty_mask_fits_a_chunk_without_objects(objects):
    checked = object_mask(ak.Array([[] for _ in objects]) if len(objects) else objects.pt > 0, objects, "m")
    assert ak.num(objects[checked], axis=1).tolist() == [0] * len(objects)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (
            ak.Array([True, False, True]),
            r"returned 3 \* bool; expected one boolean per object \(3 events \* var\)",
        ),
        (ak.Array([[True], [], [True]]), "expected one boolean per object"),
        (ak.Array([[True, False], []]), r"returned 2 \* var \* bool; expected one boolean per object"),
        (ak.Array([[1, 0], [], [1]]), "expected booleans. Write the comparison"),
        (JETS, "expected booleans"),
        ("good", "returned str; expected an array of booleans"),
    ],
)
def test_a_mask_that_does_not_fit_its_collection_is_an_error(mask, words: str):
    with pytest.raises(FunctorError, match=rf"good_object_masks.0 {words}|good_object_masks.0 .*{words}"):
        object_mask(mask, JETS, "good_object_masks.0")


def test_masking_what_has_one_object_per_event_is_an_error():
    met = ak.Array([{"pt": 10.0}, {"pt": 50.0}])
    with pytest.raises(FunctorError, match="exactly one object per event .* cut on events instead"):
        object_mask(met.pt > 20, met, "good_object_masks.0")
