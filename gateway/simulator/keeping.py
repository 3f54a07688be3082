"""What of the exchange is written to the state file, how, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from domain.errors import BadInput
from gateway.contract import Contract
from gateway.simulator.books import Position
from gateway.simulator.commissions import BookedExecution
from gateway.simulator.placing import Placing
from gateway.simulator.records import Execution, Listing, OrderStatus, PlacedOrder, WireOrder
from gateway.simulator.states import Body, Kept, State
from gateway.simulator.trading import Trading
from gateway.simulator.working import WorkingOrder

_CENT = 0.005
FindListing = Callable[[int], Listing | None]


def order_body(working: WorkingOrder) -> Body:
    order = working.order
    return {
        "working": _plain(working, "order"),
        "order": {**_plain(order, "request", "listing"), "con_id": order.listing.con_id},
        "request": _plain(order.request),
    }


def order_of(body: Body, find: FindListing) -> WorkingOrder:
    request = {**body["request"], "contract": Contract(*body["request"]["contract"])}
    request["unsupported"] = tuple(request["unsupported"])
    order = dict(body["order"])
    listing = _listing(find, order.pop("con_id"))
    order["status"] = OrderStatus(order["status"])
    working = {**body["working"], "window": tuple(body["working"]["window"])}
    return WorkingOrder(PlacedOrder(WireOrder(**request), listing, **order), **working)


def execution_body(booked: BookedExecution) -> Body:
    execution = booked.execution
    return {
        "booked": _plain(booked, "execution"),
        "execution": {**execution._asdict(), "listing": execution.listing.con_id},
    }


def execution_of(body: Body, find: FindListing) -> BookedExecution:
    values = {**body["execution"], "listing": _listing(find, body["execution"]["listing"])}
    return BookedExecution(Execution(**values), **body["booked"])


def position_body(position: Position) -> Body:
    return {**_plain(position, "listing"), "con_id": position.listing.con_id}


def position_of(body: Body, find: FindListing) -> Position:
    values = dict(body)
    return Position(listing=_listing(find, values.pop("con_id")), **values)


def _plain(record: Any, *left_out: str) -> Body:
    return {each.name: getattr(record, each.name) for each in fields(record) if each.name not in left_out}


def _listing(find: FindListing, con_id: int) -> Listing:
    listing = find(con_id)
    if listing is None:
        raise BadInput(f"it speaks of contract {con_id}, which this market does not list")
    return listing


Written = list[tuple[str, str, Body]]


def changed_facts(trading: Trading, placing: Placing, now_ns: int) -> tuple[Written, list[tuple[str, str]]]:
    """(facts that are new or changed, names of facts that are no more)."""
    books = trading.books
    facts: Written = []
    forgotten: list[tuple[str, str]] = []

    def note(kind: str, key: str, body: Body | None) -> None:
        if body is None:
            forgotten.append((kind, key))
        else:
            facts.append((kind, key, body))

    for perm_id in trading.changed_orders | trading.drifted_orders:
        working = trading.book.by_perm.get(perm_id)
        note("order", str(perm_id), None if working is None else order_body(working))
    for base in trading.changed_executions:
        booked = trading.executions.get(base)
        note("execution", base, None if booked is None else execution_body(booked))
    for account, con_id in books.changed_positions:
        position = books.positions.get((account, con_id))
        note("position", f"{account} {con_id}", None if position is None else position_body(position))
    for account, currency in books.changed_cash:
        amount = books.cash[account, currency]
        note("cash", f"{account} {currency}", {"account": account, "currency": currency, "amount": amount})
    for client_id in placing.changed_clients:
        note("client", str(client_id), {"next_id": placing.next_ids[client_id]})
    own = {"now_ns": now_ns, "next_perm_id": trading.next_perm_id, "executions_made": trading.executions_made}
    note("exchange", "", {**own, "next_bound_id": placing.next_bound_id})
    return facts, forgotten


def restore(state: State, trading: Trading, placing: Placing) -> int:
    """Take up what the state file holds; the time that it had reached, 0 for a new file."""
    kept = state.read()
    own = kept.facts["exchange"].get("")
    if own is None:
        return 0
    try:
        _take_up(kept, trading, placing)
        trading.next_perm_id, trading.executions_made = own["next_perm_id"], own["executions_made"]
        placing.next_bound_id = own["next_bound_id"]
        return int(own["now_ns"])
    except (BadInput, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"state file {state.path}: {error}") from error


def _take_up(kept: Kept, trading: Trading, placing: Placing) -> None:
    books, find = trading.books, trading.market.by_con_id
    trading.ledger.restore(kept.ledger)
    for cash in kept.facts["cash"].values():
        if cash["account"] not in books.settings:
            raise BadInput(f"it keeps account {cash['account']}, which is not among these")
        books.cash[cash["account"], cash["currency"]] = cash["amount"]
    _require_balance(kept.ledger, books.cash)
    for body in kept.facts["position"].values():
        position = position_of(body, find)
        books.positions[position.account, position.listing.con_id] = position
    for body in sorted(kept.facts["order"].values(), key=lambda body: int(body["order"]["perm_id"])):
        trading.book.add(order_of(body, find))
    for base in sorted(kept.facts["execution"]):
        trading.executions[base] = execution_of(kept.facts["execution"][base], find)
    for client_id, body in kept.facts["client"].items():
        placing.next_ids[int(client_id)] = body["next_id"]


def _require_balance(ledger: list[Body], cash: dict[tuple[str, str], float]) -> None:
    moved: dict[tuple[str, str], float] = {}
    for entry in ledger:
        if entry["kind"] == "cash":
            key = (entry["account"], entry["currency"])
            moved[key] = moved.get(key, 0.0) + entry["amount"]
    for key in moved.keys() | cash.keys():
        if abs(moved.get(key, 0.0) - cash.get(key, 0.0)) > _CENT:
            raise BadInput(f"it is damaged: the cash of {key[0]} in {key[1]} is not the sum of its ledger")


__all__ = ["changed_facts", "restore"]
