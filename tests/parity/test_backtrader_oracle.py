"""backtrader itself, run here on the same bars with the same orders: the fills must be equal one by one.

Known differences, each shown below to be exactly that: bracket exits (ours only reduce), a stop-limit whose limit is
better than its stop, a fixed fee on a reversal, slippage beyond the bar.
"""

from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest

from domain.bars import BarSeries
from domain.costs import Commission
from domain.timeframe import Timeframe
from tests.domain.engine.tables import table
from tests.parity.cerebro import Line, by_backtrader, by_us, random_script
from tests.parity.market import random_bars

STANDING = ["market", "limit", "stop", "stop_limit", "trail", "trail_percent"]
SINGLE = [*STANDING, "day_limit", "day_stop"]
SEEDS = range(8)


class FixedFee(bt.CommInfoBase):
    params = (("commission", 1.0), ("stocklike", True), ("commtype", bt.CommInfoBase.COMM_FIXED))

    def _getcommission(self, size, price, pseudoexec):
        return self.p.commission


def percent(rate):
    return bt.CommissionInfo(commission=rate, percabs=True, stocklike=True)


def world(seed, symbols=1, count=250):
    rng = np.random.default_rng(seed)
    prices = rng.choice([20.0, 100.0, 900.0], symbols)
    series = {
        f"S{n}": random_bars(rng, count, timeframe=Timeframe.D1, price=float(price), step=0.012)
        for n, price in enumerate(prices)
    }
    return rng, series


def assert_equal(ours, theirs, least):
    for name, fills in theirs.fills.items():
        assert len(fills) >= least, name
        for n, (our, their) in enumerate(zip(ours.fills[name], fills, strict=False)):
            assert our == pytest.approx(their, rel=1e-9), (name, n)
        assert len(ours.fills[name]) == len(fills), name
    assert ours.cash == pytest.approx(theirs.cash, rel=1e-9)
    assert ours.value == pytest.approx(theirs.value, rel=1e-9)


