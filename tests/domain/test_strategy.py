import math

import numpy as np
import pytest
from pydantic import Field

from domain.errors import BadInput, UnknownName
from domain.orders import OrderIntent, OrderType, TimeInForce
from domain.strategy import Params, SignalSeries, Strategy, buy, holds, sell, target


class Cross(Strategy):
    name = "cross"

    class Params(Params):
        fast: int = Field(10, ge=1)
        slow: int = 30
        rate: float = 0.5

    def signals(self, bars):
        return SignalSeries(np.zeros(len(bars)))


class Bare(Strategy):
    pass


def test_parameters_have_defaults_and_can_be_given_three_ways():
    assert Cross().params.fast == 10
    assert Cross(fast=5).params.fast == 5
    assert Cross({"fast": 5}, slow=7).params.model_dump() == {"fast": 5, "slow": 7, "rate": 0.5}
    given = Cross.Params(fast=3)
    assert Cross(given).params is given


def test_an_unknown_parameter_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownName, match="unknown parameter of strategy cross: 'fats'; did you mean 'fast'"):
        Cross(fats=5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fast": 0}, "strategy cross: fast: "),
        ({"fast": "many"}, "strategy cross: fast: "),
        ({"rate": math.inf}, "strategy cross: rate: "),
        ({"rate": math.nan}, "strategy cross: rate: "),
    ],
)
def test_a_wrong_value_is_refused_by_name(values, message):
    with pytest.raises(BadInput, match=message):
        Cross(values)


def test_an_object_and_values_together_are_refused():
    with pytest.raises(BadInput, match="not both"):
        Cross(Cross.Params(), fast=5)


def test_parameters_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Cross().params.fast = 5


def test_a_strategy_is_named_and_knows_which_path_it_takes():
    assert (Cross.label(), Bare.label()) == ("cross", "Bare")
    assert Cross.is_vector() and not Bare.is_vector()
    assert Bare().warmup() == 0 and Bare().indicators(None) == {}


def test_a_strategy_without_rules_says_so():
    with pytest.raises(NotImplementedError, match="Bare has neither signals"):
        Bare().on_bar(None)
    with pytest.raises(NotImplementedError, match="Bare has no signals"):
        Bare().signals(None)


def test_a_market_order_stays_one_whatever_the_default_of_the_run():
    assert buy(5) == OrderIntent(quantity=5, order_type=OrderType.MARKET)
    assert sell(5).quantity == -5 and sell(-5).quantity == -5
    assert OrderIntent(target=1.0).order_type is None and target(1.0).order_type is None


@pytest.mark.parametrize(
    ("prices", "kind"),
    [
        ({"limit": 9.0}, OrderType.LIMIT),
        ({"stop": 11.0}, OrderType.STOP),
        ({"limit": 12.0, "stop": 11.0}, OrderType.STOP_LIMIT),
    ],
)
def test_the_prices_make_the_order_type(prices, kind):
    intent = buy(1, **prices, time_in_force=TimeInForce.GTC, reason="why")
    assert intent.order_type is kind
    assert (intent.limit_price, intent.stop_price) == (prices.get("limit"), prices.get("stop"))
    assert (intent.time_in_force, intent.reason) == (TimeInForce.GTC, "why")
    assert sell(1, order_type=OrderType.MARKET_ON_CLOSE).order_type is OrderType.MARKET_ON_CLOSE


def test_a_target_may_carry_a_bracket():
    intent = target(-1.0, reason="down", stop_loss=110.0, take_profit=90.0)
    assert intent == OrderIntent(target=-1.0, reason="down", stop_loss=110.0, take_profit=90.0)


def test_the_later_named_statement_of_a_row_wins():
    yes, no = True, False
    entry, leave = np.array([yes, no, yes, no, yes]), np.array([no, no, yes, yes, no])
    assert holds(entry, leave).tolist() == pytest.approx([1, math.nan, 0, 0, 1], nan_ok=True)
    short = np.array([no, yes, no, yes, yes])
    assert holds(entry, leave, short).tolist() == pytest.approx([1, -1, 0, 0, -1], nan_ok=True)
