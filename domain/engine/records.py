"""The facts of a run as columns, the same from every driver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.engine.book import Book
from domain.engine.events import Outcome
from domain.engine.facts import CashMove, QuantityMove, order_refs
from domain.engine.setup import MarketAt, Setup
from domain.orders import OrderStatus, OrderType
from domain.risk import RiskReason

Column = NDArray[Any]
Ledger = dict[str, Column]

ORDER_COLUMNS = (
    "ref", "instrument", "time", "side", "type", "time_in_force", "quantity", "limit_price", "stop_price", "status",
    "filled", "average_price", "commission", "reason", "denied_by", "rule_value", "rule_limit", "ended",
)  # fmt: skip
FILL_COLUMNS = ("time", "instrument", "side", "quantity", "price", "commission", "order_ref")


@dataclass(slots=True, eq=False)
class Records:
    """The facts of a run in columns; fills in the order in which they happened.

    `signed` is the fill's signed quantity, `track` and `group` its place, `slippage` what slipping cost in money.
    """

    orders: Ledger
    fills: Ledger
    track: Times
    group: Times
    signed: Floats
    slippage: Floats
    cash_moves: list[CashMove] = field(default_factory=list)
    quantity_moves: list[QuantityMove] = field(default_factory=list)


def records_of_book(setup: Setup, book: Book) -> Records:
    """The per-bar driver's facts."""
    symbols = np.array(setup.symbols)
    orders, fills = book.orders, book.fills
    signed = np.array([order.quantity for order in orders], np.float64)
    filled = np.array([abs(order.filled) for order in orders], np.float64)
    track = np.array([order.track for order in orders], np.int64)
    multiplier = np.array([t.instrument.multiplier for t in setup.tracks])[track] if len(orders) else np.empty(0)
    values = np.array([order.value for order in orders], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.where(filled > 0, values / (filled * multiplier), np.nan)
    refs = order_refs(len(orders))
    order_ledger: Ledger = {
        "ref": refs,
        "instrument": symbols[track],
        "time": np.array([order.time for order in orders], np.int64),
        "side": np.where(signed > 0, "buy", "sell"),
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
    quantity = np.array([fill.quantity for fill in fills], np.float64)
    fill_track = np.array([fill.track for fill in fills], np.int64)
    fill_ledger: Ledger = {
        "time": np.array([fill.time for fill in fills], np.int64),
        "instrument": symbols[fill_track],
        "side": np.where(quantity > 0, "buy", "sell"),
        "quantity": np.abs(quantity),
        "price": np.array([fill.price for fill in fills], np.float64),
        "commission": np.array([fill.commission for fill in fills], np.float64),
        "order_ref": refs[np.array([fill.order for fill in fills], np.int64)],
    }
    return Records(
        order_ledger,
        fill_ledger,
        fill_track,
        np.array([fill.group for fill in fills], np.int64),
        quantity,
        np.array([fill.slippage for fill in fills], np.float64),
        book.cash_moves,
        book.quantity_moves,
    )


def records_of_outcome(setup: Setup, outcome: Outcome) -> Records:
    """The vector driver's facts in the same columns."""
    events, settings = outcome.events, setup.settings
    symbols = np.array(setup.symbols)
    multipliers = np.array([track.instrument.multiplier for track in setup.tracks])
    accepted = np.array(outcome.order_row, np.int64)
    denied = np.array([row for row, *_ in outcome.denied], np.int64)
    row = np.concatenate([accepted, denied])
    order = np.argsort(row, kind="stable")
    row = row[order]
    signed = np.concatenate([outcome.order_quantity, [quantity for _, quantity, *_ in outcome.denied]])[order]
    fee = np.concatenate([outcome.order_fee, np.full(len(denied), np.nan)])[order]
    is_filled = fee == fee
    track, fill_bar = events.track[row], events.fill_bar[row]
    at_close = settings.market_at is MarketAt.CLOSE
    fill_time = np.zeros(len(row), np.int64)
    for k, item in enumerate(setup.tracks):
        mine = is_filled & (track == k)
        fill_time[mine] = (item.bars.end if at_close else item.bars.start)[fill_bar[mine]]
    base = events.fill_price[row]
    side = np.where(signed > 0, 1, -1)
    price = base * (1.0 + side * settings.slippage_bps * 1e-4)
    decided = setup.times[events.group[row]]
    unit = multipliers[track]
    status = np.full(len(row), OrderStatus.WORKING.value, "U9")  # the longest: cancelled
    status[is_filled] = OrderStatus.FILLED.value
    denied_by, rule_value, rule_limit = np.full(len(row), "", object), np.full((2, len(row)), np.nan), None
    ended = fill_time.copy()
    where = np.empty(len(order), np.int64)
    where[order] = np.arange(len(order))
    for n, (_, _, reason, value, limit) in enumerate(outcome.denied):
        at = where[len(accepted) + n]
        status[at], denied_by[at], ended[at] = OrderStatus.DENIED.value, _rule(reason), decided[at]
        rule_value[:, at] = value, limit
    for number, (value, limit) in outcome.rejected.items():
        at = where[number]
        item = setup.tracks[track[at]]
        ended[at] = (item.bars.end if at_close else item.bars.start)[fill_bar[at]]
        status[at], denied_by[at] = OrderStatus.REJECTED.value, _rule(RiskReason.BUYING_POWER)
        rule_value[:, at] = value, limit
    rule_value, rule_limit = rule_value
    count = len(row)
    refs = order_refs(count)
    nan = np.full(count, np.nan)
    order_ledger: Ledger = {
        "ref": refs,
        "instrument": symbols[track],
        "time": decided,
        "side": np.where(side > 0, "buy", "sell"),
        "type": np.full(count, OrderType.MARKET.value),
        "time_in_force": np.full(count, settings.time_in_force.value),
        "quantity": np.abs(signed),
        "limit_price": nan,
        "stop_price": nan,
        "status": status,
        "filled": np.where(is_filled, np.abs(signed), 0.0),
        "average_price": np.where(is_filled, np.abs(signed) * price * unit / (np.abs(signed) * unit), np.nan),
        "commission": np.where(is_filled, fee, 0.0),
        "reason": np.full(count, ""),
        "denied_by": denied_by,
        "rule_value": rule_value,
        "rule_limit": rule_limit,
        "ended": ended,
    }
    group = events.fill_group[row][is_filled]
    in_time = np.lexsort((track[is_filled], group))
    at = np.flatnonzero(is_filled)[in_time]
    fill_ledger: Ledger = {
        "time": fill_time[at],
        "instrument": symbols[track[at]],
        "side": order_ledger["side"][at],
        "quantity": np.abs(signed[at]),
        "price": price[at],
        "commission": fee[at],
        "order_ref": refs[at],
    }
    slippage = np.abs(price[at] - base[at]) * np.abs(signed[at]) * multipliers[track[at]]
    return Records(order_ledger, fill_ledger, track[at], group[in_time], signed[at], slippage)


def _rule(reason: int) -> str:
    return RiskReason(reason).name.lower() if reason else ""


def text_column(values: Iterable[str]) -> Column:
    items = list(values)
    column = np.empty(len(items), object)
    column[:] = items
    return column
