"""Time at the exchange: pieces of the price path met in order, and between them what is due by the clock."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import numpy as np

from domain.errors import BadInput
from domain.positions import DUST
from gateway.simulator.books import Position
from gateway.simulator.lifetimes import SECOND_NS, midnight_after, midnight_before, window_at
from gateway.simulator.matching import may_react, opening_of, price_at, trail
from gateway.simulator.records import Listing, Step
from gateway.simulator.trading import BY_SYSTEM, BY_TRADER, Trading
from gateway.simulator.working import FOREVER, WorkingOrder

# So much of the path is asked for at once.
SLICE_NS = 900 * SECOND_NS
_AT_ONCE = ("IOC", "FOK", "OPG")
_AT_CLOSE = ("MOC", "LOC")
_THEN_MARKET = ("STP", "TRAIL", "MIT")


class Timeline:
    """`now_ns` is how far the exchange has lived: all that ends by then has been met, and every open before it."""

    def __init__(self, trading: Trading, now_ns: int, zone: str) -> None:
        self.trading = trading
        self.now_ns = now_ns
        self.zone = zone
        self._midnight_ns = midnight_after(now_ns, zone)
        self._next_ns = 0
        trading.on_change = self.plan_again

    def plan_again(self) -> None:
        """Something changed when something is due."""
        self._next_ns = 0

    def day_start(self) -> int:
        return midnight_before(self.now_ns, self.zone)

    def live_until(self, until_ns: int) -> None:
        while self.now_ns < until_ns:
            listings = self.trading.book.live_listings()
            stop = min(until_ns, self._next_due())
            if listings:
                stop = min(stop, self.now_ns + SLICE_NS)
                self._match(listings, self.now_ns, stop)
            self.now_ns = stop
            self._fire(stop)

    # Prices

    def _match(self, listings: list[int], after_ns: int, until_ns: int) -> None:
        first, last = after_ns - after_ns % SECOND_NS, until_ns + -until_ns % SECOND_NS
        paths = [(con_id, self.trading.market.steps(con_id, first, last)) for con_id in listings]
        paths = [(con_id, path) for con_id, path in paths if path and self._matters(con_id, path)]
        if len(paths) == 1:
            con_id, path = paths[0]
            for piece in path:
                if piece.start_ns >= after_ns and piece.start_ns < until_ns:
                    self._meet_open(con_id, piece)
                if after_ns < piece.end_ns <= until_ns:
                    self._meet_rest(con_id, piece)
            return
        together = [(piece.start_ns, con_id, piece) for con_id, path in paths for piece in path]
        together.sort(key=itemgetter(0))
        for start, group in groupby(together, key=itemgetter(0)):
            pieces = list(group)
            if after_ns <= start < until_ns:
                for _, con_id, piece in pieces:
                    self._meet_open(con_id, piece)
            for _, con_id, piece in pieces:
                if after_ns < piece.end_ns <= until_ns:
                    self._meet_rest(con_id, piece)

    def _matters(self, con_id: int, path: list[Step]) -> bool:
        """Most paths pass all resting orders by, and looking at their extremes costs a tenth of meeting each piece."""
        low, high = min(step.low for step in path), max(step.high for step in path)
        until_ns = path[-1].end_ns
        return any(may_react(working, low, high, until_ns) for working in self.trading.book.live_of(con_id))

    def _meet_open(self, con_id: int, piece: Step) -> None:
        opening = None
        for working in self.trading.book.live_of(con_id):
            if not self._meets(working, piece) or working.request.order_type in _AT_CLOSE:
                continue
            opening = opening or opening_of(piece)
            self._meet(working, opening, piece)
            if working.is_live and working.request.tif in _AT_ONCE and not self._waits_for_trigger(working):
                self.trading.cancel(working, piece.start_ns, BY_SYSTEM)

    def _meet_rest(self, con_id: int, piece: Step) -> None:
        for working in self.trading.book.live_of(con_id):
            kind = working.request.order_type
            if working.met_ns == piece.start_ns or not self._meets(working, piece):
                continue
            at_open_only = kind == "MKT" or (working.order.triggered and kind in _THEN_MARKET)
            if not at_open_only and working.request.tif != "OPG":
                self._meet(working, piece, piece)
            if working.is_live and trail(working, piece.close):
                self.trading.drifted_orders.add(working.order.perm_id)

    def _meets(self, working: WorkingOrder, piece: Step) -> bool:
        if not working.transmitted or working.waits or not working.is_live or piece.start_ns < working.meets_ns:
            return False
        if piece.start_ns >= working.window[1]:
            self._next_window(working, piece.start_ns)
        opens, closes = working.window
        return opens <= piece.start_ns and piece.end_ns <= min(closes, working.ends_ns)

    def _next_window(self, working: WorkingOrder, now_ns: int) -> None:
        outside = working.request.outside_rth
        working.window = window_at(self.trading.market, working.listing.con_id, now_ns, outside)

    @staticmethod
    def _waits_for_trigger(working: WorkingOrder) -> bool:
        return bool(working.hold_reason())

    def _meet(self, working: WorkingOrder, piece: Step, whole: Step) -> None:
        """Let an order meet what is seen of a piece of which `whole` is all."""
        policy = self.trading.policy
        if policy.fill == "never":
            return
        was_triggered = working.order.triggered
        price = price_at(working, piece, policy.slippage_bps)
        if price == price:
            if policy.fill == "next" and not working.is_touched:
                working.is_touched = True
                self.trading.drifted_orders.add(working.order.perm_id)
                working.met_ns = whole.start_ns
            else:
                quantity = self._part(working, whole)
                if quantity > DUST:
                    working.met_ns = whole.start_ns
                    self.trading.fill(working, quantity, price, piece.end_ns)
        if working.is_live and working.order.triggered and not was_triggered:
            self.trading.tell_standing(working)

    def _part(self, working: WorkingOrder, piece: Step) -> float:
        """How much of an order fills at once."""
        policy, order, request = self.trading.policy, working.order, working.request
        step = working.listing.size_step
        left = most = order.remaining
        if policy.fractions and working.parts < len(policy.fractions) - 1:
            most = max(round(request.quantity * policy.fractions[working.parts] / step), 1) * step
        if policy.part_size:
            most = min(most, policy.part_size)
        if policy.volume_cap:
            most = min(most, int(policy.volume_cap * piece.volume / step + DUST) * step)
        most = min(most, left)
        whole_only = request.all_or_none or request.tif == "FOK"
        too_little = working.parts == 0 and most < request.min_quantity
        return 0.0 if (whole_only and most < left - DUST) or too_little else most

    # The clock

    def _next_due(self) -> int:
        if self._next_ns <= self.now_ns:
            due = [self._midnight_ns, *self._calendar_times()]
            for working in self.trading.book.live():
                due.append(working.cancel_ns)
                if working.transmitted and not working.waits:
                    due.append(working.ends_ns)
                    if not working.is_placed:
                        due.append(max(working.starts_ns, working.window[0]))
            due += [booked.due_ns for booked in self.trading.executions.values() if not booked.is_charged]
            self._next_ns = min(time for time in due if time > self.now_ns)
        return self._next_ns

    def _calendar_times(self) -> list[int]:
        """When futures held are settled, and when stocks held or worked may have an action."""
        market = self.trading.market
        times = []
        for position in self.trading.books.positions.values():
            if position.is_future and (position.quantity or position.owed):
                times.append(window_at(market, position.listing.con_id, self.now_ns, True)[1])
        for con_id in self._stocks():
            times.append(self._next_open(con_id))
        return [time for time in times if time > self.now_ns]

    def _stocks(self) -> set[int]:
        positions = self.trading.books.positions.values()
        stocks = {p.listing.con_id for p in positions if p.quantity and p.listing.contract.sec_type == "STK"}
        for con_id in self.trading.book.live_listings():
            if self.trading.book.live_of(con_id)[0].listing.contract.sec_type == "STK":
                stocks.add(con_id)
        return stocks

    def _next_open(self, con_id: int) -> int:
        try:
            return self.trading.market.next_open(con_id, self.now_ns, True)
        except BadInput:
            return FOREVER

    def _fire(self, now_ns: int) -> None:
        """Do what is due now."""
        if now_ns < self._next_ns:
            return
        trading = self.trading
        for booked in list(trading.executions.values()):
            if not booked.is_charged and booked.due_ns <= now_ns:
                trading.charge(booked, now_ns)
        for position in list(trading.books.positions.values()):
            if position.is_future and (position.quantity or position.owed):
                self._settle(position, now_ns)
        for con_id in self._stocks():
            self._act(con_id, now_ns)
        for working in list(trading.book.live()):
            self._age(working, now_ns)
        if now_ns >= self._midnight_ns:
            self._start_day(now_ns)
        self._next_ns = 0

    def _age(self, working: WorkingOrder, now_ns: int) -> None:
        if not working.is_live:
            return
        if working.cancel_ns <= now_ns:
            self.trading.cancel(working, now_ns, BY_TRADER)
        elif not working.transmitted or working.waits:
            return
        elif working.ends_ns <= now_ns:
            self.trading.cancel(working, now_ns, BY_SYSTEM)
        elif not working.is_placed and max(working.starts_ns, working.window[0]) <= now_ns:
            if working.window[1] <= now_ns:
                self._next_window(working, now_ns)
            working.is_placed = working.window[0] <= now_ns
            self.trading.tell_standing(working)

    def _settle(self, position: Position, now_ns: int) -> None:
        market, listing = self.trading.market, position.listing
        before = market.session(listing.con_id, now_ns - 1, True)
        if before is not None and before[1] == now_ns:
            self.trading.books.settle(now_ns, position, self.trading.books.mark(listing, now_ns))
            self.trading.touched_accounts[position.account] = None

    def _act(self, con_id: int, now_ns: int) -> None:
        """Splits and dividends take effect before their day's first trade."""
        found = self.trading.market.session(con_id, now_ns, True)
        listing = self.trading.market.by_con_id(con_id)
        if found is None or found[0] != now_ns or listing is None:
            return
        today = int(listing.trading.trading_dates(np.array([now_ns]))[0])
        for split in self.trading.market.splits(con_id):
            if split.ex_day == today:
                self._split(listing, split.new_per_old, now_ns)
        for dividend in self.trading.market.dividends(con_id):
            if dividend.ex_day == today:
                for position in self._held(listing):
                    self.trading.books.pay_dividend(now_ns, position, dividend.amount)
                    self.trading.moved(position.account, listing)

    def _split(self, listing: Listing, new_per_old: float, now_ns: int) -> None:
        old_price = self.trading.books.mark(listing, now_ns - 1)
        for position in self._held(listing):
            self.trading.books.split(now_ns, position, new_per_old, old_price)
            self.trading.moved(position.account, listing)
        for working in self.trading.book.live_of(listing.con_id):
            self.trading.split_order(working, new_per_old, now_ns)

    def _held(self, listing: Listing) -> list[Position]:
        positions = self.trading.books.positions.values()
        return [each for each in positions if each.listing.con_id == listing.con_id and each.quantity]

    def _start_day(self, now_ns: int) -> None:
        trading = self.trading
        self._midnight_ns = midnight_after(now_ns, self.zone)
        trading.books.start_day(now_ns)
        for working in list(trading.book.by_perm.values()):
            if not working.is_live:
                trading.book.forget(working)
                trading.changed_orders.add(working.order.perm_id)
        for base, booked in list(trading.executions.items()):
            if booked.execution.time_ns < now_ns and (booked.is_charged or booked.due_ns >= FOREVER):
                del trading.executions[base]
                trading.changed_executions.add(base)


__all__ = ["Timeline"]
