"""Ranges, deviations and the bands drawn from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from domain.bars import Floats
from domain.errors import BadInput
from domain.indicators.averages import ema, smooth_wilder
from domain.indicators.windows import (
    check_factors,
    check_windows,
    first_complete_row,
    read_columns,
    window_max,
    window_mean,
    window_min,
    window_variance,
)


class Bands(NamedTuple):
    upper: Floats
    middle: Floats
    lower: Floats


def true_range(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Floats:
    """The bar's range, stretched to the close before it; NaN in the first row, which has none."""
    highs, lows, closes = read_columns("true_range", high=high, low=low, close=close)
    out = np.full(len(closes), np.nan)
    before = closes[:-1]
    out[1:] = np.maximum(highs[1:], before) - np.minimum(lows[1:], before)
    return out


def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    """Average true range: Wilder's average, seeded with the mean of the first `window` ranges; from row `window`."""
    check_windows("atr", window=window)
    return smooth_wilder(true_range(high, low, close), window)


def natr(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    """`atr` in percent of the close."""
    return 100.0 * (atr(high, low, close, window) / np.asarray(close, dtype=np.float64))


def stddev(values: ArrayLike, window: int) -> Floats:
    """Population standard deviation (divisor `window`), from row window-1. Costs O(n·window)."""
    (column,) = read_columns("stddev", values=values)
    check_windows("stddev", window=window)
    return np.sqrt(window_variance(column, window))


def zscore(values: ArrayLike, window: int) -> Floats:
    """Population standard deviations between the value and its window's mean; NaN where the window is flat."""
    (column,) = read_columns("zscore", values=values)
    check_windows("zscore", window=window)
    spread = np.sqrt(window_variance(column, window))
    spread[spread == 0.0] = np.nan
    return (column - window_mean(column, window)) / spread


def bollinger(values: ArrayLike, window: int = 20, deviations: float = 2.0) -> Bands:
    """sma ± `deviations` population standard deviations, from row window-1."""
    (column,) = read_columns("bollinger", values=values)
    check_windows("bollinger", window=window)
    check_factors("bollinger", deviations=deviations)
    middle = window_mean(column, window)
    reach = deviations * np.sqrt(window_variance(column, window))
    return Bands(middle + reach, middle, middle - reach)


def percent_b(values: ArrayLike, bands: Bands) -> Floats:
    """Where a value stands in its bands: 0 on the lower, 1 on the upper; NaN where they have no width."""
    (column,) = read_columns("percent_b", values=values)
    width = bands.upper - bands.lower
    return (column - bands.lower) / np.where(width == 0.0, np.nan, width)


def band_width(bands: Bands) -> Floats:
    """The bands' width as a share of their middle; NaN where the middle is 0."""
    return (bands.upper - bands.lower) / np.where(bands.middle == 0.0, np.nan, bands.middle)


def highest(values: ArrayLike, window: int) -> Floats:
    """The highest of the last `window` values, this one included; from row window-1."""
    (column,) = read_columns("highest", values=values)
    check_windows("highest", window=window)
    return window_max(column, window)


def lowest(values: ArrayLike, window: int) -> Floats:
    """The lowest of the last `window` values, this one included; from row window-1."""
    (column,) = read_columns("lowest", values=values)
    check_windows("lowest", window=window)
    return window_min(column, window)


def donchian(high: ArrayLike, low: ArrayLike, window: int = 20) -> Bands:
    """Highest high and lowest low of the last `window` bars, this one included, and their middle.

    A close can never leave a channel that contains its own bar: compare it with `lag(channel.upper)`.
    """
    highs, lows = read_columns("donchian", high=high, low=low)
    check_windows("donchian", window=window)
    upper, lower = window_max(highs, window), window_min(lows, window)
    return Bands(upper, (upper + lower) / 2.0, lower)


def keltner(
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    window: int = 20,
    multiplier: float = 2.0,
    atr_window: int = 10,
) -> Bands:
    """ema(close, window) ± multiplier · atr(atr_window); starts when both have."""
    check_windows("keltner", window=window, atr_window=atr_window)
    check_factors("keltner", multiplier=multiplier)
    reach = multiplier * atr(high, low, close, atr_window)
    middle = ema(close, window)
    middle[np.isnan(reach)] = np.nan
    return Bands(middle + reach, middle, middle - reach)


def ewma_volatility(close: ArrayLike, decay: float = 0.94, window: int = 20) -> Floats:
    """Standard deviation of one bar's return, exponentially weighted (RiskMetrics); not annualised.

    variance = decay · variance + (1 - decay) · return², zero mean, simple returns; seeded with the mean square
    of the first `window` returns, hence from row `window`. Multiply by sqrt(bars a year) to annualise.
    """
    (column,) = read_columns("ewma_volatility", close=close)
    check_windows("ewma_volatility", window=window)
    if not 0.0 <= decay < 1.0:
        raise BadInput(f"ewma_volatility: decay must be at least 0 and below 1, not {decay!r}")
    out, first = np.full(len(column), np.nan), first_complete_row(column)
    prices = column[first:]
    if len(prices) > window:
        squares, fresh = np.square(prices[1:] / prices[:-1] - 1.0), 1.0 - decay

        def variances() -> Iterator[float]:
            yield (variance := math.fsum(squares[:window]) / window)
            for square in squares[window:].data:
                variance = decay * variance + fresh * square
                yield variance

        out[first + window :] = np.sqrt(np.fromiter(variances(), np.float64, len(prices) - window))
    return out
