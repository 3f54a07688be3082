import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.gaps import (
    AbsenceKind,
    Explanation,
    GapClass,
    Gaps,
    Place,
    calendar_absences,
    find_gaps,
    find_session_gaps,
    unexpected_bars,
)
from domain.timeframe import DAY_NS, MINUTE_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import columns, day, golden, ns, rows

GAP_COLUMNS = ("start", "end", "missing", "reason")


def as_rows(gaps):
    """[(start, end, missing)] with minutes as texts."""
    text = [
        [str(np.datetime64(int(t), "ns").astype("datetime64[m]")) for t in times] for times in (gaps.start, gaps.end)
    ]
    return list(zip(*text, gaps.missing.tolist(), strict=True))


def starts_of(data):
    return data["timestamp"].astype("datetime64[ns]").astype(np.int64)


def opens_of(calendar, dates):
    """Start of the daily bar of each session date, -1 where the exchange was closed."""
    table = sessions(calendar)
    row = table.session_of_label(np.array(dates, "datetime64[D]").astype(np.int64))
    return np.where(row >= 0, table.open[row], -1)


@pytest.mark.parametrize("reference", ["gap01_spy_1m_2011_01", "gap02_spx_half_day_2023_07_03"])
def test_minutes_of_real_sessions_are_counted_as_in_the_reference(reference):
    expected = golden(f"gaps/{reference}.json")
    held = starts_of(columns(expected["file"].removeprefix("shared/")))
    table = sessions("XNYS")
    outside = unexpected_bars(held, table, Timeframe.M1)
    assert len(expected["sessions"]) > 1
    for session in expected["sessions"]:
        date = day(session["session"])
        row = int(table.session_of_label(date))
        gaps = find_session_gaps(held, table, Timeframe.M1, int(table.open[row]), int(table.close[row]))
        assert gaps.expected == session["expected_regular_minutes"]
        assert gaps.held == session["present_regular_minutes"]
        assert len(gaps) == len(session["missing_regular_minutes"]) == 0
        places = outside.place[outside.day == date].tolist()
        assert places.count(Place.BEFORE_OPEN) == session["bars_before_open"]
        assert places.count(Place.AFTER_CLOSE) == session["bars_at_or_after_close"]
        of_day = held[table.trading_dates(held) == date]
        assert [of_day[0], of_day[-1]] == [ns(session["first_bar"]), ns(session["last_bar"])]
    assert set(outside.day) <= {day(session["session"]) for session in expected["sessions"]}


def test_daily_files_are_as_complete_as_in_the_reference():
    files = golden("gaps/gap11_daily_complete.json")["files"]
    assert len(files) == 4
    for name, expected in files.items():
        held = opens_of("XNYS", columns(f"data/{name}")["timestamp"])
        gaps = find_session_gaps(held, sessions("XNYS"), Timeframe.D1, int(held[0]), int(held[-1]) + 1)
        assert gaps.expected == expected["expected_sessions"]
        assert gaps.held == expected["present"]
        assert int(gaps.missing.sum()) == expected["missing"]
        assert len(gaps) == expected["gaps"]
        assert np.count_nonzero(held < 0) == len(expected["rows_on_non_sessions"])


