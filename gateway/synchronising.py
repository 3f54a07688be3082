"""What is asked after each connect and each loss of IB, before anything may be traded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.errors import OperatorNeeded, Refused
from gateway.events import (
    AccountValueReported,
    CommissionReported,
    Executed,
    Executions,
    OpenOrders,
    OrderOpened,
    OrderStatusChanged,
    PositionReported,
    Synchronised,
)
from gateway.order_messages import ACCOUNT, COMPLETED_ORDERS, OPEN_ORDERS, POSITIONS
from gateway.pacer import Priority
from gateway.session import Session
from gateway.settings import kind_of
from gateway.troubles import Trouble, TroubleError


async def synchronise(session: Session) -> Synchronised:
    """Everything, each with its end mark; NoAnswer or TroubleError where one does not come in time."""
    settings = session.settings
    account = chosen_account(session)
    seconds = settings.sync_seconds
    asked: dict[str, Any] = {
        "positions": positions(session, seconds),
        "account": account_values(session, account, seconds),
        "executions": executions(session, seconds),
    }
    if not settings.read_only:
        asked["open orders"] = open_orders(session, seconds)
        asked["completed orders"] = completed_orders(session, seconds)
    tasks = [asyncio.ensure_future(one) for one in asked.values()]
    try:
        answers = dict(zip(asked, await asyncio.gather(*tasks), strict=True))
    except OperatorNeeded as error:
        raise TroubleError(Trouble.READ_ONLY) from error
    except Refused as error:
        raise TroubleError(Trouble.INCOMPLETE, error.words) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Synchronised(
        time.time_ns(),
        session.number,
        session.next_order_id,
        account,
        answers["positions"],
        answers.get("open orders", OpenOrders((), ())),
        answers.get("completed orders", ()),
        answers["executions"],
        answers["account"],
        settings.read_only,
    )


def chosen_account(session: Session) -> str:
    """The account of the settings, which the login must have, or its only one."""
    wanted, accounts = session.settings.account, session.accounts
    if wanted and wanted not in accounts:
        raise TroubleError(Trouble.WRONG_ACCOUNT, f"{wanted} is wanted, the login has {', '.join(accounts)}")
    if not wanted and len(accounts) != 1:
        raise TroubleError(
            Trouble.WRONG_ACCOUNT, f"the login has {', '.join(accounts)}; name the one that is meant in the settings"
        )
    return wanted or accounts[0]


def require_account(session: Session, found: Synchronised) -> None:
    """TroubleError unless the account is of the kind that the settings name."""
    types = [value.value for value in found.account_values if value.key == "AccountType"]
    kind = kind_of(found.account, types[-1] if types else "")
    if kind is not session.settings.kind:
        raise TroubleError(Trouble.WRONG_KIND, f"{found.account} is {kind}, the settings say {session.settings.kind}")


async def positions(session: Session, seconds: float) -> tuple[PositionReported, ...]:
    """All positions of all accounts; one that was told twice meanwhile counts as told last."""
    rows = await session.ask_kind(POSITIONS, session.requests.reqPositions, seconds, Priority.HEARTBEAT)
    last = {(row.account, row.contract.con_id): row for row in rows}
    return tuple(row for row in last.values() if row.quantity)


async def open_orders(session: Session, seconds: float) -> OpenOrders:
    """The working orders of all clients."""
    rows = await session.ask_kind(OPEN_ORDERS, session.requests.reqAllOpenOrders, seconds, Priority.HEARTBEAT)
    orders = {(row.client_id, row.order_id, row.perm_id): row for row in rows if isinstance(row, OrderOpened)}
    return OpenOrders(tuple(orders.values()), tuple(row for row in rows if isinstance(row, OrderStatusChanged)))


async def completed_orders(session: Session, seconds: float) -> tuple[Any, ...]:
    """The orders that ended since midnight."""
    rows = await session.ask_kind(
        COMPLETED_ORDERS, lambda: session.requests.reqCompletedOrders(False), seconds, Priority.HEARTBEAT
    )
    return tuple(rows)


async def executions(session: Session, seconds: float) -> Executions:
    """The executions since midnight, of all clients and by hand, and their commissions."""
    everything = session.library.executions({})
    rows = await session.ask(
        lambda number: session.requests.reqExecutions(number, everything), seconds, priority=Priority.HEARTBEAT
    )
    return Executions(
        tuple(row for row in rows if isinstance(row, Executed)),
        tuple(row for row in rows if isinstance(row, CommissionReported)),
    )


async def account_values(session: Session, account: str, seconds: float) -> tuple[AccountValueReported, ...]:
    """The account's values; they are then told whenever they change."""
    rows = await session.ask_kind(
        ACCOUNT, lambda: session.requests.reqAccountUpdates(True, account), seconds, Priority.HEARTBEAT
    )
    return tuple(rows)
