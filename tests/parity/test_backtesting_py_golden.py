"""backtesting.py's own results, recorded.

It sizes an order with the equity and the price of its fill, which nobody knows when deciding; our sizing takes the
close that decides. So the strategy here orders the recorded sizes, and a test shows that they are that rule applied to
our account. Its exclusive orders close one trade and open the next at one price; ours is one order for the difference.
It closes the last trade on the last bar.
"""

from functools import cache

import numpy as np
import pytest

from domain.costs import Commission
from domain.engine import RunSettings, backtest
from domain.indicators import sma
from domain.orders import OrderIntent
from domain.risk import RiskLimits
from domain.strategy import Params, Strategy
from tests.parity import golden

WINDOWS = {"bp05_spy_sma_20_50": (20, 50), "bp07_goog_wiki_sma_10_20": (10, 20)}
NAMES = golden.names("backtesting_py")
LARGEST_SHARE = 1 - np.finfo(float).eps


class Recorded(Strategy):
    """Hold the recorded size from the bar before each recorded entry; be flat on the last bar."""

    class Params(Params):
        orders: dict[int, float]

    def on_bar(self, context):
        quantity = self.params.orders.get(context.start)
        return None if quantity is None else OrderIntent(quantity=quantity)


@cache
def replay(name):
    """(case, bars, result) of one file."""
    case = golden.load("backtesting_py", name)
    if case["id"] not in WINDOWS:
        pytest.skip(f"the rule of {case['id']} is not written down in WINDOWS")
    bars = golden.bars_of(case["data"], golden.DAILY)
    trades = case["trades"]
    entries = np.searchsorted(bars.start, golden.times(trade["entry"] for trade in trades))
    sizes = np.array([trade["size"] for trade in trades])
    changes = dict(zip(bars.start[entries - 1].tolist(), np.diff(sizes, prepend=0.0).tolist(), strict=True))
    changes[int(bars.start[-2])] = -sizes[-1]
    settings = RunSettings(
        cash=float(case["settings"].get("cash", 10_000)),
        commission=Commission(fraction=case["settings"]["commission"]),
        limits=RiskLimits(long_only=False),
        margin_rate=0.5,  # it checks the money at the fill's price only, we at the deciding close too
    )
    result = backtest({"X": bars}, Recorded(orders=changes), settings)
    assert set(result.orders["status"]) == {"filled"}
    return case, bars, result


@pytest.mark.parametrize("name", NAMES)
def test_entries_follow_each_strict_cross_of_the_averages(name):
    case, bars, _ = replay(name)
    fast, slow = (sma(bars.close, window) for window in WINDOWS[case["id"]])
    side = np.sign(fast - slow)
    crossed = np.flatnonzero(side[1:] * side[:-1] == -1) + 1
    crossed = crossed[crossed + 1 < len(bars)]
    assert bars.start[crossed + 1].tolist() == golden.times(trade["entry"] for trade in case["trades"])
    assert side[crossed].tolist() == [np.sign(trade["size"]) for trade in case["trades"]]


@pytest.mark.parametrize("name", NAMES)
def test_trades_are_those_of_backtesting_py(name):
    case, _, result = replay(name)
    expected, trades = case["trades"], result.trades
    assert len(trades["pnl"]) == len(expected) == case["stats"]["# Trades"] > 0
    assert trades["entry_time"].tolist() == golden.times(each["entry"] for each in expected)
    assert trades["exit_time"].tolist() == golden.times(each["exit"] for each in expected)
    assert trades["side"].tolist() == ["long" if each["size"] > 0 else "short" for each in expected]
    for column, key in (
        ("entry_price", "entry_price"),
        ("exit_price", "exit_price"),
        ("net_pnl", "pnl"),
        ("commission", "commission"),
    ):
        assert trades[column].tolist() == pytest.approx([each[key] for each in expected], rel=1e-6), column
    assert trades["quantity"].tolist() == [abs(each["size"]) for each in expected]


