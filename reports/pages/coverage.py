"""The coverage map: how many of the bars that the exchange's calendar expects are held, month by month or day by day,
and why the others are missing as far as somebody has proven it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from domain.bars import Times
from domain.coverage import count_between
from domain.gaps import AbsenceKind, GapClass, Gaps
from domain.timeframe import DAY_NS
from marketdata import calendars
from marketdata.holdings import Holding

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Each class by name and meaning. Its letter stands in the cells, so that colour is not the only signal.
CLASSES = {
    GapClass.UNEXPECTED: ("Unexplained", "nobody has said why: fetch or import them"),
    GapClass.BEFORE_LISTING: ("Before the listing", "the instrument was not traded yet"),
    GapClass.AFTER_DELISTING: ("After the delisting", "the instrument was not traded any more"),
    GapClass.HALT: ("Halt", "trading was halted"),
    GapClass.NO_TRADES: ("No trades", "the data source says that nobody traded"),
    GapClass.NO_PERMISSION: ("No permission", "IB asks for a subscription"),
    GapClass.FAILED: ("Failed", "IB did not answer; it is asked again"),
}
CLOSED, HALF_DAY = "-", "½"


class Cell(NamedTuple):
    """One month or day. `missing` by class, in the order of GapClass; `mark` is what a day's cell says of its hours."""

    expected: int
    missing: tuple[int, ...]
    closed: int = 0
    half_days: int = 0
    mark: str = ""

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
        return [GapClass(code).letter for code, count in enumerate(self.missing) if count]

    @property
    def title(self) -> str:
        """Empty where there is nothing to say: nothing was expected, and it was no holiday."""
        said = [f"{self.held:,} of {self.expected:,} bars"] if self.expected else []
        reasons = [
            f"{count:,} {CLASSES[GapClass(code)][0].lower()}" for code, count in enumerate(self.missing) if count
        ]
        if reasons:
            said.append(f"missing: {', '.join(reasons)}")
        for days, name in ((self.closed, "closed day"), (self.half_days, "half day")):
            if days:
                said.append(f"{days} {name}{'s' if days > 1 else ''}")
        return "; ".join(said)


class Row(NamedTuple):
    label: str
    cells: list[Cell]


NOTHING = Cell(0, (0,) * len(GapClass))


def months(found: Holding) -> list[Row]:
    """A row a year and a cell a month (UTC, by the bars' start) of the holding's whole range."""
    first, last = _numbers(np.array([found.since_ns, found.until_ns - 1]), "M").tolist()
    cells = _cells(found, "M", first, last)
    return [
        Row(str(1970 + year), [cells.get(12 * year + month, NOTHING) for month in range(12)])
        for year in range(first // 12, last // 12 + 1)
    ]


def days(found: Holding, year: int) -> list[Row]:
    """The same for one year: a row a month and a cell a day, up to 31 in each row. None where the range has no bar
    in it."""
    begin = int(np.datetime64(f"{year:04}-01-01", "D").astype(np.int64))
    end = int(np.datetime64(f"{year + 1:04}-01-01", "D").astype(np.int64))
    first, last = _numbers(np.array([found.since_ns, found.until_ns - 1]), "D").tolist()
    if last < begin or end <= first:
        return []
    cells = {
        day: cell._replace(mark=HALF_DAY if cell.half_days else CLOSED if cell.closed and not cell.expected else "")
        for day, cell in _cells(found, "D", max(first, begin), min(last, end - 1)).items()
    }
    rows = []
    for number, month in enumerate(MONTHS, 1):
        day = int(np.datetime64(f"{year:04}-{number:02}", "D").astype(np.int64))
        rows.append(Row(month, [cells.get(day + each, NOTHING) for each in range(_days_in(year, number))]))
    return rows


def _days_in(year: int, month: int) -> int:
    first = np.datetime64(f"{year:04}-{month:02}", "M")
    return int(((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64))


def _numbers(moments_ns: Times, unit: str) -> Times:
    return moments_ns.astype("datetime64[ns]").astype(f"datetime64[{unit}]").astype(np.int64)


def _cells(found: Holding, unit: Literal["M", "D"], first: int, last: int) -> dict[int, Cell]:
    """Cells of the months or days `first` to `last`, by their number since 1970."""
    if found.whole is None:
        return {}
    inner = np.arange(first, last + 2).astype(f"datetime64[{unit}]").astype("datetime64[ns]").astype(np.int64)
    edges = np.unique(np.clip(np.append(inner, (found.since_ns, found.until_ns)), found.since_ns, found.until_ns))
    counts = count_between(found.whole, calendars.sessions(found.instrument.calendar), found.held.timeframe, edges)
    cells = {
        number: Cell(expected, tuple(missing))
        for number, expected, missing in zip(
            _numbers(edges[:-1], unit).tolist(), counts.expected.tolist(), counts.missing.tolist(), strict=True
        )
        if first <= number <= last
    }
    for absence in found.absences():
        number = absence.day if unit == "D" else int(_numbers(np.array([absence.day * DAY_NS]), "M")[0])
        if first <= number <= last:
            cell = cells.get(number, NOTHING)
            is_closed = absence.kind is AbsenceKind.CLOSED
            cells[number] = cell._replace(closed=cell.closed + is_closed, half_days=cell.half_days + (not is_closed))
    return cells


def legend(gaps: Gaps) -> list[dict[str, Any]]:
    """Every class with its letter, name, meaning and how many bars are missing for it."""
    return [
        {
            "letter": code.letter,
            "name": name,
            "meaning": meaning,
            "bars": int(gaps.missing[gaps.reason == code].sum()),
            "gaps": int((gaps.reason == code).sum()),
            "class": code.label,
        }
        for code, (name, meaning) in CLASSES.items()
    ]


def largest(gaps: Gaps, count: int) -> list[dict[str, Any]]:
    """The gaps with the most bars, the largest first."""
    rows = np.argsort(-gaps.missing, kind="stable")[:count].tolist()
    return [
        {
            "start": int(gaps.start[row]),
            "end": int(gaps.end[row]),
            "missing": int(gaps.missing[row]),
            "letter": GapClass(int(gaps.reason[row])).letter,
            "name": CLASSES[GapClass(int(gaps.reason[row]))][0],
            "meaning": CLASSES[GapClass(int(gaps.reason[row]))][1],
        }
        for row in rows
    ]
