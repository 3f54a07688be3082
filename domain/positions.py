"""What a fill does to a position: average-cost accounting in scalars."""

from __future__ import annotations

DUST = 1e-9


def after_fill(quantity: float, average: float, fill_quantity: float, price: float) -> tuple[float, float, float]:
    """(quantity, average price, realised points x units) after a signed fill.

    Adding moves the average; reducing realises against it and leaves it; crossing zero realises all of the old
    position and opens the rest at the fill's price. A flat position has average 0. Multiply realised by the
    instrument's multiplier for money; commissions are not in it.
    """
    total = quantity + fill_quantity
    if -DUST < total < DUST:
        return 0.0, 0.0, quantity * (price - average)
    if quantity * fill_quantity >= 0:
        return total, (average * quantity + price * fill_quantity) / total, 0.0
    if quantity * total > 0:
        return total, average, -fill_quantity * (price - average)
    return total, price, quantity * (price - average)


def after_split(quantity: float, average: float, new_per_old: float, lot: float) -> tuple[float, float, float]:
    """(quantity, average price, left over) after a split; the fraction of a lot left over is paid in cash."""
    exact = quantity * new_per_old
    sign = 1.0 if exact >= 0 else -1.0
    whole = sign * lot * float(int(abs(exact) / lot + DUST))
    return whole, average / new_per_old, exact - whole
