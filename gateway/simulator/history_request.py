"""What a request for history asks for, checked as IB checks it, and the words in which IB refuses."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, SECOND_NS
from gateway.simulator import requests
from gateway.simulator.bar_sizes import (
    BAR_SIZES,
    DAY,
    BarSize,
    Duration,
    bar_size,
    duration,
    is_longer_than_a_year,
    is_within_guidelines,
)
from gateway.simulator.records import Listing

WHATS = (
    "TRADES",
    "MIDPOINT",
    "BID",
    "ASK",
    "BID_ASK",
    "ADJUSTED_LAST",
    "HISTORICAL_VOLATILITY",
    "OPTION_IMPLIED_VOLATILITY",
    "SCHEDULE",
)
# What a kind of contract has none of.
_LACKING = {
    "CASH": ("TRADES", "ADJUSTED_LAST", "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY"),
    "IND": ("MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST"),
    "FUT": ("ADJUSTED_LAST", "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY"),
}
_SHORT_SECONDS, _SHORT_KEPT_DAYS = 30, 183
_EXPIRED_KEPT_DAYS = 730
_NAMES_OF_WHAT = {"TRADES": "Trades", "MIDPOINT": "Midpoint", "BID": "Bid", "ASK": "Ask", "BID_ASK": "Bid_Ask"}

NO_DEFINITION = "No security definition has been found for the request"
BAD_END = (
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx"
    " where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern  Note that there is a space between"
    " the date and time, and between the time and time-zone.  If no date is specified, current date is assumed. If no"
    " time-zone is specified, local time-zone is assumed(deprecated).  You can also provide yyyymmddd-hh:mm:ss time is"
    " in UTC. Note that there is a dash between the date and time in UTC notation."
)
NO_ZONE = (
    "Warning: You submitted request with date-time attributes without explicit time zone. Please switch to use"
    " yyyymmdd-hh:mm:ss in UTC or use instrument time zone, like {zone}. Implied time zone functionality will be"
    " removed in the next API release"
)


class Refusal(NamedTuple):
    code: int
    text: str


class Wish(NamedTuple):
    """A request that can be served. `listing` is the one it means, [start_ns, end_ns) the time it asks for."""

    listing: Listing
    size: BarSize
    what: str
    use_rth: bool
    start_ns: int
    end_ns: int
    warning: Refusal | None = None


def service_error(text: str) -> Refusal:
    return Refusal(162, f"Historical Market Data Service error message:{text}")


def no_data(listing: Listing, what: str) -> Refusal:
    contract = listing.contract
    name = contract.local_symbol if contract.sec_type in ("CASH", "FUT") else contract.symbol
    shown = _NAMES_OF_WHAT.get(what, what.capitalize())
    return service_error(f"HMDS query returned no data: {name}@{contract.exchange} {shown}")


def no_permission(listing: Listing) -> Refusal:
    exchange = listing.contract.primary_exchange or listing.contract.exchange
    return service_error(f"No market data permissions for {exchange} {listing.contract.sec_type}")


def pacing_violation() -> Refusal:
    return service_error("Historical data request pacing violation")


def cancelled(request_id: int) -> Refusal:
    return service_error(f"API historical data query cancelled: {request_id}")


def unknown_query(request_id: int) -> Refusal:
    return Refusal(366, f"No historical data query found for ticker id:{request_id}")


def invalid(cause: str) -> Refusal:
    return Refusal(321, f"Error validating request.-'bH' : cause - {cause}")


def read(
    request: requests.HistoricalData, found: list[Listing], now_ns: int, *, strict: bool = False
) -> Wish | Refusal:
    """The wish of a request for bars, `found` being what its contract may mean; `strict` enforces IB's guidelines."""
    size, length = bar_size(request.bar_size), duration(request.duration)
    if request.legs:
        return invalid("Historical data of combinations is not simulated")
    if size is None:
        legal = ", ".join(each.text for each in BAR_SIZES)
        return invalid(f"Historical data bar size setting is invalid. Legal ones are: {legal}")
    if length is None:
        return invalid("Incorrect or incomplete duration string. Correct format is: n S|D|W|M|Y")
    if is_longer_than_a_year(length):
        return invalid("Historical data requests for durations longer than 365 days must be made in years.")
    if request.what not in WHATS:
        return invalid(f"Historical data query type {request.what} is invalid. Legal ones are: {', '.join(WHATS)}")
    if request.date_format not in (1, 2):
        return invalid("Date format must be 1 or 2")
    refusal = _impossible(request, size, length, strict)
    if refusal is not None:
        return refusal
    listing = the_one(request.contract.symbol or str(request.contract.con_id), found)
    if isinstance(listing, Refusal):
        return listing
    end = read_time(request.end, listing.zone, now_ns)
    if end is None:
        return Refusal(10314, BAD_END)
    end_ns, has_zone = end
    warning = None if has_zone else Refusal(2174, NO_ZONE.format(zone=listing.zone))
    if lacks(listing, request.what):
        return no_data(listing, request.what)
    end_ns = min(end_ns, now_ns)
    if _is_too_old(listing, size, end_ns, now_ns):
        return no_data(listing, request.what)
    table = listing.regular if request.use_rth else listing.trading
    start_ns = began(length, size, table, end_ns)
    return Wish(listing, size, request.what, request.use_rth, start_ns, end_ns, warning)


