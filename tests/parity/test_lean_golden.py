"""Figures asserted by LEAN's own regression tests.

LEAN's adjusted prices are raw prices times the factors of its files; its market orders on intraday bars fill at the
close that decides them (our `market_at=close`), on daily bars at the next open. Where it has quotes it fills at the
ask or bid instead of the trade: our bars have one close, so those two cases are run with the quote as the close of the
deciding bar, and once more without to show that nothing else differs.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from domain.adjustments import Dividend
from domain.costs import FREE, IB_FIXED, Commission, commission
from domain.engine import Feed, MarketAt, RunSettings, backtest
from domain.instrument import Instrument
from domain.orders import OrderIntent, OrderType
from domain.strategy import Strategy
from tests.domain.shared_files import columns, day, ns, rows
from tests.parity import golden

PER_SHARE = Commission(per_unit=0.005, minimum=1.0)
CASH_BUFFER = 0.9975


class At(Strategy):
    """Order once, on the bar that starts at `when`: a fixed quantity, or what a share of equity buys."""

    class Params(Strategy.Params):
        when: int
        quantity: float | None = None
        share: float = 1.0
        fee: float = 0.0
        leave_after: int | None = None
        order_type: OrderType = OrderType.MARKET

    def on_bar(self, context):
        wanted = self.params
        if wanted.leave_after is not None and context.start == wanted.leave_after:
            return OrderIntent(quantity=-context.position)
        if context.start != wanted.when:
            return None
        quantity = wanted.quantity
        if quantity is None:
            money = wanted.share * CASH_BUFFER * context.equity
            quantity = float(money // context.close)
            if quantity * context.close + max(wanted.fee * quantity, 1.0 if wanted.fee else 0.0) > money:
                quantity -= 1
        return OrderIntent(quantity=quantity, order_type=wanted.order_type)


class Case(NamedTuple):
    feed: Callable[[], Feed]
    strategy: Strategy
    market_at: MarketAt = MarketAt.CLOSE
    commission: Commission = PER_SHARE


def adjusted(symbol, bars):
    """Prices times LEAN's factors: the first row whose last_date is not before the bar's date counts."""
    factors = [row for row in rows("data/lean/corporate_actions/factors.csv") if row["symbol"] == symbol]
    last_day = np.array([day(row["last_date"]) for row in factors])
    factor = np.array([float(row["price_factor"]) * float(row["split_factor"]) for row in factors])
    days = (bars.start - 5 * 3_600_000_000_000) // 86_400_000_000_000
    return golden.scaled(bars, factor[np.searchsorted(last_day, days)])


def feed(symbol, file, timeframe, start, end, **more):
    bars = golden.bars_of(f"data/lean/{file}", timeframe, start, end, **more)
    return Feed(Instrument(symbol), adjusted(symbol, bars))


def minutes():
    return feed("SPY", "1m/SPY_2013-10.csv", golden.MINUTE, "2013-10-07", "2013-10-11", regular_hours=True)


def raw_with_dividends():
    """Dividends from the factors, to the cent: dividends.csv has them rounded to four places before that."""
    bars = golden.bars_of("data/lean/daily/SPY.csv", golden.DAILY, "1998-01-01", "2006-01-01")
    factors = [row for row in rows("data/lean/corporate_actions/factors.csv") if row["symbol"] == "SPY"]
    actions = []
    for row, after in itertools.pairwise(factors):
        share = 1 - float(row["price_factor"]) / float(after["price_factor"])
        amount = round(float(row["reference_close"]) * share, 2)
        if amount:
            actions.append(Dividend(day(row["last_date"]) + 1, amount))
    return Feed(Instrument("SPY"), bars, actions)


FIRST, SECOND = ns("2013-10-07T13:30:00"), ns("2013-10-07T13:31:00")
CASES = {
    "lean01_buy_hold_spy_1m": Case(minutes, At(when=FIRST, fee=0.005)),
    "lean03_buy_hold_spy_hourly": Case(
        lambda: feed("SPY", "1h/SPY.parquet", golden.HOURLY, "2013-10-07", "2013-10-11"),
        At(when=ns("2013-10-07T13:00:00"), fee=0.005),
    ),
    "lean04_market_on_close_spy": Case(
        lambda: feed("SPY", "1h/SPY.parquet", golden.HOURLY, "2021-03-01", "2021-03-03"),
        At(when=ns("2021-03-02T16:00:00"), quantity=1, order_type=OrderType.MARKET_ON_CLOSE),
    ),
    "lean08_dividends_spy_1998_2005": Case(
        raw_with_dividends, At(when=ns("1998-01-02"), share=0.5), market_at=MarketAt.NEXT_OPEN
    ),
    "lean12_split_adjusted_aapl_hourly": Case(
        lambda: feed("AAPL", "1h/AAPL.parquet", golden.HOURLY, "2014-06-06", "2014-06-09"),
        At(when=ns("2014-06-09T13:00:00"), quantity=1),
    ),
    "lean16_zero_fee_round_trip_spy_1m": Case(minutes, At(when=FIRST, leave_after=SECOND), commission=FREE),
}
QUOTED = {
    "lean01_buy_hold_spy_1m": {FIRST: "ask_close"},
    "lean16_zero_fee_round_trip_spy_1m": {FIRST: "ask_close", SECOND: "bid_close"},
}
TRADE_CLOSE_EQUITY = {"lean01_buy_hold_spy_1m": 101697.87}


def cases():
    return {case["id"]: case for case in golden.load("lean", "cases.json")}


def run(name):
    """(what is expected, the feed, our result) on the case's own feed."""
    every = cases()
    if name not in every:
        pytest.skip(f"cases.json has no {name}")
    taken = CASES[name].feed()
    return every[name], taken, backtest([taken], CASES[name].strategy, settings_of(name))


