"""Corporate actions, fees, borrowing and margin as tables: a few bars, and what they must do to the account."""

import math

import pytest

from domain.adjustments import Delisting, Dividend, Split
from domain.costs import IB_FIXED, IB_TIERED, Commission
from domain.engine import Feed, RunSettings, backtest
from domain.instrument import Instrument, InstrumentKind
from domain.orders import OrderIntent, OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sizing import Sizing, SizingKind
from domain.strategy import buy, sell
from domain.timeframe import Timeframe
from tests.domain.engine.tables import (
    DAY_ONE,
    Script,
    denials,
    fills,
    play,
    statuses,
    table,
    target,
)

GTC = TimeInForce.GTC
SHORTS = RiskLimits(long_only=False)
DAY_OF = {bar: DAY_ONE + bar for bar in range(20)}


def trail(quantity, **more):
    return OrderIntent(quantity=quantity, order_type=OrderType.TRAILING_STOP, **more)


def test_a_split_changes_position_and_average_but_not_the_account():
    result = play([100, 100, 50, 50], {0: buy(10), 2: sell(20)}, actions=[Split(DAY_OF[2], 2.0)])
    assert fills(result) == [(1, 10, 100), (3, -20, 50)]
    assert result.equity["equity"].tolist() == [100_000.0] * 4
    assert result.trades["net_pnl"].tolist() == [0.0]


def test_a_reverse_split_pays_the_fraction_in_cash_at_the_last_price():
    result = play([10, 10, 100, 100], {0: buy(25)}, actions=[Split(DAY_OF[2], 0.1)])
    assert result.positions == {"X": 2.0}
    assert result.equity["cash"].tolist() == [100_000.0, 99_750.0, 99_800.0, 99_800.0]
    assert result.final_equity == 100_000.0


def test_a_split_changes_working_orders():
    rows = [100, 100, (50, 50, 44, 50), (50, 50, 39, 45), (45, 60, 45, 60), 60]
    lines = {
        0: buy(10),
        1: [
            buy(10, limit=90, time_in_force=GTC),
            sell(10, stop=80, time_in_force=GTC),
            trail(-10, trail_amount=30.0, time_in_force=GTC),
        ],
    }
    result = play(rows, lines, actions=[Split(DAY_OF[2], 2.0)], limits=SHORTS)
    assert fills(result) == [(1, 10, 100), (2, 20, 45), (3, -20, 40)]
    assert result.orders["quantity"].tolist() == [10, 20, 20, 20]
    assert result.orders["stop_price"][3] == 45  # from 70: 35, then 15 below the close of 60


def test_a_split_changes_the_exits_of_an_entry_still_working():
    rows = [100, (100, 101, 99, 100), (50, 51, 44, 50), (50, 50, 39, 40)]
    entry = buy(10, limit=90, stop_loss=80, take_profit=120, time_in_force=GTC)
    result = play(rows, {0: entry}, actions=[Split(DAY_OF[2], 2.0)])
    assert fills(result) == [(2, 20, 45), (3, -20, 40)]


def test_a_reverse_split_cancels_orders_of_less_than_a_lot():
    rows = [10, 10, (100, 100, 80, 90), 90]
    result = play(rows, {0: buy(5, limit=9, time_in_force=GTC)}, actions=[Split(DAY_OF[2], 0.1)], commission=IB_FIXED)
    assert fills(result) == []
    assert statuses(result) == ["cancelled"]
    assert result.final_equity == 100_000.0


def test_a_dividend_pays_who_held_into_the_ex_day_and_charges_the_short():
    actions = [Dividend(DAY_OF[2], 1.5)]
    long = play([100, 100, 98.5, 98.5], {0: buy(10)}, actions=actions)
    assert long.costs["dividends"] == 15.0
    assert long.final_equity == 100_000.0
    late = play([100, 100, 98.5, 98.5], {1: buy(10)}, actions=actions)
    assert late.costs["dividends"] == 0.0
    short = play([100, 100, 98.5, 98.5], {0: sell(10)}, actions=actions, limits=SHORTS)
    assert short.costs["dividends"] == -15.0
    assert short.final_equity == 100_000.0


def test_a_dividend_on_the_day_of_a_split_is_per_new_share():
    actions = [Dividend(DAY_OF[2], 1.0), Split(DAY_OF[2], 2.0)]
    assert play([100, 100, 49, 49], {0: buy(10)}, actions=actions).costs["dividends"] == 20.0


def test_a_delisting_closes_the_position_at_the_last_price_without_commission():
    actions = [Delisting(DAY_OF[3])]
    result = play([100, 100, 80], {0: buy(10), 1: sell(5, limit=200, time_in_force=GTC)}, actions=actions,
                  commission=IB_FIXED)  # fmt: skip
    assert fills(result) == [(1, 10, 100), (2, -10, 80)]
    assert statuses(result) == ["filled", "cancelled", "filled"]
    assert result.orders["reason"][2] == "delisted"
    assert result.fills["commission"].tolist() == [1.0, 0.0]
    assert result.final_equity == 100_000.0 - 200.0 - 1.0


