"""Exchange: the simulated market place and the accounts at it. Orders in, facts out; time comes from the caller.

Synchronous and deterministic: the same calls at the same times give the same facts. What a call returns has been kept
in the state file before the call returns.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from domain.errors import BadInput
from gateway.simulator import account_values as values
from gateway.simulator.books import AccountSettings, Books, exposure
from gateway.simulator.clock import Clock
from gateway.simulator.ledger import Ledger
from gateway.simulator.lifetimes import SECOND_NS, lifetime
from gateway.simulator.policy import FillPolicy, RejectRule
from gateway.simulator.records import (
    NAN,
    AccountChanged,
    Changed,
    CommissionReport,
    Execution,
    Fact,
    Holding,
    HoldingChanged,
    Listing,
    Margins,
    Opened,
    OrderStatus,
    PlacedOrder,
    Told,
    WireOrder,
)
from gateway.simulator.states import State
from gateway.simulator.timeline import Timeline
from gateway.simulator.trading import BY_TRADER, Market, Trading, base_of
from gateway.simulator.validation import (
    DUPLICATE_ID,
    IS_FILLED,
    NO_PARENT,
    Refusal,
    Rules,
    find_listing,
    modification_refusal,
    refusal,
    rejected,
    with_defaults,
)
from gateway.simulator.working import FOREVER, WorkingOrder

ZONE = "America/New_York"


class Exchange:
    """`policy` may be replaced at any time. Times before the one that the exchange has reached count as that one."""

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
        self.reject_rules: list[RejectRule] = []
        stamp = f"{zlib.crc32(f'exchange {seed}'.encode()):08x}"
        self._trading = Trading(market, self.books, self.ledger, policy or FillPolicy(), stamp)
        self._timeline = Timeline(self._trading, clock.now_ns(), ZONE)
        self._next_ids: dict[int, int] = {}
        self._changed_clients: set[int] = set()
        self._state = state
        for number, settings in accounts.items():
            self.books.move_cash(self.now_ns, number, settings.currency, settings.cash, "deposit")
        self._end()

    @property
    def now_ns(self) -> int:
        """How far the exchange has lived."""
        return self._timeline.now_ns

    @property
    def policy(self) -> FillPolicy:
        return self._trading.policy

    @policy.setter
    def policy(self, policy: FillPolicy) -> None:
        self._trading.policy = policy

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
        self._place(client_id, with_defaults(order, tuple(self.books.settings)))
        return self._end()

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> list[Fact]:
        self._timeline.live_until(now_ns)
        working = self._trading.book.find(client_id, order_id)
        if working is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._trading.facts.append(Told(client_id, order_id, 10147, text))
        elif not working.is_live:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {working.order.status}."
            self._trading.facts.append(Told(client_id, order_id, 10148, text))
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

    def _place(self, client_id: int, request: WireOrder) -> None:
        existing = self._trading.book.find(client_id, request.order_id)
        if existing is not None and not request.what_if:
            self._modify(existing, request)
            return
        listing = find_listing(self.market.find, request)
        wrong = listing if isinstance(listing, Refusal) else self._refusal(client_id, request, listing)
        if wrong is not None:
            self._refuse(client_id, request.order_id, wrong)
            return
        assert isinstance(listing, Listing)
        if request.what_if:
            self._answer_what_if(client_id, request, listing)
            return
        self._use_id(client_id, request.order_id)
        working = self._trading.accept(client_id, request, listing, self.now_ns)
        if request.transmit:
            self._release_family(working)

    def _refusal(self, client_id: int, request: WireOrder, listing: Listing) -> Refusal | None:
        if not request.what_if and request.order_id < self._next_ids.get(client_id, 1):
            return DUPLICATE_ID
        if request.parent_id:
            parent = self._trading.book.find(client_id, request.parent_id)
            if parent is None:
                return NO_PARENT
            if not parent.is_live:
                return rejected("Parent order is not working.")
        wrong = refusal(request, listing, self._rules())
        if wrong is None and self._never_trades(request, listing):
            wrong = Refusal(392, "Invalid order: contract expired.")
        return wrong or self._funds_refusal(request, listing) or self._ruled_out(request, listing)

    def _rules(self) -> Rules:
        return Rules(tuple(self.books.settings), self.policy.denied_types, self.now_ns)

    def _never_trades(self, request: WireOrder, listing: Listing) -> bool:
        try:
            window = lifetime(self.market, listing.con_id, listing.zone, request, self.now_ns)[2]
        except BadInput:
            return True
        return window[0] >= FOREVER

    def _ruled_out(self, request: WireOrder, listing: Listing) -> Refusal | None:
        for rule in self.reject_rules:
            if rule.matches(request, listing):
                rule.times -= 1
                return Refusal(rule.code, rule.text)
        return None

    def _refuse(self, client_id: int, order_id: int, wrong: Refusal) -> None:
        self._trading.facts.append(Told(client_id, order_id, *wrong))
        if self.policy.tells_inactive:
            inactive = Changed(client_id, order_id, OrderStatus.INACTIVE, 0.0, 0.0, 0.0, 0, 0, 0.0, "")
            self._trading.facts.append(inactive)

    def _release_family(self, working: WorkingOrder) -> None:
        """What was sent to be transmitted, with its parent and all that was held back beside it."""
        book = self._trading.book
        parent = book.by_perm.get(working.order.parent_perm_id)
        head = parent if parent is not None and parent.is_live and not parent.transmitted else working
        family = [head, *book.children(head)]
        if working not in family:
            family.append(working)
        for member in family:
            if not member.transmitted:
                self._trading.release(member, self.now_ns)

    def _modify(self, working: WorkingOrder, request: WireOrder) -> None:
        order, old = working.order, working.request
        if not working.is_live:
            wrong = IS_FILLED if order.status is OrderStatus.FILLED else DUPLICATE_ID
            self._refuse_change(working, wrong)
            return
        matches = self.market.find(request.contract)
        request.oca_group = request.oca_group or old.oca_group
        request.oca_type = request.oca_type or old.oca_type
        wrong_change = modification_refusal(old, request, order.filled)
        if working.listing.con_id not in [listing.con_id for listing in matches]:
            wrong_change = Refusal(105, "Order being modified does not match original order")
        wrong_change = wrong_change or refusal(request, working.listing, self._rules())
        wrong_change = wrong_change or self._funds_refusal(request, working.listing, working)
        if wrong_change is not None:
            self._refuse_change(working, wrong_change)
            return
        order.request = request
        self._trading.modified(working, self.now_ns)
        if not working.transmitted:
            if request.transmit:
                self._release_family(working)
            return
        self._trading.facts += [working.opened(), working.changed()]

    def _refuse_change(self, working: WorkingOrder, wrong: Refusal) -> None:
        self._trading.facts.append(Told(working.order.client_id, working.order.order_id, *wrong))

    # Money

    def _funds_refusal(
        self, request: WireOrder, listing: Listing, replaced: WorkingOrder | None = None
    ) -> Refusal | None:
        """IB's refusal of an order that needs more margin than the account has; one that reduces is always taken."""
        account = request.account
        before = self._initial_margin(account, None, listing, replaced)[0]
        after = self._initial_margin(account, request, listing, replaced)[0]
        equity = self.books.worth(account, self.now_ns).equity
        if after <= before + 1e-6 or after <= equity:
            return None
        currency = self.books.settings[account].currency
        return rejected(
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
            f"[{equity:.2f} {currency}] MUST EXCEED THE INITIAL MARGIN [{after:.2f} {currency}]"
        )

    def _initial_margin(
        self, account: str, extra: WireOrder | None, listing: Listing, left_out: WorkingOrder | None = None
    ) -> tuple[float, float]:
        """(initial, maintenance) margin were all that works filled, and `extra` with it."""
        listings = {listing.con_id: listing}
        listings |= {position.listing.con_id: position.listing for position in self.books.held(account)}
        pending: dict[int, list[float]] = {}
        groups: set[str] = set()
        for working in self._trading.book.live():
            request = working.request
            if working is left_out or request.account != account or working.order.parent_perm_id:
                continue
            if request.oca_group and request.oca_group in groups:
                continue
            groups.add(request.oca_group)
            listings[working.listing.con_id] = working.listing
            pending.setdefault(working.listing.con_id, []).append(working.sign * working.order.remaining)
        if extra is not None and not extra.parent_id:
            sign = 1 if extra.action == "BUY" else -1
            filled = left_out.order.filled if left_out is not None else 0.0
            pending.setdefault(listing.con_id, []).append(sign * (extra.quantity - filled))
        units = []
        for con_id, each in listings.items():
            position = self.books.positions.get((account, con_id))
            units.append((each, exposure(position.quantity if position else 0.0, pending.get(con_id, ()))))
        return self.books.margins(account, units, self.now_ns)

    def _answer_what_if(self, client_id: int, request: WireOrder, listing: Listing) -> None:
        account = request.account
        before = self._initial_margin(account, None, listing)
        after = self._initial_margin(account, request, listing)
        order = PlacedOrder(request, listing, client_id, 0, OrderStatus.PRE_SUBMITTED, placed_ns=self.now_ns)
        fee, currency = self._expected_fee(order)
        equity = self.books.worth(account, self.now_ns).equity
        base = self.books.settings[account].currency
        cost = fee * self.books.rate(currency, base, self.now_ns)
        margins = Margins(
            (before[0], after[0] - before[0], after[0]),
            (before[1], after[1] - before[1], after[1]),
            (equity, -cost, equity - cost),
            fee,
            currency,
        )
        self._trading.facts.append(Opened(order, margins))

    def _expected_fee(self, order: PlacedOrder) -> tuple[float, str]:
        """The commission if the order filled at its limit, or at the price of the moment."""
        request = order.request
        limit = request.limit_price
        price = limit if limit == limit and limit > 0 else self.books.mark(order.listing, self.now_ns)
        whole = PlacedOrder(request, order.listing, order.client_id, 0, order.status, filled=request.quantity)
        return self._trading.fee(
            WorkingOrder(whole, value=request.quantity * price * order.listing.multiplier), self.now_ns
        )

    # Ids

    def next_order_id(self, client_id: int) -> int:
        """Above every order id that the client has used."""
        return self._next_ids.get(client_id, 1)

    def _use_id(self, client_id: int, order_id: int) -> None:
        self._next_ids[client_id] = max(self.next_order_id(client_id), order_id + 1)
        self._changed_clients.add(client_id)

    # Questions

    def open_orders(self, client_id: int | None = None) -> list[PlacedOrder]:
        """Orders that live and were transmitted, of one client or of all."""
        return [
            working.order
            for working in self._trading.book.live()
            if working.transmitted and client_id in (None, working.order.client_id)
        ]

    def completed_orders(self) -> list[PlacedOrder]:
        """Orders that ended today."""
        return sorted(
            (
                working.order
                for working in self._trading.book.by_perm.values()
                if not working.is_live and working.transmitted
            ),
            key=lambda order: order.ended_ns,
        )

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
        sides = {"BUY": "BOT", "SELL": "SLD"}
        found = []
        for booked in self._trading.executions.values():
            execution = booked.execution
            contract = execution.listing.contract
            wanted = (
                (account, execution.account),
                (symbol, contract.symbol),
                (sec_type, contract.sec_type),
                (exchange, contract.exchange),
                (sides.get(side, side), execution.side),
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
        """The price that positions are valued at."""
        listing = self.market.by_con_id(con_id)
        return NAN if listing is None else self.books.mark(listing, now_ns)

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
        return (
            position.quantity,
            position.day_pnl(price),
            position.unrealized(price),
            position.realized,
            position.value(price),
        )

    # The end of a call

    def _end(self) -> list[Fact]:
        """Keep what has changed, then hand out what happened."""
        trading = self._trading
        facts, trading.facts = trading.facts, []
        for account, con_id in trading.touched_positions:
            facts.append(HoldingChanged(self.books.positions[account, con_id].holding()))
        facts += [AccountChanged(account) for account in trading.touched_accounts]
        trading.touched_positions, trading.touched_accounts = {}, {}
        return facts


__all__ = ["AccountSettings", "Exchange", "FillPolicy", "State"]
