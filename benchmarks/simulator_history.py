"""How fast the simulator makes history and quotes, on one core. Run: `python benchmarks/simulator_history.py`."""

import statistics
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.contract import Contract
from gateway.simulator.history import serve
from gateway.simulator.listings import universe
from gateway.simulator.market import Market
from gateway.simulator.requests import HistoricalData
from gateway.simulator.walk import WalkPrices

SECOND = 1_000_000_000
NOW = int(np.datetime64("2026-11-25T21:30", "ns").astype(np.int64))
OPEN = int(np.datetime64("2026-11-25T14:30", "ns").astype(np.int64))


def main() -> None:
    known = universe(date(2026, 11, 25))
    market = Market(known.listings, WalkPrices(1, known.characters), 1)
    stocks = [each for each in known.listings if each.contract.sec_type == "STK"][:100]

    def ask(con_id: int, size: str, duration: str, what: str = "TRADES") -> tuple[int, float]:
        request = HistoricalData(1, Contract(con_id=con_id), False, "", size, duration, True, what, 2, (), False, "")
        began = time.perf_counter()
        answer = serve(market, request, NOW)
        if answer.bars is None:
            raise SystemExit(f"no bars: {answer.refusal}")
        return len(answer.bars), time.perf_counter() - began

    for what, side in (("trades", "TRADES"), ("middle", "MIDPOINT")):
        first = [ask(each.con_id, "1 min", "1 Y", side) for each in stocks[:3]]
        again = [ask(stocks[2].con_id, "1 min", "1 Y", side) for _ in range(5)]
        if what == "trades":
            rate = sum(bars for bars, _ in first) / sum(took for _, took in first)
            print(f"a year of minutes, {first[0][0]:,} bars, first time: {rate:,.0f} bars/s")
        rate = statistics.median(bars / took for bars, took in again)
        print(f"a year of minutes, {what}, again: {rate:,.0f} bars/s")
    bars, took = ask(stocks[50].con_id, "1 day", "20 Y")
    print(f"twenty years of days, {bars:,} bars, first time: {took * 1e3:.1f} ms")
    bars, took = ask(stocks[51].con_id, "1 hour", "1 Y")
    print(f"a year of hours, {bars:,} bars, first time: {took * 1e3:.0f} ms")

    for each in stocks:
        market.quote(each.con_id, OPEN)
    began = time.process_time()
    seconds = 60
    for second in range(1, seconds + 1):
        for each in stocks:
            market.quote(each.con_id, OPEN + second * SECOND)
    took = (time.process_time() - began) / seconds
    print(f"{len(stocks)} instruments quoted once a second: {took:.1%} of a core")
    began = time.process_time()
    count = sum(len(market.steps(each.con_id, OPEN, OPEN + 23_400 * SECOND)) for each in stocks[:20])
    print(f"steps of the path: {count / (time.process_time() - began):,.0f} a second")


if __name__ == "__main__":
    main()
