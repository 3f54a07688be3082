"""Segments hold each missing bar once, and what IB is asked for reaches back to their start."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.gaps import find_session_gaps
from domain.segments import Segment, cut, duration, duration_ns, halves
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe
from gateway.history import BAR_SIZES
from gateway.simulator import history_request
from gateway.simulator.bar_sizes import bar_size
from gateway.simulator.bar_sizes import duration as read_duration
from marketdata.calendars import sessions
from marketdata.requestlengths import LENGTHS

NOTHING = np.empty(0, np.int64)


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def gaps_of(calendar: str, frame: str, start: str, end: str, held=NOTHING):
    return find_session_gaps(held, sessions(calendar), Timeframe(frame), at(start), at(end))


def segments_of(calendar: str, frame: str, start: str, end: str, held=NOTHING, longest: str = ""):
    table = sessions(calendar)
    return cut(gaps_of(calendar, frame, start, end, held), table, Timeframe(frame), longest or LENGTHS[frame])


def test_a_year_of_minutes_is_one_request_for_each_session():
    found = segments_of("XNYS", "1m", "2023-01-01", "2024-01-01")
    table = sessions("XNYS").between(at("2023-01-01"), at("2024-01-01"))
    assert [(each.start_ns, each.end_ns) for each in found] == list(
        zip(table.open.tolist(), table.close.tolist(), strict=True)
    )
    assert {each.duration for each in found} == {"23400 S", "12600 S"}, "a whole day, or the half one"
    assert sum(each.bars for each in found) == 248 * 390 + 2 * 210


def test_the_partly_held_year_of_the_reference_needs_two_requests_for_its_first_gap():
    table = sessions("XNYS")
    frame = Timeframe.D1
    starts, _ = table.expected_bars(frame, at("2023-01-01"), at("2025-05-31"))
    days = starts.astype("datetime64[ns]").astype("datetime64[D]")
    is_held = (days >= np.datetime64("2024-04-01")) & (days < np.datetime64("2025-05-01"))
    is_held &= ~((days >= np.datetime64("2024-12-01")) & (days < np.datetime64("2024-12-10")))
    found = segments_of("XNYS", "1d", "2023-01-01", "2025-05-31", starts[is_held])
    assert [each.gap for each in found] == [0, 0, 1, 2], "three gaps, the first longer than a year"
    assert sum(each.bars for each in found) == int((~is_held).sum())


@pytest.mark.parametrize(
    ("frame", "calendar", "requests"),
    [
        ("5m", "XNYS", 53),
        ("15m", "XNYS", 27),
        ("30m", "XNYS", 14),
        ("1h", "XNYS", 14),
        ("1d", "XNYS", 1),
        ("1h", "FX", 14),
    ],
)
def test_a_year_takes_about_as_many_requests_as_its_length_says(frame, calendar, requests):
    assert abs(len(segments_of(calendar, frame, "2023-01-01", "2024-01-01")) - requests) <= 1


def test_a_session_is_cut_only_where_it_alone_is_too_long():
    whole = segments_of("XNYS", "1m", "2023-03-08", "2023-03-18")  # summer time begins on the twelfth
    assert {each.bars for each in whole} == {390}
    parts = segments_of("XNYS", "1m", "2023-03-08", "2023-03-09", longest="3600 S")
    assert [each.bars for each in parts] == [60] * 6 + [30]


@given(
    frame=st.sampled_from(list(LENGTHS)),
    calendar=st.sampled_from(["XNYS", "XTKS", "FX", "CME Globex Equity"]),
    first=st.integers(0, 3_000),
    days=st.integers(1, 400),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.02, 0.5, 0.98]),
)
def test_each_missing_bar_is_asked_for_once_and_the_duration_reaches_it(frame, calendar, first, days, seed, share):
    table, size = sessions(calendar), Timeframe(frame)
    days = min(days, 40) if size is Timeframe.M1 else days
    start = at("2012-01-02") + first * DAY_NS
    end = start + days * DAY_NS
    starts, _ = table.expected_bars(size, start, end)
    random = np.random.default_rng(seed)
    held = starts[random.random(len(starts)) < share]
    gaps = find_session_gaps(held, table, size, start, end)
    found = cut(gaps, table, size, LENGTHS[frame])
    asked = [table.expected_bars(size, each.start_ns, each.end_ns)[0] for each in found]
    assert [len(each) for each in asked] == [each.bars for each in found]
    assert np.array_equal(np.concatenate([*asked, NOTHING]), np.setdiff1d(starts, held)), f"seed {seed}"
    for each in found:
        assert each.end_ns - each.start_ns <= duration_ns(LENGTHS[frame]) or each.bars == 1
        length, bars = read_duration(each.duration), bar_size(BAR_SIZES[size])
        assert history_request.began(length, bars, table, each.end_ns) <= each.start_ns, each


def test_half_of_a_segment_and_the_other_half_are_the_segment():
    table = sessions("XNYS")
    (whole,) = segments_of("XNYS", "1m", "2023-03-08", "2023-03-09")
    left, right = halves(whole, table, Timeframe.M1)
    assert (left.start_ns, left.end_ns, right.end_ns) == (whole.start_ns, right.start_ns, whole.end_ns)
    assert (left.bars, right.bars, left.duration) == (195, 195, "11700 S")
    single = Segment(0, whole.start_ns, whole.start_ns + MINUTE_NS, "60 S", 1)
    assert halves(single, table, Timeframe.M1) == []


@pytest.mark.parametrize("text", ["", "1", "D", "0 D", "-1 D", "1 H", "1  D", "1 D ", "\u0661 D", "100000 D"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(BadInput, match="is not a duration"):
        duration_ns(text)


@pytest.mark.parametrize("text", ["101 Y", "500 Y", "99999 Y", "99999 M"])
def test_a_duration_of_more_than_a_century_is_refused_before_times_overflow(text):
    with pytest.raises(BadInput, match="longer than a century"):
        duration_ns(text)
    assert duration_ns("100 Y") == 36_500 * DAY_NS


def test_a_duration_is_never_shorter_than_a_bar():
    table, opens = sessions("XNYS"), at("2023-03-08T14:30")
    assert duration(opens, opens + 30 * MINUTE_NS, Timeframe.H1, table) == "3600 S", (
        "New York's first hour is half of one"
    )
    assert duration(opens, opens + DAY_NS, Timeframe.M1, table) == "86400 S"
    assert duration(opens - 364 * DAY_NS, opens + HOUR_NS, Timeframe.D1, table) == "1 Y"
    assert duration(opens - 365 * DAY_NS, opens + HOUR_NS, Timeframe.D1, table) == "2 Y", "366 dates may be too many"
    assert duration(opens - 7 * DAY_NS, opens + HOUR_NS, Timeframe.M5, table) == "2 W"
