"""Orders at the simulated exchange: what clients are told, in which order, and what the books say."""

import pytest

from gateway.simulator.clock import ManualClock
from gateway.simulator.exchange import AccountSettings, Exchange
from gateway.simulator.policy import FillPolicy
from gateway.simulator.records import (
    AccountChanged,
    Changed,
    Charged,
    Executed,
    HoldingChanged,
    Opened,
    OrderStatus,
    Told,
    WireOrder,
)
from tests.gateway.simulator.fake_market import AAA, CLOSE, OPEN, SECOND, FakeMarket

ACCOUNT = "DU1"
CLIENT = 7


def make(market=None, start_ns=OPEN + 60 * SECOND, cash=100_000.0, accounts=(ACCOUNT,), **policy):
    market = market or FakeMarket()
    books = {number: AccountSettings(cash=cash) for number in accounts}
    return Exchange(market, ManualClock(start_ns), books, policy=FillPolicy(**policy))


def order(order_id=1, action="BUY", quantity=100, kind="MKT", listing=AAA, **more):
    return WireOrder(order_id, listing.contract, action, quantity, kind, **more)


def short(facts):
    """Facts as words, without what the account has become."""
    words = []
    for fact in facts:
        if isinstance(fact, Opened):
            words.append(f"open {fact.order.order_id} {fact.order.status}")
        elif isinstance(fact, Changed):
            words.append(f"status {fact.order_id} {fact.status} {fact.filled:g}/{fact.remaining:g}")
        elif isinstance(fact, Executed):
            words.append(f"exec {fact.execution.side} {fact.execution.quantity:g} @ {fact.execution.price:g}")
        elif isinstance(fact, Charged):
            words.append(f"fee {fact.report.commission:g}")
        elif isinstance(fact, Told):
            words.append(f"{fact.code} {fact.order_id}")
    return words


def test_a_market_order_fills_at_the_open_of_the_next_second_and_is_told_as_ib_tells_it():
    market = FakeMarket()
    market.write(AAA, OPEN + 60 * SECOND, (100.1, 100.3, 100.0, 100.2), 100.2)
    exchange = make(market)
    assert short(exchange.place(CLIENT, order(), exchange.now_ns)) == [
        "open 1 PreSubmitted",
        "status 1 PreSubmitted 0/100",
    ]
    facts = exchange.advance(OPEN + 60 * SECOND + 1)
    assert short(facts) == ["exec BOT 100 @ 100.1", "open 1 Filled", "status 1 Filled 100/0", "open 1 Filled", "fee 1"]
    assert [type(fact) for fact in facts[-2:]] == [HoldingChanged, AccountChanged]
    assert facts[0].execution.time_ns == OPEN + 60 * SECOND


def test_an_order_placed_inside_a_second_waits_for_the_next_one():
    market = FakeMarket()
    market.write(AAA, OPEN + 60 * SECOND, (100.1, 100.3, 100.0, 100.2), (100.2, 100.4, 100.2, 100.4))
    exchange = make(market)
    exchange.place(CLIENT, order(), OPEN + 60 * SECOND + 1)
    assert short(exchange.advance(OPEN + 61 * SECOND)) == []
    assert "exec BOT 100 @ 100.2" in short(exchange.advance(OPEN + 61 * SECOND + 1))


@pytest.mark.parametrize(
    ("kind", "action", "prices", "fill"),
    [
        ("LMT", "BUY", {"limit_price": 99.9}, 99.9),
        ("LMT", "SELL", {"limit_price": 100.2}, 100.2),
        ("STP", "BUY", {"aux_price": 100.25}, 100.25),
        ("STP", "SELL", {"aux_price": 99.8}, 99.8),
    ],
)
def test_a_resting_order_fills_at_its_price_when_the_path_touches_it(kind, action, prices, fill):
    market = FakeMarket()
    market.write(AAA, OPEN + 61 * SECOND, (100.0, 100.3, 100.0, 100.3), (100.3, 100.3, 99.7, 99.7), 99.7)
    exchange = make(market)
    exchange.place(CLIENT, order(action=action, kind=kind, **prices), exchange.now_ns)
    assert f"exec {'BOT' if action == 'BUY' else 'SLD'} 100 @ {fill:g}" in short(exchange.advance(CLOSE))


def test_what_is_cancelled_says_so_and_fills_no_more():
    exchange = make()
    exchange.place(CLIENT, order(kind="LMT", limit_price=90), exchange.now_ns)
    assert short(exchange.cancel(CLIENT, 1, exchange.now_ns)) == ["status 1 Cancelled 0/100", "202 1"]
    assert exchange.open_orders() == []
    assert [done.completed_status for done in exchange.completed_orders()] == ["Cancelled by Trader"]


def test_positions_and_cash_follow_the_fills():
    exchange = make()
    exchange.place(CLIENT, order(), exchange.now_ns)
    exchange.advance(exchange.now_ns + 2 * SECOND)
    (holding,) = exchange.holdings(ACCOUNT)
    assert (holding.quantity, holding.average_cost) == (100, 100)
    values = {key: value for key, value, _ in exchange.account_values(ACCOUNT, exchange.now_ns)}
    assert values["TotalCashValue"] == "89999.00"
    assert values["NetLiquidation"] == "99999.00"
    assert values["AccountType"] == "SIMULATED"
    assert len(values) >= 30
    (execution,) = exchange.executions()
    assert exchange.commission_of(execution.exec_id).commission == 1.0


def test_a_day_order_ends_with_its_session():
    exchange = make()
    exchange.place(CLIENT, order(kind="LMT", limit_price=90), exchange.now_ns)
    assert short(exchange.advance(CLOSE)) == ["status 1 Cancelled 0/100", "202 1"]
    assert exchange.completed_orders()[0].status is OrderStatus.CANCELLED
