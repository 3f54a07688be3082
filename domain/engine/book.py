"""The orders of one run, from wish to fill, on top of its account."""

from __future__ import annotations

import math

from domain.adjustments import Delisting
from domain.engine.account import Account
from domain.engine.facts import (
    BookedOrder,
    checked,
    order_ref,
    price_order,
)
from domain.engine.setup import MarketAt, Setup, Track
from domain.errors import BadInput
from domain.matching import is_triggered, limit_fill, slipped, stop_fill, stop_limit_fill, trailed_stop
from domain.orders import CancelIntent, OrderIntent, OrderStatus, OrderType, TimeInForce
from domain.positions import DUST, after_split
from domain.risk import RiskReason, RiskState, check, explain
from domain.sizing import target_quantity

NAN = math.nan
# Looking a member up in its enum costs a fifth of a microsecond (Python 3.11): once here instead of for every order.
MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING_STOP, MARKET_ON_CLOSE = OrderType
WORKING, FILLED, CANCELLED, EXPIRED, DENIED, REJECTED = OrderStatus
DAY, GTC = TimeInForce
NEXT_OPEN, AT_CLOSE = MarketAt


class _BarReader:
    """Single values of a track's columns as plain Python numbers; few bars are read this way, so no lists are made."""

    __slots__ = ("close", "high", "in_session", "last_of_session", "low", "open", "start", "volume")

    def __init__(self, track: Track) -> None:
        bars = track.bars
        self.open, self.high, self.low, self.close = bars.open.item, bars.high.item, bars.low.item, bars.close.item
        self.volume, self.start = bars.volume.item, bars.start.item
        self.in_session, self.last_of_session = track.in_session.item, track.last_of_session.item


