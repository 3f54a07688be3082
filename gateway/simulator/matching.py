"""How an order meets a piece of the price path: which rule of `domain.matching` says its price, if it fills."""

from __future__ import annotations

import math

from domain.matching import is_triggered, limit_fill, slipped, stop_fill, stop_limit_fill, trailed_stop
from gateway.simulator.records import NAN, Step
from gateway.simulator.working import TRAILS, WorkingOrder


def opening_of(piece: Step) -> Step:
    """The piece at its first instant, when no more than its open is known."""
    return piece._replace(end_ns=piece.start_ns, high=piece.open, low=piece.open, close=piece.open)


def price_at(working: WorkingOrder, piece: Step, slippage_bps: float) -> float:
    """The price at which the order fills on the piece, or NaN; notes that a stop was triggered.

    A market order takes the open, so it must be asked at the piece's first instant.
    """
    order, request, sign = working.order, working.request, working.sign
    limit, open_, high, low = request.limit_price, piece.open, piece.high, piece.low
    kind = request.order_type
    if kind == "MKT":
        return slipped(open_, sign, slippage_bps)
    if kind == "LMT" or (kind in ("LIT", "STP LMT", "TRAIL LIMIT") and order.triggered):
        return limit_fill(sign, limit_of(working), open_, high, low)
    if kind in ("STP", "TRAIL"):
        base = open_ if order.triggered else stop_fill(sign, order.stop_price, open_, high, low)
        order.triggered = order.triggered or not math.isnan(base)
        return slipped(base, sign, slippage_bps)
    if kind == "MIT":
        base = open_ if order.triggered else limit_fill(sign, order.stop_price, open_, high, low)
        order.triggered = order.triggered or not math.isnan(base)
        return slipped(base, sign, slippage_bps)
    if kind == "LIT":
        order.triggered = not math.isnan(limit_fill(sign, order.stop_price, open_, high, low))
        # Beyond its limit the price got only by way of the trigger.
        bound = order.stop_price if sign * (limit - order.stop_price) >= 0 else limit
        return limit_fill(sign, bound, open_, high, low) if order.triggered else NAN
    if kind in ("STP LMT", "TRAIL LIMIT"):
        stop = order.stop_price
        price = stop_limit_fill(sign, stop, limit_of(working), open_, high, low, piece.close)
        if is_triggered(sign, stop, open_, high, low):
            order.triggered = True
        return price
    return _price_at_close(working, piece, slippage_bps)


def may_react(working: WorkingOrder, low: float, high: float, until_ns: int) -> bool:
    """Whether a path that stays within [low, high] and ends at `until_ns` can matter to the order at all."""
    order, request = working.order, working.request
    kind = request.order_type
    if working.waits or kind in TRAILS or kind == "MKT" or request.tif in ("IOC", "FOK", "OPG"):
        return True
    if kind in ("MOC", "LOC"):
        return until_ns >= working.window[1]
    if kind == "LMT" or (kind in ("STP LMT", "LIT") and order.triggered):
        return low <= request.limit_price if working.sign > 0 else high >= request.limit_price
    if order.triggered:
        return True
    rises = (working.sign > 0) == (kind in ("STP", "STP LMT"))
    return high >= order.stop_price if rises else low <= order.stop_price


def _price_at_close(working: WorkingOrder, piece: Step, slippage_bps: float) -> float:
    """MOC and LOC: the last price of the session."""
    if piece.end_ns != working.window[1]:
        return NAN
    sign = working.sign
    if working.request.order_type == "MOC":
        return slipped(piece.close, sign, slippage_bps)
    return piece.close if sign * (working.request.limit_price - piece.close) >= 0 else NAN


def limit_of(working: WorkingOrder) -> float:
    """The limit price as it stands: that of a trailing limit keeps its distance to the stop."""
    request = working.request
    if request.order_type != "TRAIL LIMIT":
        return request.limit_price
    return working.order.stop_price + working.sign * request.limit_price_offset


def trail(working: WorkingOrder, close: float) -> bool:
    """Let a trailing stop follow the price; whether it moved."""
    order, request = working.order, working.request
    if request.order_type not in TRAILS or order.triggered:
        return False
    percent = request.trailing_percent
    by_percent = not math.isnan(percent)
    amount = NAN if by_percent else request.aux_price
    moved = trailed_stop(working.sign, order.stop_price, close, amount, percent / 100 if by_percent else NAN)
    moved = on_tick(moved, tick_at(working, moved))
    if moved == order.stop_price:
        return False
    order.stop_price = moved
    return True


def tick_at(working: WorkingOrder, price: float) -> float:
    return increment(working.listing.price_steps, price)


def increment(price_steps: tuple[tuple[float, float], ...], price: float) -> float:
    """The smallest step of prices at this price."""
    found = price_steps[0][1]
    for edge, step in price_steps:
        if price >= edge:
            found = step
    return found


def on_tick(price: float, tick: float) -> float:
    """The nearest price that is a whole number of ticks."""
    return round(round(price / tick) * tick, 10)


__all__ = ["increment", "limit_of", "may_react", "on_tick", "opening_of", "price_at", "trail"]
