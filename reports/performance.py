"""What the equity curve and the trades say: drawdowns, months, benchmark, exposure, instruments.

Arrays in, arrays or small rows out. The figures that a run is judged by (Sharpe and the like) are not computed
here: `domain.metrics` made them once and `summary.json` holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats, Times
from reports.ledgers import Table


class Drawdown(NamedTuple):
    """One fall from a high; `depth` is a fraction <= 0, `recovered` None while still under water."""

    depth: float
    peak: int
    trough: int
    recovered: int | None
    last: int


def drawdowns(equity: Floats, cash: float) -> Floats:
    """Fraction below the highest equity so far (<= 0), the starting cash being the first high."""
    return equity / np.maximum(np.maximum.accumulate(equity), cash) - 1.0


def deepest_drawdowns(times: Times, equity: Floats, cash: float, count: int = 5) -> list[Drawdown]:
    """The deepest falls, deepest first; a fall from the starting cash peaks at the first bar."""
    under = drawdowns(equity, cash)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], under < 0, [False]]).astype(np.int8)))
    found = []
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        trough = first + int(np.argmin(under[first:after]))
        recovered = int(times[after]) if after < len(times) else None
        found.append(
            Drawdown(
                depth=float(under[trough]),
                peak=int(times[max(first - 1, 0)]),
                trough=int(times[trough]),
                recovered=recovered,
                last=int(times[min(after, len(times) - 1)]),
            )
        )
    return sorted(found, key=lambda fall: fall.depth)[:count]


def period_returns(times: Times, equity: Floats, cash: float, unit: str) -> dict[int, float]:
    """Return of each calendar period (`unit` "M" or "Y") in UTC, keyed by periods since 1970.

    A period's return is its last equity over the last equity before it; the first one's base is the starting
    cash. A bar that ends at midnight belongs to the day before. Periods without a bar are absent.
    """
    if not len(times):
        return {}
    periods = (times - 1).astype("datetime64[ns]").astype(f"datetime64[{unit}]").astype(np.int64)
    lasts = np.append(np.flatnonzero(np.diff(periods)), len(periods) - 1)
    closing = equity[lasts]
    opening = np.concatenate([[cash], closing[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.where(opening > 0, closing / opening - 1.0, np.nan)
    return dict(zip(periods[lasts].tolist(), returns.tolist(), strict=True))


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

    A future has no value of its own between settlements, so it counts in gross only, where the ledger has that.
    """
    worth = np.where(equity["equity"] > 0, equity["equity"], np.nan)
    long, short = np.abs(equity["long_value"]) / worth, -np.abs(equity["short_value"]) / worth
    return long, short, equity["gross"] / worth if "gross" in equity else long - short


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
        gains, losses = float(net[net > 0].sum()), float(-net[net < 0].sum())
        some = len(net) > 0
        rows.append(
            InstrumentRow(
                instrument=instrument,
                bars=len(series),
                fills=int(mine.sum()),
                trades=len(net),
                hit_rate=float((net > 0).mean()) if some else np.nan,
                profit_factor=gains / losses if losses else np.nan,
                net_pnl=float(net.sum()),
                average_trade=float(net.mean()) if some else np.nan,
                best=float(net.max()) if some else np.nan,
                worst=float(net.min()) if some else np.nan,
                commission=float(fills["commission"][mine].sum()),
                price_change=float(series.close[-1] / series.close[0] - 1.0) if len(series) else np.nan,
            )
        )
    return rows
