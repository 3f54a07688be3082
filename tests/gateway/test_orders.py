"""Orders over the connection: every trap of the client libraries about them, against the simulator's own books."""

import asyncio
import math

import pytest

from domain.orders import OrderType, Side, TimeInForce
from gateway.codes import Family
from gateway.errors import GatewayError, Refused, Throttled
from gateway.events import (
    CommissionReported,
    Executed,
    Notice,
    OrderCompleted,
    OrderOpened,
    OrderStatusChanged,
    PositionReported,
    Synchronised,
)
from gateway.states import State
from gateway.tickets import OrderTicket
from tests.gateway.gateways import AAPL, PATIENCE, Heard, connected, start_gateway, truth, until

RESTING = OrderTicket(Side.BUY, 10, OrderType.LIMIT, limit_price=1.0, ref="rests")
MARKETABLE = OrderTicket(Side.BUY, 10, OrderType.LIMIT, limit_price=1000.0, ref="fills")


@pytest.fixture
def gateway():
    with start_gateway(message_rate=0) as gateway:
        yield gateway


@pytest.fixture
def connection(gateway):
    with connected(gateway) as connection:
        yield connection


def place(connection, ticket, **more):
    order_id = connection.reserve_order_id()
    return connection.place(AAPL, ticket, order_id=order_id, **more).order_id


def trade(gateway, connection, ticket):
    """Place it and let time pass, once it has arrived: an answer to what was asked later says so."""
    order_id = place(connection, ticket)
    connection.server_time()
    gateway.advance(2)
    return order_id


def bid_and_ask(gateway):
    quote = gateway.call(lambda simulator: simulator.quote(265598, simulator.now_ns()))
    return quote.bid, quote.ask


def working(gateway):
    return {order.order_id: order for order in gateway.call(lambda simulator: simulator.exchange.open_orders())}


def statuses(heard, order_id):
    return [event.status for event in heard.of(OrderStatusChanged) if event.order_id == order_id]


def agrees(heard, gateway):
    return {base: (one.quantity, one.price) for base, one in heard.executions().items()} == truth(gateway)


def test_an_order_is_placed_fills_and_costs(gateway, connection):
    heard = Heard(connection)
    order_id = trade(gateway, connection, MARKETABLE)
    fill = heard.first(Executed)
    assert (fill.order_id, fill.ref, fill.quantity, fill.live) == (order_id, "fills", 10, True)
    assert fill.base + f".{fill.revision:02d}" == fill.exec_id
    commission = heard.first(CommissionReported)
    assert (commission.exec_id, commission.currency) == (fill.exec_id, "USD")
    assert commission.commission > 0
    assert math.isnan(commission.realized_pnl)
    until(lambda: "Filled" in statuses(heard, order_id))
    assert heard.first(PositionReported, lambda event: event.quantity == 10).contract.symbol == "AAPL"
    assert agrees(heard, gateway)
    opened = heard.first(OrderOpened)
    assert opened.terms.limit_price == 1000.0
    assert len(opened.raw) > 100
    assert connection.executions().executions[0].exec_id == fill.exec_id
    assert connection.executions().commissions[0].exec_id == fill.exec_id
    assert connection.completed_orders()[0].ref == "fills"


@pytest.mark.parametrize(
    ("ticket", "word"),
    [
        (OrderTicket(Side.BUY, 1, OrderType.LIMIT, limit_price=1.0, time_in_force=TimeInForce.GTC), "LMT"),
        (OrderTicket(Side.SELL, 1, OrderType.STOP, stop_price=1.0), "STP"),
        (OrderTicket(Side.BUY, 1, OrderType.STOP_LIMIT, stop_price=900.0, limit_price=901.0), "STP LMT"),
        (OrderTicket(Side.SELL, 1, OrderType.TRAILING_STOP, trail_amount=50.0), "TRAIL"),
        (OrderTicket(Side.SELL, 1, OrderType.TRAILING_STOP, trail_percent=0.25), "TRAIL"),
        (OrderTicket(Side.BUY, 1, OrderType.MARKET_ON_CLOSE), "MOC"),
    ],
)
def test_each_order_type_of_the_domain_arrives_as_it_was_meant(gateway, connection, ticket, word):
    heard = Heard(connection)
    order_id = place(connection, ticket._replace(ref="kind"))
    opened = heard.first(OrderOpened, lambda event: event.order_id == order_id)
    assert opened.terms.order_type == word
    assert (opened.terms.action, opened.terms.quantity, opened.ref) == (ticket.side.name, 1.0, "kind")
    order = working(gateway)[order_id].request
    if word == "TRAIL" and not math.isnan(ticket.trail_percent):
        assert order.trailing_percent == 25.0
    assert order.tif == ("GTC" if ticket.time_in_force is TimeInForce.GTC else "DAY")


