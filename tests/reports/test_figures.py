"""Chart data: rounding, time labels, thinning and coarser bars, against pandas and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from domain.bars import BarSeries
from reports import figures
from reports.ledgers import NEVER
from tests.reports.factory import make_bars

NO_FILLS = {
    "time": np.empty(0, np.int64),
    "sign": np.empty(0, np.int64),
    "quantity": np.empty(0),
    "price": np.empty(0),
}


def bars_of(rows: int, timeframe: str) -> BarSeries:
    columns = make_bars("A", rows, timeframe, 3)
    del columns["instrument"]
    return BarSeries.from_columns(timeframe, **columns)


def test_numbers_are_rounded_and_what_is_not_finite_is_null() -> None:
    assert figures.numbers(np.array([1.23456, np.nan, np.inf]), 2) == [1.23, None, None]


def test_a_session_is_named_by_the_day_on_which_it_ends() -> None:
    ends = np.array(["2024-03-05T21:00", "2024-03-06T00:00"], "datetime64[ns]").astype(np.int64)
    assert figures.dates(ends) == ["2024-03-05", "2024-03-05"]


def test_a_time_that_never_came_is_empty() -> None:
    assert figures.minutes(np.array([0, NEVER])) == ["1970-01-01 00:00", ""]


def test_thinning_keeps_the_extremes_and_both_ends() -> None:
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.normal(size=100_003))
    rows = figures.thin(values, 1_000)
    assert len(rows) <= 1_002
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == len(values) - 1
    assert values[rows].max() == values.max()
    assert values[rows].min() == values.min()
    assert figures.thin(values[:1_000], 1_000).tolist() == list(range(1_000))


@pytest.mark.parametrize(
    ("rows", "timeframe", "limit", "each", "rule"),
    [
        (3_900, "1m", 1_000, "5 minutes", "5min"),
        (3_900, "1m", 100, "1 hour", "1h"),
        (3_900, "1m", 12, "1 day", "1D"),
        (700, "1d", 200, "1 week", "W-SUN"),
        (700, "1d", 40, "1 month", "MS"),
    ],
)
def test_coarser_bars_are_those_of_a_pandas_resample(
    rows: int, timeframe: str, limit: int, each: str, rule: str
) -> None:
    bars = bars_of(rows, timeframe)
    coarse, name = figures.coarsen(bars, limit)
    frame = pd.DataFrame({key: getattr(bars, key) for key in ("open", "high", "low", "close", "volume")})
    frame.index = pd.to_datetime(bars.start)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = frame.resample(rule).agg(how).dropna()
    assert name == each
    assert len(coarse) == len(expected) <= limit
    for key in how:
        assert np.allclose(getattr(coarse, key), expected[key].to_numpy(), rtol=1e-12)


def test_bars_that_fit_are_left_as_they_are() -> None:
    bars = bars_of(100, "1d")
    assert figures.coarsen(bars, 100) == (bars, "")


def test_a_fill_is_marked_at_the_bar_in_which_it_happened() -> None:
    bars = bars_of(10, "1d")
    times = np.array([bars.start[3], bars.end[3], bars.start[4] - 1, bars.start[0] - 1])
    assert figures.bar_rows(bars, times).tolist() == [3, 3, 3, 0]
    fills = {"time": times[:1], "sign": np.array([1]), "quantity": np.array([5.0]), "price": np.array([101.25])}
    (buys,) = [trace for trace in figures.price_figure(bars, fills, clock=False)["data"] if trace["type"] == "scatter"]
    assert (buys["name"], buys["x"], buys["y"]) == ("Buy", [figures.dates(bars.end)[3]], [101.25])


def test_unknown_volume_is_left_out() -> None:
    bars = bars_of(10, "1d")
    bars.volume[:] = np.nan
    figure = figures.price_figure(bars, NO_FILLS, clock=False)
    assert [trace["type"] for trace in figure["data"]] == ["candlestick"]
    assert figure["layout"]["yaxis"]["domain"] == [0, 1]


def test_candles_are_fewer_where_instruments_are_many() -> None:
    assert figures.candle_limit(1) == 4_000
    assert figures.candle_limit(64) == 500
    assert figures.candle_limit(10_000) == 250