def test_a_partly_held_range_gives_exactly_the_three_missing_segments():
    """RBLX, daily, 2023-01-01 to 2025-05-30, held 2024-04-01 to 2025-05-01 with a hole from 2024-12-01 to 12-10."""
    table = sessions("XNYS")
    held, _ = table.expected_bars(Timeframe.D1, ns("2024-04-01"), ns("2025-05-01"))
    held = held[(held < ns("2024-12-01")) | (held >= ns("2024-12-10"))]
    edges = [("2023-01-01", "2024-04-01"), ("2024-12-01", "2024-12-10"), ("2025-05-01", "2025-05-30")]
    gaps = find_session_gaps(held, table, Timeframe.D1, ns("2023-01-01"), ns("2025-05-30"))
    assert [(row[0][:10], row[1][:10], row[2]) for row in as_rows(gaps)] == [
        ("2023-01-03", "2024-03-28", 311),
        ("2024-12-02", "2024-12-09", 6),
        ("2025-05-01", "2025-05-29", 20),
    ]
    # In calendar days 456, 9 and 29: each gap lies in its segment, and the sessions next to it are held or not asked.
    assert [(ns(end) - ns(start)) // DAY_NS for start, end in edges] == [456, 9, 29]
    for (start, end), gap_start, gap_end, missing in zip(edges, gaps.start, gaps.end, gaps.missing, strict=True):
        assert ns(start) <= gap_start and gap_end <= ns(end)
        assert len(table.expected_bars(Timeframe.D1, ns(start), ns(end))[0]) == missing


def test_a_halt_is_explained_and_a_hole_beside_it_is_not():
    """Nasdaq stopped on 2013-08-22 from 12:14 to 15:25 New York: AAPL has no bars of the hours 17:00Z and 18:00Z."""
    data = columns("data/lean/1h/AAPL.parquet")
    start, end = ns("2013-08-22"), ns("2013-08-23")
    held = starts_of(data)
    # The vendor's wall-clock hour 9:00 holds what trades from 9:30 on.
    held = np.where(held == ns("2013-08-22T13:00"), ns("2013-08-22T13:30"), held)
    halt = Explanation(ns("2013-08-22T16:14"), ns("2013-08-22T19:25"), GapClass.HALT)
    gaps = find_session_gaps(held, sessions("XNYS"), Timeframe.H1, start, end, [halt])
    assert as_rows(gaps) == [("2013-08-22T17:00", "2013-08-22T19:00", 2)]
    assert gaps.reason.tolist() == [GapClass.HALT]
    without = held[held != ns("2013-08-22T19:00")]
    gaps = find_session_gaps(without, sessions("XNYS"), Timeframe.H1, start, end, [halt])
    assert gaps.reason.tolist() == [GapClass.HALT, GapClass.UNEXPECTED]
    assert as_rows(gaps.only(GapClass.UNEXPECTED)) == [("2013-08-22T19:00", "2013-08-22T20:00", 1)]


def test_a_gap_is_cut_where_its_explanation_ends():
    listing, delisting, end = ns("2024-02-01"), ns("2024-03-01"), ns("2024-04-01")
    explanations = [
        Explanation(0, listing, GapClass.BEFORE_LISTING),
        Explanation(delisting, end, GapClass.AFTER_DELISTING),
        Explanation(ns("2024-02-05"), ns("2024-02-06"), GapClass.NO_TRADES),
    ]
    gaps = find_session_gaps(np.empty(0, np.int64), sessions("XNYS"), Timeframe.D1, ns("2024-01-01"), end, explanations)
    assert [(row[0][:10], GapClass(code).label) for row, code in zip(as_rows(gaps), gaps.reason, strict=True)] == [
        ("2024-01-02", "before_listing"),
        ("2024-02-01", "unexpected"),
        ("2024-02-05", "no_trades"),
        ("2024-02-06", "unexpected"),
        ("2024-03-01", "after_delisting"),
    ]
    assert gaps.missing.tolist() == [21, 2, 1, 17, 20] and gaps.coverage == 0


def test_a_gap_runs_on_over_the_weekend():
    held, _ = sessions("XNYS").expected_bars(Timeframe.M1, ns("2024-07-01"), ns("2024-07-13"))
    hole = (held >= ns("2024-07-05T19:58")) & (held < ns("2024-07-08T13:33"))
    gaps = find_session_gaps(held[~hole], sessions("XNYS"), Timeframe.M1, ns("2024-07-01"), ns("2024-07-13"))
    assert as_rows(gaps) == [("2024-07-05T19:58", "2024-07-08T13:33", 5)]
    assert gaps.coverage == 1 - 5 / len(held)


def test_nothing_expected_is_fully_covered():
    gaps = find_session_gaps(np.empty(0, np.int64), sessions("XNYS"), Timeframe.M1, ns("2024-07-04"), ns("2024-07-05"))
    assert len(gaps) == 0 and gaps.expected == 0 and gaps.coverage == 1


def test_as_many_bars_as_expected_in_the_wrong_places_are_still_gaps():
    table = sessions("XNYS")
    asked = ns("2024-07-01"), ns("2024-07-03")
    held, _ = table.expected_bars(Timeframe.M1, *asked)
    late = held.copy()
    late[5] += 30 * 10**9
    all_late = held + 30 * 10**9
    first_in_place = all_late.copy()
    first_in_place[[0, 390]] = held[[0, 390]]
    for shifted, missing in ((late, 1), (all_late, 780), (first_in_place, 778)):
        gaps = find_session_gaps(shifted, table, Timeframe.M1, *asked)
        assert int(gaps.missing.sum()) == missing and gaps.held == 780 - missing


@given(
    calendar=st.sampled_from(["XNYS", "XHKG", "FX", "CBOT_Agriculture"]),
    timeframe=st.sampled_from([Timeframe.M5, Timeframe.M30, Timeframe.H1, Timeframe.D1, Timeframe.W1]),
    start=st.integers(0, 40 * 1440),
    length=st.integers(0, 20 * 1440),
    holes=st.lists(st.tuples(st.integers(0, 60 * 1440), st.integers(1, 3000)), max_size=6),
    moved=st.lists(st.integers(0, 10_000), max_size=3),
)
def test_counting_by_session_finds_the_gaps_that_comparing_bar_by_bar_finds(
    calendar, timeframe, start, length, holes, moved
):
    table = sessions(calendar)
    origin = ns("2023-12-10")
    held, _ = table.expected_bars(timeframe, origin, origin + 70 * DAY_NS)
    for offset, minutes in holes:
        held = held[(held < origin + offset * MINUTE_NS) | (held >= origin + (offset + minutes) * MINUTE_NS)]
    for row in moved:
        if len(held):
            held = held.copy()
            held[row % len(held)] += MINUTE_NS
    asked = origin + start * MINUTE_NS, origin + (start + length) * MINUTE_NS
    fast = find_session_gaps(held, table, timeframe, *asked)
    slow = find_gaps(held, *table.expected_bars(timeframe, *asked))
    for name in GAP_COLUMNS:
        assert getattr(fast, name).tolist() == getattr(slow, name).tolist(), name
    assert (fast.expected, fast.held) == (slow.expected, slow.held)


@given(
    calendar=st.sampled_from(["XNYS", "XHKG"]),
    timeframe=st.sampled_from([Timeframe.M30, Timeframe.H1, Timeframe.D1]),
    share=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 10_000),
    known=st.lists(
        st.tuples(st.integers(-3000, 33 * 1440), st.integers(1, 8000), st.sampled_from(list(GapClass))), max_size=8
    ),
)
def test_explanations_class_the_bars_that_they_class_one_by_one(calendar, timeframe, share, seed, known):
    table = sessions(calendar)
    asked = ns("2024-01-02"), ns("2024-02-01")
    starts, ends = table.expected_bars(timeframe, *asked)
    held = starts[np.random.default_rng(seed).random(len(starts)) < share]
    explanations = [
        Explanation(asked[0] + minute * MINUTE_NS, asked[0] + (minute + length) * MINUTE_NS, reason)
        for minute, length, reason in known
    ]
    fast = find_session_gaps(held, table, timeframe, *asked, explanations)
    slow = find_gaps(held, starts, ends, explanations)
    for name in GAP_COLUMNS:
        assert getattr(fast, name).tolist() == getattr(slow, name).tolist(), name


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_gaps_are_the_runs_of_the_set_difference(held, expected):
    wanted = np.array(sorted(expected), np.int64)
    gaps = find_gaps(np.array(sorted(held), np.int64), wanted, wanted + 1)
    missing = [value in held for value in wanted.tolist()]
    text = "".join("h" if here else "m" for here in missing)
    runs = [run for run in text.split("h") if run]
    assert gaps.missing.tolist() == [len(run) for run in runs]
    assert gaps.held == len(held & expected) and gaps.expected == len(expected)
    assert [t for a, b in zip(gaps.start, gaps.end, strict=True) for t in wanted if a <= t < b] == sorted(
        expected - held
    )


