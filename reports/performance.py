"""What a report adds to the figures of `domain.metrics`: the benchmark, exposure over time, a row an instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats, Times
from domain.metrics import average_trade, hit_rate, profit_factor
from reports.ledgers import Table


def buy_and_hold(bars: Mapping[str, BarSeries], times: Times, cash: float) -> Floats:
    """Value at `times` of equal shares of the cash, each put into one instrument at its first close and kept.

    No cost, no dividend; a share waits in cash until its instrument's first bar. Prices must be free of splits.
    """
    held = [series for series in bars.values() if len(series)]
    if not held:
        return np.full(len(times), cash)
    value = np.zeros(len(times))
    for series in held:
        row = np.searchsorted(series.end, times, side="right") - 1
        growth = np.where(row >= 0, series.close[np.maximum(row, 0)] / series.close[0], 1.0)
        value += cash / len(held) * growth
    return value


def exposures(equity: Table) -> tuple[Floats, Floats, Floats]:
    """Long (>= 0), short (<= 0) and gross value over equity; NaN where equity is not positive.

    A future has no value of its own between settlements, so it counts in gross only.
    """
    worth = np.where(equity["equity"] > 0, equity["equity"], np.nan)
    long, short = np.abs(equity["long_value"]) / worth, -np.abs(equity["short_value"]) / worth
    return long, short, equity["gross"] / worth


class InstrumentRow(NamedTuple):
    """One instrument's part in the run; money in the account's currency, fractions, NaN where undefined."""

    instrument: str
    bars: int
    fills: int
    trades: int
    hit_rate: float
    profit_factor: float
    net_pnl: float
    average_trade: float
    best: float
    worst: float
    commission: float
    price_change: float


def by_instrument(bars: Mapping[str, BarSeries], fills: Table, trades: Table) -> list[InstrumentRow]:
    """A row for each instrument that has bars, in name order. Commission is that of all its fills."""
    traded = np.array(trades["instrument"], dtype=object)
    filled = np.array(fills["instrument"], dtype=object)
    rows = []
    for instrument in sorted(bars):
        series = bars[instrument]
        net = trades["net_pnl"][traded == instrument]
        mine: NDArray[np.bool_] = filled == instrument
        some = len(net) > 0
        rows.append(
            InstrumentRow(
                instrument=instrument,
                bars=len(series),
                fills=int(mine.sum()),
                trades=len(net),
                hit_rate=hit_rate(net),
                profit_factor=profit_factor(net),
                net_pnl=float(net.sum()),
                average_trade=average_trade(net),
                best=float(net.max()) if some else np.nan,
                worst=float(net.min()) if some else np.nan,
                commission=float(fills["commission"][mine].sum()),
                price_change=float(series.close[-1] / series.close[0] - 1.0) if len(series) else np.nan,
            )
        )
    return rows