def test_a_bracket_protects_and_its_exits_cancel_each_other(gateway, connection):
    heard = Heard(connection)
    bid, ask = bid_and_ask(gateway)
    entry = MARKETABLE._replace(ref="b")
    placed = connection.place_bracket(AAPL, entry, stop_loss=round(bid * 0.5, 2), take_profit=round(ask * 0.9, 2))
    connection.server_time()
    ids = [one.order_id for one in placed]
    assert ids == sorted(ids)
    for _ in range(10):
        gateway.advance(2)
    until(lambda: "Filled" in statuses(heard, ids[0]) and "Filled" in statuses(heard, ids[1]))
    until(lambda: "Cancelled" in statuses(heard, ids[2]))
    refs = {event.ref for event in heard.of(OrderOpened)}
    assert refs == {"b", "b:tp", "b:sl"}
    assert agrees(heard, gateway)
    assert not connection.positions()


def test_of_an_oca_group_the_others_are_cancelled_when_one_fills(gateway, connection):
    heard = Heard(connection)
    resting = place(connection, RESTING._replace(oca_group="either"))
    until(lambda: resting in working(gateway))
    trade(gateway, connection, MARKETABLE._replace(oca_group="either"))
    until(lambda: "Cancelled" in statuses(heard, resting))
    assert len(heard.executions()) == 1


def test_a_change_keeps_the_order_and_a_cancel_ends_it(gateway, connection):
    heard = Heard(connection)
    order_id = place(connection, RESTING)
    until(lambda: order_id in working(gateway))
    connection.place(AAPL, RESTING._replace(limit_price=2.0), order_id=order_id)
    until(lambda: working(gateway)[order_id].request.limit_price == 2.0)
    assert len(connection.open_orders().orders) == 1
    connection.cancel(order_id)
    until(lambda: "Cancelled" in statuses(heard, order_id))
    assert heard.first(Notice, lambda event: event.code == 202).family is Family.NOTE
    until(lambda: not connection.open_orders().orders)


def test_everything_is_cancelled_at_once_of_all_clients(gateway, connection):
    with connected(gateway, client_id=2) as other:
        ids = [place(connection, RESTING), place(other, RESTING._replace(ref="other"))]
        until(lambda: len(gateway.call(lambda simulator: simulator.exchange.open_orders())) == 2)
        assert len(connection.open_orders().orders) == 2
        connection.cancel_all()
        until(lambda: not gateway.call(lambda simulator: simulator.exchange.open_orders()))
        assert ids


def test_a_what_if_order_is_answered_and_not_placed(gateway, connection):
    margins = connection.what_if(AAPL, MARKETABLE)
    assert margins.initial[2] - margins.initial[0] == pytest.approx(margins.initial[1])
    assert margins.commission > 0
    assert not working(gateway)
    gateway.faults.reject(code=201, text="Order rejected - reason:No")
    with pytest.raises(Refused, match="No"):
        connection.what_if(AAPL, MARKETABLE)


def test_a_refused_order_says_why(gateway, connection):
    heard = Heard(connection)
    gateway.faults.reject(code=201, text="Order rejected - reason:Too much")
    order_id = place(connection, MARKETABLE)
    notice = heard.first(Notice, lambda event: event.id == order_id)
    assert (notice.code, notice.family, notice.is_order) == (201, Family.REJECT, True)
    assert "Too much" in notice.text


# Traps of the libraries


