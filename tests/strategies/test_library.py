"""Each library strategy against its rule written out by hand, over random prices (the seed is in the test's name)."""

import numpy as np
import pytest

from domain import indicators, strategy
from domain.bars import BarSeries
from domain.engine import Feed, RunSettings, backtest
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.orders import OrderStatus
from domain.risk import RiskLimits
from domain.timeframe import DAY_NS
from strategies.library.breakout import Breakout
from strategies.library.ma_crossover import MaCrossover
from strategies.library.mean_reversion import MeanReversion
from strategies.library.momentum import Momentum

SEEDS = (1, 2, 3)
SHORTS = RunSettings(limits=RiskLimits(long_only=False))


def prices(seed: int, count: int = 600) -> BarSeries:
    random = np.random.default_rng(seed)
    close = 5_000 + np.cumsum(random.integers(-60, 62, count))
    opened = close + random.integers(-20, 21, count)
    high, low = np.maximum(opened, close) + 10, np.minimum(opened, close) - 10
    return BarSeries.from_columns(
        "1d", start=np.arange(count) * DAY_NS, open=opened / 100, high=high / 100, low=low / 100, close=close / 100
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("short", [False, True])
def test_ma_crossover_trades_where_the_averages_cross(seed, short):
    bars = prices(seed)
    found = MaCrossover(fast=5, slow=13, allow_short=short).signals(bars).target
    fast, slow = (np.convolve(bars.close, np.ones(n) / n)[: len(bars)] for n in (5, 13))
    lead = np.round(fast - slow, 9)
    expected, side = np.full(len(bars), np.nan), 0.0
    for t in range(12, len(bars)):
        if lead[t] and np.sign(lead[t]) != side:
            if side:
                expected[t] = 1.0 if lead[t] > 0 else (-1.0 if short else 0.0)
            side = np.sign(lead[t])
    assert np.count_nonzero(expected == 1.0) > 5
    np.testing.assert_array_equal(found, expected)


class CrossBarByBar(strategy.Strategy):
    Params = MaCrossover.Params

    def warmup(self):
        return self.params.slow

    def indicators(self, bars):
        fast, slow = self.params.fast, self.params.slow
        return {"turn": indicators.crossover(indicators.sma(bars.close, fast), indicators.sma(bars.close, slow))}

    def on_bar(self, context):
        turn = context["turn"]
        if turn > 0:
            return strategy.target(1.0)
        return strategy.target(-1.0 if self.params.allow_short else 0.0) if turn < 0 else None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("short", [False, True])
def test_ma_crossover_trades_as_its_bar_by_bar_twin(seed, short):
    feeds = [Feed(Instrument(symbol), prices(seed + k)) for k, symbol in enumerate("AB")]
    params = MaCrossover.Params(fast=4, slow=11, allow_short=short)
    arrays, twin = backtest(feeds, MaCrossover(params), SHORTS), backtest(feeds, CrossBarByBar(params), SHORTS)
    assert len(arrays.fills["time"]) > 20
    for name, column in arrays.fills.items():
        if name != "order_ref":
            np.testing.assert_array_equal(column, twin.fills[name])
    np.testing.assert_allclose(arrays.equity["equity"], twin.equity["equity"], rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_momentum_states_the_sign_of_the_return_beyond_the_threshold(seed):
    bars = prices(seed)
    found = Momentum(window=20, threshold=2.0, allow_short=True).signals(bars).target
    assert np.isnan(found[:20]).all()
    for t in range(20, len(bars)):
        change = bars.close[t] / bars.close[t - 20] - 1
        assert found[t] == (1.0 if change > 0.02 else -1.0 if change < -0.02 else 0.0)
    assert set(np.unique(found[20:])) == {-1.0, 0.0, 1.0}
    assert Momentum(window=20, threshold=2.0).signals(bars).target[20:].min() == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_breakout_compares_the_close_with_the_bars_before_it(seed):
    bars = prices(seed)
    found = Breakout(entry=15, exit=6, stop_atr=2.0).signals(bars)
    atr = indicators.atr(bars.high, bars.low, bars.close, 20)
    bought = 0
    for t in range(21, len(bars)):
        if bars.close[t] < bars.low[t - 6 : t].min():
            assert found.target[t] == 0.0
            assert np.isnan(found.stop_loss[t])
        elif bars.close[t] > bars.high[t - 15 : t].max():
            assert found.target[t] == 1.0
            assert found.stop_loss[t] == pytest.approx(bars.close[t] - 2 * atr[t])
            bought += 1
        else:
            assert np.isnan(found.target[t])
    assert bought > 5
    assert Breakout(stop_atr=0).signals(bars).stop_loss is None


def test_breakout_is_stopped_out_between_the_channels():
    reasons, statuses = [], []
    for seed in SEEDS:
        result = backtest(prices(seed), Breakout(entry=15, exit=40, stop_atr=1.0))
        stops = result.orders["type"] == "stop"
        reasons += result.orders["reason"][stops].tolist()
        statuses += result.orders["status"][stops].tolist()
    assert set(reasons) == {"stop loss"}
    assert OrderStatus.FILLED.value in statuses


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_reversion_buys_the_fall_and_gives_up_in_time(seed):
    bars = prices(seed)
    result = backtest(bars, MeanReversion(window=15, entry=1.5, exit=0.3, patience=6))
    z = indicators.zscore(bars.close, 15)
    row = {int(end): t for t, end in enumerate(bars.end)}
    bought_at = None
    for time, side, reason in zip(*(result.orders[name] for name in ("time", "side", "reason")), strict=True):
        t = row[int(time)]
        if side == "buy":
            assert z[t - 1] > -1.5 >= z[t]
            bought_at = t
        elif reason == "out of patience":
            assert t - bought_at == 6
        else:
            assert reason == "back at its mean"
            assert z[t] >= -0.3
            assert (z[bought_at + 1 : t] < -0.3).all()
    assert len(result.trades["bars"]) > 5
    assert set(result.orders["reason"]) == {"far below its mean", "back at its mean", "out of patience"}


@pytest.mark.parametrize("kind", [MaCrossover, Momentum, Breakout])
@pytest.mark.parametrize("rows", [60, 150, 599])
def test_the_future_changes_no_statement(kind, rows):
    bars = prices(5)
    whole, cut = kind().signals(bars), kind().signals(bars[:rows])
    for column, shorter in zip(whole, cut, strict=True):
        if column is not None:
            np.testing.assert_array_equal(column[:rows], shorter)


@pytest.mark.parametrize("kind", [MaCrossover, Momentum, Breakout, MeanReversion])
def test_nothing_is_said_before_the_warm_up(kind):
    bars = prices(4)
    assert len(backtest(bars[: kind().warmup() - 1], kind()).orders["ref"]) == 0
    if kind.is_vector():
        assert np.isnan(kind().signals(bars).target[: kind().warmup() - 1]).all()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MaCrossover, {"fast": 50, "slow": 20}, "fast must be below slow, not 50 and 20"),
        (MaCrossover, {"fast": 0}, "fast: Input should be greater than or equal to 1"),
        (MaCrossover, {"fats": 3}, "did you mean 'fast'"),
        (MeanReversion, {"entry": 1.0, "exit": 1.0}, "exit must be below entry"),
        (Momentum, {"window": "ten"}, "window: Input should be a valid integer"),
        (Breakout, {"stop_atr": float("nan")}, "stop_atr: Input should be a finite number"),
    ],
)
def test_wrong_parameters_say_which_and_why(kind, values, message):
    with pytest.raises(BadInput, match=message):
        kind(values)
