"""The rows of an imported file on their way to bars: what is dropped or mended, why, and on which lines.

Each step takes Rows and returns Rows; what it drops or notes goes into a Tally. Only what nobody can decide row by
row refuses the file (BadInput).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries, Floats, Times
from domain.errors import BadInput
from domain.gaps import Place, unexpected_bars
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe
from marketdata.columns import NO_TIME

_LINES_SHOWN = 5
_LARGEST = 1e12
# Vendors that adjust and round each price by itself put a close this far outside [low, high].
_ROUNDING = 1e-4
_FAR = 2.0
_PLACES = {
    Place.BEFORE_OPEN: "before the open",
    Place.AFTER_CLOSE: "at or after the close (a closing auction too)",
    Place.IN_BREAK: "in the lunch break",
    Place.CLOSED_DAY: "on a day without a session",
    Place.OFF_GRID: "not where a bar of this timeframe starts",
}


@dataclass(slots=True)
class Tally:
    """Rows counted by reason, with the first lines of each."""

    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, lines: ArrayLike) -> None:
        numbers = np.atleast_1d(np.asarray(lines, np.int64))
        if numbers.size:
            self.counts[reason] = self.counts.get(reason, 0) + len(numbers)
            shown = self.lines.setdefault(reason, [])
            shown += np.sort(numbers)[: _LINES_SHOWN - len(shown)].tolist()

    def total(self) -> int:
        return sum(self.counts.values())

    def as_dict(self) -> dict[str, Any]:
        return {reason: {"rows": rows, "lines": self.lines[reason]} for reason, rows in self.counts.items()}

    def __str__(self) -> str:
        return "; ".join(
            f"{rows:,} {reason} (line {', '.join(map(str, self.lines[reason]))}{', …' if rows > _LINES_SHOWN else ''})"
            for reason, rows in self.counts.items()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Columns of one length. `time` is int64 ns: UTC, or wall clock as if it were UTC; NO_TIME where unreadable.
    `line` is where a row stands in its file; `adj_close` is NaN where the file has none."""

    line: NDArray[np.int64]
    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    adj_close: Floats

    def __len__(self) -> int:
        return len(self.line)

    def take(self, which: NDArray[Any]) -> Rows:
        return Rows(*(getattr(self, column.name)[which] for column in fields(self)))

    def without(self, bad: NDArray[np.bool_], reason: str, tally: Tally) -> Rows:
        if not bad.any():
            return self
        tally.add(reason, self.line[bad])
        return self.take(~bad)


def drop_bad_rows(rows: Rows, dropped: Tally) -> Rows:
    """Without rows whose time, prices or volume cannot be true. An empty volume stays: it is unknown."""
    rows = rows.without(rows.time == NO_TIME, "time cannot be read", dropped)
    rows = rows.without(_some_price(rows, _is_no_number), "a price is missing or no number", dropped)
    rows = rows.without(_some_price(rows, lambda price: price <= 0), "a price is zero or negative", dropped)
    rows = rows.without(_some_price(rows, lambda price: price > _LARGEST), "a price is absurdly large", dropped)
    rows = rows.without(rows.high < rows.low, "high is below low", dropped)
    absurd = (rows.volume < 0) | (rows.volume > 1e3 * _LARGEST)
    return rows.without(absurd, "volume is negative or absurdly large", dropped)


def mend_ranges(rows: Rows, dropped: Tally, noted: Tally) -> Rows:
    """Open and close inside [low, high]: widened where rounding explains it, else dropped. Odd extremes are noted."""
    top, bottom = np.maximum(rows.open, rows.close), np.minimum(rows.open, rows.close)
    excess = np.maximum(top - rows.high, rows.low - bottom)
    rows = rows.without(excess > _ROUNDING * rows.close, "open or close is outside [low, high]", dropped)
    top, bottom = np.maximum(rows.open, rows.close), np.minimum(rows.open, rows.close)
    outside = (top > rows.high) | (bottom < rows.low)
    noted.add("widened: open or close outside [low, high] by rounding", rows.line[outside])
    rows = replace(rows, high=np.maximum(rows.high, top), low=np.minimum(rows.low, bottom))
    far = (rows.high > _FAR * top) | (rows.low < bottom / _FAR)
    noted.add("kept, but high or low is far from open and close: a bad print?", rows.line[far])
    return rows


