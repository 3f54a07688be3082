"""What a request is answered with. Times are UTC nanoseconds; NaN is "not given", as is an empty text."""

from __future__ import annotations

from typing import NamedTuple

from gateway.contract import Contract


class ContractDetails(NamedTuple):
    contract: Contract
    long_name: str
    min_tick: float
    min_size: float
    size_step: float
    zone: str
    trading_hours: str
    """As IB writes them; `translate.trading_hours` reads them."""
    liquid_hours: str
    market_rules: tuple[tuple[str, int], ...]
    """(exchange, number of its market rule)."""
    order_types: tuple[str, ...]
    contract_month: str
    last_trade_date: str
    under_con_id: int
    under_symbol: str
    industry: str
    category: str
    subcategory: str
    stock_type: str
    isin: str


class SymbolMatch(NamedTuple):
    contract: Contract
    description: str
    derivatives: tuple[str, ...]


class PriceStep(NamedTuple):
    """From the price `low_edge` on, prices are multiples of `step`."""

    low_edge: float
    step: float


class ScheduledSession(NamedTuple):
    date: str
    open_ns: int
    close_ns: int


class Schedule(NamedTuple):
    zone: str
    sessions: tuple[ScheduledSession, ...]


class Margins(NamedTuple):
    """What a what-if order would do to the account: (before, change, after), and its commission."""

    initial: tuple[float, float, float]
    maintenance: tuple[float, float, float]
    equity: tuple[float, float, float]
    commission: float
    min_commission: float
    max_commission: float
    currency: str
    warning: str


class Placed(NamedTuple):
    """How an order left: routing only, the order's key is its ref."""

    order_id: int
    client_id: int
    session: int


class NewsProvider(NamedTuple):
    code: str
    name: str


class NewsArticle(NamedTuple):
    """`is_binary`: the text is a PDF in base 64."""

    text: str
    is_binary: bool


class NewsItem(NamedTuple):
    time_ns: int
    provider: str
    article_id: str
    headline: str
