"""The market scanner: which stocks lead a list at a moment, and the description of what can be asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.simulator import requests
from gateway.simulator.catalogue import Character
from gateway.simulator.history_request import Refusal
from gateway.simulator.market import Market
from gateway.simulator.records import Listing, Quote

_MOST_ROWS = 50
_MILLION = 1e6
# Primary exchanges of each location; None is all.
_LOCATIONS = {
    "STK.US": None,
    "STK.US.MAJOR": ("NYSE", "NASDAQ", "AMEX", "ARCA", "BATS"),
    "STK.NYSE": ("NYSE",),
    "STK.NASDAQ": ("NASDAQ",),
    "STK.AMEX": ("AMEX",),
    "STK.ARCA": ("ARCA",),
}
_NAMES = {
    "TOP_PERC_GAIN": "Top % Gainers",
    "TOP_PERC_LOSE": "Top % Losers",
    "MOST_ACTIVE": "Most Active",
    "HOT_BY_VOLUME": "Hot by Volume",
    "TOP_TRADE_RATE": "Top Trade Rate",
    "MOST_ACTIVE_USD": "Most Active (USD)",
}


class Candidate(NamedTuple):
    listing: Listing
    quote: Quote
    usual_volume: float
    market_value: float

    @property
    def change(self) -> float:
        """As a fraction of the close before."""
        return self.quote.last / self.quote.previous_close - 1


_RANKS: dict[str, Callable[[Candidate], float]] = {
    "TOP_PERC_GAIN": lambda each: each.change,
    "TOP_PERC_LOSE": lambda each: -each.change,
    "MOST_ACTIVE": lambda each: each.quote.volume,
    "HOT_BY_VOLUME": lambda each: each.quote.volume / each.usual_volume,
    "TOP_TRADE_RATE": lambda each: each.quote.volume / 90,
    "MOST_ACTIVE_USD": lambda each: each.quote.volume * each.quote.last,
}


class ScannerRow(NamedTuple):
    """`distance` is what the row is ranked by, as text: a percentage of gainers and losers, else empty."""

    listing: Listing
    distance: str


def scan(
    market: Market,
    characters: Mapping[int, Character],
    request: requests.ScannerSubscription,
    now_ns: int,
) -> list[ScannerRow] | Refusal:
    """The leading rows of the list now. Market values are in millions, as IB's filter is; a listing without a
    character has none, and is left out by a filter of it."""
    rank = _RANKS.get(request.scan_code)
    if rank is None:
        return Refusal(162, f"Historical Market Data Service error message:scanner {request.scan_code} not supported")
    if request.instrument not in ("STK", "STOCK.US") or request.location not in _LOCATIONS:
        return Refusal(
            162, f"Historical Market Data Service error message:{request.instrument} {request.location} not supported"
        )
    venues = _LOCATIONS[request.location]
    found = []
    for listing in market.listings():
        if listing.contract.sec_type != "STK" or (venues and listing.contract.primary_exchange not in venues):
            continue
        if request.stock_type in ("STOCK", "CORP") and listing.stock_type == "ETF":
            continue
        if request.stock_type == "ETF" and listing.stock_type != "ETF":
            continue
        candidate = _candidate(market, listing, characters.get(listing.con_id), now_ns)
        if candidate is not None and _passes(candidate, request):
            found.append(candidate)
    found.sort(key=lambda each: (-rank(each), each.listing.con_id))
    rows = request.rows if 0 < request.rows <= _MOST_ROWS else _MOST_ROWS
    shows_change = request.scan_code.startswith("TOP_PERC")
    return [ScannerRow(each.listing, f"{each.change * 100:.2f}%" if shows_change else "") for each in found[:rows]]


def _candidate(market: Market, listing: Listing, character: Character | None, now_ns: int) -> Candidate | None:
    quote = market.quote(listing.con_id, now_ns)
    if math.isnan(quote.last) or math.isnan(quote.previous_close):
        return None
    usual = character.daily_volume if character else max(quote.volume, 1.0)
    value = character.shares * quote.last / _MILLION if character and character.shares else math.nan
    return Candidate(listing, quote, usual, value)


def _passes(each: Candidate, request: requests.ScannerSubscription) -> bool:
    """A limit that is not given is NaN and keeps nobody out."""
    return (
        not each.quote.last < request.above_price
        and not each.quote.last > request.below_price
        and not each.quote.volume < request.above_volume
        and (math.isnan(request.market_cap_above) or each.market_value >= request.market_cap_above)
        and (math.isnan(request.market_cap_below) or each.market_value <= request.market_cap_below)
    )


def parameters() -> str:
    """The XML of what can be scanned for: small, but laid out as IB's is."""
    locations = "".join(
        f"<Location><displayName>{code}</displayName><locationCode>{code}</locationCode>"
        f"<instruments>STK</instruments></Location>"
        for code in _LOCATIONS
    )
    scans = "".join(
        f"<ScanType><displayName>{_NAMES[code]}</displayName><scanCode>{code}</scanCode>"
        f"<instruments>STK</instruments></ScanType>"
        for code in _RANKS
    )
    filters = "".join(
        f"<RangeFilter><id>{name}</id><category>{category}</category>{''.join(map(_field, codes))}</RangeFilter>"
        for name, category, codes in (
            ("PRICE", "Price", ("priceAbove", "priceBelow")),
            ("VOLUME", "Volume", ("volumeAbove",)),
            ("MKTCAP", "Fundamentals", ("marketCapAbove1e6", "marketCapBelow1e6")),
        )
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse>'
        "<InstrumentList><Instrument><name>US Stocks</name><type>STK</type>"
        "<secType>STK</secType></Instrument></InstrumentList>"
        f"<LocationTree>{locations}</LocationTree><ScanTypeList>{scans}</ScanTypeList>"
        f"<FilterList>{filters}</FilterList></ScanParameterResponse>"
    )


def _field(code: str) -> str:
    return f"<AbstractField><code>{code}</code><displayName>{code}</displayName></AbstractField>"
