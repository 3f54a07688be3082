"""Moving averages and what is made of two of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from domain.bars import Floats
from domain.errors import BadInput
from domain.indicators.windows import (
    GRID,
    check_windows,
    first_complete_row,
    read_columns,
    tiles,
    to_grid,
    window_mean,
    window_sum,
)


class Macd(NamedTuple):
    line: Floats
    signal: Floats
    histogram: Floats


def sma(values: ArrayLike, window: int) -> Floats:
    """Simple moving average, from row window-1. Exact for prices on the grid (see `windows`)."""
    (column,) = read_columns("sma", values=values)
    check_windows("sma", window=window)
    return window_mean(column, window)


def wma(values: ArrayLike, window: int) -> Floats:
    """Linearly weighted average, the newest value weighing `window`; from row window-1. Costs O(n·window)."""
    (column,) = read_columns("wma", values=values)
    check_windows("wma", window=window)
    out = np.full(len(column), np.nan)
    newest_first = np.arange(window, 0.0, -1.0)
    for low, high in tiles(len(column), window):
        weighted = np.convolve(to_grid(column[low - window + 1 : high]), newest_first, "valid")
        np.divide(weighted, GRID * window * (window + 1) / 2, out=out[low:high])
    return out


def ema(values: ArrayLike, window: int) -> Floats:
    """Exponential average with weight 2 / (window + 1), seeded with the mean of the first `window` values.

    From row window-1, counted from the first value that is not NaN.
    """
    (column,) = read_columns("ema", values=values)
    check_windows("ema", window=window)
    return smooth(column, window, 2.0 / (window + 1))


def dema(values: ArrayLike, window: int) -> Floats:
    """Double exponential average 2·ema - ema(ema), from row 2·(window-1)."""
    check_windows("dema", window=window)
    once = ema(values, window)
    return 2.0 * once - ema(once, window)


def wilder(values: ArrayLike, window: int) -> Floats:
    """Wilder's average: weight 1 / window, seeded with the mean of the first `window` values; from row window-1."""
    (column,) = read_columns("wilder", values=values)
    check_windows("wilder", window=window)
    return smooth_wilder(column, window)


def kama(values: ArrayLike, window: int = 10, fast: int = 2, slow: int = 30) -> Floats:
    """Kaufman's adaptive average, started at value window-1; from row `window`.

    Its weight moves between those of an ema over `slow` and one over `fast` bars with the share of the
    movement that was net. A flat or a purely rising window counts as all net.
    """
    (column,) = read_columns("kama", values=values)
    check_windows("kama", window=window, fast=fast, slow=slow)
    out = np.full(len(column), np.nan)
    first = first_complete_row(column)
    known = column[first:]
    if len(known) <= window:
        return out
    net = known[window:] - known[:-window]
    path = window_sum(np.abs(np.diff(known)), window)[window - 1 :]
    with np.errstate(invalid="ignore", divide="ignore"):
        efficiency = np.where((path <= net) | (path < 1e-14), 1.0, np.abs(net / path))
    fastest, slowest = 2.0 / (fast + 1), 2.0 / (slow + 1)
    weights = np.square(efficiency * (fastest - slowest) + slowest)

    def averages() -> Iterator[float]:
        average = float(known[window - 1])
        for value, weight in zip(known[window:].data, weights.data, strict=True):
            average += (value - average) * weight
            yield average

    out[first + window :] = np.fromiter(averages(), np.float64, len(weights))
    return out


def macd(values: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """ema(fast) - ema(slow), the ema of that over `signal` bars, and their difference.

    As TA-Lib: both averages start on row slow-1 (the fast one seeded with the `fast` values that end there),
    and all three results start together, on row slow + signal - 2.
    """
    (column,) = read_columns("macd", values=values)
    check_windows("macd", fast=fast, slow=slow, signal=signal)
    if fast >= slow:
        raise BadInput(f"macd: fast must be below slow, not {fast} and {slow}")
    late = first_complete_row(column) + slow - fast
    line = np.full(len(column), np.nan)
    line[late:] = ema(column[late:], fast)
    line -= ema(column, slow)
    average = ema(line, signal)
    line[np.isnan(average)] = np.nan
    return Macd(line, average, line - average)


def smooth(column: Floats, window: int, weight: float) -> Floats:
    """Exponential smoothing seeded with the mean of the first `window` values that follow the leading NaNs."""

    def averages(values: Floats) -> Iterator[float]:
        yield (average := math.fsum(values[:window]) / window)
        for value in values[window:].data:
            average += (value - average) * weight
            yield average

    return _from_seed(column, window, averages)


def smooth_wilder(column: Floats, window: int) -> Floats:
    """As `smooth` with weight 1 / window, in the order of operations that Wilder and TA-Lib use."""
    kept = window - 1

    def averages(values: Floats) -> Iterator[float]:
        yield (average := math.fsum(values[:window]) / window)
        for value in values[window:].data:
            average = (average * kept + value) / window
            yield average

    return _from_seed(column, window, averages)


def _from_seed(column: Floats, window: int, averages: Callable[[Floats], Iterator[float]]) -> Floats:
    # A generator over a memoryview keeps one float alive at a time: half the time of a loop over lists.
    out, first = np.full(len(column), np.nan), first_complete_row(column)
    results = len(column) - first - window + 1
    if results > 0:
        out[first + window - 1 :] = np.fromiter(averages(column[first:]), np.float64, results)
    return out
