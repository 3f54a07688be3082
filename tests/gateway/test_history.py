import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import Adjustment
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe
from gateway.contract import Contract
from gateway.errors import BadFrame, Refused, TryLater
from gateway.events import BarUpdated
from gateway.history import HistoryRequest, rows_of, series_of
from gateway.subscriptions import BarsSubscription
from gateway.translate import ib_time

AAPL = Contract(symbol="AAPL")
DAY = 20_780  # 2026-11-23, a Monday
OPEN = DAY * DAY_NS + 14 * HOUR_NS + 30 * MINUTE_NS
DAYS = np.array([DAY, DAY + 1, DAY + 2, DAY + 7], np.int64)
OPENS = DAYS * DAY_NS + 14 * HOUR_NS + 30 * MINUTE_NS
CLOSES = OPENS + 6 * HOUR_NS + 30 * MINUTE_NS
SESSIONS = SessionTable("XNYS", DAYS, OPENS, CLOSES, utc_offset=np.full(4, -5 * HOUR_NS))


def answer(dates, end=""):
    fields = ["17", "1900000000", "", end, str(len(dates))]
    for n, date in enumerate(dates):
        fields += [str(date), str(10 + n), str(11 + n), str(9 + n), "10.5" if n == 0 else str(10 + n), "-1", "-1", "-1"]
    return rows_of(fields)


def request(timeframe, what="TRADES"):
    return HistoryRequest(AAPL, timeframe, "1 D", what)


def test_hours_are_cut_as_the_market_cuts_them():
    starts = [OPEN, OPEN + 30 * MINUTE_NS, OPEN + 90 * MINUTE_NS]
    dates = [start // SECOND_NS for start in starts]
    for sessions in (SESSIONS, None):
        bars = series_of(answer(dates), request(Timeframe.H1), sessions)
        assert list(bars.start) == starts
        assert list(bars.end - bars.start) == [30 * MINUTE_NS, HOUR_NS, HOUR_NS]
        assert np.isnan(bars.volume).all()


def test_the_last_bar_of_a_session_ends_with_it():
    sessions = SessionTable(
        "HALF", DAYS[:1], OPENS[:1], OPENS[:1] + 200 * MINUTE_NS, utc_offset=np.full(1, -5 * HOUR_NS)
    )
    start = OPEN + 150 * MINUTE_NS
    bars = series_of(answer([start // SECOND_NS]), request(Timeframe.H1), sessions)
    assert bars.end[0] == OPEN + 200 * MINUTE_NS


def test_days_and_weeks_run_from_open_to_close():
    bars = series_of(answer(["20261123", "20261125"]), request(Timeframe.D1), SESSIONS)
    assert list(bars.start) == [OPENS[0], OPENS[2]]
    assert list(bars.end) == [CLOSES[0], CLOSES[2]]
    weeks = series_of(answer(["20261124", "20261130"]), request(Timeframe.W1), SESSIONS)
    assert list(weeks.start) == [OPENS[0], OPENS[3]]
    assert list(weeks.end) == [CLOSES[2], CLOSES[3]]
    bare = series_of(answer(["20261123"]), request(Timeframe.D1))
    assert (bare.start[0], bare.end[0]) == (DAY * DAY_NS, (DAY + 1) * DAY_NS)


def test_a_day_that_is_no_session_is_said():
    with pytest.raises(BadInput, match="2026-11-26"):
        series_of(answer(["20261126"]), request(Timeframe.D1), SESSIONS)


def test_a_bar_that_was_still_forming_is_left_out():
    dates = [(OPEN + n * MINUTE_NS) // SECOND_NS for n in range(3)]
    until = ib_time(OPEN + 2 * MINUTE_NS + 30 * SECOND_NS)
    assert len(series_of(answer(dates, until), request(Timeframe.M1))) == 2


def test_what_the_prices_contain_is_noted():
    dates = [OPEN // SECOND_NS]
    assert series_of(answer(dates), request(Timeframe.M1)).adjustment is Adjustment.SPLIT
    assert series_of(answer(dates), request(Timeframe.M1, "ADJUSTED_LAST")).adjustment is Adjustment.TOTAL


@pytest.mark.parametrize("dates", [[2, 1], [1, 1], ["x"], ["9" * 30]])
def test_bars_that_cannot_be_right_are_asked_for_again(dates):
    with pytest.raises(TryLater):
        series_of(answer(dates), request(Timeframe.M1))


@pytest.mark.parametrize(
    "fields",
    [
        ["17", "1"],
        ["17", "1", "", "", "1"],
        ["17", "1", "", "", "-1"],
        ["17", "1", "", "", "1", "5", "1", "2", "x", "1", "1", "1", "1"],
        ["17", "1", "", "", "2", "5", "1", "2", "1", "1", "1", "1", "1"],
    ],
)
def test_an_answer_whose_fields_do_not_fit_is_refused(fields):
    with pytest.raises(BadFrame):
        rows_of(fields)


@pytest.mark.parametrize("duration", ["", "1", "1D", "0 D", "1 H", "1 D\0", "9999999 D"])
def test_a_duration_that_ib_does_not_know_is_refused(duration):
    with pytest.raises(Refused, match="duration"):
        HistoryRequest(AAPL, Timeframe.M1, duration).check()


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from([10.0, 10.5])), max_size=60))
def test_kept_bars_close_once_each_in_order_whatever_comes(updates):
    kept = BarsSubscription(1, AAPL, Timeframe.M1, "TRADES", True, "1 D")
    events = []
    for minute, close in updates:
        events += kept.update(str(OPEN // SECOND_NS + 60 * minute), 10.0, 11.0, 9.0, close, 5.0)
    closed = [event.start_ns for event in events if event.closed]
    assert closed == sorted(set(closed))
    seen = sorted({event.start_ns for event in events if not event.closed})
    assert closed == seen[: len(closed)]
    assert len(closed) >= len(seen) - 1
    assert all(isinstance(event, BarUpdated) and event.end_ns - event.start_ns == MINUTE_NS for event in events)


def test_after_a_reconnect_closed_bars_are_not_told_again():
    kept = BarsSubscription(1, AAPL, Timeframe.M1, "TRADES", True, "1 D")
    dates = [(OPEN + n * MINUTE_NS) // SECOND_NS for n in range(4)]
    first = list(kept.begin(answer(dates[:3])))
    again = list(kept.begin(answer(dates)))
    assert [event.start_ns for event in (*first, *again) if event.closed] == [OPEN + n * MINUTE_NS for n in range(3)]
