"""A small market of our own: deterministic daily and minute bars on New York's sessions, stored and ready."""

import numpy as np

from domain.bars import BarSeries
from domain.timeframe import Timeframe
from marketdata import calendars, store
from marketdata.models import Instrument

FIRST, LAST = "2019-01-02", "2020-12-31"


def bars(timeframe: str = "1d", *, first: str = FIRST, last: str = LAST, seed: int = 1) -> BarSeries:
    """A random walk in cents on every expected bar of the period (first and last are session dates)."""
    sessions = calendars.sessions("XNYS")
    lo, hi = np.searchsorted(sessions.label, np.array([first, last], "datetime64[D]").astype(np.int64), side="left")
    start, end = sessions.expected_bars(Timeframe(timeframe), int(sessions.open[lo]), int(sessions.close[hi]))
    random = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(random.integers(-120, 125, len(start)))
    opened = close + random.integers(-60, 61, len(start))
    return BarSeries.from_columns(
        timeframe,
        start=start,
        end=end,
        open=opened / 100,
        high=(np.maximum(opened, close) + random.integers(0, 50, len(start))) / 100,
        low=(np.minimum(opened, close) - random.integers(0, 50, len(start))) / 100,
        close=close / 100,
        volume=random.integers(50_000, 100_000, len(start)).astype(float),
    )


def instrument(symbol: str, series: BarSeries | None = None, **fields) -> Instrument:
    """A stored instrument, with its bars where given."""
    row = Instrument.objects.create(symbol=symbol, **fields)
    if series is not None:
        store.write_bars(instrument=row, series=series, source="test")
    return row
