import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.risk import RiskLimits, RiskReason, RiskState, check, explain, kill_level

NAN = math.nan
OPEN = RiskLimits(long_only=False)


def ask(quantity, limits=OPEN, *, price=100.0, limit_price=NAN, unit_value=None, unit_margin=None, **state):
    value = price if unit_value is None else unit_value
    margin = value if unit_margin is None else unit_margin
    full = RiskState(**{"equity": 1e6, **state})
    reason = check(quantity, price, limit_price, value, margin, full, limits)
    return RiskReason(reason), explain(reason, quantity, price, limit_price, value, margin, full, limits)


@pytest.mark.parametrize(
    ("limits", "quantity", "state", "reason", "numbers"),
    [
        ({}, 10, {"halted": True}, "HALTED", None),
        ({}, 10, {"in_session": False}, "MARKET_CLOSED", None),
        ({"market_hours": False}, 10, {"in_session": False}, "ALLOWED", None),
        ({"long_only": True}, -10, {"position": 5}, "LONG_ONLY", (-5, 0)),
        ({"long_only": True}, -10, {"position": 20, "pending": -15}, "LONG_ONLY", (-5, 0)),
        ({"long_only": True}, -10, {"position": 10}, "ALLOWED", None),
        ({"max_order_quantity": 9}, -10, {}, "MAX_ORDER_QUANTITY", (10, 9)),
        ({"max_order_value": 999}, 10, {}, "MAX_ORDER_VALUE", (1000, 999)),
        ({"max_open_orders": 2}, 10, {"open_orders": 2}, "MAX_OPEN_ORDERS", (2, 2)),
        ({"instrument_daily_loss": 50}, 10, {"instrument_day_pnl": -50}, "INSTRUMENT_DAILY_LOSS", (50, 50)),
        ({"symbol_notional": 1499}, 10, {"position": 5}, "SYMBOL_NOTIONAL", (1500, 1499)),
        ({"symbol_notional": 1499}, -10, {"position": -5}, "SYMBOL_NOTIONAL", (1500, 1499)),
        (
            {"gross_exposure": 2499}, 10,
            {"position": 5, "held_value": 500, "gross": 1500}, "GROSS_EXPOSURE", (2500, 2499),
        ),
        ({}, 10, {"equity": 999}, "BUYING_POWER", (1000, 999)),
        (
            {}, 10,
            {"equity": 1999, "used_margin": 1500, "held_margin": 500, "position": 5}, "BUYING_POWER", (2500, 1999),
        ),
    ],
)  # fmt: skip
def test_the_first_broken_rule_is_named_with_its_numbers(limits, quantity, state, reason, numbers):
    got, explained = ask(quantity, OPEN._replace(**limits), **state)
    assert got is RiskReason[reason]
    if numbers is not None:
        assert explained == pytest.approx(numbers)


def test_a_limit_price_must_lie_in_the_collar():
    limits = OPEN._replace(price_collar=0.05)
    assert ask(1, limits, limit_price=95.0)[0] is RiskReason.ALLOWED
    reason, numbers = ask(1, limits, limit_price=94.0)
    assert reason is RiskReason.PRICE_COLLAR and numbers == pytest.approx((0.06, 0.05))


@pytest.mark.parametrize(
    "unknown", [{"price": NAN}, {"price": 0.0}, {"equity": NAN}, {"gross": NAN}, {"quantity": NAN}]
)
def test_what_is_not_known_denies(unknown):
    arguments = {"quantity": 1.0, **unknown}
    assert ask(arguments.pop("quantity"), **arguments)[0] is RiskReason.UNKNOWN_STATE


def test_getting_out_is_held_to_session_halt_quantity_and_collar_only():
    tight = RiskLimits(
        max_order_value=1, max_open_orders=1, instrument_daily_loss=1, symbol_notional=1, gross_exposure=1
    )
    state = {"position": 10.0, "equity": -5.0, "open_orders": 5, "instrument_day_pnl": -100.0, "gross": 1e9}
    assert ask(-10, tight, **state)[0] is RiskReason.ALLOWED
    assert ask(-10, tight._replace(max_order_quantity=5), **state)[0] is RiskReason.MAX_ORDER_QUANTITY
    assert ask(-10, tight, **state, halted=True)[0] is RiskReason.HALTED
    assert ask(-10, tight, **state, in_session=False)[0] is RiskReason.MARKET_CLOSED
    turning = tight._replace(long_only=False)
    assert ask(-11, turning, **state)[0] is RiskReason.MAX_ORDER_VALUE


states = st.builds(
    RiskState,
    position=st.integers(-50, 50).map(float),
    gross=st.floats(0, 1e6),
    equity=st.floats(-1e4, 1e6),
    instrument_day_pnl=st.floats(-1e4, 1e4),
    open_orders=st.integers(0, 5),
)


@given(states, st.integers(-80, 80).filter(bool), st.floats(1, 1e6))
def test_a_wider_limit_never_denies_what_a_narrower_one_allows(state, quantity, limit):
    for name in ("max_order_quantity", "max_order_value", "symbol_notional", "gross_exposure"):
        narrow = OPEN._replace(**{name: limit})
        wide = OPEN._replace(**{name: limit * 2})
        arguments = (float(quantity), 100.0, NAN, 100.0, 50.0, replace(state))
        if check(*arguments, narrow) == RiskReason.ALLOWED:
            assert check(*arguments, wide) == RiskReason.ALLOWED


@pytest.mark.parametrize(
    ("limits", "level"),
    [
        (RiskLimits(), -math.inf),
        (RiskLimits(daily_loss=500.0), 9_500.0),
        (RiskLimits(daily_loss_fraction=0.02), 9_800.0),
        (RiskLimits(daily_loss=500.0, daily_loss_fraction=0.02), 9_800.0),
    ],
)
def test_the_kill_switch_strikes_at_the_nearer_of_its_two_levels(limits, level):
    assert kill_level(10_000.0, limits) == level
    assert limits.has_kill_switch == math.isfinite(level)


@pytest.mark.parametrize("value", [0, -1.0, NAN])
def test_a_limit_that_is_not_positive_is_refused_by_name(value):
    with pytest.raises(BadInput, match="symbol_notional must be positive"):
        RiskLimits(symbol_notional=value).check()


def test_limits_of_the_rulebook_pass_their_own_check():
    RiskLimits().check()
    RiskLimits(long_only=False, market_hours=False, daily_loss=1.0).check()
