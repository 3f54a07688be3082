"""Prices from bars: the past is those bars exactly, and after the last of them the walk goes on from its close."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from domain.adjustments import Action
from domain.bars import BarSeries, Floats
from domain.errors import BadInput
from domain.timeframe import DAY_NS, Timeframe
from gateway.simulator.catalogue import Character
from gateway.simulator.prices import Spans, on_grid
from gateway.simulator.records import Listing
from gateway.simulator.walk import WalkPrices

log = logging.getLogger(__name__)

_LEAST_VOLATILITY, _TRADING_DAYS = 0.05, 252.0


class SeriesPrices:
    """A PriceSource. `series` are bars by con_id, of one timeframe below a week each, adjusted as the TRADES of IB
    are; `characters` say how the walk moves after them, and all that has no bars. A listing with bars and without a
    character gets one that moves like its bars."""

    def __init__(self, seed: int, series: Mapping[int, BarSeries], characters: Mapping[int, Character]) -> None:
        for con_id, bars in series.items():
            if bars.timeframe is Timeframe.W1:
                raise BadInput(f"con_id {con_id}: bars of a week say too little; give days or less")
            if not len(bars):
                raise BadInput(f"con_id {con_id}: no bars")
        self._series = dict(series)
        made = {con_id: _character(con_id, bars) for con_id, bars in series.items() if con_id not in characters}
        self._walk = WalkPrices(seed, {**characters, **made})
        self._spans: dict[int, Spans] = {}
        self._last_day: dict[int, int] = {}

    def key(self, listing: Listing) -> int:
        return listing.con_id if listing.con_id in self._series else self._walk.key(listing)

    def spans(self, listing: Listing) -> Spans:
        if listing.con_id not in self._series:
            return self._walk.spans(listing)
        if listing.con_id not in self._spans:
            past = spans_of(self._series[listing.con_id], listing)
            self._last_day[listing.con_id] = int(past.day[-1])
            walk = self._walk.spans(listing)
            # Of a day that is known as a whole nothing is added, not even its evening.
            is_daily = self._series[listing.con_id].timeframe is Timeframe.D1
            later = walk.day > past.day[-1] if is_daily else walk.end > past.end[-1]
            self._spans[listing.con_id] = _continued(past, walk.take(later), listing)
        return self._spans[listing.con_id]

    def actions(self, listing: Listing) -> tuple[Action, ...]:
        """Of a listing with bars only those after them: the bars are adjusted for what was before."""
        actions = self._walk.actions(listing)
        if listing.con_id not in self._series:
            return actions
        self.spans(listing)
        last = self._last_day[listing.con_id]
        return tuple(action for action in actions if action.ex_day > last)


def spans_of(bars: BarSeries, listing: Listing) -> Spans:
    """Each bar as a span; a daily one is its day's regular session. Days on which the exchange is shut are left out,
    and said in the log."""
    regular, trading = listing.regular, listing.trading
    start, end = bars.start, bars.end
    keep = np.ones(len(bars), np.bool_)
    row = np.searchsorted(trading.open, start, side="right") - 1
    near = row.clip(0, len(trading) - 1)
    inside = (row >= 0) & (start < trading.close[near])
    local = (start + trading.utc_offset[near]) // DAY_NS
    day = np.where(inside, trading.label[near], local)
    if bars.timeframe is Timeframe.D1:
        # A date without a time stands at midnight of UTC.
        day = np.where(inside & (start % DAY_NS != 0), day, start // DAY_NS)
        row = np.searchsorted(regular.label, day).clip(0, len(regular) - 1)
        keep = regular.label[row] == day
        start, end, is_regular = regular.open[row], regular.close[row], keep
    else:
        row = (np.searchsorted(regular.open, start, side="right") - 1).clip(0, len(regular) - 1)
        is_regular = (start >= regular.open[row]) & (start < regular.close[row])
        # Bars of nominal length reach into the next one where a session cuts them.
        end = np.minimum(end, np.append(start[1:], end[-1]))
        end = np.where(is_regular, np.minimum(end, regular.close[row]), end)
    if not keep.all():
        log.warning("%s: %d daily bars on days without a session left out", listing.long_name, int((~keep).sum()))
    if not keep.any():
        raise BadInput(f"{listing.contract.symbol}: no bar lies in a session of the listing")
    day, is_regular = day[keep], is_regular[keep]
    first = np.append(True, (day[1:] != day[:-1]) | (is_regular[1:] != is_regular[:-1]))
    nothing = np.zeros(int(keep.sum()), np.int64)
    return Spans(
        start[keep],
        end[keep],
        day,
        is_regular,
        bars.open[keep],
        bars.high[keep],
        bars.low[keep],
        bars.close[keep],
        bars.volume[keep],
        nothing,
        nothing,
        np.flatnonzero(first)[np.cumsum(first) - 1],
    )


def _continued(past: Spans, later: Spans, listing: Listing) -> Spans:
    """The past and what of the walk comes after it, brought to the last close."""
    last_end, last_close = int(past.end[-1]), float(past.close[-1])
    if not len(later):
        return past
    start = np.maximum(later.start, last_end)
    # What is left of the span in which the bars end.
    left = (later.end - start) / (later.end - later.start)
    factor = last_close / float(later.open[0])
    open_, high, low, close = (
        on_grid(prices * factor, listing.price_steps) for prices in (later.open, later.high, later.low, later.close)
    )
    open_[0] = last_close
    whole = left == 1
    columns: dict[str, np.ndarray] = {
        "start": start,
        "open": open_,
        "high": np.maximum.reduce([high, open_, close]),
        "low": np.minimum.reduce([low, open_, close]),
        "close": close,
        "volume": np.rint(later.volume * left),
        "halt_start": np.where(whole, later.halt_start, 0),
        "halt_end": np.where(whole, later.halt_end, 0),
        "group": later.group + len(past),
    }
    joined = [
        np.concatenate([getattr(past, column.name), columns.get(column.name, getattr(later, column.name))])
        for column in fields(Spans)
    ]
    return Spans(*joined)


def _character(con_id: int, bars: BarSeries) -> Character:
    """What moves about as much as the bars do."""
    days, first = np.unique(bars.start // DAY_NS, return_index=True)
    closes = bars.close[np.append(first[1:], len(bars)) - 1]
    volatility = float(np.std(np.diff(np.log(closes)))) * np.sqrt(_TRADING_DAYS) if len(days) > 2 else 0.3
    volumes: Floats = np.add.reduceat(np.nan_to_num(bars.volume), first)
    return Character(
        process=f"series {con_id}",
        price=float(bars.close[-1]),
        volatility=max(float(volatility), _LEAST_VOLATILITY),
        correlation=0.5,
        daily_volume=max(float(np.median(volumes)), 1.0),
    )
