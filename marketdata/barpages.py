"""Bars a page at a time: however long the range that is asked for, no more is read than the page needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from domain.bars import COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import store
from marketdata.barfile import as_table, encode_bars
from marketdata.errors import NoBarsInRange
from marketdata.models import BarFile, Instrument
from marketdata.moments import as_ns
from tradingsite.exports import write_csv

# Nanoseconds since 1970 fit an int64 between these years.
_YEARS = range(1678, 2262)


class Page(NamedTuple):
    """Some bars in time order, and the start of the first one after them (None: these were the last)."""

    bars: BarSeries
    following: int | None


def read_page(
    instrument: Instrument,
    timeframe: Timeframe,
    *,
    what: str,
    adjustment: Adjustment | None,
    start_ns: int | None,
    end_ns: int | None,
    limit: int,
) -> Page:
    """At most `limit` bars that start in [start_ns, end_ns). Empty where none is held in the range.

    BadInput where the series is not held at all; the store's errors for damaged files.
    """
    held = list(BarFile.objects.of_series(instrument, timeframe, what).order_by("partition"))
    basis = store.choose_basis(instrument, timeframe, what, held, adjustment)
    rows = [row for row in held if row.adjustment == basis and row.quarantined is None]
    until = _enough(rows, start_ns, end_ns, limit)
    try:
        bars = store.read_bars(instrument, timeframe, start_ns=start_ns, end_ns=until, what=what, adjustment=basis)
    except NoBarsInRange:
        return Page(BarSeries.empty(timeframe, basis), None)
    if len(bars) > limit:
        return Page(bars[:limit], int(bars.start[limit]))
    return Page(bars, None if until == end_ns else until)


def _enough(rows: list[BarFile], start_ns: int | None, end_ns: int | None, limit: int) -> int | None:
    """A moment not after `end_ns` before which more than `limit` bars start, or `end_ns`. Counts whole files only."""
    counted = 0
    for row in rows:
        if counted > limit:
            first = as_ns(row.start)
            return first if end_ns is None or first < end_ns else end_ns
        if start_ns is None or as_ns(row.start) >= start_ns:
            counted += row.rows
    return end_ns


def as_json(bars: BarSeries) -> list[dict[str, Any]]:
    """Bars as JSON values; an unknown volume is null."""
    times = [[f"{text}Z" for text in np.datetime_as_string(_seconds(bars, name))] for name in ("start", "end")]
    prices = [getattr(bars, name).tolist() for name in COLUMNS[2:-1]]
    volume = [None if number != number else number for number in bars.volume.tolist()]
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*times, *prices, volume, strict=True)]


def as_csv(bars: BarSeries) -> Iterator[str]:
    return write_csv([COLUMNS, *(row.values() for row in as_json(bars))])  # type: ignore[list-item]


def as_parquet(bars: BarSeries) -> bytes:
    return bytes(encode_bars(bars))


def as_arrow(bars: BarSeries) -> bytes:
    """An Arrow IPC stream; unknown volume is null."""
    import pyarrow as pa

    table, sink = as_table(bars), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_moment(text: str, *, after: bool = False) -> int:
    """UTC nanoseconds of a time with its zone, or of a date: its midnight UTC, or the next one where `after`."""
    try:
        if len(text) == len("2013-10-07"):
            day = dt.date.fromisoformat(text) + dt.timedelta(days=int(after))
            moment = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        else:
            moment = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadInput(f"{text[:40]!r} is no date; write 2013-10-07, or a time as 2013-10-07T14:30Z") from None
    if moment.tzinfo is None:
        raise BadInput(f"{text[:40]!r} has no time zone; write {text[:40]}Z for UTC, or a date alone")
    if moment.year not in _YEARS:
        raise BadInput(f"{text[:40]!r} is outside of the years {_YEARS.start} to {_YEARS.stop - 1}")
    return int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)) * 1000


def _seconds(bars: BarSeries, name: str) -> Any:
    return getattr(bars, name).view("datetime64[ns]").astype("datetime64[s]")