def test_bars_that_no_session_expects_are_placed():
    table = sessions("XNYS")
    times = {
        "2024-07-03T08:00": Place.BEFORE_OPEN,
        "2024-07-03T13:31:30": Place.OFF_GRID,
        "2024-07-03T17:00": Place.AFTER_CLOSE,
        "2024-07-04T15:00": Place.CLOSED_DAY,
        "2024-07-06T15:00": Place.CLOSED_DAY,
    }
    held = np.sort(np.array([ns(t) for t in (*times, "2024-07-03T13:30", "2024-07-05T19:59")]))
    found = unexpected_bars(held, table, Timeframe.M1)
    assert held[found.row].tolist() == [ns(t) for t in times]
    assert [Place(code) for code in found.place] == list(times.values())
    assert found.day.tolist() == [day(t[:10]) for t in times]
    lunch = unexpected_bars(np.array([ns("2024-03-01T02:30")]), sessions("XTKS"), Timeframe.M1)
    assert [Place(code).label for code in lunch.place] == ["in_break"]
    assert len(unexpected_bars(held[:0], table, Timeframe.M1).row) == 0


def test_rows_on_exchange_holidays_are_found_in_a_real_panel():
    data = columns("data/pystock/us_daily_2015_2017.parquet")
    dates = np.unique(data["timestamp"].astype("datetime64[D]"))
    starts = dates.astype("datetime64[ns]").astype(np.int64) + 14 * 60 * MINUTE_NS + 30 * MINUTE_NS
    table = sessions("XNYS")
    found = unexpected_bars(starts, table, Timeframe.D1)
    closed = found.day[found.place == Place.CLOSED_DAY]
    on_holiday = np.isin(data["timestamp"].astype("datetime64[D]").astype(np.int64), closed)
    assert np.count_nonzero(on_holiday) == 103


