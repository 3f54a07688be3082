"""What happens to orders: accepted, released to the market, filled, charged, ended; and what follows for those tied to
them. Times come from the caller; facts pile up in `facts` in the order in which they happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from domain.adjustments import Dividend, Split
from domain.positions import DUST
from gateway.contract import Contract
from gateway.simulator.books import Books
from gateway.simulator.commissions import BookedExecution, base_of, order_fee
from gateway.simulator.ledger import Ledger, execution_terms, order_terms
from gateway.simulator.lifetimes import SECOND_NS, lifetime, spoken
from gateway.simulator.matching import on_tick, tick_at
from gateway.simulator.policy import FillPolicy
from gateway.simulator.records import (
    Charged,
    Executed,
    Execution,
    Fact,
    Listing,
    OrderStatus,
    PlacedOrder,
    Step,
    Told,
    WireOrder,
)
from gateway.simulator.validation import is_set
from gateway.simulator.working import FOREVER, STOPS, TRAILS, OrderBook, WorkingOrder

FILLED, CANCELLED, SUBMITTED = OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.SUBMITTED
BY_TRADER, BY_SYSTEM = "Cancelled by Trader", "Cancelled by System"


class Market(Protocol):
    """What the exchange asks of a market: deterministic, so the open of a second may be asked for while it runs."""

    def find(self, contract: Contract) -> list[Listing]: ...

    def by_con_id(self, con_id: int) -> Listing | None: ...

    def steps(self, con_id: int, after_ns: int, until_ns: int) -> list[Step]: ...

    def session(self, con_id: int, now_ns: int, outside_rth: bool) -> tuple[int, int] | None: ...

    def next_open(self, con_id: int, now_ns: int, outside_rth: bool) -> int: ...

    def mark(self, con_id: int, now_ns: int) -> float: ...

    def splits(self, con_id: int) -> tuple[Split, ...]:
        """Those that prices do not contain."""
        ...

    def dividends(self, con_id: int) -> tuple[Dividend, ...]: ...


class Trading:
    def __init__(self, market: Market, books: Books, ledger: Ledger, policy: FillPolicy, stamp: str) -> None:
        self.market = market
        self.books = books
        self.ledger = ledger
        self.policy = policy
        self.book = OrderBook()
        self.executions: dict[str, BookedExecution] = {}
        """By the execution's id without its revision."""
        self.facts: list[Fact] = []
        self.changed_orders: set[int] = set()
        self.drifted_orders: set[int] = set()
        """Changed in a way that follows from prices alone: living again through the same time repeats it."""
        self.changed_executions: set[str] = set()
        self.touched_accounts: dict[str, None] = {}
        self.touched_positions: dict[tuple[str, int], Listing] = {}
        self.next_perm_id = 1_000_000_001
        self.executions_made = 0
        self.on_change: Callable[[], None] = lambda: None
        self._stamp = stamp

    # Into the market

    def accept(self, client_id: int, request: WireOrder, listing: Listing, now_ns: int) -> WorkingOrder:
        order = PlacedOrder(
            request, listing, client_id, self.next_perm_id, OrderStatus.PENDING_SUBMIT, placed_ns=now_ns
        )
        self.next_perm_id += 1
        working = WorkingOrder(order, transmitted=False)
        parent = self.book.find(client_id, request.parent_id) if request.parent_id else None
        if parent is not None:
            order.parent_perm_id = parent.order.perm_id
            parent.order.children.append(order.perm_id)
            self.changed(parent)
        self.book.add(working)
        self.ledger.append("order", now_ns, client_id=client_id, order_id=order.order_id, **order_terms(working.order))
        self.changed(working)
        return working

    def release(self, working: WorkingOrder, now_ns: int) -> None:
        """Send an accepted order to the market, or let it wait there for its parent."""
        working.transmitted = True
        parent = self.book.by_perm.get(working.order.parent_perm_id)
        working.waits = parent is not None and parent.is_live
        notices = [] if working.waits else self.start(working, now_ns)
        self.stand(working)
        self.facts.append(working.opened())
        self.facts.append(working.changed())
        self.facts.extend(notices)

    def start(self, working: WorkingOrder, now_ns: int, meets_ns: int = 0) -> list[Fact]:
        """Let the order's life begin; what its owner is warned of."""
        request, listing, order = working.request, working.listing, working.order
        notices: list[Fact] = []
        starts, ends, window = lifetime(self.market, listing.con_id, listing.zone, request, now_ns)
        locate_ns = self._locate_ns(working)
        if locate_ns:
            starts = min(FOREVER, max(starts, now_ns + locate_ns))
            notices.append(Told(order.client_id, order.order_id, 404, LOCATING))
        working.starts_ns, working.ends_ns, working.window = starts, ends, window
        working.meets_ns = max(starts, meets_ns, now_ns + round(self.policy.delay_seconds * SECOND_NS))
        working.is_placed = max(starts, window[0]) <= now_ns
        if request.order_type in STOPS and not order.triggered:
            self._set_stop(working, now_ns)
        if window[0] > now_ns and window[0] < FOREVER:
            notices.append(Told(order.client_id, order.order_id, 399, held_text(working)))
        self.changed(working)
        return notices

    def _locate_ns(self, working: WorkingOrder) -> int:
        seconds = self.policy.locate_seconds
        if not seconds or working.sign > 0 or working.listing.contract.sec_type != "STK":
            return 0
        position = self.books.positions.get((working.order.account, working.listing.con_id))
        if position is not None and position.quantity >= working.request.quantity:
            return 0
        return FOREVER if math.isinf(seconds) else round(seconds * SECOND_NS)

    def _set_stop(self, working: WorkingOrder, now_ns: int) -> None:
        request, order = working.request, working.order
        if request.order_type not in TRAILS:
            order.stop_price = request.aux_price
            return
        if is_set(request.trail_stop_price):
            order.stop_price = request.trail_stop_price
        else:
            price = self.books.mark(working.listing, now_ns)
            share = request.trailing_percent / 100
            distance = price * share if is_set(request.trailing_percent) else request.aux_price
            stop = price + working.sign * distance
            order.stop_price = on_tick(stop, tick_at(working, stop))
        if request.order_type == "TRAIL LIMIT" and math.isnan(request.limit_price_offset):
            offset = working.sign * (request.limit_price - order.stop_price)
            order.request = replace(request, limit_price_offset=offset)

    def stand(self, working: WorkingOrder) -> bool:
        """Give a live order the status of where it stands; whether that is another."""
        order = working.order
        before = order.status, order.why_held
        order.why_held = working.hold_reason()
        order.status = working.standing()
        if (order.status, order.why_held) == before:
            return False
        self.changed(working)
        return True

    def tell_standing(self, working: WorkingOrder) -> None:
        if self.stand(working):
            self.facts.append(working.opened())
            self.facts.append(working.changed())

    # Fills

    def fill(self, working: WorkingOrder, quantity: float, price: float, now_ns: int) -> None:
        order, request = working.order, working.request
        self.executions_made += 1
        exec_id = f"{self._stamp}.{self.executions_made:08x}.01.01"
        cumulative = order.filled + quantity
        order.average_price = (order.average_price * order.filled + price * quantity) / cumulative
        order.filled, order.last_price = cumulative, price
        working.value += quantity * price * working.listing.multiplier
        working.parts += 1
        is_done = order.remaining < DUST
        order.status = FILLED if is_done else SUBMITTED
        order.why_held = ""
        execution = Execution(
            exec_id,
            now_ns,
            order.account,
            working.listing,
            "BOT" if working.sign > 0 else "SLD",
            quantity,
            price,
            order.perm_id,
            order.client_id,
            order.order_id,
            request.order_ref,
            cumulative,
            order.average_price,
        )
        self.ledger.append("execution", now_ns, **execution_terms(execution))
        realized = self.books.trade(now_ns, order.account, working.listing, working.sign * quantity, price, exec_id)
        fee, currency = order_fee(self.books, self.ledger, working, now_ns)
        booked = BookedExecution(execution, fee - working.fee, currency, realized, self._due(now_ns))
        working.fee = fee
        self.executions[base_of(exec_id)] = booked
        self.changed_executions.add(base_of(exec_id))
        self.moved(order.account, working.listing)
        self.changed(working)
        self._tell_fill(working, execution, is_done)
        if is_done:
            self._close(working, f"Filled Size: {order.filled:g}", now_ns)
        if booked.due_ns <= now_ns:
            self.charge(booked, now_ns)
        self._after_fill(working, quantity, is_done, now_ns)

    def complete(self, working: WorkingOrder, now_ns: int) -> None:
        """A correction has filled the rest of an order."""
        working.order.status = FILLED
        self._close(working, f"Filled Size: {working.order.filled:g}", now_ns)
        self.facts += [working.opened(), working.changed()]
        self._after_fill(working, 0.0, True, now_ns)

    def _tell_fill(self, working: WorkingOrder, execution: Execution, is_done: bool) -> None:
        executed: list[Fact] = [Executed(execution)] * self.policy.executions_told
        status: list[Fact] = [working.opened()] if is_done else []
        status += [working.changed()] * self.policy.statuses_told
        self.facts += status + executed if self.policy.status_first else executed + status

    def _due(self, now_ns: int) -> int:
        seconds = self.policy.commission_delay_seconds
        return FOREVER if math.isinf(seconds) else now_ns + round(seconds * SECOND_NS)

    def charge(self, booked: BookedExecution, now_ns: int) -> None:
        """Take an execution's commission and tell of it."""
        execution = booked.execution
        booked.is_charged = True
        self.changed_executions.add(base_of(execution.exec_id))
        self.take_fee(execution, booked.fee, booked.currency, now_ns)
        working = self.book.by_perm.get(execution.perm_id)
        if working is not None:
            before = working.order.commission
            working.order.commission = booked.fee + (before if before == before else 0.0)
            self.changed(working)
            if working.order.status is FILLED:
                self.facts.append(working.opened())
        self.facts.append(Charged(booked.report(), execution.client_id))

    def take_fee(self, execution: Execution, amount: float, currency: str, now_ns: int) -> None:
        self.books.charge(now_ns, execution.account, execution.listing, amount, currency, execution.exec_id)
        self.ledger.append(
            "commission", now_ns, exec_id=execution.exec_id, account=execution.account, amount=amount, currency=currency
        )
        self.touched_accounts[execution.account] = None

    def _after_fill(self, working: WorkingOrder, quantity: float, is_done: bool, now_ns: int) -> None:
        if is_done:
            self._start_children(working, now_ns)
        for other in self.book.others_of_group(working):
            if is_done or working.request.oca_type == 1:
                self.cancel(other, now_ns, BY_SYSTEM)
            else:
                left = working.order.remaining
                self._reduce(other, left / (left + quantity), now_ns)

    def _start_children(self, parent: WorkingOrder, now_ns: int) -> None:
        """What protects a position works from the next second on: what came first in this one is unknown."""
        children = self.book.children(parent)
        meets_ns = now_ns - now_ns % SECOND_NS + SECOND_NS
        for child in children:
            child.waits = False
            if len(children) > 1 and not child.request.oca_group:
                group = str(parent.order.perm_id)
                child.order.request = replace(child.request, oca_group=group, oca_type=child.request.oca_type or 3)
                self.book.join(child)
            if child.transmitted:
                notices = self.start(child, now_ns, meets_ns)
                self.stand(child)
                self.facts += [child.opened(), child.changed(), *notices]

    def split_order(self, working: WorkingOrder, new_per_old: float, now_ns: int) -> None:
        """What works overnight is stated in the new shares, at the new prices."""
        order, request = working.order, working.request
        step = working.listing.size_step
        left = math.floor(order.remaining * new_per_old / step + DUST) * step
        if left < DUST:
            self.cancel(working, now_ns, BY_SYSTEM)
            return
        order.filled *= new_per_old
        order.average_price /= new_per_old
        order.request = replace(
            request,
            quantity=order.filled + left,
            limit_price=self._split_price(working, request.limit_price, new_per_old),
            aux_price=self._split_price(working, request.aux_price, new_per_old),
            trail_stop_price=self._split_price(working, request.trail_stop_price, new_per_old),
            limit_price_offset=self._split_price(working, request.limit_price_offset, new_per_old),
        )
        order.stop_price = self._split_price(working, order.stop_price, new_per_old)
        self.ledger.append("change", now_ns, **order_terms(working.order))
        self.changed(working)
        if working.transmitted:
            self.facts += [working.opened(), working.changed()]

    @staticmethod
    def _split_price(working: WorkingOrder, price: float, new_per_old: float) -> float:
        if not is_set(price):
            return price
        return on_tick(price / new_per_old, tick_at(working, price / new_per_old))

    def _reduce(self, other: WorkingOrder, fraction: float, now_ns: int) -> None:
        """Leave so much of what remains of an order, in whole steps of its size."""
        order, step = other.order, other.listing.size_step
        left = math.floor(order.remaining * fraction / step + DUST) * step
        if left < DUST:
            self.cancel(other, now_ns, BY_SYSTEM)
            return
        order.request = replace(order.request, quantity=order.filled + left)
        self.ledger.append("change", now_ns, **order_terms(other.order))
        self.changed(other)
        self.facts += [other.opened(), other.changed()]

    def modify(self, working: WorkingOrder, request: WireOrder, now_ns: int) -> None:
        """Replace the request of an order that lives. A trailing stop stays where it got, unless its terms change."""
        keeps_stop = working.request.order_type in TRAILS and all(
            repr(getattr(working.request, name)) == repr(getattr(request, name)) for name in _TRAILING_TERMS
        )
        working.order.request = request
        self.ledger.append("change", now_ns, **order_terms(working.order))
        if working.transmitted and not working.waits:
            starts, ends, window = lifetime(
                self.market, working.listing.con_id, working.listing.zone, working.request, now_ns
            )
            working.starts_ns, working.ends_ns, working.window = starts, ends, window
            working.meets_ns = max(starts, now_ns + round(self.policy.delay_seconds * SECOND_NS))
            working.is_placed = max(starts, window[0]) <= now_ns
            if working.request.order_type in STOPS and not working.order.triggered and not keeps_stop:
                self._set_stop(working, now_ns)
            self.stand(working)
        self.changed(working)

    # Ends

    def cancel(self, working: WorkingOrder, now_ns: int, by: str, reason: str = "") -> None:
        """End an order and those that wait for it."""
        if not working.is_live:
            return
        order = working.order
        order.status, order.why_held = CANCELLED, ""
        self._close(working, by, now_ns)
        if working.transmitted:
            self.facts += [working.changed()] * max(self.policy.statuses_told, 1)
            text = f"Order Canceled - reason:{reason}"
            self.facts.append(Told(order.client_id, order.order_id, 202, text))
        for child in self.book.children(working):
            if child.waits or not child.transmitted:
                self.cancel(child, now_ns, by)

    def _close(self, working: WorkingOrder, completed: str, now_ns: int) -> None:
        order = working.order
        order.ended_ns, order.completed_status = now_ns, completed
        self.book.finish(working)
        self.ledger.append(
            "end", now_ns, perm_id=order.perm_id, status=str(order.status), filled=order.filled, by=completed
        )
        self.changed(working)

    # What must be told and kept

    def changed(self, working: WorkingOrder) -> None:
        self.changed_orders.add(working.order.perm_id)
        self.on_change()

    def changed_names(self) -> tuple[set[Any], ...]:
        """Names of all that changed and is not written down yet."""
        books = self.books
        return self.changed_orders, self.changed_executions, books.changed_cash, books.changed_positions

    def moved(self, account: str, listing: Listing) -> None:
        self.touched_accounts[account] = None
        self.touched_positions[account, listing.con_id] = listing


_TRAILING_TERMS = ("aux_price", "trailing_percent", "trail_stop_price", "limit_price_offset")
LOCATING = (
    "Order held while securities are located: shares for this order are not immediately available for short sale."
)


def held_text(working: WorkingOrder) -> str:
    request, listing = working.request, working.listing
    named = f"{request.action} {request.quantity:g} {listing.contract.symbol} {listing.contract.primary_exchange}"
    until = spoken(working.window[0], listing.zone)
    return f"Order Message:\n{named}\nWarning: Your order will not be placed at the exchange until {until}"


__all__ = ["BY_SYSTEM", "BY_TRADER", "Market", "Trading"]
