"""A year of minutes of many instruments, from a simulated gateway without limits into the store.

Run: `python -m benchmarks.loading_speed [instruments] [threads]`. The simulator is a process of its own; everything
lies in a temporary folder and is gone afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

SIMULATOR = """
import sys, time
from gateway.simulator.server import start_simulator
handle = start_simulator(history_pacing=False, message_rate=0, start_ns=int(sys.argv[1]), seed=1)
print(handle.port, flush=True)
sys.stdin.read()
handle.stop()
"""
SYMBOLS = (
    *("AAPL", "MSFT", "AMZN", "GOOGL", "META", "NVDA", "TSLA", "JPM", "BAC", "IBM", "KO", "PG"),
    *("XOM", "SPY", "QQQ", "DIA", "IWM", "INTC", "AMD", "F", "GE", "T", "VZ", "DIS"),
)


def main(instruments: int, threads: int) -> None:
    now = datetime.now(UTC)
    start_ns = int(now.timestamp()) * 1_000_000_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tradingsite.settings",
            VAR_DIR=folder,
            BARS_URL=f"{folder}/bars",
            DATABASE_URL=f"sqlite:///{folder}/db.sqlite3",
            DOTENV="/dev/null",
        )
        simulator = subprocess.Popen(
            [sys.executable, "-c", SIMULATOR, str(start_ns)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert simulator.stdout is not None
            measure(int(simulator.stdout.readline()), now, instruments, threads)
        finally:
            assert simulator.stdin is not None
            simulator.stdin.close()
            simulator.wait(20)


def measure(port: int, now: datetime, instruments: int, threads: int) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from domain.pacing import PacingProfile
    from gateway.connection import Connection
    from gateway.settings import ConnectionSettings
    from marketdata import loading, planning
    from marketdata.models import BarFile, Instrument, LoadRun, PacingBudget
    from tradingsite import attempts, links

    call_command("migrate", verbosity=0)
    PacingBudget.objects.update_or_create(
        login=f"{settings.IB_HOST}:{settings.IB_PORT}", defaults={"profile": PacingProfile.OFF}
    )
    wire = ConnectionSettings(port=port, kind="simulated", heartbeat_seconds=600.0, messages_per_second=RATE)
    with Connection(wire) as connection:
        links.connection = lambda role: connection
        connection.wait_ready(20)
        began, used = time.perf_counter(), time.process_time()
        runs = []
        for symbol in SYMBOLS[:instruments]:
            row = Instrument.objects.create(symbol=symbol)
            ask = planning.check_ask(
                instrument=row,
                timeframe="1m",
                mode="full",
                start=str((now - timedelta(days=365)).date()),
                now_ns=int(now.timestamp() * 1e9),
            )
            runs.append(loading.queue_load(ask=ask, origin="api"))

        def work(pk: object) -> None:
            try:
                attempts.perform(LoadRun, pk, loading.load_bars)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [run.pk for run in runs]))
        took, used = time.perf_counter() - began, time.process_time() - used
    ended = list(LoadRun.objects.all())
    bars = sum(run.fetched_bars for run in ended)
    asked = sum(run.ib_requests_made for run in ended)
    stored = sum(BarFile.objects.values_list("rows", flat=True))
    print({run.state for run in ended}, {run.outcome for run in ended}, [run.error for run in ended if run.error][:3])
    print(
        f"{instruments} instruments, {threads} threads: {bars:,} bars ({stored:,} stored) in {asked:,} requests, "
        f"{took:.1f} s ({used:.1f} s of processor): {bars / took:,.0f} bars/s, {asked / took:.0f} requests/s"
    )
    idle(LoadRun.objects.all(), int(now.timestamp() * 1e9))


def idle(ended: Any, now_ns: int) -> None:
    """What it takes to find that the tail of each series is complete: no request, and no file is opened."""
    from marketdata import planning

    times = []
    for run in ended.select_related("instrument"):
        began = time.perf_counter()
        ask = planning.check_ask(instrument=run.instrument, timeframe="1m", now_ns=now_ns)
        assert planning.make_plan(ask, now_ns).requests == 0
        times.append(time.perf_counter() - began)
    times.sort()
    print(f"a tail with nothing to do: {1e3 * times[len(times) // 2]:.1f} ms, at worst {1e3 * times[-1]:.1f} ms")


RATE = 10_000

if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    main(*(arguments or [20])[:1], *(arguments[1:] or [8])[:1])