def sort_rows(rows: Rows, dropped: Tally, noted: Tally) -> Rows:
    """In time order, each time once. Equal rows are folded; two that differ refuse the file: nobody can tell which."""
    late = np.append(False, rows.time[1:] < rows.time[:-1])
    if late.any():
        noted.add("out of time order, sorted", rows.line[late])
        rows = rows.take(np.argsort(rows.time, kind="stable"))
    again = np.append(False, rows.time[1:] == rows.time[:-1])
    if not again.any():
        return rows
    row = np.flatnonzero(again)
    same = np.ones(len(row), np.bool_)
    for name in (*PRICE_COLUMNS, "volume"):
        now, before = getattr(rows, name)[row], getattr(rows, name)[row - 1]
        same &= (now == before) | (np.isnan(now) & np.isnan(before))
    if not same.all():
        first = row[np.argmin(same)]
        raise BadInput(
            f"lines {rows.line[first - 1]} and {rows.line[first]} give different bars for {_utc(rows.time[first])} "
            f"({int((~same).sum())} such pairs): two instruments in one file, or a wrong --timeframe?"
        )
    return rows.without(again, "doubled with the same values", dropped)


def guess_timeframe(times: Times) -> Timeframe:
    """From the times of one instrument: dates are 1d (1w where a week apart), else the usual distance."""
    known = np.unique(times[times != NO_TIME])
    if len(known) and not (known % DAY_NS).any():
        weekly = len(known) > 1 and int(np.median(np.diff(known))) == 7 * DAY_NS
        return Timeframe.W1 if weekly else Timeframe.D1
    steps, counts = np.unique(np.diff(known), return_counts=True)
    usual = int(steps[np.argmax(counts)]) if len(steps) else 0
    for frame in Timeframe:
        if frame.is_intraday and frame.nanoseconds == usual:
            return frame
    raise BadInput("the distance of the times fits no timeframe; say it with --timeframe")


def place_sessions(
    rows: Rows, table: SessionTable, frame: Timeframe, zoned: bool, zone: str, dropped: Tally
) -> tuple[Rows, Times, Times]:
    """(rows, starts, ends) of daily or weekly rows: a date becomes the open and close of its session (or week).

    Times with a zone are taken as dates where all are midnight UTC, else they need `zone`.
    """
    if zoned and len(rows) and (rows.time % DAY_NS).any():
        if not zone:
            raise BadInput("daily times with a zone that are not midnight UTC; say --tz to tell which date they mean")
        rows = replace(rows, time=_wall_clock(rows.time, zone))
    days = rows.time // DAY_NS
    outside = (days < table.label[0]) | (days > table.label[-1])
    rows = rows.without(outside, f"outside calendar {table.calendar} ({_span(table)})", dropped)
    days = rows.time // DAY_NS
    if frame is Timeframe.W1:
        week_of_session = (table.label + 3) // 7
        weeks = (days + 3) // 7
        first = np.searchsorted(week_of_session, weeks)
        last = np.searchsorted(week_of_session, weeks, side="right") - 1
        missing = last < first
    else:
        first = last = table.session_of_label(days)
        missing = first < 0
    rows = rows.without(missing, f"on a day without a session of {table.calendar}", dropped)
    return rows, table.open[first[~missing]], table.close[last[~missing]]


