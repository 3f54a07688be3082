import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput
from domain.resample import resample
from domain.sessions import SessionTable
from domain.timeframe import HOUR_NS, MINUTE_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import columns, day, golden, minute_bars, ns

COARSER = [frame for frame in Timeframe if frame is not Timeframe.M1]


def made_up_minutes(starts, seed=7):
    rng = np.random.default_rng(seed)
    n = len(starts)
    open_, close = rng.uniform(90, 110, (2, n))
    return BarSeries.from_columns(
        Timeframe.M1,
        start=np.asarray(starts, np.int64),
        open=open_,
        high=np.maximum(open_, close) + rng.uniform(0, 1, n),
        low=np.minimum(open_, close) - rng.uniform(0, 1, n),
        close=close,
        volume=rng.integers(0, 1000, n).astype(float),
    )


def by_pandas(series, timeframe):
    """What pandas makes of the bars in UTC-clock buckets."""
    frame = pd.DataFrame({name: getattr(series, name) for name in (*PRICE_COLUMNS, "volume")})
    frame.index = pd.to_datetime(series.start)
    rule = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "1d": "1D", "1w": "W-MON"}[
        timeframe
    ]
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return frame.resample(rule, label="left", closed="left").agg(how).dropna(subset=["open"])


def assert_equal_to_frame(series, frame):
    assert series.start.tolist() == frame.index.as_unit("ns").asi8.tolist()
    for name in PRICE_COLUMNS:
        assert getattr(series, name).tolist() == frame[name].tolist()
    np.testing.assert_allclose(series.volume, frame["volume"], rtol=1e-12)


def test_real_minutes_make_the_vendor_s_daily_bars():
    expected = golden("resample/rs01_spy_1m_to_daily.json")
    table = sessions("XNYS")
    daily = resample(minute_bars(expected["file"].removeprefix("shared/")), Timeframe.D1, table)
    rows = expected["expected_vendor_daily"]
    assert table.trading_dates(daily.start).tolist() == [day(row["timestamp"]) for row in rows]
    assert daily.start.tolist() == table.open[table.session_index(daily.start)].tolist()
    assert daily.end.tolist() == table.close[table.session_index(daily.start)].tolist()
    for name in PRICE_COLUMNS:
        np.testing.assert_allclose(getattr(daily, name), [row[name] for row in rows], atol=0.011)
    assert daily.volume.tolist() == [row["volume"] for row in rows]
    daily.check()


def test_a_real_session_of_minutes_makes_the_reference_s_five_minute_bars():
    expected = golden("resample/rs06_spy_2013_10_07_5m.json")
    minutes = minute_bars(expected["file"].removeprefix("shared/"))
    bars = resample(minutes.between(ns("2013-10-07"), ns("2013-10-08")), Timeframe.M5, sessions("XNYS"))
    rows = expected["expected"]
    assert len(rows) == 78
    assert bars.start.tolist() == [ns(row["timestamp"]) for row in rows]
    for name in (*PRICE_COLUMNS, "volume"):
        assert getattr(bars, name).tolist() == [row[name] for row in rows]


@pytest.mark.parametrize("timeframe", COARSER)
def test_clock_buckets_are_those_of_pandas(timeframe):
    minutes = minute_bars("data/pyalgotrade/1m/SPY_2011-01.parquet")
    series = resample(minutes, timeframe, None)
    assert_equal_to_frame(series, by_pandas(minutes, timeframe))
    assert (series.end - series.start == timeframe.nanoseconds).all()


@pytest.mark.parametrize("timeframe", COARSER)
@pytest.mark.parametrize("calendar", ["XNYS", "XHKG", "FX", "NSE"])
def test_buckets_are_the_expected_bars_of_the_sessions(calendar, timeframe):
    table = sessions(calendar)
    asked = ns("2024-03-02"), ns("2024-03-23")
    starts, _ = table.expected_bars(Timeframe.M1, *asked)
    bars = resample(made_up_minutes(starts), timeframe, table)
    expected_starts, expected_ends = table.expected_bars(timeframe, *asked)
    assert bars.start.tolist() == expected_starts.tolist()
    assert bars.end.tolist() == expected_ends.tolist()


