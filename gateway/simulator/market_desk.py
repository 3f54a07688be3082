"""Market data as it happens: ticks, snapshots, real-time bars, tick by tick, news of an instrument."""

from __future__ import annotations

import math
from typing import NamedTuple

from gateway.simulator import messages, requests
from gateway.simulator.history import five_second_bars
from gateway.simulator.records import Listing, Quote
from gateway.simulator.reference_desk import the_listing
from gateway.simulator.session import Session, answers
from gateway.simulator.settings import DELAYED_CODES

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
_DELAY_NS = 15 * 60 * 1_000_000_000
_SECOND_NS = 1_000_000_000
_TICK_BY_TICK = 5
BAR_NS = 5 * _SECOND_NS
REFUSALS = {
    354: "Requested market data is not subscribed. Displaying delayed market data is not available.",
    10089: "Requested market data requires additional subscription for API. Delayed market data is available.",
    10090: "Part of requested market data is not subscribed. Subscription-independent ticks are still active.",
    10091: "Part of requested market data requires additional subscription for API.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10186: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10197: "No market data during competing live session",
}


class TickTypes(NamedTuple):
    """The numbers under which one kind of data is told."""

    bid: int
    ask: int
    last: int
    bid_size: int
    ask_size: int
    last_size: int
    high: int
    low: int
    close: int
    open: int
    volume: int
    last_time: int
    halted: int


LIVE_TICKS = TickTypes(1, 2, 4, 0, 3, 5, 6, 7, 9, 14, 8, 45, 49)
DELAYED_TICKS = TickTypes(66, 67, 68, 69, 70, 71, 72, 73, 75, 76, 74, 88, 90)


