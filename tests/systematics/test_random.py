"""Random numbers that are functions of their keys."""

from __future__ import annotations

import numpy as np
from scipy import stats

from intccms.systematics.random import hashed, normal, splitmix64, uniform

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def test_splitmix64_gives_its_published_sequence() -> None:
    # published for the seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64")
    states = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * GOLDEN
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_keys_mixed_before_are_keys_mixed_at_once() -> None:
    events, positions = np.arange(5), np.arange(5)[::-1]
    seeds = hashed(1, 7, events)
    assert (
        hashed(1, 7, events, positions).tolist() == splitmix64(seeds ^ positions.astype(np.uint64)).tolist()
    )


def test_the_order_of_keys_counts() -> None:
    assert hashed(1, 2) != hashed(2, 1)


def test_keys_of_any_integer_type_give_the_same_number() -> None:
    wide = normal(np.uint64(1), np.uint64(5), np.uint64(2**33 + 1))
    assert wide == normal(np.uint32(1), np.int16(5), np.int64(2**33 + 1))


def test_uniform_numbers_never_reach_an_end() -> None:
    # the inverse of the last two steps is not needed: the formula at the highest and lowest bits decides
    top = (float(2**52 - 1) + 0.5) * 2.0**-52
    assert 0 < 0.5 * 2.0**-52 < top < 1
    numbers = uniform(np.arange(100_000))
    assert numbers.min() > 0
    assert numbers.max() < 1


def test_deviates_of_neighbouring_events_and_jets_are_normal_and_independent() -> None:
    events, jets = np.arange(100_000)[:, None], np.arange(4)
    deviates = normal(1, 20, events, jets)
    # Kolmogorov-Smirnov, 400,000 numbers that are fixed for ever: the probability is a constant of this test
    assert stats.kstest(deviates.ravel(), "norm").pvalue > 0.01
    assert abs(deviates.mean()) < 4 / np.sqrt(deviates.size)
    assert abs(deviates.var() - 1) < 4 * np.sqrt(2 / deviates.size)
    correlations = np.corrcoef(deviates.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(len(deviates))
    assert abs(np.corrcoef(deviates[1:, 0], deviates[:-1, 0])[0, 1]) < 4 / np.sqrt(len(deviates))
