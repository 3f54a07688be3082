"""Orders that the exchange holds: how each stands with time and matching, and which belong together."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from domain.positions import DUST
from gateway.simulator.records import Changed, Listing, Opened, OrderStatus, PlacedOrder, WireOrder

FOREVER = 1 << 62
STOPS = frozenset({"STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MIT", "LIT"})
"""Order types that wait for a trigger."""
TRAILS = frozenset({"TRAIL", "TRAIL LIMIT"})


@dataclass(slots=True)
class WorkingOrder:
    """An order with what its matching needs. It meets the pieces of the path that start at or after `meets_ns`, lie in
    [`starts_ns`, `ends_ns`] and in `window`, the session in which it may trade now or next."""

    order: PlacedOrder
    transmitted: bool = True
    waits: bool = False
    """For its parent to fill."""
    starts_ns: int = 0
    ends_ns: int = FOREVER
    meets_ns: int = 0
    met_ns: int = -1
    """Start of the last piece in which something happened to it; it has met that one."""
    window: tuple[int, int] = (0, 0)
    is_placed: bool = False
    """At the market: its session has opened and its start has come."""
    is_touched: bool = False
    cancel_ns: int = FOREVER
    value: float = 0.0
    """Quantity x price x multiplier over its executions."""
    fee: float = 0.0
    """Commission of all its executions, told of or not."""
    parts: int = 0

    @property
    def request(self) -> WireOrder:
        return self.order.request

    @property
    def listing(self) -> Listing:
        return self.order.listing

    @property
    def sign(self) -> int:
        return 1 if self.order.request.action == "BUY" else -1

    @property
    def is_live(self) -> bool:
        return not self.order.status.is_done

    @property
    def group(self) -> tuple[str, str] | None:
        """Account and name of its one-cancels-all group."""
        request = self.order.request
        return (request.account, request.oca_group) if request.oca_group else None

    def opened(self) -> Opened:
        """As it stands now: what is told later must not change what was told."""
        return Opened(copy.copy(self.order))

    def changed(self, status: OrderStatus | None = None) -> Changed:
        order = self.order
        return Changed(
            order.client_id,
            order.order_id,
            status or order.status,
            order.filled,
            max(order.remaining, 0.0),
            order.average_price,
            order.perm_id,
            order.request.parent_id,
            order.last_price,
            order.why_held,
        )

    def hold_reason(self) -> str:
        reasons = ["child"] if self.waits else []
        if self.request.order_type in STOPS and not self.order.triggered:
            reasons.append("trigger")
        return ",".join(reasons)

    def standing(self) -> OrderStatus:
        """The status of a live order by where it stands."""
        if self.waits or not self.is_placed or (self.request.order_type in STOPS and not self.order.triggered):
            return OrderStatus.PRE_SUBMITTED
        if self.request.order_type == "MKT" and self.order.filled < DUST:
            return OrderStatus.PRE_SUBMITTED
        return OrderStatus.SUBMITTED


class OrderBook:
    """All orders of the day and all that still live, by each of their names."""

    def __init__(self) -> None:
        self.by_perm: dict[int, WorkingOrder] = {}
        self._by_id: dict[tuple[int, int], int] = {}
        self._live: dict[int, dict[int, WorkingOrder]] = {}
        self._groups: dict[tuple[str, str], set[int]] = {}

    def add(self, working: WorkingOrder) -> None:
        order = working.order
        self.by_perm[order.perm_id] = working
        if order.order_id:
            self._by_id[order.client_id, order.order_id] = order.perm_id
        if working.is_live:
            self._live.setdefault(working.listing.con_id, {})[order.perm_id] = working
            self.join(working)

    def find(self, client_id: int, order_id: int) -> WorkingOrder | None:
        perm_id = self._by_id.get((client_id, order_id))
        return None if perm_id is None else self.by_perm[perm_id]

    def bind(self, working: WorkingOrder) -> None:
        self._by_id[working.order.client_id, working.order.order_id] = working.order.perm_id

    def join(self, working: WorkingOrder) -> None:
        if working.group is not None:
            self._groups.setdefault(working.group, set()).add(working.order.perm_id)

    def finish(self, working: WorkingOrder) -> None:
        """It lives no more."""
        perm_id = working.order.perm_id
        of_listing = self._live.get(working.listing.con_id, {})
        of_listing.pop(perm_id, None)
        if not of_listing:
            self._live.pop(working.listing.con_id, None)
        if working.group is not None:
            members = self._groups.get(working.group, set())
            members.discard(perm_id)
            if not members:
                self._groups.pop(working.group, None)

    def forget(self, working: WorkingOrder) -> None:
        order = working.order
        self.by_perm.pop(order.perm_id, None)
        if self._by_id.get((order.client_id, order.order_id)) == order.perm_id:
            del self._by_id[order.client_id, order.order_id]

    def live(self) -> Iterator[WorkingOrder]:
        """In the order in which they came."""
        orders = (working for of_listing in self._live.values() for working in of_listing.values())
        return iter(sorted(orders, key=lambda working: working.order.perm_id))

    def live_of(self, con_id: int) -> list[WorkingOrder]:
        return list(self._live.get(con_id, {}).values())

    def live_listings(self) -> list[int]:
        return list(self._live)

    def others_of_group(self, working: WorkingOrder) -> list[WorkingOrder]:
        if working.group is None:
            return []
        members = sorted(self._groups.get(working.group, ()))
        return [self.by_perm[perm_id] for perm_id in members if perm_id != working.order.perm_id]

    def has_filled(self, group: tuple[str, str]) -> bool:
        """Whether a member of the group has filled today, wholly or in part."""
        return any(working.group == group and working.order.filled > 0 for working in self.by_perm.values())

    def children(self, working: WorkingOrder) -> list[WorkingOrder]:
        found = (self.by_perm.get(perm_id) for perm_id in working.order.children)
        return [child for child in found if child is not None and child.is_live]


__all__ = ["FOREVER", "STOPS", "TRAILS", "OrderBook", "WorkingOrder"]
