"""Coarser bars from finer ones, cut where the exchange's sessions cut them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats, Times
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe

# 1970-01-05 was a Monday: where UTC weeks are counted from.
_MONDAY_NS = 4 * DAY_NS


def resample(
    series: BarSeries,
    timeframe: Timeframe,
    sessions: SessionTable | None,
    *,
    keep_outside: bool = False,
    complete_until_ns: int | None = None,
) -> BarSeries:
    """Bars of a coarser timeframe: first open, highest high, lowest low, last close, sum of volume.

    A bar counts to the bucket in which it starts. Buckets are those of `SessionTable.expected_bars`; each carries its
    own start and end even where bars are missing in it, and a bucket without any bar is not produced. Volume is the
    sum of the known ones, NaN only where all are NaN. Bars outside regular hours are dropped, or with `keep_outside`
    (intraday targets only) put into buckets of the UTC clock that stop at the session's edge. Without sessions all
    buckets are of the UTC clock, weeks from Monday. Buckets that end after `complete_until_ns` are left out: give the
    time up to which the bars are complete when the last bucket may still be filling.

    BadInput where the target is not coarser, or the sessions do not cover the bars.
    """
    if timeframe.nanoseconds <= series.timeframe.nanoseconds:
        raise BadInput(f"cannot make {timeframe} bars from {series.timeframe} bars; the target must be coarser")
    if keep_outside and not timeframe.is_intraday:
        raise BadInput(f"a {timeframe} bar holds regular hours only; resample without keep_outside")
    if len(series) == 0:
        return BarSeries.empty(timeframe, series.adjustment)
    if sessions is None:
        bucket_start, bucket_end = _clock_buckets(series.start, timeframe)
        inside = np.ones(len(series), np.bool_)
    else:
        bucket_start, bucket_end, inside = _session_buckets(series.start, timeframe, sessions)
    if not keep_outside and not inside.all():
        series = _take(series, inside)
        bucket_start, bucket_end = bucket_start[inside], bucket_end[inside]
    result = _aggregate(series, timeframe, bucket_start, bucket_end)
    if complete_until_ns is not None:
        result = result[slice(int(np.searchsorted(result.end, complete_until_ns, side="right")))]
    return result


def _clock_buckets(starts: Times, timeframe: Timeframe) -> tuple[Times, Times]:
    step = timeframe.nanoseconds
    origin = _MONDAY_NS if timeframe is Timeframe.W1 else 0
    bucket_start = (starts - origin) // step * step + origin
    return bucket_start, bucket_start + step


def _session_buckets(
    starts: Times, timeframe: Timeframe, sessions: SessionTable
) -> tuple[Times, Times, NDArray[np.bool_]]:
    """(start, end, whether in regular hours) of the bucket of each bar."""
    # A bucket further on either side: the sessions between which bars outside regular hours lie.
    step = timeframe.nanoseconds if timeframe.is_intraday else 0
    first, last = max(int(starts[0]) - step, sessions.open[0]), min(int(starts[-1]) + 1 + step, sessions.close[-1])
    sessions.require_range(int(starts[0]), int(starts[-1]))
    spans = sessions.bar_spans(timeframe, int(first), int(last))
    clock_start, clock_end = _clock_buckets(starts, timeframe)
    if len(spans) == 0:
        return clock_start, clock_end, np.zeros(len(starts), np.bool_)
    opens, closes = spans.expand()
    row = np.searchsorted(opens, starts, side="right") - 1
    inside = (row >= 0) & (starts < closes[row])
    if not timeframe.is_intraday:
        inside &= sessions.session_index(starts) >= 0
    # Between two sessions the clock's bucket is cut by the close before it and the open after it.
    clock_start = np.where(row >= 0, np.maximum(clock_start, closes[row]), clock_start)
    following = np.minimum(row + 1, len(opens) - 1)
    clock_end = np.where(row + 1 < len(opens), np.minimum(clock_end, opens[following]), clock_end)
    return np.where(inside, opens[row], clock_start), np.where(inside, closes[row], clock_end), inside


def _aggregate(series: BarSeries, timeframe: Timeframe, bucket_start: Times, bucket_end: Times) -> BarSeries:
    if len(series) == 0:
        return BarSeries.empty(timeframe, series.adjustment)
    first = np.flatnonzero(np.append(True, bucket_start[1:] != bucket_start[:-1]))
    last = np.append(first[1:], len(series)) - 1
    return BarSeries(
        timeframe,
        bucket_start[first],
        bucket_end[first],
        series.open[first],
        np.maximum.reduceat(series.high, first),
        np.minimum.reduceat(series.low, first),
        series.close[last],
        _sum_known(series.volume, first),
        series.adjustment,
    )


def _sum_known(volume: Floats, first: NDArray[np.int64]) -> Floats:
    unknown = np.isnan(volume)
    if not unknown.any():
        return np.add.reduceat(volume, first)
    total = np.add.reduceat(np.where(unknown, 0.0, volume), first)
    total[np.logical_and.reduceat(unknown, first)] = np.nan
    return total


def _take(series: BarSeries, rows: NDArray[np.bool_]) -> BarSeries:
    return replace(
        series,
        start=series.start[rows],
        end=series.end[rows],
        open=series.open[rows],
        high=series.high[rows],
        low=series.low[rows],
        close=series.close[rows],
        volume=series.volume[rows],
    )
