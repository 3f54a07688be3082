"""What is wrong with an order, by IB's codes: everything that can be said without knowing the account's money."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from domain.errors import BadInput
from gateway.simulator.lifetimes import moment
from gateway.simulator.matching import increment
from gateway.simulator.records import Listing, WireOrder


class Refusal(NamedTuple):
    code: int
    text: str


def rejected(reason: str) -> Refusal:
    return Refusal(201, f"Order rejected - reason:{reason}")


def invalid(cause: str) -> Refusal:
    return Refusal(321, f"Error validating request.-'bZ' : cause - {cause}")


BAD_PRICE = Refusal(463, "You must enter a valid price.")
BAD_TICK = Refusal(110, "The price does not conform to the minimum price variation for this contract.")
DUPLICATE_ID = Refusal(103, "Duplicate order id")
PRESET_TIF = Refusal(10349, "Order TIF was set to DAY based on order preset.")
IS_FILLED = Refusal(104, "Cannot modify a filled order.")
NO_MATCH = Refusal(105, "Order being modified does not match original order")
NO_PARENT = Refusal(10006, "Missing parent order.")

# Which prices a type needs: a limit, an auxiliary (stop, trigger) price.
NEEDS = {
    "MKT": (False, False),
    "LMT": (True, False),
    "STP": (False, True),
    "STP LMT": (True, True),
    "MIT": (False, True),
    "LIT": (True, True),
    "TRAIL": (False, False),
    "TRAIL LIMIT": (False, False),
    "MOC": (False, False),
    "LOC": (True, False),
}
TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "FOK", "GTD", "OPG")
TRADABLE = ("STK", "CASH", "FUT")
_OTHER_NAMES = {"STPLMT": "STP LMT", "TRAILLMT": "TRAIL LIMIT", "TRAIL LMT": "TRAIL LIMIT", "LMT ON CLOSE": "LOC"}


def with_defaults(order: WireOrder, accounts: Sequence[str]) -> WireOrder:
    """The order as the gateway understands it: words in capitals, DAY and the only account where none is named."""
    kind = order.order_type.upper().strip()
    account = order.account or (accounts[0] if len(accounts) == 1 else "")
    changed = {
        "order_type": _OTHER_NAMES.get(kind, kind),
        "action": {"SSHORT": "SELL"}.get(order.action.upper(), order.action.upper()),
        "tif": order.tif.upper() or "DAY",
        "account": account,
    }
    return WireOrder(**{**{name: getattr(order, name) for name in WireOrder.__slots__}, **changed})


def find_listing(find: Callable[..., list[Listing]], order: WireOrder) -> Listing | Refusal:
    matches = find(order.contract)
    if not matches:
        return Refusal(200, "No security definition has been found for the request")
    if len(matches) > 1:
        return Refusal(200, f"The contract description specified for {order.contract.symbol} is ambiguous.")
    return matches[0]


class Rules(NamedTuple):
    """What an order is checked against."""

    accounts: tuple[str, ...]
    denied_types: tuple[str, ...]
    now_ns: int


def refusal(order: WireOrder, listing: Listing, rules: Rules) -> Refusal | None:
    """The first thing that is wrong, or None."""
    for check in (_account, _words, _quantity, _prices, _ticks, _times):
        found = check(order, listing, rules)
        if found is not None:
            return found
    return None


def _account(order: WireOrder, listing: Listing, rules: Rules) -> Refusal | None:
    if not order.account:
        return Refusal(436, "You must specify an allocation (either a single account, group, or profile).")
    if order.account not in rules.accounts:
        return invalid(f"Invalid account code '{order.account}'.")
    kind = listing.contract.sec_type
    if kind in rules.denied_types:
        return Refusal(460, "No trading permissions.")
    if kind not in TRADABLE:
        return Refusal(203, f"The security {listing.contract.symbol} is not available or allowed for this account.")
    return None


def _words(order: WireOrder, listing: Listing, _: Rules) -> Refusal | None:
    if order.unsupported:
        return rejected(f"The simulated gateway does not support {', '.join(order.unsupported)}.")
    if order.algo_strategy:
        return Refusal(442, "Specified algorithm is not allowed for this order.")
    if order.action not in ("BUY", "SELL"):
        return invalid(f"Invalid action '{order.action}'.")
    kind = listing.contract.sec_type
    if order.order_type not in NEEDS or (order.order_type in ("MOC", "LOC") and kind == "CASH"):
        return Refusal(387, "Unsupported order type for this exchange and security type.")
    if order.tif not in TIMES_IN_FORCE:
        return invalid(f"Invalid time in force '{order.tif}'.")
    if order.order_type in ("MOC", "LOC") and order.tif != "DAY":
        return Refusal(113, "The Tif option should be set to DAY for MOC and LOC orders.")
    if order.tif == "OPG" and order.order_type not in ("MKT", "LMT"):
        return Refusal(111, "The TIF (Tif type) and the order type are incompatible.")
    if order.oca_type not in (0, 1, 2, 3):
        return invalid(f"Invalid OCA type {order.oca_type}.")
    if order.what_if and not order.transmit:
        return Refusal(413, "What-if order should have the transmit flag set to true.")
    return None


def _quantity(order: WireOrder, listing: Listing, _: Rules) -> Refusal | None:
    if is_given(order.cash_quantity) and order.cash_quantity:
        return Refusal(10244, "Cash Quantity cannot be used for this order")
    if not is_given(order.quantity) or order.quantity == 0:
        return Refusal(434, "The order size cannot be zero.")
    if order.quantity < 0 or math.isinf(order.quantity):
        return invalid(f"Invalid order size {order.quantity:g}.")
    if order.quantity < listing.min_size:
        return Refusal(388, "Order size is smaller than the minimum requirement.")
    if not _is_multiple(order.quantity, listing.size_step):
        return Refusal(10243, "Fractional-sized order cannot be placed via API.")
    return None


def _prices(order: WireOrder, _: Listing, __: Rules) -> Refusal | None:
    needs_limit, needs_aux = NEEDS[order.order_type]
    needed = [order.limit_price] * needs_limit + [order.aux_price] * needs_aux
    if not all(is_given(price) and 0 < price < math.inf for price in needed):
        return BAD_PRICE
    if order.order_type not in ("TRAIL", "TRAIL LIMIT"):
        return None
    amount, percent = is_set(order.aux_price), is_set(order.trailing_percent)
    if amount == percent:
        return invalid("Give a trailing amount or a trailing percentage, one of them.")
    if (amount and order.aux_price < 0) or (percent and not 0 < order.trailing_percent < 100):
        return BAD_PRICE
    if is_set(order.trail_stop_price) and order.trail_stop_price < 0:
        return BAD_PRICE
    if order.order_type == "TRAIL LIMIT" and not is_set(order.limit_price) and not is_given(order.limit_price_offset):
        return invalid("Give a limit price or a limit price offset.")
    if math.isinf(order.limit_price) or math.isinf(order.limit_price_offset) or math.isinf(order.aux_price):
        return BAD_PRICE
    return None


def _ticks(order: WireOrder, listing: Listing, _: Rules) -> Refusal | None:
    needs_limit, needs_aux = NEEDS[order.order_type]
    prices = [order.limit_price] * needs_limit + [order.aux_price] * needs_aux
    for price in (*prices, order.trail_stop_price):
        if is_set(price) and not _is_multiple(price, increment(listing.price_steps, price)):
            return BAD_TICK
    return None


def _times(order: WireOrder, listing: Listing, rules: Rules) -> Refusal | None:
    if order.tif == "GTD" and not order.good_till_date:
        return Refusal(391, "The time or time-zone entered is invalid. The correct format is hh:mm:ss xxx")
    try:
        if order.good_after_time:
            moment(order.good_after_time, listing.zone)
        if order.tif == "GTD" and moment(order.good_till_date, listing.zone, whole_day_ends=True) <= rules.now_ns:
            return rejected("The good-till date has passed.")
    except BadInput:
        return Refusal(391, "The time or time-zone entered is invalid. The correct format is hh:mm:ss xxx")
    return None


def modification_refusal(old: WireOrder, new: WireOrder, filled: float) -> Refusal | None:
    """What an order that works may not become. A group or parent that is left out stays as it was."""
    for name in ("action", "order_type", "account", "model_code"):
        if getattr(old, name) != getattr(new, name):
            return NO_MATCH
    for name in ("parent_id", "oca_group"):
        if getattr(new, name) and getattr(old, name) != getattr(new, name):
            return NO_MATCH
    if new.quantity <= filled:
        return rejected(f"The new quantity must be more than the {filled:g} that are filled.")
    return None


def ignores_outside_rth(order: WireOrder, listing: Listing) -> bool:
    """Stocks trade at the market in regular hours only."""
    return order.outside_rth and listing.contract.sec_type == "STK" and order.order_type in ("MKT", "MOC", "LOC")


def is_given(value: float) -> bool:
    return value == value


def is_set(value: float) -> bool:
    """Given, and not the 0 that clients send for "not used"."""
    return value == value and value != 0


def _is_multiple(value: float, step: float) -> bool:
    count = value / step
    if math.isinf(count):
        return False
    return abs(count - round(count)) <= 1e-6 * max(1.0, abs(count) * 1e-6)


__all__ = [
    "DUPLICATE_ID",
    "IS_FILLED",
    "NO_MATCH",
    "NO_PARENT",
    "PRESET_TIF",
    "Refusal",
    "Rules",
    "find_listing",
    "ignores_outside_rth",
    "invalid",
    "is_given",
    "is_set",
    "modification_refusal",
    "refusal",
    "rejected",
    "with_defaults",
]
