"""The facts of a run as the per-bar driver books them: orders, fills, and what moves cash or units besides."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.engine.setup import RunSettings, member
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.matching import trailed_stop
from domain.orders import OrderIntent, OrderStatus, OrderType, TimeInForce

NAN = math.nan


PRICES_OF = {
    OrderType.MARKET: (),
    OrderType.MARKET_ON_CLOSE: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.TRAILING_STOP: ("stop_price", "trail"),
}


class BookedFill(NamedTuple):
    order: int
    track: int
    group: int
    time: int
    quantity: float
    price: float
    commission: float
    slippage: float


class CashMove(NamedTuple):
    """Cash that is no fill: a dividend, the fraction left over by a split, the fee for borrowing."""

    group: int
    track: int
    kind: str
    amount: float


class QuantityMove(NamedTuple):
    """Units that appear or vanish without a fill, by a split: `quantity` units more are held, of which `left` units
    (a fraction of a lot, signed) were paid out at `price`, both in units after the split."""

    group: int
    track: int
    quantity: float
    ratio: float
    left: float
    price: float


class BookedOrder:
    """One order of the run, mutable while it works. What few orders have stands on the class until it is set."""

    kind = OrderType.MARKET
    time_in_force = TimeInForce.DAY
    status = OrderStatus.WORKING
    limit = stop = trail_amount = trail_percent = NAN
    filled = value = commission = 0.0
    ended = denied_by = 0
    rule_value = rule_limit = NAN
    triggered = closes = False
    exits: tuple[float | None, float | None] | None = None

    def __init__(self, number: int, track: int, group: int, time: int, quantity: float, intent: OrderIntent) -> None:
        self.number = number
        self.track = track
        self.group = group
        self.time = time
        self.quantity = quantity
        self.sign = 1 if quantity > 0 or (quantity != quantity and (intent.target or 0.0) > 0) else -1
        self.oca = intent.oca_group
        self.reason = intent.reason
        self.by_target = intent.target is not None

    @property
    def remaining(self) -> float:
        return self.quantity - self.filled


def price_order(
    order: BookedOrder, intent: OrderIntent, instrument: Instrument, close: float, settings: RunSettings
) -> None:
    """Give an order its type and prices; BadInput where the intent lacks one or gives nonsense.

    A default limit order stands `limit_offset_bps` better than the close, on the tick nearest to it.
    """
    symbol = instrument.symbol
    kind = order.kind = _kind_of(intent, symbol, settings)
    if intent.time_in_force is None:
        order.time_in_force = settings.time_in_force
    else:
        order.time_in_force = member(TimeInForce, "time in force", intent.time_in_force)
    if kind is OrderType.LIMIT or kind is OrderType.STOP_LIMIT:
        limit = intent.limit_price
        if limit is None and kind is OrderType.LIMIT and intent.order_type is None:
            limit = close * (1.0 - order.sign * settings.limit_offset_bps * 1e-4)
            limit = round(limit / instrument.tick) * instrument.tick
        order.limit = checked(symbol, "limit_price", limit)
    if kind is OrderType.STOP or kind is OrderType.STOP_LIMIT:
        order.stop = checked(symbol, "stop_price", intent.stop_price)
    if kind is OrderType.TRAILING_STOP:
        if (intent.trail_amount is None) == (intent.trail_percent is None):
            raise BadInput(f"{symbol}: a trailing stop needs one of trail_amount and trail_percent")
        if intent.trail_amount is not None:
            order.trail_amount = checked(symbol, "trail_amount", intent.trail_amount)
        else:
            order.trail_percent = checked(symbol, "trail_percent", intent.trail_percent)
        start = NAN if intent.stop_price is None else intent.stop_price
        order.stop = trailed_stop(order.sign, start, close, order.trail_amount, order.trail_percent)


def _kind_of(intent: OrderIntent, symbol: str, settings: RunSettings) -> OrderType:
    """The order type as said, or as the prices that are given imply, or the run's default."""
    trails = intent.trail_amount is not None or intent.trail_percent is not None
    if intent.order_type is None:
        if trails:
            return OrderType.TRAILING_STOP
        if intent.stop_price is not None:
            return OrderType.STOP if intent.limit_price is None else OrderType.STOP_LIMIT
        return settings.default_order_type if intent.limit_price is None else OrderType.LIMIT
    kind = member(OrderType, "order type", intent.order_type)
    given = {
        "limit_price": intent.limit_price is not None,
        "stop_price": intent.stop_price is not None,
        "trail": trails,
    }
    for name in (name for name, is_given in given.items() if is_given and name not in PRICES_OF[kind]):
        raise BadInput(f"{symbol}: a {kind} order takes no {name}; leave it out or name another type")
    return kind


def checked(symbol: str, name: str, price: float | None) -> float:
    if price is None or not (math.isfinite(price) and price > 0):
        raise BadInput(f"{symbol}: {name} must be a positive number, not {price!r}")
    return price


def order_ref(number: int) -> str:
    return f"o{number + 1:06d}"


def order_refs(count: int) -> NDArray[np.str_]:
    """`order_ref` of 0 … count - 1, as one array: digits by arithmetic, since 22,000 formatted texts take 12 ms."""
    numbers = np.arange(1, min(count, 999_999) + 1, dtype=np.uint32)
    letters = np.full((len(numbers), 7), ord("o"), np.uint32)
    for place in range(6, 0, -1):
        letters[:, place] = numbers % 10 + ord("0")
        numbers //= 10
    short = letters.view("U7").ravel()
    return np.concatenate([short, [order_ref(n) for n in range(999_999, count)]]) if count > 999_999 else short


def month_of(time_ns: int) -> int:
    """Calendar month (UTC) as a running number."""
    return int(np.datetime64(time_ns, "ns").astype("datetime64[M]").astype(np.int64))
