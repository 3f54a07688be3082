"""Where one line crosses another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.bars import Floats
from domain.errors import BadInput
from domain.indicators.windows import GRID, check_windows, fold_all, read_columns, tiles, to_grid

Crosses = NDArray[np.int8]

_UNKNOWN = 2  # a sign that no other sign can turn from or to: one of the two lines is NaN


def crossover(fast: ArrayLike, slow: ArrayLike) -> Crosses:
    """+1 where `fast` rises above `slow`, -1 where it falls below, else 0 (int8, one per row).

    A row crosses when it is strictly on one side and the last unequal row before it was on the other: touching
    and turning back is no cross, crossing over several equal rows is one, on the row that leaves them. A NaN on
    either side forgets what was before. The same as backtrader's CrossOver. `slow` may be a constant level.
    """
    (over,) = read_columns("crossover", fast=fast)
    level = np.asarray(slow, dtype=np.float64)
    over, under = read_columns("crossover", fast=over, slow=np.full(len(over), level) if level.ndim == 0 else level)
    sides = np.empty(len(over), np.int8)
    _compare(over, under, sides)
    return _turns(sides)


def crosses_above(fast: ArrayLike, slow: ArrayLike) -> NDArray[np.bool_]:
    """Where `crossover` is +1."""
    rises: NDArray[np.bool_] = crossover(fast, slow) == 1
    return rises


def crosses_below(fast: ArrayLike, slow: ArrayLike) -> NDArray[np.bool_]:
    """Where `crossover` is -1."""
    falls: NDArray[np.bool_] = crossover(fast, slow) == -1
    return falls


def sma_cross(values: ArrayLike, fast: int, slow: int) -> Crosses:
    """crossover(sma(values, fast), sma(values, slow)), to the bit, in one pass that keeps neither average."""
    (column,) = read_columns("sma_cross", values=values)
    check_windows("sma_cross", fast=fast, slow=slow)
    if fast >= slow:
        raise BadInput(f"sma_cross: fast must be below slow, not {fast} and {slow}")
    sides = np.full(len(column), _UNKNOWN, np.int8)
    for low, high in tiles(len(column), slow):
        scaled = to_grid(column[low - slow + 1 : high])
        over, under = fold_all(np.add, scaled, fast, slow)
        _compare(over[slow - fast :] / (fast * GRID), under / (slow * GRID), sides[low:high])
    return _turns(sides)


def _compare(over: Floats, under: Floats, sides: Crosses) -> None:
    """Fill `sides` with +1 above, -1 below, 0 equal, _UNKNOWN where either is NaN."""
    np.subtract((over > under).view(np.int8), (over < under).view(np.int8), out=sides)
    rows = np.flatnonzero(sides == 0)
    if len(rows):
        sides[rows[np.isnan(over[rows]) | np.isnan(under[rows])]] = _UNKNOWN


def _turns(sides: Crosses) -> Crosses:
    """Crosses from sides; equal rows first take the side of the row before them (in place)."""
    rows = np.flatnonzero(sides == 0)
    if len(rows):
        opens_run = np.ones(len(rows), np.bool_)
        opens_run[1:] = np.diff(rows) > 1
        before = (rows[opens_run] - 1)[np.cumsum(opens_run) - 1]
        sides[rows] = np.where(before >= 0, sides[before], _UNKNOWN)
    crosses = np.zeros(len(sides), np.int8)
    if len(sides) > 1:
        step = sides[1:] - sides[:-1]  # only a turn from -1 to +1 makes 2, only its mirror -2
        np.subtract((step == 2).view(np.int8), (step == -2).view(np.int8), out=crosses[1:])
    return crosses
