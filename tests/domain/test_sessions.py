import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import MINUTE_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import day, ns

NEW_YORK = ZoneInfo("America/New_York")


def bars(calendar, timeframe, start, end):
    """[(start, end)] as texts like 2024-07-03T13:30."""
    starts, ends = sessions(calendar).expected_bars(Timeframe.parse(timeframe), ns(start), ns(end))
    return [
        tuple(str(np.datetime64(int(t), "ns").astype("datetime64[m]")) for t in bar)
        for bar in zip(starts, ends, strict=True)
    ]


def test_the_first_regular_hour_of_new_york_is_half_an_hour_long():
    assert bars("XNYS", "1h", "2024-07-02", "2024-07-03") == [
        ("2024-07-02T13:30", "2024-07-02T14:00"),
        ("2024-07-02T14:00", "2024-07-02T15:00"),
        ("2024-07-02T15:00", "2024-07-02T16:00"),
        ("2024-07-02T16:00", "2024-07-02T17:00"),
        ("2024-07-02T17:00", "2024-07-02T18:00"),
        ("2024-07-02T18:00", "2024-07-02T19:00"),
        ("2024-07-02T19:00", "2024-07-02T20:00"),
    ]


def test_a_half_day_ends_its_last_bar_at_the_early_close():
    assert bars("XNYS", "1h", "2024-07-03", "2024-07-04")[-1] == ("2024-07-03T16:00", "2024-07-03T17:00")
    assert len(bars("XNYS", "1m", "2024-07-03", "2024-07-04")) == 210
    assert bars("XNYS", "1d", "2024-07-03", "2024-07-06") == [
        ("2024-07-03T13:30", "2024-07-03T17:00"),
        ("2024-07-05T13:30", "2024-07-05T20:00"),
    ]


def test_bars_are_cut_on_the_wall_clock_where_the_zone_differs_by_half_hours():
    # Mumbai opens at 9:15 and closes at 15:30, UTC+5:30: hours end at :30 of UTC.
    assert bars("NSE", "1h", "2024-03-01", "2024-03-02") == [
        ("2024-03-01T03:45", "2024-03-01T04:30"),
        ("2024-03-01T04:30", "2024-03-01T05:30"),
        ("2024-03-01T05:30", "2024-03-01T06:30"),
        ("2024-03-01T06:30", "2024-03-01T07:30"),
        ("2024-03-01T07:30", "2024-03-01T08:30"),
        ("2024-03-01T08:30", "2024-03-01T09:30"),
        ("2024-03-01T09:30", "2024-03-01T10:00"),
    ]


def test_no_bar_spans_the_lunch_break():
    # Tokyo 9:00-11:30, 12:30-15:00 (UTC+9) before November 2024.
    assert bars("XTKS", "1h", "2024-03-01", "2024-03-02") == [
        ("2024-03-01T00:00", "2024-03-01T01:00"),
        ("2024-03-01T01:00", "2024-03-01T02:00"),
        ("2024-03-01T02:00", "2024-03-01T02:30"),
        ("2024-03-01T03:30", "2024-03-01T04:00"),
        ("2024-03-01T04:00", "2024-03-01T05:00"),
        ("2024-03-01T05:00", "2024-03-01T06:00"),
    ]
    tokyo = sessions("XTKS")
    assert tokyo.is_open(ns("2024-03-01T02:29")) and not tokyo.is_open(ns("2024-03-01T02:30"))
    assert not tokyo.is_open(ns("2024-03-01T03:29")) and tokyo.is_open(ns("2024-03-01T03:30"))


def test_a_week_runs_from_its_first_open_to_its_last_close():
    # The week of Good Friday 2024, then a whole one.
    assert bars("XNYS", "1w", "2024-03-25", "2024-04-05") == [
        ("2024-03-25T13:30", "2024-03-28T20:00"),
        ("2024-04-01T13:30", "2024-04-05T20:00"),
    ]


def test_a_bar_that_started_before_the_range_is_not_in_it():
    assert bars("XNYS", "5m", "2024-07-02T13:31", "2024-07-02T13:41") == [
        ("2024-07-02T13:35", "2024-07-02T13:40"),
        ("2024-07-02T13:40", "2024-07-02T13:45"),
    ]
    assert bars("XNYS", "1d", "2024-07-02T13:31", "2024-07-02T20:00") == []


