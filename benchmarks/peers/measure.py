"""Time one engine in its own process and print the figures as a line of JSON.

Every engine's script does the same: import the engine, then call `measure` with a function that turns arrays into what
the engine takes, and for each way of writing the rule one that runs it and returns (orders filled, final equity).
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# The rule: long 100 shares after the fast average crosses above the slow one, flat after it crosses below.
FAST, SLOW = 20, 50
SHARES = 100
# Prices are whole cents, so the averages differ by multiples of 0.0001 dollar: a difference below half of that is a
# tie, and a tie is no cross. Without this bar each engine would settle the many ties by its own rounding error.
TIE = 0.00005
CASH = 1_000_000.0
SLIPPAGE = 1e-4
FEE = 1.0

ENOUGH_SECONDS = 2.0
MOST_REPEATS = 9

Run = Callable[[Any], tuple[int, float]]


def measure(load: Callable[[np.ndarray, np.ndarray], Any], ways: Mapping[str, Run]) -> None:
    """`load(times, columns)` is not timed. The first run is reported apart, since it may compile; then runs are
    repeated until they have taken a few seconds, and their median counts."""
    start_up = time.process_time()
    parser = argparse.ArgumentParser()
    parser.add_argument("case", type=Path)
    parser.add_argument("way", choices=list(ways))
    parser.add_argument("--once", action="store_true", help="one run only: start-up to first figure")
    arguments = parser.parse_args()
    data = load(np.load(arguments.case.with_suffix(".times.npy")), np.load(arguments.case))
    run = ways[arguments.way]
    first_cpu, first_wall, figures = _timed(run, data)
    cpu, wall = [], []
    while not arguments.once and sum(wall) < ENOUGH_SECONDS and len(cpu) < MOST_REPEATS:
        one_cpu, one_wall, again = _timed(run, data)
        if again != figures:
            raise SystemExit(f"two runs differ: {figures} and {again}")
        cpu.append(one_cpu)
        wall.append(one_wall)
    report = {
        "orders": int(figures[0]),
        "equity": float(figures[1]),
        "start_up_cpu": start_up,
        "first_cpu": first_cpu,
        "cpu": statistics.median(cpu or [first_cpu]),
        "wall": statistics.median(wall or [first_wall]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(report))


def _timed(run: Run, data: Any) -> tuple[float, float, tuple[int, float]]:
    cpu, wall = time.process_time(), time.perf_counter()
    figures = run(data)
    return time.process_time() - cpu, time.perf_counter() - wall, figures
