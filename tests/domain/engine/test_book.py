"""Trading rules as tables: a few bars, what was ordered on which close, and the fills that must follow."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from domain.engine import Feed, MarketAt, backtest
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.orders import CancelIntent, OrderIntent, OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing
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
