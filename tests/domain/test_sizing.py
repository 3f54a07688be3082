import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.sizing import Sizing, SizingKind, target_quantity

PRICE, EQUITY = 50.0, 100_000.0


def size(sizing, exposure=1.0, *, price=PRICE, equity=EQUITY, multiplier=1.0, lot=1.0, volatility=math.nan):
    return target_quantity(sizing, exposure, price, equity, multiplier, lot, volatility)


@pytest.mark.parametrize(
    ("sizing", "more", "units"),
    [
        (Sizing(value=70), {}, 70),
        (Sizing(value=70), {"exposure": -0.5}, -35),
        (Sizing(value=70), {"lot": 100.0}, 0),
        (Sizing(value=170), {"lot": 100.0}, 100),
        (Sizing(value=0.7), {"lot": 0.1}, 0.7),
        (Sizing(SizingKind.NOTIONAL, 10_020), {}, 200),
        (Sizing(SizingKind.NOTIONAL, 10_020), {"multiplier": 5.0}, 40),
        (Sizing(SizingKind.FRACTION, 0.5), {}, 1000),
        (Sizing(SizingKind.FRACTION, 0.5), {"exposure": -1.0, "multiplier": 10.0}, -100),
        (Sizing(SizingKind.FRACTION, 0.5), {"equity": -5.0}, 0),
        # lose 1 % of equity, 1,000, in 2 ranges of 4: 125 units
        (Sizing(SizingKind.ATR, 0.01), {"volatility": 4.0}, 125),
        (Sizing(SizingKind.ATR, 0.01), {"volatility": 4.0, "multiplier": 5.0}, 25),
        (Sizing(SizingKind.ATR, 0.01, atr_multiple=1.0), {"volatility": 4.0}, 250),
        (Sizing(SizingKind.ATR, 0.01), {"volatility": 0.01}, 2000),  # no more than all equity
        # 10 % wanted of an instrument with 40 %: a quarter of equity
        (Sizing(SizingKind.VOLATILITY, 0.1), {"volatility": 0.4}, 500),
        (Sizing(SizingKind.VOLATILITY, 0.1, max_fraction=2.0), {"volatility": 0.01}, 4000),
        (Sizing(SizingKind.VOLATILITY, 0.1), {"exposure": 0.0}, 0),
    ],
)
def test_exposure_becomes_whole_lots(sizing, more, units):
    assert size(sizing, **more) == pytest.approx(units)


@pytest.mark.parametrize("kind", [SizingKind.ATR, SizingKind.VOLATILITY])
@pytest.mark.parametrize("volatility", [math.nan, 0.0])
def test_without_a_volatility_the_size_is_unknown(kind, volatility):
    assert math.isnan(size(Sizing(kind, 0.1), volatility=volatility))


@given(st.floats(0.01, 1), st.floats(0.5, 5_000), st.floats(100, 1e7), st.sampled_from([1.0, 0.01, 100.0]))
def test_a_fraction_is_never_more_than_its_money_and_misses_it_by_less_than_a_lot(share, price, equity, lot):
    units = size(Sizing(SizingKind.FRACTION, share), price=price, equity=equity, lot=lot)
    assert units * price <= share * equity * (1 + 1e-9) + 1e-6 * price * lot
    assert (units + lot) * price > share * equity * (1 - 1e-9)
    assert units / lot == pytest.approx(round(units / lot))


@pytest.mark.parametrize(
    ("sizing", "message"),
    [
        (Sizing(value=0), "value must be a positive number"),
        (Sizing(value=math.inf), "value must be a positive number"),
        (Sizing(window=1), "window must be at least 2 bars"),
        (Sizing(atr_multiple=0), "atr_multiple and max_fraction must be positive"),
        (Sizing(max_fraction=-1), "atr_multiple and max_fraction must be positive"),
    ],
)
def test_a_sizing_that_cannot_be_right_is_refused(sizing, message):
    with pytest.raises(BadInput, match=message):
        sizing.check()
