"""Gap search over ten years of minutes, sessions at hand. Run: `python benchmarks/gaps.py`."""

import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bars import SEED, make_bars
from domain.gaps import find_session_gaps
from domain.sessions import SessionTable
from domain.timeframe import DAY_NS, Timeframe

DATA = Path(__file__).resolve().parent / ".data"


def main() -> None:
    make_bars(DATA)
    start, end = np.load(DATA / "minutes-10y.times.npy")
    opens = np.flatnonzero(np.diff(start // DAY_NS, prepend=-1))
    closes = np.append(opens[1:], len(start)) - 1
    sessions = SessionTable("XNYS", start[opens] // DAY_NS, start[opens], end[closes])
    random = np.random.default_rng(SEED)
    hours = (random.integers(0, len(start) - 60, 50)[:, None] + np.arange(60)).ravel()
    for what, held in (
        ("50 hours missing", np.delete(start, hours)),
        ("every 100th bar missing at random", start[random.random(len(start)) >= 0.01]),
    ):
        took = []
        for _ in range(15):
            began = time.perf_counter()
            gaps = find_session_gaps(held, sessions, Timeframe.M1, int(start[0]), int(end[-1]))
            took.append(time.perf_counter() - began)
        if gaps.missing.sum() != len(start) - len(held):
            raise SystemExit(f"{what}: found {gaps.missing.sum()} of {len(start) - len(held)} missing bars")
        print(f"gap search, {len(start):,} minutes, {what}: {statistics.median(took) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
