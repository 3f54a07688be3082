"""Exchange: the simulated market place and the accounts at it. Orders in, facts out; time comes from the caller.

Synchronous and deterministic: the same calls at the same times give the same facts. What a call returns has been kept
in the state file before the call returns.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from domain.errors import BadInput
from gateway.simulator import account_values as values
from gateway.simulator import keeping
from gateway.simulator.books import AccountSettings, Books
from gateway.simulator.clock import Clock
from gateway.simulator.commissions import base_of
from gateway.simulator.corrections import correct
from gateway.simulator.ledger import Ledger
from gateway.simulator.lifetimes import SECOND_NS
from gateway.simulator.placing import Placing
from gateway.simulator.policy import FillPolicy, RejectRule
from gateway.simulator.records import (
    AccountChanged,
    Changed,
    CommissionReport,
    Execution,
    Fact,
    Holding,
    HoldingChanged,
    Opened,
    OrderStatus,
    PlacedOrder,
    Told,
    WireOrder,
)
from gateway.simulator.states import State
from gateway.simulator.timeline import Timeline
from gateway.simulator.trading import BY_SYSTEM, BY_TRADER, Market, Trading
from gateway.simulator.validation import Refusal, find_listing, with_defaults
from gateway.simulator.working import FOREVER, WorkingOrder

ZONE = "America/New_York"
MANUAL_CLIENT = 0
"""Whose orders those are that nobody sent through the API; they have order id 0 until they are bound."""
_NOTICES = (202, 399, 404)
_SIDES = {"BUY": "BOT", "SELL": "SLD"}


class Exchange:
    """`policy` may be replaced and `reject_rules` added at any time. A time before `now_ns`, which the exchange has
    reached, counts as that one. With `binds_later`, manual orders get an id as soon as they are there."""

    def __init__(
        self,
        market: Market,
        clock: Clock,
        accounts: Mapping[str, AccountSettings],
        seed: int = 1,
        policy: FillPolicy | None = None,
        state: State | None = None,
    ) -> None:
        if not accounts:
            raise BadInput("exchange: give at least one account")
        self.market = market
        self.ledger = Ledger()
        self.books = Books(market, dict(accounts), self.ledger)
        self.binds_later = False
        stamp = f"{zlib.crc32(f'exchange {seed}'.encode()):08x}"
        self._trading = Trading(market, self.books, self.ledger, policy or FillPolicy(), stamp)
        self._placing = Placing(self._trading)
        self._state = state
        lived_ns = self._restored(state) if state is not None else 0
        self._timeline = Timeline(self._trading, lived_ns or clock.now_ns(), ZONE)
        known = {account for account, _ in self.books.cash}
        for number, settings in accounts.items():
            if number not in known:
                self.books.move_cash(self.now_ns, number, settings.currency, settings.cash, "deposit")
        self._end()

    def _restored(self, state: State) -> int:
        try:
            return keeping.restore(state, self._trading, self._placing)
        except BadInput:
            state.close()
            raise

    @property
    def now_ns(self) -> int:
        """How far the exchange has lived. A state file brings it along: start the clock no earlier."""
        return self._timeline.now_ns

    @property
    def policy(self) -> FillPolicy:
        return self._trading.policy

    @policy.setter
    def policy(self, policy: FillPolicy) -> None:
        self._trading.policy = policy

    @property
    def reject_rules(self) -> list[RejectRule]:
        return self._placing.reject_rules

    def close(self) -> None:
        if self._state is not None:
            self._state.close()

    # Time

    def advance(self, now_ns: int) -> list[Fact]:
        self._timeline.live_until(now_ns)
        return self._end()

    # Orders

    def place(self, client_id: int, order: WireOrder, now_ns: int) -> list[Fact]:
        self._timeline.live_until(now_ns)
        self._placing.place(client_id, order, self.now_ns)
        return self._end()

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> list[Fact]:
        self._timeline.live_until(now_ns)
        working = self._trading.book.find(client_id, order_id)
        if working is None:
            self._tell(client_id, order_id, 10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        elif working.order.status is OrderStatus.FILLED:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: Filled."
            self._tell(client_id, order_id, 10148, text)
        elif not working.is_live:
            text = "Cancel attempted when order is not in a cancellable state.  Order permId ="
            self._tell(client_id, order_id, 161, f"{text}{working.order.perm_id}")
        else:
            self._ask_to_cancel(working)
        return self._end()

    def cancel_all(self, now_ns: int) -> list[Fact]:
        """Every order of every client."""
        self._timeline.live_until(now_ns)
        for working in list(self._trading.book.live()):
            if working.is_live:
                self._ask_to_cancel(working)
        return self._end()

    def _ask_to_cancel(self, working: WorkingOrder) -> None:
        policy = self.policy
        if policy.tells_pending_cancel and working.transmitted:
            self._trading.facts.append(working.changed(OrderStatus.PENDING_CANCEL))
        if not policy.cancel_delay_seconds:
            self._trading.cancel(working, self.now_ns, BY_TRADER)
        elif working.cancel_ns == FOREVER:
            working.cancel_ns = self.now_ns + round(policy.cancel_delay_seconds * SECOND_NS)
            self._trading.changed(working)

    def _tell(self, client_id: int, order_id: int, code: int, text: str) -> None:
        self._trading.facts.append(Told(client_id, order_id, code, text))

    # Ids

    def next_order_id(self, client_id: int) -> int:
        """Above every order id that the client has used, over restarts too."""
        return self._placing.next_id(client_id)

    def reserve_order_ids(self, client_id: int, count: int) -> int:
        """The first of `count` ids that are the client's from now on."""
        first = self.next_order_id(client_id)
        self._placing.set_next_id(client_id, first + max(count, 1))
        self._end()
        return first

    def roll_back_ids(self, client_id: int, count: int) -> int:
        """A fault: forget the last `count` ids, as a gateway that lost its settings does; the next id."""
        self._placing.set_next_id(client_id, max(1, self.next_order_id(client_id) - count))
        self._end()
        return self.next_order_id(client_id)

    # What others do to orders and executions

    def external_order(self, order: WireOrder, now_ns: int) -> tuple[int, list[Fact]]:
        """(perm id, facts) of an order that a person places by hand; BadInput where the exchange refuses it."""
        self._timeline.live_until(now_ns)
        request = with_defaults(replace(order, order_id=0, parent_id=0, transmit=True), tuple(self.books.settings))
        listing = find_listing(self.market.find, request)
        wrong = listing if isinstance(listing, Refusal) else self._placing.check(-1, request, listing, self.now_ns)
        if wrong is not None or isinstance(listing, Refusal):
            self._end()
            raise BadInput(f"external order: {wrong.code if wrong else ''} {wrong.text if wrong else ''}")
        working = self._trading.accept(MANUAL_CLIENT, request, listing, self.now_ns)
        if self.binds_later:
            self._bind(working)
        self._trading.release(working, self.now_ns)
        return working.order.perm_id, self._end()

    def bind_external(self, now_ns: int) -> list[Fact]:
        """Give manual orders that live an id of client 0, a negative one."""
        self._timeline.live_until(now_ns)
        for working in list(self._trading.book.live()):
            if working.order.order_id == 0:
                self._bind(working)
                self._trading.facts += [working.opened(), working.changed()]
        return self._end()

    def _bind(self, working: WorkingOrder) -> None:
        working.order.request = replace(working.request, order_id=self._placing.take_bound_id())
        self._trading.book.bind(working)
        self._trading.changed(working)

    def cancel_by_exchange(self, perm_id: int, now_ns: int, reason: str = "") -> list[Fact]:
        """End an order without being asked to; nothing where it does not live."""
        self._timeline.live_until(now_ns)
        working = self._trading.book.by_perm.get(perm_id)
        if working is not None:
            self._trading.cancel(working, self.now_ns, BY_SYSTEM, reason)
        return self._end()

    def correct(self, exec_id: str, quantity: float, price: float, now_ns: int) -> list[Fact]:
        """Revise an execution of today; BadInput where there is none or the numbers cannot be."""
        self._timeline.live_until(now_ns)
        correct(self._trading, exec_id, quantity, price, self.now_ns, self._timeline.day_start())
        return self._end()

    def bust(self, exec_id: str, now_ns: int) -> list[Fact]:
        """Undo an execution of today: its next revision has quantity 0."""
        booked = self._trading.executions.get(base_of(exec_id))
        return self.correct(exec_id, 0.0, booked.execution.price if booked else 1.0, now_ns)

    # Questions

    def find_order(self, client_id: int, order_id: int) -> PlacedOrder | None:
        working = self._trading.book.find(client_id, order_id)
        return None if working is None else working.order

    def open_orders(self, client_id: int | None = None) -> list[PlacedOrder]:
        """Orders that live and were transmitted, of one client or of all."""
        return [
            working.order
            for working in self._trading.book.live()
            if working.transmitted and client_id in (None, working.order.client_id)
        ]

    def completed_orders(self) -> list[PlacedOrder]:
        """Orders that ended today, in the order in which they did."""
        start_ns = self._timeline.day_start()
        ended = (each.order for each in self._trading.book.by_perm.values() if not each.is_live and each.transmitted)
        return sorted((order for order in ended if order.ended_ns >= start_ns), key=lambda order: order.ended_ns)

    def executions(
        self,
        *,
        client_id: int | None = None,
        account: str = "",
        since_ns: int = 0,
        symbol: str = "",
        sec_type: str = "",
        exchange: str = "",
        side: str = "",
    ) -> list[Execution]:
        """Today's executions in their last revision, oldest first; what is empty is not asked for."""
        since_ns = max(since_ns, self._timeline.day_start())
        found = []
        for booked in self._trading.executions.values():
            execution, contract = booked.execution, booked.execution.listing.contract
            wanted = (
                (account, execution.account),
                (symbol, contract.symbol),
                (sec_type, contract.sec_type),
                (exchange, contract.exchange),
                (_SIDES.get(side, side), execution.side),
            )
            if execution.time_ns < since_ns or client_id not in (None, execution.client_id):
                continue
            if all(not asked or asked == given for asked, given in wanted):
                found.append(execution)
        return found

    def commission_of(self, exec_id: str) -> CommissionReport | None:
        """None where it is not known yet."""
        booked = self._trading.executions.get(base_of(exec_id))
        return booked.report() if booked is not None and booked.is_charged else None

    def holdings(self, account: str) -> list[Holding]:
        """Positions; those closed today are there with quantity 0."""
        return [position.holding() for position in self.books.held(account)]

    def mark(self, con_id: int, now_ns: int) -> float:
        """The price that positions are valued at; NaN before the first."""
        return self.market.mark(con_id, now_ns)

    def account_values(self, account: str, now_ns: int) -> list[tuple[str, str, str]]:
        """(key, value, currency) rows."""
        return values.account_values(self.books, account, max(now_ns, self.now_ns))

    def summary(self, account: str, tags: Iterable[str], now_ns: int) -> list[tuple[str, str, str]]:
        """(tag, value, currency) rows."""
        return values.summary(self.books, account, tags, max(now_ns, self.now_ns))

    def pnl(self, account: str, now_ns: int) -> tuple[float, float, float]:
        """(daily, unrealised, realised today) in the base currency."""
        worth = self.books.worth(account, max(now_ns, self.now_ns))
        return worth.daily, worth.unrealized, worth.realized

    def pnl_single(self, account: str, con_id: int, now_ns: int) -> tuple[float, float, float, float, float]:
        """(position, daily, unrealised, realised today, value) in the listing's currency."""
        position = self.books.positions.get((account, con_id))
        if position is None:
            return 0.0, 0.0, 0.0, 0.0, 0.0
        price = self.books.mark(position.listing, max(now_ns, self.now_ns))
        profits = position.day_pnl(price), position.unrealized(price), position.realized
        return (position.quantity, *profits, position.value(price))

    # The end of a call

    def _end(self) -> list[Fact]:
        """Keep what has changed, then hand out what happened."""
        trading = self._trading
        self._keep()
        facts, trading.facts = trading.facts, []
        # Nobody in the API knows an order without an id; its executions are told.
        facts = [fact for fact in facts if not _is_of_unnamed(fact)]
        for (account, con_id), listing in trading.touched_positions.items():
            position = self.books.positions.get((account, con_id))
            flat = Holding(account, listing, 0.0, 0.0, 0.0)
            facts.append(HoldingChanged(position.holding() if position is not None else flat))
        facts += [AccountChanged(account) for account in trading.touched_accounts]
        trading.touched_positions, trading.touched_accounts = {}, {}
        return facts

    def _keep(self) -> None:
        trading = self._trading
        names = (*trading.changed_names(), self._placing.changed_clients)
        if not any(names):
            return
        if self._state is not None:
            facts, forgotten = keeping.changed_facts(trading, self._placing, self.now_ns)
            self._state.write(facts, forgotten, self.ledger.unkept())
        self.ledger.keep()
        for changed in (*names, trading.drifted_orders):
            changed.clear()


def _is_of_unnamed(fact: Fact) -> bool:
    """Whether it tells of an order without an id; a refusal of the id 0 itself does not."""
    if isinstance(fact, Opened):
        return fact.order.order_id == 0 and fact.margins is None
    if isinstance(fact, Told):
        return fact.order_id == 0 and fact.code in _NOTICES
    return isinstance(fact, Changed) and fact.order_id == 0 and fact.perm_id != 0


__all__ = ["AccountSettings", "Exchange", "FillPolicy", "RejectRule", "State"]
