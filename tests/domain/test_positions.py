import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.positions import after_fill, after_split


@pytest.mark.parametrize(
    ("held", "average", "quantity", "price", "expected"),
    [
        (0, 0, 10, 100, (10, 100, 0)),
        (10, 100, 10, 110, (20, 105, 0)),
        (10, 100, -4, 110, (6, 100, 40)),
        (10, 100, -10, 90, (0, 0, -100)),
        (10, 100, -15, 110, (-5, 110, 100)),
        (0, 0, -10, 100, (-10, 100, 0)),
        (-10, 100, -10, 90, (-20, 95, 0)),
        (-10, 100, 4, 90, (-6, 100, 40)),
        (-10, 100, 10, 110, (0, 0, -100)),
        (-10, 100, 15, 90, (5, 90, 100)),
        (0.3, 100, -0.1 - 0.2, 110, (0, 0, 3)),  # what binary fractions leave over is nothing
    ],
)
def test_a_fill_moves_quantity_average_and_realised_profit(held, average, quantity, price, expected):
    assert after_fill(held, average, quantity, price) == pytest.approx(expected)


fill = st.tuples(st.integers(-50, 50).filter(bool), st.floats(1, 500))


@given(st.lists(fill, min_size=1, max_size=30), st.floats(1, 500))
def test_realised_and_open_profit_are_what_the_cash_says(fills, mark):
    quantity = average = realised = cash = 0.0
    for units, price in fills:
        quantity, average, points = after_fill(quantity, average, units, price)
        realised += points
        cash -= units * price
    assert quantity == sum(units for units, _ in fills)
    assert realised + quantity * (mark - average) == pytest.approx(cash + quantity * mark, abs=1e-6)


@pytest.mark.parametrize(
    ("quantity", "average", "ratio", "lot", "expected"),
    [
        (10, 100, 2, 1, (20, 50, 0)),
        (-10, 100, 2, 1, (-20, 50, 0)),
        (25, 10, 0.1, 1, (2, 100, 0.5)),
        (-25, 10, 0.1, 1, (-2, 100, -0.5)),
        (5, 10, 0.1, 1, (0, 100, 0.5)),
        (7, 30, 1.5, 1, (10, 20, 0.5)),
        (30, 10, 0.1, 1, (3, 100, 0)),
        (25, 10, 0.1, 0.5, (2.5, 100, 0)),
    ],
)
def test_a_split_keeps_whole_lots_and_leaves_the_rest_for_cash(quantity, average, ratio, lot, expected):
    assert after_split(quantity, average, ratio, lot) == pytest.approx(expected)
