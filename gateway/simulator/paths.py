"""What happens inside a span of trading: a price for every second, drawn so that the span's bar comes out exactly.

A path goes through its span's open, both extremes and close and never beyond them, so bars of every size, made from
seconds or from spans, agree. It depends on the seed, the listing's process and the span, on nothing else: paths may be
forgotten and drawn again.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.timeframe import SECOND_NS
from gateway.simulator.prices import Spans, on_grid

Floats32 = NDArray[np.float32]

# Of a random walk of n steps of size 1 the range is about 1.6 times the square root of n.
_RANGE_OF_WALK = 1.6
_LONG_SECONDS = 3600
_U_DEPTH = 2.4


class Path(NamedTuple):
    """The seconds of some spans, one after another.

    `start` and `first` are the spans' starts in nanoseconds and the rows of their first seconds, with one more `first`
    at the end. Second i goes from `open[i]` to `close[i]` without a detour; `volume[i]` is what was traded before it,
    of all spans here (one longer than `open`). Halted seconds are flat and without volume.
    """

    start: Times
    first: NDArray[np.int64]
    open: Floats
    close: Floats
    volume: Floats
    halted: NDArray[np.bool_] | None

    def over_at(self, span: int, now_ns: int) -> int:
        """How many seconds of the path are over at `now_ns`, a time in or around its span `span`."""
        first, end = int(self.first[span]), int(self.first[span + 1])
        return first + min(max((now_ns - int(self.start[span])) // SECOND_NS, 0), end - first)


class Running(NamedTuple):
    """The highest and the lowest price of a path up to and with each second."""

    high: Floats
    low: Floats


def draw(words: tuple[int, ...], spans: Spans, steps: tuple[tuple[float, float], ...]) -> Path:
    """The path of all of `spans`, which lie in one group; `words` are what the random numbers depend on."""
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))
    lengths = (spans.end - spans.start) // SECOND_NS
    first = np.concatenate([[0], np.cumsum(lengths)])
    total = int(first[-1])
    closes, volume = np.empty(total), np.zeros(total + 1)
    halted: NDArray[np.bool_] | None = None
    traded = np.concatenate([[0.0], np.cumsum(np.nan_to_num(spans.volume))])
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        pause = int(spans.halt_end[rows[0]] - spans.halt_start[rows[0]])
        price, share = _drawn(rng, spans, rows, length - pause, steps)
        if pause:
            at = int(spans.halt_start[rows[0]])
            halted = np.zeros(total, np.bool_)
            halted[first[rows[0]] + at : first[rows[0]] + at + pause] = True
            price = np.insert(price, [at] * pause, price[:, at - 1 : at], axis=1)
            share = np.insert(share, [at] * pause, share[:, at - 1 : at], axis=1)
        where = (first[rows][:, None] + np.arange(length)).ravel()
        closes[where] = price.ravel()
        share *= np.nan_to_num(spans.volume[rows])[:, None]
        np.rint(share, out=share)
        share += traded[rows][:, None]
        volume[where + 1] = share.ravel()
    opens = np.empty(total)
    opens[1:] = closes[:-1]
    opens[first[:-1]] = spans.open
    return Path(spans.start, first, opens, closes, volume, halted)


def _drawn(
    rng: np.random.Generator,
    spans: Spans,
    rows: NDArray[np.int64],
    length: int,
    steps: tuple[tuple[float, float], ...],
) -> tuple[Floats, Floats]:
    """(prices at the end of each second, part of the volume traded by then) of spans of one length, [spans, length]."""
    open_, high, low, close = (column[rows][:, None] for column in (spans.open, spans.high, spans.low, spans.close))
    price = _bridged(rng, open_, high, low, close, length, steps)
    weight = rng.standard_exponential((len(rows), length), np.float32)
    if length > _LONG_SECONDS:
        weight *= _busyness(length)
    share = np.cumsum(weight, axis=1, dtype=np.float64)
    share /= share[:, -1:].copy()
    return price, share


def _bridged(
    rng: np.random.Generator,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    length: int,
    steps: tuple[tuple[float, float], ...],
) -> Floats:
    """Random walks from open over both extremes to close; the columns are [spans, 1], the result [spans, length]."""
    count = len(open_)
    if length < 3:
        # No room for both extremes: the one further from the close, then the close.
        far = np.where(high - close > close - low, high, low)
        return np.concatenate([far] * (length - 1) + [close], axis=1)
    one, other = (rng.random((count, 1)) for _ in range(2))
    early = (one * (length - 2)).astype(np.int64)
    late = early + 1 + (other * (length - 2 - early)).astype(np.int64)
    low_first = rng.random((count, 1)) < np.where(close >= open_, 0.65, 0.35)
    early_price, late_price = np.where(low_first, low, high), np.where(low_first, high, low)

    noise = rng.standard_normal((count, length), np.float32)
    if length > _LONG_SECONDS:
        noise *= _liveliness(length)
    walk = np.cumsum(noise, axis=1, dtype=np.float64)
    walk *= (high - low) / (_RANGE_OF_WALK * np.sqrt(length))

    # What the walk lacks at the four fixed points, straight lines in between.
    knots = np.concatenate([np.full((count, 1), -1), early, late, np.full((count, 1), length - 1)], axis=1)
    reached = np.concatenate([np.zeros((count, 1)), np.take_along_axis(walk, knots[:, 1:], 1)], axis=1)
    lack = np.concatenate([open_, early_price, late_price, close], axis=1) - reached
    slope = np.diff(lack, axis=1) / np.diff(knots, axis=1)
    level = lack[:, :-1] - slope * knots[:, :-1]
    second = np.arange(length)
    piece = (second > early).astype(np.intp)
    piece += second > late
    walk += np.take_along_axis(slope, piece, 1) * second
    walk += np.take_along_axis(level, piece, 1)

    # What leaves the span's range is mirrored back into it.
    np.abs(np.subtract(high, walk, out=walk), out=walk)
    np.subtract(high, walk, out=walk)
    np.abs(np.subtract(walk, low, out=walk), out=walk)
    np.add(walk, low, out=walk)
    price = on_grid(walk, steps)
    np.minimum(price, high, out=price)
    np.maximum(price, low, out=price)
    each = np.arange(count)
    price[each, early[:, 0]] = early_price[:, 0]
    price[each, late[:, 0]] = late_price[:, 0]
    price[:, -1] = close[:, 0]
    return price


@cache
def _busyness(length: int) -> Floats32:
    """Volume of a second next to others of a long span: most at its ends, least in its middle."""
    x = np.linspace(-1, 1, length, dtype=np.float32)
    curve = 1 + _U_DEPTH * x**4 + 3.0 * np.exp(-(1 + x) * 20) + 4.0 * np.exp(-(1 - x) * 30)
    return np.asarray(curve, np.float32)


@cache
def _liveliness(length: int) -> Floats32:
    """Size of the moves, likewise."""
    curve: Floats32 = np.sqrt(_busyness(length) / np.mean(_busyness(length)))
    return curve


def running(path: Path) -> Running:
    high, low = np.maximum(path.open, path.close), np.minimum(path.open, path.close)
    return Running(np.maximum.accumulate(high), np.minimum.accumulate(low))
