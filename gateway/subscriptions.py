"""Subscriptions: what was asked to stream, which outlives the session that streams it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from domain.timeframe import Timeframe
from gateway.contract import Contract
from gateway.events import (
    BarUpdated,
    FiveSecondBar,
    NewsHeadline,
    PnlReported,
    QuoteChanged,
    ScannerRow,
    ScannerUpdated,
)
from gateway.history import BAR_SIZES, EPOCH_SECONDS, Rows, bar_span
from gateway.library import Library
from gateway.translate import SECOND_NS

NAN = float("nan")


class Subscription(ABC):
    """`number` names it for its whole life; `request_id` in the session of now, 0 while it is not asked for."""

    code_of_delayed: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, number: int, contract: Contract) -> None:
        self.number = number
        self.contract = contract
        self.request_id = 0
        self.last_data = 0.0

    @abstractmethod
    def ask(self, requests: Any, library: Library, request_id: int) -> None: ...

    @abstractmethod
    def cancel(self, requests: Any, request_id: int) -> None: ...


_PRICES = {1: "bid", 66: "bid", 2: "ask", 67: "ask", 4: "last", 68: "last"}
_LEVELS = {
    6: "high",
    72: "high",
    7: "low",
    73: "low",
    9: "previous_close",
    75: "previous_close",
    14: "open",
    76: "open",
}
_SIZES = {0: "bid_size", 69: "bid_size", 3: "ask_size", 70: "ask_size", 5: "last_size", 71: "last_size"}
_SIZES |= {8: "volume", 74: "volume"}
_HALTED = (49, 90)


class QuoteSubscription(Subscription):
    """Top of the book, day figures, and the headlines of the news providers named in `generic_ticks`."""

    def __init__(self, number: int, contract: Contract, generic_ticks: str = "") -> None:
        super().__init__(number, contract)
        self.data_type = 1
        self._generic_ticks = generic_ticks
        self._values = dict.fromkeys((*_PRICES.values(), *_LEVELS.values(), *_SIZES.values()), NAN)
        self._halted = False

    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        requests.reqMktData(request_id, library.contract(self.contract), self._generic_ticks, False, False, [])

    def cancel(self, requests: Any, request_id: int) -> None:
        requests.cancelMktData(request_id)

    def price(self, tick: int, price: float, size: float) -> bool:
        name = _PRICES.get(tick)
        if name is None:
            name = _LEVELS.get(tick)
            return name is not None and self._set(name, price if price != -1 else NAN)
        quoted = not (price == -1 and size == 0)  # how "no quote" is written
        changed = self._set(name, price if quoted else NAN)
        return self._set(f"{name}_size", size if quoted else NAN) or changed

    def set_size(self, tick: int, size: float) -> bool:
        name = _SIZES.get(tick)
        return name is not None and self._set(name, size)

    def generic(self, tick: int, value: float) -> bool:
        if tick not in _HALTED:
            return False
        before, self._halted = self._halted, value > 0
        return before != self._halted

    def event(self, now_ns: int) -> QuoteChanged:
        return QuoteChanged(
            now_ns, self.number, self.contract, **self._values, halted=self._halted, data_type=self.data_type
        )

    def headline(self, time_ns: int, provider: str, article_id: str, headline: str) -> NewsHeadline:
        return NewsHeadline(time.time_ns(), self.number, time_ns, provider, article_id, headline)

    def _set(self, name: str, value: float) -> bool:
        self.last_data = time.monotonic()
        before, self._values[name] = self._values[name], value
        return before != value and not (before != before and value != value)


class BarsSubscription(Subscription):
    """A history that is kept up to date. Tells every bar once as closed, over reconnects too."""

    def __init__(
        self, number: int, contract: Contract, timeframe: Timeframe, what: str, regular_hours: bool, duration: str
    ) -> None:
        super().__init__(number, contract)
        self._timeframe = timeframe
        self._asked = (duration, BAR_SIZES[timeframe], what, regular_hours)
        self._forming: BarUpdated | None = None
        self._closed_until = -(2**62)

    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        duration, size, what, regular_hours = self._asked
        requests.reqHistoricalData(
            request_id,
            library.contract(self.contract),
            "",
            duration,
            size,
            what,
            regular_hours,
            EPOCH_SECONDS,
            True,
            [],
        )

    def cancel(self, requests: Any, request_id: int) -> None:
        requests.cancelHistoricalData(request_id)

    def begin(self, rows: Rows) -> Iterator[BarUpdated]:
        """The bars of the first answer, and of the one after each reconnect; it may hold none."""
        columns = zip(rows.dates, rows.open, rows.high, rows.low, rows.close, rows.volume, strict=True)
        for date, *numbers in columns:
            yield from self.update(date, *map(float, numbers))

    def update(
        self, date: str, open_: float, high: float, low: float, close: float, volume: float
    ) -> Iterator[BarUpdated]:
        """The event of a bar, after that of the one it closes. One older than the forming bar says nothing new."""
        self.last_data = time.monotonic()
        start, end = bar_span(date, self._timeframe)
        forming = self._forming
        if start < self._closed_until or (forming is not None and start < forming.start_ns):
            return
        now_ns = time.time_ns()
        if forming is not None and start > forming.start_ns:
            self._closed_until = forming.start_ns + 1
            yield forming._replace(at_ns=now_ns, closed=True)
        bar = BarUpdated(
            now_ns,
            self.number,
            self.contract,
            start,
            end,
            open_,
            high,
            low,
            close,
            volume if volume >= 0 else NAN,
            closed=False,
        )
        if forming is not None and bar[3:] == forming[3:]:
            return
        self._forming = bar
        yield bar


class FiveSecondSubscription(Subscription):
    def __init__(self, number: int, contract: Contract, what: str, regular_hours: bool) -> None:
        super().__init__(number, contract)
        self._asked = (what, regular_hours)

    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        what, regular_hours = self._asked
        requests.reqRealTimeBars(request_id, library.contract(self.contract), 5, what, regular_hours, [])

    def cancel(self, requests: Any, request_id: int) -> None:
        requests.cancelRealTimeBars(request_id)

    def bar(
        self, seconds: int, open_: float, high: float, low: float, close: float, volume: float, average: float
    ) -> FiveSecondBar:
        self.last_data = time.monotonic()
        volume, average = (number if number >= 0 else NAN for number in (volume, average))
        return FiveSecondBar(
            time.time_ns(),
            self.number,
            self.contract,
            seconds * SECOND_NS,
            open_,
            high,
            low,
            close,
            volume,
            average,
        )


class PnlSubscription(Subscription):
    """Of an account, or of one of its positions."""

    def __init__(self, number: int, account: str, contract: Contract) -> None:
        super().__init__(number, contract)
        self._account = account

    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        if self.contract.con_id:
            requests.reqPnLSingle(request_id, self._account, "", self.contract.con_id)
        else:
            requests.reqPnL(request_id, self._account, "")

    def cancel(self, requests: Any, request_id: int) -> None:
        if self.contract.con_id:
            requests.cancelPnLSingle(request_id)
        else:
            requests.cancelPnL(request_id)

    def event(
        self, daily: float, unrealized: float, realized: float, quantity: float = NAN, value: float = NAN
    ) -> PnlReported:
        self.last_data = time.monotonic()
        return PnlReported(
            time.time_ns(),
            self.number,
            self._account,
            self.contract.con_id,
            daily,
            unrealized,
            realized,
            quantity,
            value,
        )


class BulletinSubscription(Subscription):
    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        requests.reqNewsBulletins(True)

    def cancel(self, requests: Any, request_id: int) -> None:
        requests.cancelNewsBulletins()


class ScannerSubscription(Subscription):
    """`fields` are those of the library's scanner subscription, `filters` pairs of tag and value."""

    def __init__(self, number: int, fields: dict[str, Any], filters: tuple[tuple[str, str], ...]) -> None:
        super().__init__(number, Contract())
        self._fields = fields
        self._filters = filters

    def ask(self, requests: Any, library: Library, request_id: int) -> None:
        requests.reqScannerSubscription(request_id, library.scanner(self._fields), [], library.tags(self._filters))

    def cancel(self, requests: Any, request_id: int) -> None:
        requests.cancelScannerSubscription(request_id)

    def event(self, rows: tuple[ScannerRow, ...]) -> ScannerUpdated:
        self.last_data = time.monotonic()
        return ScannerUpdated(time.time_ns(), self.number, rows)
