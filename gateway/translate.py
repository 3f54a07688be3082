"""Between the domain's words and IB's: instruments, times, trading hours, order words.

Outgoing text is checked here: the wire ends each field with NUL, so a text that holds one would be two fields.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from domain.instrument import Instrument, InstrumentKind
from gateway.contract import Contract
from gateway.errors import Refused

SECOND_NS = 1_000_000_000
# IB's own clock, where a text names no zone.
IB_ZONE = "America/New_York"
NAN = float("nan")
_UNSET = 1.7e308

SEC_TYPES = {
    InstrumentKind.STOCK: "STK",
    InstrumentKind.ETF: "STK",
    InstrumentKind.FOREX: "CASH",
    InstrumentKind.FUTURE: "FUT",
    InstrumentKind.INDEX: "IND",
}
_SHARE_CLASS = re.compile(r"[A-Z]+\.[A-Z]")
_PAIR = re.compile(r"([A-Z]{3})[./]?([A-Z]{3})")


class TradingHours(NamedTuple):
    """One session as contract details give it; `date` is YYYYMMDD at the exchange, times are UTC nanoseconds."""

    date: str
    open_ns: int
    close_ns: int


def clean(text: str, what: str = "text", longest: int = 200) -> str:
    """The text itself, if it can be one field of a message; else Refused."""
    if len(text) > longest or not text.isprintable():
        raise Refused(f"{what} {text[:40]!r} cannot be sent: at most {longest} characters, none of them control codes")
    return text


def contract_for(
    instrument: Instrument,
    *,
    con_id: int = 0,
    exchange: str = "",
    primary_exchange: str = "",
    expiry: str = "",
    local_symbol: str = "",
    trading_class: str = "",
) -> Contract:
    """IB's description of an instrument. A class of shares is written with a point here and with a space there."""
    symbol, currency = instrument.symbol, instrument.currency
    kind = instrument.kind
    if kind is InstrumentKind.FOREX:
        pair = _PAIR.fullmatch(symbol.upper())
        if pair is not None:
            symbol, currency = pair.groups()
        exchange = exchange if exchange not in ("", "SMART") else "IDEALPRO"
    elif kind in (InstrumentKind.STOCK, InstrumentKind.ETF):
        exchange = exchange or "SMART"
        if currency == "USD" and _SHARE_CLASS.fullmatch(symbol):
            symbol = symbol.replace(".", " ")
    multiplier = ""
    if kind is InstrumentKind.FUTURE and instrument.multiplier != 1.0:
        multiplier = f"{instrument.multiplier:g}"
    contract = Contract(
        con_id=con_id,
        symbol=symbol,
        sec_type=SEC_TYPES[kind],
        expiry=expiry,
        multiplier=multiplier,
        exchange=exchange,
        primary_exchange=primary_exchange,
        currency=currency,
        local_symbol=local_symbol,
        trading_class=trading_class,
    )
    return checked(contract)


def checked(contract: Contract) -> Contract:
    for name, value in zip(contract._fields, contract, strict=True):
        if isinstance(value, str):
            clean(value, name, 64)
    return contract


def symbol_of(contract: Contract) -> str:
    """The symbol as the platform writes it."""
    if contract.sec_type == "CASH":
        return f"{contract.symbol}.{contract.currency}"
    if contract.sec_type == "STK" and contract.currency == "USD":
        return contract.symbol.replace(" ", ".")
    return contract.symbol


def contract_from(found: Any) -> Contract:
    """From the library's contract; `?` and `0` are how IB leaves `right` out."""
    return Contract(
        int(found.conId),
        found.symbol,
        found.secType,
        found.lastTradeDateOrContractMonth,
        float(found.strike),
        "" if found.right in ("?", "0") else found.right,
        found.multiplier,
        found.exchange,
        found.primaryExchange,
        found.currency,
        found.localSymbol,
        found.tradingClass,
    )


def given(value: Any) -> float:
    """A number, NaN where IB says that there is none (empty, or the largest double)."""
    number = float(value) if value not in ("", None) else NAN
    return number if abs(number) < _UNSET else NAN


# Times


def zone_of(name: str) -> tzinfo | None:
    """The zone, None where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


def exchange_time_ns(text: str) -> int | None:
    """UTC nanoseconds of a time as IB writes it, None where it cannot be read.

    `20261121 09:30:00 US/Eastern`, `20261121-14:30:00` (UTC), `2026-11-21 14:30:00.0` (UTC), epoch seconds, and
    without a zone New York's.
    """
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) > 8:
        return int(text) * SECOND_NS
    date_and_time, _, zone_name = re.sub(r"\s+", " ", text).replace(" ", "\0", 1).partition(" ")
    date_and_time = date_and_time.replace("\0", " ")
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", date_and_time):
        return _utc_ns(date_and_time[:19], "%Y-%m-%d %H:%M:%S", UTC)
    if re.fullmatch(r"\d{8}-\d\d:\d\d:\d\d", date_and_time):
        return _utc_ns(date_and_time, "%Y%m%d-%H:%M:%S", UTC)
    zone = zone_of(zone_name or IB_ZONE)
    if zone is None or not re.fullmatch(r"\d{8} \d\d:\d\d:\d\d", date_and_time):
        return None
    return _utc_ns(date_and_time, "%Y%m%d %H:%M:%S", zone)


def ib_time(moment_ns: int) -> str:
    """A moment as a request's end time: UTC, whole seconds."""
    return (_EPOCH + timedelta(seconds=moment_ns // SECOND_NS)).strftime("%Y%m%d-%H:%M:%S")


def trading_hours(text: str, zone_name: str) -> tuple[TradingHours, ...]:
    """`20261123:0400-20261123:2000;20261128:CLOSED;…` as sessions; closed days have none. Refused where it is not that.

    A day with a lunch break comes as two entries.
    """
    zone = zone_of(zone_name)
    if zone is None:
        raise Refused(f"this machine knows no time zone {zone_name[:40]!r}", remedy="install the tzdata package")
    sessions = []
    for entry in text.split(";"):
        if not entry or entry.endswith(":CLOSED"):
            continue
        found = re.fullmatch(r"(\d{8}):(\d{4})-(\d{8}):(\d{4})", entry)
        if found is None:
            raise Refused(f"trading hours {entry[:40]!r} cannot be read")
        open_day, opens, close_day, closes = found.groups()
        open_ns = _utc_ns(open_day + opens, "%Y%m%d%H%M", zone)
        close_ns = _utc_ns(close_day + closes, "%Y%m%d%H%M", zone)
        if open_ns is None or close_ns is None:
            raise Refused(f"trading hours {entry[:40]!r} cannot be read")
        sessions.append(TradingHours(close_day, open_ns, close_ns))
    return tuple(sessions)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _utc_ns(text: str, pattern: str, zone: tzinfo) -> int | None:
    try:
        moment = datetime.strptime(text, pattern).replace(tzinfo=zone)
    except ValueError:
        return None
    return round((moment - _EPOCH).total_seconds()) * SECOND_NS
