"""At which price an order fills on a bar, if it does: plain scalar rules, shared by every driver and the simulator.

`sign` is +1 for a buy and -1 for a sell; prices are float64 in quote currency; NaN means "does not fill".
The rules: a market order fills at the open; a limit at the open if that is better, else at its price if touched;
a stop at the open if gapped through, else at its price if touched. Slippage is adverse, in basis points, and
applies to market and stop orders only; a slipped price may lie outside the bar and between ticks.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

NAN = float("nan")


Price = TypeVar("Price", float, NDArray[np.float64])


def slipped(price: Price, sign: int, slippage_bps: float) -> Price:
    """One price, or an array of prices, moved against the order."""
    return price * (1.0 + sign * slippage_bps * 1e-4)


def limit_fill(sign: int, limit: float, open_: float, high: float, low: float) -> float:
    if sign > 0:
        if open_ <= limit:
            return open_
        return limit if low <= limit else NAN
    if open_ >= limit:
        return open_
    return limit if high >= limit else NAN


def stop_fill(sign: int, stop: float, open_: float, high: float, low: float) -> float:
    if sign > 0:
        if open_ >= stop:
            return open_
        return stop if high >= stop else NAN
    if open_ <= stop:
        return open_
    return stop if low <= stop else NAN


def is_triggered(sign: int, stop: float, open_: float, high: float, low: float) -> bool:
    """Whether the bar reaches the stop of a stop-limit order."""
    reached: bool = (high if high > open_ else open_) >= stop if sign > 0 else (low if low < open_ else open_) <= stop
    return reached


def stop_limit_fill(sign: int, stop: float, limit: float, open_: float, high: float, low: float, close: float) -> float:
    """The fill on the bar that triggers the stop; on later bars a triggered order is a plain limit.

    Triggered at the open, it is a limit from the open on. Triggered inside the bar at the stop, it fills there if
    the limit allows; otherwise only the close is known to come after the trigger, so it fills at its limit
    if the close is as good as the limit, else it waits.
    """
    gapped = open_ >= stop if sign > 0 else open_ <= stop
    if gapped:
        return limit_fill(sign, limit, open_, high, low)
    if not is_triggered(sign, stop, open_, high, low):
        return NAN
    if sign * (limit - stop) >= 0:
        return stop
    return limit if sign * (limit - close) >= 0 else NAN


def trailed_stop(sign: int, stop: float, close: float, amount: float, fraction: float) -> float:
    """The trailing stop after a bar's close: it only ever moves towards the price.

    `amount` in price units, or `fraction` of the close where amount is NaN; NaN `stop` means "not set yet".
    """
    distance = amount if amount == amount else close * fraction
    moved = close + sign * distance
    if stop != stop:
        return moved
    if sign > 0:
        return moved if moved < stop else stop
    return moved if moved > stop else stop