class Ticks:
    """The stream of one market data request: a full set first, then what has changed, sampled in real time."""

    is_data = True

    def __init__(self, session: Session, request: requests.MarketData, listing: Listing, kind: int) -> None:
        self._session = session
        self._request_id = request.req_id
        self.listing = listing
        self.kind = kind
        self._types = DELAYED_TICKS if kind in (DELAYED, DELAYED_FROZEN) else LIVE_TICKS
        generic = [tick.strip() for tick in request.generic_ticks.split(",") if tick.strip()]
        self._wants_trades = any(tick in ("233", "375") for tick in generic)
        self._news = next((tick.partition(":")[2] or "*" for tick in generic if tick.startswith("292")), "")
        self._prices_too = "mdoff" not in generic
        self._told: Quote | None = None
        self._next_real = 0.0
        self._news_ns = session.simulator.now_ns()

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if real_seconds < self._next_real:
            return
        self._next_real = real_seconds + self._session.simulator.settings.sample_seconds
        if self._prices_too and not self._is_dark():
            self.tell(now_ns)
        if self._news:
            self._tell_news(now_ns)

    def tell(self, now_ns: int) -> None:
        """What differs from what was told."""
        at_ns = now_ns - _DELAY_NS if self.kind in (DELAYED, DELAYED_FROZEN) else now_ns
        quote = self._session.simulator.quote(self.listing.con_id, at_ns)
        told, self._told = self._told, quote
        if quote == told:
            return
        session, types = self._session, self._types
        put, version, request_id = session.send, session.version, self._request_id
        for price_type, size_type, price, size, old_price, old_size in (
            (types.bid, types.bid_size, quote.bid, quote.bid_size, told and told.bid, told and told.bid_size),
            (types.ask, types.ask_size, quote.ask, quote.ask_size, told and told.ask, told and told.ask_size),
            (types.last, types.last_size, quote.last, quote.last_size, told and told.last, told and told.last_size),
        ):
            if not _same(price, old_price):
                put(messages.tick_price(version, request_id, price_type, price, size))
                put(messages.tick_size(version, request_id, size_type, size))
            elif not _same(size, old_size):
                put(messages.tick_size(version, request_id, size_type, size))
        for price_type, price, old_price in (
            (types.high, quote.high, told and told.high),
            (types.low, quote.low, told and told.low),
            (types.close, quote.previous_close, told and told.previous_close),
            (types.open, quote.open, told and told.open),
        ):
            if not _same(price, old_price) and not math.isnan(price):
                put(messages.tick_price(version, request_id, price_type, price, 0))
        if not _same(quote.volume, told and told.volume):
            self._tell_trade(quote)
        if quote.halted != (told.halted if told else False):
            put(messages.tick_generic(version, request_id, types.halted, 1.0 if quote.halted else 0.0))

    def _tell_trade(self, quote: Quote) -> None:
        session, types = self._session, self._types
        if math.isnan(quote.volume):
            return
        session.send(messages.tick_size(session.version, self._request_id, types.volume, quote.volume))
        seconds = str(quote.time_ns // _SECOND_NS)
        session.send(messages.tick_string(session.version, self._request_id, types.last_time, seconds))
        if self._wants_trades and self.kind == LIVE and not math.isnan(quote.last):
            milliseconds = quote.time_ns // 1_000_000
            average = (quote.high + quote.low + quote.last) / 3
            text = f"{quote.last:g};{quote.last_size:g};{milliseconds};{quote.volume:.0f};{average:.4f};true"
            session.send(messages.tick_string(session.version, self._request_id, 48, text))

    def _tell_news(self, now_ns: int) -> None:
        session = self._session
        since_ns, self._news_ns = self._news_ns, now_ns
        for article in session.simulator.news.between(self.listing.con_id, since_ns, now_ns):
            if self._news == "*" or article.provider in self._news.split("+"):
                milliseconds = article.time_ns // 1_000_000
                payload = messages.tick_news(
                    *(session.version, self._request_id, milliseconds),
                    *(article.provider, article.article_id, article.headline),
                )
                session.send(payload)

    def _is_dark(self) -> bool:
        return "market" in self._session.simulator.faults.broken_farms


def _same(new: float, old: float | None) -> bool:
    return old is not None and (new == old or (math.isnan(new) and math.isnan(old)))


# Asking


@answers(requests.MarketDataType)
def market_data_type(session: Session, request: requests.MarketDataType) -> None:
    if request.kind not in (LIVE, FROZEN, DELAYED, DELAYED_FROZEN):
        session.error(-1, 321, f"Error validating request.-'cE' : cause - Invalid market data type {request.kind}.")
        return
    session.market_data_type = request.kind


@answers(requests.MarketData)
def market_data(session: Session, request: requests.MarketData) -> None:
    request_id = request.req_id
    if session.subscriptions.get("market data", request_id) is not None:
        session.error(request_id, 322, "Error processing request.-'bD' : cause - Duplicate ticker id")
        return
    listing = the_listing(session, request_id, request.contract)
    if listing is None:
        return
    if not request.snapshot and not has_free_line(session, request_id):
        return
    kind = _permitted_kind(session, request_id, listing)
    if not kind:
        return
    stream = Ticks(session, request, listing, kind)
    session.send(messages.tick_req_params(session.version, request_id, listing.tick, "9c0001", 3))
    session.send(messages.market_data_type(session.version, request_id, kind))
    stream.advance(session.simulator.now_ns(), session.simulator.monotonic())
    if request.snapshot:
        session.send(messages.snapshot_end(session.version, request_id))
    else:
        session.subscriptions.add("market data", request_id, stream)


@answers(requests.CancelMarketData)
def cancel_market_data(session: Session, request: requests.CancelMarketData) -> None:
    if not session.subscriptions.remove("market data", request.req_id):
        session.error(request.req_id, 300, f"Can't find EId with tickerId:{request.req_id}")


def has_free_line(session: Session, request_id: int) -> bool:
    """Whether one more line of market data may be used; if not, it has been said."""
    limit = session.simulator.settings.market_data_lines
    used = len(session.subscriptions.of_kind("market data")) + len(session.subscriptions.of_kind("real-time bars"))
    if limit and used >= limit:
        session.error(request_id, 101, "Max number of tickers has been reached")
        return False
    return True


def _permitted_kind(session: Session, request_id: int, listing: Listing) -> int:
    """What data may be sent, as a market data type; 0 where none, and then the reason has been told."""
    settings = session.simulator.settings
    wants_delayed = session.market_data_type in (DELAYED, DELAYED_FROZEN)
    symbol = listing.contract.symbol
    code = 0
    if settings.competing_session:
        code = 10197
    elif symbol in settings.denied:
        code = settings.denied[symbol]
    elif symbol in settings.delayed_only:
        code = 10167 if wants_delayed else 10089
    if code:
        session.error(request_id, code, REFUSALS.get(code, "Requested market data is not subscribed."))
        if code not in DELAYED_CODES and not (code == 10089 and wants_delayed):
            return 0
    is_delayed = code in (10167, 10089)
    is_closed = session.simulator.market.session(listing.con_id, session.simulator.now_ns(), True) is None
    if is_closed and session.market_data_type in (FROZEN, DELAYED_FROZEN):
        return DELAYED_FROZEN if is_delayed else FROZEN
    return DELAYED if is_delayed else LIVE


# Tick by tick


class TickByTick:
    """Last and AllLast tell each second's trades as one; BidAsk and MidPoint what has changed."""

    is_data = True

    def __init__(self, session: Session, request: requests.TickByTick, listing: Listing) -> None:
        self._session = session
        self._request = request
        self._listing = listing
        self._until_ns = session.simulator.now_ns()
        self._told: tuple[float, ...] = ()

    def advance(self, now_ns: int, real_seconds: float) -> None:
        after_ns, self._until_ns = self._until_ns, now_ns
        if self._request.kind in ("Last", "AllLast"):
            self._tell_trades(after_ns, now_ns)
        elif now_ns // _SECOND_NS > after_ns // _SECOND_NS or not self._told:
            self._tell_quote(now_ns)

    def _tell_trades(self, after_ns: int, now_ns: int) -> None:
        session, request, listing = self._session, self._request, self._listing
        venue = listing.contract.primary_exchange or listing.contract.exchange
        for step in session.simulator.market.steps(listing.con_id, after_ns, now_ns):
            if step.volume > 0:
                payload = messages.tick_by_tick_last(
                    session.version,
                    request.req_id,
                    step.end_ns // _SECOND_NS,
                    step.close,
                    step.volume,
                    venue,
                    all_last=request.kind == "AllLast",
                )
                session.send(payload)

    def _tell_quote(self, now_ns: int) -> None:
        session, request = self._session, self._request
        quote = session.simulator.quote(self._listing.con_id, now_ns)
        if math.isnan(quote.bid):
            return
        seconds = now_ns // _SECOND_NS
        sides = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        told = sides if request.kind == "BidAsk" else ((quote.bid + quote.ask) / 2,)
        if told == self._told:
            return
        self._told = told
        if request.kind == "BidAsk":
            session.send(messages.tick_by_tick_bid_ask(session.version, request.req_id, seconds, *sides))
        else:
            session.send(messages.tick_by_tick_mid_point(session.version, request.req_id, seconds, told[0]))


@answers(requests.TickByTick)
def tick_by_tick(session: Session, request: requests.TickByTick) -> None:
    request_id = request.req_id
    if request.kind not in ("Last", "AllLast", "BidAsk", "MidPoint"):
        text = f"Error validating request.-'cA' : cause - Tick-by-tick type '{request.kind}' is invalid."
        session.error(request_id, 321, text)
        return
    if session.subscriptions.get("tick by tick", request_id) is not None:
        session.error(request_id, 102, "Duplicate ticker ID.")
        return
    if len(session.subscriptions.of_kind("tick by tick")) >= _TICK_BY_TICK:
        session.error(request_id, 10190, "Max number of tick-by-tick requests has been reached")
        return
    listing = the_listing(session, request_id, request.contract)
    if listing is None or not _permitted_kind(session, request_id, listing):
        return
    session.subscriptions.add("tick by tick", request_id, TickByTick(session, request, listing))


@answers(requests.CancelTickByTick)
def cancel_tick_by_tick(session: Session, request: requests.CancelTickByTick) -> None:
    if not session.subscriptions.remove("tick by tick", request.req_id):
        session.error(request.req_id, 300, f"Can't find EId with tickerId:{request.req_id}")


# Five-second bars


class RealTimeBars:
    is_data = True

    def __init__(self, session: Session, request: requests.RealTimeBars, listing: Listing) -> None:
        self._session = session
        self._request = request
        self._listing = listing
        self._until_ns = session.simulator.now_ns() // BAR_NS * BAR_NS

    def advance(self, now_ns: int, real_seconds: float) -> None:
        until_ns = now_ns // BAR_NS * BAR_NS
        if until_ns <= self._until_ns:
            return
        session, request = self._session, self._request
        after_ns, self._until_ns = self._until_ns, until_ns
        bars = five_second_bars(
            session.simulator.market, self._listing, request.what, request.use_rth, after_ns, until_ns
        )
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.average)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for start_ns, row, trades in zip(bars.start.tolist(), rows, bars.trades.tolist(), strict=True):
            open_, high, low, close, volume, average = row
            session.send(
                messages.realtime_bar(
                    *(session.version, request.req_id, start_ns // _SECOND_NS),
                    *(open_, high, low, close, volume, average),
                    int(trades),
                )
            )


@answers(requests.RealTimeBars)
def real_time_bars(session: Session, request: requests.RealTimeBars) -> None:
    request_id = request.req_id
    if session.subscriptions.get("real-time bars", request_id) is not None:
        session.error(request_id, 102, "Duplicate ticker ID.")
        return
    listing = the_listing(session, request_id, request.contract)
    if listing is None:
        return
    if request.what not in ("TRADES", "MIDPOINT", "BID", "ASK"):
        text = f"Error validating request.-'bY' : cause - What to show '{request.what}' is invalid."
        session.error(request_id, 321, text)
        return
    if listing.contract.sec_type == "CASH" and request.what == "TRADES":
        session.error(request_id, 420, "Invalid Real-time Query:No historical data permissions: TRADES of CASH")
        return
    if not has_free_line(session, request_id):
        return
    settings = session.simulator.settings
    if settings.competing_session or {listing.contract.symbol} & (settings.delayed_only | set(settings.denied)):
        text = f"Invalid Real-time Query:No market data permissions for {listing.contract.primary_exchange} STK"
        session.error(request_id, 420, text)
        return
    session.subscriptions.add("real-time bars", request_id, RealTimeBars(session, request, listing))


@answers(requests.CancelRealTimeBars)
def cancel_real_time_bars(session: Session, request: requests.CancelRealTimeBars) -> None:
    if not session.subscriptions.remove("real-time bars", request.req_id):
        session.error(request.req_id, 300, f"Can't find EId with tickerId:{request.req_id}")


__all__ = ["REFUSALS", "has_free_line"]
