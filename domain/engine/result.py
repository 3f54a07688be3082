"""What a run gives back: ledgers as columns, the equity curve, closed trades, the figures, and the hash of it all.

Everything but the final account is computed when first asked for, from the facts that the driver recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np

from domain.engine.records import Ledger, Records, multipliers
from domain.engine.setup import Setup
from domain.engine.trades import round_trips
from domain.metrics import summarize

EQUITY_COLUMNS = ("time", "equity", "cash", "long_value", "short_value", "gross")


class Result:
    """The outcome of one run.

    `orders`, `fills`, `trades`, `equity` are ledgers: dicts of NumPy columns of one length. Times are UTC
    nanoseconds: an order's is the close that decided it; a fill's is its bar's start (the moment inside the bar is
    unknown), or its end for fills at the close; an equity row's is the bar end. Sides are "buy"/"sell" for
    orders and fills, "long"/"short" for trades; quantities are positive.
    """

    def __init__(
        self,
        setup: Setup,
        records: Callable[[], Records],
        *,
        path: str,
        cash: float,
        quantity: list[float],
        halted_at: int | None = None,
    ) -> None:
        self.setup = setup
        self.path = path
        self.positions = dict(zip(setup.symbols, quantity, strict=True))
        self._records = records
        self._last_group = len(setup.times) - 1 if halted_at is None else halted_at
        self._cash = cash
        self._quantity = quantity
        self.halted_at = None if halted_at is None else int(setup.times[halted_at])

    @cached_property
    def records(self) -> Records:
        return self._records()

    @property
    def orders(self) -> Ledger:
        """Every order, the denied ones with the rule and its numbers."""
        return self.records.orders

    @property
    def fills(self) -> Ledger:
        return self.records.fills

    @cached_property
    def final_equity(self) -> float:
        """Cash and positions at the last closes."""
        total = self._cash
        for track, units in zip(self.setup.tracks, self._quantity, strict=True):
            if units:
                last = track.last_bar(self._last_group)
                total += units * float(track.bars.close[last]) * track.instrument.multiplier
        return total

    @cached_property
    def equity(self) -> Ledger:
        """One row per bar end. equity = cash + long_value + short_value; a future's value is settled in cash, so it
        counts in `gross` (sum of absolute position values) only."""
        return equity_curve(self.setup, self.records, self._last_group)

    @cached_property
    def trades(self) -> Ledger:
        """Round trips from flat to flat, in order of their exits; a reversal ends one and begins the next."""
        return round_trips(self.setup, self.records)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The figures of `domain.metrics.summarize`, in its order and conventions."""
        curve, fills = self.equity, self.fills
        unit = multipliers(self.setup)[self.records.track]
        traded = float(np.sum(np.abs(self.records.signed) * fills["price"] * unit))
        return summarize(
            end_ns=curve["time"],
            equity=curve["equity"],
            gross=curve["gross"],
            traded_value=traded,
            trade_pnl=self.trades["net_pnl"],
            initial_cash=self.setup.settings.cash,
            session=self.setup.group_day[self.setup.first_group : self._last_group + 1],
        )

    @property
    def costs(self) -> dict[str, float]:
        """Money spent on commission, slippage and borrowing, and received as dividends."""
        moves = self.records.cash_moves
        return {
            "commission": float(np.sum(self.fills["commission"])),
            "slippage": float(np.sum(self.records.slippage)),
            "borrow": sum((-move.amount for move in moves if move.kind == "borrow"), 0.0),
            "dividends": sum((move.amount for move in moves if move.kind == "dividend"), 0.0),
        }

    @cached_property
    def result_hash(self) -> str:
        """SHA-256 over all ledgers: equal results, equal hash."""
        digest = hashlib.sha256()
        for ledger in (self.orders, self.fills, self.trades, self.equity):
            for name, column in ledger.items():
                digest.update(name.encode())
                if column.dtype.kind in "fi":
                    digest.update(np.ascontiguousarray(column).tobytes())
                else:
                    digest.update("\x1f".join(map(str, column.tolist())).encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"<Result {', '.join(self.setup.symbols)}: equity {self.final_equity:,.2f}, path {self.path}>"


def equity_curve(setup: Setup, records: Records, last_group: int) -> Ledger:
    """See Result.equity; rows from the first group that may trade to `last_group`."""
    groups = len(setup.times)
    multiplier = multipliers(setup)
    spent = records.signed * records.fills["price"] * multiplier[records.track] + records.fills["commission"]
    change = np.bincount(records.group, -spent, groups)
    for cash_move in records.cash_moves:
        change[cash_move.group] += cash_move.amount
    cash = setup.settings.cash + np.cumsum(change)
    long_value, short_value, gross = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    for k, track in enumerate(setup.tracks):
        mine = records.track == k
        units = np.bincount(records.group[mine], records.signed[mine], groups)
        for move in records.quantity_moves:
            if move.track == k:
                units[move.group] += move.quantity
        held = np.cumsum(units)
        held[np.abs(held) < 1e-9] = 0.0
        if len(track.bars) == groups:
            mark = track.bars.close
        else:
            at = np.searchsorted(track.group, np.arange(groups), side="right") - 1
            mark = np.where(at >= 0, track.bars.close[at], 0.0)
        value = held * mark
        value *= multiplier[k]
        gross += np.abs(value)
        if track.instrument.is_future:
            cash += value
        else:
            long_value += np.maximum(value, 0.0)
            short_value += np.minimum(value, 0.0)
    rows = slice(setup.first_group, last_group + 1)
    return {
        "time": setup.times[rows],
        "equity": (cash + long_value + short_value)[rows],
        "cash": cash[rows],
        "long_value": long_value[rows],
        "short_value": short_value[rows],
        "gross": gross[rows],
    }
