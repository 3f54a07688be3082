"""Small factories of bars and rows."""

import numpy as np

from domain.bars import BarSeries
from domain.timeframe import MINUTE_NS
from marketdata.models import Instrument


def instrument(symbol: str = "SPY", **fields) -> Instrument:
    return Instrument.objects.create(symbol=symbol, **fields)


def minutes(count: int, *, first: str = "2023-01-03T14:30", seed: int = 1, unknown_volume: bool = False) -> BarSeries:
    """A random walk in cents, one bar a minute from `first` (UTC)."""
    random = np.random.default_rng(seed)
    start = np.datetime64(first, "ns").astype(np.int64) + np.arange(count) * MINUTE_NS
    close = 10_000 + np.cumsum(random.integers(-3, 4, count))
    open_ = close + random.integers(-2, 3, count)
    volume = random.integers(0, 5000, count).astype(float)
    if unknown_volume:
        volume[::7] = np.nan
    return BarSeries.from_columns(
        "1m",
        start=start,
        open=open_ / 100,
        high=(np.maximum(open_, close) + 2) / 100,
        low=(np.minimum(open_, close) - 2) / 100,
        close=close / 100,
        volume=volume,
    )
