"""Connection: a gateway for the rest of the platform. Plain calls with deadlines down, events up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.bars import BarSeries
from domain.sessions import SessionTable
from domain.timeframe import Timeframe
from gateway import orders, requests, synchronising
from gateway.answers import (
    ContractDetails,
    Margins,
    NewsArticle,
    NewsItem,
    NewsProvider,
    Placed,
    PriceStep,
    Schedule,
    SymbolMatch,
)
from gateway.contract import Contract
from gateway.errors import Refused
from gateway.events import (
    AccountValueReported,
    Executions,
    OpenOrders,
    OrderCompleted,
    PositionReported,
    ScannerRow,
)
from gateway.history import WHATS, HistoryRequest, ProvenEmpty
from gateway.loop_thread import LoopThread
from gateway.orders import BeforeSend
from gateway.subscriptions import (
    BarsSubscription,
    BulletinSubscription,
    FiveSecondSubscription,
    PnlSubscription,
    QuoteSubscription,
    ScannerSubscription,
    Subscription,
)
from gateway.tickets import OrderTicket
from gateway.translate import checked, clean

NAN = float("nan")
_SECONDS = 10.0
_HISTORY_SECONDS = 60.0


class Connection(LoopThread):
    """One role's connection to a gateway: one client id, one thread with a loop, one queue of events.

    Every call may come from any thread and has a deadline in `seconds`; it returns what it says or raises a
    GatewayError, whose class says what to do. Asked before the connection is ready, it raises NotReady at once.
    """

    # Data

    def server_time(self, seconds: float = _SECONDS) -> int:
        """The gateway's clock in whole seconds since 1970."""
        return self._ask(lambda session: requests.server_time(session, seconds), seconds)

    def history(
        self, request: HistoryRequest, sessions: SessionTable | None = None, seconds: float = _HISTORY_SECONDS
    ) -> BarSeries | ProvenEmpty:
        """Complete bars with start and end, or the proof that there are none (`history.series_of` has the rules)."""
        return self._ask(lambda session: requests.history(session, request, sessions, seconds), seconds)

    def head_time_ns(
        self, contract: Contract, what: str = "TRADES", regular_hours: bool = True, seconds: float = _SECONDS
    ) -> int:
        return self._ask(
            lambda session: requests.head_time_ns(session, contract, what, regular_hours, seconds), seconds
        )

    def schedule(
        self,
        contract: Contract,
        duration: str = "30 D",
        end_ns: int | None = None,
        regular_hours: bool = True,
        seconds: float = _SECONDS,
    ) -> Schedule | ProvenEmpty:
        return self._ask(
            lambda session: requests.schedule(session, contract, duration, end_ns, regular_hours, seconds), seconds
        )

    def contract_details(self, contract: Contract, seconds: float = _SECONDS) -> tuple[ContractDetails, ...]:
        return self._ask(lambda session: requests.contract_details(session, contract, seconds), seconds)

    def qualify(self, contract: Contract, seconds: float = _SECONDS) -> ContractDetails:
        """The one contract that fits; Refused where none or several do."""
        return self._ask(lambda session: requests.qualify(session, contract, seconds), seconds)

    def matching_symbols(self, pattern: str, seconds: float = _SECONDS) -> tuple[SymbolMatch, ...]:
        return self._ask(lambda session: requests.matching_symbols(session, pattern, seconds), seconds)

    def market_rule(self, rule: int, seconds: float = _SECONDS) -> tuple[PriceStep, ...]:
        return self._ask(lambda session: requests.market_rule(session, rule, seconds), seconds)

    def news_providers(self, seconds: float = _SECONDS) -> tuple[NewsProvider, ...]:
        return self._ask(lambda session: requests.news_providers(session, seconds), seconds)

    def news_article(self, provider: str, article_id: str, seconds: float = _SECONDS) -> NewsArticle:
        return self._ask(lambda session: requests.news_article(session, provider, article_id, seconds), seconds)

    def news_history(
        self,
        con_id: int,
        providers: tuple[str, ...],
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        seconds: float = _SECONDS,
    ) -> tuple[NewsItem, ...]:
        return self._ask(
            lambda session: requests.news_history(session, con_id, providers, start_ns, end_ns, limit, seconds), seconds
        )

    def scanner_parameters(self, seconds: float = _SECONDS) -> str:
        return self._ask(lambda session: requests.scanner_parameters(session, seconds), seconds)

    def scan(
        self, fields: dict[str, Any], filters: tuple[tuple[str, str], ...] = (), seconds: float = _SECONDS
    ) -> tuple[ScannerRow, ...]:
        """One answer of a scanner; `fields` are those of the library's scanner subscription."""
        return self._ask(lambda session: requests.scan(session, fields, filters, seconds), seconds)

    # The account

    def positions(self, seconds: float = _SECONDS) -> tuple[PositionReported, ...]:
        return self._ask(lambda session: synchronising.positions(session, seconds), seconds)

    def open_orders(self, seconds: float = _SECONDS) -> OpenOrders:
        """The working orders of all clients."""
        return self._ask(lambda session: synchronising.open_orders(session, seconds), seconds)

    def completed_orders(self, seconds: float = _SECONDS) -> tuple[OrderCompleted, ...]:
        return self._ask(lambda session: synchronising.completed_orders(session, seconds), seconds)

    def executions(self, seconds: float = _SECONDS) -> Executions:
        """Since midnight, with the commissions that IB knows by now."""
        return self._ask(lambda session: synchronising.executions(session, seconds), seconds)

    def account_values(self, seconds: float = _SECONDS) -> tuple[AccountValueReported, ...]:
        return self._ask(
            lambda session: synchronising.account_values(session, self._require_open().account, seconds), seconds
        )

    def account_summary(self, *tags: str, seconds: float = _SECONDS) -> tuple[AccountValueReported, ...]:
        return self._ask(lambda session: requests.account_summary(session, tags, seconds), seconds)

    # Orders

    def reserve_order_id(self, floor: int = 0, seconds: float = _SECONDS) -> int:
        """An order id that was never used, at least `floor` (the highest in our own books, plus one)."""

        async def work() -> int:
            return orders.reserve(self._require_open(), floor)

        return self._call(work(), seconds)

    def place(
        self,
        contract: Contract,
        ticket: OrderTicket,
        *,
        order_id: int,
        before_send: BeforeSend | None = None,
        seconds: float = _SECONDS,
    ) -> Placed:
        """Send an order under a reserved id, or change the one that has it. Returns: it was sent. Raises: it was not.

        Only ConnectionLost of a deadline passed in the call itself (NoAnswer) leaves that open.
        """
        return self._call(
            orders.place(self._require_open(), contract, [(order_id, ticket)], before_send, seconds), seconds
        )

    def place_bracket(
        self,
        contract: Contract,
        entry: OrderTicket,
        *,
        stop_loss: float = NAN,
        take_profit: float = NAN,
        before_send: BeforeSend | None = None,
        seconds: float = _SECONDS,
    ) -> tuple[Placed, ...]:
        return self._call(
            orders.place_bracket(self._require_open(), contract, entry, stop_loss, take_profit, before_send, seconds),
            seconds,
        )

    def cancel(self, order_id: int, seconds: float = _SECONDS) -> None:
        self._call(orders.cancel(self._require_open(), order_id, seconds), seconds)

    def cancel_all(self, seconds: float = _SECONDS) -> None:
        """Cancel every working order of the login, of other clients and by hand too."""
        self._call(orders.cancel_all(self._require_open(), seconds), seconds)

    def what_if(self, contract: Contract, ticket: OrderTicket, seconds: float = _SECONDS) -> Margins:
        return self._call(orders.what_if(self._require_open(), contract, ticket, seconds), seconds)

    # Streams, which outlive the session: they are asked for again after each reconnect and each loss of data

    def subscribe_quotes(self, contract: Contract, *, news: tuple[str, ...] = (), seconds: float = _SECONDS) -> int:
        """QuoteChanged events, and NewsHeadline ones of the providers named. The number ends it in `unsubscribe`."""
        providers = clean(",".join(news), "news providers")
        ticks = f"mdoff,{','.join(f'292:{code}' for code in providers.split(','))}" if news else ""
        return self._subscribe(lambda number: QuoteSubscription(number, checked(contract), ticks), seconds)

    def subscribe_bars(
        self,
        contract: Contract,
        timeframe: Timeframe,
        *,
        what: str = "TRADES",
        regular_hours: bool = True,
        duration: str = "1 D",
        seconds: float = _SECONDS,
    ) -> int:
        """BarUpdated events: the bars of the last `duration`, then the forming one and each as it closes."""
        HistoryRequest(contract, timeframe, duration, what, regular_hours).check()
        return self._subscribe(
            lambda number: BarsSubscription(number, checked(contract), timeframe, what, regular_hours, duration),
            seconds,
        )

    def subscribe_five_second_bars(
        self, contract: Contract, *, what: str = "TRADES", regular_hours: bool = True, seconds: float = _SECONDS
    ) -> int:
        if what not in WHATS:
            raise Refused(f"{what[:30]!r} is not a kind of bars; known: {', '.join(WHATS)}")
        return self._subscribe(
            lambda number: FiveSecondSubscription(number, checked(contract), what, regular_hours), seconds
        )

    def subscribe_pnl(self, contract: Contract | None = None, seconds: float = _SECONDS) -> int:
        """PnlReported events of the account, or of its position in a contract (by its id)."""
        position = Contract() if contract is None else contract
        if contract is not None and not contract.con_id:
            raise Refused("the profit of a position is asked for by the contract's id")
        account = self._require_open().account
        return self._subscribe(lambda number: PnlSubscription(number, account, position), seconds)

    def subscribe_bulletins(self, seconds: float = _SECONDS) -> int:
        return self._subscribe(lambda number: BulletinSubscription(number, Contract()), seconds)

    def subscribe_scanner(
        self, fields: dict[str, Any], filters: tuple[tuple[str, str], ...] = (), seconds: float = _SECONDS
    ) -> int:
        return self._subscribe(lambda number: ScannerSubscription(number, fields, filters), seconds)

    def unsubscribe(self, number: int, seconds: float = _SECONDS) -> None:
        """End a stream; one that has ended is no error."""
        supervisor = self._require_open()

        async def work() -> None:
            supervisor.unsubscribe(number)

        self._call(work(), seconds)

    def _subscribe(self, make: Callable[[int], Subscription], seconds: float) -> int:
        supervisor = self._require_open()

        async def work() -> int:
            return await supervisor.subscribe(make)

        return self._call(work(), seconds)
