from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage import Counts, count_between
from domain.gaps import Explanation, GapClass, find_session_gaps
from domain.timeframe import DAY_NS, HOUR_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import ns


@given(
    calendar=st.sampled_from(["XNYS", "XHKG", "FX"]),
    frame=st.sampled_from(["5m", "1h", "1d", "1w"]),
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
)
def test_bars_are_counted_as_if_each_was_looked_at(calendar, frame, seed, share):
    random = np.random.default_rng(seed)
    timeframe, table = Timeframe(frame), sessions(calendar)
    start = ns("2023-12-18") + int(random.integers(0, 10 * 24)) * HOUR_NS
    end = start + int(random.integers(1, 40 * 24)) * HOUR_NS
    starts, ends = table.expected_bars(timeframe, start, end)
    held = random.random(len(starts)) < share
    known = Explanation(start + 5 * DAY_NS, start + 9 * DAY_NS, GapClass.NO_TRADES)
    gaps = find_session_gaps(starts[held], table, timeframe, start, end, [known])
    inner = start + np.sort(random.integers(1, max((end - start) // HOUR_NS, 2), 6)) * HOUR_NS
    edges = np.unique(np.concatenate([[start], inner[inner < end], [end]]))
    is_known = (starts >= known.start_ns) & (ends <= known.end_ns)
    counts = count_between(gaps, table, timeframe, edges)
    for row, (lo, hi) in enumerate(pairwise(edges)):
        inside = (starts >= lo) & (starts < hi)
        assert counts.expected[row] == inside.sum()
        assert counts.held[row] == (inside & held).sum()
        assert counts.missing[row, GapClass.NO_TRADES] == (inside & ~held & is_known).sum()
        assert counts.missing[row, GapClass.UNEXPECTED] == (inside & ~held & ~is_known).sum()
        assert counts.possible[row] == (inside & (held | ~is_known)).sum()
    assert counts.expected.sum() == gaps.expected and counts.held.sum() == gaps.held


@pytest.mark.parametrize("gone", [GapClass.BEFORE_LISTING, GapClass.AFTER_DELISTING, GapClass.HALT, GapClass.NO_TRADES])
def test_what_cannot_exist_is_no_bar_that_somebody_could_have(gone):
    missing = np.zeros((1, len(GapClass)), np.int64)
    missing[0, gone] = 3
    missing[0, GapClass.FAILED] = 2
    counts = Counts(np.array([10]), missing)
    assert (counts.held.tolist(), counts.possible.tolist()) == ([5], [7])


def test_a_weekend_expects_nothing():
    gaps = find_session_gaps(np.empty(0, np.int64), sessions("XNYS"), Timeframe.M1, ns("2024-07-06"), ns("2024-07-08"))
    counts = count_between(gaps, sessions("XNYS"), Timeframe.M1, np.array([ns("2024-07-06"), ns("2024-07-08")]))
    assert counts.expected.tolist() == counts.held.tolist() == [0]