@pytest.mark.parametrize("price", [0.0, 12.5])
def test_a_delisting_may_say_what_is_paid(price):
    result = play([100, 100, 80], {0: buy(10)}, actions=[Delisting(DAY_OF[3], price)])
    assert fills(result)[-1] == (2, -10, price)
    assert result.final_equity == 100_000.0 - 10 * (100 - price)
    assert result.equity["equity"][-1] == result.final_equity


def test_bars_after_a_delisting_belong_to_somebody_else():
    result = play([100, 100, 80, 5, 5], {0: buy(10), 3: buy(10)}, actions=[Delisting(DAY_OF[3])])
    assert fills(result) == [(1, 10, 100), (2, -10, 80)]
    assert denials(result) == [
        ("not_tradable", pytest.approx(math.nan, nan_ok=True), pytest.approx(math.nan, nan_ok=True))
    ]


def test_an_order_filled_in_parts_pays_one_fee():
    rows = [100, (100, 100, 100, 100, 60), (100, 100, 100, 100, 1000)]
    settings = {"volume_cap": 0.1, "time_in_force": GTC, "commission": Commission(per_unit=0.2, minimum=1.5)}
    result = play(rows, {0: buy(10)}, **settings)
    assert result.fills["commission"].tolist() == [1.5, 0.5]
    assert result.orders["commission"].tolist() == [2.0]


def test_tiers_count_the_months_units_and_start_anew_with_the_next():
    rows = [1.0] * 40
    lines = {0: buy(300_000), 2: sell(300_000), 35: buy(300_000)}
    result = play(rows, lines, cash=1e6, commission=IB_TIERED)
    first, second, third = result.fills["commission"].tolist()
    assert first == pytest.approx(300_000 * 0.0035)
    assert second == pytest.approx(300_000 * 0.0020)
    assert third == pytest.approx(first)


def test_a_short_pays_for_borrowing_by_calendar_days():
    result = play([100, 100, 100, 100], {0: sell(10)}, borrow_rate=0.36, limits=SHORTS)
    assert result.costs["borrow"] == pytest.approx(2 * 1000 * 0.36 / 360)
    assert result.final_equity == pytest.approx(100_000.0 - 2.0)


def test_a_future_is_held_on_margin_and_settled_in_cash():
    future = Instrument("F", InstrumentKind.FUTURE, multiplier=50.0, margin=500.0)
    result = play([4000, 4000, 4010], {0: buy(2)}, instrument=future, cash=1_100.0)
    assert statuses(result) == ["filled"]
    assert result.equity["equity"].tolist() == [1_100.0, 1_100.0, 2_100.0]
    assert result.equity["cash"].tolist() == [1_100.0, 1_100.0, 2_100.0]
    assert result.equity["long_value"].tolist() == [0.0] * 3
    assert result.equity["gross"].tolist() == [0.0, 400_000.0, 401_000.0]
    denied = play([4000, 4000], {0: buy(3)}, instrument=future, cash=1_100.0)
    assert denials(denied) == [("buying_power", 1_500.0, 1_100.0)]


def test_sizes_follow_the_close_that_decides():
    settings = {"sizing": Sizing(SizingKind.FRACTION, 0.5), "cash": 1_000.0}
    result = play([(100, 100, 90, 90), 50, 50], {0: target(1.0)}, **settings)
    assert fills(result) == [(1, 5, 50)]


def test_an_order_filled_in_parts_climbs_the_tiers_once():
    rows = [1.0, (1, 1, 1, 1, 2_500_000), (1, 1, 1, 1, 2_500_000), 1.0]
    settings = {"cash": 1e6, "commission": IB_TIERED, "volume_cap": 0.1, "time_in_force": GTC}
    parts = play(rows, {0: buy(400_000)}, **settings)
    assert [quantity for _, quantity, _ in fills(parts)] == [250_000, 150_000]
    whole = play([1.0] * 4, {0: buy(400_000)}, cash=1e6, commission=IB_TIERED)
    assert parts.costs["commission"] == pytest.approx(whole.costs["commission"])


def test_borrowing_over_a_weekend_costs_all_its_nights():
    bars = table([100] * 3, timeframe=Timeframe.H1, days=[1, 1, 0, 0, 1])
    script = Script(lines={0: sell(10)})
    settings = RunSettings(borrow_rate=0.36, limits=SHORTS)
    result = backtest([Feed(Instrument("X"), bars)], script, settings)
    assert result.costs["borrow"] == pytest.approx(3 * 1000 * 0.36 / 360)
