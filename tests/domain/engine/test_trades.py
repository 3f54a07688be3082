"""Round trips from flat to flat, by hand."""

import numpy as np
import pytest

from domain.adjustments import Split
from domain.costs import Commission
from domain.engine import Feed, RunSettings, backtest
from domain.instrument import Instrument, InstrumentKind
from domain.risk import RiskLimits
from domain.strategy import buy, sell
from tests.domain.engine.tables import DAY_ONE, Script, play, table

SHORTS = RiskLimits(long_only=False)
DOLLAR = Commission(per_order=1.0)


def trades(result):
    names = ("side", "quantity", "entry_price", "exit_price", "pnl", "commission", "net_pnl", "bars")
    return [tuple(row) for row in zip(*(result.trades[name].tolist() for name in names), strict=True)]


def test_a_trade_runs_from_flat_to_flat():
    result = play([100, 100, 110, 110], {0: buy(10), 1: sell(10)}, commission=DOLLAR)
    assert trades(result) == [("long", 10, 100, 110, 100, 2, 98, 1)]
    assert result.trades["return"].tolist() == pytest.approx([0.098])
    assert result.trades["entry_time"].tolist() == [DAY_ONE * 86_400 * 10**9 + 86_400 * 10**9]


def test_adding_and_reducing_average_into_one_trade():
    lines = {0: buy(10), 1: buy(10), 2: sell(5), 3: sell(15)}
    result = play([100, 100, 120, 130, 140], lines, commission=DOLLAR)
    assert trades(result) == [("long", 20, 110, 137.5, 550, 4, 546, 3)]


def test_a_reversal_ends_one_trade_and_begins_the_next_and_shares_the_fee():
    lines = {0: buy(10), 1: sell(40), 2: buy(30)}
    result = play([100, 100, 110, 105], lines, commission=Commission(per_order=4.0), limits=SHORTS)
    assert trades(result) == [
        ("long", 10, 100, 110, 100, 4 + 1, 95, 1),
        ("short", 30, 110, 105, 150, 3 + 4, 143, 1),
    ]


def test_an_open_position_is_no_trade():
    assert trades(play([100] * 3, {0: buy(10), 1: sell(5)})) == []


def test_a_split_inside_a_trade_neither_wins_nor_loses():
    result = play([100, 100, 50, 60, 60], {0: buy(10), 2: sell(20)}, actions=[Split(DAY_ONE + 2, 2.0)])
    assert trades(result) == [("long", 20, 50, 60, 200, 0, 200, 2)]


def test_what_a_split_leaves_of_a_lot_is_paid_out_as_part_of_the_trade():
    # 15 shares become 22.5 at 3:2; half a share is paid at the last price, in new shares 100 / 1.5.
    result = play([90, 90, 100, 60, 60], {0: buy(15), 3: sell(22)}, actions=[Split(DAY_ONE + 3, 1.5)])
    [(side, most, entry, _, pnl, *_)] = trades(result)
    assert (side, most, round(entry, 9)) == ("long", 22.5, 60.0)
    assert pnl == pytest.approx(0.5 * (100 / 1.5 - 60) + 22 * 0)
    assert result.final_equity == pytest.approx(100_000 + pnl)


def test_a_reverse_split_that_leaves_less_than_a_share_ends_the_trade():
    result = play([10, 10, 12, 120], {0: buy(3)}, actions=[Split(DAY_ONE + 3, 0.1)])
    [(side, *numbers)] = trades(result)
    assert (side, *np.round(numbers, 9)) == ("long", 0.3, 100, 120, 6, 0, 6, 2)
    assert result.final_equity == 100_006


def test_money_counts_the_multiplier():
    future = Instrument("F", InstrumentKind.FUTURE, multiplier=50.0, margin=500.0)
    result = play([4000, 4000, 3990], {0: sell(1), 1: buy(1)}, instrument=future, limits=SHORTS)
    assert trades(result) == [("short", 1, 4000, 3990, 500, 0, 500, 1)]
    assert result.trades["return"].tolist() == pytest.approx([500 / 200_000])


def test_trades_of_several_instruments_come_in_the_order_of_their_exits():
    lines = {0: lambda context: buy(1), 1: lambda context: sell(1) if context.instrument.symbol == "B" else None}
    lines[2] = lambda context: sell(1) if context.position else None
    feeds = [Feed(Instrument(symbol), table([100] * 4)) for symbol in ("A", "B")]
    result = backtest(feeds, Script(lines=lines), RunSettings())
    assert result.trades["instrument"].tolist() == ["B", "A"]