@pytest.mark.parametrize("kind", [*SINGLE, "pair"])
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_each_kind_of_order_fills_as_in_backtrader(seed, kind):
    rng, series = world(seed)
    scripts = {name: random_script(rng, bars, [kind]) for name, bars in series.items()}
    assert_equal(by_us(series, scripts), by_backtrader(series, scripts), 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_orders_of_all_kinds_and_cancels_together_fill_as_in_backtrader(seed):
    rng, series = world(seed)
    scripts = {name: random_script(rng, bars, [*SINGLE, "pair", "cancel"]) for name, bars in series.items()}
    assert_equal(by_us(series, scripts), by_backtrader(series, scripts), 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_brackets_one_at_a_time_fill_as_in_backtrader(seed):
    rng, series = world(seed)
    scripts = {name: random_script(rng, bars, ["bracket"]) for name, bars in series.items()}
    assert_equal(by_us(series, scripts, alone=True), by_backtrader(series, scripts, alone=True), 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_several_instruments_share_one_account_as_in_backtrader(seed):
    rng, series = world(seed, symbols=3)
    scripts = {name: random_script(rng, bars, [*SINGLE, "pair"]) for name, bars in series.items()}
    ours = by_us(series, scripts, cash=1e7, commission=Commission(fraction=0.001))
    theirs = by_backtrader(series, scripts, cash=1e7, commission=percent(0.001))
    assert_equal(ours, theirs, 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_slippage_on_market_and_stop_orders_is_backtraders_beyond_the_bar_too(seed):
    rng, series = world(seed)
    scripts = {name: random_script(rng, bars, ["market", "stop", "trail"]) for name, bars in series.items()}
    ours, theirs = by_us(series, scripts, slippage_bps=30.0), by_backtrader(series, scripts, slippage=0.003)
    assert_equal(ours, theirs, 20)


def test_slippage_inside_the_bar_is_that_of_backtrader_without_matching_beyond_it():
    _, series = world(99)
    bars = series["S0"]
    wide = replace(bars, high=bars.high * 1.01, low=bars.low * 0.99)
    script = random_script(np.random.default_rng(99), wide, ["market"])
    ours = by_us({"S0": wide}, {"S0": script}, slippage_bps=30.0)
    assert_equal(ours, by_backtrader({"S0": wide}, {"S0": script}, slippage=0.003, beyond=False), 20)


def test_a_price_slipped_beyond_the_bar_fills_with_us_and_waits_with_backtrader():
    series = {"S0": table([100, (100, 100.1, 99, 100), (100, 102, 99, 100)])}
    scripts = {"S0": {0: [Line("market", 1, 10)]}}
    ours = by_us(series, scripts, slippage_bps=30.0).fills["S0"]
    theirs = by_backtrader(series, scripts, slippage=0.003, beyond=False).fills["S0"]
    assert [fill.price for fill in (*ours, *theirs)] == pytest.approx([100.3, 100.3])
    assert theirs[0].day == ours[0].day + 1


def test_what_cannot_be_paid_fills_nowhere():
    series = {"S0": table([100, 100, 100])}
    scripts = {"S0": {0: [Line("market", 1, 11)], 1: [Line("market", 1, 9)]}}
    assert_equal(by_us(series, scripts, cash=1000.0), by_backtrader(series, scripts, cash=1000.0), 1)


def test_a_fixed_fee_is_ours_per_order_and_twice_backtraders_on_a_reversal():
    reversals = 0
    for seed in SEEDS:
        rng, series = world(seed)
        scripts = {name: random_script(rng, bars, ["market", "limit"]) for name, bars in series.items()}
        ours = by_us(series, scripts, commission=Commission(per_order=1.0)).fills["S0"]
        theirs = by_backtrader(series, scripts, commission=FixedFee()).fills["S0"]
        held = 0.0
        assert len(ours) == len(theirs) > 20
        for our, their in zip(ours, theirs, strict=True):
            assert our[:3] == pytest.approx(their[:3])
            reverses = held * (held + our.quantity) < 0
            assert (our.commission, their.commission) == (1.0, 2.0 if reverses else 1.0)
            held, reversals = held + our.quantity, reversals + reverses
    assert reversals > 5


@pytest.mark.parametrize(
    ("bar", "ours", "theirs"),
    [
        # open, high, low, close of the bar after; buy stop 103, limit 102
        ((100, 105, 99, 101), 102, None),  # rises through the stop, closes under the limit, above the open
        ((102.5, 105, 99, 101), 102, 102),  # the same, closing under the open
        ((100, 105, 99, 104), None, None),  # closes over the limit: nobody knows
        ((103.5, 105, 99, 104), 102, 102),  # triggered at the open, a limit from there on
        ((100, 102.9, 99, 101), None, None),  # not triggered
    ],
)
def test_a_stop_limit_better_than_its_stop_fills_where_only_the_close_can_come_after(bar, ours, theirs):
    series = {"S0": table([100, bar, (200, 200, 200, 200)])}
    scripts = {"S0": {0: [Line("stop_limit", 1, 10, 103.0, 102.0)]}}

    def prices(outcome):
        return outcome.fills["S0"][0].price if outcome.fills["S0"] else None

    assert prices(by_us(series, scripts)) == ours
    assert prices(by_backtrader(series, scripts)) == theirs


def test_bracket_exits_only_reduce_where_backtraders_open_a_position():
    series = {"S0": table([100, 100, 100, (100, 100, 89, 89), 89])}
    scripts = {"S0": {0: [Line("bracket", 1, 10, 90.0, 120.0)], 1: [Line("market", -1, 10)]}}
    ours, theirs = by_us(series, scripts).fills["S0"], by_backtrader(series, scripts).fills["S0"]
    assert [fill.quantity for fill in ours] == [10, -10]
    assert [fill.quantity for fill in theirs] == [10, -10, -10]


def test_on_demo_prices_a_hundred_brackets_and_stops_fill_as_in_backtrader():
    stocks = pytest.importorskip("bokeh_sampledata.stocks", reason="the demo extra is not installed")
    import pandas as pd

    frame = pd.DataFrame(stocks.IBM).iloc[:1500]
    prices = {name: frame[name].to_numpy(float) for name in ("open", "high", "low", "close")}
    prices["high"] = np.maximum.reduce(list(prices.values()))
    prices["low"] = np.minimum.reduce(list(prices.values()))
    days = np.array(frame["date"], "datetime64[D]").astype("datetime64[ns]")
    series = {"IBM": BarSeries.from_columns(Timeframe.D1, start=days, volume=frame["volume"].to_numpy(float), **prices)}
    rng = np.random.default_rng(1911)
    lines = random_script(rng, series["IBM"], ["bracket"])
    ours = by_us(series, {"IBM": lines}, alone=True)
    assert_equal(ours, by_backtrader(series, {"IBM": lines}, alone=True), 100)
    lines = random_script(rng, series["IBM"], [*STANDING, "pair"])
    assert_equal(by_us(series, {"IBM": lines}), by_backtrader(series, {"IBM": lines}), 100)
