"""Planning: which bars of a series are missing, and the requests that would bring them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings

from domain.bars import Times
from domain.errors import BadInput
from domain.gaps import GapClass, Gaps, find_session_gaps
from domain.segments import Segment, cut, duration, duration_ns
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, proofs, store
from marketdata.contracts import basis_of, default_what
from marketdata.errors import StoreError
from marketdata.models import BarFile, Fetch, HeadTime, Instrument, RequestLength, What
from marketdata.models.loads import Mode
from marketdata.moments import as_datetime, as_ns, day_ns

IB, SIMULATED = "IB", "IB, simulated"
"""The source of bars that a load brought."""

# Where nobody has asked yet how far back IB goes. The load itself asks.
_ASSUMED_YEARS = {True: 10, False: 30}
_YEAR_NS = 365 * DAY_NS
_OLDEST_NS = day_ns(dt.date(1900, 1, 1))
LOOK_NS = 14 * DAY_NS
"""A fortnight: no market is closed for longer than that."""


class LoadAsk(NamedTuple):
    """What somebody wants to be held. Times in UTC nanoseconds; None: as the mode says."""

    instrument: Instrument
    timeframe: Timeframe
    what: str
    mode: Mode
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LoadPlanning:
    """What a load would do. `mode` is the one it comes to, `cached` counts bars held of the series."""

    ask: LoadAsk
    mode: Mode
    cached: int
    gaps: Gaps
    segments: list[Segment]
    head_known: bool

    @property
    def requests(self) -> int:
        return len(self.segments)

    @property
    def bars(self) -> int:
        return int(self.gaps.missing.sum())

    def as_dict(self) -> dict[str, Any]:
        ask, gaps = self.ask, self.gaps
        return {
            "symbol": ask.instrument.symbol,
            "timeframe": str(ask.timeframe),
            "what": ask.what,
            "mode": str(self.mode),
            "cached": self.cached,
            "missing": self.bars,
            "requests": self.requests,
            "head_known": self.head_known,
            "gaps": [
                {"start": as_datetime(start).isoformat(), "end": as_datetime(end).isoformat(), "missing": missing}
                for start, end, missing in zip(
                    gaps.start.tolist(), gaps.end.tolist(), gaps.missing.tolist(), strict=True
                )
            ],
        }


# ---- what is asked ---------------------------------------------------------------------------------------------------


def check_ask(
    *,
    instrument: Instrument,
    timeframe: str,
    mode: str = "tail",
    what: str = "",
    start: str | None = None,
    end: str | None = None,
    now_ns: int,
) -> LoadAsk:
    """BadInput where it cannot be meant. Times are ISO 8601 with a zone, or dates: a start's midnight UTC, an end's
    last moment."""
    frame = Timeframe.parse(timeframe)
    wanted = what or default_what(instrument)
    if wanted not in What.values:
        raise BadInput(f"bars of {wanted[:30]!r}: expected one of {', '.join(What.values)}")
    if mode not in Mode.values:
        raise BadInput(f"unknown mode {mode[:30]!r}; known: {', '.join(Mode.values)}")
    start_ns, end_ns = _moment(start, "start", 0), _moment(end, "end", 1)
    for text, moment_ns in ((start, start_ns), (end, end_ns)):
        if moment_ns is not None and moment_ns < _OLDEST_NS:
            raise BadInput(f"{text} lies before 1900; nothing is that old")
    if start_ns is not None and start_ns >= now_ns:
        raise BadInput(f"start {start} lies in the future; nothing can be loaded from there")
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise BadInput(f"start {start} is not before end {end}")
    if end_ns is not None and end_ns > now_ns:
        # Today's date ends tonight; only what begins after today is a mistake.
        if end_ns - now_ns > DAY_NS:
            raise BadInput(f"end {end} lies in the future; leave it out for now")
        end_ns = None
    if wanted == What.ADJUSTED_LAST:
        if frame.is_intraday:
            raise BadInput(
                "ADJUSTED_LAST is loaded for 1d and 1w: IB takes no end time for it, so it comes in one piece"
            )
        if end_ns is not None:
            raise BadInput("ADJUSTED_LAST always ends now; leave the end out")
    return LoadAsk(instrument, frame, wanted, Mode(mode), start_ns, end_ns)


def _moment(text: str | None, name: str, days: int) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        if len(text) == 10:
            return day_ns(dt.date.fromisoformat(text)) + days * DAY_NS
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{name} {text[:40]!r} is no time; give 2024-01-31 or 2024-01-31T14:30:00Z") from error
    if moment.tzinfo is None:
        raise BadInput(f"{name} {text[:40]!r} has no zone; add one, such as {text[:19]}Z for UTC")
    return as_ns(moment)


# ---- what is missing -------------------------------------------------------------------------------------------------


def make_plan(ask: LoadAsk, now_ns: int, *, scheduled: bool = False) -> LoadPlanning:
    """What to ask IB for. Opens no bar file where the mode is tail.

    Bars that are not complete by `now_ns` are not missing. What IB has answered for is not asked again; what failed is,
    but for a load that nobody waits for (`scheduled`) not before its time.
    """
    instrument, frame, what = ask.instrument, ask.timeframe, ask.what
    table = calendars.sessions(instrument.calendar)
    held = held_files(instrument, frame, what)
    cached = sum(row.rows for row in held)
    sound = [row for row in held if row.quarantined is None]
    head = HeadTime.objects.filter(instrument=instrument, what=proofs.head_of(what)).first()
    mode = ask.mode if sound else (Mode.REBUILD if ask.mode is Mode.REBUILD else Mode.FULL)
    if what == What.ADJUSTED_LAST and mode is not Mode.TAIL:
        mode = Mode.REBUILD
    earliest = as_ns(head.start) if head else now_ns - _ASSUMED_YEARS[frame.is_intraday] * _YEAR_NS
    start_ns, end_ns = _range(ask, mode, table, sound, earliest, now_ns)
    starts = np.empty(0, np.int64)
    if sound and mode not in (Mode.TAIL, Mode.REBUILD):
        starts = _starts(ask, start_ns, end_ns)
    # After the files were read: of a damaged one nothing stays proven.
    known = proofs.explanations(instrument, frame, what, table)
    if mode is Mode.REBUILD:
        gaps = _all_of(table, frame, start_ns, end_ns)
    else:
        gaps = _worth_asking(find_session_gaps(starts, table, frame, start_ns, end_ns, known), starts)
        if scheduled:
            gaps = gaps.where(~_waits(ask, gaps, now_ns))
    if what == What.ADJUSTED_LAST:
        if len(gaps):  # one dividend changes all of the past
            mode, (start_ns, end_ns) = Mode.REBUILD, _range(ask, Mode.REBUILD, table, sound, earliest, now_ns)
            gaps = _all_of(table, frame, start_ns, end_ns)
        segments = _in_one(gaps, frame, table)
    else:
        segments = cut(gaps, table, frame, request_length(frame))
        if mode is not Mode.TAIL:
            segments.reverse()  # the newest first: they are looked at first
        if sound and mode is not Mode.REBUILD:
            segments = _probe_first(segments, table, frame, sound)
    return LoadPlanning(ask, mode, cached, gaps, segments, head is not None)


def held_files(instrument: Instrument, timeframe: Timeframe, what: str) -> list[BarFile]:
    """The files of the series that the loader keeps, in time order."""
    basis = basis_of(instrument, what)
    rows = BarFile.objects.of_series(instrument, timeframe, what).filter(adjustment=basis)
    return list(rows.order_by("partition"))


def request_length(timeframe: Timeframe) -> str:
    row = RequestLength.objects.filter(timeframe=timeframe).first()
    if row is None:
        raise BadInput(f"no request length for {timeframe} bars; add one in the admin, such as 1 D")
    return row.duration


def due_ns(table: SessionTable, timeframe: Timeframe, now_ns: int) -> int:
    """The end of the newest bar that is complete: nothing that starts then or later can be asked for."""
    _, ends = table.expected_bars(timeframe, now_ns - LOOK_NS, now_ns)
    done = ends[ends <= now_ns]
    return int(done[-1]) if len(done) else int(table.open[0])


def _range(
    ask: LoadAsk, mode: Mode, table: SessionTable, held: list[BarFile], earliest: int, now_ns: int
) -> tuple[int, int]:
    end_ns = min(ask.end_ns or now_ns, due_ns(table, ask.timeframe, now_ns))
    start_ns = ask.start_ns if ask.start_ns is not None else earliest
    if held:
        first, last = min(as_ns(row.start) for row in held), max(as_ns(row.end) for row in held)
        if mode is Mode.TAIL:
            start_ns = last if ask.start_ns is None else max(last, ask.start_ns)
        elif mode is Mode.BACKFILL:
            end_ns = min(end_ns, last)
            if ask.start_ns is None:
                start_ns = max(earliest, first - duration_ns(request_length(ask.timeframe)))
        elif mode is Mode.REBUILD:
            start_ns = first if ask.start_ns is None else min(first, ask.start_ns)
    start_ns = max(start_ns, int(table.open[0]))
    return start_ns, max(end_ns, start_ns)


def _starts(ask: LoadAsk, start_ns: int, end_ns: int) -> Times:
    """Starts of the bars held in the range; those of damaged files are not."""
    try:
        return store.read_starts(
            ask.instrument, ask.timeframe, ask.what, basis_of(ask.instrument, ask.what), start_ns, end_ns
        )
    except StoreError as error:
        raise BadInput(f"{ask.instrument.symbol} {ask.timeframe}: {error}") from error


def _all_of(table: SessionTable, frame: Timeframe, start_ns: int, end_ns: int) -> Gaps:
    return find_session_gaps(np.empty(0, np.int64), table, frame, start_ns, end_ns)


def _worth_asking(gaps: Gaps, starts: Times) -> Gaps:
    """Those that nobody has explained for good; of those between bars that are held none that is too small."""
    gaps = gaps.only(GapClass.UNEXPECTED, GapClass.FAILED, GapClass.NO_PERMISSION)
    if settings.LOAD_SMALLEST_GAP <= 1 or not len(starts):
        return gaps
    inside = (gaps.start > starts[0]) & (gaps.end <= starts[-1])
    return gaps.where(~inside | (gaps.missing >= settings.LOAD_SMALLEST_GAP))


def _waits(ask: LoadAsk, gaps: Gaps, now_ns: int) -> Any:
    """Which gaps lie in a segment that failed lately and whose time has not come."""
    waits = np.zeros(len(gaps), np.bool_)
    failed = Fetch.objects.filter(
        instrument=ask.instrument,
        timeframe=str(ask.timeframe),
        what=ask.what,
        state=Fetch.State.FAILED,
        due__gt=as_datetime(now_ns),
    )
    for row in failed:
        waits |= (gaps.start < as_ns(row.end)) & (gaps.end > as_ns(row.start))
    return waits


def _in_one(gaps: Gaps, timeframe: Timeframe, table: SessionTable) -> list[Segment]:
    if not len(gaps):
        return []
    first, last = int(gaps.start[0]), int(gaps.end[-1])
    return [Segment(0, first, last, duration(first, last, timeframe, table), int(gaps.missing.sum()))]


def _probe_first(segments: list[Segment], table: SessionTable, frame: Timeframe, held: list[BarFile]) -> list[Segment]:
    """Ask for the last bar held before all else, so that it is compared: with the bars that follow it where one request
    may ask for both, else alone."""
    last_end = max(as_ns(row.end) for row in held)
    starts, ends = table.expected_bars(frame, last_end - LOOK_NS, last_end)
    at = int(np.searchsorted(ends, last_end))
    if not segments or at == len(ends) or ends[at] != last_end:
        return segments  # nothing is asked, or the bar stands where none is expected: imported from elsewhere
    start = int(starts[at])
    following = [row for row, segment in enumerate(segments) if segment.start_ns >= last_end]
    if following:
        row = min(following, key=lambda one: segments[one].start_ns)
        first = segments[row]
        between = table.expected_bars(frame, last_end, max(first.start_ns, last_end))[0]
        if not len(between) and first.end_ns - start <= max(
            duration_ns(request_length(frame)), first.end_ns - first.start_ns
        ):
            joined = first._replace(start_ns=start, duration=duration(start, first.end_ns, frame, table))
            return [joined, *segments[:row], *segments[row + 1 :]]
    probe = Segment(segments[0].gap, start, last_end, duration(start, last_end, frame, table), 0)
    return [probe, *segments]
