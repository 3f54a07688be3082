"""The sessions of every calendar that the two calendar libraries know, cached so that asking costs microseconds.

Computing a calendar imports pandas and takes 0.1 to 2 s; it happens once a month per calendar and library version and
leaves an int64 `.npy` file, which loads in a fraction of a millisecond without pandas.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings

from domain.errors import BadInput, UnknownName
from domain.instrument import InstrumentKind
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, SECOND_NS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_FIRST_DAY = date(1990, 1, 1)
_LAYOUT = 1
_COLUMNS = ("label", "open", "close", "break_start", "break_end", "utc_offset")

# IB's exchange names (contract or primary exchange), by calendar. SMART alone means the US.
_EXCHANGES = {
    "XNYS": "SMART NYSE NASDAQ ISLAND ARCA AMEX BATS BYX BEX IEX EDGEA DRCTEDGE CHX PSX MEMX PEARL LTSE NYSENAT CBOE"
    " PINK OTCMKTS",
    "XTSE": "TSE VENTURE",
    "XMEX": "MEXI",
    "XLON": "LSE LSEETF",
    "XETR": "IBIS IBIS2 XETRA",
    "XFRA": "FWB FWB2",
    "XSTU": "SWB SWB2",
    "XPAR": "SBF",
    "XAMS": "AEB",
    "XBRU": "ENEXT.BE",
    "XLIS": "BVL",
    "XMAD": "BM",
    "XMIL": "BVME BVME.ETF",
    "XSWX": "EBS VIRTX SWX",
    "XSTO": "SFB",
    "XCSE": "CPH",
    "XHEL": "HEX",
    "XOSL": "OSE",
    "XDUB": "ISED",
    "XWBO": "VSE",
    "XPRA": "PRA",
    "XWAR": "WSE",
    "XBUD": "BUX",
    "XTAE": "TASE",
    "XSAU": "TADAWUL",
    "XJSE": "JSE",
    "XTKS": "TSEJ",
    "XHKG": "SEHK",
    "XSHG": "SEHKNTL SEHKSZSE",
    "XSES": "SGX",
    "XKRX": "KSE",
    "XTAI": "TWSE",
    "NSE": "NSE",
    "XASX": "ASX",
    "XEUR": "EUREX DTB",
    "CBOE_Futures": "CFE",
    "CME Globex Equity": "CME GLOBEX",
    "CME Globex Fixed Income": "CBOT ECBOT",
    "CMEGlobex_EnergyAndMetals": "NYMEX COMEX",
    "IEPA": "ICEUS NYBOT IPE",
    "FX": "IDEALPRO FXCONV",
    "24/7": "PAXOS ZEROHASH",
}
_OF_EXCHANGE = {exchange: calendar for calendar, names in _EXCHANGES.items() for exchange in names.split()}

# Futures of CME and CBOT that keep other hours than the exchange's main ones, by calendar.
_FUTURES = {
    "CMEGlobex_Grains": "ZC ZS ZW ZM ZL ZO ZR KE YC YK YW",
    "CMEGlobex_Livestock": "LE HE GF",
    "CMEGlobex_FX": "EUR GBP JPY AUD CAD CHF NZD MXP 6E 6B 6J 6A 6C 6S 6N 6M M6E M6B M6A",
    "CME Globex Crypto": "BRR MBT ETHUSDRR MET",
    "CME Globex Equity": "YM MYM",
}
_OF_FUTURE = {symbol: calendar for calendar, symbols in _FUTURES.items() for symbol in symbols.split()}
_FUTURES_EXCHANGES = frozenset({"CME", "GLOBEX", "CBOT", "ECBOT"})

# Days of the same market under other names. The New York history of pandas_market_calendars is recorded day by day
# from 1885 (late openings, storms, silences); exchange_calendars lacks the late opening of 2002-09-11 and closes
# 1999-12-31 at 13:00. From 2015 on both agree on every session.
_NEW_YORK = frozenset(
    {"XNYS", "NYSE", "XNAS", "NASDAQ", "ARCX", "BATS", "XASE", "OOTC", "NYFE", "DJIA", "DOW", "stock"}
)
_NEW_YORK_FIRST_DAY = date(1928, 1, 2)
# exchange_calendars 4.13 fails to build its Tel Aviv calendar; pandas_market_calendars builds it from the same rules.
_MIRRORED = {"XTAE": "XTAE", "TASE": "XTAE"}
_FOREX = frozenset({"FX", "FOREX", "Forex"})


def calendar_for(exchange: str, kind: InstrumentKind, symbol: str = "") -> str:
    """The calendar of IB's exchange name; `symbol` tells futures of one exchange with different hours apart.

    Forex trades on the FX calendar wherever it is quoted, an index at CBOE when New York does. For SMART outside the
    US give the primary exchange. UnknownName where the exchange has no calendar.
    """
    if kind is InstrumentKind.FOREX:
        return "FX"
    name = exchange.strip().upper()
    if kind is InstrumentKind.FUTURE:
        if name in _FUTURES_EXCHANGES and symbol in _OF_FUTURE:
            return _OF_FUTURE[symbol]
        if name == "CBOE":
            return _OF_EXCHANGE["CFE"]
    known = _OF_EXCHANGE.get(name)
    if known is None:
        raise UnknownName("exchange", exchange, _OF_EXCHANGE)
    return known


def sessions(calendar: str) -> SessionTable:
    """The sessions of a calendar, from 1990 (New York 1928) or the calendar's own start to about a year ahead.

    Cached in the process and on disk; both caches are renewed with the month, so a long-running process always sees
    at least eleven months ahead. UnknownName with a suggestion where neither library knows the name.
    """
    today = datetime.now(UTC).date()
    return _sessions(calendar, today.year * 12 + today.month)


@lru_cache(maxsize=512)
def _sessions(calendar: str, month: int) -> SessionTable:
    folder = Path(settings.CACHE_DIR) / "calendars"
    path = folder / f"{_file_stem(calendar)}-{_versions()}-{month}.npy"
    table = _load(calendar, path)
    if table is None:
        table = _compute(calendar, datetime.now(UTC).date())
        try:
            _save(table, path)
        except OSError as error:
            # Only the next process pays for it, by computing again.
            log.warning("calendar %s: cannot write the cache file %s: %s", calendar, path, error)
    return table


def calendar_names() -> list[str]:
    """Every name that `sessions` takes. Imports pandas."""
    import exchange_calendars
    import pandas_market_calendars

    names = {
        *exchange_calendars.get_calendar_names(include_aliases=True),
        *pandas_market_calendars.get_calendar_names(),
        *_NEW_YORK,
        *_FOREX,
    }
    return sorted(names)


# The cache on disk


@cache
def _versions() -> str:
    return f"{version('exchange-calendars')}-{version('pandas-market-calendars')}-{version('tzdata')}-{_LAYOUT}"


def _file_stem(calendar: str) -> str:
    """A file name for any calendar name, injective: characters outside [A-Za-z0-9] become their code."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in calendar[:100])