@pytest.mark.parametrize(
    ("calendar", "zone", "opens"),
    [("XNYS", "America/New_York", 9.5), ("XLON", "Europe/London", 8), ("XASX", "Australia/Sydney", 10)],
)
def test_the_open_stays_at_its_wall_clock_time_through_ten_years_of_dst(calendar, zone, opens):
    table = sessions(calendar).between(ns("2014-01-01"), ns("2024-01-01"))
    local = [dt.datetime.fromtimestamp(t / 1e9, dt.UTC).astimezone(ZoneInfo(zone)) for t in table.open.tolist()]
    assert {t.hour + t.minute / 60 for t in local} == {opens}
    assert [t.date().isoformat() for t in local] == [str(d) for d in table.label.astype("datetime64[D]")]
    assert len({t.utcoffset() for t in local}) == 2


def test_the_utc_offset_of_every_session_is_what_the_zone_database_says():
    table = sessions("XNYS").between(ns("1975-01-01"), ns("2026-01-01"))
    offsets = [dt.datetime.fromtimestamp(t / 1e9, dt.UTC).astimezone(NEW_YORK).utcoffset() for t in table.open.tolist()]
    assert table.utc_offset.tolist() == [int(o.total_seconds()) * 10**9 for o in offsets]


def test_expected_minutes_are_every_minute_that_is_open():
    for calendar in ("XNYS", "XTKS", "CME Globex Equity", "FX", "24/7"):
        table = sessions(calendar)
        start, end = ns("2024-03-06"), ns("2024-03-13")  # New York changes its clock on the 10th
        minutes = np.arange(start, end, MINUTE_NS)
        starts, ends = table.expected_bars(Timeframe.M1, start, end)
        assert starts.tolist() == minutes[table.session_index(minutes) >= 0].tolist(), calendar
        assert (ends - starts == MINUTE_NS).all()


@pytest.mark.parametrize("timeframe", [t for t in Timeframe if t.is_intraday])
@pytest.mark.parametrize("calendar", ["XNYS", "XHKG", "NSE", "CME_Equity", "FX"])
def test_bars_tile_regular_hours_without_overlap_or_hole(calendar, timeframe):
    table = sessions(calendar)
    start, end = ns("2023-09-30"), ns("2024-04-13")
    starts, ends = table.expected_bars(timeframe, start, end)
    assert (ends > starts).all() and (starts[1:] >= ends[:-1]).all() and (ends - starts <= timeframe.nanoseconds).all()
    assert table.in_session(starts, ends).all()
    whole = table.between(start, end)
    inside = np.isin(table.session_index(starts), np.flatnonzero(np.isin(table.label, whole.label)))
    traded = whole.close - whole.open - (whole.break_end - whole.break_start)
    assert (ends - starts)[inside].sum() == traded.sum()
    counts = table.bar_spans(timeframe, start, end).counts()
    assert counts.min() >= 1


def test_an_overnight_session_carries_the_date_of_its_close():
    globex = sessions("CME Globex Equity")
    sunday_evening, friday_break = ns("2024-03-10T22:30"), ns("2024-03-08T22:30")
    row = int(globex.session_index(sunday_evening))
    assert globex.label[row] == day("2024-03-11")
    assert globex.trading_dates([sunday_evening, friday_break]).tolist() == [day("2024-03-11"), day("2024-03-08")]
    assert not globex.is_open(friday_break)
    # 17:00 Chicago was 23:00 UTC on Friday's session and is 22:00 after the change of clocks.
    assert globex.open[row] == ns("2024-03-10T22:00") and globex.open[row - 1] == ns("2024-03-07T23:00")


def test_pre_and_post_market_count_to_the_date_of_their_session():
    times = ["2024-07-02T08:00", "2024-07-02T23:59", "2024-07-04T15:00", "2024-03-11T08:00", "2024-11-04T09:00"]
    expected = ["2024-07-02", "2024-07-02", "2024-07-04", "2024-03-11", "2024-11-04"]
    assert sessions("XNYS").trading_dates([ns(t) for t in times]).tolist() == [day(d) for d in expected]


