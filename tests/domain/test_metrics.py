from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from domain import metrics
from domain.errors import BadInput
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS
from tests.domain.shared_files import columns, golden


def day_ns(dates: object) -> np.ndarray:
    """21:00 UTC of each date, when New York has closed."""
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64) * DAY_NS + 21 * HOUR_NS


def reference(name: str) -> tuple[dict, np.ndarray, np.ndarray]:
    """A reference file with its daily returns and their dates."""
    case = golden(f"metrics/{name}.json")
    if case["returns"] is not None:
        dates = pd.bdate_range(case["first"], periods=case["n"]).to_numpy().astype("datetime64[D]")
        return case, np.array(case["returns"]), dates
    data = columns("data/mplfinance/daily/SPY_2008_2017_yahoo.csv")
    return case, metrics.returns(data["adj_close"]), data["timestamp"][1:].astype("datetime64[D]")


def curve(returns: np.ndarray) -> np.ndarray:
    return 100_000.0 * np.concatenate([[1.0], np.cumprod(1.0 + returns)])


def summary_of(returns: np.ndarray, dates: np.ndarray) -> dict[str, float]:
    equity = curve(returns)
    return metrics.summarize(
        end_ns=day_ns(dates),
        equity=equity[1:],
        gross=equity[1:],
        traded_value=0.0,
        trade_pnl=np.diff(equity),
        initial_cash=equity[0],
    )


CASES = pytest.mark.parametrize("name", ["me01_spy_2008_2017", "me06_hand_mixed"])


@CASES
def test_the_plain_formulas_are_met(name: str) -> None:
    case, returns, dates = reference(name)
    expected, ours = case["plain_formulas"], summary_of(returns, dates)
    assert len(returns) == case["n"]
    pairs = {
        "total_return": "total_return",
        "sharpe": "sharpe_252_rf0",
        "sortino": "sortino_252_target0",
        "max_drawdown": "max_drawdown",
        "annual_return": "annual_return_252",
        "cagr": "cagr_calendar_365_25",
        "volatility": "volatility_252",
        "hit_rate": "hit_rate_days",
    }
    for our_name, their_name in pairs.items():
        assert ours[our_name] == pytest.approx(expected[their_name], rel=1e-8), our_name


@CASES
def test_empyrical_is_met_in_every_figure_both_have(name: str) -> None:
    case, returns, dates = reference(name)
    expected, ours = case["libraries"]["empyrical_reloaded"], summary_of(returns, dates)
    pairs = {
        "total_return": "cum_returns_final",
        "annual_return": "annual_return",
        "volatility": "annual_volatility",
        "sharpe": "sharpe_ratio",
        "sortino": "sortino_ratio",
        "calmar": "calmar_ratio",
        "max_drawdown": "max_drawdown",
        "value_at_risk": "value_at_risk",
        "conditional_value_at_risk": "conditional_value_at_risk",
    }
    for our_name, their_name in pairs.items():
        assert ours[our_name] == pytest.approx(expected[their_name], rel=1e-8), our_name
    with_rate = expected["sharpe_ratio_rf_2pct_annual_daily_0.02/252"]
    assert metrics.sharpe(returns, risk_free=0.02) == pytest.approx(with_rate, rel=1e-8)


@CASES
def test_quantstats_is_met_and_differs_by_its_names_for_them(name: str) -> None:
    case, returns, dates = reference(name)
    expected, ours = case["libraries"]["quantstats"], summary_of(returns, dates)
    pairs = {
        "annual_return": "cagr",  # its CAGR counts trading days
        "volatility": "volatility",
        "sharpe": "sharpe",
        "sortino": "sortino",
        "calmar": "calmar",
        "max_drawdown": "max_drawdown",
        "best_day": "best",
        "worst_day": "worst",
    }
    for our_name, their_name in pairs.items():
        assert ours[our_name] == pytest.approx(expected[their_name], rel=1e-8), our_name
    assert metrics.hit_rate(returns[returns != 0.0]) == pytest.approx(expected["win_rate"])  # it leaves out the zeros
    assert metrics.profit_factor(returns) == pytest.approx(expected["profit_factor"])
    assert metrics.payoff_ratio(returns) == pytest.approx(expected["payoff_ratio"])
    assert metrics.average_win(returns) == pytest.approx(expected["avg_win"])
    assert metrics.average_loss(returns) == pytest.approx(expected["avg_loss"])


