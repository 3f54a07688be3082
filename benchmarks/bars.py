"""The bars that every engine gets: seeded random walks in whole cents on the real sessions of the New York exchange."""

from __future__ import annotations

from pathlib import Path

import numpy as np

MINUTE_NS = 60_000_000_000
SEED = 20_240_601
# case: first and last session, minutes or session bars, standard deviation of a step in cents
CASES = {
    "daily-25y": ("2000-01-01", "2024-12-31", False, 80.0),
    "minutes-1y": ("2024-01-01", "2024-12-31", True, 4.0),
    "minutes-10y": ("2015-01-01", "2024-12-31", True, 4.0),
}


def make_bars(folder: Path) -> dict[str, int]:
    """Write `CASE.npy`, float64 [5, bars] of open, high, low, close, volume, and `CASE.times.npy`, int64 [2, bars]
    of start and end in UTC nanoseconds, where they are not there yet; returns the number of bars of each case."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths = {}
    for case, (first, last, intraday, step) in CASES.items():
        target = folder / f"{case}.npy"
        if not target.exists():
            times = session_times(first, last, intraday)
            np.save(folder / f"{case}.times.npy", times)
            np.save(target, random_walk(times.shape[1], step))
        lengths[case] = np.load(target, mmap_mode="r").shape[1]
    return lengths


def session_times(first: str, last: str, intraday: bool) -> np.ndarray:
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start=first, end=last)
    opens = calendar.opens.dt.tz_convert(None).to_numpy("datetime64[ns]").astype(np.int64)
    closes = calendar.closes.dt.tz_convert(None).to_numpy("datetime64[ns]").astype(np.int64)
    if not intraday:
        return np.stack([opens, closes])
    minutes = (closes - opens) // MINUTE_NS
    first_row = np.repeat(np.cumsum(minutes) - minutes, minutes)
    starts = np.repeat(opens, minutes) + (np.arange(minutes.sum()) - first_row) * MINUTE_NS
    return np.stack([starts, starts + MINUTE_NS])


def random_walk(bars: int, step_cents: float) -> np.ndarray:
    """Cents are whole so that every engine can compute exact moving sums; the walk is reflected at 20 dollars."""
    random = np.random.default_rng(SEED)
    steps = np.rint(random.normal(0.0, step_cents, bars))
    close = 2_000 + np.abs(8_000 + np.cumsum(steps))
    gap = np.rint(random.normal(0.0, step_cents / 4, bars))
    open_ = np.maximum(np.concatenate([close[:1], close[:-1]]) + gap, 100.0)
    reach = np.abs(np.rint(random.normal(0.0, step_cents / 2, (2, bars))))
    high = np.maximum(open_, close) + reach[0]
    low = np.maximum(np.minimum(open_, close) - reach[1], 1.0)
    volume = random.integers(100, 100_000, bars).astype(np.float64)
    return np.stack([open_ / 100, high / 100, low / 100, close / 100, volume])
