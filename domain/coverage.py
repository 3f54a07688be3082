"""Coverage: how many of the bars expected in each of some spans of time are held, and why the others are not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.barnumbers import BarNumbers
from domain.bars import Times
from domain.gaps import GapClass, Gaps
from domain.sessions import SessionTable
from domain.timeframe import Timeframe

NO_BARS_EXIST = (GapClass.BEFORE_LISTING, GapClass.AFTER_DELISTING, GapClass.HALT, GapClass.NO_TRADES)
"""Classes of bars that nobody can have."""


class Counts(NamedTuple):
    """Of each span of time: bars `expected` (int64 [spans]) and bars `missing` by GapClass (int64 [spans, classes])."""

    expected: NDArray[np.int64]
    missing: NDArray[np.int64]

    @property
    def held(self) -> NDArray[np.int64]:
        return np.asarray(self.expected - self.missing.sum(axis=1))

    @property
    def possible(self) -> NDArray[np.int64]:
        """Bars expected, without those that cannot exist."""
        return np.asarray(self.expected - self.missing[:, list(NO_BARS_EXIST)].sum(axis=1))


def count_between(gaps: Gaps, sessions: SessionTable, timeframe: Timeframe, edges: Times) -> Counts:
    """Counts of the spans [edges[i], edges[i + 1]) by the bars' starts; `gaps` are all of them from the first edge to
    the last (int64 ns, increasing).

    Nothing is laid out bar by bar: 1 ms for twenty years of minutes by month.
    """
    numbers = BarNumbers(sessions.bar_spans(timeframe, int(edges[0]), int(edges[-1])))
    at = numbers.starting_before(edges)
    first = numbers.starting_before(gaps.start)
    missing = np.zeros((len(edges) - 1, len(GapClass)), np.int64)
    for code in GapClass:
        rows = gaps.reason == code
        if rows.any():
            missing[:, code] = np.diff(_numbers_below(at, first[rows], gaps.missing[rows]))
    return Counts(np.diff(at), missing)


def _numbers_below(at: NDArray[np.int64], first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many numbers of the runs [first, first + length) lie below each of `at`."""
    before = np.append(0, np.cumsum(length))
    run = np.searchsorted(first, at)
    last = np.maximum(run - 1, 0)
    reached = np.minimum(at - first[last], length[last])
    return np.where(run == 0, 0, before[last] + reached)
