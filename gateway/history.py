"""History: what may be asked of IB, and its answer as the domain's bars."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import Adjustment, BarSeries, Times
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe
from gateway.contract import Contract
from gateway.errors import BadFrame, Refused, TryLater
from gateway.translate import SECOND_NS, exchange_time_ns, ib_time

BAR_SIZES = {
    Timeframe.M1: "1 min",
    Timeframe.M5: "5 mins",
    Timeframe.M15: "15 mins",
    Timeframe.M30: "30 mins",
    Timeframe.H1: "1 hour",
    Timeframe.D1: "1 day",
    Timeframe.W1: "1 week",
}
WHATS = ("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST")
# Epoch seconds: a third of the work of a text with a zone, and the hour that comes twice in autumn is not ambiguous.
EPOCH_SECONDS = 2
_DURATION = re.compile(r"[1-9]\d{0,5} [SDWMY]")
_COLUMNS = 8


class HistoryRequest(NamedTuple):
    """Bars of a contract that end at `end_ns` (None: now) and reach back for `duration` (`1 D`, `3600 S`, `2 W`)."""

    contract: Contract
    timeframe: Timeframe
    duration: str
    what: str = "TRADES"
    regular_hours: bool = True
    end_ns: int | None = None

    def check(self) -> None:
        if self.what not in WHATS:
            raise Refused(f"{self.what[:30]!r} is not a kind of bars; known: {', '.join(WHATS)}")
        if not _DURATION.fullmatch(self.duration):
            raise Refused(f"{self.duration[:30]!r} is not a duration such as '1 D' or '3600 S'")
        if self.what == "ADJUSTED_LAST" and self.end_ns is not None:
            raise Refused("ADJUSTED_LAST always ends now: IB takes no end time for it")

    @property
    def end_text(self) -> str:
        return "" if self.end_ns is None else ib_time(self.end_ns)


class ProvenEmpty(NamedTuple):
    """IB said that there is nothing in the range; `text` is what it said. Need not be asked again."""

    text: str


class Rows(NamedTuple):
    """The bars of one answer as columns; `dates` are IB's texts, prices float64. `end_text` is where the range ends."""

    end_text: str
    dates: list[str]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.dates)


def rows_of(fields: list[str]) -> Rows:
    """The message's columns, read without making an object of each bar; BadFrame where they are none."""
    cells = fields[5:]
    if len(fields) < 5 or len(cells) != _COLUMNS * _count(fields[4]):
        raise BadFrame("a history answer whose number of bars does not fit its fields")
    try:
        columns = [np.array(list(map(float, cells[column::_COLUMNS]))) for column in range(1, 6)]
    except ValueError as error:
        raise BadFrame(f"a history answer with something that is no number: {error}") from error
    volume = columns[4]
    volume[volume < 0] = np.nan  # -1: not known, as for quotes
    return Rows(fields[3], cells[0::_COLUMNS], *columns)


def series_of(rows: Rows, request: HistoryRequest, sessions: SessionTable | None = None) -> BarSeries:
    """The bars that were complete when IB answered, with start and end.

    With `sessions` (those of the hours asked for) a bar ends where the market's clock cuts it, and a session bar runs
    from open to close; a day or an hour that the table does not know is a BadInput. Without, an intraday bar ends at
    the next multiple of its length in UTC and a day is the 24 hours of its date. Raises TryLater for bars that cannot
    be right.
    """
    starts = _starts(rows.dates, request.timeframe)
    starts, ends = _bounds(starts, request.timeframe, sessions)
    until = exchange_time_ns(rows.end_text)
    keep = np.ones(len(rows), np.bool_) if until is None else ends <= until
    try:
        return BarSeries.from_columns(
            request.timeframe,
            start=starts[keep],
            end=ends[keep],
            open=rows.open[keep],
            high=rows.high[keep],
            low=rows.low[keep],
            close=rows.close[keep],
            volume=rows.volume[keep],
            adjustment=Adjustment.TOTAL if request.what == "ADJUSTED_LAST" else Adjustment.SPLIT,
        )
    except BadInput as error:
        raise TryLater(f"the bars of {request.contract.symbol} cannot be right: {error}") from error


def bar_span(date: str, timeframe: Timeframe) -> tuple[int, int]:
    """(start, end) of one bar of a kept history, by the rule without sessions."""
    starts, ends = _bounds(_starts([date], timeframe), timeframe, None)
    return int(starts[0]), int(ends[0])


def _starts(dates: list[str], timeframe: Timeframe) -> Times:
    """Starts of intraday bars; midnights of the dates of session bars."""
    try:
        if timeframe.is_intraday:
            return np.array(list(map(int, dates)), np.int64) * SECOND_NS
        return np.array([f"{date[:4]}-{date[4:6]}-{date[6:8]}" for date in dates], "datetime64[D]").astype(
            np.int64
        ) * np.int64(DAY_NS)
    except (ValueError, OverflowError) as error:
        raise TryLater(f"the bars carry a date that cannot be read: {error}") from error


def _bounds(starts: Times, timeframe: Timeframe, sessions: SessionTable | None) -> tuple[Times, Times]:
    step = timeframe.nanoseconds
    if timeframe.is_intraday:
        ends = (starts // step + 1) * step
        if sessions is not None and len(starts):
            expected, expected_ends = sessions.expected_bars(timeframe, int(starts[0]), int(starts[-1]) + 1)
            at = np.searchsorted(expected, starts).clip(0, max(len(expected) - 1, 0))
            if len(expected):
                ends = np.where(expected[at] == starts, expected_ends[at], ends)
        return starts, ends
    if sessions is None or len(starts) == 0:
        return starts, starts + step
    days = starts // DAY_NS
    if timeframe is Timeframe.W1:
        return _weeks(days, sessions)
    row = sessions.session_of_label(days)
    if (row < 0).any():
        day = np.datetime64(int(days[np.argmax(row < 0)]), "D")
        raise BadInput(f"calendar {sessions.calendar}: IB has a bar of {day}, which is no session there")
    return sessions.open[row], sessions.close[row]


def _weeks(days: Times, sessions: SessionTable) -> tuple[Times, Times]:
    """From the first session of each bar's ISO week to its last."""
    week = (sessions.label + 3) // 7
    first = np.searchsorted(week, (days + 3) // 7, side="left")
    last = np.searchsorted(week, (days + 3) // 7, side="right") - 1
    if (last < first).any() or days.min() < sessions.label[0] or days.max() > sessions.label[-1]:
        raise BadInput(f"calendar {sessions.calendar}: IB has a weekly bar outside the sessions it knows")
    return sessions.open[first], sessions.close[last]


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
