from __future__ import annotations

import numpy as np
import pytest

from domain import indicators as ind
from domain.errors import BadInput
from domain.indicators.streaming import (
    StreamingAtr,
    StreamingCross,
    StreamingEma,
    StreamingRsi,
    StreamingSma,
    StreamingWilder,
)


def prices(seed: int, *, decimal: bool) -> np.ndarray:
    walk = 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.003, 700)))
    walk[300:340] = walk[300]  # a market that stands still
    return np.round(walk, 2) if decimal else walk


@pytest.mark.parametrize("decimal", [True, False])
@pytest.mark.parametrize("window", [1, 2, 3, 14, 20, 50, 127, 200])
def test_each_push_gives_the_bits_of_the_array(window: int, decimal: bool) -> None:
    values = prices(window, decimal=decimal)
    values[:5] = np.nan
    pairs = [
        (StreamingSma(window), ind.sma(values, window)),
        (StreamingEma(window), ind.ema(values, window)),
        (StreamingWilder(window), ind.wilder(values, window)),
        (StreamingRsi(window), ind.rsi(values, window)),
    ]
    for twin, expected in pairs:
        pushed = [twin.push(value) for value in values.tolist()]
        np.testing.assert_array_equal(pushed, expected, err_msg=type(twin).__name__)
        assert np.isfinite(pushed).sum() >= 700 - 5 - window


@pytest.mark.parametrize("window", [1, 14])
def test_the_range_twin_gives_the_bits_of_the_array(window: int) -> None:
    close = prices(77, decimal=True)
    high, low = close + 0.03, close - 0.02
    high[0] = low[0] = close[0] = np.nan
    twin = StreamingAtr(window)
    pushed = [twin.push(*row) for row in zip(high.tolist(), low.tolist(), close.tolist(), strict=True)]
    np.testing.assert_array_equal(pushed, ind.atr(high, low, close, window))


@pytest.mark.parametrize("decimal", [True, False])
def test_a_mean_joined_late_gives_the_bits_of_the_whole_series(decimal: bool) -> None:
    values = prices(5, decimal=decimal)
    twin = StreamingSma(20)
    pushed = [twin.push(value) for value in values[313:].tolist()]
    np.testing.assert_array_equal(pushed[19:], ind.sma(values, 20)[332:])


def test_a_nan_inside_acts_as_in_the_arrays() -> None:
    values = prices(6, decimal=True)
    values[100] = np.nan
    for twin, expected in (
        (StreamingSma(9), ind.sma(values, 9)),
        (StreamingEma(9), ind.ema(values, 9)),
        (StreamingRsi(9), ind.rsi(values, 9)),
    ):
        np.testing.assert_array_equal([twin.push(value) for value in values.tolist()], expected)


def test_the_cross_twin_says_what_the_array_says() -> None:
    rng = np.random.default_rng(7)
    fast, slow = rng.integers(1, 4, (2, 500)).astype(float)
    fast[:3], fast[200] = np.nan, np.nan
    twin = StreamingCross()
    said = [twin.push(*row) for row in zip(fast.tolist(), slow.tolist(), strict=True)]
    assert said == ind.crossover(fast, slow).tolist()
    assert {-1, 0, 1} == set(said)


def test_a_wrong_window_is_refused_at_once() -> None:
    for twin in (StreamingSma, StreamingEma, StreamingWilder, StreamingRsi, StreamingAtr):
        with pytest.raises(BadInput, match="window must be a whole number of bars >= 1, not 0"):
            twin(0)
