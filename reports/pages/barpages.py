"""Which bars one view of a chart shows: some hundreds before or after a moment, or a whole range merged until it fits.

However much is held, a browser gets at most MAX_BARS, and only the files that they lie in are opened.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from domain.bars import Adjustment, BarSeries, Times
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe
from marketdata import store
from marketdata.errors import NoBarsInRange
from marketdata.models import BarFile, Instrument, What
from marketdata.moments import as_ns
from reports.figures import coarsen, dates, minutes

MAX_BARS = 2_000
USUAL_BARS = 500
# What indicators may want before the first bar shown.
WARMUP_BARS = 500
RANGES = {"5D": 5, "1M": 30, "3M": 91, "6M": 182, "1Y": 365, "5Y": 1826, "All": None}
"""Length of each range in days; None: everything."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Wanted(NamedTuple):
    """What a reader asked to see. `before` and `after` (int64 ns) bound the starts shown, both exclusive."""

    timeframe: Timeframe
    what: str = What.TRADES
    adjustment: Adjustment = Adjustment.RAW
    range: str = ""
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class BarPage:
    """`bars` are shown from row `first` on; those before only warm indicators up. `merged` names the length of bars
    that were merged, "" where they are as held."""

    bars: BarSeries
    first: int
    merged: str
    older: bool
    newer: bool

    @property
    def shown(self) -> BarSeries:
        return self.bars[self.first :]


def choose(instrument: Instrument, held: list[store.Coverage], query: Any) -> Wanted | None:
    """The series and the part of it that a query string asks for; None where nothing is held.

    Left out: daily bars where they are held, else the longest timeframe; trades; raw prices. BadInput for the rest.
    """
    series = [each for each in held if each.rows]
    if not series:
        return None
    texts = {name: query.get(name, "").strip() for name in ("timeframe", "what", "adjustment", "range")}
    best = max(series, key=lambda each: (each.timeframe is Timeframe.D1, each.timeframe.nanoseconds))
    timeframe = Timeframe.parse(texts["timeframe"]) if texts["timeframe"] else best.timeframe
    of_frame = [each for each in series if each.timeframe is timeframe]
    if not of_frame:
        raise BadInput(f"{instrument.symbol}: no {timeframe} bars are held (held: {_listed(series, 'timeframe')})")
    what = texts["what"] or (What.TRADES if _offers(of_frame, "what", What.TRADES) else of_frame[0].what)
    of_what = [each for each in of_frame if each.what == what]
    if not of_what:
        raise BadInput(f"no {timeframe} bars of {what[:20]!r} are held (held: {_listed(of_frame, 'what')})")
    basis = texts["adjustment"] or ("raw" if _offers(of_what, "adjustment", "raw") else of_what[0].adjustment)
    if not _offers(of_what, "adjustment", basis):
        raise BadInput(f"no {basis[:20]!r} prices are held (held: {_listed(of_what, 'adjustment')})")
    if texts["range"] and texts["range"] not in RANGES:
        raise BadInput(f"range {texts['range'][:20]!r}: expected one of {', '.join(RANGES)}")
    return Wanted(
        timeframe,
        str(what),
        Adjustment(basis),
        texts["range"],
        read_moment("before", query.get("before", "")),
        read_moment("after", query.get("after", "")),
    )


def read_page(instrument: Instrument, wanted: Wanted) -> BarPage:
    """BadInput where nothing is held there, CorruptBarFile and StoreUnavailable as `store.read_bars`."""
    files = list(
        BarFile.objects.of_series(instrument, wanted.timeframe, wanted.what)
        .filter(adjustment=wanted.adjustment, quarantined__isnull=True)
        .order_by("start")
    )
    reader = _Reader(instrument, wanted, files)
    if wanted.after is not None:
        found, merged = reader.following(wanted.after + 1, USUAL_BARS), ""
    elif wanted.range:
        found, merged = reader.within(RANGES[wanted.range], wanted.before)
    else:
        found, merged = reader.preceding(wanted.before, USUAL_BARS), ""
    if not len(found):
        raise BadInput(f"{instrument.symbol} {wanted.timeframe}: no bars are held there; leave out before and after")
    before = reader.empty if merged else reader.preceding(int(found.start[0]), WARMUP_BARS)
    return BarPage(
        bars=_joined(before, found),
        first=len(before),
        merged=merged,
        older=reader.first < int(found.start[0]),
        newer=reader.end > int(found.end[-1]),
    )