def place_intraday(
    rows: Rows, table: SessionTable, frame: Timeframe, session: str, dropped: Tally, noted: Tally
) -> tuple[Rows, Times, Times]:
    """(rows, starts, ends) of intraday rows whose `time` is their start in UTC.

    `session` "all" keeps every bar at its nominal length. "regular" keeps the bars that the calendar expects; one that
    reaches over the open (an hour bar 9:00-10:00) holds trades from the open on only, so it starts there.
    """
    outside = (rows.time < table.open[0]) | (rows.time + frame.nanoseconds > table.close[-1])
    rows = rows.without(outside, f"outside calendar {table.calendar} ({_span(table)})", dropped)
    if session == "all" or not len(rows):
        rows = sort_rows(rows, dropped, noted)
        return rows, rows.time, rows.time + frame.nanoseconds
    opens = np.sort(np.concatenate([table.open, table.break_end[table.break_end > 0]]))
    next_open = opens[np.minimum(np.searchsorted(opens, rows.time, side="right"), len(opens) - 1)]
    over = (next_open > rows.time) & (next_open < rows.time + frame.nanoseconds)
    noted.add("start before the open and are cut to it", rows.line[over])
    rows = sort_rows(replace(rows, time=np.where(over, next_open, rows.time)), dropped, noted)
    odd = unexpected_bars(rows.time, table, frame)
    for place, reason in _PLACES.items():
        dropped.add(reason, rows.line[odd.row[odd.place == place]])
    keep = np.ones(len(rows), np.bool_)
    keep[odd.row] = False
    rows = rows.take(keep)
    if not len(rows):
        return rows, rows.time, rows.time
    starts, ends = table.expected_bars(frame, int(rows.time[0]), int(rows.time[-1]) + 1)
    return rows, rows.time, ends[np.searchsorted(starts, rows.time)]


def to_utc(times: Times, zone: str) -> Times:
    """Wall-clock nanoseconds of a zone as UTC; BadInput for an hour that clocks skip or repeat."""
    import pyarrow as pa
    import pyarrow.compute as pc

    check_zone(zone)
    known = times != NO_TIME
    local = pa.Array.from_buffers(pa.timestamp("ns"), int(known.sum()), [None, pa.py_buffer(times[known])])
    try:
        moments = pc.assume_timezone(local, zone, ambiguous="raise", nonexistent="raise")
    except pa.ArrowInvalid as error:
        raise BadInput(f"the clocks of {zone} skip or repeat a time ({error}); export the times in UTC") from error
    utc = np.full(len(times), NO_TIME)
    utc[known] = np.frombuffer(moments.cast(pa.int64()).buffers()[1], np.int64, len(moments), moments.offset * 8)
    return utc


def as_bars(rows: Rows, starts: Times, ends: Times, frame: Timeframe, adjustment: Adjustment) -> BarSeries:
    columns = {name: np.ascontiguousarray(getattr(rows, name)) for name in (*PRICE_COLUMNS, "volume")}
    start, end = np.ascontiguousarray(starts), np.ascontiguousarray(ends)
    series = BarSeries(timeframe=frame, start=start, end=end, adjustment=adjustment, **columns)
    series.check()
    return series


def _some_price(rows: Rows, is_bad: Callable[[Floats], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return is_bad(rows.open) | is_bad(rows.high) | is_bad(rows.low) | is_bad(rows.close)


def _is_no_number(price: Floats) -> NDArray[np.bool_]:
    return ~np.isfinite(price)


def _wall_clock(times: Times, zone: str) -> Times:
    import pyarrow as pa
    import pyarrow.compute as pc

    check_zone(zone)
    moments = pa.Array.from_buffers(
        pa.timestamp("ns", zone), len(times), [None, pa.py_buffer(np.ascontiguousarray(times))]
    )
    local = pc.local_timestamp(moments).cast(pa.int64())
    return np.frombuffer(local.buffers()[1], np.int64, len(local), local.offset * 8)


def check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"{zone[:60]!r} is no time zone; use names such as America/New_York or UTC") from None


def _span(table: SessionTable) -> str:
    return f"{np.datetime64(int(table.label[0]), 'D')} to {np.datetime64(int(table.label[-1]), 'D')}"


def _utc(moment_ns: int) -> str:
    return str(np.datetime64(int(moment_ns), "ns").astype("datetime64[s]"))
