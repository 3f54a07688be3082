"""Market data on the wire: ticks live, snapshots, tick by tick, and ticks of the past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from gateway.simulator.wire import Value, decimal, payload, size


def tick_req_params(
    version: int, req_id: int, min_tick: float, bbo_exchange: str = "", snapshot_permissions: int = 3
) -> bytes:
    return payload(81, req_id, min_tick, bbo_exchange, snapshot_permissions)


def market_data_type(version: int, req_id: int, kind: int) -> bytes:
    """What is sent: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""
    return payload(58, 1, req_id, kind)


def snapshot_end(version: int, req_id: int) -> bytes:
    return payload(57, 1, req_id)


def tick_price(version: int, req_id: int, tick_type: int, price: float, quantity: float, mask: int = 0) -> bytes:
    """A price with its size; NaN is "no quote": -1 and 0."""
    return payload(1, 6, req_id, tick_type, decimal(price, "-1"), size(version, quantity), mask)


def tick_size(version: int, req_id: int, tick_type: int, quantity: float) -> bytes:
    return payload(2, 6, req_id, tick_type, size(version, quantity))


def tick_generic(version: int, req_id: int, tick_type: int, value: float) -> bytes:
    return payload(45, 6, req_id, tick_type, decimal(value, "0"))


def tick_string(version: int, req_id: int, tick_type: int, value: str) -> bytes:
    return payload(46, 6, req_id, tick_type, value)


def tick_news(
    version: int, req_id: int, epoch_ms: int, provider: str, article_id: str, headline: str, extra: str = ""
) -> bytes:
    return payload(84, req_id, epoch_ms, provider, article_id, headline, extra)


def tick_by_tick_last(
    version: int,
    req_id: int,
    epoch_seconds: int,
    price: float,
    quantity: float,
    exchange: str,
    *,
    all_last: bool = False,
    mask: int = 0,
    conditions: str = "",
) -> bytes:
    kind = 2 if all_last else 1
    return payload(99, req_id, kind, epoch_seconds, price, size(version, quantity), mask, exchange, conditions)


def tick_by_tick_bid_ask(
    version: int,
    req_id: int,
    epoch_seconds: int,
    bid: float,
    ask: float,
    bid_size: float,
    ask_size: float,
    mask: int = 0,
) -> bytes:
    sizes = (size(version, bid_size), size(version, ask_size))
    return payload(99, req_id, 3, epoch_seconds, decimal(bid, "-1"), decimal(ask, "-1"), *sizes, mask)


def tick_by_tick_mid_point(version: int, req_id: int, epoch_seconds: int, price: float) -> bytes:
    return payload(99, req_id, 4, epoch_seconds, decimal(price, "-1"))


def historical_ticks(
    version: int, req_id: int, ticks: Sequence[tuple[int, float, float]], *, done: bool = True
) -> bytes:
    """`ticks` are (epoch seconds, price, size): midpoints."""
    rows: Iterable[tuple[Value, ...]] = ((when, 0, price, size(version, quantity)) for when, price, quantity in ticks)
    return payload(96, req_id, len(ticks), *chain.from_iterable(rows), done)


def historical_ticks_bid_ask(
    version: int, req_id: int, ticks: Sequence[tuple[int, float, float, float, float]], *, done: bool = True
) -> bytes:
    """`ticks` are (epoch seconds, bid, ask, bid size, ask size)."""
    rows: Iterable[tuple[Value, ...]] = (
        (when, 0, bid, ask, size(version, bid_size), size(version, ask_size))
        for when, bid, ask, bid_size, ask_size in ticks
    )
    return payload(97, req_id, len(ticks), *chain.from_iterable(rows), done)


def historical_ticks_last(
    version: int, req_id: int, ticks: Sequence[tuple[int, float, float, str]], *, done: bool = True
) -> bytes:
    """`ticks` are (epoch seconds, price, size, exchange): trades."""
    rows: Iterable[tuple[Value, ...]] = (
        (when, 0, price, size(version, quantity), exchange, "") for when, price, quantity, exchange in ticks
    )
    return payload(98, req_id, len(ticks), *chain.from_iterable(rows), done)
