"""Bars of every size out of one tape.

Intraday bars are cut on the exchange's wall clock inside each session, so the first hour of a session that opens at
9:30 ends at 10:00; a day is a session, a week and a month hold whole sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.sessions import Days, SessionTable
from domain.timeframe import SECOND_NS
from gateway.simulator.bar_sizes import DAY, WEEK, BarSize
from gateway.simulator.records import Listing
from gateway.simulator.rows import Rows, cut_seconds, joined, whole_spans
from gateway.simulator.tape import Tape

_MINUTE = 60


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Columns of one length. `start` is the bar's label, of a day and longer the open of its first session; `end` is
    where its last piece ends, of a forming bar now; `day` is the trading day, of a week and a month the last one."""

    start: Times
    end: Times
    day: Days
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    average: Floats
    trades: Floats

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: slice | NDArray[np.bool_]) -> Bars:
        columns: list[Any] = [getattr(self, column.name)[rows] for column in fields(self)]
        return Bars(*columns)


_NO_TIMES, _NO_PRICES = np.empty(0, np.int64), np.empty(0)
NO_BARS = Bars(_NO_TIMES, _NO_TIMES, _NO_TIMES, *(_NO_PRICES,) * 7)


def cut(tape: Tape, listing: Listing, size: BarSize, use_rth: bool, start_ns: int, end_ns: int, what: str) -> Bars:
    """All bars made of what happens in [start_ns, end_ns), prices raw; the last one is what it is at `end_ns`.

    `what` is TRADES, BID, ASK, MIDPOINT or BID_ASK. `start_ns` should be where a bar begins, else the first one lacks
    what was before.
    """
    rows = _rows(tape, listing, size, use_rth, start_ns, end_ns)
    if not len(rows.start):
        return NO_BARS
    day = tape.spans(listing).day[rows.span]
    table = listing.regular if use_rth else listing.trading
    key, label = _buckets(size, rows.start, day, table)
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    last = np.append(first[1:], len(key)) - 1
    if what == "BID_ASK":
        open_, high, low, close = _both_sides(tape, listing, rows, first)
    else:
        priced = _of_side(tape, listing, rows, what)
        open_, close = priced[0][first], priced[3][last]
        high, low = np.maximum.reduceat(priced[1], first), np.minimum.reduceat(priced[2], first)
    volume, turnover = np.add.reduceat(rows.volume, first), np.add.reduceat(rows.turnover, first)
    average = np.where(volume > 0, turnover / np.where(volume > 0, volume, 1), close)
    np.clip(average, low, high, out=average)
    count = np.ceil(volume / _trade_size(listing))
    begins = label[first]
    if size.is_intraday and not use_rth:
        begins = _without_early_hours(begins, rows.start[first], listing.regular)
    return Bars(begins, rows.end[last], day[last], open_, high, low, close, volume, average, count)


# Pieces


def _rows(tape: Tape, listing: Listing, size: BarSize, use_rth: bool, start_ns: int, end_ns: int) -> Rows:
    spans = tape.spans(listing)
    lo = int(np.searchsorted(spans.end, start_ns, side="right"))
    hi = int(np.searchsorted(spans.start, end_ns))
    chosen = np.arange(lo, hi)
    if use_rth:
        chosen = chosen[spans.regular[lo:hi]]
    if not len(chosen):
        return whole_spans(spans, chosen)
    start, end = spans.start[chosen], spans.end[chosen]
    whole = (start >= start_ns) & (end <= end_ns)
    if size.is_intraday:
        table = listing.trading
        whole &= _ticks(size, start, table)[0] == _ticks(size, end - 1, table)[0]
    if whole.all():
        return whole_spans(spans, chosen)
    group = spans.group[chosen]
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    bounds = np.append(first, len(group))
    group_whole = np.logical_and.reduceat(whole, first)
    parts, n = [], 0
    while n < len(first):
        run = n + 1
        if group_whole[n]:
            while run < len(first) and group_whole[run]:
                run += 1
            parts.append(whole_spans(spans, chosen[bounds[n] : bounds[run]]))
        else:
            parts.append(_drawn(tape, listing, int(group[first[n]]), size, start_ns, end_ns))
        n = run
    return joined(parts)


