"""The pages' figures: queries and milliseconds of each at 100,000 orders and 10,000 runs of every kind together.

Run: `python -m benchmarks.pages [orders] [runs]`. Works in a temporary folder, or in a test database on the server in
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
    instruments = fill_bars()
    fill_books(orders, instruments)
    fill_runs(runs)


def fill_bars() -> list:
    """500 instruments, a watchlist of the first 100, and their catalogue; of those 100 the daily bars are there."""
    from marketdata.models import BarFile, Instrument, Watchlist, WatchlistMember
    from marketdata.store import write_bars

    instruments = Instrument.objects.bulk_create(Instrument(symbol=f"S{number:04}") for number in range(500))
    held = daily_bars()
    for each in instruments[:100]:
        write_bars(instrument=each, series=held, source="benchmark")
    years = [dt.datetime(year, 1, 4, tzinfo=dt.UTC) for year in range(2016, 2026)]
    BarFile.objects.bulk_create(
        (
            BarFile(
                instrument=each,
                timeframe="1m",
                partition=start.year,
                start=start,
                end=start + dt.timedelta(days=360),
                rows=97_740,
                bytes=1_400_000,
                sha256="0" * 64,
                path=f"{each.pk}/1m/{start.year}.parquet",
            )
            for each in instruments
            for start in years
        ),
        batch_size=BATCH,
    )
    watchlist = Watchlist.objects.create(name="All")
    WatchlistMember.objects.bulk_create(
        WatchlistMember(watchlist=watchlist, instrument=each, position=place)
        for place, each in enumerate(instruments[:100])
    )
    return instruments


def fill_books(orders: int, instruments: list) -> None:
    """An account with a value every five minutes of seven months, positions, orders, and a fill of each."""
    from django.utils import timezone

    from execution.models import Account, AccountValue, Fill, Order, Position

    now = timezone.now()
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
    terms = {"side": "buy", "quantity": 100, "account": account}
    more = {"order_type": "market", "time_in_force": "DAY", "state": "filled"}
    for first in range(0, orders, BATCH):
        rows = Order.objects.bulk_create(
            Order(ref=f"o{number}", instrument=instruments[number % 500], **terms, **more)
            for number in range(first, min(first + BATCH, orders))
        )
        Fill.objects.bulk_create(
            Fill(exec_id=row.ref, order=row, instrument_id=row.instrument_id, price=10, time=now, **terms)
            for row in rows
        )


def fill_runs(runs: int) -> None:
    """Backtests with their reports, imports, alerts; one a minute."""
    from django.utils import timezone

    from marketdata.models import BarImport
    from reports.models import Alert, Report
    from strategies.models import Backtest

    now = timezone.now()
    ended = {"state": "succeeded", "started": now, "finished": now, "progress": 1.0, "attempts": 1}
    symbols = [f"S{number:04}" for number in range(60)]
    about = {"strategy": "momentum", "timeframe": "1d", "instruments": ", ".join(symbols)}
    figures = {"total_return": 0.1, "max_drawdown": 0.1, "sharpe": 1.0, "trades": 10}
    config = {"strategy": {"name": "momentum", "params": {"window": 20}}, "symbols": symbols}
    tests = []
    for _ in range(int(runs * 0.45)):
        row = Backtest(**ended, **about, **figures, config=config, log_tail="a line of the log\n" * 300)
        row.directory = str(row.pk)
        tests.append(row)
    Backtest.objects.bulk_create(tests, batch_size=500)
    Report.objects.bulk_create((Report(**ended, backtest=test) for test in tests), batch_size=500)
    BarImport.objects.bulk_create(
        (BarImport(**ended, name=f"{number}.csv", report={"rows": 1}) for number in range(int(runs * 0.1))),
        batch_size=500,
    )
    alerts = (Alert(level="warning", subject=str(number), seen=now if number > 5 else None) for number in range(20_000))
    Alert.objects.bulk_create(alerts, batch_size=BATCH)
    for model in (Backtest, Report, BarImport):  # bulk_create gave all of them one moment
        for place, pk in enumerate(model.objects.values_list("pk", flat=True)):
            model.objects.filter(pk=pk).update(created=now - dt.timedelta(minutes=place))


def measure() -> list[tuple[str, int, float, float]]:
    """(page, queries, ms, ms of CPU) of each page, as an admin sees it, answers of the test client."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from marketdata.models import Instrument, Watchlist
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
        "backtests": "/backtests/",
        "backtests, by Sharpe": "/backtests/?sort=-sharpe",
        "backtests, by a text": "/backtests/?q=mom",
        "instrument, daily": f"/instruments/{Instrument.objects.order_by('pk')[0].pk}/",
        "health": "/health/",
        "admin: orders": "/admin/execution/order/",
        "admin: fills": "/admin/execution/fill/",
        "admin: backtests": "/admin/strategies/backtest/",
        "admin: instruments": "/admin/marketdata/instrument/",
        "API: instruments": "/api/v1/instruments",
        "API: backtests": "/api/v1/backtests",
        "API: backtests, by Sharpe": "/api/v1/backtests?ordering=-sharpe&state=succeeded",
        "API: backtests, page 80": "/api/v1/backtests?page=80",
        "API: runs": "/api/v1/runs",
        "API: orders": "/api/v1/orders",
        "API: orders, 500 to a page": "/api/v1/orders?page_size=500",
        "API: orders, page 2000": "/api/v1/orders?page=2000",
        "API: fills": "/api/v1/fills",
        "API: positions": "/api/v1/positions",
        "API: health": "/api/v1/health",
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
            "API_RATE_PERSON": "1000000/min",
            "API_RATE_HEAVY": "1000000/min",
        }
        main(*map(int, sys.argv[1:]))
