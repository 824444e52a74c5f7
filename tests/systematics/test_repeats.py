"""Computing once what comes again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intccms.systematics.repeats import Repeats, period


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([1], 1),
        ([1, 2, 3], 3),
        ([1, 2, 3, 1, 2, 3], 3),
        ([1, 2, 3, 1, 2, 4], 6),
        ([1, 2, 1, 3], 4),
        ([1, 2, 3, 1, 2], 5),
        ([1, 1, 1], 1),
        ([np.nan, 1, np.nan, 1], 4),
    ],
)
def test_a_period_is_found_where_there_is_one(values: list[float], expected: int) -> None:
    assert period([np.array(values, dtype=float)]) == expected


def test_all_columns_must_repeat() -> None:
    assert period([np.array([1.0, 2, 1, 2]), np.array([1.0, 2, 1, 3])]) == 4


class Counted:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, x: Any, y: Any, constant: Any) -> Any:
        self.sizes.append(len(x))
        return x + 10 * y + constant


def test_copies_and_next_calls_are_computed_once() -> None:
    function, repeats = Counted(), Repeats()
    x, y, constant = np.arange(3.0), np.ones(3), 1000.0
    expected = [1010.0, 1011.0, 1012.0]
    assert repeats.compute(function, [np.tile(x, 4), np.tile(y, 4)], constant).tolist() == expected * 4
    assert repeats.compute(function, [x, y], constant).tolist() == expected
    assert function.sizes == [3]


def test_other_values_another_constant_and_changed_arrays_are_computed_anew() -> None:
    function, repeats = Counted(), Repeats()
    x, y, constant = np.arange(3.0), np.ones(3), 1000.0
    repeats.compute(function, [x, y], constant)
    x[1] = 7.0
    assert repeats.compute(function, [x, y], constant).tolist() == [1010.0, 1017.0, 1012.0]
    assert repeats.compute(function, [x, y], 2000.0).tolist() == [2010.0, 2017.0, 2012.0]
    assert repeats.compute(function, [x[:2], y[:2]], 2000.0).tolist() == [2010.0, 2017.0]
    assert repeats.compute(function, [x[:0], y[:0]], 2000.0).tolist() == []


def test_a_result_may_be_changed_by_who_receives_it() -> None:
    function, repeats = Counted(), Repeats()
    columns = [np.arange(3.0), np.ones(3)]
    repeats.compute(function, columns, 0.0)[:] = -1
    assert repeats.compute(function, columns, 0.0).tolist() == [10.0, 11.0, 12.0]