def test_session_bars_hold_what_pandas_groups_between_their_start_and_end():
    table = sessions("XNYS")
    minutes = minute_bars("data/lean/1m/GOOG_2015-12.csv")  # half day on the 24th, bars after its close
    for timeframe in (Timeframe.M30, Timeframe.H1, Timeframe.D1):
        bars = resample(minutes, timeframe, table)
        frame = pd.DataFrame({name: getattr(minutes, name) for name in (*PRICE_COLUMNS, "volume")})
        for i in range(len(bars)):
            inside = frame[(minutes.start >= bars.start[i]) & (minutes.start < bars.end[i])]
            assert bars.open[i] == inside["open"].iloc[0] and bars.close[i] == inside["close"].iloc[-1]
            assert bars.high[i] == inside["high"].max() and bars.low[i] == inside["low"].min()
            assert bars.volume[i] == inside["volume"].sum()
        regular = table.session_index(minutes.start) >= 0
        assert bars.volume.sum() == minutes.volume[regular].sum() < minutes.volume.sum()


def test_bars_outside_regular_hours_are_kept_in_buckets_that_stop_at_the_session():
    table = sessions("XNYS")
    starts = np.arange(ns("2024-07-03T13:00"), ns("2024-07-03T17:30"), MINUTE_NS)  # regular 13:30 to 17:00
    minutes = made_up_minutes(starts)
    hours = resample(minutes, Timeframe.H1, table, keep_outside=True)
    edges = ["13:00", "13:30", "14:00", "15:00", "16:00", "17:00", "18:00"]
    times = [ns(f"2024-07-03T{edge}") for edge in edges]
    assert hours.start.tolist() == times[:-1]
    assert hours.end.tolist() == times[1:]
    assert hours.volume.sum() == minutes.volume.sum()
    with pytest.raises(BadInput, match="regular hours only"):
        resample(minutes, Timeframe.D1, table, keep_outside=True)


def test_kept_buckets_never_overlap_even_where_only_the_evening_is_held():
    # A market that stops at a quarter past: the clock's bucket of 20:00 is shared by the session and the evening.
    table = SessionTable("odd", *(np.array([value]) for value in (0, 10 * HOUR_NS, 20 * HOUR_NS + 15 * MINUTE_NS)))
    longer = SessionTable("odd", *(np.append(x, x + 24 * HOUR_NS) for x in (table.label * 0, table.open, table.close)))
    evening = made_up_minutes(np.arange(20 * HOUR_NS, 21 * HOUR_NS, MINUTE_NS))
    hours = resample(evening, Timeframe.H1, longer, keep_outside=True)
    assert hours.start.tolist() == [20 * HOUR_NS, 20 * HOUR_NS + 15 * MINUTE_NS]
    assert hours.end.tolist() == [20 * HOUR_NS + 15 * MINUTE_NS, 21 * HOUR_NS]
    only_after = resample(evening[slice(20, 60)], Timeframe.H1, longer, keep_outside=True)
    assert only_after.start.tolist() == [20 * HOUR_NS + 15 * MINUTE_NS]
    morning = made_up_minutes(np.arange(33 * HOUR_NS + 40 * MINUTE_NS, 33 * HOUR_NS + 50 * MINUTE_NS, MINUTE_NS))
    assert resample(morning, Timeframe.H1, longer, keep_outside=True).end.tolist() == [34 * HOUR_NS]


@given(
    st.sets(st.integers(0, 3 * 1440 - 1), max_size=200),
    st.sampled_from(["XNYS", "XHKG", "CME_Equity"]),
    st.sampled_from([frame for frame in COARSER if frame.is_intraday]),
)
def test_kept_buckets_hold_every_bar_once_and_follow_each_other(minutes, calendar, timeframe):
    starts = ns("2024-03-12") + np.array(sorted(minutes), np.int64) * MINUTE_NS
    series = made_up_minutes(starts)
    bars = resample(series, timeframe, sessions(calendar), keep_outside=True)
    bars.check()
    assert (bars.start[1:] >= bars.end[:-1]).all()
    row = np.searchsorted(bars.start, series.start, side="right") - 1
    assert (series.start < bars.end[row]).all() if len(series) else len(bars) == 0
    assert bars.volume.sum() == series.volume.sum()


