"""Rows: pieces of trading with what happened in them, from which bars of any size are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.timeframe import SECOND_NS
from gateway.simulator.paths import Path
from gateway.simulator.prices import Spans


class Rows(NamedTuple):
    """Columns of one length in time order. `span` is the row of the listing's span that a piece lies in, `turnover`
    price times volume, `total` the sum over its seconds of the prices at their ends."""

    start: Times
    end: Times
    span: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    turnover: Floats
    total: Floats

    def take(self, rows: NDArray[np.bool_] | slice) -> Rows:
        columns: list[Any] = [column[rows] for column in self]
        return Rows(*columns)


_NO_TIMES, _NO_PRICES = np.empty(0, np.int64), np.empty(0)
NO_ROWS = Rows(_NO_TIMES, _NO_TIMES, _NO_TIMES, *(_NO_PRICES,) * 7)


def joined(parts: Sequence[Rows]) -> Rows:
    columns: list[Any] = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return Rows(*columns)


def whole_spans(spans: Spans, rows: NDArray[np.int64]) -> Rows:
    """Spans as they are known without their paths; the mean price in each is estimated from its four prices."""
    open_, high, low, close = (column[rows] for column in (spans.open, spans.high, spans.low, spans.close))
    mean = (open_ + high + low + close) / 4
    start, end, volume = spans.start[rows], spans.end[rows], np.nan_to_num(spans.volume[rows])
    return Rows(start, end, rows, open_, high, low, close, volume, volume * mean, mean * ((end - start) // SECOND_NS))


def cut_seconds(path: Path, group: int, seconds: int, since: int = 0, until: int | None = None) -> Rows:
    """The path's seconds from row `since` to before row `until`, in pieces of `seconds` of the clock.

    A piece ends with its span, and where the path ends; pieces that are halted throughout are left out. `since`
    must be where a piece begins.
    """
    until = len(path.open) if until is None else until
    first = _piece_starts(path, seconds, since, until)
    if not len(first):
        return NO_ROWS
    end = np.append(first[1:], until)
    local = first - since
    closes = path.close[since:until]
    open_ = path.open[first]
    traded = np.diff(path.volume[since : until + 1])
    traded *= closes
    span = np.searchsorted(path.first, first, side="right") - 1
    start = path.start[span] + (first - path.first[span]) * SECOND_NS
    rows = Rows(
        start,
        start + (end - first) * SECOND_NS,
        group + span,
        open_,
        np.maximum(open_, np.maximum.reduceat(closes, local)),
        np.minimum(open_, np.minimum.reduceat(closes, local)),
        path.close[end - 1],
        path.volume[end] - path.volume[first],
        np.add.reduceat(traded, local),
        np.add.reduceat(closes, local),
    )
    if path.halted is None:
        return rows
    return rows.take(~np.logical_and.reduceat(path.halted[since:until], local))


def _piece_starts(path: Path, seconds: int, since: int, until: int) -> NDArray[np.int64]:
    if since >= until:
        return np.empty(0, np.int64)
    if len(path.start) == 1 and int(path.start[0]) // SECOND_NS % seconds == 0:
        return np.arange(since, until, seconds)
    clock = np.repeat(path.start // SECOND_NS - path.first[:-1], np.diff(path.first))[since:until]
    clock += np.arange(since, until)
    clock //= seconds
    begins = np.append(True, clock[1:] != clock[:-1])
    inner = path.first[(path.first >= since) & (path.first < until)]
    begins[inner - since] = True
    return np.flatnonzero(begins) + since
