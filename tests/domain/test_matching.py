import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.matching import is_triggered, limit_fill, slipped, stop_fill, stop_limit_fill, trailed_stop

NAN = math.nan
BUY, SELL = 1, -1
BAR = (100.0, 105.0, 95.0)  # open, high, low


def same(price):
    return pytest.approx(price, nan_ok=True)


@pytest.mark.parametrize(
    ("sign", "limit", "price"),
    [
        (BUY, 101, 100),
        (BUY, 100, 100),
        (BUY, 99, 99),
        (BUY, 95, 95),
        (BUY, 94.99, NAN),
        (SELL, 99, 100),
        (SELL, 100, 100),
        (SELL, 101, 101),
        (SELL, 105, 105),
        (SELL, 105.01, NAN),
    ],
)
def test_a_limit_fills_at_the_open_if_better_else_at_its_price_if_touched(sign, limit, price):
    assert limit_fill(sign, limit, *BAR) == same(price)


@pytest.mark.parametrize(
    ("sign", "stop", "price"),
    [
        (BUY, 99, 100),
        (BUY, 100, 100),
        (BUY, 101, 101),
        (BUY, 105, 105),
        (BUY, 105.01, NAN),
        (SELL, 101, 100),
        (SELL, 100, 100),
        (SELL, 99, 99),
        (SELL, 95, 95),
        (SELL, 94.99, NAN),
    ],
)
def test_a_stop_fills_at_the_open_if_gapped_through_else_at_its_price_if_touched(sign, stop, price):
    assert stop_fill(sign, stop, *BAR) == same(price)
    assert is_triggered(sign, stop, *BAR) == (price == price)


@pytest.mark.parametrize(
    ("sign", "stop", "limit", "close", "price"),
    [
        (BUY, 99, 101, 100, 100),  # gapped: a limit from the open on
        (BUY, 99, 97, 100, 97),  # gapped, touched later
        (BUY, 99, 94, 100, NAN),  # gapped, never touched
        (BUY, 103, 104, 100, 103),  # inside: at the stop
        (BUY, 103, 103, 100, 103),
        (BUY, 103, 102, 101, 102),  # inside, limit better than the stop: the close shows it
        (BUY, 103, 102, 103, NAN),
        (BUY, 106, 107, 105, NAN),  # not triggered
        (SELL, 101, 99, 100, 100),
        (SELL, 101, 103, 100, 103),
        (SELL, 97, 96, 100, 97),
        (SELL, 97, 98, 99, 98),
        (SELL, 97, 98, 97, NAN),
        (SELL, 94, 93, 95, NAN),
    ],
)
def test_a_stop_limit_on_the_bar_that_triggers_it(sign, stop, limit, close, price):
    assert stop_limit_fill(sign, stop, limit, *BAR, close) == same(price)


prices = st.floats(1, 1000)


@given(st.sampled_from([BUY, SELL]), prices, st.tuples(prices, prices, prices, prices))
def test_a_fill_lies_in_the_bar_and_is_never_better_than_a_stop_or_worse_than_a_limit(sign, level, drawn):
    low, *inner, high = sorted(drawn)
    open_ = inner[0]
    limited, stopped = limit_fill(sign, level, open_, high, low), stop_fill(sign, level, open_, high, low)
    for price in (limited, stopped):
        assert math.isnan(price) or low <= price <= high
    assert math.isnan(limited) or sign * (level - limited) >= 0
    assert math.isnan(stopped) or sign * (stopped - level) >= 0
    assert not (math.isnan(limited) and math.isnan(stopped)), "one of both is touched by the open"


@given(st.sampled_from([BUY, SELL]), st.tuples(prices, prices, prices, prices), prices, prices)
def test_a_sell_is_a_buy_in_the_mirror(sign, drawn, stop, limit):
    low, *inner, high = sorted(drawn)
    open_, close = inner
    mirrored = (-open_, -low, -high)
    assert limit_fill(sign, limit, open_, high, low) == same(-limit_fill(-sign, -limit, *mirrored))
    assert stop_fill(sign, stop, open_, high, low) == same(-stop_fill(-sign, -stop, *mirrored))
    ours = stop_limit_fill(sign, stop, limit, open_, high, low, close)
    assert ours == same(-stop_limit_fill(-sign, -stop, -limit, *mirrored, -close))


def test_slippage_is_adverse_and_in_basis_points():
    assert slipped(200.0, BUY, 10.0) == pytest.approx(200.2)
    assert slipped(200.0, SELL, 10.0) == pytest.approx(199.8)
    assert slipped(200.0, SELL, 0.0) == 200.0


def test_a_trailing_stop_starts_at_its_distance_and_only_comes_nearer():
    assert trailed_stop(SELL, NAN, 100.0, 5.0, NAN) == 95.0
    assert trailed_stop(SELL, NAN, 100.0, NAN, 0.1) == 90.0
    assert trailed_stop(SELL, 95.0, 110.0, 5.0, NAN) == 105.0
    assert trailed_stop(SELL, 95.0, 90.0, 5.0, NAN) == 95.0
    assert trailed_stop(BUY, NAN, 100.0, 5.0, NAN) == 105.0
    assert trailed_stop(BUY, 105.0, 90.0, 5.0, NAN) == 95.0
    assert trailed_stop(BUY, 105.0, 120.0, 5.0, NAN) == 105.0