def _drawn(tape: Tape, listing: Listing, group: int, size: BarSize, start_ns: int, end_ns: int) -> Rows:
    """The pieces of a group that lie in [start_ns, end_ns)."""
    seconds = min(size.seconds or _MINUTE, _MINUTE)
    spans = tape.spans(listing)
    members = int(np.searchsorted(spans.group, group, side="right")) - group
    if seconds == _MINUTE and spans.start[group] >= start_ns and spans.end[group + members - 1] <= end_ns:
        return tape.minutes(listing, group)
    path = tape.path(listing, group)
    since, until = (
        path.over_at(max(int(np.searchsorted(path.start, moment, side="right")) - 1, 0), moment)
        for moment in (start_ns, end_ns)
    )
    return cut_seconds(path, group, seconds, since, until)


# Buckets


def _buckets(size: BarSize, start: Times, day: Days, table: SessionTable) -> tuple[Times, Times]:
    """(what is equal for the pieces of one bar, the bar's label) of each piece."""
    if not size.is_intraday:
        return _period(size, day), start
    tick, row = _ticks(size, start, table)
    label = tick * (size.seconds * SECOND_NS) - table.utc_offset[row]
    inside = (start >= table.open[row]) & (start < table.close[row])
    label = np.where(inside, np.maximum(label, table.open[row]), label)
    return label, label


def _without_early_hours(label: Times, start: Times, regular: SessionTable) -> Times:
    """A bar that holds the open of regular hours and nothing before it begins there: prices may come without those
    outside regular hours."""
    row = np.maximum(np.searchsorted(regular.open, start, side="right") - 1, 0)
    opens = regular.open[row]
    return np.where((label < opens) & (start >= opens) & (start < regular.close[row]), opens, label)


def _ticks(size: BarSize, moments: Times, table: SessionTable) -> tuple[Times, Times]:
    """(number of the wall-clock bucket, row of the session that opened last) of each moment."""
    row = np.maximum(np.searchsorted(table.open, moments, side="right") - 1, 0)
    return (moments + table.utc_offset[row]) // (size.seconds * SECOND_NS), row


def _period(size: BarSize, day: Days) -> Days:
    """Which day, week or month each day belongs to."""
    if size == DAY:
        return day
    if size == WEEK:
        return np.asarray((day + 3) // 7)
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


# Sides


def _of_side(tape: Tape, listing: Listing, rows: Rows, what: str) -> list[Floats]:
    prices = [rows.open, rows.high, rows.low, rows.close]
    if what == "TRADES":
        return prices
    if what == "BID":
        return [tape.bid(listing, price, rows.span) for price in prices]
    if what == "ASK":
        return [tape.ask(listing, price, rows.span) for price in prices]
    return [(tape.bid(listing, price, rows.span) + tape.ask(listing, price, rows.span)) / 2 for price in prices]


def _both_sides(
    tape: Tape, listing: Listing, rows: Rows, first: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats, Floats]:
    """(mean bid, highest ask, lowest bid, mean ask) over time."""
    seconds = np.add.reduceat((rows.end - rows.start) // SECOND_NS, first)
    mean = np.add.reduceat(rows.total, first) / seconds
    span = rows.span[first]
    spread = tape.spread(listing)[span]
    high = np.maximum.reduceat(tape.ask(listing, rows.high, rows.span), first)
    low = np.minimum.reduceat(tape.bid(listing, rows.low, rows.span), first)
    bid, ask = np.round(mean - spread / 2, 6), np.round(mean + spread / 2, 6)
    return np.clip(bid, low, high), high, low, np.clip(ask, low, high)


def _trade_size(listing: Listing) -> float:
    return 2.5 if listing.contract.sec_type == "FUT" else 90.0