@pytest.mark.parametrize("name", NAMES)
def test_its_sizes_are_all_the_equity_at_the_price_of_the_fill(name):
    case, bars, result = replay(name)
    rate, cash = case["settings"]["commission"], result.setup.settings.cash
    closed = np.concatenate([[0.0], np.cumsum(result.trades["net_pnl"])])
    for n, trade in enumerate(case["trades"]):
        open_ = bars.open[np.searchsorted(bars.start, golden.times([trade["entry"]])[0])]
        assert abs(trade["size"]) == (cash + closed[n]) * LARGEST_SHARE // (open_ * (1 + rate)), trade["entry"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_with_the_same_convention_are_those_of_backtesting_py(name):
    case, _, result = replay(name)
    stats, metrics = case["stats"], result.metrics
    assert result.final_equity == pytest.approx(stats["Equity Final [$]"], rel=1e-6)
    assert result.equity["equity"].max() == pytest.approx(stats["Equity Peak [$]"], rel=1e-6)
    assert result.costs["commission"] == pytest.approx(stats["Commissions [$]"], rel=1e-6)
    for key, name_ in (
        ("total_return", "Return [%]"),
        ("cagr", "CAGR [%]"),
        ("max_drawdown", "Max. Drawdown [%]"),
        ("hit_rate", "Win Rate [%]"),
    ):
        assert metrics[key] == pytest.approx(stats[name_] / 100, rel=1e-6), key
    assert metrics["trades"] == stats["# Trades"]
    assert metrics["longest_drawdown_days"] == int(stats["Max. Drawdown Duration"].split()[0])


@pytest.mark.parametrize("name", NAMES)
def test_figures_with_another_convention_differ_by_that_convention_only(name):
    case, bars, result = replay(name)
    stats, metrics, cash = case["stats"], result.metrics, result.setup.settings.cash
    daily = np.diff(np.concatenate([[cash], result.equity["equity"]])) / np.concatenate(
        [[cash], result.equity["equity"][:-1]]
    )
    # Its daily returns begin with the second day; ours with the first, counted from the initial cash.
    mean, spread = np.prod(1 + daily[1:]) ** (1 / len(daily[1:])), np.var(daily[1:], ddof=1)
    annual = mean**252 - 1
    assert annual == pytest.approx(stats["Return (Ann.) [%]"] / 100, rel=1e-6)
    assert metrics["annual_return"] == pytest.approx(np.prod(1 + daily) ** (252 / len(daily)) - 1, rel=1e-9)
    assert annual / -metrics["max_drawdown"] == pytest.approx(stats["Calmar Ratio"], rel=1e-6)
    # Its volatility is that of compounded returns; ours the deviation times the root of 252.
    compounded = np.sqrt((spread + mean**2) ** 252 - mean ** (2 * 252))
    assert compounded == pytest.approx(stats["Volatility (Ann.) [%]"] / 100, rel=1e-6)
    assert metrics["volatility"] == pytest.approx(np.std(daily, ddof=1) * np.sqrt(252), rel=1e-9)
    # Its Sharpe divides the compounded annual return by that; ours the mean return by the deviation.
    assert annual / compounded == pytest.approx(stats["Sharpe Ratio"], rel=1e-6)
    # Its Sortino has the compounded return above, and below the same downside deviation as ours.
    downside = np.sqrt(np.mean(np.minimum(daily[1:], 0) ** 2) * 252)
    assert annual / downside == pytest.approx(stats["Sortino Ratio"], rel=1e-6)
    # Its profit factor adds up the trades' returns; ours their money.
    returns = result.trades["return"]
    assert returns[returns > 0].sum() / -returns[returns < 0].sum() == pytest.approx(stats["Profit Factor"], rel=1e-6)
    assert returns.max() * 100 == pytest.approx(stats["Best Trade [%]"], rel=1e-6)
    assert returns.min() * 100 == pytest.approx(stats["Worst Trade [%]"], rel=1e-6)
    # It counts the bar of an exit as exposed; the last is the only one on which we end flat.
    assert metrics["exposure"] * len(bars) + 1 == pytest.approx(stats["Exposure Time [%]"] / 100 * len(bars))
