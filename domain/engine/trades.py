"""Closed trades: fills folded into round trips from flat to flat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from domain.bars import Times
from domain.engine.records import Ledger, Records, text_column
from domain.engine.setup import Setup
from domain.positions import after_fill

TRADE_COLUMNS = (
    "instrument", "side", "quantity", "entry_time", "entry_price", "exit_time", "exit_price", "pnl", "commission",
    "net_pnl", "return", "bars",
)  # fmt: skip


SCALE, PAID_OUT, FILL = range(3)


class Step(NamedTuple):
    """What changes a position, in the order of one moment: a split scales (`price` is its ratio), what it leaves of a
    lot is paid out, then orders fill."""

    group: int
    kind: int
    quantity: float
    price: float
    fee: float
    time: int


def round_trips(setup: Setup, records: Records) -> Ledger:
    """See Result.trades. `entry_price` and `exit_price` are averages, `quantity` the most ever held, `return` is
    net_pnl over quantity x entry price, `bars` the bars from entry to exit. Dividends are not in it."""
    rows: list[tuple[Any, ...]] = []
    fills = records.fills
    for k, track in enumerate(setup.tracks):
        mine = np.flatnonzero(records.track == k)
        steps = [
            Step(g, FILL, q, p, c, t)
            for g, q, p, c, t in zip(
                records.group[mine].tolist(), records.signed[mine].tolist(), fills["price"][mine].tolist(),
                fills["commission"][mine].tolist(), fills["time"][mine].tolist(), strict=True,
            )
        ]  # fmt: skip
        for move in records.quantity_moves:
            if move.track == k:
                start = int(track.bars.start[np.searchsorted(track.group, move.group)])
                steps.append(Step(move.group, SCALE, 0.0, move.ratio, 0.0, start))
                if move.left:
                    steps.append(Step(move.group, PAID_OUT, -move.left, move.price, 0.0, start))
        if records.quantity_moves:
            steps.sort(key=lambda step: (step.group, step.kind))
        rows.extend(_trips(track.instrument.symbol, track.instrument.multiplier, track.group, steps))
    rows.sort(key=lambda row: (row[5], row[3], row[0]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(TRADE_COLUMNS)
    ledger: Ledger = {}
    for name, column in zip(TRADE_COLUMNS, columns, strict=True):
        if name in ("instrument", "side"):
            ledger[name] = text_column(column)
        else:
            kind = np.int64 if name in ("entry_time", "exit_time", "bars") else np.float64
            ledger[name] = np.array(column, kind)
    return ledger


def _trips(symbol: str, multiplier: float, group: Times, steps: list[Step]) -> Iterator[tuple[Any, ...]]:
    units = average = 0.0
    entry_time = entry_group = 0
    pnl = fees = most = entered = entered_value = left = left_value = 0.0
    for g, kind, quantity, price, fee, time in steps:
        if kind == SCALE:
            units, average, most = units * price, average / price, most * price
            entered, left = entered * price, left * price
            continue
        before = units
        units, average, realised = after_fill(before, average, quantity, price)
        opens = before == 0.0
        turns = before * units < 0.0
        if opens:
            entry_time, entry_group = time, g
            pnl = fees = most = entered = entered_value = left = left_value = 0.0
        if before * quantity >= 0.0:
            entered += abs(quantity)
            entered_value += abs(quantity) * price
            most = max(most, abs(units))
            fees += fee
            continue
        closed = abs(before) if turns else abs(quantity)
        share = closed / abs(quantity)
        pnl += realised * multiplier
        left += closed
        left_value += closed * price
        fees += fee * share
        if units == 0.0 or turns:
            held = int(np.searchsorted(group, g)) - int(np.searchsorted(group, entry_group))
            entry_price, exit_price = entered_value / entered, left_value / left
            base = entered_value * multiplier
            net = pnl - fees
            yield (
                symbol, "long" if before > 0 else "short", most, entry_time, entry_price, time, exit_price, pnl, fees,
                net, net / base if base else np.nan, held,
            )  # fmt: skip
        if turns:
            entry_time, entry_group = time, g
            pnl = left = left_value = 0.0
            fees = fee * (1.0 - share)
            most = entered = abs(units)
            entered_value = abs(units) * price