def lacks(listing: Listing, what: str) -> bool:
    return what in _LACKING.get(listing.contract.sec_type, ())


def the_one(name: str, found: list[Listing]) -> Listing | Refusal:
    if len(found) == 1:
        return found[0]
    return Refusal(200, f"The contract description specified for {name} is ambiguous." if found else NO_DEFINITION)


def _impossible(request: requests.HistoricalData, size: BarSize, length: Duration, strict: bool) -> Refusal | None:
    if request.end and request.keep_up_to_date:
        return invalid("End Date/Time is not supported with keep up to date requests")
    if request.end and request.what == "ADJUSTED_LAST":
        return invalid("End Date/Time is not supported with adjusted last")
    if request.keep_up_to_date and size.seconds == 1:
        return invalid("Keep up to date requests need bars of 5 seconds or more")
    if request.what in ("HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "SCHEDULE") and size != DAY:
        return invalid(f"{request.what} needs a bar size of 1 day")
    if strict and not is_within_guidelines(length, size):
        return service_error(f"invalid step: {size.text} for a duration of {request.duration}")
    return None


def _is_too_old(listing: Listing, size: BarSize, end_ns: int, now_ns: int) -> bool:
    if size.is_intraday and size.seconds <= _SHORT_SECONDS and end_ns < now_ns - _SHORT_KEPT_DAYS * DAY_NS:
        return True
    return int(listing.trading.close[-1]) < now_ns - _EXPIRED_KEPT_DAYS * DAY_NS


# Times

_TIME = re.compile(r"(?:(\d{8}) )?(\d{1,2}):(\d\d):(\d\d)(?: ([A-Za-z][\w/+-]*))?")
_UTC_TIME = re.compile(r"(\d{8})-(\d{1,2}):(\d\d):(\d\d)")


def read_time(text: str, zone: str, now_ns: int) -> tuple[int, bool] | None:
    """(nanoseconds, whether the text says its zone); now where it is empty, None where it cannot be read.

    Without a date it is today's in its zone; without a zone the instrument's is meant.
    """
    text = text.strip()
    if not text:
        return now_ns, True
    if dashed := _UTC_TIME.fullmatch(text):
        moment = _moment(dashed[1], dashed[2], dashed[3], dashed[4], "UTC")
        return None if moment is None else (moment, True)
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    name = found[5] or zone
    try:
        where = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
    date = found[1] or f"{datetime.fromtimestamp(now_ns // SECOND_NS, UTC).astimezone(where):%Y%m%d}"
    moment = _moment(date, found[2], found[3], found[4], name)
    return None if moment is None else (moment, found[5] is not None)


def _moment(date: str, hour: str, minute: str, second: str, zone: str) -> int | None:
    try:
        local = datetime(
            int(date[:4]), int(date[4:6]), int(date[6:]), int(hour), int(minute), int(second), tzinfo=ZoneInfo(zone)
        )
        return int(local.timestamp()) * SECOND_NS
    except (ValueError, OverflowError):
        return None


def began(length: Duration, size: BarSize, table: SessionTable, end_ns: int) -> int:
    """When the time asked for begins: seconds and days are of trading, weeks, months and years of the calendar.

    Days and longer begin with a session, a day being one; of an intraday bar none is cut in two.
    """
    row = int(np.searchsorted(table.open, end_ns)) - 1
    if row < 0:
        return end_ns
    if length.unit == "S":
        return _seconds_back(length.number, size, table, row, end_ns)
    if length.unit == "D":
        return int(table.open[max(row - length.number + 1, 0)])
    last = np.datetime64((end_ns + int(table.utc_offset[row])) // DAY_NS, "D")
    if length.unit == "W":
        first = last - np.timedelta64(7 * length.number, "D")
    else:
        months = length.number * (12 if length.unit == "Y" else 1)
        month = last.astype("datetime64[M]") - np.timedelta64(months, "M")
        # The day of the month, or its last where it is shorter.
        day_of_month = last - last.astype("datetime64[M]").astype("datetime64[D]")
        month_end = (month + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
        first = min(month.astype("datetime64[D]") + day_of_month, month_end)
    begins = int(np.searchsorted(table.label, first.astype(np.int64), side="right"))
    return int(table.open[min(begins, row)])


def _seconds_back(count: int, size: BarSize, table: SessionTable, row: int, end_ns: int) -> int:
    left = count * SECOND_NS
    end = min(end_ns, int(table.close[row]))
    while row > 0 and left > end - int(table.open[row]):
        left -= end - int(table.open[row])
        row -= 1
        end = int(table.close[row])
    start = max(end - left, int(table.open[row]))
    if not size.is_intraday:
        return int(table.open[row])
    step, offset = size.seconds * SECOND_NS, int(table.utc_offset[row])
    tick = -(-(start + offset) // step)
    if tick * step - offset >= end:
        tick -= 1
    return max(tick * step - offset, int(table.open[row]))