def run_at_quotes(name):
    """As `run`, ordering what the case's own feed led to order, filled at the quotes."""
    expected, _, plain = run(name)
    wanted = CASES[name].strategy.params.model_copy(update={"quantity": float(plain.fills["quantity"][0])})
    return expected, backtest([quoted(name)], At(wanted), settings_of(name))


def settings_of(name):
    return RunSettings(cash=100_000.0, commission=CASES[name].commission, market_at=CASES[name].market_at)


def quoted(name):
    """The case's feed with quotes in place of the trades' closes on the bars that decide, adjusted alike."""
    plain = CASES[name].feed()
    quotes = columns("data/lean/1m_quotes/SPY_2013-10.csv")
    at = quotes["timestamp"].astype("datetime64[ns]").astype(np.int64)
    bars = plain.bars
    raw = golden.bars_of("data/lean/1m/SPY_2013-10.csv", golden.MINUTE, "2013-10-07", "2013-10-11", regular_hours=True)
    close, high, low = bars.close.copy(), bars.high.copy(), bars.low.copy()
    for start, side in QUOTED[name].items():
        row = int(np.searchsorted(bars.start, start))
        close[row] = float(quotes[side][at == start][0]) * bars.close[row] / raw.close[row]
        high[row], low[row] = max(high[row], close[row]), min(low[row], close[row])
    return replace(plain, bars=replace(bars, close=close, high=high, low=low))


def test_every_case_of_the_file_is_run_here():
    unwritten = set(cases()) - set(CASES)
    if unwritten:
        pytest.skip(f"the rules of {', '.join(sorted(unwritten))} are not written down in CASES")
    assert len(cases()) >= 6


@pytest.mark.parametrize("name", CASES)
def test_orders_fees_and_end_equity_are_those_of_lean(name):
    if name in QUOTED:
        expected, result = run_at_quotes(name)
    else:
        expected, _, result = run(name)
    figures, fills = expected["expected"], result.fills
    assert len(fills["price"]) == figures["Total Orders"] == len(expected["fills"])
    assert golden.signed(result) == [fill["size"] for fill in expected["fills"]]
    assert fills["price"].tolist() == pytest.approx([fill["price"] for fill in expected["fills"]], abs=1e-4)
    assert fills["commission"].tolist() == pytest.approx([fill["fee"] for fill in expected["fills"]], abs=1e-9)
    close = {"2021-03-02 close": "2021-03-02T21:00:00"}
    assert fills["time"].tolist() == golden.times(close.get(fill["t"], fill["t"]) for fill in expected["fills"])
    assert result.final_equity == pytest.approx(figures["End Equity"], abs=0.02)
    assert round(result.costs["commission"], 2) == pytest.approx(figures["Total Fees"], abs=0.005 + 1e-9)
    if "dividends" in expected["reproduced"]:
        assert result.costs["dividends"] == pytest.approx(expected["reproduced"]["dividends"], abs=0.01)
    if "Net Profit" in figures:
        assert f"{result.metrics['total_return']:.3%}" == figures["Net Profit"]


@pytest.mark.parametrize("name", QUOTED)
def test_without_quotes_the_difference_is_the_spread_to_the_trade_and_nothing_else(name):
    expected, taken, result = run(name)
    missed = 0.0
    for fill, start in zip(expected["fills"], QUOTED[name], strict=True):
        trade = taken.bars.close[np.searchsorted(taken.bars.start, start)]
        missed += fill["size"] * (fill["price"] - trade)
    assert result.final_equity - missed == pytest.approx(
        expected["expected"]["End Equity"], abs=0.06
    )  # prices to 1e-4 x 689
    assert abs(missed) > 5
    if name in TRADE_CLOSE_EQUITY:
        assert result.final_equity == pytest.approx(TRADE_CLOSE_EQUITY[name], abs=0.01)


@pytest.mark.parametrize("name", ["lean03_buy_hold_spy_hourly", "lean08_dividends_spy_1998_2005"])
def test_drawdown_of_the_bar_closes_is_that_of_lean(name):
    expected, _, result = run(name)
    assert -result.metrics["max_drawdown"] == pytest.approx(
        float(expected["expected"]["Drawdown"].rstrip("%")) / 100, abs=1e-3
    )


def test_the_least_fee_wins_over_the_cap_at_lean_and_the_cap_at_ib():
    one_share, value = 1, 20.797
    assert commission(PER_SHARE, one_share, value) == 1.0
    assert commission(IB_FIXED, one_share, value) == pytest.approx(0.01 * value)
