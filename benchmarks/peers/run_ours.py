"""The rule in this project's engine, twice: as arrays and as a class that is asked at each bar. All risk rules are on,
with limits that do not bind: market hours need the sessions, the kill switch needs the equity of every bar."""

import sys
from pathlib import Path

import numpy as np
from measure import CASH, FAST, FEE, SHARES, SLIPPAGE, SLOW, TIE, measure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from domain.bars import BarSeries
from domain.costs import Commission
from domain.engine import Feed, RunSettings, backtest
from domain.indicators import sma, sma_cross
from domain.instrument import Instrument
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing
from domain.strategy import SignalSeries, Strategy, holds, target
from domain.timeframe import DAY_NS, Timeframe

SETTINGS = RunSettings(
    cash=CASH,
    commission=Commission(per_order=FEE),
    slippage_bps=SLIPPAGE * 1e4,
    sizing=Sizing(value=SHARES),
    limits=RiskLimits(
        long_only=True,
        market_hours=True,
        max_order_quantity=10 * SHARES,
        max_order_value=CASH,
        symbol_notional=CASH,
        gross_exposure=CASH,
        price_collar=0.5,
        max_open_orders=10,
        instrument_daily_loss=CASH / 2,
        daily_loss=CASH / 2,
        daily_loss_fraction=0.5,
    ),
)


class CrossOfArrays(Strategy):
    def warmup(self):
        return SLOW

    def signals(self, bars):
        cross = sma_cross(bars.close, FAST, SLOW)
        return SignalSeries(holds(cross > 0, cross < 0))


class CrossBarByBar(Strategy):
    def __init__(self, params=None):
        super().__init__(params)
        self.was_below = self.long = False

    def warmup(self):
        return SLOW

    def indicators(self, bars):
        return {"fast": sma(bars.close, FAST), "slow": sma(bars.close, SLOW)}

    def on_bar(self, context):
        lead = context["fast"] - context["slow"]
        if lead > TIE:
            if self.was_below and not self.long:
                self.long = True
                return target(1.0)
        elif lead < -TIE:
            self.was_below = True
            if self.long:
                self.long = False
                return target(0.0)
        return None


def load(times, columns):
    start, end = times
    opens = np.flatnonzero(np.diff(start // DAY_NS, prepend=-1))
    closes = np.append(opens[1:], len(start)) - 1
    sessions = SessionTable("XNYS", start[opens] // DAY_NS, start[opens], end[closes])
    is_daily = len(opens) == len(start)
    names = ("open", "high", "low", "close", "volume")
    bars = BarSeries.from_columns(
        Timeframe.D1 if is_daily else Timeframe.M1, start=start, end=end, **dict(zip(names, columns, strict=True))
    )
    return Feed(Instrument("WALK"), bars, sessions=sessions)


def run_of(strategy):
    def run(feed):
        result = backtest(feed, strategy, SETTINGS)
        return len(result.fills["price"]), result.final_equity

    return run


measure(load, {"signals": run_of(CrossOfArrays), "on_bar": run_of(CrossBarByBar)})