@pytest.mark.parametrize("order", [[2, 1], [1, 1]])
def test_unsorted_or_doubled_bars_are_refused(order):
    bad, good = np.array(order, np.int64), np.array([1, 2])
    for held, expected in ((bad, good), (good, bad)):
        with pytest.raises(BadInput, match="do not increase at row 1"):
            find_gaps(held, expected, expected + 1)
    with pytest.raises(BadInput, match="do not increase at row 1"):
        unexpected_bars(bad, sessions("XNYS"), Timeframe.M1)


def test_gaps_of_a_class_keep_the_counts_of_the_range():
    gaps = Gaps(*(np.array([1, 2]),) * 3, np.array([0, 3], np.int8), expected=10, held=7)
    halts = gaps.only(GapClass.HALT)
    assert halts.start.tolist() == [2] and halts.coverage == gaps.coverage == 0.7


def test_new_york_was_closed_and_closed_early_on_the_days_of_the_reference():
    expected = rows("golden/calendars/nyse_sessions_2015_2026.csv")
    closures = [row["date"] for row in rows("golden/calendars/nyse_weekday_closures_2015_2026.csv")]
    short = {row["session"]: row for row in expected if row["kind"] != "regular"}
    last = min(int(sessions("XNYS").label[-1]), day(expected[-1]["session"]))
    found = calendar_absences(sessions("XNYS"), ns("2015-01-01"), (last + 1) * DAY_NS)
    by_kind = {kind: [str(np.datetime64(each.day, "D")) for each in found if each.kind is kind] for kind in AbsenceKind}
    assert by_kind[AbsenceKind.CLOSED] == [date for date in closures if day(date) <= last]
    assert by_kind[AbsenceKind.HALF_DAY] == [date for date in short if day(date) <= last]
    for each in found:
        text = str(np.datetime64(each.day, "D"))
        traded = (ns(short[text]["close_utc"]) - ns(short[text]["open_utc"])) // MINUTE_NS if text in short else 0
        assert each.minutes == 390 - traded, text
    assert [each.day for each in found] == sorted(each.day for each in found)


@pytest.mark.parametrize(
    ("calendar", "start", "end", "absences"),
    [
        # Independence Day with its eve; Good Friday; a week of the Spring Festival with its lunch breaks
        ("XNYS", "2024-07-01", "2024-07-08", [("2024-07-03", "half_day", 180), ("2024-07-04", "closed", 390)]),
        ("XLON", "2024-03-29", "2024-03-30", [("2024-03-29", "closed", 510)]),
        (
            "XSHG",
            "2024-02-09",
            "2024-02-19",
            [(f"2024-02-{date:02}", "closed", 240) for date in (9, 12, 13, 14, 15, 16)],
        ),
        ("XNYS", "2024-07-06", "2024-07-08", []),
        ("XNYS", "2024-07-04", "2024-07-04", []),
    ],
)
def test_a_holiday_and_a_half_day_are_told_with_the_minutes_that_they_take(calendar, start, end, absences):
    found = calendar_absences(sessions(calendar), ns(start), ns(end))
    assert [(str(np.datetime64(each.day, "D")), each.kind.label, each.minutes) for each in found] == absences


@pytest.mark.parametrize(
    ("calendar", "start", "end", "closed"),
    [
        ("24/7", "2023-12-20", "2024-01-10", []),
        ("FX", "2024-03-01", "2024-03-20", []),
        ("XSAU", "2024-02-16", "2024-02-26", ["2024-02-22"]),  # Founding Day; the week is Sunday to Thursday
    ],
)
def test_weekends_are_those_of_the_calendar(calendar, start, end, closed):
    found = calendar_absences(sessions(calendar), ns(start), ns(end))
    assert [str(np.datetime64(each.day, "D")) for each in found if each.kind is AbsenceKind.CLOSED] == closed
