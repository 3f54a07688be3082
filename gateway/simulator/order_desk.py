"""Orders: placing and cancelling them, what is open, done and executed, and telling their owners what happens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gateway.simulator import account_desk, messages, requests, wire_times
from gateway.simulator.records import (
    AccountChanged,
    Changed,
    Charged,
    Executed,
    Fact,
    HoldingChanged,
    Opened,
    PlacedOrder,
    Told,
)
from gateway.simulator.session import Session, answers

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

_TIME = re.compile(r"(\d{8})[- ]+(\d{2}:\d{2}:\d{2})(?: ([A-Za-z_/+-]{1,40}))?")
READ_ONLY = "The API interface is currently in Read-Only mode."


# Ids


def tell_next_id(session: Session) -> None:
    session.send(messages.next_valid_id(session.version, session.simulator.exchange.next_order_id(session.client_id)))


@answers(requests.Ids)
def ids(session: Session, request: requests.Ids) -> None:
    tell_next_id(session)


# Placing and cancelling


@answers(requests.PlaceOrder)
def place_order(session: Session, request: requests.PlaceOrder) -> None:
    simulator = session.simulator
    if _is_read_only(session, request.order.order_id):
        return
    now_ns = simulator.catch_up()
    simulator.tell(simulator.exchange.place(session.client_id, request.order, now_ns))


@answers(requests.CancelOrder)
def cancel_order(session: Session, request: requests.CancelOrder) -> None:
    simulator = session.simulator
    if _is_read_only(session, request.order_id):
        return
    now_ns = simulator.catch_up()
    simulator.tell(simulator.exchange.cancel(session.client_id, request.order_id, now_ns))


@answers(requests.GlobalCancel)
def global_cancel(session: Session, request: requests.GlobalCancel) -> None:
    simulator = session.simulator
    if _is_read_only(session, -1):
        return
    simulator.tell(simulator.exchange.cancel_all(simulator.catch_up()))


def _is_read_only(session: Session, subject: int) -> bool:
    """Whether orders are refused here; then it has been said."""
    if session.simulator.settings.read_only:
        session.error(subject, 321, f"Error validating request.-'bZ' : cause - {READ_ONLY}")
    return session.simulator.settings.read_only


# What is open, done, executed


@answers(requests.OpenOrders)
def open_orders(session: Session, request: requests.OpenOrders) -> None:
    if _is_read_only(session, -1):
        return
    session.simulator.catch_up()
    tell_orders(session, session.simulator.exchange.open_orders(session.client_id))
    session.send(messages.open_order_end(session.version))


@answers(requests.AllOpenOrders)
def all_open_orders(session: Session, request: requests.AllOpenOrders) -> None:
    session.simulator.catch_up()
    tell_orders(session, session.simulator.exchange.open_orders(None))
    session.send(messages.open_order_end(session.version))


@answers(requests.AutoOpenOrders)
def auto_open_orders(session: Session, request: requests.AutoOpenOrders) -> None:
    if session.client_id != 0:
        session.error(-1, 321, "Error validating request.-'bO' : cause - Only client 0 may bind orders.")
        return
    simulator = session.simulator
    session.subscriptions.auto_open_orders = request.bind
    simulator.exchange.binds_later = request.bind
    if request.bind:
        simulator.tell(simulator.exchange.bind_external(simulator.catch_up()))


@answers(requests.CompletedOrders)
def completed_orders(session: Session, request: requests.CompletedOrders) -> None:
    if _is_read_only(session, -1):
        return
    simulator = session.simulator
    simulator.catch_up()
    for order in simulator.exchange.completed_orders():
        if not request.api_only or order.client_id >= 0:
            ended = wire_times.zoned(order.ended_ns, order.listing.zone)
            session.send(messages.completed_order(session.version, order, ended))
    session.send(messages.completed_orders_end(session.version))


@answers(requests.Executions)
def executions(session: Session, request: requests.Executions) -> None:
    simulator = session.simulator
    try:
        since_ns = _since(request.time)
    except (ValueError, KeyError):
        text = f"Error validating request.-'bB' : cause - Invalid time '{request.time}'"
        session.error(request.req_id, 321, text)
        return
    simulator.catch_up()
    for execution in simulator.exchange.executions(
        client_id=request.client_id or None,
        account=request.account,
        since_ns=since_ns,
        symbol=request.symbol,
        sec_type=request.sec_type,
        exchange=request.exchange,
        side=request.side,
    ):
        session.send(messages.exec_details(session.version, execution, request.req_id))
        report = simulator.exchange.commission_of(execution.exec_id)
        if report is not None:
            session.send(messages.commission_report(session.version, report))
    session.send(messages.exec_details_end(session.version, request.req_id))


def _since(text: str) -> int:
    """A filter's time: `yyyymmdd-hh:mm:ss` in UTC, or `yyyymmdd hh:mm:ss` in New York or the zone named after it.
    Raises ValueError."""
    if not text:
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    zone = UTC if text[8] == "-" else ZoneInfo(found[3] or "America/New_York")
    moment = datetime.strptime(found[1] + found[2], "%Y%m%d%H:%M:%S").replace(tzinfo=zone)
    return round(moment.timestamp()) * 1_000_000_000


def resend_orders(session: Session) -> None:
    """A client's working orders, unasked, when it is back."""
    tell_orders(session, session.simulator.exchange.open_orders(session.client_id))


def tell_orders(session: Session, orders: Iterable[PlacedOrder]) -> None:
    for order in orders:
        session.send(messages.open_order(session.version, order))
        session.send(messages.order_status(session.version, messages.standing(order)))


# What happens


def tell(simulator: Simulator, facts: list[Fact]) -> None:
    """Each fact to whom it concerns, in order."""
    for fact in facts:
        match fact:
            case HoldingChanged(holding):
                account_desk.holding_changed(simulator, holding)
            case AccountChanged(account):
                account_desk.account_changed(simulator, account)
            case _:
                for session in _concerned(simulator, fact):
                    session.send(_message(session, fact))


def _message(session: Session, fact: Opened | Changed | Executed | Charged | Told) -> bytes:
    match fact:
        case Opened(order, margins):
            return messages.open_order(session.version, order, margins)
        case Changed():
            return messages.order_status(session.version, fact)
        case Executed(execution):
            return messages.exec_details(session.version, execution)
        case Charged(report, _):
            return messages.commission_report(session.version, report)
        case Told(_, order_id, code, text):
            return messages.error(session.version, order_id, code, text)


def _concerned(simulator: Simulator, fact: Opened | Changed | Executed | Charged | Told) -> list[Session]:
    """The owner; and client 0, once it has asked for the orders of people, for those."""
    owner = _owner(fact)
    session = simulator.by_client.get(owner)
    if session is not None:
        return [session]
    zero = simulator.by_client.get(0)
    if owner < 0 and zero is not None and zero.subscriptions.auto_open_orders:
        return [zero]
    return []


def _owner(fact: Opened | Changed | Executed | Charged | Told) -> int:
    match fact:
        case Opened(order, _):
            return order.client_id
        case Executed(execution):
            return execution.client_id
        case _:
            return fact.client_id


__all__ = ["resend_orders", "tell", "tell_next_id", "tell_orders"]
