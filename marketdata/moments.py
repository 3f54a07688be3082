"""Times between rows (aware UTC datetimes, microseconds) and arrays (int64 nanoseconds)."""

from __future__ import annotations

import datetime as dt

from domain.timeframe import DAY_NS

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def as_datetime(ns: int, up: bool = False) -> dt.datetime:
    """Rounded down, or up, to the microsecond that a database keeps."""
    whole, rest = divmod(ns, 1000)
    return _EPOCH + dt.timedelta(microseconds=whole + (up and rest > 0))


def as_ns(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def day_ns(day: dt.date) -> int:
    """Midnight UTC of a date."""
    return (day - _EPOCH.date()).days * DAY_NS
