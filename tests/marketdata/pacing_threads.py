"""Threads that share one budget: what they were let to do. Runs where the database lets threads write at once."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

from domain.pacing import HistoryAsk, Priority
from gateway.simulator.pacing import HistoryPacing, PacingLimits
from tests.faults import processes
from tests.marketdata.virtual import VirtualTime

ORDER = [Priority.BACKFILL, Priority.TAIL, Priority.BACKFILL, Priority.LIVE, Priority.SCAN, Priority.TAIL]


def results(name: str, state: Path, *arguments: str) -> Any:
    """Of one of the functions below. On SQLite in a process of its own: the tests' database in memory does not let
    a writer wait for another, as files do."""
    from django.db import connection

    if connection.vendor != "sqlite":
        return globals()[name](*arguments)
    where = processes.environment(state)
    processes.migrate(where)
    command = [sys.executable, "-m", "tests.marketdata.pacing_threads", name, *arguments]
    done = subprocess.run(command, check=False, env=where, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sent_together(profile: str) -> dict[str, Any]:
    """Eight threads ask twelve times each: two and two for the same things, four and four of one contract."""
    from marketdata import pacing
    from marketdata.models import PacingBudget

    PacingBudget.objects.create(login=pacing.login_name(), profile=profile)
    hours = VirtualTime()
    counters = HistoryPacing(PacingLimits(small_bars_only=profile == "relaxed"), hours.clock)
    lock, refused, weights = threading.Lock(), [], []

    def worker(name: int) -> None:
        from tests.domain.test_pacing import on_the_wire

        for turn in range(12):
            what = "BID_ASK" if turn % 5 == 4 else "TRADES"
            ask = HistoryAsk(f"{name // 4}@SMART", what, f"{name // 2} {turn}", 5 if turn % 2 else 60)
            with pacing.slot(ask, Priority(name % 4), wait=hours.wait):
                hours.wait(0.01 + 0.4 * (name % 3))  # on its way
                with lock:
                    number = len(weights)
                    weights.append(ask.weight)
                    if not counters.admit("us", on_the_wire(ask, number)):
                        refused.append([hours.now, *ask])
                hours.wait(1.5)
                with lock:
                    counters.close("us", number)

    with patch.object(pacing, "clock", hours.clock):
        began = hours.now
        hours.run(*[lambda name=name: worker(name) for name in range(8)])
    return {"refused": refused, "requests": len(weights), "weight": sum(weights), "seconds": hours.now - began}


def served_in_turn() -> list[int]:
    """Six threads come one after another, with the priorities of ORDER, while nothing is left; who is served when."""
    from marketdata import pacing
    from marketdata.models import PacingBudget

    PacingBudget.objects.create(login=pacing.login_name())
    hours, served = VirtualTime(), []

    def worker(place: int) -> None:
        hours.wait(1.0 + place)
        ask = HistoryAsk(f"w{place}@SMART", "TRADES", str(place), 60)
        with pacing.slot(ask, ORDER[place], wait=hours.wait):
            served.append(place)
            hours.wait(0.5)

    with patch.object(pacing, "clock", hours.clock):
        for number in range(58):  # come free again one by one, 5 s apart
            with pacing.slot(HistoryAsk(f"{number}@SMART", "TRADES", str(number), 60), Priority.TAIL, wait=hours.wait):
                hours.now += 5
        hours.run(*[lambda place=place: worker(place) for place in range(len(ORDER))])
    return served


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
