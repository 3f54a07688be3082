"""Segments: gaps cut into what one request for history may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from domain.bars import Times
from domain.errors import BadInput
from domain.gaps import Gaps
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, SECOND_NS, Timeframe

_DURATION = re.compile(r"([1-9][0-9]{0,4}) ([SDWMY])")
# A month may be February and a year has 365 days at least: what a duration surely reaches back.
_UNIT_NS = {"S": SECOND_NS, "D": DAY_NS, "W": 7 * DAY_NS, "M": 28 * DAY_NS, "Y": 365 * DAY_NS}
_WEEKS_OF_A_YEAR = 52
# No history is longer, and times in nanoseconds end after three of them.
_LONGEST_NS = 100 * 365 * DAY_NS


class Segment(NamedTuple):
    """The `bars` missing bars of gap number `gap` whose start lies in [start_ns, end_ns); end_ns is the end of the
    last. `duration` is what to ask IB for, back from end_ns; it reaches start_ns at least."""

    gap: int
    start_ns: int
    end_ns: int
    duration: str
    bars: int


def duration_ns(text: str) -> int:
    """How far back a duration (`1 D`, `3600 S`, `2 W`) surely reaches; BadInput where it is none."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise BadInput(f"{text[:30]!r} is not a duration: give a number and S, D, W, M or Y, such as '1 D' or '2 W'")
    length = int(found[1]) * _UNIT_NS[found[2]]
    if length > _LONGEST_NS:
        raise BadInput(f"{text} is longer than a century; give a shorter duration, such as '1 Y'")
    return length


def cut(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, longest: str) -> list[Segment]:
    """All gaps in time order as segments that reach back `longest` (a duration) at most, one bar at least.

    A session is cut in two only where it alone is longer.
    """
    span = duration_ns(longest)
    found = []
    for number, (start_ns, end_ns) in enumerate(zip(gaps.start.tolist(), gaps.end.tolist(), strict=True)):
        starts, ends = sessions.expected_bars(timeframe, start_ns, end_ns)
        for lo, hi in _pieces(starts, ends, span):
            first, last = int(starts[lo]), int(ends[hi - 1])
            found.append(Segment(number, first, last, duration(first, last, timeframe, sessions), hi - lo))
    return found


def halves(segment: Segment, sessions: SessionTable, timeframe: Timeframe) -> list[Segment]:
    """Two segments instead of one that took IB too long; empty where it holds a single bar."""
    starts, ends = sessions.expected_bars(timeframe, segment.start_ns, segment.end_ns)
    if len(starts) < 2:
        return []
    middle = len(starts) // 2
    return [
        Segment(segment.gap, first, last, duration(first, last, timeframe, sessions), bars)
        for first, last, bars in (
            (int(starts[0]), int(ends[middle - 1]), middle),
            (int(starts[middle]), int(ends[-1]), len(starts) - middle),
        )
    ]


def duration(start_ns: int, end_ns: int, timeframe: Timeframe, sessions: SessionTable) -> str:
    """The shortest duration that reaches from the end of a range back to its start, however IB counts: seconds within
    a day, else weeks, and years where more than a year is asked."""
    length = end_ns - start_ns
    if timeframe.is_intraday and length <= DAY_NS:
        # A bar that the open or the close cuts short is one to IB's clock: it is left out where only its part is asked.
        return f"{-(-length // timeframe.nanoseconds) * timeframe.nanoseconds // SECOND_NS} S"
    first, last = sessions.trading_dates([start_ns, end_ns - 1]).tolist()
    days = last - first + 1  # IB counts the exchange's dates
    weeks = -(-days // 7)
    return f"{weeks} W" if weeks <= _WEEKS_OF_A_YEAR else f"{-(-days // 365)} Y"


def _pieces(starts: Times, ends: Times, span: int) -> Iterator[tuple[int, int]]:
    """Row ranges [lo, hi) of bars that follow each other."""
    boundaries = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    lo, rows = 0, len(starts)
    while lo < rows:
        hi = max(int(np.searchsorted(ends, starts[lo] + span, side="right")), lo + 1)
        if hi < rows:
            at = int(np.searchsorted(boundaries, hi, side="right")) - 1
            if at >= 0 and boundaries[at] > lo:
                hi = int(boundaries[at])
        yield lo, hi
        lo = hi
