"""The pages' figures: queries and milliseconds of each at 100,000 orders and 10,000 runs of every kind together.

Run: `python benchmarks/pages.py [orders] [runs]`. Works in a temporary folder, or in a test database on the server in
DATABASE_URL, and leaves nothing. The CPU time is of this process alone: on a busy machine it says more.
"""

import datetime as dt
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

REPEATS = 15
BATCH = 5_000


def daily_bars():
    """2,500 days, a random walk."""
    import numpy as np

    from domain.bars import BarSeries

    close = np.maximum(500, 10_000 + np.cumsum(np.random.default_rng(1).integers(-90, 95, 2_500))) / 100
    start = np.datetime64("2016-01-04T14:30", "ns").astype(np.int64) + np.arange(2_500) * 86_400_000_000_000
    return BarSeries.from_columns(
        "1d",
        start=start,
        end=start + 23_400_000_000_000,
        open=close,
        high=close + 0.2,
        low=close - 0.2,
        close=close,
        volume=np.full(2_500, 1e6),
    )


def fill(orders: int, runs: int) -> None:
    """A desk after a busy year: every table that grows is full."""
    from django.utils import timezone

    from domain.bars import Adjustment
    from execution.models import Account, AccountValue, Fill, Order, Position
    from marketdata.models import BarFile, BarImport, Instrument, Watchlist, WatchlistMember
    from marketdata.store import write_bars
    from reports.models import Alert, Report
    from strategies.models import Backtest

    now = timezone.now()
    instruments = Instrument.objects.bulk_create(Instrument(symbol=f"S{number:04}") for number in range(500))
    files = []
    held = daily_bars()
    for each in instruments[:100]:
        write_bars(instrument=each, series=held, source="benchmark")
    for each in instruments:
        spans = [("1d", 0, dt.datetime(2010, 1, 4, tzinfo=dt.UTC))] if each not in instruments[:100] else []
        spans += [("1m", year, dt.datetime(year, 1, 4, tzinfo=dt.UTC)) for year in range(2016, 2026)]
        for timeframe, year, start in spans:
            files.append(
                BarFile(
                    instrument=each,
                    timeframe=timeframe,
                    adjustment=Adjustment.RAW.value,
                    partition=year,
                    start=start,
                    end=start + dt.timedelta(days=360),
                    rows=97_740,
                    bytes=1_400_000,
                    sha256="0" * 64,
                    path=f"{each.pk}/{timeframe}/{year}.parquet",
                )
            )
    BarFile.objects.bulk_create(files, batch_size=BATCH)
    watchlist = Watchlist.objects.create(name="All")
    WatchlistMember.objects.bulk_create(
        WatchlistMember(watchlist=watchlist, instrument=each, position=place)
        for place, each in enumerate(instruments[:100])
    )
    account = Account.objects.create(number="DU1", kind="paper")
    AccountValue.objects.bulk_create(
        (
            AccountValue(
                account=account,
                time=now - dt.timedelta(minutes=5 * number),
                equity=Decimal(100_000 + number % 977),
                cash=Decimal(5_000),
                day_pnl=Decimal(12),
            )
            for number in reversed(range(60_000))
        ),
        batch_size=BATCH,
    )
    Position.objects.bulk_create(
        Position(account=account, instrument=each, quantity=100, average_price=10, last_price=11)
        for each in instruments[:40]
    )
    for first in range(0, orders, BATCH):
        rows = Order.objects.bulk_create(
            Order(
                ref=f"o{number}",
                account=account,
                instrument=instruments[number % 500],
                side="buy",
                quantity=100,
                order_type="market",
                time_in_force="DAY",
                state="filled",
            )
            for number in range(first, min(first + BATCH, orders))
        )
        Fill.objects.bulk_create(
            Fill(
                exec_id=row.ref,
                order=row,
                account=account,
                instrument_id=row.instrument_id,
                side="buy",
                quantity=100,
                price=10,
                time=now,
            )
            for row in rows
        )
    ended = {"state": "succeeded", "started": now, "finished": now, "progress": 1.0, "attempts": 1}
    config = {"strategy": {"name": "momentum", "params": {"window": 20}}, "symbols": [f"S{n:04}" for n in range(60)]}
    tests = []
    for _ in range(int(runs * 0.45)):
        row = Backtest(
            **ended,
            strategy="momentum",
            timeframe="1d",
            instruments=", ".join(config["symbols"]),
            config=config,
            log_tail="a line of the log\n" * 300,
            total_return=0.1,
            max_drawdown=0.1,
            sharpe=1.0,
            trades=10,
        )
        row.directory = str(row.pk)
        tests.append(row)
    Backtest.objects.bulk_create(tests, batch_size=500)
    Report.objects.bulk_create((Report(**ended, backtest=test) for test in tests), batch_size=500)
    BarImport.objects.bulk_create(
        (BarImport(**ended, name=f"{number}.csv", report={"rows": 1}) for number in range(int(runs * 0.1))),
        batch_size=500,
    )
    Alert.objects.bulk_create(
        (
            Alert(level="warning", subject=f"alert {number}", seen=now if number > 5 else None)
            for number in range(20_000)
        ),
        batch_size=BATCH,
    )
    # bulk_create gave all of them one moment; runs come one after another.
    for model in (Backtest, Report, BarImport):
        for place, pk in enumerate(model.objects.values_list("pk", flat=True)):
            model.objects.filter(pk=pk).update(created=now - dt.timedelta(minutes=place))


