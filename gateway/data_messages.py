"""What the gateway says of markets and news: answers to requests, and updates of what is subscribed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.answers import (
    ContractDetails,
    NewsArticle,
    NewsItem,
    NewsProvider,
    PriceStep,
    Schedule,
    ScheduledSession,
    SymbolMatch,
)
from gateway.awaited import Awaited
from gateway.events import Bulletin, Event, ScannerRow
from gateway.history import rows_of
from gateway.subscriptions import (
    BarsSubscription,
    FiveSecondSubscription,
    PnlSubscription,
    QuoteSubscription,
    ScannerSubscription,
    Subscription,
)
from gateway.translate import contract_from, exchange_time_ns, given

TIME, PROVIDERS, SCANNER_PARAMETERS = "time", "news providers", "scanner parameters"


def rule_kind(rule: int) -> str:
    return f"market rule {rule}"


class DataMessages:
    """Receiver of one session's messages about data. `live` are the subscriptions by their request number now."""

    def __init__(self, awaited: Awaited, live: dict[int, Subscription], emit: Callable[[Event], None]) -> None:
        self._awaited = awaited
        self._live = live
        self._emit = emit
        self._changed: dict[int, QuoteSubscription] = {}
        self._scans: dict[int, list[ScannerRow]] = {}

    def methods(self) -> dict[str, Callable[..., None]]:
        return {
            "contractDetails": self.contract_details,
            "contractDetailsEnd": self._awaited.end,
            "symbolSamples": self.symbols,
            "marketRule": self.market_rule,
            "headTimestamp": self.head_time,
            "historicalSchedule": self.schedule,
            "historicalDataUpdate": self.bar_update,
            "realtimeBar": self.five_second_bar,
            "currentTime": lambda seconds: self._awaited.end(TIME, seconds),
            "priceSizeTick": self.price,
            "tickSize": self.size,
            "tickGeneric": self.generic,
            "marketDataType": self.data_type,
            "pnl": self.pnl,
            "pnlSingle": self.pnl_single,
            "newsProviders": self.news_providers,
            "newsArticle": lambda key, kind, text: self._awaited.end(key, NewsArticle(text, kind == 1)),
            "historicalNews": self.news_item,
            "historicalNewsEnd": lambda key, _more: self._awaited.end(key),
            "tickNews": self.headline,
            "updateNewsBulletin": self.bulletin,
            "scannerParameters": lambda xml: self._awaited.end(SCANNER_PARAMETERS, xml),
            "scannerData": self.scanner_row,
            "scannerDataEnd": self.scanner_end,
            "fundamentalData": self._awaited.end,
        }

    # Answers

    def contract_details(self, request_id: int, found: Any) -> None:
        exchanges = found.validExchanges.split(",") if found.validExchanges else []
        rules = [int(rule) for rule in found.marketRuleIds.split(",")] if found.marketRuleIds else []
        ids = {tag.tag: tag.value for tag in found.secIdList or []}
        self._awaited.add(
            request_id,
            ContractDetails(
                contract_from(found.contract),
                found.longName,
                found.minTick,
                float(found.minSize),
                float(found.sizeIncrement),
                found.timeZoneId,
                found.tradingHours,
                found.liquidHours,
                tuple(zip(exchanges, rules, strict=False)),
                tuple(found.orderTypes.split(",")),
                found.contractMonth,
                found.realExpirationDate or found.contract.lastTradeDateOrContractMonth,
                found.underConId,
                found.underSymbol,
                found.industry,
                found.category,
                found.subcategory,
                found.stockType,
                ids.get("ISIN", ""),
            ),
        )

    def symbols(self, request_id: int, found: list[Any]) -> None:
        matches = [
            SymbolMatch(
                contract_from(one.contract), getattr(one.contract, "description", ""), tuple(one.derivativeSecTypes)
            )
            for one in found
        ]
        self._awaited.end(request_id, matches)

    def market_rule(self, rule: int, steps: list[Any]) -> None:
        self._awaited.end(rule_kind(rule), tuple(PriceStep(one.lowEdge, one.increment) for one in steps))

    def head_time(self, request_id: int, text: str) -> None:
        self._awaited.end(request_id, text)

    def schedule(self, request_id: int, _start: str, _end: str, zone: str, sessions: list[Any]) -> None:
        found = []
        for one in sessions:
            times = [
                exchange_time_ns(f"{text.replace('-', ' ')} {zone}") for text in (one.startDateTime, one.endDateTime)
            ]
            if times[0] is None or times[1] is None:
                raise ValueError(f"a session of {one.startDateTime!r} in {zone!r}")
            found.append(ScheduledSession(one.refDate, times[0], times[1]))
        self._awaited.end(request_id, Schedule(zone, tuple(found)))

    def history(self, fields: list[str]) -> None:
        """A history answer, from its fields: the decoder would make an object of each bar."""
        request_id = int(fields[1])
        kept = self._live.get(request_id)
        rows = rows_of(fields)
        if isinstance(kept, BarsSubscription):
            for event in kept.begin(rows):
                self._emit(event)
        else:
            self._awaited.end(request_id, rows)

    def news_providers(self, found: list[Any]) -> None:
        self._awaited.end(PROVIDERS, tuple(NewsProvider(one.code, one.name) for one in found))

    def news_item(self, request_id: int, text: str, provider: str, article_id: str, headline: str) -> None:
        moment = exchange_time_ns(text)
        if moment is None:
            raise ValueError(f"a news time {text!r}")
        self._awaited.add(request_id, NewsItem(moment, provider, article_id, headline))

    # Subscriptions

    def bar_update(self, request_id: int, bar: Any) -> None:
        kept = self._live.get(request_id)
        if isinstance(kept, BarsSubscription):
            for event in kept.update(bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume):
                self._emit(event)

    def five_second_bar(self, request_id: int, seconds: int, *numbers: float) -> None:
        found = self._live.get(request_id)
        if isinstance(found, FiveSecondSubscription):
            self._emit(found.bar(seconds, *numbers[:6]))

    def price(self, request_id: int, tick: int, price: float, size: float) -> None:
        found = self._quote(request_id)
        if found is not None and found.price(tick, price, size):
            self._changed[request_id] = found

    def size(self, request_id: int, tick: int, size: float) -> None:
        found = self._quote(request_id)
        if found is not None and found.set_size(tick, size):
            self._changed[request_id] = found

    def generic(self, request_id: int, tick: int, value: float) -> None:
        found = self._quote(request_id)
        if found is not None and found.generic(tick, value):
            self._changed[request_id] = found

    def data_type(self, request_id: int, kind: int) -> None:
        found = self._quote(request_id)
        if found is not None:
            found.data_type = kind

    def batch_end(self) -> None:
        """One event for each quote that the bytes of one read changed: IB sends price and size apart."""
        if self._changed:
            now_ns = time.time_ns()
            for quote in self._changed.values():
                self._emit(quote.event(now_ns))
            self._changed.clear()

    def headline(self, request_id: int, ms: int, provider: str, article_id: str, headline: str, _extra: str) -> None:
        found = self._quote(request_id)
        if found is not None:
            self._emit(found.headline(ms * 1_000_000, provider, article_id, headline))

    def bulletin(self, number: int, kind: int, text: str, exchange: str) -> None:
        self._emit(Bulletin(time.time_ns(), number, kind, text, exchange))

    def pnl(self, request_id: int, daily: float, unrealized: float, realized: float) -> None:
        found = self._live.get(request_id)
        if isinstance(found, PnlSubscription):
            self._emit(found.event(given(daily), given(unrealized), given(realized)))

    def pnl_single(
        self, request_id: int, quantity: float, daily: float, unrealized: float, realized: float, value: float
    ) -> None:
        found = self._live.get(request_id)
        if isinstance(found, PnlSubscription):
            numbers = [given(number) for number in (daily, unrealized, realized, quantity, value)]
            self._emit(found.event(*numbers))

    def scanner_row(
        self, request_id: int, rank: int, found: Any, distance: str, benchmark: str, projection: str, _legs: str
    ) -> None:
        rows = self._scans.setdefault(request_id, [])
        rows.append(ScannerRow(rank, contract_from(found.contract), distance, benchmark, projection))

    def scanner_end(self, request_id: int) -> None:
        rows = tuple(self._scans.pop(request_id, []))
        found = self._live.get(request_id)
        if isinstance(found, ScannerSubscription):
            self._emit(found.event(rows))
        else:
            self._awaited.end(request_id, rows)

    def _quote(self, request_id: int) -> QuoteSubscription | None:
        found = self._live.get(request_id)
        return found if isinstance(found, QuoteSubscription) else None
