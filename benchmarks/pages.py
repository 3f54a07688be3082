"""How long pages take on a full database: `python -m benchmarks.pages [URL …]`.

Fills a database of its own (in a temporary folder, or the one that DATABASE_URL names, which must be empty) with many
backtests and orders, logs in as an admin, and asks for each URL in this process: the median and the slowest of some
rounds, and the queries of one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from datetime import timedelta

BACKTESTS, ORDERS, ROUNDS = 10_000, 100_000, 15
URLS = (
    "/api/v1/instruments",
    "/api/v1/backtests",
    "/api/v1/backtests?ordering=-sharpe&state=succeeded",
    "/api/v1/backtests?page=200",
    "/api/v1/runs",
    "/api/v1/orders",
    "/api/v1/orders?open=true&page_size=500",
    "/api/v1/orders?symbol=S7",
    "/api/v1/orders?page=2000",
    "/api/v1/fills",
    "/api/v1/positions",
    "/api/v1/health",
)


def fill(backtests: int = BACKTESTS, orders: int = ORDERS) -> None:
    """So many finished backtests, and orders with a fill each, in 100 instruments and 3 accounts."""
    from django.utils import timezone

    from execution.models import Account, Fill, Order, Position
    from marketdata.models import Instrument
    from strategies.models import Backtest

    now = timezone.now()
    instruments = Instrument.objects.bulk_create(Instrument(symbol=f"S{n}") for n in range(100))
    accounts = Account.objects.bulk_create(Account(number=f"DU{n}", kind="paper") for n in range(3))
    Position.objects.bulk_create(
        Position(account=account, instrument=row, quantity=10) for account in accounts for row in instruments
    )
    Backtest.objects.bulk_create(
        (
            Backtest(
                directory=f"run-{n}", strategy=f"strategy_{n % 7}", timeframe="1d", instruments=f"S{n % 100}",
                state="failed" if n % 10 == 0 else "succeeded", finished=now, tag=f"tag {n % 20}",
                sharpe=(n * 7919 % 1000) / 250, total_return=(n % 313) / 100, final_equity=100_000 + n,
                log_tail="a line of the log\n" * 100, config={"symbols": [f"S{n % 100}"], "filler": "x" * 1000},
            )
            for n in range(backtests)
        ),
        batch_size=1000,
    )  # fmt: skip
    _spread(Backtest, "created", now)
    made = Order.objects.bulk_create(
        (
            Order(
                ref=f"ref-{n}", account=accounts[n % 3], instrument=instruments[n % 100], strategy=f"strategy_{n % 7}",
                side="buy" if n % 2 else "sell", quantity=100, order_type="market", time_in_force="DAY",
                state="working" if n % 1000 == 0 else "filled", filled=100, average_price=10,
            )
            for n in range(orders)
        ),
        batch_size=1000,
    )  # fmt: skip
    _spread(Order, "created", now)
    Fill.objects.bulk_create(
        (
            Fill(
                exec_id=f"exec-{n}", order=order, account_id=order.account_id, instrument_id=order.instrument_id,
                side=order.side, quantity=100, price=10, commission=1, time=now - timedelta(seconds=n),
            )
            for n, order in enumerate(made)
        ),
        batch_size=1000,
    )  # fmt: skip


def _spread(model, field: str, now) -> None:
    """Rows a minute apart, since bulk_create gives all of them one moment."""
    rows = list(model.objects.only("pk"))
    for n, row in enumerate(rows):
        setattr(row, field, now - timedelta(minutes=n))
    model.objects.bulk_update(rows, [field], batch_size=500)


def measure(urls: tuple[str, ...] | list[str], rounds: int = ROUNDS) -> list[tuple[str, int, int, float, float, int]]:
    """(URL, status, queries, median ms, slowest ms, bytes) of each; the first answer is not counted."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    client.force_login(User.objects.get_or_create(username="bench", is_superuser=True, is_staff=True)[0])
    found = []
    for url in urls:
        with CaptureQueriesContext(connection) as queries:
            response = client.get(url)
        asked = len(queries)  # now: the next request empties the log
        taken = []
        for _ in range(rounds):
            begun = time.perf_counter()
            client.get(url)
            taken.append(1000 * (time.perf_counter() - begun))
        size = len(getattr(response, "content", b""))
        found.append((url, response.status_code, asked, statistics.median(taken), max(taken), size))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="*", default=list(URLS))
    parser.add_argument("--backtests", type=int, default=BACKTESTS)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ibdesk-bench-") as folder:
        os.environ |= {"VAR_DIR": folder, "DOTENV": os.devnull, "ALLOWED_HOSTS": "testserver"}
        os.environ |= {"API_RATE_PERSON": "1000000/min", "API_RATE_HEAVY": "1000000/min"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        begun = time.perf_counter()
        fill(options.backtests, options.orders)
        print(f"{options.backtests:,} backtests and {options.orders:,} orders in {time.perf_counter() - begun:.0f} s\n")
        print(f"{'URL':<60} {'status':>6} {'queries':>7} {'median':>9} {'slowest':>9} {'bytes':>9}")
        for url, status, queries, median, slowest, size in measure(options.urls, options.rounds):
            print(f"{url:<60} {status:>6} {queries:>7} {median:>6.1f} ms {slowest:>6.1f} ms {size:>9,}")


if __name__ == "__main__":
    main()
