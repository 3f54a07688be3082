"""Gaps: which bars should be held and are not, and which are held and should not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import Times
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import Timeframe

Codes = NDArray[np.int8]


class GapClass(IntEnum):
    """Why bars are missing, as far as somebody has proven it; what nobody has explained is UNEXPECTED.

    Closed markets need no class: their bars are not expected in the first place.
    """

    UNEXPECTED = 0
    BEFORE_LISTING = 1
    AFTER_DELISTING = 2
    HALT = 3
    NO_TRADES = 4

    @property
    def label(self) -> str:
        return self.name.lower()


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
        rows = np.isin(self.reason, reasons)
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

    Counts the bars held in each span of trading and lays out only the spans whose count is wrong: 2 ms instead of 27
    for ten years of minutes. `held_starts` may reach beyond the range.
    """
    _require_increasing("held", held_starts)
    held = held_starts[slice(*np.searchsorted(held_starts, (start_ns, end_ns)))]
    spans = sessions.bar_spans(timeframe, start_ns, end_ns)
    counts = spans.counts()
    lo, hi = np.searchsorted(held, spans.open), np.searchsorted(held, spans.close)
    last_starts = spans.last_starts()
    # As many bars as expected, the first and the last in place and no two closer than a bar: then all are in place.
    whole = (hi - lo == counts) & (spans.open >= start_ns) & (last_starts < end_ns)
    rows = np.flatnonzero(whole)
    whole[rows] = (held[lo[rows]] == spans.open[rows]) & (held[hi[rows] - 1] == last_starts[rows])
    crowded = held[:-1][held[1:] - held[:-1] < spans.step]
    span_of_crowded = np.searchsorted(spans.open, crowded, side="right") - 1
    whole[span_of_crowded[span_of_crowded >= 0]] = False

    doubtful = np.flatnonzero(~whole)
    starts, ends = spans.take(doubtful).expand()
    # A bar's number in the whole range tells whether two missing bars are neighbours.
    first_number = np.cumsum(counts) - counts
    first_row = np.cumsum(counts[doubtful]) - counts[doubtful]
    numbers = np.repeat(first_number[doubtful] - first_row, counts[doubtful]) + np.arange(len(starts))
    asked = (starts >= start_ns) & (starts < end_ns)
    expected = int(counts.sum()) - int(np.count_nonzero(~asked))
    missing = np.flatnonzero(asked & ~_contains(held, starts))
    return _runs(numbers[missing], starts[missing], ends[missing], explanations, expected)


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