def _load(calendar: str, path: Path) -> SessionTable | None:
    """The table from the disk cache; None where there is none, or none that can be trusted (it is then rebuilt)."""
    try:
        columns = np.load(path, allow_pickle=False)
        if columns.ndim != 2 or len(columns) != len(_COLUMNS):
            return None
        table = SessionTable(calendar, *columns)
        table.check()
    except (OSError, ValueError, EOFError):
        return None
    return table


def _save(table: SessionTable, path: Path) -> None:
    """Write atomically, and drop what older months and versions left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, np.stack([getattr(table, name) for name in _COLUMNS]))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for old in path.parent.glob(f"{_file_stem(table.calendar)}-*.npy"):
        if old != path:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()


# Computing


def _compute(calendar: str, today: date) -> SessionTable:
    # Whole ISO weeks only, so that a weekly bar never ends where the table happens to end.
    ahead = today + timedelta(days=365)
    last = ahead - timedelta(days=ahead.isoweekday() % 7)
    table = _forex_sessions(calendar, last) if calendar in _FOREX else _library_sessions(calendar, last)
    table.check()
    return table


def _library_sessions(calendar: str, last: date) -> SessionTable:
    import exchange_calendars
    import pandas_market_calendars

    if calendar in _NEW_YORK:
        market = pandas_market_calendars.get_calendar("NYSE")
        return _table(calendar, market.schedule(_NEW_YORK_FIRST_DAY, last), market.tz)
    if calendar in exchange_calendars.get_calendar_names(include_aliases=True) and calendar not in _MIRRORED:
        try:
            exchange = _exchange_calendar(calendar, last)
        except NotImplementedError as error:
            raise BadInput(
                f"calendar {calendar}: exchange_calendars {version('exchange-calendars')} cannot build it with"
                f" pandas {version('pandas')}; pandas older than 3 can"
            ) from error
        return _table(calendar, exchange.schedule, exchange.tz)
    if calendar in pandas_market_calendars.get_calendar_names():
        market = pandas_market_calendars.get_calendar(_MIRRORED.get(calendar, calendar))
        return _table(calendar, market.schedule(_FIRST_DAY, last), market.tz)
    raise UnknownName("calendar", calendar, calendar_names())


def _exchange_calendar(calendar: str, last: date) -> Any:
    """As wide as its bounds allow; they are known only to an instance, so there are two (the first is small)."""
    import exchange_calendars

    known = exchange_calendars.get_calendar(calendar)
    earliest, latest = known.bound_min(), known.bound_max()
    return exchange_calendars.get_calendar(
        calendar,
        start=_FIRST_DAY if earliest is None else max(_FIRST_DAY, earliest.date()),
        end=last if latest is None else min(last, latest.date()),
    )


def _table(calendar: str, schedule: pd.DataFrame, zone: Any) -> SessionTable:
    """From a schedule of either library: `[market_]open`, `[market_]close`, perhaps `break_start`, `break_end`."""
    import pandas as pd

    times = schedule.rename(columns={"market_open": "open", "market_close": "close"})
    opens = pd.DatetimeIndex(times["open"])
    local = opens.tz_convert(zone).tz_localize(None)
    open_ns, close_ns = _ns(opens), _ns(times["close"])
    break_start, break_end = np.zeros_like(open_ns), np.zeros_like(open_ns)
    if "break_start" in times:
        begins, ends = _ns(times["break_start"]), _ns(times["break_end"])
        real = (begins > open_ns) & (ends > begins) & (begins < close_ns)
        # On a half day a break may reach the close or lie beyond it: the session then ends where the break starts.
        close_ns = np.where(real & (ends >= close_ns), begins, close_ns)
        real &= ends < close_ns
        break_start, break_end = np.where(real, begins, 0), np.where(real, ends, 0)
    return SessionTable(
        calendar, _ns(times.index) // DAY_NS, open_ns, close_ns, break_start, break_end, _ns(local) - open_ns
    )


def _ns(times: Any) -> Any:
    """int64 nanoseconds; NaT becomes a time before all others."""
    import pandas as pd

    return pd.DatetimeIndex(times).as_unit("ns").asi8


def _forex_sessions(calendar: str, last: date) -> SessionTable:
    """Monday to Friday, each from 17:00 New York of the day before to 17:00: spot forex as it is dealt, cut daily.

    No holiday closes it; on Christmas and New Year few or no quotes come, which is no bar, not a closed market.
    """
    days = np.arange(np.datetime64(_FIRST_DAY), np.datetime64(last) + 1)
    days = days[np.is_busday(days)]
    zone, evening = ZoneInfo("America/New_York"), time(17)
    edges = np.unique(np.concatenate([days - 1, days]))
    at_17 = [datetime.combine(day, evening, zone) for day in edges.tolist()]
    edge_ns = np.array([int(moment.timestamp()) for moment in at_17], np.int64) * SECOND_NS
    offset = np.array([(moment.utcoffset() or timedelta()).seconds for moment in at_17], np.int64) * SECOND_NS - DAY_NS
    opens = np.searchsorted(edges, days - 1)
    return SessionTable(
        calendar,
        days.astype(np.int64),
        edge_ns[opens],
        edge_ns[np.searchsorted(edges, days)],
        utc_offset=offset[opens],
    )
