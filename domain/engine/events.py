"""The vector driver: the strategy speaks in arrays, and Python runs only where a statement changes.

It is exact where an order's life is one step: market orders without bracket, that fill whole at the next open (or at
the close that decided them), on prices without corporate actions, in an account whose cash moves with fills alone.
`is_exact` tells; everything else is the per-bar driver's. The kill switch is a stopping time: nothing before it
depends on it, so the run goes through without and `loses_too_much` looks afterwards whether it ever struck; then the
per-bar driver runs instead.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.costs import commission
from domain.engine.loop import changes
from domain.engine.setup import MarketAt, Setup
from domain.errors import BadInput
from domain.matching import slipped
from domain.orders import OrderType
from domain.positions import DUST
from domain.risk import RiskState, check, explain
from domain.sizing import SizingKind, target_quantity
from domain.strategy import SignalSeries

NAN = float("nan")


@dataclass(slots=True, eq=False)
class Events:
    """All statements of a run in time order, one row each: where they stand, and what filling them would cost.

    `fill_bar` and `fill_group` are -1 where no bar is left to fill on. `marks[k]` is track k's last close at each row.
    """

    track: NDArray[np.int64]
    bar: Times
    group: Times
    target: Floats
    close: Floats
    fill_bar: Times
    fill_group: Times
    fill_price: Floats
    marks: list[Floats] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Outcome:
    """What the driver decided: `orders` and `denials` refer to rows of `events`."""

    events: Events
    order_row: Sequence[int] | Times
    order_quantity: Sequence[float] | Floats
    order_fee: Sequence[float] | Floats
    """Fee of each order's fill; NaN where it did not fill."""
    rejected: dict[int, tuple[float, float]]
    """Orders (by position in `order_row`) that the account could not pay when they would have filled."""
    denied: list[tuple[int, float, int, float, float]]
    """(row, quantity, RiskReason, value, limit)."""
    cash: float
    quantity: list[float]
    day_lows: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)


def is_exact(setup: Setup, signals: Sequence[SignalSeries]) -> bool:
    """Whether this driver gives the same fills as the per-bar driver."""
    settings = setup.settings
    return (
        settings.default_order_type is OrderType.MARKET
        and settings.volume_cap is None
        and not settings.limits.flat_at_close
        and not (settings.borrow_rate and not settings.limits.long_only)
        and settings.sizing.kind not in (SizingKind.ATR, SizingKind.VOLATILITY)
        and not any(track.actions or track.commission.tiers for track in setup.tracks)
        and all(track.regular is None for track in setup.tracks)
        and (len(setup.tracks) == 1 or setup.pays_in_full)
        and not any(s.stop_loss is not None or s.take_profit is not None for s in signals)
    )


def find_events(setup: Setup, signals: Sequence[SignalSeries]) -> Events:
    """Where each track's statements change, merged in the order in which the per-bar driver meets them."""
    at_close = setup.settings.market_at is MarketAt.CLOSE
    rows = []
    for k, (track, series) in enumerate(zip(setup.tracks, signals, strict=True)):
        bars = track.bars
        bar = changes(series.target, track.first)
        if np.isinf(series.target[bar]).any():
            raise BadInput(f"{track.instrument.symbol}: a target is infinite; it is a finite exposure or NaN")
        group = bar if track.placed is None else track.placed[bar]
        if at_close:
            fill_bar, fill_group, price = bar, group, bars.close[bar]
        else:
            fill_bar = bar + 1
            is_last = fill_bar == len(bars)
            fill_bar[is_last] = 0
            fill_group = fill_bar.copy() if track.placed is None else track.placed[fill_bar]
            price = bars.open[fill_bar]
            fill_bar[is_last], fill_group[is_last], price[is_last] = -1, -1, NAN
        owner = np.full(len(bar), k)
        target = series.target[bar].astype(np.float64)
        rows.append((owner, bar, group, target, bars.close[bar], fill_bar, fill_group, price))
    columns: list[Any] = list(rows[0]) if len(rows) == 1 else [np.concatenate(c) for c in zip(*rows, strict=True)]
    if len(rows) > 1:
        order = np.lexsort((columns[0], columns[2]))
        columns = [column[order] for column in columns]
    events = Events(*columns)
    events.marks = [events.close] if len(rows) == 1 else _marks(setup, events.group)
    return events