@CASES
def test_the_deepest_drawdowns_are_those_of_quantstats(name: str) -> None:
    case, returns, dates = reference(name)
    expected = case["libraries"]["quantstats"]["worst_5_drawdowns"]
    ours = metrics.drawdowns(curve(returns))
    assert len(ours) == len(expected) >= 2
    assert ours[0] == metrics.max_drawdown(curve(returns))
    for mine, theirs in zip(ours, expected, strict=True):
        assert 100.0 * mine.depth == pytest.approx(theirs["max drawdown"], rel=1e-8)
        # rows of the curve are one ahead of the returns; its start and end are the first and last day under water
        assert str(dates[mine.peak]) == theirs["start"]
        assert str(dates[mine.trough - 1]) == theirs["valley"]
        last_under = len(dates) - 1 if mine.recovery is None else mine.recovery - 2
        assert str(dates[last_under]) == theirs["end"]
        assert mine.length == last_under + 1 - mine.peak + (mine.recovery is not None)


@CASES
def test_ffn_is_met_with_its_calendar_year_and_one_day_more(name: str) -> None:
    case, returns, dates = reference(name)
    expected, ours = case["libraries"]["ffn"], summary_of(returns, dates)
    elapsed = float((dates[-1] - dates[0]).astype(int))
    # ffn dates the value before the first return one day before it, and counts that day too
    theirs = metrics.cagr(curve(returns), elapsed + 1)
    assert theirs == pytest.approx(expected["cagr"], rel=1e-8)
    assert metrics.calmar(theirs, ours["max_drawdown"]) == pytest.approx(expected["calmar"], rel=1e-8)
    for our_name, their_name in {
        "volatility": "daily_vol",
        "sharpe": "daily_sharpe",
        "sortino": "daily_sortino",
    }.items():
        assert ours[our_name] == pytest.approx(expected[their_name], rel=1e-8), our_name
    monthly = [month.value for month in metrics.monthly_returns(day_ns(dates), curve(returns)[1:], 100_000.0)]
    assert max(monthly) == pytest.approx(expected["best_month"], rel=1e-8)
    assert min(monthly) == pytest.approx(expected["worst_month"], rel=1e-8)


def test_backtrader_drawdown_years_and_hit_rate_follow_from_its_executions() -> None:
    case = golden("backtrader/bt01_sma_cross_spy_daily.json")
    data = columns("data/lean/daily/SPY.csv")
    dates = data["timestamp"].astype("datetime64[D]")
    kept = (dates >= np.datetime64("2000-01-01")) & (dates <= np.datetime64("2010-12-31"))
    dates, close = dates[kept], data["close"][kept]
    cash, units = np.zeros(len(dates)), np.zeros(len(dates))
    for fill in case["executions"]:
        row, sign = int(np.searchsorted(dates, np.datetime64(fill["t"]))), 1 if fill["side"] == "buy" else -1
        cash[row:] -= sign * abs(fill["size"]) * fill["price"] + fill["commission"]
        units[row:] += sign * abs(fill["size"])
    equity = case["start_cash"] + cash + units * close
    expected = case["expected"]
    assert equity[-1] == pytest.approx(expected["final_value"], abs=0.01)
    deepest = metrics.max_drawdown(equity)
    assert -100.0 * deepest.depth == pytest.approx(expected["max_drawdown_pct"], abs=1e-4)
    assert equity[deepest.peak] - equity[deepest.trough] == pytest.approx(expected["max_drawdown_money"], abs=0.01)
    lengths = [d.length - (d.recovery is not None) for d in metrics.drawdowns(equity, deepest=len(equity))]
    assert max(lengths) == expected["max_drawdown_len_bars"]
    years = metrics.yearly_returns(day_ns(dates), equity, case["start_cash"])
    assert {str(year.year): pytest.approx(year.value, abs=1e-7) for year in years} == expected["returns_by_year"]
    assert len(years) == 11
    net = [trade["pnl_net"] for trade in case["closed_trades"]]
    assert metrics.hit_rate(net) == expected["won"] / expected["closed_trades"]


