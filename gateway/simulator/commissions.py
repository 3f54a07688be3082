"""Executions as the exchange keeps them, and what orders cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.costs import commission
from domain.positions import DUST
from gateway.simulator.books import Books
from gateway.simulator.ledger import Ledger, effective
from gateway.simulator.records import CommissionReport, Execution
from gateway.simulator.working import WorkingOrder


@dataclass(slots=True)
class BookedExecution:
    """An execution in its last revision, and what it costs. `realized` is NaN where it opened."""

    execution: Execution
    fee: float
    currency: str
    realized: float
    due_ns: int
    """When its commission is told of; FOREVER is never."""
    is_charged: bool = False

    @property
    def base(self) -> str:
        return base_of(self.execution.exec_id)

    def report(self) -> CommissionReport:
        return CommissionReport(self.execution.exec_id, self.fee, self.currency, self.realized - self.fee)


def base_of(exec_id: str) -> str:
    """An execution's id without its revision."""
    return exec_id.rpartition(".")[0]


def revised(exec_id: str) -> str:
    """The id of the next revision."""
    base, _, revision = exec_id.rpartition(".")
    return f"{base}.{int(revision) + 1:02d}"


def order_fee(books: Books, ledger: Ledger, working: WorkingOrder, now_ns: int) -> tuple[float, str]:
    """(commission, currency) of an order over all that it has filled; forex is charged in the account's currency."""
    listing, order = working.listing, working.order
    currency, value = listing.contract.currency, working.value
    if listing.contract.sec_type == "CASH":
        base = books.settings[order.account].currency
        value, currency = value * books.rate(currency, base, now_ns), base
    if order.filled < DUST:
        return 0.0, currency
    month_units = _month_units(ledger, working, now_ns) if listing.commission.tiers else 0.0
    return commission(listing.commission, working.sign * order.filled, value, month_units), currency


def _month_units(ledger: Ledger, working: WorkingOrder, now_ns: int) -> float:
    """Units that other orders traded earlier in the calendar month."""
    order, month = working.order, month_of(now_ns)
    executions = effective(ledger.of("execution", account=order.account, con_id=working.listing.con_id)).values()
    earlier = [
        float(entry["quantity"])
        for entry in executions
        if entry["perm_id"] != order.perm_id and month_of(entry["time_ns"]) == month
    ]
    return sum(earlier)


def month_of(now_ns: int) -> int:
    """The calendar month in UTC, counted from 1970."""
    return int(np.datetime64(now_ns, "ns").astype("datetime64[M]").astype(int))


__all__ = ["BookedExecution", "base_of", "order_fee", "revised"]