class Book(Account):
    """Methods take the track's number `k`, its bar `i` and the group `g`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        count = len(setup.tracks)
        self.time_of = setup.times.item
        self.orders: list[BookedOrder] = []
        self.working: list[list[BookedOrder]] = [[] for _ in range(count)]
        self.busy = 0
        """How many orders work."""
        self.halted_at: int | None = None
        self.delisted = [False] * count
        self.state = RiskState()
        self.read = [_BarReader(track) for track in self.tracks]
        self.bars = [len(track.bars) for track in self.tracks]

    def pending(self, k: int, sign: int, oca: str = "", without_targets: bool = False) -> float:
        """Signed units on order in the direction of `sign`, exits and members of the same group left out."""
        total = 0.0
        for order in self.working[k]:
            left_out = order.closes or (oca and order.oca == oca) or (without_targets and order.by_target)
            if order.sign == sign and not left_out:
                total += order.remaining
        return total

    def halt(self, g: int) -> None:
        self.halted_at = g
        for k in range(len(self.tracks)):
            self.cancel(k, self.time_of(g))

    def split(self, k: int, g: int, ratio: float) -> None:
        super().split(k, g, ratio)
        for order in list(self.working[k]):
            order.filled *= ratio
            order.quantity = (
                order.filled + after_split(order.quantity - order.filled / ratio, 0.0, ratio, self.lot[k])[0]
            )
            if abs(order.remaining) < DUST:  # less than a lot was left of it
                self._end(order, CANCELLED, self.time_of(g))
            order.limit /= ratio
            order.stop /= ratio
            order.trail_amount /= ratio
            if order.exits:
                loss, profit = order.exits
                order.exits = (loss / ratio if loss else None, profit / ratio if profit else None)

    def delist(self, k: int, i: int, g: int) -> None:
        """Close the position at the last price, without commission; nothing of this instrument trades any more."""
        delisting = next((a for a in self.tracks[k].actions.get(i, ()) if isinstance(a, Delisting)), None)
        if delisting is None:
            return
        self.delisted[k] = True
        if delisting.price is not None:
            self.mark[k] = delisting.price
        self.cancel(k, self.time_of(g))
        units = self.quantity[k]
        if units:
            order = self._new_order(k, g, -units, OrderIntent(reason="delisted"))
            self._book(order, g, self.time_of(g), -units, self.mark[k], 0.0, free=True)

    def submit(self, k: int, i: int, g: int, intent: OrderIntent | CancelIntent, volatility: float) -> None:
        """Size, check and book one wish, decided at bar i's close."""
        if isinstance(intent, CancelIntent):
            self.cancel(k, self.time_of(g), intent.oca_group, intent.ref)
            return
        quantity = self._resolve(k, intent, volatility)
        replaces = intent.target is not None
        if quantity == 0.0:
            if replaces:
                self._make_way(k, g)
            return
        order = self._new_order(k, g, quantity, intent)
        price_order(order, intent, self.tracks[k].instrument, self.mark[k], self.settings)
        denied = self._denial(order, k, i, replaces)
        if denied:
            order.denied_by = denied
            self._end(order, DENIED, self.time_of(g))
            return
        if replaces:
            if self.working[k]:
                self._make_way(k, g)
            order.closes = quantity * self.quantity[k] < 0 and abs(quantity) <= abs(self.quantity[k]) + DUST
        if intent.stop_loss is not None or intent.take_profit is not None:
            order.exits = (intent.stop_loss, intent.take_profit)
        self._work(order)
        if order.kind is MARKET and self.settings.market_at is AT_CLOSE:
            price = slipped(self.mark[k], order.sign, self.settings.slippage_bps)
            self._fill(order, i, g, self.time_of(g), price, self.mark[k])

    def _new_order(self, k: int, g: int, quantity: float, intent: OrderIntent) -> BookedOrder:
        order = BookedOrder(len(self.orders), k, g, self.time_of(g), quantity, intent)
        self.orders.append(order)
        return order

    def _work(self, order: BookedOrder) -> None:
        self.working[order.track].append(order)
        self.busy += 1

    def _resolve(self, k: int, intent: OrderIntent, volatility: float) -> float:
        """Signed units to order; NaN where the sizing cannot tell."""
        if intent.target is None:
            quantity = intent.quantity
            if quantity is None or not math.isfinite(quantity):
                raise BadInput(f"{self._name(k)}: an intent needs a finite quantity or a target, not {quantity!r}")
            lots = quantity / self.lot[k]
            if abs(lots - round(lots)) > 1e-6:
                raise BadInput(f"{self._name(k)}: quantity {quantity} is no multiple of the lot {self.lot[k]}")
            return quantity
        if intent.quantity is not None or not math.isfinite(intent.target):
            raise BadInput(
                f"{self._name(k)}: an intent needs a finite target and no quantity beside it, "
                f"not {intent.target!r} and {intent.quantity!r}"
            )
        price = self.mark[k]
        wanted = target_quantity(
            self.settings.sizing, intent.target, price, self.equity(), self.multiplier[k], self.lot[k], volatility
        )
        delta = wanted - self.quantity[k]
        return 0.0 if abs(delta) < DUST else delta

    def _make_way(self, k: int, g: int) -> None:
        """A target replaces what earlier targets left working. Exits stay: until the new order fills, the position
        needs them, and they never exceed it."""
        for order in list(self.working[k]):
            if order.by_target:
                self._end(order, CANCELLED, self.time_of(g))

    def _name(self, k: int) -> str:
        return self.tracks[k].instrument.symbol

    def _denial(self, order: BookedOrder, k: int, i: int, replaces: bool) -> int:
        """The broken rule with its numbers on the order, or 0. An order that replaces the working ones is checked
        without them, before they make way: denied, it must not leave the position without its stop."""
        if self.delisted[k]:
            return RiskReason.NOT_TRADABLE
        price = self.mark[k]
        unit_value = price * self.multiplier[k]
        unit_margin = self.unit_margin(k, price)
        state = self.state
        state.position = self.quantity[k]
        working = self.working[k]
        state.pending = self.pending(k, order.sign, order.oca, replaces) if working else 0.0
        state.held_value = abs(state.position + state.pending) * unit_value
        state.held_margin = abs(state.position + state.pending) * unit_margin
        state.gross, state.used_margin = state.held_value, state.held_margin
        self._add_others(k, state)
        state.equity = self.equity()
        state.instrument_day_pnl = self.day_pnl(k)
        state.open_orders = sum(not (replaces and other.by_target) for other in working) if working else 0
        state.in_session = self.read[k].in_session(i)
        reason = check(order.quantity, price, order.limit, unit_value, unit_margin, state, self.limits)
        if not reason and self.limits.flat_at_close and self._is_too_late(order, k, i):
            return RiskReason.FLAT_AT_CLOSE
        if reason:
            order.rule_value, order.rule_limit = explain(
                reason, order.quantity, price, order.limit, unit_value, unit_margin, state, self.limits
            )
        return reason

    def _add_others(self, k: int, state: RiskState) -> None:
        if len(self.tracks) == 1:
            return
        for other, units in enumerate(self.quantity):
            if other == k or not (units or self.working[other]):
                continue
            exposed = max(abs(units + self.pending(other, 1)), abs(units + self.pending(other, -1)))
            state.gross += exposed * self.mark[other] * self.multiplier[other]
            state.used_margin += exposed * self.unit_margin(other, self.mark[other])

    def _is_too_late(self, order: BookedOrder, k: int, i: int) -> bool:
        """An entry that would fill on the session's last bar could not be closed before the close."""
        grows = (self.quantity[k] + order.quantity) * order.sign > 0
        last = self.read[k].last_of_session
        at_close = self.settings.market_at is AT_CLOSE and order.kind is MARKET
        return grows and ((at_close and last(i)) or (i + 1 < self.bars[k] and last(i + 1)))

    def flatten_before_close(self, k: int, i: int, g: int) -> None:
        """At the close of the bar before the session's last: cancel everything, close the position at the close."""
        if i + 1 >= self.bars[k] or not self.read[k].last_of_session(i + 1):
            return
        self.cancel(k, self.time_of(g))
        if self.quantity[k]:
            intent = OrderIntent(reason="flat at close")
            order = self._new_order(k, g, -self.quantity[k], intent)
            order.kind = MARKET_ON_CLOSE
            self._work(order)

    def cancel(self, k: int, when: int, oca: str = "", ref: str = "") -> None:
        for order in list(self.working[k]):
            if (not oca or order.oca == oca) and (not ref or order_ref(order.number) == ref):
                self._end(order, CANCELLED, when)

    def _end(self, order: BookedOrder, status: OrderStatus, when: int) -> None:
        if order.status is WORKING:
            order.status = status
            order.ended = when
            working = self.working[order.track]
            if order in working:  # a denied one never was
                working.remove(order)
                self.busy -= 1

    def match_bar(self, k: int, i: int, g: int) -> None:
        """Let every working order of the instrument meet bar i, in the order in which they were placed.

        A DAY order ends with the session's last bar, before anybody decides on its close.
        """
        read = self.read[k]
        if self.limits.market_hours and not read.in_session(i):
            return
        open_, bps = read.open(i), self.settings.slippage_bps
        high = low = close = NAN
        for order in list(self.working[k]):
            if order.status is not WORKING:
                continue
            kind, sign = order.kind, order.sign
            at_end = False
            if kind is not MARKET and high != high:
                high, low, close = read.high(i), read.low(i), read.close(i)
            if kind is MARKET:
                base = open_
                price = slipped(base, sign, bps)
            elif kind is LIMIT:
                base = price = limit_fill(sign, order.limit, open_, high, low)
            elif kind is STOP or kind is TRAILING_STOP:
                base = open_ if order.triggered else stop_fill(sign, order.stop, open_, high, low)
                price = slipped(base, sign, bps)
                order.triggered = base == base
            elif kind is STOP_LIMIT and order.triggered:
                base = price = limit_fill(sign, order.limit, open_, high, low)
            elif kind is STOP_LIMIT:
                order.triggered = is_triggered(sign, order.stop, open_, high, low)
                base = price = stop_limit_fill(sign, order.stop, order.limit, open_, high, low, close)
            else:
                base = close if read.last_of_session(i) else NAN
                price = slipped(base, sign, bps)
                at_end = True
            if price == price:
                self._fill(order, i, g, self.time_of(g) if at_end else read.start(i), price, base)
            if order.status is not WORKING:
                continue
            if kind is TRAILING_STOP and not order.triggered:
                order.stop = trailed_stop(sign, order.stop, close, order.trail_amount, order.trail_percent)
            if order.time_in_force is DAY and read.last_of_session(i):
                self._end(order, EXPIRED, self.time_of(g))

    def _fill(self, order: BookedOrder, i: int, g: int, when: int, price: float, base: float) -> None:
        k = order.track
        quantity = order.remaining
        if order.closes:
            held = self.quantity[k]
            if held * order.sign >= 0:
                self._end(order, CANCELLED, when)
                return
            if abs(quantity) > abs(held):
                quantity = -held
                order.quantity = order.filled + quantity
        if self.settings.volume_cap is not None:
            room = self.settings.volume_cap * self.read[k].volume(i)
            most = math.floor(room / self.lot[k] + 1e-9) * self.lot[k]
            if most <= 0:
                return
            if abs(quantity) > most:
                quantity = order.sign * most
        self._book(order, g, when, quantity, price, abs(price - base) * abs(quantity) * self.multiplier[k])

    def _book(
        self, order: BookedOrder, g: int, when: int, quantity: float, price: float, slippage: float,
        *, free: bool = False,
    ) -> None:  # fmt: skip
        """Book a fill, or reject the order where the account cannot pay for it."""
        k = order.track
        value = abs(quantity) * price * self.multiplier[k]
        fee = 0.0 if free else self.fee_of(order, k, quantity, value, when)
        cost = quantity * price * self.multiplier[k] + fee
        refused = 0 if free else self.refusal(k, quantity, price, cost)
        if refused:
            order.denied_by = refused
            is_short = refused == RiskReason.LONG_ONLY
            order.rule_value, order.rule_limit = (self.quantity[k] + quantity, 0.0) if is_short else (cost, self.cash)
            self._end(order, REJECTED, when)
            return
        self.apply_fill(order, g, when, quantity, price, fee, slippage)
        self._after(order, k, g, when, quantity)

    def _after(self, order: BookedOrder, k: int, g: int, when: int, quantity: float) -> None:
        """What a fill does to its own order and to those tied to it."""
        done = abs(order.remaining) < DUST
        if order.exits is not None:
            self._cover(order, k, g, quantity)
        if done:
            self._end(order, FILLED, when)
        if order.oca:
            for other in list(self.working[k]):
                if other is order or other.oca != order.oca:
                    continue
                if done or abs(other.remaining) <= abs(quantity) + DUST:
                    self._end(other, CANCELLED, when)
                else:
                    other.quantity -= other.sign * abs(quantity)
        for other in list(self.working[k]):
            if other.closes and self.quantity[k] * other.sign >= 0:  # flat, or on the other side: nothing left to close
                self._end(other, CANCELLED, when)

    def _cover(self, entry: BookedOrder, k: int, g: int, quantity: float) -> None:
        """Attach the bracket to what has just filled: a stop, then a target, of which one cancels the other.

        They work from the next bar: what came first inside the entry's own bar is unknown. The stop is placed
        first, so when a later bar touches both, the loss is what counts.
        """
        group = f"bracket-{entry.number}"
        existing = [order for order in self.working[k] if order.oca == group]
        if existing:
            for order in existing:
                order.quantity -= quantity
            return
        loss, profit = entry.exits or (None, None)
        for kind, price in ((STOP, loss), (LIMIT, profit)):
            if price is None or price != price:
                continue
            intent = OrderIntent(oca_group=group, reason="stop loss" if kind is STOP else "take profit")
            exit_ = self._new_order(k, g, -quantity, intent)
            exit_.kind = kind
            exit_.time_in_force = GTC
            exit_.closes = True
            if kind is STOP:
                exit_.stop = checked(self._name(k), "stop_loss", price)
            else:
                exit_.limit = checked(self._name(k), "take_profit", price)
            self._work(exit_)
