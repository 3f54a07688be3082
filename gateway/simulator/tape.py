"""Tape: the paths of all listings, drawn when asked for and kept as long as there is room, and quotes beside them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.timeframe import SECOND_NS
from gateway.simulator import paths
from gateway.simulator.paths import Path, Running
from gateway.simulator.prices import PriceSource, Spans, on_grid
from gateway.simulator.records import Listing
from gateway.simulator.rows import Rows, cut_seconds

Value = TypeVar("Value")

# Seconds of paths that are kept: of a hundred stocks a whole day, about 200 MB at the most.
_KEPT_SECONDS = 6_000_000
# Next to what happens in a span, and how much wider it is outside regular hours.
_SPREAD_OF_RANGE, _WIDE_OUTSIDE = 0.002, 4
_MINUTE = 60
_KEPT_MINUTES = 1_000_000
_MASK = (1 << 64) - 1
_MIX = 0x9E3779B97F4A7C15


class Recent(Generic[Value]):
    """The values used last whose sizes together stay below a limit; the newest always stays."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._values: OrderedDict[tuple[int, int], tuple[int, Value]] = OrderedDict()

    def get(self, key: tuple[int, int]) -> Value | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: tuple[int, int], value: Value, size: int) -> Value:
        self._values[key] = (size, value)
        self._size += size
        while self._size > self._limit and len(self._values) > 1:
            _, (dropped, _) = self._values.popitem(last=False)
            self._size -= dropped
        return value


class Tape:
    def __init__(self, seed: int, source: PriceSource, kept_seconds: int = _KEPT_SECONDS) -> None:
        self._seed = seed
        self.source = source
        self._spreads: dict[int, Floats] = {}
        self._paths: Recent[Path] = Recent(kept_seconds)
        self._running: Recent[Running] = Recent(kept_seconds)
        self._minutes: Recent[Rows] = Recent(_KEPT_MINUTES)

    def spans(self, listing: Listing) -> Spans:
        return self.source.spans(listing)

    def path(self, listing: Listing, group: int) -> Path:
        """The path of the group of spans that begins in row `group`."""
        key = listing.con_id, group
        found = self._paths.get(key)
        if found is not None:
            return found
        spans = self.spans(listing)
        members = slice(group, int(np.searchsorted(spans.group, group, side="right")))
        # A negative seed is as good as any other.
        words = (self._seed & _MASK, self.source.key(listing), int(spans.start[group]) // SECOND_NS & _MASK)
        path = paths.draw(words, spans.take(members), listing.price_steps)
        return self._paths.put(key, path, len(path.open))

    def running(self, listing: Listing, group: int) -> Running:
        key = listing.con_id, group
        found = self._running.get(key)
        if found is not None:
            return found
        running = paths.running(self.path(listing, group))
        return self._running.put(key, running, len(running.high))

    def minutes(self, listing: Listing, group: int) -> Rows:
        """The minutes of a whole group of spans."""
        key = listing.con_id, group
        found = self._minutes.get(key)
        if found is not None:
            return found
        rows = cut_seconds(self.path(listing, group), group, _MINUTE)
        return self._minutes.put(key, rows, len(rows.start))

    # The two sides of the market. Each is the last price and a distance that is one for all of a span, so that the
    # bars of a side follow from those of the trades.

    def spread(self, listing: Listing) -> Floats:
        """The spread of each of a listing's spans, a whole number of its increments and at least one."""
        if listing.con_id not in self._spreads:
            spans = self.spans(listing)
            firsts, which = np.unique(spans.group, return_inverse=True)
            reach = np.maximum.reduceat(spans.high, firsts) - np.minimum.reduceat(spans.low, firsts)
            tick = ticks_at(listing, spans.low)
            wide = np.where(spans.regular, 1, _WIDE_OUTSIDE)
            spread = np.maximum(np.rint(_SPREAD_OF_RANGE * reach[which] / tick), 1) * wide * tick
            self._spreads[listing.con_id] = spread
        return self._spreads[listing.con_id]

    def bid(self, listing: Listing, price: Floats, spans: NDArray[np.int64]) -> Floats:
        """Beside each last price, of the span it lies in: half the spread below it, rounded to the price's side."""
        tick = ticks_at(listing, price)
        return on_grid(price - np.rint(self.spread(listing)[spans] / tick) // 2 * tick, listing.price_steps)

    def ask(self, listing: Listing, price: Floats, spans: NDArray[np.int64]) -> Floats:
        tick = ticks_at(listing, price)
        width = np.rint(self.spread(listing)[spans] / tick)
        return on_grid(price + (width - width // 2) * tick, listing.price_steps)


def ticks_at(listing: Listing, price: Floats) -> Floats:
    """The price increment in force at each price."""
    if len(listing.price_steps) == 1:
        return np.full(np.shape(price), listing.tick)
    edges, increments = np.array(listing.price_steps).T
    return np.asarray(increments[np.searchsorted(edges, price, side="right") - 1])


def mixed(con_id: int, counter: Times) -> Times:
    """A random-looking number in [0, 2**31) of each counter, always the same."""
    x = (np.asarray(counter).astype(np.uint64) + np.uint64(con_id * _MIX & _MASK)) * np.uint64(_MIX)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(x >> np.uint64(33)).astype(np.int64)
