"""Placing, changing and cancelling: coroutines of the connection's loop.

`place` returns when the message was given to the system, and raises when it was not: whoever calls knows which of the
two it was. What became of the order comes as events. Nothing is sent unless the connection is ready that very moment,
and no order waits behind a backlog where it could leave long after it was decided.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from gateway.answers import Margins, Placed
from gateway.contract import Contract
from gateway.errors import NoAnswer, Refused, Throttled
from gateway.pacer import Priority
from gateway.session import Session
from gateway.states import State
from gateway.supervisor import Supervisor
from gateway.tickets import OrderTicket, bracket, order_fields
from gateway.translate import checked

_CAN_CANCEL = (State.SYNCING, State.READY, State.DEGRADED)

BeforeSend = Callable[[], None]


def reserve(supervisor: Supervisor, floor: int) -> int:
    """The next order id, at least `floor`; gaps are normal, an id is never given twice."""
    session = supervisor.require(*_CAN_CANCEL)
    order_id = session.take_order_id(max(floor, supervisor.order_floor))
    supervisor.order_floor = order_id + 1
    return order_id


async def place(
    supervisor: Supervisor,
    contract: Contract,
    tickets: Sequence[tuple[int, OrderTicket]],
    before_send: BeforeSend | None,
    seconds: float,
) -> Placed:
    """Send one order, or a family, under the ids given; an id that works already changes that order.

    `before_send` is called in the loop, in the turn in which the bytes leave: what it raises keeps the order from
    being sent. It must not wait for anything.
    """
    session = _writable(supervisor)
    checked(contract)
    orders = [
        (order_id, session.library.order(order_fields(_for_account(ticket, supervisor))))
        for order_id, ticket in tickets
    ]
    wire = session.library.contract(contract)
    if not session.pacer.take(len(orders)):
        if len(orders) > 1 or session.pacer.waiting(Priority.ORDER):
            raise Throttled("an order waits already for its turn to be sent; this one was not sent")
        try:
            async with asyncio.timeout(seconds):
                await session.pacer.slot(Priority.ORDER)
        except TimeoutError as error:
            raise Throttled(f"the order's turn did not come in {seconds:g} s; it was not sent") from error
    if _writable(supervisor) is not session:
        raise Throttled("the connection was renewed while the order waited; it was not sent")
    if session.link.backlog:
        raise Throttled("the gateway does not read what it is sent; the order was not sent")
    if before_send is not None:
        before_send()
    for order_id, order in orders:
        session.requests.placeOrder(order_id, wire, order)
        supervisor.order_floor = max(supervisor.order_floor, order_id + 1)
    return Placed(orders[0][0], session.settings.client_id, session.number)


async def place_bracket(
    supervisor: Supervisor,
    contract: Contract,
    entry: OrderTicket,
    stop_loss: float,
    take_profit: float,
    before_send: BeforeSend | None,
    seconds: float,
) -> tuple[Placed, ...]:
    """The entry and its exits; they leave together or not at all."""
    if math.isnan(stop_loss) and math.isnan(take_profit):
        raise Refused("a bracket needs a stop loss, a take profit, or both")
    first = reserve(supervisor, 0)
    family = bracket(entry, first, stop_loss=stop_loss, take_profit=take_profit)
    tickets = [(first, family[0]), *((reserve(supervisor, 0), ticket) for ticket in family[1:])]
    sent = await place(supervisor, contract, tickets, before_send, seconds)
    return tuple(sent._replace(order_id=order_id) for order_id, _ in tickets)


async def cancel(supervisor: Supervisor, order_id: int, seconds: float) -> None:
    """Ask for an order of our client id to be cancelled; whether it was comes as an event."""
    session = supervisor.require(*_CAN_CANCEL)
    await _slot(session, seconds)
    session.requests.cancelOrder(order_id, "")


async def cancel_all(supervisor: Supervisor, seconds: float) -> None:
    """Ask for every working order of the login to be cancelled, of all clients and by hand."""
    session = supervisor.require(*_CAN_CANCEL)
    await _slot(session, seconds)
    session.requests.reqGlobalCancel()


async def what_if(supervisor: Supervisor, contract: Contract, ticket: OrderTicket, seconds: float) -> Margins:
    """What the order would do to the account's margins. Nothing is placed."""
    session = _writable(supervisor)
    order_id = reserve(supervisor, 0)
    order = session.library.order({**order_fields(_for_account(ticket, supervisor)), "whatIf": True})
    wire = session.library.contract(checked(contract))
    answer = await session.ask_order(order_id, lambda: session.requests.placeOrder(order_id, wire, order), seconds)
    if isinstance(answer, Margins):
        return answer
    raise NoAnswer("the margins did not come as such")


def _writable(supervisor: Supervisor) -> Session:
    session = supervisor.require(State.READY)
    if session.settings.read_only:
        raise Refused("this connection is read only", remedy="place orders through the trader's connection")
    return session


def _for_account(ticket: OrderTicket, supervisor: Supervisor) -> OrderTicket:
    if ticket.account and ticket.account != supervisor.account:
        raise Refused(f"the order is for {ticket.account}, this connection trades {supervisor.account}")
    return ticket._replace(account=supervisor.account)


async def _slot(session: Session, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await session.pacer.slot(Priority.ORDER)
    except TimeoutError as error:
        raise Throttled(f"the cancel's turn did not come in {seconds:g} s; it was not sent") from error
