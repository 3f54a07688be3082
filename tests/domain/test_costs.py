import math

import pytest

from domain.costs import (
    FREE,
    IB_FIXED,
    IB_FOREX,
    IB_FUTURES,
    IB_TIERED,
    SCHEDULES,
    Commission,
    Tier,
    borrow_fee,
    commission,
)
from tests.domain.shared_files import golden


def test_us_stock_fees_are_the_published_examples():
    cases = golden("fees/ibkr_us_stocks_fixed.json")["cases"]
    assert len(cases) >= 3
    for case in cases:
        for side in (1, -1):
            value = case["shares"] * case["price"]
            assert commission(IB_FIXED, side * case["shares"], value) == pytest.approx(case["commission"], abs=1e-9)


@pytest.mark.parametrize(
    ("schedule", "quantity", "value", "fee"),
    [
        (FREE, 100, 5_000, 0.0),
        (Commission(per_order=4.95), 1, 10, 4.95),
        (Commission(fraction=0.001), -50, 5_000, 5.0),
        (Commission(per_order=1, per_unit=0.01, fraction=0.001), 100, 5_000, 7.0),
        (Commission(per_unit=0.005, minimum=1.0), 10, 1_000, 1.0),
        (Commission(per_unit=0.005, minimum=1.0, maximum_fraction=0.01), 1, 20, 0.2),  # the cap wins over the least
        (Commission(per_unit=0.005, minimum=1.0, extra_per_unit=0.1), 10, 1_000, 2.0),  # outside the bounds
        (Commission(sell_fraction=0.001, sell_per_unit=0.01), 100, 5_000, 0.0),
        (Commission(sell_fraction=0.001, sell_per_unit=0.01), -100, 5_000, 6.0),
        (IB_FOREX, 25_000, 27_000, 2.0),
        (IB_FOREX, 1_000_000, 1_080_000, 21.6),
        (IB_FUTURES, -3, 600_000, 2.55),
        (IB_TIERED, 50, 1_250, 0.35),
        (IB_TIERED, 1_000, 25_000, 3.5),
        (IB_TIERED, 10_000, 2_500, 25.0),
    ],
)
def test_a_fee_is_its_parts_inside_the_bounds(schedule, quantity, value, fee):
    assert commission(schedule, quantity, value) == pytest.approx(fee)


def test_tiers_are_marginal_and_count_what_the_month_has_traded():
    schedule = Commission(tiers=(Tier(100, 1.0), Tier(300, 0.5), Tier(math.inf, 0.1)))
    assert commission(schedule, 100, 1e6) == 100
    assert commission(schedule, 150, 1e6) == 125
    assert commission(schedule, -150, 1e6, month_units=50) == 50 + 50
    assert commission(schedule, 500, 1e6, month_units=100) == 100 + 30
    assert commission(schedule, 10, 1e6, month_units=1_000) == 1


@pytest.mark.parametrize("parts", [(100,), (60, 40), (1, 98, 1)])
def test_parts_of_an_order_cost_what_the_whole_does(parts):
    charged, done = 0.0, 0
    for part in parts:
        done += part
        charged += commission(IB_FIXED, done, done * 25.0) - charged
    assert charged == pytest.approx(commission(IB_FIXED, 100, 2_500.0))


def test_a_large_tiered_order_is_billed_across_its_tiers():
    fee = commission(IB_TIERED, 500_000, 5e7)
    assert fee == pytest.approx(300_000 * 0.0035 + 200_000 * 0.002)


def test_every_named_schedule_charges_something_but_the_free_one():
    assert {name for name, schedule in SCHEDULES.items() if not commission(schedule, 100, 10_000)} == {"free"}


def test_borrowing_costs_by_the_calendar_day_of_a_360_day_year():
    assert borrow_fee(36_000, 0.01, 3) == pytest.approx(3.0)
