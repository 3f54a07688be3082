"""The coverage map: how many of the bars that the exchange's calendar expects are held, month by month or day by day,
and why the others are missing as far as somebody has proven it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from domain.coverage import count_between
from domain.gaps import Absence, AbsenceKind, GapClass, Gaps
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# The letter stands in the cells, so that colour is not the only signal.
_TOLD = {
    GapClass.UNEXPECTED: ("Unexplained", "nobody has said why: load or import them"),
    GapClass.BEFORE_LISTING: ("Before the listing", "the instrument was not traded yet"),
    GapClass.AFTER_DELISTING: ("After the delisting", "the instrument was not traded any more"),
    GapClass.HALT: ("Halt", "trading was halted"),
    GapClass.NO_TRADES: ("No trades", "the data source says that nobody traded"),
    GapClass.NO_PERMISSION: ("No permission", "IB asks for a subscription"),
    GapClass.FAILED: ("Failed", "IB did not answer; it is asked again"),
}
CLASSES = {code: (code.letter, *told) for code, told in _TOLD.items()}

CLOSED, HALF_DAY, BEFORE = "C", "½", GapClass.BEFORE_LISTING.letter


class Cell(NamedTuple):
    """One month or day. `missing` by class, in the order of GapClass; `mark` and `note` say what the calendar, or the
    beginning of IB's history, has to do with it."""

    expected: int
    missing: tuple[int, ...]
    mark: str = ""
    note: str = ""

    @property
    def held(self) -> int:
        return self.expected - sum(self.missing)

    @property
    def level(self) -> str:
        """closed (nothing expected), full, most (from 95 %), part, none."""
        if not self.expected:
            return "closed"
        share = self.held / self.expected
        return "full" if share == 1 else "most" if share >= 0.95 else "part" if share > 0 else "none"

    @property
    def text(self) -> str:
        """What is held in per cent, rounded down so that 100 means all, and the letters of what is missing."""
        if not self.expected:
            return self.mark
        return f"{100 * self.held // self.expected}{''.join(self.letters)}{self.mark}"

    @property
    def letters(self) -> list[str]:
        return [CLASSES[GapClass(code)][0] for code, count in enumerate(self.missing) if count]

    @property
    def title(self) -> str:
        reasons = [
            f"{count:,} {CLASSES[GapClass(code)][1].lower()}" for code, count in enumerate(self.missing) if count
        ]
        told = [f"{self.held:,} of {self.expected:,} bars"] if self.expected else []
        told += [f"missing: {', '.join(reasons)}"] if reasons else []
        return "; ".join([*told, *([self.note] if self.note else [])])


class Row(NamedTuple):
    label: str
    cells: list[Cell]


class Span(NamedTuple):
    """[start_ns, end_ns) that gaps were looked for in. `head_ns`: where IB's history begins, if that is known."""

    start_ns: int
    end_ns: int
    head_ns: int | None = None


NOTHING = Cell(0, (0,) * len(GapClass))
TOO_EARLY = Cell(0, (0,) * len(GapClass), BEFORE, "before IB's history begins")


def months(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, span: Span) -> list[Row]:
    """A row a year and a cell a month (UTC, by the bars' start) of the span."""
    first, last = (_month(each) for each in (span.start_ns, span.end_ns - 1))
    begins = [_month_ns(month) for month in range(first, last + 2)]
    counted = _cells(gaps, sessions, timeframe, span, begins)
    if not any(cell.expected for cell in counted):
        return []
    cells = {first + row: cell for row, cell in enumerate(counted)}
    return [
        Row(
            str(1970 + year),
            [cells.get(12 * year + month, _empty(_month_ns(12 * year + month + 1), span)) for month in range(12)],
        )
        for year in range(first // 12, last // 12 + 1)
    ]


def days(
    gaps: Gaps,
    sessions: SessionTable,
    timeframe: Timeframe,
    span: Span,
    year: int,
    absences: Iterable[Absence] = (),
) -> list[Row]:
    """The same for one year: a row a month and a cell a day, 31 in each row. Marks holidays and half days (`absences`),
    on the exchange's dates."""
    first, last = (int(np.datetime64(f"{each:04}-01-01", "D").astype(np.int64)) for each in (year, year + 1))
    if max(span.start_ns, first * DAY_NS) >= min(span.end_ns, last * DAY_NS):
        return []
    counted = _cells(gaps, sessions, timeframe, span, [day * DAY_NS for day in range(first, last + 1)])
    cells = [
        _empty((first + row + 1) * DAY_NS, span) if not cell.expected else cell for row, cell in enumerate(counted)
    ]
    for each in absences:
        if first <= each.day < last:
            cells[each.day - first] = _marked(cells[each.day - first], each)
    rows = []
    for number, month in enumerate(MONTHS, 1):
        day = int(np.datetime64(f"{year:04}-{number:02}", "D").astype(np.int64)) - first
        rows.append(Row(month, cells[day : day + _days_in(year, number)]))
    return rows


def _marked(cell: Cell, absence: Absence) -> Cell:
    if absence.kind is AbsenceKind.CLOSED:
        # A session of a market that trades at night may have the holiday's date in UTC.
        return cell if cell.expected else cell._replace(mark=CLOSED, note="the exchange was closed: a holiday")
    note = f"half day: {absence.minutes} minutes less than usual"
    return cell._replace(mark=HALF_DAY, note=note) if cell.expected else cell


def _empty(end_ns: int, span: Span) -> Cell:
    return TOO_EARLY if span.head_ns is not None and end_ns <= span.head_ns else NOTHING


def _month(moment_ns: int) -> int:
    return int(np.datetime64(moment_ns, "ns").astype("datetime64[M]").astype(np.int64))


def _month_ns(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[ns]").astype(np.int64))


def _days_in(year: int, month: int) -> int:
    first = np.datetime64(f"{year:04}-{month:02}", "M")
    return int(((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64))


def _cells(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, span: Span, begins: list[int]) -> list[Cell]:
    """A cell for what lies between each two of `begins`, as far as it is in the span."""
    inner = np.clip(np.array(begins, np.int64), span.start_ns, span.end_ns)
    counts = count_between(gaps, sessions, timeframe, np.array([span.start_ns, *inner, span.end_ns], np.int64))
    return [
        Cell(expected, tuple(missing))
        for expected, missing in zip(counts.expected[1:-1].tolist(), counts.missing[1:-1].tolist(), strict=True)
    ]


def legend(gaps: Gaps) -> list[dict[str, Any]]:
    """Every class with its letter, name, meaning and how many bars are missing for it."""
    return [
        {
            "letter": letter,
            "name": name,
            "meaning": meaning,
            "bars": int(gaps.missing[gaps.reason == code].sum()),
            "gaps": int((gaps.reason == code).sum()),
            "class": code.label,
        }
        for code, (letter, name, meaning) in CLASSES.items()
    ]


def largest(gaps: Gaps, count: int) -> list[dict[str, Any]]:
    """The gaps with the most bars, the largest first."""
    rows = np.argsort(-gaps.missing, kind="stable")[:count].tolist()
    return [
        {
            "start": int(gaps.start[row]),
            "end": int(gaps.end[row]),
            "missing": int(gaps.missing[row]),
            "letter": CLASSES[GapClass(int(gaps.reason[row]))][0],
            "name": CLASSES[GapClass(int(gaps.reason[row]))][1],
            "meaning": CLASSES[GapClass(int(gaps.reason[row]))][2],
        }
        for row in rows
    ]
