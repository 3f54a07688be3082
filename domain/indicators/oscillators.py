"""Oscillators: how far and how one-sidedly prices moved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from domain.bars import Floats
from domain.indicators.averages import sma, smooth_wilder
from domain.indicators.windows import (
    GRID,
    check_windows,
    read_columns,
    to_grid,
    window_max,
    window_mean,
    window_mean_deviation,
    window_min,
)


class Stochastic(NamedTuple):
    k: Floats
    d: Floats


class Aroon(NamedTuple):
    down: Floats
    up: Floats


def lag(values: ArrayLike, bars: int = 1) -> Floats:
    """The value `bars` rows before; NaN in the first `bars` rows."""
    (column,) = read_columns("lag", values=values)
    check_windows("lag", bars=bars)
    out = np.full(len(column), np.nan)
    out[bars:] = column[:-bars]
    return out


def momentum(values: ArrayLike, window: int = 10) -> Floats:
    """The change over `window` bars."""
    (column,) = read_columns("momentum", values=values)
    check_windows("momentum", window=window)
    return column - lag(column, window)


def roc(values: ArrayLike, window: int = 10) -> Floats:
    """The change over `window` bars in percent of the older value; 0 where that is 0, as TA-Lib."""
    (column,) = read_columns("roc", values=values)
    check_windows("roc", window=window)
    before = lag(column, window)
    return _share(column - before, before, 100.0)


def rsi(values: ArrayLike, window: int = 14) -> Floats:
    """Relative strength index: 100 · gains / (gains + losses), both in Wilder's average; from row `window`.

    Seeded with the means of the first `window` gains and losses. 0 where nothing moved at all, as TA-Lib.
    """
    (column,) = read_columns("rsi", values=values)
    check_windows("rsi", window=window)
    change = np.full(len(column), np.nan)
    change[1:] = column[1:] - column[:-1]
    gains = smooth_wilder(np.maximum(change, 0.0), window)
    losses = smooth_wilder(np.maximum(-change, 0.0), window)
    total = gains + losses
    total[np.abs(total) < 1e-14] = 0.0
    return _share(gains, total, 100.0)


def stochastic(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14, smooth_k: int = 3, smooth_d: int = 3
) -> Stochastic:
    """Slow stochastic: the close's place in the range of `window` bars in percent, averaged twice (sma).

    Raw place 0 where the range is 0. k and d start together, on row window + smooth_k + smooth_d - 3, as TA-Lib.
    """
    check_windows("stochastic", window=window, smooth_k=smooth_k, smooth_d=smooth_d)
    highs, lows, closes = read_columns("stochastic", high=high, low=low, close=close)
    floor = window_min(lows, window)
    k = sma(_share(closes - floor, window_max(highs, window) - floor, 100.0), smooth_k)
    d = sma(k, smooth_d)
    k[np.isnan(d)] = np.nan
    return Stochastic(k, d)


def williams_r(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    """-100 · (highest high - close) / range of `window` bars; 0 where the range is 0."""
    highs, lows, closes = read_columns("williams_r", high=high, low=low, close=close)
    check_windows("williams_r", window=window)
    ceiling = window_max(highs, window)
    return _share(ceiling - closes, ceiling - window_min(lows, window), -100.0)


def cci(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 20) -> Floats:
    """Commodity channel index: the typical price's distance from its mean, in 0.015 mean absolute deviations.

    0 where the window is flat. Costs O(n·window).
    """
    highs, lows, closes = read_columns("cci", high=high, low=low, close=close)
    check_windows("cci", window=window)
    # Three times the typical price: the factor cancels, and sums of prices are on the grid where thirds are not.
    tripled = to_grid(highs + lows + closes) / GRID
    return _share(tripled - window_mean(tripled, window), 0.015 * window_mean_deviation(tripled, window), 1.0)


def aroon(high: ArrayLike, low: ArrayLike, window: int = 25) -> Aroon:
    """How recent the lowest low and the highest high of the last window + 1 bars are.

    100 = on this bar, 0 = `window` bars ago; of equals the latest counts. From row `window`. Costs O(n·log n).
    """
    highs, lows = read_columns("aroon", high=high, low=low)
    check_windows("aroon", window=window)
    return Aroon(_recency_of_highest(-lows, window), _recency_of_highest(highs, window))


def _recency_of_highest(values: Floats, window: int) -> Floats:
    # A moving maximum of ranks in place of values: ranks are unique, so they lead back to the row.
    by_size = np.argsort(values, kind="stable")
    rank = np.empty(len(values))
    rank[by_size] = np.arange(len(values))
    out = np.full(len(values), np.nan)
    best = window_max(rank, window + 1)[window:]
    if len(best):
        row = by_size[best.astype(np.int64)]
        age = np.arange(window, len(values)) - row
        out[window:] = np.where(np.isnan(values[row]), np.nan, 100.0 * (window - age) / window)
    return out


def _share(part: Floats, whole: Floats, scale: float) -> Floats:
    """scale · part / whole; 0 where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole == 0.0, 0.0 * part, scale * (part / whole))
