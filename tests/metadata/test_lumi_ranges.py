"""Ranges of lumi sections against plain sets of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intccms.metadata.lumis import count_sections, ranges_of, union

SECTIONS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), max_size=60)


def ranges(pairs):
    runs, sections = (np.array([pair[i] for pair in pairs], dtype=np.uint32) for i in (0, 1))
    return ranges_of(runs, sections)


def unfolded(lumis) -> set[tuple[int, int]]:
    return {
        (int(run), section)
        for run, parts in lumis.items()
        for first, last in parts
        for section in range(first, last + 1)
    }


def assert_canonical(lumis) -> None:
    """Runs and ranges increase, and ranges that touch are one."""
    assert list(lumis) == sorted(lumis, key=int)
    for parts in lumis.values():
        assert parts
        assert all(first <= last for first, last in parts)
        assert all(one[1] + 1 < two[0] for one, two in pairwise(parts))


@given(SECTIONS)
def test_ranges_hold_exactly_the_sections_that_occur_in_one_form_only(pairs):
    found = ranges(pairs)
    assert unfolded(found) == set(pairs)
    assert_canonical(found)


@given(SECTIONS)
def test_the_order_of_events_does_not_count(pairs):
    assert ranges(pairs) == ranges(pairs[::-1]) == ranges(sorted(pairs * 2))


@given(st.lists(SECTIONS, max_size=5))
def test_the_union_is_that_of_sets(parts):
    found = union([ranges(pairs) for pairs in parts])
    assert unfolded(found) == {pair for pairs in parts for pair in pairs}
    assert_canonical(found)
    assert found == ranges([pair for pairs in parts for pair in pairs])


@given(st.lists(SECTIONS, max_size=3))
def test_the_union_leaves_its_parts_as_they_were(parts):
    given_parts = [ranges(pairs) for pairs in parts]
    union(given_parts)
    assert given_parts == [ranges(pairs) for pairs in parts]


@given(SECTIONS)
def test_the_count_is_that_of_the_set(pairs):
    assert count_sections(ranges(pairs)) == len(set(pairs))


# by hand
CASES = {
    "nothing": ([], {}),
    "one": ([(278808, 5)], {"278808": [[5, 5]]}),
    "neighbours": ([(1, 5), (1, 6), (1, 7)], {"1": [[5, 7]]}),
    "a gap of one": ([(1, 5), (1, 7)], {"1": [[5, 5], [7, 7]]}),
    "twice the same": ([(1, 5), (1, 5)], {"1": [[5, 5]]}),
    "runs by number, not by text": ([(10, 1), (9, 1)], {"9": [[1, 1]], "10": [[1, 1]]}),
    "the largest number": ([(2**32 - 1, 2**32 - 1)], {"4294967295": [[4294967295, 4294967295]]}),
    "both ends": ([(1, 0), (1, 2**32 - 1)], {"1": [[0, 0], [4294967295, 4294967295]]}),
}


@pytest.mark.parametrize("case", CASES)
def test_ranges_of_a_few_events(case: str):
    pairs, expected = CASES[case]
    found = ranges(pairs)
    assert found == expected
    assert list(found) == list(expected)
    assert all(type(edge) is int for parts in found.values() for part in parts for edge in part), "for JSON"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], {}),
        ([{}, {}], {}),
        ([{"1": [[1, 10]]}, {"1": [[3, 4]]}], {"1": [[1, 10]]}),
        ([{"1": [[5, 6]]}, {"1": [[1, 4]]}], {"1": [[1, 6]]}),
        ([{"10": [[1, 1]]}, {"9": [[1, 1]]}], {"9": [[1, 1]], "10": [[1, 1]]}),
        ([{"1": [[8, 9], [1, 2]]}], {"1": [[1, 2], [8, 9]]}),
    ],
    ids=["none", "empty", "inside", "touching", "runs by number", "not sorted"],
)
def test_unions_of_a_few_ranges(parts, expected):
    found = union(parts)
    assert found == expected
    assert list(found) == list(expected)
