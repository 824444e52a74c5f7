"""Work on jagged collections and named random streams, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intccms.demo.columns import Collection
from intccms.demo.full.draws import Draws
from intccms.demo.full.jagged import first_two, local_index, nearest, ordered_by_pt, sum_by_event

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def collection_of(counts, seed):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    fields = {
        "pt": rng.uniform(10, 90, n),
        "eta": rng.uniform(-1, 1, n),
        "phi": rng.uniform(-math.pi, math.pi, n),
    }
    return Collection(np.array(counts, dtype=np.int32), fields)


def events_of(collection, name):
    edges = np.cumsum(collection.counts)[:-1]
    return [part.tolist() for part in np.split(collection.fields[name], edges)]


@given(counts=COUNTS)
def test_local_indices_start_anew_in_every_event(counts):
    expected = [place for count in counts for place in range(count)]
    assert local_index(np.array(counts, dtype=np.int32)).tolist() == expected


@given(counts=COUNTS, seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_objects_in_any_order_are_sorted_and_know_their_place(counts, seed, order):
    given_objects = collection_of(counts, seed)
    shuffled = list(range(sum(counts)))
    order.shuffle(shuffled)
    rows = np.array(shuffled, dtype=np.int64)
    event = given_objects.event_index()[rows]
    pt = given_objects.fields["pt"][rows]
    made, place = ordered_by_pt(len(counts), event, {"pt": pt})
    assert events_of(made, "pt") == [sorted(one, reverse=True) for one in events_of(given_objects, "pt")]
    assert all(events_of(made, "pt")[event[i]][place[i]] == pt[i] for i in range(pt.size))


@given(counts=COUNTS, others=st.lists(st.integers(0, 4), min_size=6, max_size=6), radius=st.floats(0.1, 2.0))
def test_the_nearest_neighbour_is_that_of_a_loop(counts, others, radius):
    objects, far = collection_of(counts, 1), collection_of(others[: len(counts)], 2)
    expected = []
    for event in range(len(counts)):
        candidates = list(zip(events_of(far, "eta")[event], events_of(far, "phi")[event], strict=True))
        for eta, phi in zip(events_of(objects, "eta")[event], events_of(objects, "phi")[event], strict=True):
            distances = [math.hypot(eta - e, math.remainder(phi - p, 2 * math.pi)) for e, p in candidates]
            close = [(d, i) for i, d in enumerate(distances) if d < radius]
            expected.append(min(close)[1] if close else -1)
    assert nearest(objects, far, radius).tolist() == expected


def test_neighbours_that_are_not_allowed_do_not_count():
    objects = Collection(np.array([1], dtype=np.int32), {"eta": np.zeros(1), "phi": np.zeros(1)})
    others = Collection(np.array([2], dtype=np.int32), {"eta": np.array([0.1, 0.2]), "phi": np.zeros(2)})
    assert nearest(objects, others, 0.5, allowed=np.array([False, True])).tolist() == [1]
    assert nearest(objects, others, 0.5, allowed=np.zeros(2, dtype=np.bool_)).tolist() == [-1]


def test_the_first_two_that_point_to_an_object_are_found_in_order():
    # two events with 2 and 1 objects; in the first three point to object 1, in the second one to none
    pointing = Collection(np.array([3, 1], dtype=np.int32), {})
    first, second = first_two(
        np.array([2, 1], dtype=np.int32), pointing, np.array([1, 1, 1, -1], dtype=np.int32)
    )
    assert first.tolist() == [-1, 0, -1]
    assert second.tolist() == [-1, 1, -1]


def test_sums_by_event_are_zero_where_there_is_no_object():
    objects = Collection(np.array([2, 0, 1], dtype=np.int32), {})
    assert sum_by_event(objects, np.array([1.0, 2.0, 4.0])).tolist() == [3.0, 0.0, 4.0]


@pytest.mark.parametrize(
    "other",
    [
        Draws(2, "wjets 2018", 0)("Jet_area"),
        Draws(1, "wjets 2017", 0)("Jet_area"),
        Draws(1, "wjets 2018", 1)("Jet_area"),
        Draws(1, "wjets 2018", 0)("Jet_mass"),
    ],
    ids=["seed", "sample", "cluster", "name"],
)
def test_streams_differ_by_all_that_names_them_and_do_not_remember(other):
    draws = Draws(1, "wjets 2018", 0)
    first = draws("Jet_area").random(5)
    draws("Jet_mass").random(7)
    assert draws("Jet_area").random(5).tolist() == first.tolist()
    assert other.random(5).tolist() != first.tolist()
