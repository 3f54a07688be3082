import numpy as np
import pytest

from domain.adjustments import Split
from domain.bars import COLUMNS, BarSeries
from domain.engine import Feed, MarketAt, RunSettings, backtest
from domain.errors import BadInput, UnknownName
from domain.instrument import Instrument
from domain.orders import OrderIntent
from domain.risk import RiskLimits
from domain.sizing import Sizing
from domain.strategy import SignalSeries, Strategy, buy
from tests.domain.engine.tables import DAY_ONE, Script, fills, play, statuses, table


class Watcher(Strategy):
    """Remembers what it was shown."""

    seen: dict = {}

    def indicators(self, bars):
        return {"double": bars.close * 2}

    def on_bar(self, context):
        self.seen[context.instrument.symbol, context.i] = (
            context.open,
            context.high,
            context.low,
            context.close,
            context.volume,
            context["double"],
            context.history("close", 3).tolist(),
            context.history("double", 2).tolist(),
        )


class Warm(Watcher):
    def warmup(self):
        return 4


def buy_all(context):
    return buy(context.equity // context.close)


@pytest.fixture
def seen():
    Watcher.seen = {}
    yield Watcher.seen


def test_a_strategy_sees_the_closed_bar_its_indicators_and_the_past(seen):
    backtest(table([(1, 4, 1, 2, 10), (2, 6, 2, 4, 20), (3, 9, 3, 6, 30), (4, 9, 4, 8, 40)]), Watcher)
    assert seen["BARS", 0] == (1, 4, 1, 2, 10, 4, [2], [4])
    assert seen["BARS", 3] == (4, 9, 4, 8, 40, 16, [4, 6, 8], [12, 16])


def test_after_a_split_the_past_is_shown_in_the_new_units(seen):
    feed = Feed(Instrument("X"), table([100, 110, 60, 70]), [Split(DAY_ONE + 2, 2.0)])
    backtest([feed], Watcher)
    assert seen["X", 1][6] == [100, 110]
    assert seen["X", 2] == (60, 60, 60, 60, 1000, 120, [50, 55, 60], [110, 120])
    assert seen["X", 3][6] == [55, 60, 70]


@pytest.mark.parametrize("others", [[], [90] * 6])
def test_a_split_while_warming_up_is_seen_by_the_first_bar_that_decides(seen, others):
    feeds = [Feed(Instrument("X"), table([100, 110, 60, 70, 80, 90]), [Split(DAY_ONE + 2, 2.0)])]
    feeds += [Feed(Instrument("Y"), table(others))] if others else []
    backtest(feeds, Warm)
    assert seen["X", 3][6] == [55, 60, 70]
    assert ("X", 2) not in seen and ("X", 5) in seen


def test_instruments_of_one_moment_decide_in_the_order_of_the_feeds():
    bars = {symbol: table([100, 100, 100]) for symbol in ("B", "A")}
    result = backtest(bars, Script(lines={0: buy_all}), RunSettings(cash=1000.0))
    assert result.orders["instrument"].tolist() == ["B", "A"]
    assert statuses(result) == ["filled", "denied"]


def test_all_bars_of_a_moment_meet_their_orders_before_anybody_decides():
    seen = {}

    def look(context):
        seen[context.instrument.symbol] = context.cash

    def buy_then_look(context):
        return buy_all(context) if context.i == 0 else look(context)

    bars = {symbol: table([100, 100]) for symbol in ("A", "B")}
    backtest(bars, Script(lines={0: buy_then_look, 1: look}), RunSettings(cash=2000.0, margin_rate=0.1))
    assert seen["A"] == seen["B"]


def test_progress_runs_to_one_and_may_end_the_run():
    heard = []
    backtest(table([100] * 1_200), Script(lines={}), progress=heard.append)
    assert heard == pytest.approx([percent / 100 for percent in range(1, 101)])

    class Stop(Exception):
        pass

    def stop(share):
        raise Stop

    with pytest.raises(Stop):
        backtest(table([100] * 10), Script(lines={}), progress=stop)


def test_an_unknown_indicator_is_named_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'close'"):
        play([100], {0: lambda context: context["clos"]})
    with pytest.raises(UnknownName, match="did you mean 'close'"):
        play([100], {0: lambda context: context.history("clos", 2)})


def test_history_cannot_be_written():
    def write(context):
        context.history("close", 2)[0] = 1.0

    with pytest.raises(ValueError, match="read-only"):
        play([100], {0: write})


class Stated(Strategy):
    class Params(Strategy.Params):
        targets: list[float | None]

    def signals(self, bars):
        return SignalSeries(np.array([np.nan if t is None else t for t in self.params.targets]))


@pytest.mark.parametrize("path", ["events", "loop"])
def test_a_repeated_statement_orders_nothing(path):
    strategy = Stated(targets=[1, None, 1, 0, 0, 1])
    result = backtest(table([100] * 6), strategy, RunSettings(sizing=Sizing(value=10)), path=path)
    assert fills(result) == [(1, 10, 100), (4, -10, 100)]
    assert statuses(result) == ["filled", "filled", "working"]


@pytest.mark.parametrize("path", ["events", "loop"])
def test_the_buying_power_is_asked_before_the_fill_at_the_close_too(path):
    settings = RunSettings(
        cash=1000.0, slippage_bps=50, market_at=MarketAt.CLOSE, sizing=Sizing(value=10),
        limits=RiskLimits(long_only=False),
    )  # fmt: skip
    result = backtest(table([100.1] * 4), Stated(targets=[None, -1, None, 0]), settings, path=path)
    assert statuses(result) == ["denied"]


def test_wrong_lengths_are_refused_by_name():
    with pytest.raises(BadInput, match="strategy Stated: target has 2 rows for 3 bars"):
        backtest(table([100] * 3), Stated(targets=[1, 0]))

    class Short(Watcher):
        def indicators(self, bars):
            return {"short": bars.close[1:]}

    with pytest.raises(BadInput, match="indicator 'short' has 2 values for 3 bars"):
        backtest(table([100] * 3), Short)


@pytest.mark.parametrize("path", ["events", "loop"])
def test_a_denied_statement_is_not_tried_again_by_its_repetition(path):
    settings = RunSettings(sizing=Sizing(value=10), limits=RiskLimits(max_order_value=900))
    result = backtest(table([100, 80, 80, 80]), Stated(targets=[1, 1, None, 1]), settings, path=path)
    assert statuses(result) == ["denied"]


@pytest.mark.parametrize("path", ["events", "loop"])
def test_an_order_that_a_gap_made_too_dear_is_rejected(path):
    settings = RunSettings(cash=1100.0, sizing=Sizing(value=10))
    result = backtest(table([100, 120, 120, 90, 90]), Stated(targets=[1, 0, None, 1, None]), settings, path=path)
    assert statuses(result) == ["rejected", "filled"]
    assert fills(result) == [(4, 10, 90)]


@pytest.mark.parametrize("path", ["events", "loop"])
def test_an_order_that_waits_for_its_instruments_next_bar_counts_as_exposure(path):
    whole = table([100] * 5)
    holed = BarSeries(whole.timeframe, *(getattr(whole, name)[[0, 3, 4]] for name in COLUMNS))
    feeds = [Feed(Instrument("A"), holed), Feed(Instrument("B"), whole)]
    settings = RunSettings(sizing=Sizing(value=10), limits=RiskLimits(gross_exposure=1500))
    result = backtest(feeds, OneEach(), settings, path=path)
    assert list(zip(result.orders["instrument"], statuses(result), strict=True)) == [("A", "filled"), ("B", "denied")]
    assert (result.orders["rule_value"][1], result.orders["rule_limit"][1]) == (2000, 1500)


class OneEach(Strategy):
    """Fully long from the first bar where the instrument has holes, else from the second."""

    def signals(self, bars):
        target = np.full(len(bars), np.nan)
        target[0 if len(bars) < 5 else 1] = 1.0
        return SignalSeries(target)


def test_what_is_no_wish_is_refused_by_the_strategys_name():
    with pytest.raises(BadInput, match=r"Script: on_bar gave '7'"):
        play([100, 100], {0: 7})
    with pytest.raises(BadInput, match="on_bar gave 'buy'"):
        play([100, 100], {0: [buy(1), "buy"]})


def test_plain_texts_name_order_types_and_wrong_ones_are_refused():
    result = play([100, 100], {0: OrderIntent(quantity=1, order_type="market", time_in_force="gtc")})
    assert statuses(result) == ["filled"]
    with pytest.raises(UnknownName, match="did you mean 'limit'"):
        play([100, 100], {0: OrderIntent(quantity=1, order_type="limt", limit_price=1)})


def test_prices_say_the_order_type_and_contradictions_are_refused():
    rows = [100, (100, 101, 89, 95)]
    assert fills(play(rows, {0: OrderIntent(quantity=5, limit_price=90)})) == [(1, 5, 90)]
    assert play(rows, {0: OrderIntent(quantity=5, stop_price=101)}).orders["type"].tolist() == ["stop"]
    assert play(rows, {0: OrderIntent(quantity=5, trail_percent=0.1)}).orders["type"].tolist() == ["trailing_stop"]
    with pytest.raises(BadInput, match="X: a market order takes no limit_price"):
        play(rows, {0: OrderIntent(quantity=5, order_type="market", limit_price=90)})
    with pytest.raises(BadInput, match="no quantity beside it"):
        play(rows, {0: OrderIntent(quantity=5, target=1.0)})


@pytest.mark.parametrize("exposure", [float("nan"), float("inf")])
def test_a_target_that_is_no_number_is_refused_by_instrument(exposure):
    with pytest.raises(BadInput, match="X: an intent needs a finite target"):
        play([100, 100], {0: OrderIntent(target=exposure)})


def test_an_infinite_statement_is_refused_by_instrument():
    class Infinite(Strategy):
        def signals(self, bars):
            return SignalSeries(np.full(len(bars), np.inf))

    with pytest.raises(BadInput, match="BARS: a target is infinite"):
        backtest(table([100, 100]), Infinite)


def test_a_strategy_cannot_write_into_the_bars():
    class Vandal(Strategy):
        def signals(self, bars):
            bars.close[:] = 1.0
            return SignalSeries(np.full(len(bars), np.nan))

    bars = table([100, 100])
    with pytest.raises(ValueError, match="read-only"):
        backtest(bars, Vandal)
    assert bars.close.tolist() == [100, 100]
    bars.close[0] = 100  # and the caller's own array stays writeable
