from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.indicators import crosses_above, crosses_below, crossover, sma, sma_cross, windows

NAN = float("nan")


def backtrader_crosses(fast: np.ndarray, slow: np.ndarray) -> list[int]:
    """What backtrader's CrossOver says of two lines, row by row."""
    frame = pd.DataFrame({"open": fast, "high": fast, "low": slow, "close": slow, "volume": 0.0, "openinterest": 0.0})
    frame.index = pd.date_range("2020-01-01", periods=len(frame))
    said: dict[int, int] = {}

    class Watch(bt.Strategy):
        def __init__(self) -> None:
            self.cross = bt.ind.CrossOver(self.data.open, self.data.close)

        def next(self) -> None:
            said[len(self) - 1] = int(self.cross[0])

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(Watch)
    cerebro.run()
    assert said
    return [said.get(row, 0) for row in range(len(fast))]


@pytest.mark.parametrize("seed", range(6))
def test_crosses_are_those_of_backtrader_ties_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fast, slow = rng.integers(1, 4, (2, 250)).astype(float)
    ours = crossover(fast, slow)
    assert set(ours.tolist()) == {-1, 0, 1}
    assert ours.tolist() == backtrader_crosses(fast, slow)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ([], []),
        ([1], [0]),
        ([-1, 1, 1, -1], [0, 1, 0, -1]),
        ([-1, 0, 0, 1, 0, -1], [0, 0, 0, 1, 0, -1]),
        ([-1, 0, -1, 0, 1], [0, 0, 0, 0, 1]),
        ([0, 0, 1, -1], [0, 0, 0, -1]),
        ([NAN, NAN, 1, -1, 1], [0, 0, 0, -1, 1]),
        ([-1, NAN, 1, -1], [0, 0, 0, -1]),
        ([-1, 0, NAN, 0, 1], [0, 0, 0, 0, 0]),
    ],
)
def test_a_cross_needs_the_other_side_before_it_and_a_nan_forgets(difference: list[float], expected: list[int]) -> None:
    fast = np.array(difference, dtype=float)
    assert crossover(fast, np.zeros(len(fast))).tolist() == expected
    assert crossover(fast, 0.0).tolist() == expected
    assert crossover(np.zeros(len(fast)), fast).tolist() == [-value for value in expected]
    assert crossover(fast, 0.0).dtype == np.int8
    assert crosses_above(fast, 0.0).tolist() == [value == 1 for value in expected]
    assert crosses_below(fast, 0.0).tolist() == [value == -1 for value in expected]


@pytest.mark.parametrize(("fast", "slow"), [(1, 2), (2, 5), (20, 50), (50, 200)])
@pytest.mark.parametrize("step", [0.01, 0.05, 1 / 7])
def test_the_fused_cross_equals_the_cross_of_two_averages(fast: int, slow: int, step: float) -> None:
    rng = np.random.default_rng(slow)
    close = (5000 + np.cumsum(rng.integers(-1, 2, 2 * windows.TILE + 500))) * step
    ours = sma_cross(close, fast, slow)
    assert (ours == 1).sum() > 10
    np.testing.assert_array_equal(ours, crossover(sma(close, fast), sma(close, slow)))


@given(cents=st.lists(st.integers(100, 106), min_size=1, max_size=80), fast=st.integers(1, 6), more=st.integers(1, 6))
def test_equal_averages_are_equal_and_not_a_rounding_apart(cents: list[int], fast: int, more: int) -> None:
    slow = fast + more
    side, expected = 0, []
    for row in range(len(cents)):
        cross = 0
        if row >= slow - 1:
            now = sum(cents[row - fast + 1 : row + 1]) * slow - sum(cents[row - slow + 1 : row + 1]) * fast
            if now:
                cross = (1 if now > 0 else -1) if side * now < 0 else 0
                side = now
        expected.append(cross)
    assert sma_cross(np.array(cents) / 100.0, fast, slow).tolist() == expected


def test_lines_of_different_length_are_refused() -> None:
    with pytest.raises(BadInput, match=r"crossover: .*fast \(3,\), slow \(2,\)"):
        crossover(np.ones(3), np.ones(2))
