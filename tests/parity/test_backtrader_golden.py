"""backtrader's own results, recorded: our engine gives the same executions, trades, equity and drawdown."""

from typing import NamedTuple

import numpy as np
import pytest

from domain.costs import Commission
from domain.engine import Feed, MarketAt, RunSettings, backtest
from domain.indicators import crosses_above, crosses_below, highest, sma
from domain.instrument import Instrument
from domain.orders import OrderIntent, OrderType, TimeInForce
from domain.sizing import Sizing
from domain.strategy import Params, SignalSeries, Strategy, buy, holds, sell
from tests.parity import golden

TENTH_PERCENT = Commission(fraction=0.001)


class SmaCross(Strategy):
    """Long from a cross of the averages upwards to one downwards."""

    class Params(Params):
        fast: int = 10
        slow: int = 30

    def signals(self, bars):
        fast, slow = sma(bars.close, self.params.fast), sma(bars.close, self.params.slow)
        return SignalSeries(holds(crosses_above(fast, slow), crosses_below(fast, slow)))


class Breakout(Strategy):
    """A close above the highest high of the 20 bars before enters with a bracket around that close."""

    def warmup(self):
        return 21

    def indicators(self, bars):
        return {"top": np.append(np.nan, highest(bars.high, 20)[:-1])}

    def on_bar(self, context):
        if context.position == 0 and context.working_orders == 0 and context.close > context["top"]:
            close = context.close
            return buy(100, stop_loss=round(0.97 * close, 4), take_profit=round(1.06 * close, 4))
        return None


class CrossThenTrail(Strategy):
    """Enter on a cross, leave by a stop that trails the close by 5."""

    def indicators(self, bars):
        fast, slow = sma(bars.close, 10), sma(bars.close, 30)
        return {"cross": crosses_above(fast, slow).astype(float)}

    def on_bar(self, context):
        if context.working_orders:
            return None
        if context.position:
            return sell(100, order_type=OrderType.TRAILING_STOP, trail_amount=5.0, time_in_force=TimeInForce.GTC)
        return buy(100) if context["cross"] else None


class CloseAgainstSma(Strategy):
    """The quickstart's rule: above the average be in, below it be out, one order at a time."""

    class Params(Params):
        window: int = 15

    def warmup(self):
        return self.params.window

    def indicators(self, bars):
        return {"sma": sma(bars.close, self.params.window)}

    def on_bar(self, context):
        if context.position == 0 and context.close > context["sma"]:
            return OrderIntent(quantity=10)
        if context.position and context.close < context["sma"]:
            return OrderIntent(quantity=-10)
        return None


class Rule(NamedTuple):
    strategy: Strategy
    commission: Commission = Commission()
    size: int = 100
    market_at: MarketAt = MarketAt.NEXT_OPEN


# What each file says in words.
RULES = {
    "bt01_sma_cross_spy_daily": Rule(SmaCross(), TENTH_PERCENT),
    "bt06_bracket_ibm": Rule(Breakout(), TENTH_PERCENT),
    "bt08_stoptrail_amount_spy": Rule(CrossThenTrail()),
    "bt11_cheat_on_close_spy": Rule(SmaCross(), TENTH_PERCENT, market_at=MarketAt.CLOSE),
    "bt13_ib_commission_spy": Rule(SmaCross(), Commission(per_unit=0.005, minimum=1.0, maximum_fraction=0.01), 700),
    "bt18_sma_cross_spy_1m": Rule(SmaCross(fast=15, slow=60), Commission(per_unit=0.005)),
}
TYPES = {
    "Market": OrderType.MARKET,
    "Limit": OrderType.LIMIT,
    "Stop": OrderType.STOP,
    "StopLimit": OrderType.STOP_LIMIT,
    "StopTrail": OrderType.TRAILING_STOP,
}


def run(case, rule, path="auto"):
    feeds = []
    for feed in case["feeds"]:
        intraday = feed.get("rth", False)
        bars = golden.bars_of(
            feed["file"],
            golden.MINUTE if intraday else golden.DAILY,
            feed.get("start"),
            feed.get("end"),
            regular_hours=intraday,
        )
        assert len(bars) == feed["bars"]
        assert [int(bars.start[0]), int(bars.start[-1])] == golden.times([feed["first"], feed["last"]])
        feeds.append(Feed(Instrument(feed["symbol"]), bars))
    settings = RunSettings(
        cash=case["start_cash"],
        commission=rule.commission,
        market_at=rule.market_at,
        sizing=Sizing(value=rule.size),
    )
    return backtest(feeds, rule.strategy, settings, path=path)


def bar_starts(result, moments):
    """The start of the bar to which backtrader books fills of these times: with cheat-on-close the one after."""
    (track,) = result.setup.tracks
    return track.bars.start[np.searchsorted(track.bars.start, moments)].tolist()


def recorded(name):
    case = golden.load("backtrader", name)
    if case["id"] not in RULES:
        pytest.skip(f"the rule of {case['id']} is not written down in RULES")
    return case, RULES[case["id"]]