def _marks(setup: Setup, group: Times) -> list[Floats]:
    marks = []
    for track in setup.tracks:
        last = np.searchsorted(track.group, group, side="right") - 1
        marks.append(np.where(last >= 0, track.bars.close[last], 0.0))
    return marks


def run_events(setup: Setup, events: Events) -> Outcome:
    """Decide, check and fill, statement by statement; the rules are the per-bar driver's functions.

    Sums run in the per-bar driver's order, so that the numbers in the ledger agree to the last bit.
    """
    settings, limits = setup.settings, setup.settings.limits
    one = len(setup.tracks) == 1
    at_close = settings.market_at is MarketAt.CLOSE
    account = _Account(setup, events)
    quantity, multipliers = account.quantity, account.multiplier
    lots = [track.instrument.lot for track in setup.tracks]
    margins = [track.instrument.margin for track in setup.tracks]
    margin_rate = settings.margin_rate
    sizing = settings.sizing
    wanted_of = {}
    if sizing.kind is SizingKind.QUANTITY:
        for k, lot in enumerate(lots):
            for target in np.unique(events.target[events.track == k]).tolist():
                wanted_of[k, target] = target_quantity(sizing, target, 1.0, 1.0, 1.0, lot, NAN)
    marks = [column.tolist() for column in events.marks]
    capped = limits.instrument_daily_loss < math.inf
    state = RiskState()
    queue: list[tuple[int, int, int]] = []
    on_order: dict[int, float] = {}
    order_row, order_quantity = account.order_row, account.order_quantity
    denied = []
    row = -1
    for k, g, target, price, fill_group in zip(
        events.track.tolist(), events.group.tolist(), events.target.tolist(), events.close.tolist(),
        events.fill_group.tolist(), strict=True,
    ):  # fmt: skip
        row += 1
        while queue and queue[0][0] <= g:
            _, owner, number = heapq.heappop(queue)
            on_order.pop(owner, None)
            account.fill(owner, number)
        held = quantity[k]
        multiplier = multipliers[k]
        unit_value = price * multiplier
        unit_margin = margins[k] or margin_rate * price * multiplier
        held_size = held if held >= 0.0 else -held
        gross, used_margin = held_size * unit_value, held_size * unit_margin
        if one:
            equity = account.cash + held * price * multiplier
        else:
            equity = account.cash
            for other, units in enumerate(quantity):
                pending = on_order.get(other, 0.0)
                if not (units or pending):
                    continue
                mark = marks[other][row]
                equity += units * mark * multipliers[other]
                if other != k:
                    exposed = max(abs(units), abs(units + pending))
                    gross += exposed * mark * multipliers[other]
                    used_margin += exposed * (margin_rate * mark * multipliers[other])
        if wanted_of:
            wanted = wanted_of[k, target]
        else:
            wanted = target_quantity(sizing, target, price, equity, multipliers[k], lots[k], NAN)
        delta = wanted - held
        if -DUST < delta < DUST:
            continue
        state.position = held
        state.held_value = held_size * unit_value
        state.gross = gross
        state.held_margin = held_size * unit_margin
        state.used_margin = used_margin
        state.equity = equity
        if capped:
            state.instrument_day_pnl = account.day_pnl(k, row, price)
        reason = check(delta, price, NAN, unit_value, unit_margin, state, limits)
        if reason:
            value, limit = explain(reason, delta, price, NAN, unit_value, unit_margin, state, limits)
            denied.append((row, delta, int(reason), value, limit))
            continue
        number = len(order_row)
        order_row.append(row)
        order_quantity.append(delta)
        if fill_group < 0:
            account.order_fee.append(NAN)
        elif one or at_close:
            account.order_fee.append(0.0)
            account.fill(k, number)
        else:
            account.order_fee.append(NAN)
            on_order[k] = delta
            heapq.heappush(queue, (fill_group, k, number))
    while queue:
        _, owner, number = heapq.heappop(queue)
        account.fill(owner, number)
    return Outcome(
        events, order_row, order_quantity, account.order_fee, account.rejected, denied, account.cash, quantity
    )


