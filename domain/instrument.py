"""Instrument: what is traded, as the engine, the risk rules and the sizing need to know it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import BadInput, UnknownName


class InstrumentKind(StrEnum):
    STOCK = "stock"
    ETF = "etf"
    FOREX = "forex"
    FUTURE = "future"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument.

    `multiplier` is money per point and unit; `margin` is the initial margin per contract (None: the run's
    margin rate of the value); `tick` is the smallest price step and `lot` the smallest quantity step.
    A future is marked to market in cash at each bar's close; everything else is paid for in full.
    """

    symbol: str
    kind: InstrumentKind = InstrumentKind.STOCK
    currency: str = "USD"
    calendar: str = "XNYS"
    tick: float = 0.01
    lot: float = 1.0
    multiplier: float = 1.0
    margin: float | None = None

    def __post_init__(self) -> None:
        kinds = [str(kind) for kind in InstrumentKind]
        if self.kind not in kinds:
            raise UnknownName("kind of instrument", str(self.kind), kinds)
        object.__setattr__(self, "kind", InstrumentKind(self.kind))  # a plain text is welcome, rules compare members
        if not self.symbol:
            raise BadInput("an instrument needs a symbol")
        for name in ("tick", "lot", "multiplier"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{self.symbol}: {name} must be a positive number, not {value!r}")
        if self.margin is not None and not (math.isfinite(self.margin) and self.margin > 0):
            raise BadInput(f"{self.symbol}: margin must be a positive number or None, not {self.margin!r}")

    @property
    def is_future(self) -> bool:
        return self.kind is InstrumentKind.FUTURE

    @property
    def is_tradable(self) -> bool:
        """An index has prices but nobody can buy it."""
        return self.kind is not InstrumentKind.INDEX
