"""The loader's figures. `python -m benchmarks.loading pace [speed] [requests]`, `… slots`, `… gaps [instruments]`

pace: a day of minutes of 500 instruments each, from a simulated gateway that keeps all of IB's limits for bars of any
length, by 500 loads in 8 threads. Its clock of the limits and ours run at the same multiple of real time (60).
slots: what a slot costs that nobody has to wait for.
gaps: what is missing of a year of minutes of 500 instruments, from their files; a cold process and a warm one. Then
the plan of a full load of each, as one after the other is asked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

THREADS = 8
PACE = 60.0
# From 10:00 in New York, where the simulated market begins, back to the close of the day before.
SINCE_CLOSE_NS = 18 * 3_600_000_000_000


def many_stocks(count: int, seed: int = 1) -> Any:
    """A market of so many stocks, copies of the built-in ones under names and ids of their own."""
    from gateway.simulator.listings import universe
    from gateway.simulator.market import Market
    from gateway.simulator.server import DEFAULT_START_NS, date_of
    from gateway.simulator.walk import WalkPrices

    known = universe(date_of(DEFAULT_START_NS))
    stocks = [each for each in known.listings if each.contract.sec_type == "STK"]
    listings, characters = [], {}
    for number in range(count):
        model = stocks[number % len(stocks)]
        name, con_id = f"S{number:04}", 800_000_001 + number
        contract = model.contract._replace(con_id=con_id, symbol=name, local_symbol=name)
        listings.append(replace(model, contract=contract))
        characters[con_id] = known.characters[model.con_id]
    return Market(tuple(listings), WalkPrices(seed, characters), seed), [each.contract for each in listings]


def pace(speed: float, count: int) -> None:
    from django.core.management import call_command

    from gateway.simulator import requests
    from gateway.simulator.pacing import HistoryPacing, PacingLimits
    from gateway.simulator.server import DEFAULT_START_NS, start_simulator
    from marketdata import pacing
    from marketdata.models import PacingBudget

    call_command("migrate", verbosity=0)
    PacingBudget.objects.create(login=pacing.login_name())
    began, epoch = time.monotonic(), time.time()

    def fast() -> float:
        return epoch + (time.monotonic() - began) * speed

    def sleep(seconds: float) -> None:
        time.sleep(seconds / speed)

    class Counters(HistoryPacing):
        """The gateway's own; what it was asked for, and what it refused."""

        times: list[float] = []
        refused = 0

        def admit(self, owner: Any, request: requests.HistoricalData) -> bool:
            self.times.append(fast())
            is_admitted = super().admit(owner, request)
            self.refused += not is_admitted
            return is_admitted

    counters = Counters(PacingLimits(small_bars_only=False), fast)
    market, contracts = many_stocks(count)
    pacing.clock = fast
    with start_simulator(market=market, message_rate=0, history_pacing=False) as gateway:
        # Bars are made when they are first asked for, which at such a speed would take a minute of the limits' time.
        warm = warmed(gateway.port, contracts, DEFAULT_START_NS)
        gateway.call(lambda simulator: setattr(simulator, "pacing", counters))
        gateway.call(lambda simulator: simulator.settings.change("history_pacing", True))

        bars = load(gateway.port, contracts, DEFAULT_START_NS, sleep)
        assert bars == warm
    tell(counters.times, counters.refused, bars, speed)


def warmed(port: int, contracts: list[Any], now_ns: int) -> int:
    """How many bars there are, each asked for once beside all limits."""
    from domain.timeframe import Timeframe
    from gateway.history import HistoryRequest

    with connected(port) as link, ThreadPoolExecutor(THREADS) as pool:
        asked = [
            HistoryRequest(contract, Timeframe.M1, "1 D", end_ns=now_ns - SINCE_CLOSE_NS) for contract in contracts
        ]
        return sum(map(len, pool.map(link.history, asked)))


def load(port: int, contracts: list[Any], now_ns: int, sleep: Callable[[float], None]) -> int:
    """The same day, by the loader: a load for each instrument, worked on by the threads. How many bars are stored."""
    from django.db import connections
    from django.utils import timezone

    from marketdata import loading
    from marketdata.loadruns import queue_load
    from marketdata.models import BarFile, Instrument, InstrumentDetails, LoadRun
    from marketdata.moments import as_datetime
    from marketdata.planning import check_ask
    from tradingsite import attempts, links

    day = f"{as_datetime(now_ns - SINCE_CLOSE_NS):%Y-%m-%d}"
    keys = []
    for contract in contracts:
        row = Instrument.objects.create(symbol=contract.symbol, con_id=contract.con_id)
        InstrumentDetails.objects.create(instrument=row, refreshed=timezone.now())
        ask = check_ask(instrument=row, timeframe="1m", mode="full", start=day, end=day, now_ns=now_ns)
        keys.append(queue_load(ask=ask, origin="api").pk)

    def work(key: Any) -> None:
        try:
            attempts.perform(LoadRun, key, loading.load_bars)
        finally:
            connections.close_all()

    # All waiting for a turn goes through here; it is as fast as the clock of the limits.
    with (
        connected(port) as link,
        patch.object(links, "connection", lambda role: link),
        patch.object(loading.Loading, "_wait", lambda _, seconds: sleep(seconds)),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(work, keys))
    ended = set(LoadRun.objects.values_list("state", "outcome"))
    assert ended == {("succeeded", "complete")}, ended
    return sum(BarFile.objects.values_list("rows", flat=True))


@contextmanager
def connected(port: int) -> Iterator[Any]:
    from gateway.connection import Connection
    from gateway.settings import ConnectionSettings

    settings = ConnectionSettings(port=port, client_id=1, kind="simulated", messages_per_second=10_000)
    with Connection(settings) as link:
        link.wait_ready(30)
        yield link


