"""The risk rules: one pure check that backtests, dry runs and live trading call alike. It fails closed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from domain.errors import BadInput

INF = math.inf


class RiskReason(IntEnum):
    """Why an intent is denied; 0 allows. The names are what ledgers, alerts and pages show."""

    ALLOWED = 0
    UNKNOWN_STATE = 1
    HALTED = 2
    MARKET_CLOSED = 3
    LONG_ONLY = 4
    MAX_ORDER_QUANTITY = 5
    MAX_ORDER_VALUE = 6
    PRICE_COLLAR = 7
    MAX_OPEN_ORDERS = 8
    INSTRUMENT_DAILY_LOSS = 9
    SYMBOL_NOTIONAL = 10
    GROSS_EXPOSURE = 11
    BUYING_POWER = 12
    FLAT_AT_CLOSE = 13
    NOT_TRADABLE = 14
    DAILY_LOSS = 15


ALLOWED = RiskReason.ALLOWED


class RiskLimits(NamedTuple):
    """Limits of one account; infinity switches a rule off. Money in the account's currency.

    `daily_loss` and `daily_loss_fraction` are the kill switch: the account's loss since the day's start, as money
    or as a fraction of the day's starting equity, that halts the run. `price_collar` is the largest distance of
    a limit price from the last price, as a fraction. `flat_at_close` closes positions at each session's close
    and refuses entries that could not be closed on the same day.
    """

    long_only: bool = True
    market_hours: bool = True
    flat_at_close: bool = False
    max_order_quantity: float = INF
    max_order_value: float = INF
    symbol_notional: float = INF
    gross_exposure: float = INF
    price_collar: float = INF
    max_open_orders: float = INF
    instrument_daily_loss: float = INF
    daily_loss: float = INF
    daily_loss_fraction: float = INF

    @property
    def has_kill_switch(self) -> bool:
        return self.daily_loss < INF or self.daily_loss_fraction < INF

    def check(self) -> None:
        """BadInput unless every limit is a positive number or infinity."""
        for name, value in zip(self._fields, self, strict=True):
            if not isinstance(value, bool) and not value > 0:
                raise BadInput(f"risk: {name} must be positive (leave it out to switch it off), not {value!r}")


@dataclass(slots=True)
class RiskState:
    """What the check needs to know of account and instrument at the moment of decision.

    `position` and `pending` are signed units of the instrument, held and on order; `gross` is the sum of absolute
    values of all positions and entries on order, this instrument's included, at last prices, and `held_value`
    this instrument's part of it; `used_margin` and `held_margin` are the same in margin; `equity` is the account's
    value; `instrument_day_pnl` is since the day's start; `open_orders` counts the instrument's working orders.
    """

    position: float = 0.0
    pending: float = 0.0
    gross: float = 0.0
    held_value: float = 0.0
    used_margin: float = 0.0
    held_margin: float = 0.0
    equity: float = 0.0
    instrument_day_pnl: float = 0.0
    open_orders: int = 0
    in_session: bool = True
    halted: bool = False


def check(
    quantity: float,
    price: float,
    limit_price: float,
    unit_value: float,
    unit_margin: float,
    state: RiskState,
    limits: RiskLimits,
) -> int:
    """The first rule that an intent breaks, as a RiskReason value; 0 = allowed.

    `quantity` is signed units, `price` the last price (checks that need a price use it), `limit_price` the order's
    limit or NaN, `unit_value` the money value of one unit at `price`, `unit_margin` the margin for one unit.
    An intent that only reduces the position is held to the session, halt, quantity and collar rules alone:
    getting out must stay possible. NaN in anything that is needed denies.
    """
    if not (quantity == quantity and price > 0.0 and state.equity == state.equity and state.gross == state.gross):
        return RiskReason.UNKNOWN_STATE
    if state.halted:
        return RiskReason.HALTED
    if limits.market_hours and not state.in_session:
        return RiskReason.MARKET_CLOSED
    held = state.position + state.pending
    after = held + quantity
    if limits.long_only and after < -1e-9:
        return RiskReason.LONG_ONLY
    size = quantity if quantity >= 0.0 else -quantity
    if size > limits.max_order_quantity:
        return RiskReason.MAX_ORDER_QUANTITY
    if limit_price == limit_price and abs(limit_price - price) > limits.price_collar * price:
        return RiskReason.PRICE_COLLAR
    if held * quantity < 0.0 and size <= (held if held >= 0.0 else -held) + 1e-9:
        return ALLOWED
    if size * unit_value > limits.max_order_value:
        return RiskReason.MAX_ORDER_VALUE
    if state.open_orders >= limits.max_open_orders:
        return RiskReason.MAX_OPEN_ORDERS
    if state.instrument_day_pnl <= -limits.instrument_daily_loss:
        return RiskReason.INSTRUMENT_DAILY_LOSS
    after_size = after if after >= 0.0 else -after
    if after_size * unit_value > limits.symbol_notional:
        return RiskReason.SYMBOL_NOTIONAL
    if state.gross - state.held_value + after_size * unit_value > limits.gross_exposure:
        return RiskReason.GROSS_EXPOSURE
    if state.used_margin - state.held_margin + after_size * unit_margin > state.equity + 1e-9:
        return RiskReason.BUYING_POWER
    return ALLOWED


def explain(
    reason: int,
    quantity: float,
    price: float,
    limit_price: float,
    unit_value: float,
    unit_margin: float,
    state: RiskState,
    limits: RiskLimits,
) -> tuple[float, float]:
    """The numbers behind a denial for the ledger: (what it would have been, what is allowed); NaN where none."""
    after = abs(state.position + state.pending + quantity)
    nan = math.nan
    numbers = {
        RiskReason.LONG_ONLY: (state.position + state.pending + quantity, 0.0),
        RiskReason.MAX_ORDER_QUANTITY: (abs(quantity), limits.max_order_quantity),
        RiskReason.MAX_ORDER_VALUE: (abs(quantity) * unit_value, limits.max_order_value),
        RiskReason.PRICE_COLLAR: (abs(limit_price - price) / price if price else nan, limits.price_collar),
        RiskReason.MAX_OPEN_ORDERS: (float(state.open_orders), limits.max_open_orders),
        RiskReason.INSTRUMENT_DAILY_LOSS: (-state.instrument_day_pnl, limits.instrument_daily_loss),
        RiskReason.SYMBOL_NOTIONAL: (after * unit_value, limits.symbol_notional),
        RiskReason.GROSS_EXPOSURE: (state.gross - state.held_value + after * unit_value, limits.gross_exposure),
        RiskReason.BUYING_POWER: (state.used_margin - state.held_margin + after * unit_margin, state.equity),
    }
    return numbers.get(RiskReason(reason), (nan, nan))


def kill_level(day_start_equity: float, limits: RiskLimits) -> float:
    """The equity at or below which the kill switch strikes on a day that began with `day_start_equity`."""
    return max(day_start_equity - limits.daily_loss, day_start_equity * (1.0 - limits.daily_loss_fraction))
