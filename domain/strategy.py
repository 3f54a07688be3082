"""The strategy contract: parameters, warm-up, and one of `signals` (arrays) or `on_bar` (any Python).

A strategy sees one instrument; a run makes one object of the class per instrument, all sharing one account.
Prices a strategy sees are split-adjusted as of the bar it looks at, so a split is never a signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from domain.bars import BarSeries, Floats
from domain.errors import BadInput, UnknownName
from domain.instrument import Instrument
from domain.orders import CancelIntent, OrderIntent, OrderType, TimeInForce

Wish = OrderIntent | CancelIntent
Targets = NDArray[np.floating[Any]]
Wishes = Wish | Sequence[Wish] | None


class Params(BaseModel):
    """Base of a strategy's parameters: immutable, unknown names refused, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SignalSeries(NamedTuple):
    """A strategy's statements, one row per bar, all arrays of the bars' length.

    `target` (float64 or float32): the exposure wanted from this bar's close on, scaled by the run's sizing (1 = fully
    long, 0 = flat, -1 = fully short); NaN = nothing to say. A statement equal to the one before it is repeated,
    not new, and orders nothing. `stop_loss` and `take_profit` (float64 prices, NaN = none) attach a bracket to
    the entry that the row's target opens.
    """

    target: Targets
    stop_loss: Floats | None = None
    take_profit: Floats | None = None


class Context(Protocol):
    """What `on_bar` may see and do: the bar that just closed, what came before it, and the account."""

    instrument: Instrument
    i: int
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __getitem__(self, indicator: str) -> float:
        """A declared indicator's value at this bar; NaN while it warms up."""

    def history(self, column: str, bars: int) -> Floats:
        """The last `bars` values (fewer at the beginning) of a bar column or declared indicator, oldest first,
        this bar's last. Read-only."""

    @property
    def position(self) -> float:
        """Signed units held."""

    @property
    def average_price(self) -> float:
        """Average entry price of the position; NaN when flat."""

    @property
    def cash(self) -> float: ...

    @property
    def equity(self) -> float: ...

    @property
    def working_orders(self) -> int:
        """How many of this instrument's orders are working, bracket exits of a working entry included."""


class Strategy:
    """Base of every strategy.

    Subclass it, name it, nest a `Params` model, say the warm-up, and write `signals` or `on_bar`. With both,
    the engine takes `signals`, and a test should show that they agree (`domain.engine` runs either path).
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    Params: ClassVar[type[BaseModel]] = Params

    def __init__(self, params: BaseModel | Mapping[str, Any] | None = None, **values: Any) -> None:
        if isinstance(params, BaseModel):
            if values:
                raise BadInput(f"strategy {self.label()}: give a parameter object or values, not both")
            self.params: Any = params
        else:
            self.params = self.parse({**(params or {}), **values})

    @classmethod
    def label(cls) -> str:
        return cls.name or cls.__name__

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> BaseModel:
        """Check parameter values; UnknownName (with a suggestion) or BadInput says which one is wrong."""
        known = cls.Params.model_fields
        for name in values:
            if name not in known:
                raise UnknownName(f"parameter of strategy {cls.label()}:", name, known)
        try:
            return cls.Params(**values)
        except ValidationError as error:
            faults = "; ".join(
                ": ".join([*(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, ")])
                for fault in error.errors()
            )
            raise BadInput(f"strategy {cls.label()}: {faults}") from error

    @classmethod
    def is_vector(cls) -> bool:
        return cls.signals is not Strategy.signals

    def warmup(self) -> int:
        """How many bars must have closed before the first statement; the engine asks nothing earlier."""
        return 0

    def indicators(self, bars: BarSeries) -> Mapping[str, Floats]:
        """Arrays that `on_bar` reads by name, each of the bars' length and causal: row t may use rows <= t."""
        return {}

    def signals(self, bars: BarSeries) -> SignalSeries:
        """Statements for all bars at once; row t may use rows <= t only."""
        raise NotImplementedError(f"strategy {self.label()} has no signals()")

    def on_bar(self, context: Context) -> Wishes:
        """Called after each bar's close from the warm-up on."""
        raise NotImplementedError(f"strategy {self.label()} has neither signals() nor on_bar()")


def target(
    exposure: float, *, reason: str = "", stop_loss: float | None = None, take_profit: float | None = None
) -> OrderIntent:
    """Want this exposure: 1 = fully long, 0 = flat, -1 = fully short, in units of the run's sizing."""
    return OrderIntent(target=exposure, stop_loss=stop_loss, take_profit=take_profit, reason=reason)


def buy(quantity: float, *, limit: float | None = None, stop: float | None = None, **more: Any) -> OrderIntent:
    """Buy an exact quantity at the market, or at a limit, from a stop on, or both."""
    return _order(abs(quantity), limit, stop, more)


def sell(quantity: float, *, limit: float | None = None, stop: float | None = None, **more: Any) -> OrderIntent:
    """Sell an exact quantity at the market, or at a limit, from a stop on, or both."""
    return _order(-abs(quantity), limit, stop, more)


def _order(quantity: float, limit: float | None, stop: float | None, more: dict[str, Any]) -> OrderIntent:
    if limit is not None:
        kind = OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT
    elif stop is not None:
        kind = OrderType.STOP
    else:
        kind = OrderType.MARKET
    return OrderIntent(
        quantity=quantity, order_type=more.pop("order_type", kind), limit_price=limit, stop_price=stop, **more
    )


def holds(entry: np.ndarray, exit: np.ndarray, short_entry: np.ndarray | None = None) -> Targets:
    """Targets from boolean arrays: 1 where `entry`, 0 where `exit`, -1 where `short_entry`, else NaN.

    Where several are true in one row, the later named wins: an exit beats an entry.
    """
    wanted = np.full(len(entry), np.nan, np.float32)  # exact for these values, and half the fresh memory
    wanted[np.flatnonzero(entry)] = 1.0  # by rows: four times as fast as by mask where few are true
    if short_entry is not None:
        wanted[np.flatnonzero(short_entry)] = -1.0
    wanted[np.flatnonzero(exit)] = 0.0
    return wanted


__all__ = [
    "Context",
    "Params",
    "SignalSeries",
    "Strategy",
    "TimeInForce",
    "Wish",
    "Wishes",
    "buy",
    "holds",
    "sell",
    "target",
]