@pytest.mark.parametrize("name", ["bp05_spy_sma_20_50", "bp07_goog_wiki_sma_10_20"])
def test_backtesting_py_calls_the_calendar_rate_cagr_too(name: str) -> None:
    case = golden(f"backtesting_py/{name}.json")
    stats, cash = case["stats"], float(case["settings"].get("cash", 10_000))
    days = float(stats["Duration"].split()[0])
    ours = metrics.cagr([cash, stats["Equity Final [$]"]], days)
    assert 100.0 * ours == pytest.approx(stats["CAGR [%]"], rel=1e-9)
    assert 100.0 * metrics.total_return([cash, stats["Equity Final [$]"]]) == pytest.approx(stats["Return [%]"])
    assert 100.0 * metrics.hit_rate([trade["pnl"] for trade in case["trades"]]) == pytest.approx(stats["Win Rate [%]"])


@pytest.mark.parametrize("seed", range(8))
def test_random_returns_give_what_empyrical_gives(seed: int) -> None:
    empyrical = pytest.importorskip("empyrical")
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0003, 0.012, int(rng.integers(20, 700)))
    series, periods = pd.Series(returns), 52
    rate, daily_rate = 0.03, 0.03 / periods
    pairs = [
        (metrics.annual_return(returns, periods), empyrical.annual_return(series, annualization=periods)),
        (metrics.volatility(returns, periods), empyrical.annual_volatility(series, annualization=periods)),
        (
            metrics.sharpe(returns, rate, periods),
            empyrical.sharpe_ratio(series, risk_free=daily_rate, annualization=periods),
        ),
        (
            metrics.sortino(returns, rate, periods),
            empyrical.sortino_ratio(series, required_return=daily_rate, annualization=periods),
        ),
        (metrics.max_drawdown(curve(returns)).depth, empyrical.max_drawdown(series)),
        (metrics.value_at_risk(returns, 0.1), empyrical.value_at_risk(series, 0.1)),
        (metrics.conditional_value_at_risk(returns, 0.1), empyrical.conditional_value_at_risk(series, 0.1)),
        (summary_of(returns, np.arange(len(returns)))["calmar"], empyrical.calmar_ratio(series)),
    ]
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_deepest_drawdown_is_found_whatever_the_tiles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    equity = 1e5 * np.exp(np.cumsum(rng.normal(0, 1e-3, 60_000)))
    series = metrics.drawdown_series(equity)
    deepest = metrics.max_drawdown(equity)
    assert deepest.depth == pytest.approx(series.min(), rel=1e-12)
    assert deepest.trough == int(np.argmin(series))
    assert series[deepest.peak] == 0.0 and (series[deepest.peak + 1 : deepest.trough + 1] < 0).all()
    end = len(equity) - 1 if deepest.recovery is None else deepest.recovery
    assert deepest.length == end - deepest.peak
    assert (series[deepest.peak + 1 : end] < 0).all()


def test_a_drawdown_names_its_peak_trough_recovery_and_length() -> None:
    equity = [100.0, 120.0, 90.0, 110.0, 120.0, 130.0, 104.0, 117.0]
    first, second = metrics.drawdowns(equity)
    assert first == metrics.max_drawdown(equity) == (-0.25, 1, 2, 4, 3)
    assert second == (pytest.approx(-0.2), 5, 6, None, 2)
    assert metrics.max_drawdown([1.0, 2.0, 2.0, 3.0]) == (0.0, 0, 0, 0, 0)


def test_intraday_equity_is_taken_at_the_last_bar_of_each_day() -> None:
    midnight = 20_000 * DAY_NS
    ends = midnight + np.array([1, 600, 1440, 1441, 4 * 1440, 4 * 1440 + 5]) * MINUTE_NS
    days, equity = metrics.daily_equity(ends, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert days.tolist() == [20_000, 20_001, 20_003, 20_004]
    assert equity.tolist() == [3.0, 4.0, 5.0, 6.0]
    days, equity = metrics.daily_equity(ends, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], session=[7, 7, 7, 7, 9, 9])
    assert days.tolist() == [7, 9] and equity.tolist() == [4.0, 6.0]


