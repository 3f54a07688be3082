"""When a schedule is due, against days read from the calendar by hand."""

import datetime as dt

import numpy as np
import pytest

from domain.schedule import Every, Moment, next_slot
from domain.sessions import SessionTable
from marketdata import calendars


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def slot(every: str, moment: str, offset: int, after: str) -> str | None:
    found = next_slot(calendars.sessions("XNYS"), Every(every), Moment(moment), offset, at(after))
    return None if found is None else dt.datetime.fromtimestamp(found / 1e9, dt.UTC).isoformat()[:16]


@pytest.mark.parametrize(
    ("every", "moment", "offset", "after", "due"),
    [
        # Thanksgiving 2024 was Thursday 28 November, and Friday a half day that closed at 13:00 in New York.
        ("session", "close", 30, "2024-11-27T12:00Z", "2024-11-27T21:30"),
        ("session", "close", 30, "2024-11-27T21:30Z", "2024-11-29T18:30"),
        ("session", "open", -60, "2024-11-29T18:30Z", "2024-12-02T13:30"),
        ("week", "close", 0, "2024-11-26T00:00Z", "2024-11-29T18:00"),
        ("week", "close", 0, "2024-11-29T18:00Z", "2024-12-06T21:00"),
        # Good Friday 2024 was 29 March: the last session of that week and of that month was the Thursday.
        ("week", "close", 0, "2024-03-26T00:00Z", "2024-03-28T20:00"),
        ("month", "close", 15, "2024-03-01T00:00Z", "2024-03-28T20:15"),
        # Summer time began on 10 March 2024: the close moved from 21:00 to 20:00 UTC.
        ("session", "close", 0, "2024-03-08T21:00Z", "2024-03-11T20:00"),
    ],
)
def test_slots_follow_sessions_half_days_holidays_and_summer_time(every, moment, offset, after, due):
    assert slot(every, moment, offset, after) == due


def test_after_the_end_of_the_calendar_nothing_is_due_and_its_last_week_is_not_known_to_be_over():
    day = 86_400_000_000_000
    label = np.array([4, 5, 6], np.int64)  # Monday 5 January 1970 to Wednesday
    table = SessionTable("X", label, label * day, label * day + day // 3)
    assert next_slot(table, Every.SESSION, Moment.CLOSE, 0, 6 * day + day // 3) is None
    assert next_slot(table, Every.WEEK, Moment.CLOSE, 0, 0) is None
    assert next_slot(table, Every.SESSION, Moment.OPEN, 0, 0) == 4 * day


def test_walking_from_slot_to_slot_meets_every_session_once():
    sessions = calendars.sessions("XNYS")
    first, last = at("2015-01-01T00:00Z"), at("2020-01-01T00:00Z")
    moment, found = first, []
    while (moment := next_slot(sessions, Every.SESSION, Moment.CLOSE, 45, moment)) < last:
        found.append(moment - 45 * 60_000_000_000)
    expected = sessions.close[(sessions.close > first) & (sessions.close < last)]
    assert found == expected.tolist()
