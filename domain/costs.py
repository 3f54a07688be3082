"""What trading costs: commissions as schedules, and the fee for borrowing what is sold short."""

from __future__ import annotations

import math
from typing import NamedTuple

INF = math.inf


class Tier(NamedTuple):
    """A per-unit rate for the month's units up to `up_to`."""

    up_to: float
    per_unit: float


class Commission(NamedTuple):
    """A commission schedule: the fee of one order over all its fills, in the instrument's currency.

    fee = per_order + per_unit * units + fraction * value, at least `minimum`, at most `maximum_fraction` of the
    value; then `extra_per_unit` (clearing and exchange fees) and, on sells only, `sell_fraction` of the value
    and `sell_per_unit` (regulatory fees), which the bounds do not cover. With `tiers` the per-unit rate falls
    with the units traded in the calendar month, marginally, as IB bills it.
    """

    per_order: float = 0.0
    per_unit: float = 0.0
    fraction: float = 0.0
    minimum: float = 0.0
    maximum_fraction: float = INF
    extra_per_unit: float = 0.0
    sell_fraction: float = 0.0
    sell_per_unit: float = 0.0
    tiers: tuple[Tier, ...] = ()


FREE = Commission()
# Published on Interactive Brokers' pages of US stock, forex and futures commissions: the broker's own part. What it
# passes on from exchanges, clearing houses and regulators changes often; add it with the `extra_` and `sell_` fields.
IB_FIXED = Commission(per_unit=0.005, minimum=1.0, maximum_fraction=0.01)
IB_TIERED = Commission(
    minimum=0.35,
    maximum_fraction=0.01,
    tiers=(
        Tier(300_000, 0.0035),
        Tier(3_000_000, 0.0020),
        Tier(20_000_000, 0.0015),
        Tier(100_000_000, 0.0010),
        Tier(INF, 0.0005),
    ),
)
IB_FOREX = Commission(fraction=0.00002, minimum=2.0)
IB_FUTURES = Commission(per_unit=0.85)

SCHEDULES = {
    "free": FREE,
    "ib_fixed": IB_FIXED,
    "ib_tiered": IB_TIERED,
    "ib_forex": IB_FOREX,
    "ib_futures": IB_FUTURES,
}


def commission(schedule: Commission, quantity: float, value: float, month_units: float = 0.0) -> float:
    """The fee of an order that has filled `quantity` (signed) for `value` (> 0, price x units x multiplier).

    For an order filled in parts, call it with the sums so far and charge the difference to what was charged.
    `month_units` are the units traded earlier in the calendar month; only tiered schedules look at it.
    """
    units = quantity if quantity >= 0 else -quantity
    fee = schedule.per_order + schedule.per_unit * units + schedule.fraction * value
    if schedule.tiers:
        fee += _tiered(schedule.tiers, month_units, units)
    if fee < schedule.minimum:
        fee = schedule.minimum
    most = schedule.maximum_fraction * value
    if fee > most:
        fee = most
    fee += schedule.extra_per_unit * units
    if quantity < 0:
        fee += schedule.sell_fraction * value + schedule.sell_per_unit * units
    return fee


def _tiered(tiers: tuple[Tier, ...], month_units: float, units: float) -> float:
    fee, done, left = 0.0, month_units, units
    for tier in tiers:
        room = tier.up_to - done
        if room <= 0:
            continue
        part = min(room, left)
        fee += part * tier.per_unit
        done += part
        left -= part
        if left <= 0:
            break
    return fee


def borrow_fee(short_value: float, annual_rate: float, days: float) -> float:
    """The fee for `short_value` (> 0) held short over `days` calendar days, on a year of 360 days as IB accrues."""
    return short_value * annual_rate * days / 360.0