@pytest.mark.parametrize("code", [103, 104, 105, 110, 135, 161, 201, 399, 404, 481, 2109, 10147, 10148, 10311, 10349])
def test_an_error_on_a_working_order_ends_nothing(gateway, connection, code):
    """T7: the libraries show the order as cancelled, or give it a status that IB does not have."""
    heard = Heard(connection)
    order_id = place(connection, RESTING)
    until(lambda: statuses(heard, order_id))
    before = statuses(heard, order_id)
    gateway.faults.err(code, "said by a test", id=order_id)
    notice = heard.first(Notice, lambda event: event.code == code)
    assert notice.id == order_id
    assert statuses(heard, order_id) == before
    assert [order.order_id for order in connection.open_orders().orders] == [order_id]


def test_a_fill_of_an_order_nobody_told_us_of_is_heard(gateway, connection):
    """T2: the libraries raise no event for it."""
    heard = Heard(connection)
    gateway.faults.swallow(5)
    gateway.faults.swallow(3)
    trade(gateway, connection, MARKETABLE)
    assert heard.first(Executed).quantity == 10
    heard.first(CommissionReported)
    gateway.faults.heal()
    gateway.faults.external("AAPL", "BUY", 7)
    gateway.advance(2)
    connection.executions()
    by_hand = heard.first(Executed, lambda event: event.quantity == 7)
    assert by_hand.order_id <= 0
    assert agrees(heard, gateway)


def test_a_correction_replaces_what_it_corrects(gateway, connection):
    """T3: the libraries add it to what was filled."""
    heard = Heard(connection)
    trade(gateway, connection, MARKETABLE)
    fill = heard.first(Executed)
    gateway.faults.correct(9, fill.price - 1)
    heard.first(Executed, lambda event: event.revision == fill.revision + 1)
    assert sum(one.quantity for one in heard.executions().values()) == 9
    assert agrees(heard, gateway)


def test_a_bust_leaves_the_connection_standing(gateway, connection):
    heard = Heard(connection)
    trade(gateway, connection, MARKETABLE)
    fill = heard.first(Executed)
    gateway.faults.bust()
    heard.first(Executed, lambda event: event.revision > fill.revision)
    assert sum(one.quantity for one in heard.executions().values()) == 0
    assert connection.snapshot().session == 1


def test_of_many_orders_before_a_drop_each_either_left_or_raised(gateway):
    """T4: of 200 orders a library sent 38, and returned the other 162 as pending."""
    with connected(gateway) as connection:
        sent, refused = [], []
        for n in range(200):
            try:
                order_id = connection.reserve_order_id()
                connection.place(AAPL, RESTING._replace(ref=f"r{n}"), order_id=order_id, seconds=0.005)
                sent.append(f"r{n}")
            except GatewayError as error:
                refused.append(type(error))
        connection.server_time()
        gateway.faults.rst()
        assert len(sent) + len(refused) == 200
        assert set(refused) == {Throttled}
        arrived = {order.request.order_ref for order in working(gateway).values()}
        assert arrived == set(sent)


def test_nothing_is_sent_that_a_last_look_forbids(gateway, connection):
    def forbid():
        raise Refused("the kill switch is on")

    with pytest.raises(Refused, match="kill switch"):
        place(connection, MARKETABLE, before_send=forbid)
    connection.server_time()
    assert not gateway.call(lambda simulator: simulator.exchange.open_orders())


def test_a_gateway_that_does_not_read_gets_no_order(gateway):
    with connected(gateway) as connection:
        gateway.faults.stall(PATIENCE)
        session = connection._supervisor.session

        async def fill_the_socket():
            while True:
                while not session.link.backlog:
                    session.link.send("14\0" + "1\0" + "5\0" * 100_000)
                await asyncio.sleep(0.2)  # until what the system takes off it is taken
                if session.link.backlog:
                    return

        connection._call(fill_the_socket(), PATIENCE)
        with pytest.raises(Throttled, match="does not read"):
            place(connection, RESTING)