class _Reader:
    """Parts of one series, by count; `first` is where its first bar starts and `end` where its last one ends."""

    def __init__(self, instrument: Instrument, wanted: Wanted, files: list[BarFile]) -> None:
        self.instrument, self.wanted, self.files = instrument, wanted, files
        self.empty = BarSeries.empty(wanted.timeframe, wanted.adjustment)
        self.first = as_ns(files[0].start) if files else 0
        self.end = as_ns(files[-1].end) if files else 0

    def between(self, start_ns: int | None, end_ns: int | None) -> BarSeries:
        wanted = self.wanted
        try:
            return store.read_bars(
                self.instrument,
                wanted.timeframe,
                start_ns=start_ns,
                end_ns=end_ns,
                what=wanted.what,
                adjustment=wanted.adjustment,
            )
        except NoBarsInRange:
            return self.empty

    def preceding(self, end_ns: int | None, count: int) -> BarSeries:
        """The last `count` bars that start before a moment."""
        files = [file for file in self.files if end_ns is None or as_ns(file.start) < end_ns]
        found = self.empty
        while files and len(found) < count:
            file = files.pop()
            start = as_ns(file.start)
            found = _joined(self.between(start, int(found.start[0]) if len(found) else end_ns), found)
        return found[max(len(found) - count, 0) :]

    def following(self, start_ns: int, count: int) -> BarSeries:
        """The first `count` bars that start at a moment or after it."""
        files = [file for file in self.files if as_ns(file.end) > start_ns]
        found = self.empty
        while files and len(found) < count:
            file = files.pop(0)
            found = _joined(found, self.between(int(found.end[-1]) if len(found) else start_ns, as_ns(file.end)))
        return found[:count]

    def within(self, days: int | None, before: int | None) -> tuple[BarSeries, str]:
        """The bars of so many days, merged where they are too many, and the length of what they were merged to."""
        end = min(before or self.end, self.end)
        found = self.between(None if days is None else end - days * DAY_NS, before)
        return coarsen(found, MAX_BARS)


def labels(bars: BarSeries, sessions: SessionTable | None, *, clock: bool) -> list[str]:
    """What stands under each bar: its start to the minute where `clock`, else its day; each label once.

    In UTC, or by the wall clock and the sessions of an exchange.
    """
    if sessions is None:
        texts = minutes(bars.start) if clock else dates(bars.end)
    elif clock:
        texts = minutes(bars.start + utc_offsets(bars.start, sessions))
    else:
        days = sessions.trading_dates(bars.end - 1)
        texts = list(np.datetime_as_string(days.astype("datetime64[D]")).tolist())
    # The hour that a clock shows twice in autumn would be one place on the axis.
    seen: dict[str, int] = {}
    for row, text in enumerate(texts):
        seen[text] = seen.get(text, 0) + 1
        if seen[text] > 1:
            texts[row] = f"{text} ({seen[text]})"
    return texts


def utc_offsets(times: Times, sessions: SessionTable) -> Times:
    """Local time less UTC at the exchange, as of the session that was the last to open."""
    row = np.searchsorted(sessions.open, times, side="right") - 1
    return np.asarray(sessions.utc_offset[np.clip(row, 0, None)])


def as_datetime(moment_ns: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=moment_ns // 1000)


def iso(moment_ns: int) -> str:
    """As query strings carry it."""
    return f"{np.datetime64(moment_ns, 'ns').astype('datetime64[s]')}Z"


def read_moment(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        moment_ns = as_ns(moment)
    except (ValueError, OverflowError):
        raise BadInput(f"{name}: {text[:40]!r} is no time; write 2013-10-07 or 2013-10-07T14:30Z") from None
    if not dt.datetime(1900, 1, 1, tzinfo=dt.UTC) <= moment <= dt.datetime(2200, 1, 1, tzinfo=dt.UTC):
        raise BadInput(f"{name}: {text[:40]!r} is too far away; write a year from 1900 to 2199")
    return moment_ns


def _joined(first: BarSeries, second: BarSeries) -> BarSeries:
    if not len(first):
        return second
    if not len(second):
        return first
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("start", "end", "open", "high", "low", "close", "volume")
    }
    return BarSeries(first.timeframe, **columns, adjustment=first.adjustment)


def _offers(series: list[store.Coverage], name: str, value: str) -> bool:
    return any(getattr(each, name) == value for each in series)


def _listed(series: list[store.Coverage], name: str) -> str:
    return ", ".join(dict.fromkeys(str(getattr(each, name)) for each in series))
