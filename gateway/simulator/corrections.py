"""Executions that are corrected or busted: the next revision of each, and books as if it had been so from the start."""

from __future__ import annotations

import math
from typing import NamedTuple

from domain.errors import BadInput
from domain.positions import DUST, after_fill, after_split
from gateway.simulator.commissions import BookedExecution, base_of, order_fee, revised
from gateway.simulator.ledger import Ledger, effective, execution_terms
from gateway.simulator.records import NAN, Charged, Executed, Execution, Listing
from gateway.simulator.trading import Trading
from gateway.simulator.working import WorkingOrder


def correct(trading: Trading, exec_id: str, quantity: float, price: float, now_ns: int, day_start_ns: int) -> None:
    """Make today's execution one of `quantity` (0 busts it) at `price`. `exec_id` with any revision."""
    booked = trading.executions.get(base_of(exec_id))
    if booked is None:
        raise BadInput(f"no execution {exec_id} today")
    if not (math.isfinite(quantity) and quantity >= 0 and math.isfinite(price) and price > 0):
        raise BadInput(f"an execution cannot be corrected to {quantity!r} at {price!r}")
    old = booked.execution
    working = trading.book.by_perm.get(old.perm_id)
    if working is None:
        raise BadInput(f"the order of execution {exec_id} is not of today")
    sign = 1 if old.side == "BOT" else -1
    _correct_order(trading, working, old, quantity, price)
    new = old._replace(
        exec_id=revised(old.exec_id),
        quantity=quantity,
        price=price,
        cumulative=working.order.filled,
        average_price=working.order.average_price,
    )
    trading.ledger.append("execution", now_ns, **execution_terms(new))
    position = trading.books.position(old.account, old.listing)
    trading.books.pay(now_ns, position, sign * old.quantity, old.price, sign * quantity, price, new.exec_id)
    held = replayed(trading.ledger, old.account, old.listing, day_start_ns)
    position.quantity, position.average, position.realized = held.quantity, held.average, held.realized
    booked.execution, booked.realized = new, held.by_execution[base_of(exec_id)]
    trading.changed_executions.add(booked.base)
    trading.moved(old.account, old.listing)
    trading.facts += [Executed(new), working.changed()]
    _correct_fee(trading, working, booked, now_ns)
    if working.is_live and working.order.remaining < DUST:
        trading.complete(working, now_ns)


def _correct_order(trading: Trading, working: WorkingOrder, old: Execution, quantity: float, price: float) -> None:
    order = working.order
    total = order.average_price * order.filled - old.price * old.quantity + price * quantity
    order.filled += quantity - old.quantity
    order.average_price = total / order.filled if order.filled > DUST else 0.0
    order.last_price = price
    working.value += (quantity * price - old.quantity * old.price) * working.listing.multiplier
    trading.changed(working)


def _correct_fee(trading: Trading, working: WorkingOrder, booked: BookedExecution, now_ns: int) -> None:
    fee, currency = order_fee(trading.books, trading.ledger, working, now_ns)
    more = fee - working.fee
    working.fee = fee
    booked.fee += more
    if booked.is_charged:
        trading.take_fee(booked.execution, more, currency, now_ns)
        working.order.commission += more
        trading.facts.append(Charged(booked.report(), working.order.client_id))


class Replayed(NamedTuple):
    """A position as its executions make it; `realized` since the day's start, `by_execution` NaN where one opened."""

    quantity: float
    average: float
    realized: float
    by_execution: dict[str, float]


def replayed(ledger: Ledger, account: str, listing: Listing, day_start_ns: int) -> Replayed:
    """The position that the last revisions of all its executions add up to, each at the time of its first."""
    entries = list(ledger.of("execution", "position", account=account, con_id=listing.con_id))
    last = effective(entry for entry in entries if entry["kind"] == "execution")
    quantity = average = realized = 0.0
    by_execution: dict[str, float] = {}
    for entry in entries:
        if entry["kind"] == "position":
            quantity, average, _ = after_split(quantity, average, entry["new_per_old"], listing.size_step)
            continue
        base = base_of(entry["exec_id"])
        if base in by_execution:
            continue
        now = last[base]
        signed = now["quantity"] if now["side"] == "BOT" else -now["quantity"]
        opens = quantity * signed >= 0
        quantity, average, points = after_fill(quantity, average, signed, now["price"])
        by_execution[base] = NAN if opens else points * listing.multiplier
        if entry["time_ns"] >= day_start_ns:
            realized += points * listing.multiplier
    return Replayed(quantity, average, realized, by_execution)


__all__ = ["correct", "replayed"]