def test_an_order_id_is_never_given_twice_over_reconnects_and_rollbacks(gateway):
    """T6: after a reconnect a library gives the id of an unacknowledged order again."""
    with connected(gateway) as connection:
        gateway.faults.ignore("PlaceOrder")
        first = place(connection, RESTING)
        gateway.faults.restart(seconds=0.5, id_rollback=4)
        until(lambda: connection.state is not State.READY)
        connection.wait_ready(PATIENCE)
        assert connection.reserve_order_id() > first
        assert connection.reserve_order_id(floor=5000) == 5000
        assert connection.reserve_order_id() == 5001


def test_after_a_reconnect_all_is_told_anew(gateway):
    """T5: the libraries' orders of the session before are dead objects."""
    with connected(gateway) as connection:
        heard = Heard(connection)
        order_id = place(connection, RESTING)
        until(lambda: order_id in working(gateway))
        gateway.faults.rst()
        until(lambda: connection.snapshot().session == 2)
        connection.wait_ready(PATIENCE)
        told = heard.of(Synchronised)[-1]
        assert [order.order_id for order in told.open_orders.orders] == [order_id]
        assert told.open_orders.statuses[-1].order_id == order_id
        assert told.next_order_id > order_id


def test_another_clients_order_is_not_cancelled_and_that_is_said(gateway, connection):
    """A library shows it as being cancelled for ever."""
    heard = Heard(connection)
    with connected(gateway, client_id=2) as other:
        foreign = place(other, RESTING)
        until(lambda: foreign in working(gateway))
    unknown = foreign + 1000
    connection.cancel(unknown)
    notice = heard.first(Notice, lambda event: event.id == unknown)
    assert notice.code == 10147
    assert notice.family is Family.REJECT
    assert len(working(gateway)) == 1


@pytest.mark.parametrize("number", range(6))
def test_what_is_told_twice_or_late_or_not_makes_no_other_book(gateway, connection, number):
    """Fills come from executions alone, so statuses may be doubled, missing, or before them."""
    heard = Heard(connection)
    faults = [
        lambda: gateway.faults.dup(11, 5),
        lambda: gateway.faults.dup(3, 5),
        lambda: gateway.faults.swallow(3),
        lambda: gateway.faults.reorder(11),
        lambda: gateway.faults.policy("status_first", True),
        lambda: gateway.faults.late_comm(1.0),
    ]
    faults[number]()
    gateway.faults.fill("touch", part_size=4)
    trade(gateway, connection, MARKETABLE)
    for _ in range(6):
        gateway.advance(2)
    until(lambda: sum(one.quantity for one in heard.executions().values()) == 10)
    until(lambda: set(heard.commissions()) >= {one.exec_id for one in heard.executions().values()})
    assert agrees(heard, gateway)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("filled", [True, False])
def test_a_drop_around_an_order_leaves_one_order_or_none(gateway, before, filled):
    with connected(gateway) as connection:
        heard = Heard(connection)
        gateway.faults.drop(request="PlaceOrder", before=before)
        place(connection, MARKETABLE if filled else RESTING)
        until(lambda: connection.state is not State.READY)
        gateway.advance(5)
        connection.wait_ready(PATIENCE)
        told = heard.of(Synchronised)[-1]
        found = len(told.open_orders.orders) + len(told.completed_orders)
        assert found == (0 if before else 1)
        assert agrees(heard, gateway)


def test_an_order_that_completed_while_away_carries_its_ref(gateway):
    with connected(gateway) as connection:
        heard = Heard(connection)
        gateway.faults.drop(request="PlaceOrder")
        place(connection, MARKETABLE)
        until(lambda: connection.state is not State.READY)
        gateway.advance(5)
        connection.wait_ready(PATIENCE)
        done = heard.first(OrderCompleted)
        assert (done.ref, done.filled, done.status) == ("fills", 10, "Filled")
        assert done.perm_id == heard.first(Executed).perm_id


def test_a_read_only_connection_places_nothing(gateway):
    with connected(gateway, read_only=True) as connection:
        with pytest.raises(Refused, match="read only"):
            place(connection, RESTING)
        with pytest.raises(Refused, match="read only"):
            connection.what_if(AAPL, RESTING)


def test_an_order_for_another_account_is_refused_here(gateway, connection):
    with pytest.raises(Refused, match="DU9"):
        place(connection, RESTING._replace(account="DU9"))
