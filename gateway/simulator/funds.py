"""Whether an account can afford an order, and what a what-if order is answered."""

from __future__ import annotations

from gateway.simulator.books import exposure
from gateway.simulator.commissions import order_fee
from gateway.simulator.records import Listing, Margins, OrderStatus, PlacedOrder, WireOrder
from gateway.simulator.trading import Trading
from gateway.simulator.validation import Refusal, rejected
from gateway.simulator.working import WorkingOrder


def funds_refusal(
    trading: Trading, request: WireOrder, listing: Listing, now_ns: int, replaced: WorkingOrder | None = None
) -> Refusal | None:
    """IB's refusal of an order that needs more margin than the account has; one that reduces is always taken."""
    account, books = request.account, trading.books
    before, _ = margins_with(trading, account, listing, now_ns, left_out=replaced)
    after, _ = margins_with(trading, account, listing, now_ns, extra=request, left_out=replaced)
    equity = books.worth(account, now_ns).equity
    if after <= before + 1e-6 or after <= equity:
        return None
    currency = books.settings[account].currency
    return rejected(
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{equity:.2f} {currency}] MUST EXCEED THE INITIAL MARGIN [{after:.2f} {currency}]"
    )


def margins_with(
    trading: Trading,
    account: str,
    listing: Listing,
    now_ns: int,
    *,
    extra: WireOrder | None = None,
    left_out: WorkingOrder | None = None,
) -> tuple[float, float]:
    """(initial, maintenance) margin of the account were all that works filled, and `extra` on `listing` with it.

    Of a group that cancels itself one member counts; children close what their parent opens, and count nothing.
    """
    books = trading.books
    listings = {listing.con_id: listing}
    listings |= {position.listing.con_id: position.listing for position in books.held(account)}
    pending: dict[int, list[float]] = {}
    groups: set[str] = set()
    for working in trading.book.live():
        request = working.request
        if working is left_out or request.account != account or working.order.parent_perm_id:
            continue
        if request.oca_group and request.oca_group in groups:
            continue
        groups.add(request.oca_group)
        listings[working.listing.con_id] = working.listing
        pending.setdefault(working.listing.con_id, []).append(working.sign * working.order.remaining)
    if extra is not None and not extra.parent_id:
        sign = 1 if extra.action == "BUY" else -1
        filled = left_out.order.filled if left_out is not None else 0.0
        pending.setdefault(listing.con_id, []).append(sign * (extra.quantity - filled))
    units = []
    for con_id, each in listings.items():
        position = books.positions.get((account, con_id))
        units.append((each, exposure(position.quantity if position else 0.0, pending.get(con_id, ()))))
    return books.margins(account, units, now_ns)


def what_if(trading: Trading, request: WireOrder, listing: Listing, now_ns: int) -> Margins:
    account, books = request.account, trading.books
    before = margins_with(trading, account, listing, now_ns)
    after = margins_with(trading, account, listing, now_ns, extra=request)
    fee, currency = expected_fee(trading, request, listing, now_ns)
    equity = books.worth(account, now_ns).equity
    cost = fee * books.rate(currency, books.settings[account].currency, now_ns)
    return Margins(
        (before[0], after[0] - before[0], after[0]),
        (before[1], after[1] - before[1], after[1]),
        (equity, -cost, equity - cost),
        fee,
        currency,
    )


def expected_fee(trading: Trading, request: WireOrder, listing: Listing, now_ns: int) -> tuple[float, str]:
    """The commission if the order filled at its limit, or at the price of the moment."""
    limit = request.limit_price
    price = limit if limit == limit and limit > 0 else trading.books.mark(listing, now_ns)
    filled = PlacedOrder(request, listing, 0, 0, OrderStatus.FILLED, filled=request.quantity)
    working = WorkingOrder(filled, value=request.quantity * price * listing.multiplier)
    return order_fee(trading.books, trading.ledger, working, now_ns)


__all__ = ["expected_fee", "funds_refusal", "margins_with", "what_if"]
