"""What the risk rules deny, reject and halt inside a run, with the numbers they leave in the ledger."""

import pytest

from domain.costs import Commission
from domain.orders import OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sizing import Sizing
from domain.strategy import buy, sell
from tests.domain.engine.tables import (
    denials,
    fills,
    play,
    statuses,
    target,
)

GTC = TimeInForce.GTC
SHORTS = RiskLimits(long_only=False)


@pytest.mark.parametrize(
    ("limits", "lines", "expected"),
    [
        ({}, {0: sell(10)}, ("long_only", -10, 0)),
        ({"max_order_quantity": 5}, {0: buy(10)}, ("max_order_quantity", 10, 5)),
        ({"max_order_value": 900}, {0: buy(10)}, ("max_order_value", 1000, 900)),
        ({"price_collar": 0.05}, {0: buy(10, limit=90)}, ("price_collar", 0.1, 0.05)),
        ({"max_open_orders": 1}, {0: [buy(1, limit=90), buy(1, limit=89)]}, ("max_open_orders", 1, 1)),
        ({"symbol_notional": 1500}, {0: buy(10), 1: buy(10)}, ("symbol_notional", 2000, 1500)),
        ({"gross_exposure": 1500}, {0: buy(10), 1: buy(10)}, ("gross_exposure", 2000, 1500)),
        ({}, {0: buy(1001)}, ("buying_power", 100_100, 100_000)),
    ],
)
def test_a_denial_names_the_rule_and_its_numbers(limits, lines, expected):
    result = play([100] * 4, lines, limits=RiskLimits(**limits))
    rule, value, limit = denials(result)[0]
    assert (rule, value, limit) == (expected[0], pytest.approx(expected[1]), pytest.approx(expected[2]))
    assert len(denials(result)) == 1
    denied = result.orders["status"].tolist().index("denied")
    assert result.orders["ended"][denied] == result.orders["time"][denied]


def test_orders_still_working_count_towards_the_limits():
    lines = {0: [buy(10, limit=90, time_in_force=GTC), buy(10, limit=89)]}
    result = play([100] * 3, lines, limits=RiskLimits(symbol_notional=1500))
    assert denials(result) == [("symbol_notional", 2000, 1500)]


def test_getting_out_is_allowed_where_getting_in_is_not():
    limits = RiskLimits(max_order_value=1000, symbol_notional=1000)
    result = play([100, 100, 300, 300, 300], {0: buy(10), 2: sell(10)}, limits=limits)
    assert denials(result) == []
    assert result.positions == {"X": 0.0}


def test_a_daily_loss_on_the_instrument_stops_new_entries_until_the_next_day():
    rows = [100, 100, 100, 90, 90, 90, 90, 90]
    lines = {0: buy(10), 3: buy(1), 4: sell(10), 6: buy(1)}
    result = play(rows, lines, days=[6, 2], limits=RiskLimits(instrument_daily_loss=50))
    assert denials(result) == [("instrument_daily_loss", 100, 50)]
    assert fills(result) == [(1, 10, 100), (5, -10, 90), (7, 1, 90)]


@pytest.mark.parametrize("limit", [{"daily_loss": 95.0}, {"daily_loss_fraction": 0.00095}])
def test_the_kill_switch_ends_the_run_at_the_close_that_lost_too_much(limit):
    rows = [100, 100, 95, 90, 100, 100]
    lines = {0: buy(10), 2: buy(1, limit=50, time_in_force=GTC), 3: buy(1)}
    result = play(rows, lines, days=[6], limits=RiskLimits(**limit))
    assert result.halted_at == result.setup.times[3]
    assert fills(result) == [(1, 10, 100)]
    assert statuses(result) == ["filled", "cancelled"]
    assert len(result.equity["time"]) == 4
    assert result.final_equity == 100_000.0 - 100.0


def test_the_kill_switch_counts_from_each_days_start():
    rows = [100, 100, 94, 94, 88, 88]  # 60 lost at bar 2 and 60 more at bar 4
    limits = RiskLimits(daily_loss=95.0)
    one_day, two_days = (play(rows, {0: buy(10)}, days=days, limits=limits) for days in ([6], [3, 3]))
    assert one_day.halted_at == one_day.setup.times[4]
    assert two_days.halted_at is None
    assert one_day.final_equity == two_days.final_equity == 100_000.0 - 120.0


def test_the_kill_switch_strikes_though_the_loss_left_the_account_flat():
    rows = [100, 100, (90, 90, 90, 90), 90, 90]
    lines = {0: buy(10, stop_loss=95), 3: buy(10)}
    result = play(rows, lines, days=[5], limits=RiskLimits(daily_loss=95.0))
    assert result.halted_at == result.setup.times[2]
    assert fills(result) == [(1, 10, 100), (2, -10, 90)]


