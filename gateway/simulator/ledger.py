"""The ground truth of a simulated exchange: all that happened, in order, never changed afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from gateway.simulator.records import Execution, PlacedOrder

Entry = dict[str, Any]
KINDS = ("order", "change", "end", "execution", "commission", "cash", "position")


class Ledger:
    """Entries are plain dicts with `seq` (from 1, without holes), `kind` and `time_ns`.

    order: an order accepted, with its terms; change: its new terms; end: how it ended. execution: one revision of an
    execution (a correction is the next revision, a bust one of quantity 0). commission: what an execution cost, or what
    a correction changes of it. cash: an amount in a currency, by `reason` (deposit, trade, settlement, dividend, split,
    commission). position: units that came without an execution (a split).
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._kept = 0

    def append(self, kind: str, time_ns: int, **what: Any) -> None:
        self._entries.append({"seq": len(self._entries) + 1, "kind": kind, "time_ns": time_ns, **what})

    def restore(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._kept = len(entries)

    def unkept(self) -> list[Entry]:
        """The entries that were not yet written down."""
        return self._entries[self._kept :]

    def keep(self) -> None:
        self._kept = len(self._entries)

    def of(self, *kinds: str, **wanted: Any) -> Iterator[Entry]:
        """Entries of some kinds whose fields are as wanted."""
        return (
            entry
            for entry in self._entries
            if entry["kind"] in kinds and all(entry.get(name) == value for name, value in wanted.items())
        )

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, where: int) -> Entry: ...

    @overload
    def __getitem__(self, where: slice) -> list[Entry]: ...

    def __getitem__(self, where: int | slice) -> Entry | list[Entry]:
        return self._entries[where]


def order_terms(order: PlacedOrder) -> dict[str, object]:
    request = order.request
    return {
        "perm_id": order.perm_id,
        "account": request.account,
        "con_id": order.listing.con_id,
        "symbol": order.listing.contract.symbol,
        "action": request.action,
        "quantity": request.quantity,
        "order_type": request.order_type,
        "limit_price": request.limit_price,
        "aux_price": request.aux_price,
        "tif": request.tif,
        "order_ref": request.order_ref,
        "parent_perm_id": order.parent_perm_id,
        "oca_group": request.oca_group,
    }


def execution_terms(execution: Execution) -> dict[str, object]:
    return {
        "exec_id": execution.exec_id,
        "perm_id": execution.perm_id,
        "client_id": execution.client_id,
        "order_id": execution.order_id,
        "order_ref": execution.order_ref,
        "account": execution.account,
        "con_id": execution.listing.con_id,
        "symbol": execution.listing.contract.symbol,
        "side": execution.side,
        "quantity": execution.quantity,
        "price": execution.price,
    }


def effective(entries: Iterator[Entry]) -> Mapping[str, Entry]:
    """Of executions, the last revision of each, by its id without revision."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found[entry["exec_id"].rpartition(".")[0]] = entry
    return found


__all__ = ["KINDS", "Entry", "Ledger", "effective", "execution_terms", "order_terms"]
