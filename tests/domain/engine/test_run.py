import numpy as np
import pytest

from domain.engine import Feed, Result, RunSettings, backtest
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.orders import OrderType
from domain.sizing import Sizing
from domain.strategy import SignalSeries, Strategy
from tests.domain.engine.tables import Script, fills, table


class Always(Strategy):
    def signals(self, bars):
        return SignalSeries(np.ones(len(bars)))


@pytest.mark.parametrize(
    "feeds",
    [
        table([100] * 3),
        {"BARS": table([100] * 3)},
        Feed(Instrument("BARS"), table([100] * 3)),
        [Feed(Instrument("BARS"), table([100] * 3))],
    ],
)
def test_bars_may_be_given_plainly_by_symbol_or_as_feeds(feeds):
    result = backtest(feeds, Always)
    assert fills(result) == [(1, 1, 100)]
    assert result.positions == {"BARS": 1.0}


def test_the_cheapest_exact_driver_runs_and_each_can_be_asked_for():
    bars = table([100] * 3)
    assert [backtest(bars, Always, path=path).path for path in ("auto", "events", "loop")] == [
        "events",
        "events",
        "loop",
    ]
    assert backtest(bars, Script(lines={})).path == "loop"


def test_the_vector_driver_is_refused_where_it_would_not_be_exact():
    bars = table([100] * 3)
    with pytest.raises(BadInput, match="not exact for this strategy and these settings; take path='auto'"):
        backtest(bars, Always, RunSettings(default_order_type=OrderType.LIMIT), path="events")
    with pytest.raises(BadInput, match="path is one of auto, events, loop, not 'fast'"):
        backtest(bars, Always, path="fast")


def test_each_instrument_has_its_own_strategy_object():
    class Counting(Strategy):
        calls = 0

        def on_bar(self, context):
            self.calls += 1
            assert self.calls == context.i + 1

    backtest({"A": table([100] * 3), "B": table([100] * 3)}, Counting)


def test_a_result_shows_itself_and_its_figures():
    result = backtest(table([100, 100, 120]), Always, RunSettings(cash=1000.0, sizing=Sizing(value=5)))
    assert isinstance(result, Result)
    assert repr(result) == "<Result BARS: equity 1,100.00, path events>"
    assert result.metrics["total_return"] == pytest.approx(0.1)
    assert result.metrics["final_equity"] == result.final_equity == 1100.0
    assert result.metrics["exposure"] == pytest.approx(2 / 3)


def test_the_hash_is_of_the_ledgers_not_of_the_path_and_changes_with_them():
    bars = table([100, 100, 120])
    one, other = backtest(bars, Always, path="events"), backtest(bars, Always, path="loop")
    assert one.result_hash == other.result_hash
    assert one.result_hash != backtest(bars, Always, RunSettings(slippage_bps=1.0)).result_hash
    assert one.result_hash != backtest(bars[:2], Always).result_hash