def test_a_fill_that_cannot_be_paid_is_rejected_with_what_was_needed():
    result = play([100, 120, 120], {0: buy(10)}, cash=1100.0)
    assert statuses(result) == ["rejected"]
    assert denials(result) == [("buying_power", 1200, 1100)]
    assert result.final_equity == 1100.0


def test_a_margin_account_holds_more_than_its_cash():
    full = play([100, 100, 100], {0: buy(150)}, cash=10_000.0)
    half = play([100, 100, 100], {0: buy(150)}, cash=10_000.0, margin_rate=0.5)
    assert statuses(full) == ["denied"] and statuses(half) == ["filled"]
    assert half.equity["cash"][-1] == -5_000.0
    assert half.final_equity == 10_000.0


def test_a_target_that_is_denied_leaves_the_position_its_stop():
    lines = {0: target(1.0, stop_loss=90), 2: target(3.0)}
    rows = [100, 100, 100, (95, 95, 85, 85)]
    limits = RiskLimits(symbol_notional=1_500)
    result = play(rows, lines, sizing=Sizing(value=10), limits=limits)
    assert statuses(result) == ["filled", "filled", "denied"]
    assert fills(result)[-1] == (3, -10, 90)


def test_a_target_is_checked_without_the_orders_that_it_replaces():
    lines = {0: target(1.0, order_type=OrderType.LIMIT, limit_price=50, time_in_force=GTC), 1: target(1.0)}
    limits = RiskLimits(symbol_notional=1_000, max_open_orders=1)
    result = play([100] * 3, lines, sizing=Sizing(value=10), limits=limits)
    assert statuses(result) == ["cancelled", "filled"]


def test_a_loss_booked_at_the_close_that_leaves_the_account_flat_halts_too():
    limits = RiskLimits(daily_loss=100)
    settings = {"days": [5], "market_at": "close", "commission": Commission(per_order=60.0)}
    result = play([100] * 5, {1: [buy(10), sell(10)]}, limits=limits, **settings)
    assert result.halted_at == result.setup.times[2]
    assert play([100] * 5, {1: buy(10)}, limits=limits, **settings).halted_at is None


def test_a_short_by_accident_is_refused_by_its_own_rule():
    lines = {0: buy(10, stop_loss=99), 2: sell(10)}
    result = play([100, 100, 100, 98, 98], lines)
    assert result.positions == {"X": 0}
    assert denials(result) == [("long_only", -10, 0)]


def test_a_size_that_is_not_known_is_denied_in_the_ledger():
    flat = [(100, 100, 100, 100)] * 8
    result = play(flat, {6: target(1.0)}, sizing=Sizing("atr", 0.01, window=3))
    [(rule, *_)] = denials(result)
    assert (rule, result.orders["side"].tolist()) == ("unknown_state", ["buy"])


def test_nothing_is_decided_before_the_size_is_known():
    rising = [(price, price + 1, price - 1, price) for price in range(100, 120)]
    result = play(rising, {i: target(1.0) for i in range(20)}, sizing=Sizing("atr", 0.01, window=10))
    assert statuses(result)[0] == "filled"
    assert fills(result)[0][0] == 11


@pytest.mark.parametrize("exposure", [0.0, 0.5])
def test_a_target_that_does_not_fill_leaves_the_position_its_stop(exposure):
    rows = [100, 100, 100, 99, (99, 99, 90, 90), 80]
    lines = {0: target(1.0, stop_loss=95), 2: target(exposure, order_type="limit", limit_price=110)}
    result = play(rows, lines, sizing=Sizing(value=10))
    assert statuses(result) == ["filled", "filled", "expired"]
    assert fills(result)[-1] == (4, -10, 95)


def test_a_target_and_a_stop_on_one_bar_close_the_position_once():
    rows = [100, 100, 100, (90, 90, 90, 90), 90]
    result = play(rows, {0: target(1.0, stop_loss=95), 2: target(0.0)}, sizing=Sizing(value=10), limits=SHORTS)
    assert result.positions == {"X": 0}
    assert statuses(result) == ["filled", "filled", "cancelled"]


def test_a_reversal_cancels_the_exits_of_the_position_it_ends():
    lines = {0: target(1.0, stop_loss=90), 2: target(-1.0, stop_loss=110)}
    result = play([100] * 5, lines, sizing=Sizing(value=10), limits=SHORTS)
    assert statuses(result) == ["filled", "cancelled", "filled", "working"]


def test_a_target_leaves_a_persons_own_orders_alone():
    lines = {0: target(1.0), 1: sell(10, stop=50, time_in_force=GTC), 2: target(1.0)}
    assert statuses(play([100] * 4, lines, sizing=Sizing(value=10))) == ["filled", "working"]
