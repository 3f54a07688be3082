"""Orders as the strategy wishes them and as the engine, the risk rules and the trader handle them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Side(IntEnum):
    """The sign of a quantity."""

    BUY = 1
    SELL = -1

    @property
    def label(self) -> str:
        return "buy" if self > 0 else "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"
    MARKET_ON_CLOSE = "market_on_close"


class TimeInForce(StrEnum):
    """DAY: until the close of the first session in which the order can trade. GTC: until filled or cancelled."""

    DAY = "day"
    GTC = "gtc"


class OrderStatus(StrEnum):
    """How an order ended in a backtest; live has more (reliability: order states)."""

    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DENIED = "denied"
    REJECTED = "rejected"


class OrderIntent(NamedTuple):
    """What a strategy wants, before sizing and risk.

    Give either `quantity` (signed units, exact: positive buys) or `target` (the wanted exposure, scaled by the
    run's sizing: 1 = fully long, 0 = flat, -1 = fully short; only the difference to the position is ordered).
    `limit_price`/`stop_price` are in the instrument's quote currency. A trailing stop takes one of
    `trail_amount` (price units) and `trail_percent` (0.05 = 5 %); it follows closes.
    `stop_loss`/`take_profit` attach a bracket: two one-cancels-other exits that work from the bar after the
    bar in which the entry filled. Intents with the same `oca_group` cancel each other when one fills.
    `order_type` None means the run's default.
    """

    quantity: float | None = None
    target: float | None = None
    order_type: OrderType | None = None
    limit_price: float | None = None
    stop_price: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    time_in_force: TimeInForce | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    oca_group: str = ""
    reason: str = ""


class CancelIntent(NamedTuple):
    """Cancel the strategy's working orders on its instrument: all, or those of one `oca_group` or order ref."""

    oca_group: str = ""
    ref: str = ""
