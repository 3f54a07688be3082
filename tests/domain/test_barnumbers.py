import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.barnumbers import BarNumbers
from domain.timeframe import HOUR_NS, MINUTE_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import ns

START = ns("2023-12-18")


@given(
    calendar=st.sampled_from(["XNYS", "XHKG", "FX", "XBOM"]),
    frame=st.sampled_from(list(Timeframe)),
    hours=st.integers(1, 60 * 24),
    seed=st.integers(0, 10_000),
)
def test_bars_are_numbered_as_they_follow_each_other(calendar, frame, hours, seed):
    random, table = np.random.default_rng(seed), sessions(calendar)
    spans = table.bar_spans(frame, START, START + hours * HOUR_NS)
    starts, ends = spans.expand()
    numbers = BarNumbers(spans)
    moments = START + random.integers(-48 * 60, (hours + 48) * 60, 20) * MINUTE_NS
    edges = [random.choice(each, 5) for each in (starts, ends) if len(each)]
    moments = np.sort(np.concatenate([moments, *edges]))
    before = np.searchsorted(starts, moments)
    assert numbers.starting_before(moments).tolist() == before.tolist()
    assert [numbers.starts_before(int(at)) for at in moments] == before.tolist()
    assert [numbers.ends_by(int(at)) for at in moments] == np.searchsorted(ends, moments, side="right").tolist()
    found = numbers.bars(np.arange(len(starts)))
    assert found[0].tolist() == starts.tolist() and found[1].tolist() == ends.tolist()


@pytest.mark.parametrize("held", [[], [0], [3, 4, 5], [0, 1, 7, 8, 12]])
def test_runs_are_bars_that_follow_each_other_by_one_step(held):
    spans = sessions("XNYS").bar_spans(Timeframe.H1, ns("2024-07-01"), ns("2024-07-03"))
    starts, _ = spans.expand()
    begin, end = BarNumbers(spans).runs(starts[held])
    assert [number for lo, hi in zip(begin, end, strict=True) for number in range(lo, hi)] == held


def test_where_nothing_trades_there_is_no_number():
    spans = sessions("XNYS").bar_spans(Timeframe.M1, ns("2024-07-06"), ns("2024-07-07"))
    numbers = BarNumbers(spans)
    assert numbers.starting_before(np.array([ns("2024-07-08")])).tolist() == [0]
    assert numbers.starts_before(ns("2024-07-08")) == 0
