"""How many units a target exposure means."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from domain.errors import BadInput


class SizingKind(StrEnum):
    """`quantity`: units. `notional`: money. `fraction`: of equity. `atr`: the fraction of equity lost when the price
    moves by `atr_multiple` average true ranges. `volatility`: the annual volatility the position should have,
    as a fraction of equity, from the EWMA of returns."""

    QUANTITY = "quantity"
    NOTIONAL = "notional"
    FRACTION = "fraction"
    ATR = "atr"
    VOLATILITY = "volatility"


QUANTITY, NOTIONAL, FRACTION, ATR, VOLATILITY = SizingKind


class Sizing(NamedTuple):
    """What exposure 1 is worth. `window` is the ATR's bars or the EWMA's span; the volatility kinds are capped at
    `max_fraction` of equity."""

    kind: SizingKind = QUANTITY
    value: float = 1.0
    window: int = 20
    atr_multiple: float = 2.0
    max_fraction: float = 1.0

    def check(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise BadInput(f"sizing: value must be a positive number, not {self.value!r}")
        if self.window < 2:
            raise BadInput(f"sizing: window must be at least 2 bars, not {self.window}")
        if not (self.atr_multiple > 0 and self.max_fraction > 0):
            raise BadInput("sizing: atr_multiple and max_fraction must be positive")


def target_quantity(
    sizing: Sizing, exposure: float, price: float, equity: float, multiplier: float, lot: float, volatility: float
) -> float:
    """Signed units for `exposure`, rounded towards zero to whole lots.

    `volatility` is the ATR in price units for kind atr, the annual volatility of returns for kind volatility,
    and is not looked at otherwise; where it is needed but NaN or zero the answer is NaN (unknown: no order).
    """
    if exposure == 0.0:
        return 0.0
    kind = sizing.kind
    if kind is QUANTITY:
        units = sizing.value
    elif kind is NOTIONAL:
        units = sizing.value / (price * multiplier)
    elif equity <= 0:
        return 0.0
    elif kind is FRACTION:
        units = sizing.value * equity / (price * multiplier)
    else:
        if not volatility > 0:
            return math.nan
        most = sizing.max_fraction * equity / (price * multiplier)
        if kind is ATR:
            units = min(sizing.value * equity / (sizing.atr_multiple * volatility * multiplier), most)
        else:
            units = min(sizing.value / volatility * equity / (price * multiplier), most)
    lots = math.floor(abs(exposure) * units / lot + 1e-9)
    return math.copysign(lots * lot, exposure) if lots else 0.0
