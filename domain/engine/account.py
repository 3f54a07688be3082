"""The account of one run: cash, positions, marks, and what moves them besides orders.

Cash is booked as if everything were paid in full, futures too: equity = cash + sum of position x mark x multiplier
is then right for all kinds, and marking futures to market is only a matter of which column shows it.
"""

from __future__ import annotations

import math

from domain.adjustments import Dividend, Split
from domain.costs import borrow_fee, commission
from domain.engine.facts import BookedFill, BookedOrder, CashMove, QuantityMove, month_of
from domain.engine.setup import Setup
from domain.positions import DUST, after_fill, after_split
from domain.risk import RiskReason, kill_level


class Account:
    """Methods take the track's number `k` and the group `g`; `mark` holds each track's last price."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.settings = setup.settings
        self.limits = setup.settings.limits
        self.tracks = setup.tracks
        count = len(setup.tracks)
        self.cash = setup.settings.cash
        self.quantity = [0.0] * count
        self.average = [0.0] * count
        self.mark = [0.0] * count
        self.held = 0
        """How many instruments are held."""
        self.multiplier = [track.instrument.multiplier for track in self.tracks]
        self.lot = [track.instrument.lot for track in self.tracks]
        self.fills: list[BookedFill] = []
        self.cash_moves: list[CashMove] = []
        self.quantity_moves: list[QuantityMove] = []
        self.flow = [0.0] * count
        self.day_base = [0.0] * count
        self.kill_level = kill_level(self.cash, self.limits)
        self.day = 0
        self.month = 0
        self.month_units: dict[int, float] = {}
        self.pays_in_full = setup.pays_in_full
        self.tiered = [bool(track.commission.tiers) for track in self.tracks]

    def equity(self) -> float:
        if not self.held:
            return self.cash
        total = self.cash
        for k, units in enumerate(self.quantity):
            if units:
                total += units * self.mark[k] * self.multiplier[k]
        return total

    def unit_margin(self, k: int, price: float) -> float:
        own = self.tracks[k].instrument.margin
        return own if own is not None else self.settings.margin_rate * price * self.multiplier[k]

    def harmless_closes(self, k: int) -> tuple[float, float]:
        """Between which closes of track k the kill switch cannot strike while nothing else changes (a hair inside, so
        that rounding cannot hide a strike); comparing with them is all that a quiet bar costs."""
        value = self.quantity[k] * self.multiplier[k]
        if not value:
            return -math.inf, math.inf
        strike = self.mark[k] + (self.kill_level - self.equity()) / value
        hair = 1e-9 * (abs(strike) + self.mark[k])
        return (strike + hair, math.inf) if value > 0 else (-math.inf, strike - hair)

    def day_pnl(self, k: int) -> float:
        return self.flow[k] + self.quantity[k] * self.mark[k] * self.multiplier[k] - self.day_base[k]

    def start_day(self, g: int, day: int) -> None:
        """Roll the day with the marks still at the last bars of the day before."""
        nights = day - self.day
        self.day = day
        if self.settings.borrow_rate and self.held:
            for k, units in enumerate(self.quantity):
                if units < 0:
                    value = -units * self.mark[k] * self.multiplier[k]
                    self._move_cash(g, k, "borrow", -borrow_fee(value, self.settings.borrow_rate, nights))
        self.kill_level = kill_level(self.equity(), self.limits)
        for k, units in enumerate(self.quantity):
            self.day_base[k] = self.flow[k] + units * self.mark[k] * self.multiplier[k]

    def _move_cash(self, g: int, k: int, kind: str, amount: float) -> None:
        if amount:
            self.cash += amount
            self.flow[k] += amount
            self.cash_moves.append(CashMove(g, k, kind, amount))

    def apply_actions(self, k: int, i: int, g: int) -> None:
        """What takes effect before bar i's open; a delisting waits for its close."""
        for action in self.tracks[k].actions.get(i, ()):
            if isinstance(action, Split):
                self.split(k, g, action.new_per_old)
            elif isinstance(action, Dividend):
                self._move_cash(g, k, "dividend", self.quantity[k] * action.amount * self.multiplier[k])

    def split(self, k: int, g: int, ratio: float) -> None:
        before = self.quantity[k]
        if before:
            price = self.mark[k] / ratio
            self.quantity[k], self.average[k], left = after_split(before, self.average[k], ratio, self.lot[k])
            self.quantity_moves.append(QuantityMove(g, k, self.quantity[k] - before, ratio, left, price))
            self._move_cash(g, k, "split", left * price * self.multiplier[k])
            if not self.quantity[k]:
                self.held -= 1
        self.mark[k] /= ratio

    def refusal(self, k: int, quantity: float, price: float, cost: float) -> int:
        """The rule that a fill would break at the prices of its moment, or 0: no short where only long is allowed, and
        never more margin in use than equity after a fill that adds to a position."""
        held = self.quantity[k]
        if held * quantity < 0 and abs(quantity) <= abs(held) + DUST:
            return 0
        if self.limits.long_only and held + quantity < -DUST:
            return RiskReason.LONG_ONLY
        if self.pays_in_full:
            return 0 if self.cash - cost >= -1e-6 else RiskReason.BUYING_POWER
        equity = self.cash - cost + (held + quantity) * price * self.multiplier[k]
        used = abs(held + quantity) * self.unit_margin(k, price)
        for other, units in enumerate(self.quantity):
            if units and other != k:
                equity += units * self.mark[other] * self.multiplier[other]
                used += abs(units) * self.unit_margin(other, self.mark[other])
        return 0 if used <= equity + 1e-6 else RiskReason.BUYING_POWER

    def fee_of(self, order: BookedOrder, k: int, quantity: float, value: float, when: int) -> float:
        """What this fill adds to the order's fee."""
        month_units = 0.0
        if self.tiered[k]:
            month = month_of(when)
            if month != self.month:
                self.month, self.month_units = month, {}
            month_units = self.month_units.get(k, 0.0) - abs(order.filled)
        so_far = order.filled + quantity
        fee = commission(self.tracks[k].commission, so_far, order.value + value, max(month_units, 0.0))
        return fee - order.commission

    def apply_fill(
        self, order: BookedOrder, g: int, when: int, quantity: float, price: float, fee: float, slippage: float
    ) -> None:
        k = order.track
        value = abs(quantity) * price * self.multiplier[k]
        cost = quantity * price * self.multiplier[k] + fee
        before = self.quantity[k]
        self.quantity[k], self.average[k], _ = after_fill(before, self.average[k], quantity, price)
        self.held += (self.quantity[k] != 0.0) - (before != 0.0)
        self.cash -= cost
        self.flow[k] -= cost
        order.filled += quantity
        order.value += value
        order.commission += fee
        if self.tiered[k]:
            self.month_units[k] = self.month_units.get(k, 0.0) + abs(quantity)
        self.fills.append(BookedFill(order.number, k, g, when, quantity, price, fee, slippage))
