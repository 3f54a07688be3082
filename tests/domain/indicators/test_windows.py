from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.indicators import windows
from domain.indicators.averages import sma


@given(
    cents=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=120),
    window=st.integers(1, 60),
    scale=st.sampled_from([1, 10, 100, 10_000, 10**8]),
)
def test_the_mean_of_decimal_prices_is_the_float_nearest_to_the_true_mean(
    cents: list[int], window: int, scale: int
) -> None:
    ours = sma(np.array([value / scale for value in cents]), window)
    for row in range(len(cents)):
        if row < window - 1:
            assert np.isnan(ours[row])
            continue
        total = sum(cents[row - window + 1 : row + 1])
        if abs(total) * 10**8 // scale < 2**53:
            assert ours[row] == float(Fraction(total, scale * window))


@pytest.mark.parametrize("window", [1, 2, 3, 20, 50, 200, 777])
def test_a_mean_depends_on_its_window_alone_and_not_on_where_the_series_or_a_tile_starts(window: int) -> None:
    rng = np.random.default_rng(window)
    values = np.exp(np.cumsum(rng.normal(0, 0.001, 2 * windows.TILE + 99)))  # no decimal prices
    whole = sma(values, window)
    for start in (1, 333, windows.TILE - 1, windows.TILE + 7):
        np.testing.assert_array_equal(sma(values[start:], window)[window - 1 :], whole[start + window - 1 :])
    np.testing.assert_allclose(
        whole[window - 1 :], np.lib.stride_tricks.sliding_window_view(values, window).mean(axis=1), rtol=1e-13
    )


def test_means_do_not_drift_over_a_million_prices() -> None:
    rng = np.random.default_rng(8)
    cents = 15_000 + np.cumsum(rng.integers(-2, 3, 1_000_000))
    total = np.cumsum(np.concatenate([[0], cents]))
    exact = (total[20:] - total[:-20]) / 2000.0
    np.testing.assert_array_equal(sma(cents / 100.0, 20)[19:], exact)


@pytest.mark.parametrize("window", [1, 2, 5, 64, 100])
def test_extremes_are_those_of_each_window_whatever_the_data(window: int) -> None:
    rng = np.random.default_rng(9)
    for values in (rng.normal(size=700), np.arange(700.0), -np.arange(700.0), np.zeros(700)):
        view = np.lib.stride_tricks.sliding_window_view(values, window)
        np.testing.assert_array_equal(windows.window_max(values, window)[window - 1 :], view.max(axis=1))
        np.testing.assert_array_equal(windows.window_min(values, window)[window - 1 :], view.min(axis=1))


def test_a_window_longer_than_the_series_or_than_a_tile_is_no_special_case() -> None:
    values = np.arange(3.0 * windows.TILE)
    assert np.isnan(windows.window_mean(values[:10], 11)).all()
    window = windows.TILE + 5
    np.testing.assert_array_equal(
        windows.window_mean(values, window)[window - 1 :], np.arange(len(values) - window + 1) + (window - 1) / 2
    )


def test_a_quiet_window_at_a_high_price_keeps_its_deviation() -> None:
    values = np.array([1e6, 70_000.0, 70_000.01, 70_000.0, 70_000.01, 70_000.01, 70_000.01, 70_000.01, 70_000.01])
    deviation = np.sqrt(windows.window_variance(values, 4))
    assert deviation[4] == pytest.approx(0.005, rel=1e-8)
    assert deviation[8] == 0.0
    assert windows.window_mean_deviation(values, 4)[4] == pytest.approx(0.005, rel=1e-8)


def test_only_values_within_rounding_of_the_grid_are_put_on_it() -> None:
    values = np.array([0.1 + 0.2, 101.17, 1e-8, 1 / 3, 1.000000001e-8, np.nan, -0.07, 1.1 * 3])
    scaled = windows.to_grid(values)
    assert scaled[[0, 1, 2, 6, 7]].tolist() == [30_000_000, 10_117_000_000, 1, -7_000_000, 330_000_000]
    assert scaled[3] == values[3] * 1e8 and scaled[4] == values[4] * 1e8
    assert np.isnan(scaled[5])