class _Account:
    """Cash and positions of one pass; a class because fills happen from two places."""

    __slots__ = (
        "cash", "day", "day_base", "day_of_fill", "day_of_row", "flow", "last_close", "last_close_of_fill",
        "margin_rate", "margins", "multiplier", "order_fee", "order_quantity", "order_row", "pays_in_full", "prices",
        "quantity", "rejected", "schedules",
    )  # fmt: skip

    def __init__(self, setup: Setup, events: Events) -> None:
        count = len(setup.tracks)
        self.cash = setup.settings.cash
        self.quantity = [0.0] * count
        self.multiplier = [track.instrument.multiplier for track in setup.tracks]
        self.margins = [track.instrument.margin for track in setup.tracks]
        self.margin_rate = setup.settings.margin_rate
        self.schedules = [track.commission for track in setup.tracks]
        self.pays_in_full = setup.pays_in_full
        bps = setup.settings.slippage_bps
        self.prices = [[], *(slipped(events.fill_price, sign, bps).tolist() for sign in (1, -1))]
        self.order_row: list[int] = []
        self.order_quantity: list[float] = []
        self.order_fee: list[float] = []
        self.rejected: dict[int, tuple[float, float]] = {}
        self.flow = [0.0] * count
        self.day_base = [0.0] * count
        self.day = [0] * count
        self.day_of_fill: list[int] | None = None
        if setup.settings.limits.instrument_daily_loss < math.inf:
            self._read_days(setup, events)

    def _read_days(self, setup: Setup, events: Events) -> None:
        """For each row the session of its decision and of its fill, and the last close before each session."""
        rows = len(events.bar)
        days, closes = np.zeros((2, rows), np.int64), np.zeros((2, rows))
        for k, track in enumerate(setup.tracks):
            mine = events.track == k
            first = np.searchsorted(track.day, track.day)
            before = np.where(first > 0, track.bars.close[first - 1], 0.0)
            for part, bar in enumerate((events.bar[mine], events.fill_bar[mine])):
                days[part, mine] = track.day[bar]
                closes[part, mine] = before[bar]
        self.day_of_row, self.day_of_fill = days.tolist()
        self.last_close, self.last_close_of_fill = closes.tolist()

    def day_pnl(self, k: int, row: int, price: float) -> float:
        if self.day_of_row[row] != self.day[k]:
            self._roll(k, self.day_of_row[row], self.last_close[row])
        return self.flow[k] + self.quantity[k] * price * self.multiplier[k] - self.day_base[k]

    def _roll(self, k: int, day: int, last_close: float) -> None:
        self.day[k] = day
        self.day_base[k] = self.flow[k] + self.quantity[k] * last_close * self.multiplier[k]

    def fill(self, k: int, number: int) -> None:
        """Fill order `number` of track k, or reject it where the account cannot pay."""
        row = self.order_row[number]
        units = self.order_quantity[number]
        price = self.prices[1 if units > 0.0 else -1][row]
        multiplier = self.multiplier[k]
        value = (units if units > 0.0 else -units) * price * multiplier
        fee = commission(self.schedules[k], units, value)
        cost = units * price * multiplier + fee
        held = self.quantity[k]
        after = held + units
        if not (held * units < 0.0 and held * after >= 0.0):
            if self.pays_in_full:
                can_pay = self.cash - cost >= -1e-6
            else:
                margin = self.margins[k] or self.margin_rate * price * multiplier
                can_pay = abs(after) * margin <= self.cash - cost + after * price * multiplier + 1e-6
            if not can_pay:
                self.rejected[number] = (cost, self.cash)
                self.order_fee[number] = NAN
                return
        if self.day_of_fill is not None and self.day_of_fill[row] != self.day[k]:
            self._roll(k, self.day_of_fill[row], self.last_close_of_fill[row])
        self.quantity[k] = 0.0 if -DUST < after < DUST else after
        self.cash -= cost
        self.flow[k] -= cost
        self.order_fee[number] = fee