def measure() -> list[tuple[str, int, float, float]]:
    """(page, queries, ms, ms of CPU) of each page, as an admin sees it, answers of the test client."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from marketdata.models import Watchlist
    from strategies.models import Backtest

    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    middle = Backtest.objects.order_by("-created")[Backtest.objects.count() // 2]
    place = f"{middle.created.isoformat()}~{middle.pk}".replace("+", "%2B")
    pages = {
        "dashboard": "/",
        "dashboard, a year of equity": "/?span=year",
        "runs": "/runs/",
        "runs, deep in the list": f"/runs/?before={place}",
        "runs, failed ones (there is none)": "/runs/?state=failed",
        "a run": f"/runs/backtest/{middle.pk}/",
        "instruments": "/instruments/",
        "watchlists": "/watchlists/",
        "watchlist of 100": f"/watchlists/{Watchlist.objects.get().pk}/",
        "search": "/search/?q=mom",
        "imports": "/imports/new/",
    }
    found = []
    for name, address in pages.items():
        answer = client.get(address)
        if answer.status_code != 200:
            raise SystemExit(f"{address} answered {answer.status_code}")
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        queries = len(captured)
        found.append((name, queries, *_timed(lambda address=address: client.get(address))))
    known = [part.split('"')[0] for part in client.get("/").content.decode().split('name="part" value="')[1:]]
    asks = {"part": known}, {"HX-Request": "true"}
    answer = client.get("/", asks[0], headers=asks[1])
    name = f"dashboard asks, nothing changed ({answer.status_code})"
    found.append((name, 0, *_timed(lambda: client.get("/", asks[0], headers=asks[1]))))
    return found


def _timed(ask: Callable[[], object]) -> tuple[float, float]:
    """Medians in ms: on the wall clock, and of this process' CPU."""
    wall, busy = [], []
    for _ in range(REPEATS):
        began = time.perf_counter(), time.process_time()
        ask()
        wall.append(1000 * (time.perf_counter() - began[0]))
        busy.append(1000 * (time.process_time() - began[1]))
    return statistics.median(wall), statistics.median(busy)


def main(orders: int = 100_000, runs: int = 10_000) -> None:
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    state = setup_databases(verbosity=0, interactive=False)
    try:
        began = time.perf_counter()
        fill(orders, runs)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        filled = time.perf_counter() - began
        print(f"{connection.display_name}: {orders:,} orders, {runs:,} runs (filled in {filled:.0f} s)")
        for name, queries, wall, busy in measure():
            print(f"{name:45} {queries:3} queries {wall:7.1f} ms, CPU {busy:6.1f} ms")
    finally:
        teardown_databases(state, verbosity=0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
            "DOTENV": os.devnull,
            "VAR_DIR": folder,
            "ALLOWED_HOSTS": "testserver",
        }
        main(*map(int, sys.argv[1:]))
