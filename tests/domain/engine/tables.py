"""Runs on a few bars written as a table, and what they did in the same form."""

from typing import Any

import numpy as np

from domain.bars import Adjustment, BarSeries
from domain.engine import Feed, RunSettings, backtest
from domain.instrument import Instrument
from domain.orders import OrderIntent
from domain.sessions import SessionTable
from domain.strategy import Params, Strategy
from domain.timeframe import DAY_NS, Timeframe

DAY_ONE = 18_262  # 2020-01-01


class Script(Strategy):
    """Says what is written for each bar."""

    class Params(Params):
        lines: dict[int, Any]
        symbol: str = ""

    def on_bar(self, context):
        if self.params.symbol and context.instrument.symbol != self.params.symbol:
            return None
        line = self.params.lines.get(context.i)
        return line(context) if callable(line) else line


def table(rows, *, timeframe=Timeframe.D1, days=None, adjustment=Adjustment.RAW):
    """Bars from (open, high, low, close[, volume]) rows; one number is a bar that stands still.

    Daily bars lie on consecutive UTC dates from 2020-01-01; for intraday ones `days` says how many bars each date has.
    """
    full = [(row,) * 4 + (1000.0,) if isinstance(row, int | float) else (*row, 1000.0)[:5] for row in rows]
    columns = np.array(full, float).T
    count = len(full)
    if days is None:
        starts = (DAY_ONE + np.arange(count)) * DAY_NS
    else:
        assert sum(days) == count
        starts = np.concatenate(
            [(DAY_ONE + day) * DAY_NS + np.arange(bars) * timeframe.nanoseconds for day, bars in enumerate(days)]
        )
    names = ("open", "high", "low", "close", "volume")
    return BarSeries.from_columns(
        timeframe, start=starts, adjustment=adjustment, **dict(zip(names, columns, strict=True))
    )


def play(rows, lines, *, instrument=None, actions=(), days=None, timeframe=None, **settings):
    """Run a script {bar: wish or wishes} over rows; settings go to RunSettings."""
    if timeframe is None:
        timeframe = Timeframe.D1 if days is None else Timeframe.H1
    bars = table(rows, timeframe=timeframe, days=days)
    feed = Feed(instrument or Instrument("X"), bars, actions, days and sessions_of(bars, days))
    return backtest([feed], Script(lines=lines), RunSettings(**settings))


def sessions_of(bars, days):
    """One session a date, from its first bar's start to its last bar's end."""
    last = np.cumsum(days) - 1
    first = last - np.array(days) + 1
    return SessionTable("TABLE", DAY_ONE + np.arange(len(days)), bars.start[first], bars.end[last])


def fills(result):
    """[(bar, signed quantity, price)]; each fill's bar is the one it happened on."""
    moves = zip(
        result.records.track.tolist(),
        result.records.group.tolist(),
        result.records.signed.tolist(),
        result.fills["price"].tolist(),
        strict=True,
    )
    return [
        (int(np.searchsorted(result.setup.tracks[track].group, group)), quantity, round(price, 9))
        for track, group, quantity, price in moves
    ]


def statuses(result):
    return result.orders["status"].tolist()


def denials(result):
    """[(rule, what it would have been, what is allowed)] of the denied and rejected orders."""
    orders = result.orders
    rows = [row for row, status in enumerate(orders["status"]) if status in ("denied", "rejected")]
    return [
        (orders["denied_by"][row], float(orders["rule_value"][row]), float(orders["rule_limit"][row])) for row in rows
    ]


def target(exposure, **more) -> OrderIntent:
    return OrderIntent(target=exposure, **more)


__all__ = ["Script", "denials", "fills", "play", "sessions_of", "statuses", "table", "target"]
