"""Rounding of mantissas, and padded rectangles turned into collections."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intccms.demo.columns import Padded, truncate_mantissa
from intccms.errors import ConfigError

NORMAL_FLOATS = st.floats(
    width=32,
    allow_nan=False,
    allow_infinity=False,
    allow_subnormal=False,
    min_value=-(2.0**126),
    max_value=2.0**126,
)


def rounded_by_frexp(value: float, bits: int) -> float:
    """Round with Python's own half-to-even on the significand that `math.frexp` gives."""
    significand, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(significand, bits + 1)), exponent - bits - 1)


@given(value=NORMAL_FLOATS, bits=st.integers(1, 22))
def test_a_float_is_rounded_to_the_nearest_with_so_many_bits(value, bits):
    assert float(truncate_mantissa(value, bits)) == rounded_by_frexp(value, bits)


@given(value=NORMAL_FLOATS, bits=st.integers(1, 22))
def test_rounding_twice_changes_nothing_and_leaves_the_low_bits_zero(value, bits):
    once = truncate_mantissa([value], bits)
    assert truncate_mantissa(once, bits).tobytes() == once.tobytes()
    assert once.view(np.uint32)[0] % (1 << (23 - bits)) == 0


@pytest.mark.parametrize(
    ("value", "bits", "expected"),
    [
        # by hand: with 1 bit the neighbours of 1 to 2 are 1.0, 1.5, 2.0; 1.25 and 1.75 are ties
        (1.25, 1, 1.0),
        (1.75, 1, 2.0),
        (1.3, 1, 1.5),
        (-1.25, 1, -1.0),
        (0.0, 10, 0.0),
        (math.inf, 10, math.inf),
        (-math.inf, 3, -math.inf),
        # the largest float32 would round up to infinity; the largest with 10 bits is (2 - 2**-10) * 2**127
        (float(np.finfo(np.float32).max), 10, (2 - 2**-10) * 2.0**127),
    ],
)
def test_ties_go_to_even_and_finite_values_stay_finite(value, bits, expected):
    assert float(truncate_mantissa(value, bits)) == expected


def test_nan_stays_nan_and_full_mantissas_stay_as_they_are():
    assert np.isnan(truncate_mantissa(np.nan, 5))
    values = np.random.default_rng(1).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(truncate_mantissa(values, 23), values)


@given(values=st.lists(NORMAL_FLOATS, min_size=2, max_size=20))
def test_rounding_keeps_the_order_of_values(values):
    ordered = np.sort(np.array(values, dtype=np.float32))
    assert np.all(np.diff(truncate_mantissa(ordered, 6).astype(np.float64)) >= 0)


def test_the_shape_is_kept():
    assert truncate_mantissa(np.ones((3, 0, 2)), 8).shape == (3, 0, 2)


@pytest.mark.parametrize("bits", [0, 24, -1])
def test_an_impossible_number_of_bits_is_refused(bits):
    with pytest.raises(ConfigError, match=rf"cannot keep {bits} bits .* Choose 1 to 23"):
        truncate_mantissa([1.0], bits)


def test_objects_are_ordered_in_falling_pt_and_lose_their_padding():
    padded = Padded(
        np.array([[True, False, True], [False, False, False], [True, True, False]]),
        {
            "pt": np.array([[10.0, 99.0, 30.0], [1.0, 2.0, 3.0], [7.0, 5.0, 50.0]]),
            "index": np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]], dtype=np.int32),
        },
    )
    collection = padded.sorted_by_pt().collection({"pt": 10})
    assert collection.counts.tolist() == [2, 0, 2]
    assert collection.counts.dtype == np.int32
    assert collection.fields["pt"].tolist() == [30.0, 10.0, 7.0, 5.0]
    assert collection.fields["pt"].dtype == np.float32
    assert collection.fields["index"].tolist() == [2, 0, 0, 1]
    assert collection.event_index().tolist() == [0, 0, 2, 2]
