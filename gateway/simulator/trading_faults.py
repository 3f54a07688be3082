"""Verbs of the exchange: how orders fill, are refused and corrected, and what people do without this client."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from domain.errors import BadInput, UnknownName
from gateway.contract import Contract
from gateway.simulator.faults import FOREVER, verb
from gateway.simulator.policy import FillPolicy, RejectRule
from gateway.simulator.records import NAN, WireOrder

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

_POLICY = {each.name: each for each in fields(FillPolicy)}


@verb
def fill(
    simulator: Simulator,
    when: str = "touch",
    delay_seconds: float = 0.0,
    slippage_bps: float = 0.0,
    part_size: float = 0.0,
    fractions: list[float] | None = None,
    volume_cap: float = 0.0,
) -> None:
    """How orders fill from now on: `touch` (as soon as the price allows), `next` or `never`; after a delay, in parts of
    a size or in fractions in turn, at most a fraction of what is traded in their second."""
    simulator.exchange.policy = replace(
        simulator.exchange.policy,
        fill=when,
        delay_seconds=delay_seconds,
        slippage_bps=slippage_bps,
        part_size=part_size,
        fractions=_numbers(fractions or []),
        volume_cap=volume_cap,
    )


@verb
def policy(simulator: Simulator, name: str, value: object) -> None:
    """Change one rule of how orders are treated: status_first, statuses_told, executions_told, cancel_delay_seconds,
    tells_pending_cancel, tells_inactive, tif_preset, locate_seconds, …"""
    if name not in _POLICY:
        raise UnknownName("policy", name, _POLICY)
    kept = getattr(simulator.exchange.policy, name)
    if isinstance(kept, bool) is not isinstance(value, bool):
        raise BadInput(f"policy: {name} is {value!r}; expected what {kept!r} is")
    if isinstance(kept, tuple):
        if not isinstance(value, list):
            raise BadInput(f"policy: {name} is {value!r}; expected a list")
        value = tuple(value)
    elif isinstance(kept, float) and isinstance(value, int):
        value = float(value)
    if type(value) is not type(kept):
        raise BadInput(f"policy: {name} is {value!r}; expected what {kept!r} is")
    simulator.exchange.policy = replace(simulator.exchange.policy, **{name: value})  # type: ignore[arg-type]


@verb
def late_comm(simulator: Simulator, seconds: float = FOREVER) -> None:
    """Commissions come so long (exchange time) after their executions; without `seconds`, never."""
    simulator.exchange.policy = replace(simulator.exchange.policy, commission_delay_seconds=seconds)


@verb
def reject(
    simulator: Simulator,
    code: int = 201,
    text: str = "Order rejected - reason:Rejected by rule",
    symbol: str = "",
    action: str = "",
    order_type: str = "",
    account: str = "",
    count: int = 1,
) -> None:
    """Refuse the next orders that match; what is empty matches all."""
    simulator.exchange.reject_rules.append(RejectRule(code, text, symbol, action, order_type, account, count))


@verb
def cancel(simulator: Simulator, perm_id: int = 0, reason: str = "") -> None:
    """The exchange ends a working order by itself (202); without `perm_id`, the newest one."""
    exchange = simulator.exchange
    if not perm_id:
        working = exchange.open_orders()
        if not working:
            raise BadInput("cancel: no order works")
        perm_id = working[-1].perm_id
    simulator.tell(exchange.cancel_by_exchange(perm_id, simulator.now_ns(), reason))


@verb
def correct(simulator: Simulator, quantity: float, price: float, exec_id: str = "") -> None:
    """Revise an execution of today; without `exec_id`, the last one."""
    exec_id = exec_id or _last_execution(simulator)
    simulator.tell(simulator.exchange.correct(exec_id, quantity, price, simulator.now_ns()))


@verb
def bust(simulator: Simulator, exec_id: str = "") -> None:
    """Undo an execution of today; without `exec_id`, the last one."""
    exec_id = exec_id or _last_execution(simulator)
    simulator.tell(simulator.exchange.bust(exec_id, simulator.now_ns()))


@verb
def external(
    simulator: Simulator,
    symbol: str,
    action: str,
    quantity: float,
    order_type: str = "MKT",
    limit_price: float = NAN,
    aux_price: float = NAN,
    tif: str = "DAY",
    account: str = "",
    sec_type: str = "STK",
    exchange: str = "SMART",
    currency: str = "USD",
    order_ref: str = "",
) -> None:
    """A person places an order by hand."""
    order = WireOrder(
        order_id=0,
        contract=Contract(symbol=symbol, sec_type=sec_type, exchange=exchange, currency=currency),
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit_price=limit_price,
        aux_price=aux_price,
        tif=tif,
        account=account,
        order_ref=order_ref,
    )
    _, facts = simulator.exchange.external_order(order, simulator.now_ns())
    simulator.tell(facts)


def _last_execution(simulator: Simulator) -> str:
    found = simulator.exchange.executions()
    if not found:
        raise BadInput("there is no execution today")
    return found[-1].exec_id


def _numbers(values: list[float]) -> tuple[float, ...]:
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        raise BadInput(f"fill: fractions is {values!r}; expected numbers")
    return tuple(map(float, values))
