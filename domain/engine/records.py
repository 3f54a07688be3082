"""The facts of a run as columns, the same from every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.engine.book import Book
from domain.engine.events import Outcome
from domain.engine.facts import BookedFill, BookedOrder, CashMove, QuantityMove, order_refs
from domain.engine.setup import MarketAt, Setup
from domain.matching import slipped
from domain.orders import OrderStatus, OrderType
from domain.risk import RiskReason

Column = NDArray[Any]
Ledger = dict[str, Column]

ORDER_COLUMNS = (
    "ref", "instrument", "time", "side", "type", "time_in_force", "quantity", "limit_price", "stop_price", "status",
    "filled", "average_price", "commission", "reason", "denied_by", "rule_value", "rule_limit", "ended",
)  # fmt: skip
FILL_COLUMNS = ("time", "instrument", "side", "quantity", "price", "commission", "order_ref")


@dataclass(eq=False)
class Records:
    """The facts of a run in columns; fills in the order in which they happened.

    `signed` is the fill's signed quantity, `track` and `group` its place, `slippage` what slipping cost in money.
    """

    make_orders: Callable[[], Ledger]
    fills: Ledger
    track: Times
    group: Times
    signed: Floats
    slippage: Floats
    cash_moves: list[CashMove] = field(default_factory=list)
    quantity_moves: list[QuantityMove] = field(default_factory=list)

    @cached_property
    def orders(self) -> Ledger:
        return self.make_orders()


def records_of_book(setup: Setup, book: Book) -> Records:
    """The per-bar driver's facts."""
    columns = zip(*book.fills, strict=True) if book.fills else [()] * len(BookedFill._fields)
    fill = BookedFill(*columns)  # the columns under the fields' names
    signed, track = np.array(fill.quantity, np.float64), np.array(fill.track, np.int64)
    ledger: Ledger = {
        "time": np.array(fill.time, np.int64),
        "instrument": np.array(setup.symbols)[track],
        "side": np.where(signed > 0, "buy", "sell"),
        "quantity": np.abs(signed),
        "price": np.array(fill.price, np.float64),
        "commission": np.array(fill.commission, np.float64),
        "order_ref": order_refs(len(book.orders))[np.array(fill.order, np.int64)],
    }
    return Records(
        lambda: _orders_of_book(setup, book.orders),
        ledger,
        track,
        np.array(fill.group, np.int64),
        signed,
        np.array(fill.slippage, np.float64),
        book.cash_moves,
        book.quantity_moves,
    )


