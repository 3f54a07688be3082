"""Bars on the wire: history as columns to bytes, fast, in a form that can be kept and sent to any request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateway.simulator import wire
from gateway.simulator.wire import decimal, payload, size


class HistoryBody(NamedTuple):
    """A history answer without its request id: the texts of its start and end, how many bars, and their bytes."""

    start: str
    end: str
    rows: int
    bars: bytes


def history_body(
    version: int,
    start: str,
    end: str,
    dates: Sequence[str],
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    average: ArrayLike,
    count: ArrayLike,
) -> HistoryBody:
    """Bars of equal-length columns as they travel; volume, average and count are -1 where there are none.

    Raises ValueError for a value that is not finite: a client would lose the whole answer.
    """
    whole = np.trunc(volume) if version < wire.FRACTIONS else volume
    columns = [dates, *map(_column, (open, high, low, close, whole, average)), _whole_column(count)]
    if not len(dates):
        return HistoryBody(start, end, 0, b"")
    text = "\0".join(chain.from_iterable(zip(*columns, strict=True))) + "\0"
    return HistoryBody(start, end, len(dates), text.encode("ascii").replace(b".0\0", b"\0"))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a bar holds a value that is not finite")
    return array


def _column(values: ArrayLike) -> Sequence[str]:
    """Each as a decimal; whole ones may still end in `.0`."""
    array = _finite(values)
    if not len(array):
        return []
    whole = np.trunc(array) == array
    if whole.all() and np.abs(array).max() < 2**62:
        return list(map(str, array.astype(np.int64).tolist()))
    sizes = np.abs(array)
    if sizes.max() >= 1e16 or (sizes[array != 0] < 1e-4).any() or (np.signbit(array) & (array == 0)).any():
        return list(map(decimal, array.tolist()))  # What repr would write with an exponent or as -0.
    return list(map(repr, array.tolist()))


def _whole_column(values: ArrayLike) -> Sequence[str]:
    return list(map(str, _finite(values).astype(np.int64).tolist()))


def historical_data(version: int, req_id: int, body: HistoryBody) -> bytes:
    return payload(17, req_id, body.start, body.end, body.rows) + body.bars


def historical_data_update(
    version: int,
    req_id: int,
    date: str,
    open: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    average: float,
    count: int,
) -> bytes:
    """The forming bar; its order on the wire is another than in the history."""
    return payload(90, req_id, count, date, open, close, high, low, average, size(version, volume))


def historical_schedule(
    version: int, req_id: int, start: str, end: str, zone: str, sessions: Sequence[tuple[str, str, str]]
) -> bytes:
    """`sessions` are (start, end, date): `20261123-09:30:00`, `20261123-16:00:00`, `20261123`, local to `zone`."""
    return payload(106, req_id, start, end, zone, len(sessions), *chain.from_iterable(sessions))


def realtime_bar(
    version: int,
    req_id: int,
    epoch_seconds: int,
    open: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    average: float,
    count: int,
) -> bytes:
    return payload(50, 3, req_id, epoch_seconds, open, high, low, close, size(version, volume), average, count)


def head_timestamp(version: int, req_id: int, when: str) -> bytes:
    return payload(88, req_id, when)
