"""Loads done in the test, as the data worker does them, against a simulated gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from domain.bars import Adjustment, BarSeries
from domain.timeframe import DAY_NS, Timeframe
from gateway.connection import Connection
from gateway.history import BAR_SIZES
from gateway.simulator.bar_sizes import bar_size
from gateway.simulator.history import bars_between
from gateway.simulator.server import DEFAULT_START_NS
from marketdata import calendars, loading, pacing, planning, store
from marketdata.contracts import basis_of, contract_of, regular_hours
from marketdata.models import Instrument, LoadRun, PacingBudget
from tests.gateway.gateways import connected
from tradingsite import attempts, links
from tradingsite.runs import Run


def day(offset: int) -> str:
    """A date before the simulator's today."""
    return str(np.datetime64(DEFAULT_START_NS, "ns").astype("datetime64[D]") - offset)


def midnight(offset: int) -> int:
    return (DEFAULT_START_NS // DAY_NS - offset) * DAY_NS


@contextmanager
def data_worker(gateway: Any, monkeypatch: Any, profile: str = "off", **settings: Any) -> Iterator[Connection]:
    """This process holds the connection of the role `data`, and asks as often as the profile lets it."""
    PacingBudget.objects.update_or_create(login=pacing.login_name(), defaults={"profile": profile})
    pacing._off.clear()
    with connected(gateway, **settings) as connection:
        monkeypatch.setattr(links, "connection", lambda role: connection if role == "data" else None)
        yield connection


def queued(instrument: Instrument, timeframe: str, mode: str = "tail", **asked: Any) -> LoadRun:
    now_ns = asked.pop("now_ns", None) or 2**62
    ask = planning.check_ask(instrument=instrument, timeframe=timeframe, mode=mode, now_ns=now_ns, **asked)
    return loading.queue_load(ask=ask, origin=Run.Origin.API)


def load(instrument: Instrument, timeframe: str, mode: str = "tail", **asked: Any) -> LoadRun:
    """A load that was queued and worked on until it ended or gave way."""
    run = queued(instrument, timeframe, mode, **asked)
    attempts.perform(LoadRun, run.pk, loading.load_bars)
    run.refresh_from_db()
    return run


def truth(gateway: Any, instrument: Instrument, timeframe: str, start_ns: int, end_ns: int, what: str = "TRADES"):
    """The complete bars of the simulated market that start in the range, read beside all wires."""
    frame = Timeframe(timeframe)

    def read(simulator: Any) -> Any:
        market = simulator.market
        (listing,) = market.listed(contract_of(instrument), simulator.exchange.now_ns)
        now_ns = simulator.exchange.now_ns
        return bars_between(
            market, listing, bar_size(BAR_SIZES[frame]), what, regular_hours(instrument), start_ns, min(end_ns, now_ns),
            now_ns,
        ), now_ns  # fmt: skip

    bars, now_ns = gateway.call(read)
    starts, ends = calendars.sessions(instrument.calendar).expected_bars(frame, start_ns, now_ns)
    whole = ~np.isin(bars.start, starts[ends > now_ns])  # the market's own word for a forming bar is that it ends now
    return bars.start[whole], bars.close[whole]


def held(instrument: Instrument, timeframe: str, what: str = "TRADES") -> BarSeries:
    return store.read_bars(instrument, timeframe, what=what, adjustment=basis_of(instrument, what))


def series(timeframe: str, start: str, end: str, without: Any = ()) -> BarSeries:
    """Bars of every New York session from a date to a date, both included, less those of some dates."""
    frame, table = Timeframe(timeframe), calendars.sessions("XNYS")
    first, last = (int(np.datetime64(day, "ns").astype(np.int64)) for day in (start, end))
    starts, ends = table.expected_bars(frame, first, last + DAY_NS)
    keep = ~np.isin(table.trading_dates(starts), np.array(without, "datetime64[D]").astype(np.int64))
    price = np.full(int(keep.sum()), 100.0)
    return BarSeries.from_columns(
        frame, start=starts[keep], end=ends[keep], open=price, high=price, low=price, close=price,
        adjustment=Adjustment.SPLIT,
    )  # fmt: skip