def tell(times: list[float], refused: int, bars: int, speed: float) -> None:
    """`times`: when requests reached the gateway, in seconds of its limits."""
    minutes = (times[-1] - times[0]) / 60
    # As fast as IB lets anybody: 60 at once, 60 more after each ten minutes.
    least = (len(times) - 1) // 60 * 10
    print(f"{len(times)} requests, {bars:,} bars, {refused} pacing violations, at {speed:g} times real time")
    print(f"{minutes:.1f} minutes; nobody could do it in less than {least}")
    # How long the same number of requests takes, wherever one begins to count: what goes on for ever.
    from domain.pacing import WINDOW_WEIGHT

    windows = [late - early for early, late in zip(times, times[WINDOW_WEIGHT:], strict=False)]
    if windows:
        mean = sum(windows) / len(windows)
        print(f"{WINDOW_WEIGHT} requests in {mean:.1f} s: {WINDOW_WEIGHT / mean / (60 / 600):.1%} of the allowed rate")
        print(f"most requests within any 600 s: {max(sum(t - 600 < x <= t for x in times) for t in times)} of 60")


def slots(count: int = 2_000) -> None:
    """What a slot costs that nobody has to wait for: taking and closing it."""
    from django.core.management import call_command

    from domain.pacing import HistoryAsk, Priority
    from marketdata import pacing
    from marketdata.models import PacingBudget

    call_command("migrate", verbosity=0)
    for profile in ("relaxed", "off"):
        PacingBudget.objects.update_or_create(login=pacing.login_name(), defaults={"profile": profile})
        began = time.perf_counter()
        for number in range(count):
            with pacing.slot(HistoryAsk(f"{number}@SMART", "TRADES", str(number), 60), Priority.TAIL, wait=time.sleep):
                pass
        print(f"a slot, {profile}: {(time.perf_counter() - began) / count * 1000:.2f} ms")


def gaps(count: int) -> None:
    """The analysis behind `manage.py coverage`: catalogue, files, what is known, gaps. Every hundredth bar is missing
    at random, and an hour here and there; of each instrument the head, a halt and ten proven ranges are known."""
    import numpy as np
    from django.core.management import call_command

    from benchmarks.bars import SEED, random_walk, session_times
    from domain.bars import BarSeries
    from marketdata import calendars, store, verification
    from marketdata.holdings import holdings_of
    from marketdata.models import Halt, HeadTime, Instrument, ProvenRange
    from marketdata.moments import as_datetime
    from marketdata.planning import check_ask, make_plan

    call_command("migrate", verbosity=0)
    start, end = session_times("2023-01-01", "2023-12-31", True)
    prices = random_walk(len(start), 4.0)
    random = np.random.default_rng(SEED)
    missing = 0
    for number in range(count):
        keep = random.random(len(start)) >= 0.01
        for hour in random.integers(0, len(start) - 60, 10).tolist():
            keep[hour : hour + 60] = False
        keep[[0, -1]] = True
        columns = dict(zip(("open", "high", "low", "close", "volume"), prices[:, keep], strict=True))
        instrument = Instrument.objects.create(symbol=f"S{number:04}")
        bars = BarSeries.from_columns("1m", start=start[keep], end=end[keep], **columns)
        store.write_bars(instrument=instrument, series=bars, source="benchmark")
        missing += int((~keep).sum())
        first = as_datetime(int(start[0]))
        HeadTime.objects.create(instrument=instrument, start=first, asked=first)
        Halt.objects.create(instrument=instrument, start=as_datetime(int(start[1000])), end=as_datetime(int(end[1100])))
        hours = [(as_datetime(int(start[at])), as_datetime(int(end[at + 30]))) for at in range(5_000, 95_000, 9_000)]
        ProvenRange.objects.bulk_create(
            ProvenRange(instrument=instrument, timeframe="1m", start=lo, end=hi, proven=hi) for lo, hi in hours
        )
    calendars.sessions("XNYS")
    instruments = list(Instrument.objects.all())
    for what in ("first in this process: every file is hashed", "again", "again"):
        if what != "again":
            verification._verified.clear()
        began, used = time.perf_counter(), time.process_time()
        found = sum(int(each.gaps.missing.sum()) for each in holdings_of(instruments) if each.gaps is not None)
        took, used = time.perf_counter() - began, time.process_time() - used
        if found != missing:
            raise SystemExit(f"found {found} of {missing} missing bars")
        bars_looked_at = count * len(start)
        print(
            f"gaps of {count} instruments, {bars_looked_at:,} minutes, {missing:,} missing: "
            f"{took:.2f} s, {used:.2f} s of processor ({what})"
        )
    now_ns = int(end[-1])
    began, used = time.perf_counter(), time.process_time()
    for instrument in instruments:
        make_plan(check_ask(instrument=instrument, timeframe="1m", mode="full", now_ns=now_ns), now_ns)
    took, used = time.perf_counter() - began, time.process_time() - used
    print(f"a plan of a full load for each, one by one: {took:.2f} s, {used:.2f} s of processor")


def main(name: str, speed: float = PACE, count: float = 500) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tradingsite.settings",
            VAR_DIR=folder,
            DATABASE_URL=os.environ.get("DATABASE_URL", f"sqlite:///{folder}/db.sqlite3"),
            DOTENV=os.devnull,
        )
        import django

        django.setup()
        if name == "slots":
            slots()
        elif name == "gaps":
            gaps(int(speed) if speed != PACE else 500)
        else:
            pace(speed, int(count))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pace", *map(float, sys.argv[2:]))
