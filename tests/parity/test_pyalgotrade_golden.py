"""PyAlgoTrade's tutorial, as printed: an average on adjusted prices, ten shares, fills at the next open."""

import pytest

from domain.engine import RunSettings, backtest
from tests.parity import golden
from tests.parity.test_backtrader_golden import CloseAgainstSma


def test_the_tutorial_gives_its_printed_executions_and_value():
    case = golden.load("pyalgotrade", "tutorial_sma15_orcl.json")
    bars = golden.bars_of(case["data"], golden.DAILY, prices=fully_adjusted)
    result = backtest({"ORCL": bars}, CloseAgainstSma(window=15), RunSettings(cash=1000.0))
    expected, fills = case["executions"], result.fills
    assert len(expected) > 40
    assert fills["time"].tolist() == golden.times(each["t"] for each in expected)
    assert fills["side"].tolist() == [each["side"] for each in expected]
    assert set(fills["quantity"].tolist()) == {10.0}
    assert fills["price"].tolist() == pytest.approx([each["price"] for each in expected], abs=0.005)
    assert result.final_equity == pytest.approx(case["documented_final_value"], abs=0.01)


def fully_adjusted(data):
    return {name: data[name] * data["adj_close"] / data["close"] for name in ("open", "high", "low", "close")}
