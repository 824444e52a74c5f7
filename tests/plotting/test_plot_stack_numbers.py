"""What a stack plot shows, in numbers; expected ones are calculated by hand unless a test says otherwise."""

import math

import numpy as np
import pytest

from intccms.plotting.binning import contents
from intccms.plotting.stack_numbers import poisson_errors, stack_numbers, stack_order, systematic_shifts
from intccms.schema.plotting import PlottingConfig


def numbers_of(histogram, **options):
    return stack_numbers(contents(histogram), PlottingConfig(**options), ["data"])


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        # Central 68.27 % intervals as printed in tables of the Garwood construction.
        (0, 0.0, 1.841),
        (1, 0.173, 3.300),
        (2, 0.708, 4.638),
        (3, 1.367, 5.918),
        (10, 6.891, 14.267),
    ],
)
def test_error_bars_of_counts_agree_with_tables_of_garwood_intervals(count, low, high):
    down, up = poisson_errors(np.array([float(count)]), np.array([float(count)]))
    assert count - down[0] == pytest.approx(low, abs=1e-3)
    assert count + up[0] == pytest.approx(high, abs=1e-3)


def test_each_side_of_an_interval_leaves_one_tail_of_the_poisson_distribution():
    # Summed term by term: no chi-square quantile is involved.
    def below_or_at(n, mean):
        return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(n + 1))

    down, up = poisson_errors(np.array([7.0]), np.array([7.0]))
    tail = 0.5 * math.erfc(1 / math.sqrt(2))
    assert 1 - below_or_at(6, 7 - down[0]) == pytest.approx(tail, rel=1e-6)
    assert below_or_at(7, 7 + up[0]) == pytest.approx(tail, rel=1e-6)


def test_weighted_data_get_the_root_of_the_variance():
    down, up = poisson_errors(np.array([10.0, -2.0]), np.array([40.0, 9.0]))
    np.testing.assert_allclose(down, [math.sqrt(40), 3.0])
    np.testing.assert_allclose(up, [math.sqrt(40), 3.0])


def test_huge_counts_keep_finite_error_bars():
    down, up = poisson_errors(np.array([1e15]), np.array([1e15]))
    np.testing.assert_allclose([down[0], up[0]], math.sqrt(1e15), rtol=1e-2)


def test_the_smallest_process_lies_lowest_unless_an_order_is_given():
    yields = {"big": 10.0, "small": 1.0, "middle": 5.0}
    assert stack_order(yields, []) == ("small", "middle", "big")
    assert stack_order(yields, ["big", "absent", "small"]) == ("middle", "big", "small")


def test_the_stack_adds_up_and_the_statistical_band_is_the_root_of_summed_variances(met):
    numbers = numbers_of(met, band="stat")
    assert numbers.processes == ("wjets", "ttbar")
    assert numbers.total.tolist() == [50.0, 100.0, 50.0]
    np.testing.assert_allclose(numbers.up, np.sqrt([25.0, 50.0, 25.0]))
    np.testing.assert_allclose(numbers.down, numbers.up)
    assert not numbers.has_systematics


def test_the_total_band_adds_variations_in_quadrature_direction_by_direction(met):
    # jes: +4 and -3 in the first bin, +3 and +4 (one-sided) in the second, nothing in the third.
    numbers = numbers_of(met, band="total")
    np.testing.assert_allclose(numbers.up, np.sqrt([25 + 16, 50 + 16, 25]))
    np.testing.assert_allclose(numbers.down, np.sqrt([25 + 9, 50, 25]))
    assert numbers.has_systematics


def test_sources_add_in_quadrature_and_one_source_linearly_over_processes():
    nominal = np.array([10.0])
    shifts = {
        "a_up": np.array([13.0]),
        "a_down": np.array([9.0]),
        "b_up": np.array([14.0]),
        "b_down": nominal,
    }
    down, up = systematic_shifts(shifts, nominal)
    assert up[0] == pytest.approx(5.0)
    assert down[0] == pytest.approx(1.0)


def test_without_variations_the_total_band_is_statistical(histogram_of):
    numbers = numbers_of(histogram_of({"ttbar": [0, 8, 8, 8, 0]}), band="total")
    assert numbers.up.tolist() == [2.0, 2.0, 2.0]
    assert not numbers.has_systematics


def test_the_ratio_is_data_over_the_stack(met):
    numbers = numbers_of(met)
    np.testing.assert_allclose(numbers.over_total(numbers.data), [1.1, 0.9, 0.0])


def test_the_ratio_is_undefined_where_the_stack_is_not_positive(histogram_of):
    numbers = numbers_of(histogram_of({"mc": [0, 0, -2, 5, 0], "data": [0, 1, 1, 1, 0]}))
    ratio = numbers.over_total(numbers.data)
    assert np.isnan(ratio[:2]).all()
    assert ratio[2] == pytest.approx(0.2)


def test_an_empty_data_bin_shows_only_where_events_are_expected(histogram_of):
    numbers = numbers_of(histogram_of({"mc": [0, 3.0, 0.2, 9, 0], "data": [0, 0, 0, 9, 0]}))
    assert numbers.shown_data.tolist() == [True, False, True]


def test_signals_are_lines_and_not_in_the_stack(met):
    numbers = numbers_of(met, signals=["ttbar"])
    assert numbers.processes == ("wjets",)
    assert numbers.signals["ttbar"].tolist() == [40.0, 80.0, 20.0]
    assert numbers.total.tolist() == [10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    ("flow", "total", "data", "edges"),
    [
        ("none", [50, 100, 50], [55, 90, 0], [0, 100, 200, 400]),
        ("hint", [50, 100, 50], [55, 90, 0], [0, 100, 200, 400]),
        ("sum", [51, 100, 56], [55, 90, 7], [0, 100, 200, 400]),
        ("show", [1, 50, 100, 50, 6], [0, 55, 90, 0, 7], [-20, 0, 100, 200, 400, 420]),
    ],
)
def test_flow_is_left_out_added_or_shown(met, flow, total, data, edges):
    numbers = numbers_of(met, flow=flow)
    assert numbers.total.tolist() == total
    assert numbers.data.tolist() == data
    assert numbers.edges.tolist() == edges


def test_what_lies_outside_is_known_where_it_is_not_drawn(met):
    assert numbers_of(met, flow="hint").outside == {"simulation": (1.0, 6.0), "data": (0.0, 7.0)}
    assert numbers_of(met, flow="sum").outside == {}


def test_empty_flow_bins_are_not_shown(histogram_of):
    numbers = numbers_of(histogram_of({"mc": [0, 1, 1, 1, 3]}), flow="show")
    assert numbers.flow_bins == (False, True)
    assert len(numbers.edges) == 5


def test_without_data_or_without_simulation_there_is_no_ratio(histogram_of):
    only_data = numbers_of(histogram_of({"data": [0, 1, 2, 3, 0]}))
    only_mc = numbers_of(histogram_of({"mc": [0, 1, 2, 3, 0]}))
    assert only_data.data.tolist() == [1, 2, 3]
    assert only_mc.data is None
    assert not only_data.has_ratio
    assert not only_mc.has_ratio


def test_several_data_processes_are_summed(histogram_of):
    histogram = histogram_of({"data_mu": [0, 1, 2, 3, 0], "data_e": [0, 1, 1, 1, 0]})
    numbers = stack_numbers(contents(histogram), PlottingConfig(), ["data_mu", "data_e"])
    assert numbers.data.tolist() == [2, 3, 4]
