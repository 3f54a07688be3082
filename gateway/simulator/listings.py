"""The built-in universe: every contract that the simulator lists by itself, complete as IB would describe it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from domain.costs import IB_FIXED, IB_FOREX, IB_FUTURES
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, MINUTE_NS
from gateway.contract import Contract
from gateway.simulator import trading_hours
from gateway.simulator.catalogue import FUNDS, MONTHS, PAIRS, ROOTS, STOCKS, Character, RootRow, StockRow
from gateway.simulator.records import Listing
from gateway.simulator.trading_hours import CENTRAL, EASTERN

PriceSteps = tuple[tuple[float, float], ...]

MARKET_RULES: dict[int, PriceSteps] = {
    26: ((0.0, 0.01),),
    32: ((0.0, 0.01),),
    33: ((0.0, 0.1),),
    59: ((0.0, 0.00005),),
    60: ((0.0, 0.005),),
    67: ((0.0, 0.25),),
    98: ((0.0, 0.01),),
    240: ((0.0, 0.0001), (1.0, 0.01)),
}

_US_VENUES = "AMEX,NYSE,CBOE,PHLX,ISE,CHX,ARCA,NASDAQ,ISLAND,DRCTEDGE,BEX,BATS,EDGEA,BYX,IEX,PEARL,MEMX"
# What people have in their scripts.
_WELL_KNOWN = {
    "STK AAPL NASDAQ": 265598,
    "STK MSFT NASDAQ": 272093,
    "STK NVDA NASDAQ": 4815747,
    "STK AMZN NASDAQ": 3691937,
    "STK META NASDAQ": 107113386,
    "STK TSLA NASDAQ": 76792991,
    "STK IBM NYSE": 8314,
    "STK SPY ARCA": 756733,
    "STK QQQ NASDAQ": 320227571,
    "CASH EUR.USD": 12087792,
    "CASH GBP.USD": 12087797,
    "CASH USD.JPY": 15016059,
    "IND SPX": 416904,
    "IND VIX": 13455763,
}
_CHEAP = 1.0
# Contracts of a root that are listed: the last ones that expired, and the next ones.
_EXPIRED, _COMING = 2, 6


class Universe(NamedTuple):
    listings: tuple[Listing, ...]
    characters: dict[int, Character]


def universe(as_of: date) -> Universe:
    """All built-in listings with how their prices move; of futures those that trade around `as_of`."""
    pairs = [*_stocks(), *_funds(), *_forex(), *_indexes(), *_futures(as_of)]
    return Universe(tuple(listing for listing, _ in pairs), {listing.con_id: character for listing, character in pairs})


def con_id_of(key: str) -> int:
    """The same number for the same contract for ever, whatever else is listed."""
    return _WELL_KNOWN.get(key) or 100_000_000 + zlib.crc32(key.encode()) % 600_000_000


def _stocks() -> Iterator[tuple[Listing, Character]]:
    for row in STOCKS:
        turnover = 0.003 * (row.volatility / 0.28) ** 1.5
        yield (
            _stock(row, "COMMON"),
            Character(
                process=f"{row.symbol} {row.exchange}",
                price=row.price,
                volatility=row.volatility,
                correlation=0.55,
                daily_volume=row.millions * 1e6 * turnover,
                shares=row.millions * 1e6,
                dividend_yield=row.dividend_yield,
                splits_a_year=0.08,
                halts_a_year=3.0 if row.volatility > 0.6 else 0.3,
                has_earnings=True,
            ),
        )


def _funds() -> Iterator[tuple[Listing, Character]]:
    for row, process in FUNDS:
        character = _INDEX_LIKE.get(process) or Character(row.symbol, row.price, row.volatility, 0.7, growth=0.04)
        yield (
            _stock(row, "ETF"),
            character._replace(
                scale=row.price / character.price,
                daily_volume=row.millions * 1e6 * 0.05,
                shares=row.millions * 1e6,
                dividend_yield=row.dividend_yield,
            ),
        )


_INDEX_LIKE = {
    "SPX": Character("SPX", 5900, 0.17, 0.98, growth=0.07),
    "NDX": Character("NDX", 20700, 0.22, 0.90, growth=0.09),
    "GOLD": Character("GOLD", 2660, 0.15, 0.05, growth=0.05),
    "OIL": Character("OIL", 69, 0.36, 0.30, growth=0.0),
}


def plain_stock(symbol: str, exchange: str = "NASDAQ", name: str = "") -> Listing:
    """A US stock that the universe does not have, as others bring prices for."""
    return _stock(StockRow(symbol, name or symbol, exchange, 100.0, 0.3, 0.0, 0.0, "", "Unknown", 1998), "COMMON")


def _stock(row: StockRow, stock_type: str) -> Listing:
    rule = 240 if row.price < _CHEAP else 26
    con_id = con_id_of(f"STK {row.symbol} {row.exchange}")
    # The classes of Nasdaq's three market tiers, as IB names them.
    trading_class = "NMS" if row.exchange == "NASDAQ" else row.symbol.replace(" ", "")
    regular, trading = trading_hours.us_stocks(), trading_hours.us_stocks_extended()
    return Listing(
        Contract(
            con_id,
            row.symbol,
            "STK",
            exchange="SMART",
            primary_exchange=row.exchange,
            currency="USD",
            local_symbol=row.symbol,
            trading_class=trading_class,
        ),
        row.name,
        EASTERN,
        regular,
        trading,
        MARKET_RULES[rule],
        rule,
        valid_exchanges=f"SMART,{_US_VENUES}",
        stock_type=stock_type,
        industry=row.industry,
        category=row.category or "Equity Fund",
        subcategory=row.category or "Equity Fund",
        isin=_isin(con_id),
        commission=IB_FIXED,
        head_ns=_first_open(trading, row.since),
    )


def _forex() -> Iterator[tuple[Listing, Character]]:
    hours = trading_hours.forex()
    for row in PAIRS:
        rule = 60 if row.quote == "JPY" else 59
        name = f"{row.base}.{row.quote}"
        yield (
            Listing(
                Contract(
                    con_id_of(f"CASH {name}"),
                    row.base,
                    "CASH",
                    exchange="IDEALPRO",
                    currency=row.quote,
                    local_symbol=name,
                    trading_class=name,
                ),
                f"{row.base} against {row.quote}",
                EASTERN,
                hours,
                hours,
                MARKET_RULES[rule],
                rule,
                size_step=1.0,
                valid_exchanges="IDEALPRO",
                commission=IB_FOREX,
                head_ns=_first_open(hours, 2005),
            ),
            Character(name, row.price, row.volatility, 0.15, growth=0.0, daily_volume=4e10, overnight=0.01),
        )


def _indexes() -> Iterator[tuple[Listing, Character]]:
    vix = Character("VIX", 16.5, 0.9, -0.8, growth=0.0, memory=0.1)
    for symbol, exchange, name, closes, character in (
        ("SPX", "CBOE", "S&P 500 Stock Index", 1500, _INDEX_LIKE["SPX"]),
        ("VIX", "CBOE", "CBOE Volatility Index", 1515, vix),
        ("NDX", "NASDAQ", "NASDAQ 100 Stock Index", 1500, _INDEX_LIKE["NDX"]),
        ("RUT", "RUSSELL", "Russell 2000 Stock Index", 1500, Character("RUT", 2300, 0.22, 0.9, growth=0.05)),
        ("INDU", "CME", "Dow Jones Industrial Average", 1500, Character("INDU", 44000, 0.16, 0.95, growth=0.06)),
    ):
        hours = trading_hours.us_index(closes)
        yield (
            Listing(
                Contract(
                    con_id_of(f"IND {symbol}"),
                    symbol,
                    "IND",
                    exchange=exchange,
                    currency="USD",
                    local_symbol=symbol,
                    trading_class=symbol,
                ),
                name,
                CENTRAL,
                hours,
                hours,
                MARKET_RULES[98],
                98,
                valid_exchanges=exchange,
                industry="Indices",
                category="Broad Range Equity Index",
                subcategory="*",
                head_ns=_first_open(hours, 2005),
            ),
            character._replace(daily_volume=0.0),
        )


# Futures


def _futures(as_of: date) -> Iterator[tuple[Listing, Character]]:
    for root in ROOTS:
        months = [
            (year, 1 + MONTHS.index(letter)) for year in range(as_of.year - 2, as_of.year + 4) for letter in root.months
        ]
        dated = [(expiry(root, year, month), year, month) for year, month in months]
        first = sum(ends < as_of for ends, _, _ in dated) - _EXPIRED
        for ends, year, month in dated[max(first, 0) : first + _EXPIRED + _COMING]:
            yield _future(root, ends, year, month)


def expiry(root: RootRow, year: int, month: int) -> date:
    """Last trading day: the third Friday of the month for index futures; for oil the third business day before the
    25th of the month before; for metals the third last business day of the month."""
    if root.exchange == "CME":
        first = date(year, month, 1)
        return first + timedelta(days=(4 - first.weekday()) % 7 + 14)
    if root.exchange == "NYMEX":
        before = date(year - (month == 1), (month - 2) % 12 + 1, 25)
        return _business_days_before(before, 3 if _is_business(before) else 4)
    following = date(year + (month == 12), month % 12 + 1, 1)
    return _business_days_before(following, 3)


def _business_days_before(day: date, count: int) -> date:
    while count:
        day -= timedelta(days=1)
        count -= _is_business(day)
    return day


def _is_business(day: date) -> bool:
    return day.weekday() < 5 and day not in trading_hours.us_holidays(day.year)


def _future(root: RootRow, ends: date, year: int, month: int) -> tuple[Listing, Character]:
    regular, trading, zone, last_minute = _futures_hours(root)
    listed = ends - timedelta(days=460)
    trading, regular = (_cut(table, listed, ends, last_minute) for table in (trading, regular))
    index_like = _INDEX_LIKE[root.process]
    letter = MONTHS[month - 1]
    local_symbol = f"{root.symbol}{letter}{year % 10}"
    under = con_id_of(f"IND {root.process}") if root.exchange == "CME" else con_id_of(f"FUT {root.symbol}")
    return (
        Listing(
            Contract(
                con_id_of(f"FUT {root.symbol} {year}{month:02d}"),
                root.symbol,
                "FUT",
                f"{ends:%Y%m%d}",
                multiplier=root.multiplier,
                exchange=root.exchange,
                currency="USD",
                local_symbol=local_symbol,
                trading_class=root.trading_class,
            ),
            root.name,
            zone,
            regular,
            trading,
            MARKET_RULES[root.market_rule],
            root.market_rule,
            valid_exchanges=f"{root.exchange},QBALGO",
            industry="Indices" if root.exchange == "CME" else "Commodity",
            category="Broad Range Equity Index" if root.exchange == "CME" else root.name,
            contract_month=f"{year}{month:02d}",
            last_trade_time=f"{last_minute // 60:02d}:{last_minute % 60:02d}:00 {zone}",
            under_con_id=under,
            under_symbol=root.process if root.exchange == "CME" else root.symbol,
            commission=IB_FUTURES,
            initial_margin=root.margin,
            head_ns=int(trading.open[0]),
        ),
        index_like._replace(scale=root.price / index_like.price, carry=root.carry, daily_volume=root.daily_volume),
    )


def _futures_hours(root: RootRow) -> tuple[SessionTable, SessionTable, str, int]:
    """(regular, trading, zone, minute of the last day at which it stops)"""
    if root.exchange == "CME":
        return trading_hours.cme_equity_regular(), trading_hours.cme_equity(), CENTRAL, 510
    if root.exchange == "NYMEX":
        return trading_hours.nymex_regular(900, 1430), trading_hours.nymex(), EASTERN, 870
    return trading_hours.nymex_regular(820, 1330), trading_hours.nymex(), EASTERN, 810


def _cut(table: SessionTable, listed: date, ends: date, last_minute: int) -> SessionTable:
    """The sessions from `listed` to `ends`, the last of them shut at `last_minute`; dropped where it opens later."""
    lo, hi = np.searchsorted(table.label, [_day(listed), _day(ends) + 1])
    rows = table[slice(int(lo), int(hi))]
    stop = _day(ends) * DAY_NS + last_minute * MINUTE_NS - int(rows.utc_offset[-1])
    if rows.open[-1] >= stop:
        return rows[slice(0, len(rows) - 1)]
    close = np.minimum(rows.close, stop)
    return SessionTable(rows.calendar, rows.label, rows.open, close, utc_offset=rows.utc_offset)


def _day(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()


def _first_open(table: SessionTable, year: int) -> int:
    return int(table.open[np.searchsorted(table.label, _day(date(year, 1, 1)))])


def _isin(con_id: int) -> str:
    """An ISIN with a right check digit that belongs to nobody: the US number part starts with a zero and a letter."""
    body = f"US0Z{con_id % 10_000_000:07d}"
    digits = "".join(str(int(letter, 36)) for letter in body)
    doubled = "".join(str(int(digit) * (2 if n % 2 == 0 else 1)) for n, digit in enumerate(reversed(digits)))
    return f"{body}{-sum(int(digit) for digit in doubled) % 10}"
