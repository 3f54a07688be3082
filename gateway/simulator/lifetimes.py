"""When an order may trade and when it ends: sessions, times in force, and IB's ways to write a time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Protocol
from zoneinfo import ZoneInfo

from domain.errors import BadInput
from gateway.simulator.records import WireOrder
from gateway.simulator.working import FOREVER

SECOND_NS = 1_000_000_000
_WRITTEN = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(-| )(\d\d):(\d\d):(\d\d)(?: (\S+))?)?")
# Names of zones that IB writes where the tz database has another.
_SPOKEN = {"America/New_York": "US/Eastern", "America/Chicago": "US/Central"}
_SHORT = {"EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago"}


class Hours(Protocol):
    def session(self, con_id: int, now_ns: int, outside_rth: bool) -> tuple[int, int] | None: ...

    def next_open(self, con_id: int, now_ns: int, outside_rth: bool) -> int: ...


def window_at(hours: Hours, con_id: int, now_ns: int, outside_rth: bool) -> tuple[int, int]:
    """(open, close) of the session that is on at `now_ns`, else of the next one; both FOREVER where none comes."""
    found = hours.session(con_id, now_ns, outside_rth)
    if found is not None:
        return found
    try:
        opens = hours.next_open(con_id, now_ns, outside_rth)
    except BadInput:
        return FOREVER, FOREVER
    return hours.session(con_id, opens, outside_rth) or (FOREVER, FOREVER)


def moment(text: str, zone: str, *, whole_day_ends: bool = False) -> int:
    """The time of `yyyymmdd hh:mm:ss [zone]` or `yyyymmdd-hh:mm:ss` (UTC), in nanoseconds; BadInput where it is none.

    A date alone is its midnight, or with `whole_day_ends` the last second of it; no zone is the exchange's.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{text!r} is not a time like 20261123 09:30:00 US/Eastern")
    year, month, day, mark, hour, minute, second, named = match.groups()
    try:
        when = date(int(year), int(month), int(day))
        at = clock_time(int(hour), int(minute), int(second)) if mark else clock_time()
        where = UTC if mark == "-" else ZoneInfo(_SHORT.get(named, named) if named else zone)
    except (ValueError, KeyError, OSError, OverflowError) as error:
        raise BadInput(f"{text!r} is not a time: {error}") from error
    moment_ns = min(max(round(datetime.combine(when, at, where).timestamp()) * SECOND_NS, 0), FOREVER)
    if whole_day_ends and not mark and moment_ns < FOREVER:
        return midnight_after(moment_ns, zone) - SECOND_NS
    return moment_ns


def spoken(moment_ns: int, zone: str) -> str:
    """`2026-11-23 09:30:00 US/Eastern`."""
    local = datetime.fromtimestamp(moment_ns / 1e9, ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {_SPOKEN.get(zone, zone)}"


def midnight_after(now_ns: int, zone: str) -> int:
    """The next midnight at the exchange, after `now_ns`."""
    where = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_ns // SECOND_NS, where).date()
    return round(datetime.combine(today + timedelta(days=1), clock_time(), where).timestamp()) * SECOND_NS


def midnight_before(now_ns: int, zone: str) -> int:
    """The last midnight at the exchange, at or before `now_ns`."""
    where = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_ns // SECOND_NS, where).date()
    return round(datetime.combine(today, clock_time(), where).timestamp()) * SECOND_NS


def lifetime(hours: Hours, con_id: int, zone: str, order: WireOrder, now_ns: int) -> tuple[int, int, tuple[int, int]]:
    """(start, end, first session) of an order that reaches the exchange now."""
    starts_ns = now_ns
    if order.good_after_time:
        starts_ns = max(now_ns, moment(order.good_after_time, zone))
    if order.tif == "OPG":
        opens = hours.next_open(con_id, starts_ns, False)
        window = hours.session(con_id, opens, False) or (FOREVER, FOREVER)
        return opens, opens + SECOND_NS, window
    window = window_at(hours, con_id, starts_ns, order.outside_rth)
    if order.tif == "GTD":
        return starts_ns, moment(order.good_till_date, zone, whole_day_ends=True), window
    return starts_ns, FOREVER if order.tif == "GTC" else window[1], window


__all__ = ["Hours", "lifetime", "midnight_after", "midnight_before", "moment", "spoken", "window_at"]
