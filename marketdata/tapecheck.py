"""The live tape against the history that Interactive Brokers gives later: how much of what was decided on was true."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from django.db.models import Max, Min, QuerySet

from domain.adjustments import split_factors
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries, Floats, Times
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, store
from marketdata.contracts import basis_of, default_what
from marketdata.errors import NoBarsInRange, StoreError
from marketdata.models import Bar, BarFile, Instrument, TapeCheck
from marketdata.moments import as_datetime, as_ns
from marketdata.services import actions_of

# IB still corrects bars in the first minutes after the close.
SETTLE = dt.timedelta(hours=1)
DAYS_BACK = 30
"""History that comes later than so many days after its session is not compared any more."""
# Adjusted history has four decimals; the tape has eight.
_ROUNDING = 1.01e-4
_RELATIVE_NOISE = 1e-7
_EPOCH = dt.date(1970, 1, 1)

log = logging.getLogger(__name__)


class _Day(NamedTuple):
    instrument: Instrument
    timeframe: Timeframe
    label: int
    """Exchange date, in days since 1970-01-01."""


class Difference(NamedTuple):
    """One day's bars. `largest_bps`: of a price, in hundredths of a percent."""

    compared: int
    different: int
    only_live: int
    only_history: int
    largest_bps: float


def check_tape(now: dt.datetime) -> list[TapeCheck]:
    """Compare every day of the live tape that has settled, whose history is held and that was not compared yet.

    The rows written. A day is compared once: history that is corrected later does not change what was decided on.
    """
    written = []
    for day in _due(now):
        try:
            found = _compare_day(day)
        except StoreError as error:
            log.warning("tape of %s %s: not compared: %s", day.instrument, day.timeframe, error)
            continue
        if found is None:
            continue
        row, is_new = TapeCheck.objects.get_or_create(
            instrument=day.instrument,
            timeframe=str(day.timeframe),
            day=_EPOCH + dt.timedelta(days=day.label),
            defaults={**found._asdict(), "checked": now},
        )
        if is_new:
            written.append(row)
    return written


def _due(now: dt.datetime) -> Iterator[_Day]:
    since = now - dt.timedelta(days=DAYS_BACK)
    heard = Bar.objects.filter(start__gte=since).order_by()
    for pk, frame in heard.values_list("instrument", "timeframe").distinct():
        instrument = Instrument.objects.get(pk=pk)
        table = calendars.sessions(instrument.calendar)
        rows = heard.filter(instrument=pk, timeframe=frame)
        # By whole days of UTC, which the database counts: a month of minutes is 10,000 rows of each instrument.
        days = _starts(rows.datetimes("start", "day", tzinfo=dt.UTC))
        touched = [slice(*_touching(table, day)) for day in days.tolist()]
        labels = {label for rows_of_day in touched for label in table.label[rows_of_day].tolist()}
        checks = TapeCheck.objects.filter(instrument=pk, timeframe=frame)
        done = {(day - _EPOCH).days for day in checks.values_list("day", flat=True)}
        # The oldest day may have lost its morning to `since`.
        oldest = int(table.trading_dates(np.array([as_ns(since)]))[0])
        for label in sorted(labels - done - {oldest}):
            bounds = _session(table, Timeframe(frame), label)
            if bounds is not None and as_datetime(bounds[1]) <= now - SETTLE:
                yield _Day(instrument, Timeframe(frame), label)


def _touching(table: SessionTable, day_ns: int) -> tuple[int, int]:
    """Rows [first, last) of the sessions that are open at some time of a day of UTC."""
    first = int(np.searchsorted(table.close, day_ns, side="right"))
    return first, int(np.searchsorted(table.open, day_ns + DAY_NS))


def _session(table: SessionTable, timeframe: Timeframe, label: int) -> tuple[int, int] | None:
    """[open, close) of the session (or, of weeks, of the week) of a date; None where there is none."""
    row = int(table.session_of_label(label))
    if row < 0:
        return None
    opens, closes = int(table.open[row]), int(table.close[row])
    if timeframe is Timeframe.W1:
        starts, ends = table.expected_bars(timeframe, opens, opens + 1)
        return (opens, int(ends[0])) if len(starts) else None
    return opens, closes


def _compare_day(day: _Day) -> Difference | None:
    """None where the history of the day is not held, in prices that can be compared."""
    instrument, frame = day.instrument, day.timeframe
    table = calendars.sessions(instrument.calendar)
    bounds = _session(table, frame, day.label)
    basis = None if bounds is None else _basis_held(instrument, frame, bounds)
    if bounds is None or basis is None:
        return None
    what = default_what(instrument)
    try:
        history = store.read_bars(instrument, frame, start_ns=bounds[0], end_ns=bounds[1], what=what, adjustment=basis)
    except NoBarsInRange:
        return None
    factor = 1.0
    if basis is Adjustment.SPLIT:
        # History held from after a split stands in new shares, the tape of the day in the old ones.
        anchor = store.anchor_day(instrument, history, table)
        factor = float(split_factors(np.array([day.label]), actions_of(instrument), anchor)[0])
    rows = Bar.objects.filter(instrument=instrument, timeframe=str(frame))
    starts, prices = _tape(rows.filter(start__gte=as_datetime(bounds[0]), start__lt=as_datetime(bounds[1])))
    return compare(starts, prices * factor, history) if len(starts) else None


def _basis_held(instrument: Instrument, timeframe: Timeframe, bounds: tuple[int, int]) -> Adjustment | None:
    """The basis of the history that covers the whole session: that of IB, else raw."""
    what = default_what(instrument)
    for basis in dict.fromkeys((basis_of(instrument, what), Adjustment.RAW)):
        rows = BarFile.objects.of_series(instrument, timeframe, what).filter(adjustment=basis, quarantined=None)
        held = rows.aggregate(first=Min("start"), last=Max("end"))
        if held["first"] is not None and as_ns(held["first"]) <= bounds[0] and as_ns(held["last"]) >= bounds[1]:
            return basis
    return None


def _tape(rows: QuerySet[Bar]) -> tuple[Times, Floats]:
    """(starts, float64[n, 4] prices) of the tape's rows, perhaps several of one start: one of each origin."""
    columns = list(rows.order_by("start").values_list("start", *PRICE_COLUMNS))
    starts = _starts(column[0] for column in columns)
    return starts, np.array([column[1:] for column in columns], np.float64).reshape(-1, 4)


def _starts(moments: Iterable[dt.datetime]) -> Times:
    return np.array([as_ns(moment) for moment in moments], np.int64)


def compare(starts: Times, prices: Floats, history: BarSeries) -> Difference:
    """Bars heard (sorted, a start perhaps several times) against history, between the first and the last one heard.

    A bar differs where any of its four prices does, as any process heard it, by more than rounding. Volumes are not
    compared: live ones leave out what is reported late.
    """
    history = history.between(int(starts[0]), int(starts[-1]) + 1)
    row = np.searchsorted(history.start, starts)
    both = row < len(history)
    both[both] = history.start[row[both]] == starts[both]
    true = np.stack([getattr(history, name)[row[both]] for name in PRICE_COLUMNS], axis=1)
    off = np.abs(prices[both] - true)
    differs = (off > _ROUNDING + _RELATIVE_NOISE * true).any(axis=1)
    compared, heard = len(np.unique(starts[both])), len(np.unique(starts))
    return Difference(
        compared=compared,
        different=len(np.unique(starts[both][differs])),
        only_live=heard - compared,
        only_history=len(history) - compared,
        largest_bps=float((off / true)[differs].max() * 1e4) if differs.any() else 0.0,
    )
