"""When the simulated exchanges trade: session tables made from rules and time zones, without a calendar library.

All tables run over whole days from `FIRST_DAY` to `LAST_DAY`; a session's label is its trading day, which for an
overnight market is the day on which it closes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from domain.sessions import Days, SessionTable
from domain.timeframe import DAY_NS, MINUTE_NS, SECOND_NS

EASTERN, CENTRAL = "US/Eastern", "US/Central"
FIRST_DAY, LAST_DAY = date(1998, 1, 1), date(2035, 12, 31)

_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 3, 4, 5, 6
# The attack of 2001, days of mourning and the hurricane of 2012, which no rule foretells.
_UNFORESEEN = frozenset(
    {
        date(2001, 9, 11),
        date(2001, 9, 12),
        date(2001, 9, 13),
        date(2001, 9, 14),
        date(2004, 6, 11),
        date(2007, 1, 2),
        date(2012, 10, 29),
        date(2012, 10, 30),
        date(2018, 12, 5),
        date(2025, 1, 9),
    }
)
_JUNETEENTH_SINCE = 2022
# Until then 3 July was a half day only where it was a Monday, Tuesday or Thursday, and the Friday after one was.
_JULY_RULE_SINCE = 2013


class Hours(NamedTuple):
    """Minutes of the local day from which to which one trading day runs; `opens` < 0 is on the evening before."""

    opens: int
    closes: int


Rule = Callable[[date], Hours | None]


def _hm(clock: int) -> int:
    """Minutes of 930, 1600 …"""
    return clock // 100 * 60 + clock % 100


def _evening(clock: int) -> int:
    return _hm(clock) - 1440


# Holidays


@cache
def us_holidays(year: int) -> frozenset[date]:
    """The full-day closings of the New York stock exchange."""
    days = {
        _nth(year, 1, _MONDAY, 3),
        _nth(year, 2, _MONDAY, 3),
        easter(year) - timedelta(days=2),
        _nth(year, 6, _MONDAY, 1) - timedelta(days=7),
        _observed(date(year, 7, 4)),
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 11, _THURSDAY, 4),
        _observed(date(year, 12, 25)),
    }
    # A New Year's Day on a Saturday is not made up for on the last day of the old year.
    if date(year, 1, 1).weekday() != _SATURDAY:
        days.add(_observed(date(year, 1, 1)))
    if year >= _JUNETEENTH_SINCE:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days | {day for day in _UNFORESEEN if day.year == year})


@cache
def us_half_days(year: int) -> frozenset[date]:
    """The days on which the New York stock exchange closes at 13:00."""
    days = {_nth(year, 11, _THURSDAY, 4) + timedelta(days=1), date(year, 12, 24)}
    third = date(year, 7, 3)
    if year >= _JULY_RULE_SINCE or third.weekday() in (0, 1, 3):
        days.add(third)
    elif third.weekday() == 2:
        days.add(date(year, 7, 5))
    return frozenset(day for day in days if day.weekday() < _SATURDAY and day not in us_holidays(year))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar."""
    century, golden = year // 100, year % 19
    skipped = century - century // 4 - (8 * century + 13) // 25
    epact = (skipped + 19 * golden + 15) % 30
    epact -= epact // 28 * (1 - epact // 28 * (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    past = epact - weekday
    month = 3 + (past + 40) // 44
    return date(year, month, past + 28 - 31 * (month // 4))


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == _SUNDAY else day


# Tables


def us_stocks() -> SessionTable:
    """9:30 to 16:00, half days to 13:00."""
    return _table("US regular", EASTERN, _stocks(_hm(930), _hm(1600), _hm(1300)))


def us_stocks_extended() -> SessionTable:
    """4:00 to 20:00, half days to 17:00."""
    return _table("US extended", EASTERN, _stocks(_hm(400), _hm(2000), _hm(1700)))


def us_index(closes: int = 1500) -> SessionTable:
    """An index of Chicago's options exchange: from 8:30 to `closes`, the time there."""
    return _table(f"CBOE {closes}", CENTRAL, _stocks(_hm(830), _hm(closes), _hm(closes) - 180))


def cme_equity() -> SessionTable:
    """Index futures: 17:00 to 16:00 in Chicago; on US holidays to noon, on half days to 12:15."""
    return _table("CME equity", CENTRAL, _futures(_evening(1700), _hm(1600), _hm(1200), _hm(1215)))


def cme_equity_regular() -> SessionTable:
    return _table("CME equity regular", CENTRAL, _futures(_hm(830), _hm(1600), _hm(1200), _hm(1215)))


def nymex() -> SessionTable:
    """Energy and metals: 18:00 to 17:00 in New York; on US holidays to 13:00, on half days to 13:45."""
    return _table("NYMEX", EASTERN, _futures(_evening(1800), _hm(1700), _hm(1300), _hm(1345)))


def nymex_regular(opens: int, closes: int) -> SessionTable:
    """The hours of the old trading floor, 900 and 1430 or the like."""
    return _table(f"NYMEX {opens}-{closes}", EASTERN, _futures(_hm(opens), _hm(closes), _hm(1300), _hm(1345)))


def forex() -> SessionTable:
    """17:15 to 17:00 in New York, Sunday evening to Friday; shut on Christmas and New Year's Day."""
    return _table("IDEALPRO", EASTERN, _forex)


def _stocks(opens: int, closes: int, half: int) -> Rule:
    def rule(day: date) -> Hours | None:
        if day in us_holidays(day.year):
            return None
        return Hours(opens, half if day in us_half_days(day.year) else closes)

    return rule


def _futures(opens: int, closes: int, holiday: int, half: int) -> Rule:
    def rule(day: date) -> Hours | None:
        if day == easter(day.year) - timedelta(days=2) or _is_year_end(day):
            return None
        if day in us_holidays(day.year) and day not in _UNFORESEEN:
            return Hours(opens, min(closes, holiday))
        return Hours(opens, min(closes, half) if day in us_half_days(day.year) else closes)

    return rule


def _forex(day: date) -> Hours | None:
    return None if (day.month, day.day) in ((12, 25), (1, 1)) else Hours(_evening(1715), _hm(1700))


def _is_year_end(day: date) -> bool:
    return day in us_holidays(day.year) and ((day.month == 12 and day.day > 20) or (day.month == 1 and day.day < 3))


_tables: dict[str, SessionTable] = {}


def _table(name: str, zone: str, rule: Rule) -> SessionTable:
    if name not in _tables:
        rows = [(day.toordinal() - _EPOCH, *hours) for day in _weekdays() if (hours := rule(day)) is not None]
        label, opens, closes = np.array(rows, np.int64).T
        open_ns, offset = _utc(zone, label, opens)
        _tables[name] = SessionTable(name, label, open_ns, _utc(zone, label, closes)[0], utc_offset=offset)
    return _tables[name]


_EPOCH = date(1970, 1, 1).toordinal()


def _weekdays() -> Iterator[date]:
    day = FIRST_DAY
    while day <= LAST_DAY:
        if day.weekday() < _SATURDAY:
            yield day
        day += timedelta(days=1)


def _utc(zone: str, label: Days, minutes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(UTC nanoseconds, offset) of local times; the clocks change on Sundays at two, when nothing here trades."""
    offset = _offsets(zone)[label + minutes // 1440 - (FIRST_DAY.toordinal() - _EPOCH) + 1]
    return label * DAY_NS + minutes * MINUTE_NS - offset, offset


@cache
def _offsets(zone: str) -> NDArray[np.int64]:
    """Local time minus UTC at noon of each day from the one before FIRST_DAY to LAST_DAY."""
    where = ZoneInfo(zone)
    noon = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=UTC) - timedelta(days=1)
    days = (LAST_DAY - FIRST_DAY).days + 2
    seconds = [_offset_seconds(noon + timedelta(days=n), where) for n in range(days)]
    return np.array(seconds, np.int64) * SECOND_NS


def _offset_seconds(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset() or timedelta()
    return round(offset.total_seconds())
