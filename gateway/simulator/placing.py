"""What becomes of an order that a client sends: a new one, a change of one, a question about one, or nothing."""

from __future__ import annotations

import math
from dataclasses import replace

from domain.errors import BadInput
from gateway.simulator.funds import funds_refusal, what_if
from gateway.simulator.lifetimes import lifetime
from gateway.simulator.policy import RejectRule
from gateway.simulator.records import Changed, Listing, Opened, OrderStatus, PlacedOrder, Told, WireOrder
from gateway.simulator.trading import Trading
from gateway.simulator.validation import (
    DUPLICATE_ID,
    IS_FILLED,
    NO_MATCH,
    NO_PARENT,
    PRESET_TIF,
    Refusal,
    Rules,
    find_listing,
    ignores_outside_rth,
    modification_refusal,
    refusal,
    rejected,
    with_defaults,
)
from gateway.simulator.working import FOREVER, WorkingOrder

IGNORED_OUTSIDE_RTH = (
    'Order Event Warning:Attribute "Outside Regular Trading Hours" is ignored based on the order type and destination. '
    "PlaceOrder is now being processed."
)


class Placing:
    def __init__(self, trading: Trading) -> None:
        self.trading = trading
        self.reject_rules: list[RejectRule] = []
        self.next_ids: dict[int, int] = {}
        self.changed_clients: set[int] = set()
        self.next_bound_id = -1

    # Ids

    def next_id(self, client_id: int) -> int:
        return self.next_ids.get(client_id, 1)

    def set_next_id(self, client_id: int, order_id: int) -> None:
        self.next_ids[client_id] = order_id
        self.changed_clients.add(client_id)

    def take_bound_id(self) -> int:
        """An order id for an order placed by hand."""
        self.next_bound_id -= 1
        return self.next_bound_id + 1

    # Orders

    def place(self, client_id: int, order: WireOrder, now_ns: int) -> None:
        """Note in `trading.facts` what the client is told."""
        request = with_defaults(order, tuple(self.trading.books.settings))
        existing = self.trading.book.find(client_id, request.order_id)
        if existing is not None and not request.what_if:
            self._modify(existing, request, now_ns)
            return
        listing = find_listing(self.trading.market.find, request)
        if isinstance(listing, Refusal):
            self._refuse(client_id, request.order_id, listing)
            return
        wrong = self.check(client_id, request, listing, now_ns)
        if wrong is not None:
            self._refuse(client_id, request.order_id, wrong)
            return
        if request.what_if:
            margins = what_if(self.trading, request, listing, now_ns)
            answer = PlacedOrder(request, listing, client_id, 0, OrderStatus.PRE_SUBMITTED, placed_ns=now_ns)
            self.trading.facts.append(Opened(answer, margins))
            return
        self.set_next_id(client_id, max(self.next_id(client_id), request.order_id + 1))
        self._warn(client_id, request, listing)
        working = self.trading.accept(client_id, request, listing, now_ns)
        if request.transmit:
            self._release_family(working, now_ns)

    def check(self, client_id: int, request: WireOrder, listing: Listing, now_ns: int) -> Refusal | None:
        """Why a new order is refused, or None. Client -1 is a person at the gateway itself."""
        if client_id >= 0 and not request.what_if and request.order_id < self.next_id(client_id):
            return DUPLICATE_ID
        wrong = self._family_refusal(client_id, request) or refusal(request, listing, self._rules(now_ns))
        if wrong is None and self._never_trades(request, listing, now_ns):
            wrong = Refusal(392, "Invalid order: contract expired.")
        return wrong or self._funds_refusal(request, listing, now_ns) or self._ruled_out(request, listing)

    def _funds_refusal(
        self, request: WireOrder, listing: Listing, now_ns: int, replaced: WorkingOrder | None = None
    ) -> Refusal | None:
        try:
            return funds_refusal(self.trading, request, listing, now_ns, replaced)
        except BadInput as error:  # no price yet, or a currency that nothing quotes
            return rejected(str(error))

    def _family_refusal(self, client_id: int, request: WireOrder) -> Refusal | None:
        book = self.trading.book
        if request.oca_group and book.has_filled((request.account, request.oca_group)):
            return rejected(f"The OCA group {request.oca_group} has already been filled.")
        if not request.parent_id:
            return None
        parent = book.find(client_id, request.parent_id)
        if parent is None:
            return NO_PARENT
        return None if parent.is_live else rejected("Parent order is not working.")

    def _rules(self, now_ns: int) -> Rules:
        return Rules(tuple(self.trading.books.settings), self.trading.policy.denied_types, now_ns)

    def _never_trades(self, request: WireOrder, listing: Listing, now_ns: int) -> bool:
        try:
            window = lifetime(self.trading.market, listing.con_id, listing.zone, request, now_ns)[2]
        except BadInput:
            return True
        return window[0] >= FOREVER

    def _ruled_out(self, request: WireOrder, listing: Listing) -> Refusal | None:
        for rule in self.reject_rules:
            if rule.matches(request, listing):
                rule.times -= 1
                return Refusal(rule.code, rule.text)
        return None

    def _refuse(self, client_id: int, order_id: int, wrong: Refusal) -> None:
        self.trading.facts.append(Told(client_id, order_id, *wrong))
        if self.trading.policy.tells_inactive:
            inactive = Changed(client_id, order_id, OrderStatus.INACTIVE, 0.0, 0.0, 0.0, 0, 0, 0.0, "")
            self.trading.facts.append(inactive)

    def _warn(self, client_id: int, request: WireOrder, listing: Listing) -> None:
        if self.trading.policy.tif_preset and request.tif == "DAY":
            self.trading.facts.append(Told(client_id, request.order_id, *PRESET_TIF))
        if ignores_outside_rth(request, listing):
            request.outside_rth = False
            self.trading.facts.append(Told(client_id, request.order_id, 2109, IGNORED_OUTSIDE_RTH))

    def _release_family(self, working: WorkingOrder, now_ns: int) -> None:
        """What was sent to be transmitted, with its parent and all that was held back beside it."""
        book = self.trading.book
        parent = book.by_perm.get(working.order.parent_perm_id)
        head = parent if parent is not None and parent.is_live else working
        for member in (head, *book.children(head), working):
            if not member.transmitted:
                self.trading.release(member, now_ns)

    def _modify(self, working: WorkingOrder, request: WireOrder, now_ns: int) -> None:
        order, old = working.order, working.request
        wrong = self._change_refusal(working, request, now_ns)
        if wrong is not None:
            self.trading.facts.append(Told(order.client_id, order.order_id, *wrong))
            return
        if ignores_outside_rth(request, working.listing):
            request.outside_rth = False
        changed = replace(
            request, oca_group=old.oca_group, oca_type=old.oca_type, parent_id=old.parent_id, contract=old.contract
        )
        if changed.order_type == "TRAIL LIMIT" and math.isnan(changed.limit_price_offset):
            changed.limit_price_offset = old.limit_price_offset if changed.limit_price == old.limit_price else math.nan
        self.trading.modify(working, changed, now_ns)
        if working.transmitted:
            self.trading.facts += [working.opened(), working.changed()]
        elif request.transmit:
            self._release_family(working, now_ns)

    def _change_refusal(self, working: WorkingOrder, request: WireOrder, now_ns: int) -> Refusal | None:
        if not working.is_live:
            return IS_FILLED if working.order.status is OrderStatus.FILLED else DUPLICATE_ID
        matches = self.trading.market.find(request.contract)
        if working.listing.con_id not in [listing.con_id for listing in matches]:
            return NO_MATCH
        return (
            modification_refusal(working.request, request, working.order.filled)
            or refusal(request, working.listing, self._rules(now_ns))
            or self._funds_refusal(request, working.listing, now_ns, working)
        )


__all__ = ["Placing"]
