"""The bars of some spans of trading, numbered through, so that a range of them costs two numbers and no array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.bars import Times
from domain.sessions import BarSpans


class BarNumbers:
    """All bars of some spans, numbered through from 0, without laying them out."""

    def __init__(self, spans: BarSpans) -> None:
        self.spans = spans
        self.counts = spans.counts()
        self.first = np.cumsum(self.counts) - self.counts
        """Number of each span's first bar."""
        self.origin = spans.grid_origins()
        self.step = spans.step or np.iinfo(np.int64).max

    def starts_before(self, moment_ns: int) -> int:
        """How many bars start before a moment."""
        span = int(np.searchsorted(self.spans.open, moment_ns)) - 1
        if span < 0:
            return 0
        local = 1 + (moment_ns - 1 - int(self.origin[span])) // self.step
        return int(self.first[span] + min(local, int(self.counts[span])))

    def starting_before(self, moments: Times) -> NDArray[np.int64]:
        """`starts_before` of many moments."""
        if not len(self.counts):
            return np.zeros(len(moments), np.int64)
        span = np.searchsorted(self.spans.open, moments) - 1
        local = 1 + (moments - 1 - self.origin[span]) // self.step
        return np.where(span < 0, 0, self.first[span] + np.minimum(local, self.counts[span]))

    def ends_by(self, moment_ns: int) -> int:
        """How many bars end at or before a moment."""
        span = int(np.searchsorted(self.spans.close, moment_ns, side="right"))
        if span == len(self.counts):
            return int(self.counts.sum())
        local = max((moment_ns - int(self.origin[span])) // self.step, 0)
        return int(self.first[span] + min(local, int(self.counts[span]) - 1))

    def bars(self, numbers: NDArray[np.int64]) -> tuple[Times, Times]:
        """(starts, ends) of the bars with these numbers."""
        span = np.searchsorted(self.first, numbers, side="right") - 1
        local = numbers - self.first[span]
        starts = np.where(local == 0, self.spans.open[span], self.origin[span] + local * self.step)
        is_last = local == self.counts[span] - 1
        return starts, np.where(is_last, self.spans.close[span], self.origin[span] + (local + 1) * self.step)

    def runs(self, held: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers [begin, end) of the runs of bars held; bars that no span expects are in none."""
        if not len(held) or not len(self.counts):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        is_cut = np.empty(len(held), np.bool_)
        is_cut[0] = True
        np.not_equal(held[1:] - held[:-1], self.step, out=is_cut[1:])
        edges = np.concatenate([np.searchsorted(held, self.spans.open), np.searchsorted(held, self.spans.close)])
        is_cut[edges[edges < len(held)]] = True
        cuts = np.flatnonzero(is_cut)
        length = np.diff(cuts, append=len(held))
        start = held[cuts]
        span = np.searchsorted(self.spans.open, start, side="right") - 1
        local = (start - self.origin[span]) // self.step
        expected = np.where(local == 0, self.spans.open[span], self.origin[span] + local * self.step)
        inside = (span >= 0) & (start < self.spans.close[span]) & (start == expected)
        begin = (self.first[span] + local)[inside]
        return begin, begin + length[inside]
