"""The simulator over TCP: a trading day with 50 instruments streaming, 100 instruments of ticks, history served.

python -m benchmarks.simulator [day|ticks|history|connection]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

OPEN_NS = 1_772_634_600_000_000_000  # 2026-03-04 09:30 in New York
DAY_SECONDS = 23_400

# The server has a process of its own, so that its processor time is its own.
_SERVE = """
import sys, time, resource
from gateway.simulator.server import start_simulator
handle = start_simulator(start_ns=int(sys.argv[1]), speed=float(sys.argv[2]), message_rate=0, history_pacing=False,
                         market_data_lines=0)
print(handle.port, flush=True)
for line in sys.stdin:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss, handle.simulator.now_ns(), flush=True)
handle.stop()
"""


class Served:
    def __init__(self, start_ns: int, speed: float) -> None:
        command = [sys.executable, "-c", _SERVE, str(start_ns), str(speed)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def used(self) -> tuple[float, int, int]:
        """Processor seconds, resident kibibytes at most, exchange time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        seconds, memory, now_ns = self._process.stdout.readline().split()
        return float(seconds), int(memory), int(now_ns)

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


def connected(port: int, count: int) -> tuple[Any, list[Any]]:
    from ib_insync import IB, Contract

    from gateway.simulator.listings import universe
    from gateway.simulator.server import date_of

    ib = IB()
    ib.connect("127.0.0.1", port, clientId=1, timeout=60)
    ib.client.MaxRequests = 0
    stocks = [each for each in universe(date_of(OPEN_NS)).listings if each.contract.sec_type == "STK"][:count]
    return ib, [Contract(secType="STK", conId=each.con_id, exchange="SMART") for each in stocks]


def day(instruments: int = 50, speed: float = 450.0) -> None:
    """A whole session at a speed: all 5-second bars and quotes of 50 instruments reach the client."""
    # Before the open, so that all is subscribed by then.
    served = Served(OPEN_NS - round(5 * speed) * 1_000_000_000, speed)
    ib, contracts = connected(served.port, instruments)
    streams = [ib.reqRealTimeBars(contract, 5, "TRADES", True) for contract in contracts]
    tickers = [ib.reqMktData(contract) for contract in contracts]
    wanted = DAY_SECONDS // 5
    while served.used()[2] < OPEN_NS:
        ib.sleep(0.01)
    began = time.perf_counter()
    while served.used()[2] < OPEN_NS + DAY_SECONDS * 1_000_000_000 + 5_000_000_000:
        ib.sleep(0.2)
    while min(map(len, streams)) < wanted and time.perf_counter() - began < 120:
        ib.sleep(0.1)
    seconds, (used, memory, _) = time.perf_counter() - began, served.used()
    least, most = min(map(len, streams)), max(map(len, streams))
    pairs = ((a, b) for bars in streams for a, b in pairwise(bars))
    gaps = sum(b.time.timestamp() - a.time.timestamp() != 5 for a, b in pairs)
    ticks = sum(1 for ticker in tickers if ticker.bid > 0)
    print(
        f"day of {instruments} instruments: {seconds:.1f} s; bars each {least} to {most} of {wanted}, {gaps} gaps; "
        f"quotes of {ticks}; server {used:.1f} s of processor, {memory / 1024:.0f} MB"
    )
    ib.disconnect()
    served.stop()


def ticks(instruments: int = 100, seconds: float = 20.0) -> None:
    """What streaming ticks of 100 instruments cost the server at real speed."""
    served = Served(OPEN_NS + 1_800_000_000_000, 1.0)
    ib, contracts = connected(served.port, instruments)
    for contract in contracts:
        ib.reqMktData(contract)
    ib.sleep(3)
    before = served.used()[0]
    ib.sleep(seconds)
    share = (served.used()[0] - before) / seconds
    print(f"ticks of {instruments} instruments: {share:.1%} of a core")
    ib.disconnect()
    served.stop()


def history(requests: int = 60) -> None:
    """Replies of 1-minute bars, one after another and 20 at once."""
    import asyncio

    served = Served(OPEN_NS + 1_800_000_000_000, 1.0)
    ib, contracts = connected(served.port, 5)

    def ask(contract: Any, end: str) -> Any:
        return ib.reqHistoricalDataAsync(contract, end, "5 D", "1 min", "TRADES", True, 2, False, [], 60)

    async def many(width: int) -> tuple[int, float]:
        gate = asyncio.Semaphore(width)

        async def one(number: int) -> int:
            async with gate:
                end = f"202602{2 + number % 24:02}-21:00:00"
                return len(await ask(contracts[number % len(contracts)], end))

        began = time.perf_counter()
        counts = await asyncio.gather(*(one(number) for number in range(requests)))
        return sum(counts), time.perf_counter() - began

    for label, width in (("first", 1), ("again", 1), ("20 at once", 20)):
        count, seconds = ib.run(many(width))
        print(f"history {label}: {count:,} bars in {seconds:.2f} s, {count / seconds:,.0f} bars/s")
    ib.disconnect()
    served.stop()


def connection(instruments: int = 100, seconds: float = 20.0) -> None:
    """What the platform's own connection takes: streaming quotes of 100 instruments, and history."""
    from concurrent.futures import ThreadPoolExecutor

    from domain.timeframe import Timeframe
    from gateway.connection import Connection
    from gateway.contract import Contract
    from gateway.history import HistoryRequest
    from gateway.settings import ConnectionSettings
    from gateway.simulator.listings import universe
    from gateway.simulator.server import date_of

    served = Served(OPEN_NS + 1_800_000_000_000, 1.0)
    stocks = [each for each in universe(date_of(OPEN_NS)).listings if each.contract.sec_type == "STK"][:instruments]
    heard = [0]

    def hear(event: Any) -> None:
        heard[0] += 1

    with Connection(ConnectionSettings(port=served.port, client_id=1, kind="simulated"), hear) as link:
        link.wait_ready(30)
        for each in stocks:
            link.subscribe_quotes(each.contract)
        time.sleep(3)
        before, heard[0], used = served.used()[0], 0, time.process_time()
        time.sleep(seconds)
        share, server = (time.process_time() - used) / seconds, (served.used()[0] - before) / seconds
        print(
            f"connection: quotes of {instruments} instruments take {share:.1%} of a core here, {server:.1%} there; "
            f"{heard[0] / seconds:,.0f} events/s"
        )

        def ask(number: int) -> int:
            contract = Contract(con_id=stocks[number % 5].con_id, sec_type="STK", exchange="SMART")
            end_ns = OPEN_NS - (1 + number % 24) * 86_400_000_000_000
            return len(link.history(HistoryRequest(contract, Timeframe.M1, "5 D", end_ns=end_ns)))

        for label, width in (("one after another", 1), ("20 at once", 20)):
            with ThreadPoolExecutor(width) as pool:
                began = time.perf_counter()
                count = sum(pool.map(ask, range(60)))
                took = time.perf_counter() - began
            print(f"connection: history {label}: {count:,} bars, {count / took:,.0f} bars/s")
    served.stop()


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["day", "ticks", "history", "connection"]
    os.environ.setdefault("PYTHONPATH", str(Path.cwd()))
    for name in chosen:
        {"day": day, "ticks": ticks, "history": history, "connection": connection}[name]()
    print(f"client at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