@pytest.mark.parametrize("path", ["auto", "loop"])
@pytest.mark.parametrize("name", golden.names("backtrader", "bt[0-9]*.json"))
def test_executions_are_those_of_backtrader(name, path):
    case, rule = recorded(name)
    result = run(case, rule, path)
    expected, fills = case["executions"], result.fills
    assert len(expected) == case["expected"]["executions"] > 0
    assert fills["instrument"].tolist() == [each["data"] for each in expected]
    assert bar_starts(result, fills["time"]) == golden.times(each["t"] for each in expected)
    assert golden.signed(result) == [each["size"] for each in expected]
    assert fills["price"].tolist() == pytest.approx([each["price"] for each in expected], abs=1e-4)
    assert fills["commission"].tolist() == pytest.approx([each["commission"] for each in expected], abs=1e-4)
    kind = dict(zip(result.orders["ref"], result.orders["type"], strict=True))
    assert [kind[ref] for ref in fills["order_ref"]] == [TYPES[each["type"]] for each in expected]


@pytest.mark.parametrize("name", golden.names("backtrader", "bt[0-9]*.json"))
def test_account_trades_and_drawdown_are_those_of_backtrader(name):
    case, rule = recorded(name)
    result, expected = run(case, rule), case["expected"]
    assert result.final_equity == pytest.approx(expected["final_value"], abs=0.01)
    assert result.equity["equity"][-1] == pytest.approx(expected["final_value"], abs=0.01)
    assert result.equity["cash"][-1] == pytest.approx(expected["final_cash"], abs=0.01)
    assert result.positions == expected["open_position"]
    assert result.costs["commission"] == pytest.approx(expected["total_commission"], abs=0.01)

    trades = result.trades
    assert len(trades["pnl"]) == expected["closed_trades"] == len(case["closed_trades"])
    opened, closed = (golden.times(each[key] for each in case["closed_trades"]) for key in ("opened", "closed"))
    assert bar_starts(result, trades["entry_time"]) == opened
    assert bar_starts(result, trades["exit_time"]) == closed
    assert trades["bars"].tolist() == [each["bars"] for each in case["closed_trades"]]
    assert trades["pnl"].tolist() == pytest.approx([each["pnl"] for each in case["closed_trades"]], abs=0.01)
    assert trades["net_pnl"].tolist() == pytest.approx([each["pnl_net"] for each in case["closed_trades"]], abs=0.01)
    assert int(np.sum(trades["net_pnl"] > 0)) == expected["won"]
    assert int(np.sum(trades["net_pnl"] <= 0)) == expected["lost"]

    equity = result.equity["equity"]
    fall = np.maximum.accumulate(equity) - equity
    assert result.metrics["max_drawdown"] == pytest.approx(-expected["max_drawdown_pct"] / 100, abs=1e-6)
    assert float(fall.max()) == pytest.approx(expected["max_drawdown_money"], abs=0.01)
    assert golden.longest_drawdown(equity) == expected["max_drawdown_len_bars"]
    if rule.market_at is MarketAt.CLOSE:  # booked on the next bar, its fee is not paid yet at this one's close
        equity = equity.copy()
        equity[np.searchsorted(result.equity["time"], result.fills["time"])] += result.fills["commission"]
    years = golden.year_returns(result.setup.tracks[0].bars.start, equity, case["start_cash"])
    assert years == pytest.approx(expected["returns_by_year"], abs=1e-6)


@pytest.mark.parametrize("name", golden.names("backtrader", "bt[0-9]*.json"))
def test_orders_that_did_not_execute_are_those_of_backtrader(name):
    case, rule = recorded(name)
    result = run(case, rule)
    orders = result.orders
    cancelled = orders["status"] == "cancelled"
    ours = zip(orders["ended"][cancelled], orders["side"][cancelled], orders["type"][cancelled], strict=True)
    theirs = zip(
        golden.times(each["t"] for each in case["not_executed"]),
        (each["side"] for each in case["not_executed"]),
        (TYPES[each["type"]] for each in case["not_executed"]),
        strict=True,
    )
    assert sorted(ours) == sorted(theirs)
    assert int(cancelled.sum()) == case["expected"]["not_executed"]


def documented_prices(data):
    """The quickstart's prices: adjusted by adj_close / close, to the cent."""
    factor = data["adj_close"] / data["close"]
    prices = {name: np.round(data[name] * factor, 2) for name in ("open", "high", "low")}
    return {**prices, "close": np.round(data["adj_close"], 2)}


@pytest.mark.parametrize("window", [15, 20])
def test_the_quickstart_guide_gives_its_printed_values(window):
    case = golden.load("backtrader", "bt_doc_quickstart_sma.json")
    file = case["data"].split(",")[0]
    bars = golden.bars_of(file, golden.DAILY, "2000-01-01", "2000-12-31", prices=documented_prices)
    result = backtest({"ORCL": bars}, CloseAgainstSma(window=window), RunSettings(cash=1000.0))
    assert result.final_equity == pytest.approx(case["documented"][str(window)], abs=0.01)
    if window == 15:
        steps = [*case["documented_first_trades_sma15"], case["documented_last_trade_sma15"]]
        at = [0, 1, 2, -1]
        assert [int(result.fills["time"][row]) for row in at] == golden.times(step["t"] for step in steps)
        assert [result.fills["side"][row] for row in at] == [step["side"] for step in steps]
        assert result.fills["price"][at].tolist() == pytest.approx([step["price"] for step in steps], abs=0.005)
        assert result.trades["pnl"][0] == pytest.approx(steps[1]["pnl"], abs=0.01)
        assert result.orders["status"][-1] == "working"
