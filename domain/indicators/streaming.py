"""Indicators one value at a time, for live use: each push gives the bits that the array function gives.

Fed from the same first value on, `StreamingX.push` returns what X returns on the rows so far, NaN while warming
up included. `StreamingSma` does so from any first value, since a window's mean depends on the window alone.
A NaN pushed before the first number is skipped as leading; a later one acts as in the arrays.
"""

from __future__ import annotations

import math
from collections import deque

from domain.indicators.windows import GRID, ON_GRID, check_windows


class StreamingSma:
    """Twin of `sma`; O(log window) a push."""

    __slots__ = ("_divisor", "_levels", "_parts")

    def __init__(self, window: int) -> None:
        check_windows("sma", window=window)
        self._divisor = window * GRID
        # `windows.fold`, turned to time: level k keeps sums of 2**k values, and the result adds up, oldest
        # first, the sum of level k that was complete `lag` pushes ago, for each (k, lag) of the parts.
        self._levels: list[deque[float]] = []
        self._parts: list[tuple[int, int]] = []
        covered = 0
        for level in range(window.bit_length()):
            size, lag = 1 << level, 0
            if window & size:
                covered += size
                lag = window - covered
                self._parts.append((level, lag))
            kept = max(size, lag) + 1
            self._levels.append(deque([math.nan] * kept, maxlen=kept))

    def push(self, value: float) -> float:
        total, size = _to_grid(value), 1
        for sums in self._levels:
            sums.append(total)
            total += sums[-1 - size]
            size *= 2
        parts = iter(self._parts)
        level, lag = next(parts)
        result = self._levels[level][-1 - lag]
        for level, lag in parts:
            result += self._levels[level][-1 - lag]
        return result / self._divisor


class StreamingEma:
    """Twin of `ema`."""

    __slots__ = ("_average", "_seed", "_weight", "_window")

    def __init__(self, window: int) -> None:
        check_windows("ema", window=window)
        self._window = window
        self._weight = 2.0 / (window + 1)
        self._seed: list[float] = []
        self._average = math.nan

    def push(self, value: float) -> float:
        if len(self._seed) < self._window:
            self._average = _seed_mean(self._seed, value, self._window)
        else:
            self._average += (value - self._average) * self._weight
        return self._average


class StreamingWilder:
    """Twin of `wilder`."""

    __slots__ = ("_average", "_seed", "_window")

    def __init__(self, window: int) -> None:
        check_windows("wilder", window=window)
        self._window = window
        self._seed: list[float] = []
        self._average = math.nan

    def push(self, value: float) -> float:
        if len(self._seed) < self._window:
            self._average = _seed_mean(self._seed, value, self._window)
        else:
            self._average = (self._average * (self._window - 1) + value) / self._window
        return self._average


class StreamingRsi:
    """Twin of `rsi`."""

    __slots__ = ("_before", "_gains", "_losses")

    def __init__(self, window: int = 14) -> None:
        check_windows("rsi", window=window)
        self._gains, self._losses = StreamingWilder(window), StreamingWilder(window)
        self._before = math.nan

    def push(self, value: float) -> float:
        change = value - self._before
        self._before = value
        gain = self._gains.push(change if not change < 0.0 else 0.0)
        loss = self._losses.push(-change if not change > 0.0 else 0.0)
        total = gain + loss
        return 0.0 if abs(total) < 1e-14 else 100.0 * (gain / total)


class StreamingAtr:
    """Twin of `atr`."""

    __slots__ = ("_before", "_ranges")

    def __init__(self, window: int = 14) -> None:
        check_windows("atr", window=window)
        self._ranges = StreamingWilder(window)
        self._before = math.nan

    def push(self, high: float, low: float, close: float) -> float:
        before, self._before = self._before, close
        if before != before:
            return self._ranges.push(math.nan)
        return self._ranges.push(max(high, before) - min(low, before))


class StreamingCross:
    """Twin of `crossover`."""

    __slots__ = ("_side",)

    def __init__(self) -> None:
        self._side = 0

    def push(self, fast: float, slow: float) -> int:
        if fast == slow:
            return 0
        before, self._side = self._side, 1 if fast > slow else -1 if fast < slow else 0
        return self._side if before == -self._side else 0


def _seed_mean(seed: list[float], value: float, window: int) -> float:
    """Collect a value for the seed; the mean once there are `window`, NaN before. Leading NaNs are skipped."""
    if not seed and math.isnan(value):
        return math.nan
    seed.append(value)
    return math.fsum(seed) / window if len(seed) == window else math.nan


def _to_grid(value: float) -> float:
    """Twin of `windows.to_grid`."""
    scaled = value * GRID
    if not math.isfinite(scaled):
        return scaled
    whole = float(round(scaled))
    return whole if abs(scaled - whole) <= abs(scaled) * ON_GRID else scaled