def test_the_next_and_previous_edges_of_a_session_are_found_at_night_at_the_edge_and_inside():
    table = sessions("XNYS")
    night, opening, closing = ns("2024-07-03T03:00"), ns("2024-07-03T13:30"), ns("2024-07-03T17:00")
    assert table.next_open(night) == opening and table.next_close(night) == closing
    assert table.next_open(opening) == ns("2024-07-05T13:30")
    assert table.next_close(closing) == ns("2024-07-05T20:00")
    assert table.previous_close(closing) == closing and table.previous_close(closing - 1) == ns("2024-07-02T20:00")
    assert table.is_open(opening) and not table.is_open(closing) and not table.is_open(opening - 1)


def test_sessions_are_found_by_their_exchange_date():
    table = sessions("XNYS")
    rows = table.session_of_label([day("2024-07-03"), day("2024-07-04")])
    assert table.open[rows[0]] == ns("2024-07-03T13:30") and rows[1] == -1


def test_half_days_are_those_shorter_than_the_days_around_them():
    table = sessions("XNYS").between(ns("2023-01-01"), ns("2025-01-01"))
    half = table.label[table.is_half_day(np.arange(len(table)))].astype("datetime64[D]").astype(str).tolist()
    assert half == ["2023-07-03", "2023-11-24", "2024-07-03", "2024-11-29", "2024-12-24"]


def test_a_bar_is_in_session_only_with_its_first_and_its_last_instant():
    table = sessions("XNYS")
    bars = [
        ("2024-07-02T13:30", "2024-07-02T14:00"),
        ("2024-07-02T13:00", "2024-07-02T14:00"),
        ("2024-07-02T19:30", "2024-07-02T20:30"),
        ("2024-07-01T13:30", "2024-07-05T20:00"),
    ]
    starts, ends = zip(*bars, strict=True)
    assert table.in_session([ns(t) for t in starts], [ns(t) for t in ends]).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.expected_bars(Timeframe.D1, ns("1900-01-01"), ns("2020-01-01")),
        lambda t: t.expected_bars(Timeframe.D1, ns("2020-01-01"), ns("2100-01-01")),
        lambda t: t.is_open(ns("2100-01-01")),
        lambda t: t.session_index([ns("2020-01-02"), ns("1900-01-01")]),
        lambda t: t.trading_dates(ns("2100-01-01")),
        lambda t: t.next_open(ns("2100-01-01")),
        lambda t: t.next_open(ns("1900-01-01")),
        lambda t: t.next_close(int(t.close[-1])),
        lambda t: t.previous_close(ns("1900-01-01")),
        lambda t: t.previous_close(ns("2100-01-01")),
        lambda t: t.session_of_label(day("2100-01-01")),
    ],
)
def test_a_question_beyond_the_table_is_refused_with_the_range_it_knows(ask):
    with pytest.raises(BadInput, match=r"XNYS: .* outside the sessions it knows, 1928-01-03 to 20\d\d-\d\d-\d\d"):
        ask(sessions("XNYS"))


def test_a_range_that_ends_before_it_starts_is_refused():
    with pytest.raises(BadInput, match="before it starts"):
        sessions("XNYS").expected_bars(Timeframe.D1, ns("2020-01-02"), ns("2020-01-01"))
    with pytest.raises(BadInput, match="no session opens"):
        sessions("XNYS").between(ns("2024-07-04"), ns("2024-07-05"))


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"close": [0, 19]}, "closes before it opens"),
        ({"label": [1, 1]}, "does not follow"),
        ({"close": [11, 20]}, "opens before the session before it closes"),
        ({"break_start": [3, 0], "break_end": [2, 0]}, "does not lie inside it"),
        ({"break_start": [3, 0], "break_end": [8, 0]}, "does not lie inside it"),
        ({"break_end": [3, 0]}, "ends but does not start"),
        ({"close": [8.0, 20.0]}, "not int64"),
    ],
)
def test_a_table_that_breaks_its_promises_is_refused(columns, what):
    good = {"label": [1, 2], "open": [1, 10], "close": [8, 20]}
    SessionTable("good", **{name: np.array(values) for name, values in good.items()}).check()
    table = SessionTable("bad", **{name: np.array(values) for name, values in {**good, **columns}.items()})
    with pytest.raises(BadInput, match=what):
        table.check()
    with pytest.raises(BadInput, match="no sessions"):
        SessionTable("none", *(np.empty(0, np.int64),) * 3)
