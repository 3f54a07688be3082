"""The coverage map: how many of the bars that the exchange's calendar expects are held, month by month or day by day,
and why the others are missing as far as somebody has proven it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from domain.gaps import GapClass, Gaps
from domain.sessions import SessionTable
from domain.timeframe import Timeframe

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# The letter stands in the cells, so that colour is not the only signal.
CLASSES = {
    GapClass.UNEXPECTED: ("?", "Unexplained", "nobody has said why: fetch or import them"),
    GapClass.BEFORE_LISTING: ("L", "Before the listing", "the instrument was not traded yet"),
    GapClass.AFTER_DELISTING: ("X", "After the delisting", "the instrument was not traded any more"),
    GapClass.HALT: ("H", "Halt", "trading was halted"),
    GapClass.NO_TRADES: ("N", "No trades", "the data source says that nobody traded"),
    GapClass.NO_PERMISSION: ("P", "No permission", "IB asks for a subscription"),
    GapClass.FAILED: ("F", "Failed", "IB did not answer; it is asked again"),
}


class Cell(NamedTuple):
    """One month or day. `missing` by class, in the order of GapClass."""

    expected: int
    missing: tuple[int, ...]

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
            return ""
        return f"{100 * self.held // self.expected}{''.join(self.letters)}"

    @property
    def letters(self) -> list[str]:
        return [CLASSES[GapClass(code)][0] for code, count in enumerate(self.missing) if count]

    @property
    def title(self) -> str:
        reasons = [
            f"{count:,} {CLASSES[GapClass(code)][1].lower()}" for code, count in enumerate(self.missing) if count
        ]
        return f"{self.held:,} of {self.expected:,} bars" + (f"; missing: {', '.join(reasons)}" if reasons else "")


class Row(NamedTuple):
    label: str
    cells: list[Cell]


NOTHING = Cell(0, (0,) * len(GapClass))


def months(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, start_ns: int, end_ns: int) -> list[Row]:
    """A row a year and a cell a month (UTC, by the bars' start) of the range that `gaps` were looked for in."""
    count = _counts(gaps, sessions, timeframe, start_ns, end_ns, "datetime64[M]")
    if not count:
        return []
    first, last = min(count) // 12, max(count) // 12
    return [
        Row(str(1970 + year), [count.get(12 * year + month, NOTHING) for month in range(12)])
        for year in range(first, last + 1)
    ]


def days(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, start_ns: int, end_ns: int, year: int) -> list[Row]:
    """The same for one year: a row a month and a cell a day, 31 in each row."""
    lo, hi = (int(np.datetime64(f"{each:04}-01-01", "ns").astype(np.int64)) for each in (year, year + 1))
    start_ns, end_ns = max(start_ns, lo), min(end_ns, hi)
    if start_ns >= end_ns:
        return []
    count = _counts(gaps, sessions, timeframe, start_ns, end_ns, "datetime64[D]")
    rows = []
    for number, month in enumerate(MONTHS, 1):
        day = int(np.datetime64(f"{year:04}-{number:02}", "D").astype(np.int64))
        rows.append(Row(month, [count.get(day + each, NOTHING) for each in range(_days_in(year, number))]))
    return rows


def _days_in(year: int, month: int) -> int:
    first = np.datetime64(f"{year:04}-{month:02}", "M")
    return int(((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64))


def _counts(
    gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, start_ns: int, end_ns: int, unit: str
) -> dict[int, Cell]:
    """Cells by number of month or day since 1970."""
    expected, _ = sessions.expected_bars(timeframe, start_ns, end_ns)
    if not len(expected):
        return {}
    # A gap is a run of expected bars without one that is held, so the bars inside it are those missing.
    gap = np.searchsorted(gaps.start, expected, side="right") - 1
    is_missing = (gap >= 0) & (expected < gaps.end[gap]) if len(gaps) else np.zeros(len(expected), np.bool_)
    bucket = expected.astype("datetime64[ns]").astype(unit).astype(np.int64)
    base = int(bucket[0])
    total = np.bincount(bucket - base)
    by_class = [
        np.bincount(bucket[of_class] - base, minlength=len(total))
        for of_class in (
            (is_missing & (gaps.reason[gap] == code)) if len(gaps) else is_missing for code in range(len(GapClass))
        )
    ]
    return {
        base + row: Cell(int(total[row]), tuple(int(column[row]) for column in by_class))
        for row in np.flatnonzero(total).tolist()
    }


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
