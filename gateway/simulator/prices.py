"""What is known of a listing's prices: spans of trading, each with its bar, and corporate actions.

A source of prices says no more than this; what happens inside a span is drawn by `paths`, the same for all sources.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import Action
from domain.bars import Floats, Times
from domain.sessions import Days
from gateway.simulator.records import Listing


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Uninterrupted spans [start, end) of trading in time order, all columns of one length.

    Prices are raw, as they were paid on the day. `day` is the trading day, `regular` whether the span lies in regular
    hours, `halt_start` and `halt_end` the seconds of the span between which it is halted, both 0 where it is not.
    `group` is the row of the first of those spans that are drawn at once.
    """

    start: Times
    end: Times
    day: Days
    regular: NDArray[np.bool_]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    halt_start: NDArray[np.int64]
    halt_end: NDArray[np.int64]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: Any) -> Spans:
        """Some rows; they form groups anew by their day and hours, so take whole groups or none."""
        columns = {column.name: getattr(self, column.name)[rows] for column in fields(self)}
        columns["group"] = np.searchsorted(columns["group"], columns["group"])
        return replace(self, **columns)

    def before(self, now_ns: int) -> int:
        """Row of the last span that has begun at `now_ns`, -1 where none has."""
        return int(np.searchsorted(self.start, now_ns, side="right")) - 1


class PriceSource(Protocol):
    def spans(self, listing: Listing) -> Spans:
        """All spans from the listing's first to its last, the future included; the same on every call."""
        ...

    def actions(self, listing: Listing) -> tuple[Action, ...]:
        """Splits and dividends in time order, as far as prices are not adjusted for them already."""
        ...

    def key(self, listing: Listing) -> int:
        """What the paths of a listing are drawn from besides the seed; those with one key move alike."""
        ...


def on_grid(prices: Floats, steps: tuple[tuple[float, float], ...]) -> Floats:
    """The nearest allowed price of each; never below the first increment."""
    if len(steps) == 1:
        return np.maximum(_rounded(prices, steps[0][1]), steps[0][1])
    edges = np.array([edge for edge, _ in steps])
    rung = np.searchsorted(edges, prices, side="right") - 1
    result = np.empty_like(prices)
    for n, (_, increment) in enumerate(steps):
        result[rung == n] = _rounded(prices[rung == n], increment)
    return np.maximum(result, steps[0][1])


def _rounded(prices: Floats, increment: float) -> Floats:
    # Dividing by the whole number of increments in 1 gives the double that is nearest to the decimal price.
    per_unit = round(1 / increment) if increment <= 1 else 1 / increment
    result: Floats = np.rint(prices * per_unit)
    result /= per_unit
    return result
