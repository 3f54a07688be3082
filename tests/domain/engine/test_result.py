import numpy as np
import pytest

from domain.costs import Commission
from domain.engine import Feed, RunSettings, backtest
from domain.engine.records import FILL_COLUMNS, ORDER_COLUMNS
from domain.engine.result import EQUITY_COLUMNS
from domain.engine.trades import TRADE_COLUMNS
from domain.errors import BadInput
from domain.instrument import Instrument, InstrumentKind
from domain.risk import RiskLimits
from domain.strategy import SignalSeries, Strategy, buy, sell
from tests.domain.engine.test_setup import daily

SHORTS = RiskLimits(long_only=False)


class Scripted(Strategy):
    """Orders by bar number."""

    plan: dict = {}

    def on_bar(self, context):
        quantity = self.plan.get(context.i)
        if quantity:
            return buy(quantity) if quantity > 0 else sell(-quantity)
        return None


def run(closes, plan, instrument=None, **settings):
    strategy = type("Plan", (Scripted,), {"plan": plan})
    return backtest(Feed(instrument or Instrument("A"), daily(closes)), strategy, RunSettings(**settings))


def test_a_run_without_orders_has_empty_ledgers_with_all_columns():
    result = run([10, 11, 12], {})
    assert tuple(result.orders) == ORDER_COLUMNS
    assert tuple(result.fills) == FILL_COLUMNS
    assert tuple(result.trades) == TRADE_COLUMNS
    assert tuple(result.equity) == EQUITY_COLUMNS
    assert result.final_equity == 100_000.0
    assert result.equity["equity"].tolist() == [100_000.0] * 3
    assert np.isnan(result.metrics["sharpe"])
    assert result.metrics["trades"] == 0


def test_a_reversal_ends_one_trade_and_begins_the_next():
    result = run([10, 10, 12, 12, 9, 9], {0: 100, 2: -200, 4: 100}, limits=SHORTS, commission=Commission(per_unit=0.01))
    trades = result.trades
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["entry_price"].tolist() == [10.0, 12.0]
    assert trades["exit_price"].tolist() == [12.0, 9.0]
    assert trades["pnl"].tolist() == [200.0, 300.0]
    assert trades["commission"].tolist() == pytest.approx([2.0, 2.0])
    assert trades["bars"].tolist() == [2, 2]
    assert result.final_equity == pytest.approx(100_000 + 500 - 4)


def test_a_trade_in_parts_has_average_prices_and_the_most_that_was_held():
    result = run([10, 10, 12, 15, 20, 20], {0: 100, 1: 100, 2: -50, 3: -150})
    trades = result.trades
    assert trades["quantity"].tolist() == [200.0]
    assert trades["entry_price"].tolist() == [11.0]
    assert trades["exit_price"].tolist() == [pytest.approx((50 * 15 + 150 * 20) / 200)]
    assert trades["pnl"].tolist() == [pytest.approx(200 * (18.75 - 11))]


def test_a_future_is_settled_in_cash_and_counts_in_gross_exposure_only():
    future = Instrument("ES", InstrumentKind.FUTURE, multiplier=50.0, margin=500.0)
    result = run([100, 100, 110, 105], {0: 2}, future, cash=10_000.0)
    equity = result.equity
    assert equity["long_value"].tolist() == [0.0] * 4
    assert equity["gross"].tolist() == [0.0, 10_000.0, 11_000.0, 10_500.0]
    assert equity["cash"].tolist() == equity["equity"].tolist() == [10_000.0, 10_000.0, 11_000.0, 10_500.0]


def test_a_run_that_loses_too_much_in_a_day_ends_at_that_bar():
    result = run([10, 10, 5, 20], {0: 1000}, limits=RiskLimits(daily_loss=3000))
    assert result.halted_at == result.setup.times[2]
    assert len(result.equity["time"]) == 3
    assert result.final_equity == 95_000.0
    assert result.metrics["final_equity"] == 95_000.0


def test_the_hash_tells_results_apart():
    a, b, c = run([10, 11, 12], {0: 1}), run([10, 11, 12], {0: 1}), run([10, 11, 12], {0: 2})
    assert a.result_hash == b.result_hash != c.result_hash


def test_a_path_that_would_not_be_exact_is_refused():
    class Stops(Strategy):
        def signals(self, bars):
            ones = np.ones(len(bars))
            return SignalSeries(ones, stop_loss=ones)

    with pytest.raises(BadInput, match="not exact"):
        backtest(daily([10, 11, 12]), Stops, path="events")
    with pytest.raises(BadInput, match="path is one of"):
        backtest(daily([10, 11, 12]), Stops, path="fast")
