"""Drawdowns, months, benchmark and exposure against pandas and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from domain.bars import BarSeries
from reports.ledgers import Table
from reports.performance import (
    buy_and_hold,
    by_instrument,
    deepest_drawdowns,
    drawdowns,
    exposures,
    period_returns,
)

DAY = 86_400_000_000_000


def random_curve(seed: int, rows: int = 900) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2019-11-20T21:00", "ns").astype(np.int64) + np.arange(rows) * DAY
    return times, 1000.0 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))


def series(closes: list[float], first_day: int = 0) -> BarSeries:
    starts = (first_day + np.arange(len(closes))) * DAY
    return BarSeries.from_columns("1d", start=starts, open=closes, high=closes, low=closes, close=closes)


@pytest.mark.parametrize("seed", range(3))
def test_drawdown_is_the_fall_from_the_running_high_of_pandas(seed: int) -> None:
    _, equity = random_curve(seed)
    curve = pd.Series(np.concatenate([[1000.0], equity]))
    assert np.allclose(drawdowns(equity, 1000.0), (curve / curve.cummax() - 1).to_numpy()[1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unit", ["M", "Y"])
def test_period_returns_are_those_of_a_pandas_resample(seed: int, unit: str) -> None:
    times, equity = random_curve(seed)
    curve = pd.Series(equity, index=pd.to_datetime(times))
    closing = curve.groupby(curve.index.to_period(unit)).last()
    expected = closing / closing.shift(fill_value=1000.0) - 1
    ours = period_returns(times, equity, 1000.0, unit)
    assert list(ours) == [period.ordinal for period in expected.index]
    assert np.allclose(list(ours.values()), expected.to_numpy(), rtol=0, atol=1e-12)


def test_months_of_a_year_compound_to_the_year() -> None:
    times, equity = random_curve(5)
    months = period_returns(times, equity, 1000.0, "M")
    for year, total in period_returns(times, equity, 1000.0, "Y").items():
        parts = [1 + value for month, value in months.items() if month // 12 == year]
        assert np.prod(parts) - 1 == pytest.approx(total, abs=1e-12)


def test_a_bar_that_ends_at_midnight_belongs_to_the_month_before() -> None:
    midnight = np.array([np.datetime64("2020-02-01", "ns").astype(np.int64)])
    assert list(period_returns(midnight, np.array([1100.0]), 1000.0, "M")) == [(2020 - 1970) * 12]


def test_drawdowns_are_told_apart_with_peak_trough_and_recovery() -> None:
    times = np.arange(8) * DAY
    equity = np.array([100.0, 90.0, 100.0, 120.0, 60.0, 80.0, 120.0, 119.0])
    deepest, second, last = deepest_drawdowns(times, equity, 100.0)
    assert (deepest.depth, deepest.peak, deepest.trough, deepest.recovered) == (-0.5, 3 * DAY, 4 * DAY, 6 * DAY)
    assert second.depth == pytest.approx(-0.1)
    assert (second.peak, second.trough, second.recovered) == (0, DAY, 2 * DAY)
    assert (last.peak, last.recovered, last.last) == (6 * DAY, None, 7 * DAY)


def test_a_curve_that_only_rises_has_no_drawdown() -> None:
    assert deepest_drawdowns(np.arange(3) * DAY, np.array([100.0, 110.0, 120.0]), 100.0) == []


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
    )
    long, short, gross = exposures(equity)
    assert (long[0], short[0], gross[0]) == (0.5, -0.2, 0.7)
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
