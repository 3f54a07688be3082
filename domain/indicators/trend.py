"""Trend strength and trailing stops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.bars import Floats
from domain.errors import BadInput
from domain.indicators.volatility import atr, true_range
from domain.indicators.windows import check_factors, check_windows, first_complete_row, read_columns


class DirectionalMovement(NamedTuple):
    plus_di: Floats
    minus_di: Floats
    adx: Floats


class Supertrend(NamedTuple):
    line: Floats
    direction: NDArray[np.int8]


def directional_movement(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> DirectionalMovement:
    """Wilder's +DI, -DI (from row `window`) and ADX (from row 2·window - 1), 0 to 100.

    As TA-Lib: the running sums start with the window-1 rows before the first result; a row without range or
    without movement gives DI 0 and leaves the ADX as it is.
    """
    highs, lows, closes = read_columns("directional_movement", high=high, low=low, close=close)
    check_windows("directional_movement", minimum=2, window=window)
    rows, first = len(closes), first_complete_row(highs, lows, closes)
    plus, minus, adx_line = np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    highs, lows = highs[first:], lows[first:]
    if len(highs) <= window:
        return DirectionalMovement(plus, minus, adx_line)
    up, down = np.diff(highs), -np.diff(lows)
    ranges = _wilder_sum(true_range(highs, lows, closes[first:])[1:], window)
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = ranges == 0.0
        rising = np.where(flat, 0.0, 100.0 * (_wilder_sum(up * ((up > down) & (up > 0)), window) / ranges))
        falling = np.where(flat, 0.0, 100.0 * (_wilder_sum(down * ((down > up) & (down > 0)), window) / ranges))
        both = rising + falling
        strength = np.where(both == 0.0, -1.0, 100.0 * (np.abs(rising - falling) / both))
    plus[first + window :], minus[first + window :] = rising, falling
    if len(strength) >= window:
        adx_line[first + 2 * window - 1 :] = np.fromiter(
            _strengths(strength, window), np.float64, len(strength) - window + 1
        )
    return DirectionalMovement(plus, minus, adx_line)


def plus_di(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    return directional_movement(high, low, close, window).plus_di


def minus_di(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    return directional_movement(high, low, close, window).minus_di


def adx(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Floats:
    return directional_movement(high, low, close, window).adx


def parabolic_sar(high: ArrayLike, low: ArrayLike, acceleration: float = 0.02, maximum: float = 0.2) -> Floats:
    """Wilder's stop and reverse, from row 1. Starts short if the second bar fell more than it rose, as TA-Lib.

    A NaN after the leading ones is refused: the state it would leave is not defined.
    """
    highs, lows = read_columns("parabolic_sar", high=high, low=low)
    check_factors("parabolic_sar", acceleration=acceleration, maximum=maximum)
    out, first = np.full(len(highs), np.nan), first_complete_row(highs, lows)
    _refuse_holes("parabolic_sar", first, highs, lows)
    if len(highs) - first < 2:
        return out
    step = min(acceleration, maximum)
    tops, bottoms = highs[first:], lows[first:]
    (top, top_next), (bottom, bottom_next) = tops[:2].tolist(), bottoms[:2].tolist()
    rise, fall = top_next - top, bottom - bottom_next
    # While short (side -1) prices are mirrored, so that one set of rules serves both sides: `far` is the bar's
    # end towards the stop, `near` the one towards the extreme.
    side = -1.0 if fall > 0.0 and fall > rise else 1.0
    stop, extreme = (bottom, top_next) if side > 0 else (-top, -bottom_next)

    def stops(side: float, stop: float, extreme: float) -> Iterator[float]:
        top_before, bottom_before, speed = top_next, bottom_next, step
        for top, bottom in zip(tops[1:].data, bottoms[1:].data, strict=True):
            far, near = (bottom, top) if side > 0 else (-top, -bottom)
            reverses = far <= stop
            if reverses:
                side, far, near = -side, -near, -far
            far_before = bottom_before if side > 0 else -top_before
            if reverses:
                stop, extreme, speed = min(-extreme, far_before, far), near, step
            yield side * stop
            if near > extreme:
                extreme, speed = near, min(speed + step, maximum)
            stop = min(stop + speed * (extreme - stop), far_before, far)
            top_before, bottom_before = top, bottom

    out[first + 1 :] = np.fromiter(stops(side, stop, extreme), np.float64, len(tops) - 1)
    return out


def supertrend(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 10, multiplier: float = 3.0
) -> Supertrend:
    """A stop `multiplier` atr from the bar's middle that only tightens until a close passes it; from row `window`.

    `direction` (int8) is +1 while the line is below the price, -1 while above, 0 while warming up. It starts
    with +1 if the first close stands at or above its bar's middle. A NaN after the leading ones is refused.
    """
    highs, lows, closes = read_columns("supertrend", high=high, low=low, close=close)
    check_windows("supertrend", window=window)
    check_factors("supertrend", multiplier=multiplier)
    line, direction = np.full(len(closes), np.nan), np.zeros(len(closes), np.int8)
    first = first_complete_row(highs, lows, closes)
    _refuse_holes("supertrend", first, highs, lows, closes)
    start = first + window
    if start >= len(closes):
        return Supertrend(line, direction)
    middle, reach = (highs + lows) / 2.0, multiplier * atr(highs, lows, closes, window)
    uppers, lowers = (middle + reach)[start:], (middle - reach)[start:]
    upper, lower, rising = float(uppers[0]), float(lowers[0]), bool(closes[start] >= middle[start])
    track: list[float] = []
    sides: list[int] = []
    columns = (uppers, lowers, closes[start:], closes[start - 1 : -1])
    for upper_now, lower_now, close_now, close_before in zip(*(column.data for column in columns), strict=True):
        if upper_now < upper or close_before > upper:
            upper = upper_now
        if lower_now > lower or close_before < lower:
            lower = lower_now
        rising = close_now > (lower if rising else upper)
        track.append(lower if rising else upper)
        sides.append(1 if rising else -1)
    line[start:], direction[start:] = track, sides
    return Supertrend(line, direction)


def _wilder_sum(moves: Floats, window: int) -> Floats:
    """Wilder's decaying sum: the first window-1 moves added up, then sum - sum / window + move for each later."""

    def sums() -> Iterator[float]:
        total = math.fsum(moves[: window - 1])
        for move in moves[window - 1 :].data:
            total = total - total / window + move
            yield total

    return np.fromiter(sums(), np.float64, len(moves) - window + 1)


def _strengths(strength: Floats, window: int) -> Iterator[float]:
    """Wilder's average of the strengths; a negative one marks a row that has none."""
    yield (average := math.fsum(np.maximum(strength[:window], 0.0)) / window)
    for value in strength[window:].data:
        if not value < 0.0:
            average = (average * (window - 1) + value) / window
        yield average


def _refuse_holes(indicator: str, first: int, *columns: Floats) -> None:
    for column in columns:
        holes = np.flatnonzero(np.isnan(column[first:]))
        if len(holes):
            raise BadInput(f"{indicator}: row {first + int(holes[0])} is NaN; fill or drop it before")