def test_daily_equity_is_what_pandas_groups_to() -> None:
    rng = np.random.default_rng(3)
    ends = np.cumsum(rng.integers(1, 40 * 60, 3000)) * MINUTE_NS + 15_000 * DAY_NS
    equity = rng.random(3000)
    expected = pd.Series(equity).groupby((ends - 1) // DAY_NS).last()
    days, values = metrics.daily_equity(ends, equity)
    np.testing.assert_array_equal(days, expected.index)
    np.testing.assert_array_equal(values, expected)


def test_calendar_returns_are_what_pandas_resamples_to() -> None:
    rng = np.random.default_rng(4)
    dates = pd.bdate_range("2019-11-11", "2022-02-08").to_numpy().astype("datetime64[D]")
    equity = 1e5 * np.exp(np.cumsum(rng.normal(0, 0.01, len(dates))))
    series = pd.Series(equity, index=pd.DatetimeIndex(dates))
    for ours, rule in ((metrics.monthly_returns, "ME"), (metrics.yearly_returns, "YE")):
        last = series.resample(rule).last()
        expected = pd.concat([pd.Series([1e5]), last]).pct_change().to_numpy()[1:]
        found = ours(day_ns(dates), equity, 1e5)
        np.testing.assert_allclose([period.value for period in found], expected, rtol=1e-12)
        assert [period.year for period in found] == last.index.year.tolist()
        assert [period.month for period in found] == (last.index.month.tolist() if rule == "ME" else [0, 0, 0, 0])
    assert metrics.monthly_returns(day_ns(dates), equity)[0].value == pytest.approx(
        equity[14] / equity[0] - 1.0
    )  # without an initial value the first bar is the start


def test_a_summary_has_every_figure_in_a_fixed_order() -> None:
    ends = np.array([20_000, 20_000, 20_001, 20_002]) * DAY_NS + np.array([15, 21, 21, 21]) * HOUR_NS
    ours = metrics.summarize(
        end_ns=ends,
        equity=[1000.0, 1010.0, 909.0, 1030.0],
        gross=[0.0, 500.0, 400.0, 0.0],
        traded_value=1974.5,
        trade_pnl=[40.0, -20.0, 10.0, 0.0],
        initial_cash=1000.0,
    )
    daily = np.array([0.01, -0.1, 1030 / 909 - 1])
    expected = {
        "initial_cash": 1000.0,
        "final_equity": 1030.0,
        "total_return": 0.03,
        "cagr": 1.03 ** (365.25 / 2) - 1,
        "annual_return": 1.03 ** (252 / 3) - 1,
        "volatility": daily.std(ddof=1) * math.sqrt(252),
        "sharpe": daily.mean() / daily.std(ddof=1) * math.sqrt(252),
        "sortino": daily.mean() / math.sqrt(0.01 / 3) * math.sqrt(252),
        "calmar": (1.03 ** (252 / 3) - 1) / 0.1,
        "max_drawdown": -0.1,
        "max_drawdown_days": 2.0,
        "longest_drawdown_days": 2.0,
        "best_day": 1030 / 909 - 1,
        "worst_day": -0.1,
        "value_at_risk": np.percentile(daily, 5),
        "conditional_value_at_risk": -0.1,
        "trades": 4.0,
        "hit_rate": 0.5,
        "profit_factor": 2.5,
        "payoff_ratio": 1.25,
        "average_trade": 7.5,
        "average_win": 25.0,
        "average_loss": -20.0,
        "best_trade": 40.0,
        "worst_trade": -20.0,
        "exposure": 0.5,
        "turnover": 1974.5 / 987.25 * 252 / 3,
        "days": 3.0,
        "bars": 4.0,
    }
    assert list(ours) == list(expected)
    assert ours == pytest.approx(expected, rel=1e-12)
    assert {type(value) for value in ours.values()} == {float}


def test_a_drawdown_may_begin_with_the_initial_cash() -> None:
    ours = metrics.summarize(
        end_ns=day_ns(["2020-01-02", "2020-01-03", "2020-01-06"]),
        equity=[950.0, 900.0, 940.0],
        gross=[1.0, 1.0, 1.0],
        traded_value=0.0,
        trade_pnl=[],
        initial_cash=1000.0,
    )
    assert ours["max_drawdown"] == pytest.approx(-0.1)
    assert ours["max_drawdown_days"] == ours["longest_drawdown_days"] == 4.0
    assert ours["worst_day"] == pytest.approx(900 / 950 - 1)


@pytest.mark.parametrize(
    ("equity", "longest"),
    [([10.0, 11.0, 12.0], 0.0), ([10.0, 10.0, 10.0], 0.0), ([11.0, 10.0, 11.0], 4.0), ([10.0, 12.0, 11.0], 3.0)],
)
def test_only_days_below_a_high_make_the_longest_drawdown(equity: list[float], longest: float) -> None:
    ours = metrics.summarize(
        end_ns=day_ns(["2020-01-02", "2020-01-03", "2020-01-06"]),
        equity=equity,
        gross=equity,
        traded_value=0.0,
        trade_pnl=[],
        initial_cash=10.0,
    )
    assert ours["longest_drawdown_days"] == longest


@pytest.mark.parametrize(
    ("equity", "defined"),
    [
        ([], {"final_equity": 1000.0, "max_drawdown": 0.0, "trades": 0.0, "days": 0.0, "bars": 0.0}),
        ([1000.0], {"total_return": 0.0, "annual_return": 0.0, "max_drawdown": 0.0, "best_day": 0.0}),
        ([1000.0] * 5, {"total_return": 0.0, "cagr": 0.0, "volatility": 0.0, "max_drawdown": 0.0, "turnover": 0.0}),
        ([900.0, 0.0, 0.0], {"total_return": -1.0, "cagr": -1.0, "max_drawdown": -1.0}),
        ([900.0, -50.0, 20.0], {"total_return": -0.98, "max_drawdown": -1.05}),
    ],
)
def test_what_is_not_defined_is_nan_and_never_zero_or_infinite(equity: list[float], defined: dict[str, float]) -> None:
    ours = metrics.summarize(
        end_ns=day_ns(np.arange(len(equity))),
        equity=equity,
        gross=np.zeros(len(equity)),
        traded_value=0.0,
        trade_pnl=[],
        initial_cash=1000.0,
    )
    assert {name: ours[name] for name in defined} == pytest.approx(defined)
    undefined = {"sharpe", "sortino", "calmar", "hit_rate", "profit_factor", "payoff_ratio", "average_trade"}
    if min(equity, default=1.0) <= 0.0:
        undefined |= {"annual_return", "volatility", "best_day", "worst_day", "value_at_risk"}
    for name in undefined:
        assert math.isnan(ours[name]), name
    assert not any(math.isinf(value) for value in ours.values())


def test_single_figures_of_degenerate_input_are_nan() -> None:
    for figure in (metrics.sharpe, metrics.sortino, metrics.volatility):
        assert math.isnan(figure([])) and math.isnan(figure([0.01]))
    assert math.isnan(metrics.sharpe([0.01, 0.01, 0.01]))  # no volatility
    assert metrics.volatility([0.5, 0.5]) == 0.0
    steady = metrics.returns(1000.0 * 1.01 ** np.arange(300))  # the same return but for rounding
    assert np.ptp(steady) > 0.0 and math.isnan(metrics.sharpe(steady))
    assert math.isnan(metrics.sortino([0.01, 0.02]))  # no shortfall
    assert math.isnan(metrics.profit_factor([1.0, 2.0])) and metrics.profit_factor([-1.0]) == 0.0
    assert math.isnan(metrics.cagr([1.0, 2.0], 0.0)) and math.isnan(metrics.cagr([1.0, 1e300], 0.1))
    assert math.isnan(metrics.total_return([0.0, 1.0])) and math.isnan(metrics.total_return([5.0]))
    assert math.isnan(metrics.max_drawdown([]).depth) and math.isnan(metrics.max_drawdown([-1.0, 0.0]).depth)
    assert metrics.max_drawdown([-1.0, 4.0, 3.0]) == (-0.25, 1, 2, None, 1)
    assert np.isnan(metrics.returns([1.0, -1.0, 2.0])).tolist() == [False, True]
    assert metrics.drawdowns([1.0, 2.0]) == [] and metrics.drawdowns([]) == []
    assert metrics.monthly_returns([], []) == []
    assert math.isnan(metrics.exposure([])) and math.isnan(metrics.turnover(1.0, [], 1.0))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(BadInput, match=r"daily equity: end_ns has shape \(2,\), equity \(3,\)"):
        metrics.daily_equity([1, 2], [1.0, 2.0, 3.0])
    with pytest.raises(BadInput, match="daily equity: session"):
        metrics.daily_equity([1, 2], [1.0, 2.0], session=[1])
