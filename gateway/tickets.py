"""OrderTicket: one order in the domain's words, and what IB calls it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from domain.orders import OrderType, Side, TimeInForce
from gateway.errors import Refused
from gateway.events import OrderTerms
from gateway.translate import clean, given

NAN = float("nan")

ORDER_TYPES = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
    OrderType.TRAILING_STOP: "TRAIL",
    OrderType.MARKET_ON_CLOSE: "MOC",
}
_DOMAIN_TYPES = {word: kind for kind, word in ORDER_TYPES.items()}
_NEEDS_LIMIT = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_NEEDS_STOP = (OrderType.STOP, OrderType.STOP_LIMIT)
# When one of a group fills the others are cancelled, and held back meanwhile, so that two cannot fill at once.
_CANCEL_WITH_BLOCK = 1


class OrderTicket(NamedTuple):
    """An order after sizing and risk.

    `quantity` is positive. A trailing stop takes one of `trail_amount` (price units) and `trail_percent` (0.05 = 5 %),
    and as `stop_price` where it begins (else IB computes that from the market). `ref` is our own key; it comes back in
    every message about the order. `parent_id` and `transmit` make families: IB holds an order that is not transmitted
    until one of its family is.
    """

    side: Side
    quantity: float
    order_type: OrderType = OrderType.MARKET
    limit_price: float = NAN
    stop_price: float = NAN
    trail_amount: float = NAN
    trail_percent: float = NAN
    time_in_force: TimeInForce = TimeInForce.DAY
    account: str = ""
    ref: str = ""
    oca_group: str = ""
    parent_id: int = 0
    transmit: bool = True
    outside_rth: bool = False


def order_fields(ticket: OrderTicket) -> dict[str, Any]:
    """The fields of the library's order; Refused where the ticket cannot be an order."""
    _check(ticket)
    fields: dict[str, Any] = {
        "action": "BUY" if ticket.side is Side.BUY else "SELL",
        "totalQuantity": _whole(ticket.quantity),
        "orderType": ORDER_TYPES[ticket.order_type],
        "tif": "GTC" if ticket.time_in_force is TimeInForce.GTC else "DAY",
        "account": clean(ticket.account, "account", 32),
        "orderRef": clean(ticket.ref, "order reference", 64),
        "parentId": ticket.parent_id,
        "transmit": ticket.transmit,
        "outsideRth": ticket.outside_rth,
    }
    if ticket.order_type in _NEEDS_LIMIT:
        fields["lmtPrice"] = ticket.limit_price
    if ticket.order_type in _NEEDS_STOP:
        fields["auxPrice"] = ticket.stop_price
    if ticket.order_type is OrderType.TRAILING_STOP:
        if math.isnan(ticket.trail_percent):
            fields["auxPrice"] = ticket.trail_amount
        else:
            fields["trailingPercent"] = round(ticket.trail_percent * 100, 10)
        if not math.isnan(ticket.stop_price):
            fields["trailStopPrice"] = ticket.stop_price
    if ticket.oca_group:
        fields["ocaGroup"] = clean(ticket.oca_group, "OCA group", 64)
        fields["ocaType"] = _CANCEL_WITH_BLOCK
    return fields


def bracket(
    entry: OrderTicket, entry_id: int, *, stop_loss: float = NAN, take_profit: float = NAN
) -> tuple[OrderTicket, ...]:
    """The entry and its exits, to be placed in this order under ascending ids; only the last one transmits them all.

    IB lets the exits wait for the entry's fill and makes them cancel each other. They stand until cancelled, as a
    stop that ends with the day would leave the position bare.
    """
    exits = []
    opposite = Side.SELL if entry.side is Side.BUY else Side.BUY
    blank = entry._replace(
        side=opposite,
        limit_price=NAN,
        stop_price=NAN,
        trail_amount=NAN,
        trail_percent=NAN,
        parent_id=entry_id,
        transmit=False,
        time_in_force=TimeInForce.GTC,
        oca_group="",
    )
    if not math.isnan(take_profit):
        ref = f"{entry.ref}:tp" if entry.ref else ""
        exits.append(blank._replace(order_type=OrderType.LIMIT, limit_price=take_profit, ref=ref))
    if not math.isnan(stop_loss):
        ref = f"{entry.ref}:sl" if entry.ref else ""
        exits.append(blank._replace(order_type=OrderType.STOP, stop_price=stop_loss, ref=ref))
    family = [entry._replace(transmit=False), *exits]
    family[-1] = family[-1]._replace(transmit=True)
    return tuple(family)


def terms_of(order: Any) -> OrderTerms:
    """What an order of the library asks for, as IB said it."""
    return OrderTerms(
        order.action,
        float(order.totalQuantity),
        order.orderType,
        given(order.lmtPrice),
        given(order.auxPrice),
        order.tif,
        given(order.trailStopPrice),
        given(order.trailingPercent),
        given(order.lmtPriceOffset),
        order.ocaGroup,
        bool(order.outsideRth),
    )


def domain_order_type(word: str) -> OrderType | None:
    """The domain's name of an IB order type, None for one that the platform does not place."""
    return _DOMAIN_TYPES.get(word)


def _check(ticket: OrderTicket) -> None:
    if not (math.isfinite(ticket.quantity) and ticket.quantity > 0):
        raise Refused(f"an order's quantity must be a positive number, not {ticket.quantity!r}")
    kind = ticket.order_type
    if kind in _NEEDS_LIMIT and not math.isfinite(ticket.limit_price):
        raise Refused(f"a {kind} order needs a limit price")
    if kind in _NEEDS_STOP and not math.isfinite(ticket.stop_price):
        raise Refused(f"a {kind} order needs a stop price")
    if kind is OrderType.TRAILING_STOP:
        given_by = [trail for trail in (ticket.trail_amount, ticket.trail_percent) if not math.isnan(trail)]
        if len(given_by) != 1 or not (math.isfinite(given_by[0]) and given_by[0] > 0):
            raise Refused("a trailing stop needs one of trail_amount and trail_percent, a positive number")
    if kind is OrderType.MARKET_ON_CLOSE and ticket.time_in_force is not TimeInForce.DAY:
        raise Refused("an order for the close is good for the day only")


def _whole(quantity: float) -> float | int:
    """Whole quantities travel without a point."""
    return int(quantity) if quantity == int(quantity) else quantity
