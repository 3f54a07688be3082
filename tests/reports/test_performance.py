"""The benchmark, exposure and the row of each instrument, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from domain.bars import BarSeries
from reports.ledgers import Table
from reports.performance import buy_and_hold, by_instrument, exposures

DAY = 86_400_000_000_000


def series(closes: list[float], first_day: int = 0) -> BarSeries:
    starts = (first_day + np.arange(len(closes))) * DAY
    return BarSeries.from_columns("1d", start=starts, open=closes, high=closes, low=closes, close=closes)


def test_buy_and_hold_puts_equal_cash_into_each_and_waits_for_a_late_one() -> None:
    bars = {"A": series([10.0, 20.0, 30.0]), "B": series([5.0, 4.0], first_day=1)}
    times = np.arange(1, 4) * DAY
    assert buy_and_hold(bars, times, 1000.0).tolist() == [1000.0, 1000.0 + 500.0, 1500.0 + 400.0]


def test_buy_and_hold_without_bars_stays_cash() -> None:
    assert buy_and_hold({}, np.arange(2) * DAY, 1000.0).tolist() == [1000.0, 1000.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_exposure_reads_short_value_of_either_sign_and_says_nothing_of_worthless_accounts(sign: int) -> None:
    equity = Table(
        equity=np.array([100.0, 0.0]),
        long_value=np.array([50.0, 10.0]),
        short_value=sign * np.array([20.0, 0.0]),
        gross=np.array([90.0, 10.0]),
    )
    long, short, gross = exposures(equity)
    assert (long[0], short[0], gross[0]) == (0.5, -0.2, 0.9)
    assert np.isnan([long[1], short[1], gross[1]]).all()


def test_an_instrument_s_row_counts_its_own_trades_and_fills_only() -> None:
    trades = Table(instrument=["A", "A", "B"], net_pnl=np.array([30.0, -10.0, 5.0]))
    fills = Table(instrument=["A", "B", "A"], commission=np.array([1.0, 2.0, 3.0]))
    bars = {"B": series([10.0, 11.0]), "A": series([10.0, 9.0]), "C": series([1.0])}
    first, second, idle = by_instrument(bars, fills, trades)
    assert (first.instrument, first.trades, first.fills, first.net_pnl, first.commission) == ("A", 2, 2, 20.0, 4.0)
    assert (first.hit_rate, first.profit_factor, first.average_trade) == (0.5, 3.0, 10.0)
    assert (first.best, first.worst, round(first.price_change, 9)) == (30.0, -10.0, -0.1)
    assert np.isnan(second.profit_factor)  # no loss: undefined, not infinite
    assert (idle.trades, idle.fills, idle.net_pnl) == (0, 0, 0.0)
    assert np.isnan([idle.hit_rate, idle.best]).all()
