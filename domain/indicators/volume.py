"""Indicators that weigh prices with traded volume."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from domain.bars import Floats
from domain.errors import BadInput
from domain.indicators.windows import GRID, check_windows, first_complete_row, read_columns, to_grid, window_sum


def obv(close: ArrayLike, volume: ArrayLike) -> Floats:
    """On-balance volume: plus the volume of bars that closed higher, minus that of bars that closed lower.

    Starts with the first bar's volume, as TA-Lib (others start with 0: a constant difference).
    """
    closes, volumes = read_columns("obv", close=close, volume=volume)
    out, first = np.full(len(closes), np.nan), first_complete_row(closes, volumes)
    signed = volumes[first:].copy()
    signed[1:] *= np.sign(np.diff(closes[first:]))
    out[first:] = np.cumsum(signed)
    return out


def mfi(high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike, window: int = 14) -> Floats:
    """Money flow index: of the money (typical price · volume) of `window` bars, the percentage on rising ones.

    From row `window`; 0 where no money flowed, which as in TA-Lib means less than 1.
    """
    highs, lows, closes, volumes = read_columns("mfi", high=high, low=low, close=close, volume=volume)
    check_windows("mfi", window=window)
    # Three times the typical price, on the grid: bars of equal prices compare equal, whatever order they add in.
    tripled = to_grid(highs + lows + closes)
    money, sign = tripled / (3.0 * GRID) * volumes, np.full(len(tripled), np.nan)
    sign[1:] = np.sign(np.diff(tripled))
    rising = window_sum(money * np.maximum(sign, 0.0), window)
    falling = window_sum(money * np.maximum(-sign, 0.0), window)
    total = rising + falling
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total < 1.0, 0.0, 100.0 * (rising / total))


def vwap(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike, session: ArrayLike | None = None
) -> Floats:
    """Volume-weighted average of the typical price since the session's first bar.

    `session` labels each row (any values; a new session is where the label changes); None: one session.
    NaN until the session has traded. A NaN after the leading ones lasts to the end of its session.
    """
    highs, lows, closes, volumes = read_columns("vwap", high=high, low=low, close=close, volume=volume)
    money, traded = (highs + lows + closes) / 3.0 * volumes, volumes.copy()
    first = first_complete_row(money)
    money[:first] = traded[:first] = 0.0
    bounds = [0, len(closes)]
    if session is not None:
        labels = np.asarray(session)
        if labels.shape != closes.shape:
            raise BadInput(f"vwap: session has shape {labels.shape}, close {closes.shape}")
        bounds[1:1] = (np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist()
    for opening, after in pairwise(bounds):
        rows = slice(opening, after)
        np.cumsum(money[rows], out=money[rows])
        np.cumsum(traded[rows], out=traded[rows])
    return money / np.where(traded == 0.0, np.nan, traded)
