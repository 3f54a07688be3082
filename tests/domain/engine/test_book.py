"""Trading rules as tables: a few bars, what was ordered on which close, and the fills that must follow."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from domain.adjustments import Delisting, Dividend, Split
from domain.costs import IB_FIXED, IB_TIERED, Commission
from domain.engine import Feed, MarketAt, RunSettings, backtest
from domain.errors import BadInput
from domain.instrument import Instrument, InstrumentKind
from domain.orders import CancelIntent, OrderIntent, OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing, SizingKind
from domain.strategy import buy, sell
from domain.timeframe import Timeframe
from tests.domain.engine.tables import (
    DAY_ONE,
    Script,
    denials,
    fills,
    play,
    sessions_of,
    statuses,
    table,
    target,
)

GTC = TimeInForce.GTC
SHORTS = RiskLimits(long_only=False)
FLAT = 100
DAY_OF = {bar: DAY_ONE + bar for bar in range(20)}


class Case(NamedTuple):
    """`rows` are bars (see tables.table), `lines` the wishes by the bar on whose close they are made."""

    rows: list[Any]
    lines: dict[int, Any]
    fills: list[tuple[int, float, float]]
    statuses: list[str]
    settings: dict[str, Any] = {}


def trail(quantity, **more):
    return OrderIntent(quantity=quantity, order_type=OrderType.TRAILING_STOP, **more)


def on_close(quantity, **more):
    return OrderIntent(quantity=quantity, order_type=OrderType.MARKET_ON_CLOSE, **more)


ORDER_TYPES = {
    "a market order fills at the next open": Case(
        [100, (101, 105, 99, 104), FLAT], {0: buy(10)}, [(1, 10, 101)], ["filled"]
    ),
    "a market order on the last bar stays unfilled": Case([100, 100], {1: buy(10)}, [], ["working"]),
    "at close it fills where it was decided": Case(
        [(100, 103, 99, 102), (105, 106, 104, 105)],
        {0: buy(10)},
        [(0, 10, 102)],
        ["filled"],
        {"market_at": MarketAt.CLOSE},
    ),
    "slippage moves a market order against itself": Case(
        [100, 200, 100], {0: buy(10), 1: sell(10)}, [(1, 10, 200.2), (2, -10, 99.9)], ["filled"] * 2,
        {"slippage_bps": 10.0},
    ),
    "a buy limit below the bar waits and expires with its day": Case(
        [100, (100, 101, 96, 100), (100, 100, 94, 100)], {0: buy(10, limit=95)}, [], ["expired"]
    ),
    "a buy limit good till cancelled fills at its price when touched": Case(
        [100, (100, 101, 96, 100), (100, 100, 94, 100)], {0: buy(10, limit=95, time_in_force=GTC)},
        [(2, 10, 95)], ["filled"],
    ),
    "a buy limit fills at an open that is better": Case(
        [100, (93, 96, 92, 94)], {0: buy(10, limit=95)}, [(1, 10, 93)], ["filled"]
    ),
    "a limit does not slip": Case(
        [100, (100, 101, 94, 100)], {0: buy(10, limit=95)}, [(1, 10, 95)], ["filled"], {"slippage_bps": 50.0}
    ),
    "a sell limit fills at its price when touched, at the open when that is better": Case(
        [100, 100, (100, 106, 99, 105), (108, 109, 107, 108)],
        {0: buy(20), 1: sell(10, limit=105), 2: sell(10, limit=106)},
        [(1, 20, 100), (2, -10, 105), (3, -10, 108)], ["filled"] * 3,
    ),
    "a buy stop fills at its price, gapped through at the open": Case(
        [100, (100, 104, 99, 103), (107, 108, 106, 107)],
        {0: [buy(10, stop=103), buy(5, stop=106, time_in_force=GTC)]},
        [(1, 10, 103), (2, 5, 107)], ["filled"] * 2,
    ),
    "a sell stop fills at its price, gapped through at the open": Case(
        [100, 100, (100, 101, 96, 97), (93, 94, 92, 93)],
        {0: buy(20), 1: [sell(10, stop=97), sell(10, stop=95, time_in_force=GTC)]},
        [(1, 20, 100), (2, -10, 97), (3, -10, 93)], ["filled"] * 3,
    ),
    "a stop slips": Case(
        [100, (100, 104, 99, 103)], {0: buy(10, stop=103)}, [(1, 10, 103.103)], ["filled"], {"slippage_bps": 10.0}
    ),
    "a stop limit triggered inside the bar fills at its stop when the limit allows": Case(
        [100, (100, 105, 99, 104)], {0: buy(10, stop=103, limit=104)}, [(1, 10, 103)], ["filled"]
    ),
    "a stop limit gapped over its limit waits as a limit": Case(
        [100, (106, 107, 105, 106), (106, 106, 103, 105)],
        {0: buy(10, stop=103, limit=104, time_in_force=GTC)}, [(2, 10, 104)], ["filled"],
    ),
    "a stop limit better than its stop fills inside the bar only if the close shows it": Case(
        [100, (100, 105, 99, 101.5), FLAT], {0: buy(10, stop=103, limit=102)}, [(1, 10, 102)], ["filled"]
    ),
    "a stop limit better than its stop else waits for the next bar": Case(
        [100, (100, 105, 99, 104), (103, 104, 101, 103)],
        {0: buy(10, stop=103, limit=102, time_in_force=GTC)}, [(2, 10, 102)], ["filled"],
    ),
    "a trailing stop follows closes upwards and never down": Case(
        [100, (100, 110, 100, 110), (110, 111, 106, 107), (107, 108, 104, 106)],
        {0: [buy(10)], 1: trail(-10, trail_amount=5.0, time_in_force=GTC)},
        [(1, 10, 100), (3, -10, 105)], ["filled"] * 2,
    ),
    "a trailing stop in percent": Case(
        [100, 100, (100, 120, 100, 120), (115, 116, 107, 110)],
        {0: buy(10), 1: trail(-10, trail_percent=0.1, time_in_force=GTC)},
        [(1, 10, 100), (3, -10, 108)], ["filled"] * 2,
    ),
    "a trailing stop keeps a nearer starting price": Case(
        [100, 100, (100, 101, 97, 98)],
        {0: buy(10), 1: trail(-10, trail_amount=5.0, stop_price=98.0)},
        [(1, 10, 100), (2, -10, 98)], ["filled"] * 2,
    ),
    "a trailing buy stop follows closes downwards": Case(
        [100, (98, 99, 89, 90), (91, 96, 90, 95)],
        {0: trail(10, trail_amount=5.0, time_in_force=GTC)}, [(2, 10, 95)], ["filled"],
    ),
    "a market on close fills at the session's close": Case(
        [100, (101, 105, 99, 104)], {0: on_close(10)}, [(1, 10, 104)], ["filled"]
    ),
    "the run's default order type and its offset apply to targets": Case(
        [100, (101, 105, 99.4, 104)], {0: target(1.0)}, [(1, 10, 99.5)], ["filled"],
        {"default_order_type": OrderType.LIMIT, "limit_offset_bps": 50.0, "sizing": Sizing(value=10)},
    ),
    "a cancelled order does not fill": Case(
        [100, 100, (90, 90, 90, 90)],
        {0: buy(10, limit=95, time_in_force=GTC), 1: CancelIntent()}, [], ["cancelled"],
    ),
    "a cancel by ref or group leaves the others": Case(
        [100, 100, (90, 90, 90, 90)],
        {
            0: [buy(n, limit=95, time_in_force=GTC, oca_group=f"g{n}") for n in (1, 2, 3)],
            1: [CancelIntent(ref="o000001"), CancelIntent(oca_group="g3")],
        },
        [(2, 2, 90)], ["cancelled", "filled", "cancelled"],
    ),
}  # fmt: skip

TIED_ORDERS = {
    "bracket exits work from the bar after the entry's": Case(
        [100, (100, 120, 80, 100), (100, 111, 99, 110)],
        {0: buy(10, stop_loss=90, take_profit=110)},
        [(1, 10, 100), (2, -10, 110)], ["filled", "cancelled", "filled"],
    ),
    "a bar that touches both ends of a bracket takes the loss": Case(
        [100, 100, (100, 120, 80, 100)], {0: buy(10, stop_loss=90, take_profit=110)},
        [(1, 10, 100), (2, -10, 90)], ["filled", "filled", "cancelled"],
    ),
    "a gap through a bracket's stop fills at the open": Case(
        [100, 100, (85, 86, 84, 85)], {0: buy(10, stop_loss=90, take_profit=110)},
        [(1, 10, 100), (2, -10, 85)], ["filled", "filled", "cancelled"],
    ),
    "a short bracket is the mirror": Case(
        [100, 100, (100, 101, 89, 90)], {0: sell(10, stop_loss=110, take_profit=90)},
        [(1, -10, 100), (2, 10, 90)], ["filled", "cancelled", "filled"], {"limits": SHORTS},
    ),
    "a bracket may have one exit": Case(
        [100, 100, 100, (95, 96, 89, 90)], {0: buy(10, stop_loss=90)},
        [(1, 10, 100), (3, -10, 90)], ["filled"] * 2,
    ),
    "leaving by a target takes the bracket with it": Case(
        [100, 100, 100, (80, 120, 80, 100)],
        {0: target(1.0, stop_loss=90.0, take_profit=110.0), 1: target(0.0)},
        [(1, 10, 100), (2, -10, 100)], ["filled", "cancelled", "cancelled", "filled"], {"sizing": Sizing(value=10)},
    ),
    "leaving by hand takes the bracket with it": Case(
        [100, 100, 100, (80, 120, 80, 100)],
        {0: buy(10, stop_loss=90, take_profit=110), 1: sell(10)},
        [(1, 10, 100), (2, -10, 100)], ["filled", "cancelled", "cancelled", "filled"],
    ),
    "a smaller target shrinks the bracket": Case(
        [100, 100, 100, (89, 90, 88, 89)],
        {0: target(1.0, stop_loss=90.0), 1: target(0.5)},
        [(1, 10, 100), (2, -5, 100), (3, -5, 89)], ["filled"] * 3, {"sizing": Sizing(value=10)},
    ),
    "one of a group cancels the other": Case(
        [100, (100, 104, 99, 103), (100, 100, 90, 95)],
        {0: [buy(10, limit=95, oca_group="g", time_in_force=GTC), buy(10, stop=103, oca_group="g", time_in_force=GTC)]},
        [(1, 10, 103)], ["cancelled", "filled"],
    ),
    "a bar that touches two of a group fills the one placed first": Case(
        [100, (100, 104, 94, 103)],
        {0: [buy(10, limit=95, oca_group="g"), buy(10, stop=103, oca_group="g")]},
        [(1, 10, 95)], ["filled", "cancelled"],
    ),
    "a target that turns replaces what an earlier one left working": Case(
        [100, (101, 102, 100.5, 101), (99, 100, 98, 99)],
        {0: target(1.0), 1: target(0.5)},
        [(2, 5, 99)], ["cancelled", "filled"],
        {"default_order_type": OrderType.LIMIT, "sizing": Sizing(value=10), "time_in_force": GTC},
    ),
    "exits of an entry that another order undid on the same bar are gone": Case(
        [100, 100, (100, 104, 100, 104), 100, (100, 100, 85, 85), 100],
        {
            0: buy(10),
            1: [sell(10, limit=104), buy(10, limit=100, stop_loss=90), sell(10, limit=104)],
            2: buy(1, time_in_force=GTC),
        },
        [(1, 10, 100), (2, -10, 104), (2, 10, 100), (2, -10, 104), (3, 1, 100)],
        ["filled", "filled", "filled", "filled", "cancelled", "filled"], {"limits": SHORTS},
    ),
}  # fmt: skip

VOLUME_CAPS = {
    "an order larger than the cap fills in parts": Case(
        [100, (100, 101, 99, 100, 60), (102, 103, 101, 102, 30), (104, 105, 103, 104, 1000)],
        {0: buy(10)}, [(1, 6, 100), (2, 3, 102), (3, 1, 104)], ["filled"],
        {"volume_cap": 0.1, "time_in_force": GTC},
    ),
    "what the day did not fill expires with it": Case(
        [100, (100, 101, 99, 100, 60), 100], {0: buy(10)}, [(1, 6, 100)], ["expired"], {"volume_cap": 0.1}
    ),
    "a bar without volume fills nothing": Case(
        [100, (100, 101, 99, 100, 0), 100], {0: buy(10, time_in_force=GTC)}, [(2, 10, 100)], ["filled"],
        {"volume_cap": 0.1},
    ),
    "a bracket covers each part that filled": Case(
        [100, (100, 101, 99, 100, 60), (100, 101, 99, 100, 1000), (89, 90, 88, 89, 1000)],
        {0: buy(10, stop_loss=90, time_in_force=GTC)},
        [(1, 6, 100), (2, 4, 100), (3, -10, 89)], ["filled"] * 2, {"volume_cap": 0.1},
    ),
    "a triggered stop fills its rest at the next open": Case(
        [100, 100, (100, 100, 94, 96, 60), (98, 99, 97, 98, 1000)],
        {0: buy(10, time_in_force=GTC), 1: sell(10, stop=95, time_in_force=GTC)},
        [(1, 10, 100), (2, -6, 95), (3, -4, 98)], ["filled"] * 2, {"volume_cap": 0.1},
    ),
    "a trailing stop once triggered trails no more": Case(
        [100, 100, (100, 100, 94, 96, 0), (98, 99, 97, 98, 1000)],
        {0: buy(10), 1: trail(-10, trail_amount=5.0, time_in_force=GTC)},
        [(1, 10, 100), (3, -10, 98)], ["filled"] * 2, {"volume_cap": 0.1},
    ),
    "part of one of a group takes as much off the other": Case(
        [100, 100, (100, 104, 100, 104, 60), (104, 105, 90, 95, 1000)],
        {
            0: buy(10),
            1: [
                sell(10, limit=104, oca_group="g", time_in_force=GTC),
                sell(10, stop=95, oca_group="g", time_in_force=GTC),
            ],
        },
        [(1, 10, 100), (2, -6, 104), (3, -4, 104)], ["filled", "filled", "cancelled"], {"volume_cap": 0.1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in ORDER_TYPES.items()])
def test_order_types(case):
    check(case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in TIED_ORDERS.items()])
def test_brackets_and_groups(case):
    check(case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in VOLUME_CAPS.items()])
def test_volume_caps(case):
    check(case)


def check(case):
    result = play(case.rows, case.lines, **case.settings)
    assert fills(result) == [(bar, float(quantity), float(price)) for bar, quantity, price in case.fills]
    assert statuses(result) == case.statuses


# ---- sessions -----------------------------------------------------------------------------------------------------


def test_a_day_order_lives_until_the_close_of_the_session_in_which_it_first_trades():
    rows = [100, 100, (100, 100, 96, 100), (100, 100, 94, 100), (100, 100, 90, 100), 100]
    placed_inside = play(rows, {0: buy(10, limit=95)}, days=[3, 3])
    assert statuses(placed_inside) == ["expired"]
    assert placed_inside.orders["ended"][0] == placed_inside.setup.times[2]
    placed_on_the_close = play(rows, {2: buy(10, limit=95)}, days=[3, 3])
    assert fills(placed_on_the_close) == [(3, 10, 95)]


def test_a_day_order_is_gone_when_the_strategy_decides_on_the_session_close():
    seen = {}

    def look(context):
        seen[context.i] = context.working_orders

    play([100] * 6, {0: buy(10, limit=95), **dict.fromkeys(range(1, 6), look)}, days=[3, 3])
    assert seen == {1: 1, 2: 0, 3: 0, 4: 0, 5: 0}


def test_a_day_order_placed_anew_each_close_is_not_in_its_own_way():
    rows = [100, 100, 100, (100, 100, 94, 100), 100]
    result = play(rows, {0: buy(10), **{i: sell(10, limit=105) for i in range(1, 5)}})
    assert denials(result) == []
    assert statuses(result) == ["filled", "expired", "expired", "expired", "working"]


def test_a_market_on_close_waits_for_the_last_bar_of_its_session():
    result = play([100, 101, 102, 103, 104], {0: on_close(10)}, days=[3, 2])
    assert fills(result) == [(2, 10, 102)]
    assert result.fills["time"][0] == result.setup.times[2]


def test_data_that_stop_inside_a_session_do_not_close_it():
    bars = table([100] * 5, timeframe=Timeframe.H1, days=[3, 2])
    sessions = sessions_of(bars, [3, 2])
    later = SessionTable("LATER", sessions.label, sessions.open, sessions.close + np.array([0, 3_600_000_000_000]))
    script = Script(lines={3: [on_close(10), buy(10, limit=90)]})
    stopped = backtest([Feed(Instrument("X"), bars, (), later)], script)
    assert statuses(stopped) == ["working", "working"]
    complete = backtest([Feed(Instrument("X"), bars, (), sessions)], script)
    assert statuses(complete) == ["filled", "expired"]


@pytest.mark.parametrize("market_at", MarketAt)
def test_flat_at_close_leaves_no_position_overnight(market_at):
    rows = [100, 101, 102, 103, 104, 105, 106, 107]
    lines = {i: buy(1) for i in range(8)}
    settings = {"limits": RiskLimits(flat_at_close=True), "market_at": market_at}
    result = play(rows, lines, days=[4, 4], **settings)
    closes = [3, 7]
    assert [result.equity["gross"][bar] for bar in closes] == [0.0, 0.0]
    assert result.equity["gross"][2] > 0 and result.equity["gross"][6] > 0
    out = [(bar, price) for bar, quantity, price in fills(result) if quantity < 0]
    assert out == [(3, 103), (7, 107)]
    assert {rule for rule, *_ in denials(result)} == {"flat_at_close"}


# ---- corporate actions --------------------------------------------------------------------------------------------


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


# ---- risk ---------------------------------------------------------------------------------------------------------


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
    rows = [100, 100, 94, 94, 88, 88]
    result = play(rows, {0: buy(10)}, days=[3, 3], limits=RiskLimits(daily_loss=95.0))
    assert result.halted_at is None


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


# ---- costs and kinds ----------------------------------------------------------------------------------------------


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
    assert first == pytest.approx(300_000 * (0.0035 + 0.0002))
    assert second == pytest.approx(300_000 * (0.0020 + 0.0002))
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


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (OrderIntent(), "needs a finite quantity or a target"),
        (OrderIntent(quantity=math.inf), "needs a finite quantity or a target"),
        (OrderIntent(quantity=1.5), "1.5 is no multiple of the lot 1.0"),
        (OrderIntent(quantity=1, order_type=OrderType.LIMIT), "limit_price must be a positive number, not None"),
        (OrderIntent(quantity=1, order_type=OrderType.STOP, stop_price=-1.0), "stop_price must be a positive number"),
        (trail(1), "needs one of trail_amount and trail_percent"),
        (trail(1, trail_amount=1.0, trail_percent=0.1), "needs one of trail_amount and trail_percent"),
        (buy(1, limit=math.nan), "limit_price must be a positive number, not nan"),
    ],
)
def test_a_wish_that_cannot_be_right_is_refused_by_instrument_and_field(wish, message):
    with pytest.raises(BadInput, match=f"X: .*{message}"):
        play([100, 100], {0: wish})


def test_an_intent_of_nothing_orders_nothing():
    assert len(play([100, 100], {0: OrderIntent(quantity=0.0)}).orders["ref"]) == 0


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


def test_a_bracket_closes_no_more_than_what_is_still_held():
    result = play([100, 100, 100, (100, 100, 85, 85)], {0: buy(10, stop_loss=90, take_profit=120), 1: sell(4)})
    assert fills(result) == [(1, 10, 100), (2, -4, 100), (3, -6, 90)]
    assert result.positions == {"X": 0.0}


def test_after_part_of_one_of_a_group_the_other_fills_the_rest_only():
    rows = [100, 100, (100, 104, 100, 104, 60), (100, 100, 90, 95, 1000)]
    tied = {"oca_group": "g", "time_in_force": GTC}
    lines = {0: buy(10), 1: [sell(10, limit=104, **tied), sell(10, stop=95, **tied)]}
    result = play(rows, lines, volume_cap=0.1, limits=SHORTS)
    assert fills(result) == [(1, 10, 100), (2, -6, 104), (3, -4, 95)]
    assert statuses(result) == ["filled", "cancelled", "filled"]
