"""What the gateway says of orders, executions, positions and accounts: raw facts, checked and passed on.

No order's state is kept here. The client libraries keep one and get it wrong: an error on a working order makes it
cancelled there, a correction adds to what was filled, a fill of an order they do not know is not told.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any

from gateway.answers import Margins
from gateway.awaited import Awaited
from gateway.errors import BadFrame
from gateway.events import (
    AccountValueReported,
    CommissionReported,
    Event,
    Executed,
    HoldingValued,
    OrderCompleted,
    OrderOpened,
    OrderStatusChanged,
    PositionReported,
)
from gateway.tickets import terms_of
from gateway.translate import contract_from, exchange_time_ns, given

POSITIONS, OPEN_ORDERS, COMPLETED_ORDERS, ACCOUNT = "positions", "open orders", "completed orders", "account"
# A word of IB's that is new to us must not end the connection; what is no word is damage.
_STATUS = re.compile(r"[A-Za-z]{3,30}", re.ASCII)
_ACTIONS = ("BUY", "SELL", "SSHORT", "SLONG")
_REVISION = re.compile(r"(.+)\.(\d{1,6})", re.ASCII)
_EXEC_ID = re.compile(r"\w+(\.\w+)+", re.ASCII)
_EXECUTION_TIME = 15
_UNSET_INTEGER = 2147483647


def revision_of(exec_id: str) -> tuple[str, int]:
    """(base, revision): `0001.0002.01` corrected becomes `0001.0002.02`."""
    found = _REVISION.fullmatch(exec_id)
    return (found.group(1), int(found.group(2))) if found else (exec_id, 0)


class OrderMessages:
    """Receiver of one session's messages about orders and accounts. `emit` gets each fact as an event.

    `own_ids` hears each order id that our client id has used, as the next one must lie above it.
    """

    def __init__(
        self, session: int, awaited: Awaited, emit: Callable[[Event], None], own_ids: Callable[[int, int], None]
    ) -> None:
        self.raw: tuple[str, ...] = ()
        """The fields of the message that is being read."""
        self._session = session
        self._awaited = awaited
        self._emit = emit
        self._own_ids = own_ids
        self._answering: int | None = None

    def methods(self) -> dict[str, Callable[..., None]]:
        return {
            "openOrder": self.open_order,
            "openOrderEnd": lambda: self._awaited.end(OPEN_ORDERS),
            "completedOrder": self.completed_order,
            "completedOrdersEnd": lambda: self._awaited.end(COMPLETED_ORDERS),
            "orderStatus": self.order_status,
            "execDetails": self.execution,
            "execDetailsEnd": self._awaited.end,
            "commissionReport": self.commission,
            "position": self.position,
            "positionEnd": lambda: self._awaited.end(POSITIONS),
            "updateAccountValue": self.account_value,
            "updatePortfolio": self.holding,
            "updateAccountTime": lambda _time: None,
            "accountDownloadEnd": lambda _account: self._awaited.end(ACCOUNT),
            "accountSummary": self.account_summary,
            "accountSummaryEnd": self._awaited.end,
        }

    def open_order(self, order_id: int, contract: Any, order: Any, state: Any) -> None:
        if order.whatIf:
            margins = _margins(state)
            if not math.isnan(margins.initial[1]):  # IB may send one without numbers first
                self._awaited.end(order_id, margins)
            return
        _require(bool(_STATUS.fullmatch(state.status)), f"an open order with the status {state.status[:30]!r}")
        # 0 is the quantity of an order for an amount of cash.
        _require(order.action in _ACTIONS and 0 <= order.totalQuantity < math.inf, "an open order of no number")
        fact = OrderOpened(
            time.time_ns(),
            self._session,
            order.clientId,
            order_id,
            order.permId,
            order.parentId,
            order.orderRef,
            order.account,
            contract_from(contract),
            terms_of(order),
            state.status,
            given(state.commission),
            state.warningText,
            self.raw,
        )
        self._own_ids(order.clientId, order_id)
        self._awaited.add(OPEN_ORDERS, fact)
        self._emit(fact)

    def completed_order(self, contract: Any, order: Any, state: Any) -> None:
        _require(order.permId > 0, "a completed order without an id")
        fact = OrderCompleted(
            time.time_ns(),
            self._session,
            order.permId,
            order.parentPermId if order.parentPermId < 2**62 else 0,
            order.orderRef,
            order.account,
            contract_from(contract),
            terms_of(order),
            state.status,
            given(order.filledQuantity),
            state.completedTime,
            state.completedStatus,
            self.raw,
        )
        self._awaited.add(COMPLETED_ORDERS, fact)
        self._emit(fact)

    def order_status(
        self,
        order_id: int,
        status: str,
        filled: float,
        remaining: float,
        average_price: float,
        perm_id: int,
        parent_id: int,
        last_price: float,
        client_id: int,
        why_held: str,
        _cap_price: float = 0.0,
    ) -> None:
        _require(bool(_STATUS.fullmatch(status)), f"an order with the status {status[:30]!r}")
        _require(0 <= filled < math.inf and 0 <= remaining < math.inf, "an order status with wrong quantities")
        fact = OrderStatusChanged(
            time.time_ns(),
            self._session,
            client_id,
            order_id,
            perm_id,
            parent_id,
            status,
            filled,
            remaining,
            average_price,
            last_price,
            why_held,
            self.raw,
        )
        self._own_ids(client_id, order_id)
        self._awaited.add(OPEN_ORDERS, fact)
        self._emit(fact)

    def execution(self, request_id: int, contract: Any, execution: Any) -> None:
        _require(execution.side in ("BOT", "SLD"), f"an execution on no side, {execution.side[:10]!r}")
        _require(bool(_EXEC_ID.fullmatch(execution.execId)), f"an execution with the id {execution.execId[:40]!r}")
        _require(0 <= execution.shares < math.inf and math.isfinite(execution.price), "an execution of no number")
        _require(0 <= execution.cumQty < math.inf, "an execution with a wrong sum")
        now_ns = time.time_ns()
        base, revision = revision_of(execution.execId)
        order_id = execution.orderId if execution.orderId != _UNSET_INTEGER else 0
        fact = Executed(
            now_ns,
            self._session,
            execution.execId,
            base,
            revision,
            exchange_time_ns(self.raw[_EXECUTION_TIME]) or now_ns,
            execution.acctNumber,
            contract_from(contract),
            execution.shares if execution.side == "BOT" else -execution.shares,
            execution.price,
            execution.permId,
            execution.clientId,
            order_id,
            execution.orderRef,
            execution.cumQty,
            execution.avgPrice,
            bool(execution.liquidation),
            request_id not in self._awaited,
            self.raw,
        )
        self._own_ids(execution.clientId, order_id)
        self._answering = request_id
        self._awaited.add(request_id, fact)
        self._emit(fact)

    def commission(self, report: Any) -> None:
        _require(bool(report.execId) and math.isfinite(report.commission), "a commission of no execution")
        fact = CommissionReported(
            time.time_ns(),
            self._session,
            report.execId,
            report.commission,
            report.currency,
            given(report.realizedPNL),
            self.raw,
        )
        if self._answering is not None:  # commissions carry no request number; they follow their executions
            self._awaited.add(self._answering, fact)
        self._emit(fact)

    def position(self, account: str, contract: Any, quantity: float, average_cost: float) -> None:
        _require(math.isfinite(quantity) and math.isfinite(average_cost), "a position that is no number")
        fact = PositionReported(time.time_ns(), self._session, account, contract_from(contract), quantity, average_cost)
        self._awaited.add(POSITIONS, fact)
        self._emit(fact)

    def account_value(self, key: str, value: str, currency: str, account: str) -> None:
        fact = AccountValueReported(time.time_ns(), account, key, value, currency)
        self._awaited.add(ACCOUNT, fact)
        self._emit(fact)

    def account_summary(self, request_id: int, account: str, key: str, value: str, currency: str) -> None:
        self._awaited.add(request_id, AccountValueReported(time.time_ns(), account, key, value, currency))

    def holding(
        self,
        contract: Any,
        quantity: float,
        market_price: float,
        market_value: float,
        average_cost: float,
        unrealized: float,
        realized: float,
        account: str,
    ) -> None:
        self._emit(
            HoldingValued(
                time.time_ns(),
                account,
                contract_from(contract),
                quantity,
                market_price,
                market_value,
                average_cost,
                given(unrealized),
                given(realized),
            )
        )


def _margins(state: Any) -> Margins:
    def three(name: str) -> tuple[float, float, float]:
        before, change, after = (given(getattr(state, name + part)) for part in ("Before", "Change", "After"))
        return before, change, after

    return Margins(
        three("initMargin"),
        three("maintMargin"),
        three("equityWithLoan"),
        given(state.commission),
        given(state.minCommission),
        given(state.maxCommission),
        state.commissionCurrency,
        state.warningText,
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise BadFrame(what)
