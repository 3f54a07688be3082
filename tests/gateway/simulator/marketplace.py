"""A market for tests: the built-in universe of one day, and requests for history with little to say."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np

from gateway.contract import Contract
from gateway.simulator import requests
from gateway.simulator.listings import Universe, universe
from gateway.simulator.market import Market
from gateway.simulator.records import Listing
from gateway.simulator.walk import WalkPrices

TODAY = date(2026, 11, 25)


@cache
def listed() -> Universe:
    return universe(TODAY)


def new_market(seed: int = 7) -> Market:
    return Market(listed().listings, WalkPrices(seed, listed().characters), seed)


@cache
def market() -> Market:
    return new_market()


def the(symbol: str, sec_type: str = "STK") -> Listing:
    return next(
        each
        for each in listed().listings
        if symbol in (each.contract.symbol, each.contract.local_symbol) and each.contract.sec_type == sec_type
    )


def ns(text: str) -> int:
    """UTC."""
    return int(np.datetime64(text, "ns").astype(np.int64))


def asked(listing: Listing, size: str = "1 min", duration: str = "1 D", **changes: object) -> requests.HistoricalData:
    wish = requests.HistoricalData(
        1,
        Contract(con_id=listing.con_id, symbol=listing.contract.symbol, exchange=listing.contract.exchange),
        include_expired=False,
        end="",
        bar_size=size,
        duration=duration,
        use_rth=True,
        what="TRADES",
        date_format=2,
        legs=(),
        keep_up_to_date=False,
        options="",
    )
    return wish._replace(**changes)
