"""SessionTable: the trading days of one calendar as arrays, and which bars must exist in them.

Times are UTC nanoseconds; a session's `label` is its date at the exchange in days since 1970-01-01, which for an
overnight market (CME, FX) differs from the UTC date of its open. Nothing is assumed about days that the table does
not cover: a question about them raises BadInput.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.bars import Times
from domain.errors import BadInput
from domain.timeframe import DAY_NS, Timeframe

Days = NDArray[np.int64]

# A session shorter than the median of so many sessions around it is a half day (or opened late, or was cut short).
_USUAL_WINDOW = 21


def _left_out() -> Times:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class SessionTable:
    """Sessions in time order, all arrays int64 of one length n > 0.

    `open` and `close` bound a session as [open, close); `break_start` and `break_end` its lunch break, both 0 where
    it has none. `utc_offset` is local time minus UTC in nanoseconds at the open: bars are cut on the exchange's wall
    clock, which matters where zones differ from UTC by half hours. Left out, the last three are zeros.
    """

    calendar: str
    label: Days
    open: Times
    close: Times
    break_start: Times = field(default_factory=_left_out)
    break_end: Times = field(default_factory=_left_out)
    utc_offset: Times = field(default_factory=_left_out)

    def __post_init__(self) -> None:
        n = len(self.label)
        if n == 0:
            raise BadInput(f"calendar {self.calendar}: no sessions")
        for name in ("break_start", "break_end", "utc_offset"):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.zeros(n, np.int64))

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice) -> SessionTable:
        """A view of some sessions; `rows` is a slice."""
        return SessionTable(self.calendar, *(getattr(self, column.name)[rows] for column in fields(self)[1:]))

    def check(self) -> None:
        """Raise BadInput at the first broken promise of the class, naming the session."""
        n = len(self)
        for column in fields(self)[1:]:
            values = getattr(self, column.name)
            if values.shape != (n,) or values.dtype != np.int64:
                raise BadInput(f"calendar {self.calendar}: {column.name} is not int64[{n}]")
        has_break = self.break_start != 0
        faults = (
            (self.close <= self.open, "closes before it opens"),
            (np.append(False, self.label[1:] <= self.label[:-1]), "does not follow the session before it"),
            (np.append(False, self.open[1:] < self.close[:-1]), "opens before the session before it closes"),
            (
                has_break
                & (
                    (self.break_start <= self.open)
                    | (self.break_end <= self.break_start)
                    | (self.break_end >= self.close)
                ),
                "has a break that does not lie inside it",
            ),
            (~has_break & (self.break_end != 0), "has a break that ends but does not start"),
        )
        for bad, what in faults:
            if bad.any():
                raise BadInput(f"calendar {self.calendar}: session {_date(int(self.label[np.argmax(bad)]))} {what}")

    # Where a time lies

    def session_index(self, times: ArrayLike) -> NDArray[np.int64]:
        """Row of the session whose regular hours contain each time, -1 where the market is closed or at lunch."""
        moments = np.asarray(times, np.int64)
        self._require_covered(moments)
        row = np.asarray(np.searchsorted(self.open, moments, side="right")) - 1
        inside = (row >= 0) & (moments < self.close[row])
        inside &= ~((moments >= self.break_start[row]) & (moments < self.break_end[row]))
        return np.where(inside, row, -1)

    def in_session(self, starts: ArrayLike, ends: ArrayLike) -> NDArray[np.bool_]:
        """Whether both the first and the last instant of each bar [start, end) lie in regular hours."""
        return (self.session_index(starts) >= 0) & (self.session_index(np.asarray(ends, np.int64) - 1) >= 0)

    def is_open(self, now_ns: int) -> bool:
        return bool(self.session_index(now_ns) >= 0)

    def next_open(self, now_ns: int) -> int:
        """The first session open after now."""
        return self._after(self.open, now_ns)

    def next_close(self, now_ns: int) -> int:
        """The first session close after now."""
        return self._after(self.close, now_ns)

    def previous_close(self, now_ns: int) -> int:
        """The last session close that is not after now."""
        row = int(np.searchsorted(self.close, now_ns, side="right")) - 1
        if row < 0 or now_ns > self.close[-1]:
            raise self._beyond(now_ns)
        return int(self.close[row])

    def trading_dates(self, times: ArrayLike) -> Days:
        """The exchange date each time counts to: the label of the session it lies in, else the local calendar date."""
        moments = np.asarray(times, np.int64)
        self._require_covered(moments)
        after = np.asarray(np.searchsorted(self.close, moments, side="right")).clip(0, len(self) - 1)
        before = (after - 1).clip(0)
        nearest = np.where(moments - self.close[before] < self.open[after] - moments, before, after)
        local = (moments + self.utc_offset[nearest]) // DAY_NS
        return np.where((moments >= self.open[after]) & (moments < self.close[after]), self.label[after], local)

    # Sessions by label

    def session_of_label(self, days: ArrayLike) -> NDArray[np.int64]:
        """Row of the session of each exchange date (days since 1970-01-01), -1 where that date has none."""
        wanted = np.asarray(days, np.int64)
        if wanted.size and (wanted.min() < self.label[0] or wanted.max() > self.label[-1]):
            outside = wanted.min() if wanted.min() < self.label[0] else wanted.max()
            raise self._beyond(int(outside) * DAY_NS)
        row = np.asarray(np.searchsorted(self.label, wanted))
        return np.where(self.label[row] == wanted, row, -1)

    def lengths(self) -> NDArray[np.int64]:
        """Nanoseconds that each session trades, without its lunch."""
        return self.close - self.open - (self.break_end - self.break_start)

    def usual_lengths(self, rows: ArrayLike) -> NDArray[np.float64]:
        """The median length of the 21 sessions around each of these."""
        wanted = np.asarray(rows, np.int64)
        window = min(_USUAL_WINDOW, len(self))
        first = np.clip(wanted - window // 2, 0, len(self) - window)
        return np.asarray(np.median(self.lengths()[first[..., None] + np.arange(window)], axis=-1))

    def is_half_day(self, rows: ArrayLike) -> NDArray[np.bool_]:
        """Whether each session trades shorter than the median of the 21 sessions around it."""
        return np.asarray(self.lengths()[np.asarray(rows, np.int64)] < self.usual_lengths(rows))

    def between(self, start_ns: int, end_ns: int) -> SessionTable:
        """The sessions that open in [start_ns, end_ns), as a view; BadInput where there is none."""
        self.require_range(start_ns, end_ns)
        lo, hi = np.searchsorted(self.open, (start_ns, end_ns))
        if lo == hi:
            raise BadInput(f"calendar {self.calendar}: no session opens from {_utc(start_ns)} to {_utc(end_ns)}")
        return self[slice(int(lo), int(hi))]

    # Bars

    def expected_bars(self, timeframe: Timeframe, start_ns: int, end_ns: int) -> tuple[Times, Times]:
        """(starts, ends) of all bars that must exist and whose start lies in [start_ns, end_ns).

        Intraday bars are cut on the exchange's wall clock inside each session, as IB labels them: the first 1h bar of
        a session that opens at 9:30 is 9:30-10:00, the last bar ends at the close, none spans a lunch break. A 1d bar
        is one session [open, close); a 1w bar runs from the open of the first session of an ISO week (of labels) to
        the close of its last.
        """
        spans = self.bar_spans(timeframe, start_ns, end_ns)
        starts, ends = spans.expand()
        lo, hi = np.searchsorted(starts, (start_ns, end_ns))
        return starts[lo:hi], ends[lo:hi]

    def bar_spans(self, timeframe: Timeframe, start_ns: int, end_ns: int) -> BarSpans:
        """The spans of regular hours that touch [start_ns, end_ns), and how bars cut each of them."""
        self.require_range(start_ns, end_ns)
        lo = int(np.searchsorted(self.close, start_ns, side="right"))
        hi = int(np.searchsorted(self.open, end_ns))
        if timeframe is Timeframe.W1:
            week = (self.label + 3) // 7  # 1970-01-01 was a Thursday; ISO weeks begin on Monday
            first_of_week = np.flatnonzero(np.append(True, week[1:] != week[:-1]))
            last_of_week = np.append(first_of_week[1:], len(self)) - 1
            opens, closes = self.open[first_of_week], self.close[last_of_week]
            touched = (closes > start_ns) & (opens < end_ns)
            return BarSpans(opens[touched], closes[touched], 0, np.zeros(int(touched.sum()), np.int64))
        opens, closes, offset = self.open[lo:hi], self.close[lo:hi], self.utc_offset[lo:hi]
        if timeframe is Timeframe.D1:
            return BarSpans(opens, closes, 0, offset)
        lunch = np.flatnonzero(self.break_start[lo:hi])
        if len(lunch):
            opens = np.insert(opens, lunch + 1, self.break_end[lo:hi][lunch])
            closes = np.insert(closes, lunch, self.break_start[lo:hi][lunch])
            offset = np.insert(offset, lunch, offset[lunch])
        return BarSpans(opens, closes, timeframe.nanoseconds, offset)

    # What the table knows

    def _after(self, times: Times, now_ns: int) -> int:
        row = int(np.searchsorted(times, now_ns, side="right"))
        if row == len(times) or now_ns < self.open[0]:
            raise self._beyond(now_ns)
        return int(times[row])

    def _require_covered(self, moments: Times) -> None:
        if moments.size:
            for outermost in (moments.min(), moments.max()):
                if not self.open[0] <= outermost <= self.close[-1]:
                    raise self._beyond(int(outermost))

    def require_range(self, start_ns: int, end_ns: int) -> None:
        """Raise BadInput unless the table covers the range."""
        if end_ns < start_ns:
            raise BadInput(
                f"calendar {self.calendar}: the range ends ({_utc(end_ns)}) before it starts ({_utc(start_ns)})"
            )
        self._require_covered(np.array([start_ns, end_ns]))

    def _beyond(self, moment_ns: int) -> BadInput:
        return BadInput(
            f"calendar {self.calendar}: {_utc(moment_ns)} is outside the sessions it knows, "
            f"{_date(int(self.label[0]))} to {_date(int(self.label[-1]))}; ask for a range within"
        )


@dataclass(frozen=True, slots=True, eq=False)
class BarSpans:
    """Uninterrupted spans [open, close) of trading, in time order, and the wall-clock grid that cuts them into bars.

    `step` is the bar length in nanoseconds; 0 means that each span is one bar.
    """

    open: Times
    close: Times
    step: int
    utc_offset: Times

    def __len__(self) -> int:
        return len(self.open)

    def take(self, rows: NDArray[np.int64]) -> BarSpans:
        return BarSpans(self.open[rows], self.close[rows], self.step, self.utc_offset[rows])

    def counts(self) -> NDArray[np.int64]:
        """How many bars each span holds."""
        if self.step == 0:
            return np.ones(len(self), np.int64)
        return self._tick(self.close - 1) - self._tick(self.open) + 1

    def last_starts(self) -> Times:
        """Start of the last bar of each span."""
        if self.step == 0:
            return self.open
        last: Times = np.maximum(self.open, self._tick(self.close - 1) * self.step - self.utc_offset)
        return last

    def grid_origins(self) -> Times:
        """Where the wall-clock bucket of each span's first bar begins: its open, or before it."""
        if self.step == 0:
            return self.open
        origins: Times = self._tick(self.open) * self.step - self.utc_offset
        return origins

    def expand(self) -> tuple[Times, Times]:
        """(starts, ends) of all bars."""
        if self.step == 0 or len(self) == 0:
            return self.open, self.close
        counts = self.counts()
        first = np.cumsum(counts) - counts
        grid = self.grid_origins()
        # One running sum over steps and jumps: a third of the time of repeating each span's origin.
        starts = np.full(int(counts.sum()), self.step, np.int64)
        starts[first[0]] = grid[0]
        starts[first[1:]] = grid[1:] - (grid[:-1] + (counts[:-1] - 1) * self.step)
        np.cumsum(starts, out=starts)
        ends = starts + self.step
        starts[first] = self.open
        ends[first + counts - 1] = self.close
        return starts, ends

    def _tick(self, moments: Times) -> NDArray[np.int64]:
        tick: NDArray[np.int64] = (moments + self.utc_offset) // self.step
        return tick


def _utc(moment_ns: int) -> str:
    return f"{np.datetime64(moment_ns, 'ns').astype('datetime64[s]')}Z"


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


__all__ = ["BarSpans", "Days", "SessionTable"]
