"""The bar store's figures: size of a symbol-year of minutes, its read, and 20 million rows with every check on.

Run: `python benchmarks/store.py [symbols] [years]`. Works in a temporary folder and leaves nothing.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROWS_A_YEAR = 97_740


def make_year(year: int, seed: int):
    """A random walk in cents with whole volumes on 390-minute days."""
    import numpy as np

    from domain.bars import BarSeries

    random = np.random.default_rng(seed)
    row = np.arange(ROWS_A_YEAR)
    first = np.datetime64(f"{year}-01-03T14:30", "ns").astype(np.int64)
    start = first + (row // 390 * 1440 + row % 390) * 60_000_000_000
    close = np.maximum(500, 40_000 + np.cumsum(random.normal(0, 8, ROWS_A_YEAR).round())).astype(np.int64)
    open_ = close + random.integers(-5, 6, ROWS_A_YEAR)
    high = np.maximum(open_, close) + random.integers(0, 8, ROWS_A_YEAR)
    low = np.minimum(open_, close) - random.integers(0, 8, ROWS_A_YEAR)
    volume = random.lognormal(10, 1, ROWS_A_YEAR).round()
    return BarSeries.from_columns(
        "1m", start=start, open=open_ / 100, high=high / 100, low=low / 100, close=close / 100, volume=volume
    )


def main(symbols: int = 20, years: int = 10) -> None:
    from django.core.management import call_command

    from marketdata import store, verification
    from marketdata.models import BarFile, Instrument
    from marketdata.moments import as_ns

    call_command("migrate", verbosity=0)
    instruments = [Instrument.objects.create(symbol=f"S{number}") for number in range(symbols)]
    began = time.perf_counter()
    for number, instrument in enumerate(instruments):
        for year in range(2011, 2011 + years):
            store.write_bars(instrument=instrument, series=make_year(year, 100 * number + year), source="benchmark")
    wrote = (time.perf_counter() - began) / (symbols * years)
    file = BarFile.objects.order_by("pk")[0]
    size = f"{file.rows:,} rows, {file.bytes / 1e6:.2f} MB"
    print(f"symbol-year of minutes: {size}, made and written in {wrote * 1e3:.0f} ms")

    first, start = instruments[0], as_ns(file.start)
    end = start + 365 * 86_400_000_000_000
    for label, forget in (("first read (SHA-256 too)", True), ("read again (page checksums)", False)):
        times = []
        for _ in range(15):
            if forget:
                verification._verified.clear()
            began = time.perf_counter()
            store.read_bars(first, "1m", start_ns=start, end_ns=end)
            times.append(time.perf_counter() - began)
        print(f"{label}: median {statistics.median(times) * 1e3:.2f} ms, worst {max(times) * 1e3:.2f} ms")

    for label, forget in (("first time (SHA-256 too)", True), ("again (page checksums)", False)):
        if forget:
            verification._verified.clear()
        began, cpu, rows = time.perf_counter(), time.process_time(), 0
        for instrument in instruments:
            rows += len(store.read_bars(instrument, "1m"))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{rows:,} rows, {label}: {cpu:.2f} s CPU, {took:.2f} s")
    print(f"pandas imported by reading: {'yes' if 'pandas' in sys.modules else 'no'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(VAR_DIR=scratch, DATABASE_URL=f"sqlite:///{scratch}/db.sqlite3", BARS_URL=f"{scratch}/bars")
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
        import django

        django.setup()
        main(*(int(argument) for argument in sys.argv[1:]))