def test_resampling_in_two_steps_gives_what_one_step_gives():
    table = sessions("XNYS")
    minutes = minute_bars("data/lean/1m/SPY_2013-10.csv")
    for path in (
        [Timeframe.M5, Timeframe.H1],
        [Timeframe.M15, Timeframe.M30, Timeframe.D1],
        [Timeframe.D1, Timeframe.W1],
    ):
        step = minutes
        for timeframe in path:
            step = resample(step, timeframe, table)
        assert step.content_hash() == resample(minutes, path[-1], table).content_hash()


def test_an_unknown_volume_is_left_out_and_only_all_unknown_is_unknown():
    starts = ns("2024-07-02T13:30") + np.arange(15) * MINUTE_NS
    series = made_up_minutes(starts)
    series.volume[:5] = [1, np.nan, 2, np.nan, 3]
    series.volume[5:10] = np.nan
    known = series.volume[10:].sum()
    volume = resample(series, Timeframe.M5, sessions("XNYS")).volume
    assert volume[0] == 6 and np.isnan(volume[1]) and volume[2] == known


def test_the_last_bucket_is_dropped_only_where_it_is_said_to_be_filling():
    table = sessions("XNYS")
    starts, _ = table.expected_bars(Timeframe.M1, ns("2024-07-02T13:30"), ns("2024-07-02T14:18"))
    series = made_up_minutes(starts)
    assert len(resample(series, Timeframe.M5, table)) == 10
    for until, left in (("14:18", 9), ("14:20", 10), ("14:14:59", 8)):
        bars = resample(series, Timeframe.M5, table, complete_until_ns=ns(f"2024-07-02T{until}"))
        assert len(bars) == left


def test_nothing_makes_nothing_and_the_adjustment_is_kept():
    table = sessions("XNYS")
    assert len(resample(BarSeries.empty(Timeframe.M1), Timeframe.H1, table)) == 0
    night = made_up_minutes([ns("2024-07-04T03:00")])
    assert len(resample(night, Timeframe.H1, table)) == 0
    split = BarSeries.empty(Timeframe.M1, Adjustment.SPLIT)
    assert resample(split, Timeframe.D1, table).adjustment is Adjustment.SPLIT


def test_a_finer_or_equal_target_and_days_beyond_the_calendar_are_refused():
    series = made_up_minutes([ns("1900-01-02T15:00")])
    for target in (Timeframe.M1,):
        with pytest.raises(BadInput, match="must be coarser"):
            resample(series, target, None)
    with pytest.raises(BadInput, match="outside the sessions it knows"):
        resample(series, Timeframe.H1, sessions("XNYS"))


def test_real_hours_make_real_days():
    """LEAN's hours of AAPL against its days; highs and lows of the days come from cleaner data on some of them."""
    table = sessions("XNYS")
    hours, days = columns("data/lean/1h/AAPL.parquet"), columns("data/lean/daily/AAPL.csv")
    starts = hours["timestamp"].astype("datetime64[ns]").astype(np.int64)
    # The vendor's bucket of 9:00 New York holds what trades from 9:30 on.
    early = table.session_index(starts) < 0
    starts[early] += 30 * MINUTE_NS
    series = BarSeries.from_columns(
        Timeframe.H1, start=starts, **{name: hours[name] for name in (*PRICE_COLUMNS, "volume")}
    )
    series = series.between(ns("2015-01-01"), ns("2020-01-01"))
    daily = resample(series, Timeframe.D1, table)
    dates = table.trading_dates(daily.start)
    vendor = np.isin(days["timestamp"].astype(np.int64), dates)
    assert len(dates) == np.count_nonzero(vendor) > 1200
    same = np.isclose(daily.close, days["close"][vendor], rtol=1e-4)
    assert same.mean() > 0.95
