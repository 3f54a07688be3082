"""BarSeries: the bars of one instrument and timeframe as NumPy columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.errors import BadInput
from domain.timeframe import Timeframe

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = ("start", "end", *PRICE_COLUMNS, "volume")


class Adjustment(StrEnum):
    """Which corporate actions the prices already contain."""

    RAW = "raw"
    SPLIT = "split"
    TOTAL = "total"


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars in time order, all columns of one length.

    `start` and `end` are UTC nanoseconds (int64), half-open [start, end); `start` is the key and strictly
    increases. A session bar (1d, 1w) runs from the open of its (first) session to the close of its (last).
    Prices are float64, finite, > 0 and inside [low, high]; `volume` is float64, >= 0 or NaN where unknown.
    """

    timeframe: Timeframe
    start: Times
    end: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    adjustment: Adjustment = Adjustment.RAW

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice) -> BarSeries:
        """A view of some rows; `rows` is a slice."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    @classmethod
    def empty(cls, timeframe: Timeframe, adjustment: Adjustment = Adjustment.RAW) -> BarSeries:
        times, prices = np.empty(0, np.int64), np.empty(0, np.float64)
        return cls(timeframe, times, times, prices, prices, prices, prices, prices, adjustment)

    @classmethod
    def from_columns(
        cls,
        timeframe: Timeframe | str,
        *,
        start: Any,
        open: ArrayLike,
        high: ArrayLike,
        low: ArrayLike,
        close: ArrayLike,
        volume: ArrayLike | None = None,
        end: Any = None,
        adjustment: Adjustment = Adjustment.RAW,
    ) -> BarSeries:
        """Build and check a series from anything array-like.

        `start` may be int64 nanoseconds or datetime64 (taken as UTC). Without `end` a bar lasts its timeframe's
        nominal length. Raises BadInput as `check` does.
        """
        frame = Timeframe.parse(timeframe) if isinstance(timeframe, str) else timeframe
        starts = _nanoseconds(start)
        ends = starts + frame.nanoseconds if end is None else _nanoseconds(end)
        columns = {
            name: np.ascontiguousarray(values, dtype=np.float64)
            for name, values in (("open", open), ("high", high), ("low", low), ("close", close))
        }
        if volume is None:
            columns["volume"] = np.full(len(starts), np.nan)
        else:
            columns["volume"] = np.ascontiguousarray(volume, dtype=np.float64)
        series = cls(frame, starts, ends, adjustment=adjustment, **columns)
        series.check()
        return series

    def check(self) -> None:
        """Raise BadInput at the first broken promise of the class, naming the row."""
        n = len(self.start)
        for name in COLUMNS:
            column = getattr(self, name)
            if column.ndim != 1 or len(column) != n:
                raise BadInput(f"bars: column {name!r} has shape {column.shape}, expected ({n},)")
        for name in PRICE_COLUMNS:
            column = getattr(self, name)
            self._refuse_where(~np.isfinite(column) | (column <= 0), f"{name} is not a positive number", column)
        self._refuse_where(self.high < self.low, "high is below low", self.high)
        self._refuse_where((self.open > self.high) | (self.open < self.low), "open is outside [low, high]", self.open)
        self._refuse_where(
            (self.close > self.high) | (self.close < self.low), "close is outside [low, high]", self.close
        )
        self._refuse_where(np.isinf(self.volume) | (self.volume < 0), "volume is negative or infinite", self.volume)
        self._refuse_where(self.end <= self.start, "end is not after start", self.end)
        if n > 1:
            backwards = np.concatenate([[False], self.start[1:] <= self.start[:-1]])
            self._refuse_where(backwards, "start does not increase (unsorted or doubled)", self.start)

    def _refuse_where(self, bad: NDArray[np.bool_], what: str, column: NDArray[Any]) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            when = np.datetime64(int(self.start[row]), "ns").astype("datetime64[s]")
            raise BadInput(f"bars: row {row} ({when}Z): {what} ({column[row]})")

    def between(self, start_ns: int | None, end_ns: int | None) -> BarSeries:
        """Bars whose start lies in [start_ns, end_ns); None means open-ended. A view."""
        lo = 0 if start_ns is None else int(np.searchsorted(self.start, start_ns))
        hi = len(self) if end_ns is None else int(np.searchsorted(self.start, end_ns))
        return self[lo:hi]

    def without(self, rows: NDArray[np.int64]) -> BarSeries:
        """A copy that lacks these rows."""
        columns: dict[str, Any] = {name: np.delete(getattr(self, name), rows) for name in COLUMNS}
        return replace(self, **columns)

    def content_hash(self) -> str:
        """SHA-256 over timeframe, adjustment and all columns: equal bars, equal hash, on every machine."""
        digest = hashlib.sha256(f"{self.timeframe}|{self.adjustment}|{len(self)}".encode())
        for name in COLUMNS:
            column = getattr(self, name)
            digest.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).data)
        return digest.hexdigest()


def merge(pieces: Iterable[BarSeries]) -> BarSeries:
    """Union by start; where two pieces hold the same start the later piece wins.

    All pieces must agree in timeframe and adjustment, else BadInput.
    """
    series = list(pieces)
    if not series:
        raise BadInput("bars: nothing to merge")
    first = series[0]
    for other in series[1:]:
        if (other.timeframe, other.adjustment) != (first.timeframe, first.adjustment):
            raise BadInput(
                f"bars: cannot merge {other.timeframe} {other.adjustment} with {first.timeframe} {first.adjustment}"
            )
    if len(series) == 1:
        return first
    starts = np.concatenate([piece.start for piece in series])
    order = np.argsort(starts, kind="stable")
    ordered = starts[order]
    last_of_key = np.ones(len(ordered), np.bool_)
    last_of_key[:-1] = ordered[1:] != ordered[:-1]
    keep = order[last_of_key]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(piece, name) for piece in series])[keep] for name in COLUMNS
    }
    return replace(first, **columns)


def _nanoseconds(values: Any) -> Times:
    array = np.asarray(values)
    if np.issubdtype(array.dtype, np.datetime64):
        return np.ascontiguousarray(array.astype("datetime64[ns]").astype(np.int64))
    if np.issubdtype(array.dtype, np.integer) or array.size == 0:
        return np.ascontiguousarray(array, dtype=np.int64)
    raise BadInput(f"bars: times must be datetime64 or int64 nanoseconds, not {array.dtype}")
