"""Gaps: which bars should be held and are not, which are held and should not be, and which the calendar leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.barnumbers import BarNumbers
from domain.bars import Times
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import MINUTE_NS, Timeframe

Codes = NDArray[np.int8]


class GapClass(IntEnum):
    """Why bars are missing, as far as somebody has proven it; what nobody has explained is UNEXPECTED.

    Closed markets need no class: their bars are not expected in the first place (`calendar_absences` lists them).
    """

    UNEXPECTED = 0
    BEFORE_LISTING = 1
    AFTER_DELISTING = 2
    HALT = 3
    NO_TRADES = 4
    NO_PERMISSION = 5
    FAILED = 6

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def letter(self) -> str:
        """What stands for it in maps."""
        return "?LXHNPF"[self]


class Explanation(NamedTuple):
    """Why no bar exists that lies wholly in [start_ns, end_ns); NO_TRADES is an answer of the data source."""

    start_ns: int
    end_ns: int
    reason: GapClass


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """Maximal runs of missing bars of one class, in time order; arrays of one length.

    `start` is the start of a run's first bar and `end` the end of its last (int64 ns), so a gap may span nights and
    weekends; `missing` counts its bars (int64); `reason` holds GapClass codes (int8). `expected` and `held` count the
    bars of the whole range asked about.
    """

    start: Times
    end: Times
    missing: NDArray[np.int64]
    reason: Codes
    expected: int
    held: int

    def __len__(self) -> int:
        return len(self.start)

    @property
    def coverage(self) -> float:
        """Held of expected bars, 0 to 1; 1 where none is expected."""
        return self.held / self.expected if self.expected else 1.0

    def only(self, *reasons: GapClass) -> Gaps:
        """The gaps of these classes; the counts stay those of the whole range."""
        return self.where(np.isin(self.reason, reasons))

    def where(self, rows: NDArray[np.bool_]) -> Gaps:
        """The gaps of these rows; the counts stay those of the whole range."""
        return Gaps(self.start[rows], self.end[rows], self.missing[rows], self.reason[rows], self.expected, self.held)


def find_gaps(
    held_starts: Times, expected_starts: Times, expected_ends: Times, explanations: Sequence[Explanation] = ()
) -> Gaps:
    """Gaps between bars held and bars expected; all arrays strictly increasing int64 ns, else BadInput.

    Where two explanations hold for a bar the later one wins.
    """
    _require_increasing("held", held_starts)
    _require_increasing("expected", expected_starts)
    missing = np.flatnonzero(~_contains(held_starts, expected_starts))
    starts, ends = expected_starts[missing], expected_ends[missing]
    return _runs(missing, starts, ends, explanations, len(expected_starts))


def find_session_gaps(
    held_starts: Times,
    sessions: SessionTable,
    timeframe: Timeframe,
    start_ns: int,
    end_ns: int,
    explanations: Sequence[Explanation] = (),
) -> Gaps:
    """The gaps of `find_gaps` against `sessions.expected_bars(timeframe, start_ns, end_ns)`, but faster.

    Bars are numbered through, and only where held bars do not follow each other by one step is anything computed:
    3 ms for ten years of minutes, 10 where every tenth is missing. `held_starts` may reach beyond the range.
    """
    _require_increasing("held", held_starts)
    spans = sessions.bar_spans(timeframe, start_ns, end_ns)
    held = held_starts[slice(*np.searchsorted(held_starts, (start_ns, end_ns)))]
    numbering = BarNumbers(spans)
    first, last = numbering.starts_before(start_ns), numbering.starts_before(end_ns)
    begin, end = numbering.runs(held)
    # What lies between two runs is missing, and before the first and after the last.
    lo, hi = np.append(first, end), np.append(begin, last)
    empty = hi > lo
    lo, hi, reason = _explain(lo[empty], hi[empty], explanations, numbering)
    starts, _ = numbering.bars(lo)
    _, ends = numbering.bars(hi - 1)
    expected = int(last - first)
    return Gaps(starts, ends, hi - lo, reason, expected, expected - int(np.sum(hi - lo)))


def _explain(
    lo: NDArray[np.int64], hi: NDArray[np.int64], explanations: Sequence[Explanation], numbering: BarNumbers
) -> tuple[NDArray[np.int64], NDArray[np.int64], Codes]:
    """The gaps [lo, hi) cut where an explanation begins or ends, and the class of each piece."""
    begin = numbering.starting_before(np.array([each.start_ns for each in explanations], np.int64))
    end = np.array([numbering.ends_by(each.end_ns) for each in explanations], np.int64)
    cuts = np.unique(np.append(begin, end))
    # The gap that begins before each cut; it is cut where it ends behind it.
    gap = np.searchsorted(lo, cuts) - 1
    cuts = cuts[(gap >= 0) & (cuts < hi[gap])] if len(lo) else cuts[:0]
    lo, hi = np.sort(np.append(lo, cuts)), np.sort(np.append(hi, cuts))
    reason = np.zeros(len(lo), np.int8)
    first, last = np.searchsorted(lo, begin), np.searchsorted(hi, end, side="right")
    for row, each in enumerate(explanations):
        reason[first[row] : last[row]] = each.reason
    # Two explanations of one class that touch are one gap.
    if len(lo):
        new = np.concatenate([[True], (lo[1:] != hi[:-1]) | (reason[1:] != reason[:-1])])
        lo, hi, reason = lo[new], hi[np.append(new[1:], True)], reason[new]
    return lo, hi, reason


class Place(IntEnum):
    """Where a bar stands that is not among the expected ones."""

    BEFORE_OPEN = 1
    AFTER_CLOSE = 2
    IN_BREAK = 3
    CLOSED_DAY = 4
    OFF_GRID = 5

    @property
    def label(self) -> str:
        return self.name.lower()


class UnexpectedBars(NamedTuple):
    """`row` (int64): rows of the bars held; `place` (int8): Place codes; `day` (int64): exchange dates."""

    row: NDArray[np.int64]
    place: Codes
    day: NDArray[np.int64]


def unexpected_bars(held_starts: Times, sessions: SessionTable, timeframe: Timeframe) -> UnexpectedBars:
    """Bars held that no session expects: pre- and post-market, lunch, holidays, or off the bar grid.

    BEFORE_OPEN and AFTER_CLOSE (a bar that starts at the close is after it) stand on a session's date, CLOSED_DAY on a
    date without one; OFF_GRID lies in regular hours but does not start where a bar of this timeframe must.
    """
    _require_increasing("held", held_starts)
    if len(held_starts) == 0:
        nothing = np.empty(0, np.int64)
        return UnexpectedBars(nothing, nothing.astype(np.int8), nothing)
    expected, _ = sessions.expected_bars(timeframe, int(held_starts[0]), int(held_starts[-1]) + 1)
    row = np.flatnonzero(~_contains(expected, held_starts))
    starts = held_starts[row]
    day = sessions.trading_dates(starts)
    session = np.minimum(np.searchsorted(sessions.label, day), len(sessions) - 1)
    place = np.where(starts < sessions.open[session], Place.BEFORE_OPEN, Place.AFTER_CLOSE).astype(np.int8)
    place[sessions.label[session] != day] = Place.CLOSED_DAY
    resting = (starts >= sessions.break_start[session]) & (starts < sessions.break_end[session])
    place[resting] = Place.IN_BREAK
    place[sessions.session_index(starts) >= 0] = Place.OFF_GRID
    return UnexpectedBars(row, place, day)


class AbsenceKind(IntEnum):
    """Why a day has no session, or a short one."""

    CLOSED = 1
    HALF_DAY = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Absence(NamedTuple):
    """A day on which an exchange trades less than usual. `day` is the exchange's date (days since 1970-01-01),
    `minutes` what it trades less than the sessions around it."""

    day: int
    kind: AbsenceKind
    minutes: int


def calendar_absences(sessions: SessionTable, start_ns: int, end_ns: int) -> list[Absence]:
    """The holidays and the short sessions (early closes, late openings) of the exchange dates that [start_ns, end_ns)
    touches, in time order: bars that nobody misses.

    A day without a session is a holiday where most of the same weekdays of the four weeks before and after have one:
    so a weekend is none, whichever days it has, and a calendar that once traded on Saturdays had free ones.
    """
    if end_ns <= start_ns:
        return []
    first, last = sessions.trading_dates(np.array([start_ns, end_ns - 1])).tolist()
    days = np.arange(first, last + 1)
    row = np.searchsorted(sessions.label, days).clip(0, len(sessions) - 1)
    is_traded = sessions.label[row] == days
    around = days[:, None] + 7 * np.array([-4, -3, -2, -1, 1, 2, 3, 4])
    is_known = (around >= sessions.label[0]) & (around <= sessions.label[-1])
    found = sessions.label[np.searchsorted(sessions.label, around).clip(0, len(sessions) - 1)] == around
    is_closed = ~is_traded & (2 * (found & is_known).sum(axis=1) > is_known.sum(axis=1))
    usual, length = sessions.usual_lengths(row), sessions.lengths()[row]
    is_short = is_traded & (length < usual)
    less = np.where(is_closed, usual, usual - length) // MINUTE_NS
    return [
        Absence(int(days[at]), AbsenceKind.CLOSED if is_closed[at] else AbsenceKind.HALF_DAY, int(less[at]))
        for at in np.flatnonzero(is_closed | is_short).tolist()
    ]


def _runs(
    numbers: NDArray[np.int64], starts: Times, ends: Times, explanations: Sequence[Explanation], expected: int
) -> Gaps:
    reason = np.zeros(len(numbers), np.int8)
    for explanation in explanations:
        reason[(starts >= explanation.start_ns) & (ends <= explanation.end_ns)] = explanation.reason
    if len(numbers) == 0:
        return Gaps(starts, ends, numbers, reason, expected, expected)
    new_run = (numbers[1:] != numbers[:-1] + 1) | (reason[1:] != reason[:-1])
    first = np.concatenate([[0], np.flatnonzero(new_run) + 1])
    last = np.append(first[1:], len(numbers)) - 1
    return Gaps(starts[first], ends[last], last - first + 1, reason[first], expected, expected - len(numbers))


def _contains(sorted_values: Times, wanted: Times) -> NDArray[np.bool_]:
    """Whether each wanted value is among the sorted ones."""
    if len(sorted_values) == 0:
        return np.zeros(len(wanted), np.bool_)
    near = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    return np.asarray(sorted_values[near] == wanted)


def _require_increasing(what: str, starts: Times) -> None:
    if len(starts) > 1 and not (starts[1:] > starts[:-1]).all():
        row = int(np.argmin(starts[1:] > starts[:-1])) + 1
        when = np.datetime64(int(starts[row]), "ns").astype("datetime64[s]")
        raise BadInput(f"gaps: {what} starts do not increase at row {row} ({when}Z); sort them and drop doubles")