def _orders_of_book(setup: Setup, orders: Sequence[BookedOrder]) -> Ledger:
    signed = np.array([order.quantity for order in orders], np.float64)
    filled = np.array([abs(order.filled) for order in orders], np.float64)
    track = np.array([order.track for order in orders], np.int64)
    values = np.array([order.value for order in orders], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.where(filled > 0, values / (filled * multipliers(setup)[track]), np.nan)
    return {
        "ref": order_refs(len(orders)),
        "instrument": np.array(setup.symbols)[track],
        "time": np.array([order.time for order in orders], np.int64),
        "side": np.where(np.array([order.sign for order in orders], np.int64) > 0, "buy", "sell"),
        "type": text_column(order.kind.value for order in orders),
        "time_in_force": text_column(order.time_in_force.value for order in orders),
        "quantity": np.abs(signed),
        "limit_price": np.array([order.limit for order in orders], np.float64),
        "stop_price": np.array([order.stop for order in orders], np.float64),
        "status": text_column(order.status.value for order in orders),
        "filled": filled,
        "average_price": average,
        "commission": np.array([order.commission for order in orders], np.float64),
        "reason": text_column(order.reason for order in orders),
        "denied_by": text_column(_rule(order.denied_by) for order in orders),
        "rule_value": np.array([order.rule_value for order in orders], np.float64),
        "rule_limit": np.array([order.rule_limit for order in orders], np.float64),
        "ended": np.array([order.ended for order in orders], np.int64),
    }


def multipliers(setup: Setup) -> Floats:
    return np.array([track.instrument.multiplier for track in setup.tracks])


def records_of_outcome(setup: Setup, outcome: Outcome) -> Records:
    """The vector driver's facts in the same columns."""
    orders = _OutcomeOrders(setup, outcome)
    group = outcome.events.fill_group[orders.row[orders.is_filled]]
    at = np.flatnonzero(orders.is_filled)
    if len(setup.tracks) > 1:
        in_time = np.lexsort((orders.track[at], group))
        at, group = at[in_time], group[in_time]
    track, signed, price = orders.track[at], orders.signed[at], orders.price[at]
    ledger: Ledger = {
        "time": orders.fill_time[at],
        "instrument": np.array(setup.symbols)[track],
        "side": np.where(signed > 0, "buy", "sell"),
        "quantity": np.abs(signed),
        "price": price,
        "commission": orders.fee[at],
        "order_ref": order_refs(len(orders.row))[at],
    }
    slippage = np.abs(price - orders.base[at]) * np.abs(signed) * multipliers(setup)[track]
    return Records(orders.ledger, ledger, track, group, signed, slippage)


class _OutcomeOrders:
    """All orders of an outcome in the order of their decisions, denied ones in their places."""

    def __init__(self, setup: Setup, outcome: Outcome) -> None:
        self.setup, self.outcome = setup, outcome
        events = outcome.events
        denied = np.array([row for row, *_ in outcome.denied], np.int64)
        row, signed = np.asarray(outcome.order_row, np.int64), np.asarray(outcome.order_quantity, np.float64)
        fee = np.asarray(outcome.order_fee, np.float64)
        order = np.arange(len(row))
        if len(denied):
            row = np.concatenate([row, denied])
            signed = np.concatenate([signed, [denial[1] for denial in outcome.denied]])
            fee = np.concatenate([fee, np.full(len(denied), np.nan)])
            order = np.argsort(row, kind="stable")
            row, signed, fee = row[order], signed[order], fee[order]
        self.place = np.empty(len(order), np.int64)
        """Where each accepted order, then each denied one, stands."""
        self.place[order] = np.arange(len(order))
        self.row, self.signed, self.fee = row, signed, fee
        self.is_filled = self.fee == self.fee
        self.track = events.track[self.row]
        self.base = events.fill_price[self.row]
        bps = setup.settings.slippage_bps
        self.price = np.where(self.signed > 0, slipped(self.base, 1, bps), slipped(self.base, -1, bps))
        at_close = setup.settings.market_at is MarketAt.CLOSE
        fill_bar = events.fill_bar[self.row]
        self.fill_time = np.zeros(len(row), np.int64)
        """Where there is a bar to fill on; 0 where the data end before."""
        for k, item in enumerate(setup.tracks):
            mine = (self.track == k) & (fill_bar >= 0)
            self.fill_time[mine] = (item.bars.end if at_close else item.bars.start)[fill_bar[mine]]

    def ledger(self) -> Ledger:
        settings, count = self.setup.settings, len(self.row)
        decided = self.setup.times[self.outcome.events.group[self.row]]
        size, unit = np.abs(self.signed), multipliers(self.setup)[self.track]
        status = np.full(count, OrderStatus.WORKING.value, "U9")  # the longest: cancelled
        status[self.is_filled] = OrderStatus.FILLED.value
        denied_by, ended = np.full(count, "", object), np.where(self.is_filled, self.fill_time, 0)
        rule_value, rule_limit, nan = np.full((3, count), np.nan)
        accepted = len(self.outcome.order_row)
        for n, (_, _, reason, value, limit) in enumerate(self.outcome.denied):
            at = self.place[accepted + n]
            status[at], denied_by[at], ended[at] = OrderStatus.DENIED.value, _rule(reason), decided[at]
            rule_value[at], rule_limit[at] = value, limit
        for number, (value, limit) in self.outcome.rejected.items():
            at = self.place[number]
            status[at], denied_by[at] = OrderStatus.REJECTED.value, _rule(RiskReason.BUYING_POWER)
            ended[at], rule_value[at], rule_limit[at] = self.fill_time[at], value, limit
        return {
            "ref": order_refs(count),
            "instrument": np.array(self.setup.symbols)[self.track],
            "time": decided,
            "side": np.where(self.signed > 0, "buy", "sell"),
            "type": np.full(count, OrderType.MARKET.value),
            "time_in_force": np.full(count, settings.time_in_force.value),
            "quantity": size,
            "limit_price": nan,
            "stop_price": nan,
            "status": status,
            "filled": np.where(self.is_filled, size, 0.0),
            "average_price": np.where(self.is_filled, size * self.price * unit / (size * unit), np.nan),
            "commission": np.where(self.is_filled, self.fee, 0.0),
            "reason": np.full(count, ""),
            "denied_by": denied_by,
            "rule_value": rule_value,
            "rule_limit": rule_limit,
            "ended": ended,
        }


def _rule(reason: int) -> str:
    return RiskReason(reason).name.lower() if reason else ""


def text_column(values: Iterable[str]) -> Column:
    items = list(values)
    column = np.empty(len(items), object)
    column[:] = items
    return column
