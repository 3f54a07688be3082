import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import OrderType, Side, TimeInForce
from gateway.errors import Refused
from gateway.library import load
from gateway.tickets import ORDER_TYPES, OrderTicket, bracket, domain_order_type, order_fields, terms_of
from tests.gateway.gateways import LIBRARY

BUY = OrderTicket(Side.BUY, 10)
PRICES = st.floats(0.01, 1e6)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, {"action": "BUY", "totalQuantity": 10, "orderType": "MKT", "tif": "DAY"}),
        ({"side": Side.SELL, "quantity": 0.5}, {"action": "SELL", "totalQuantity": 0.5}),
        ({"order_type": OrderType.LIMIT, "limit_price": 9.5}, {"orderType": "LMT", "lmtPrice": 9.5}),
        ({"order_type": OrderType.STOP, "stop_price": 9.5}, {"orderType": "STP", "auxPrice": 9.5}),
        (
            {"order_type": OrderType.STOP_LIMIT, "stop_price": 9.5, "limit_price": 9.6},
            {"orderType": "STP LMT", "auxPrice": 9.5, "lmtPrice": 9.6},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP, "trail_percent": 0.05},
            {"orderType": "TRAIL", "trailingPercent": 5.0},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP, "trail_amount": 2.0, "stop_price": 90.0},
            {"orderType": "TRAIL", "auxPrice": 2.0, "trailStopPrice": 90.0},
        ),
        ({"order_type": OrderType.MARKET_ON_CLOSE}, {"orderType": "MOC"}),
        ({"time_in_force": TimeInForce.GTC, "outside_rth": True}, {"tif": "GTC", "outsideRth": True}),
        ({"oca_group": "g"}, {"ocaGroup": "g", "ocaType": 1}),
    ],
)
def test_a_ticket_is_written_in_ibs_words(changes, fields):
    assert fields.items() <= order_fields(BUY._replace(**changes)).items()


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": math.nan},
        {"quantity": math.inf},
        {"order_type": OrderType.LIMIT},
        {"order_type": OrderType.LIMIT, "limit_price": math.inf},
        {"order_type": OrderType.STOP, "limit_price": 1.0},
        {"order_type": OrderType.STOP_LIMIT, "limit_price": 1.0},
        {"order_type": OrderType.TRAILING_STOP},
        {"order_type": OrderType.TRAILING_STOP, "trail_amount": 1.0, "trail_percent": 0.1},
        {"order_type": OrderType.TRAILING_STOP, "trail_amount": -1.0},
        {"order_type": OrderType.MARKET_ON_CLOSE, "time_in_force": TimeInForce.GTC},
        {"ref": "two\0fields"},
        {"account": "a" * 33},
        {"oca_group": "\n"},
    ],
)
def test_a_ticket_that_is_no_order_is_refused(changes):
    with pytest.raises(Refused):
        order_fields(BUY._replace(**changes))


@given(st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT]), PRICES, PRICES)
def test_what_is_written_is_read_back(kind, limit, stop):
    ticket = BUY._replace(order_type=kind, limit_price=limit, stop_price=stop)
    terms = terms_of(load(LIBRARY).order(order_fields(ticket)))
    assert domain_order_type(terms.order_type) is kind
    assert (terms.action, terms.quantity) == ("BUY", 10)
    assert math.isnan(terms.limit_price) or terms.limit_price == limit
    assert math.isnan(terms.aux_price) or terms.aux_price == stop


def test_every_order_type_of_the_domain_has_a_word():
    assert set(ORDER_TYPES) == set(OrderType)
    assert domain_order_type("VWAP") is None


@given(st.sampled_from(Side), PRICES, PRICES)
def test_a_bracket_transmits_with_its_last_order_and_closes_what_it_opens(side, stop, target):
    family = bracket(OrderTicket(side, 7, ref="k"), 50, stop_loss=stop, take_profit=target)
    assert [one.transmit for one in family] == [False, False, True]
    assert [one.parent_id for one in family] == [0, 50, 50]
    assert {one.side for one in family[1:]} == {Side(-side)}
    assert {one.quantity for one in family} == {7}
    assert len({one.ref for one in family}) == 3
    assert len(bracket(BUY, 1, stop_loss=stop)) == 2
