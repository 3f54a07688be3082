"""What the history service answers: bars, head time stamps, schedules, ticks of the past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from domain.adjustments import dividend_factors, split_factors
from domain.bars import Floats
from domain.sessions import Days
from domain.timeframe import DAY_NS, SECOND_NS
from gateway.simulator import history_request, requests, wire_times
from gateway.simulator.bar_sizes import DAY, BarSize
from gateway.simulator.cutting import Bars, cut
from gateway.simulator.history_request import Refusal, Wish
from gateway.simulator.market import Market
from gateway.simulator.records import Listing

_FIVE_SECONDS = BarSize("5 secs", 5)
_ADJUSTED_PLACES = 4
_TRADING_DAYS = 252
_VOLATILITY_DAYS = 30
# Options are dearer than what happened: implied volatility next to that of the past.
_PREMIUM, _PULL = 0.015, 0.25


class Schedule(NamedTuple):
    """Sessions as historicalSchedule tells them: local texts (start, end, date), and the zone."""

    start: str
    end: str
    zone: str
    sessions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class HistoryAnswer:
    """A refusal, a schedule or bars; volume, average and trades are -1 where the kind of bar has none.

    `warning` goes before the answer, or alone with the refusal after it. `bars` is what is asked for at the time, the
    last one forming where the end is now.
    """

    refusal: Refusal | None = None
    warning: Refusal | None = None
    wish: Wish | None = None
    bars: Bars | None = None
    schedule: Schedule | None = None

    def dates(self, date_format: int) -> list[str]:
        if self.bars is None or self.wish is None:
            return []
        return bar_dates(self.bars, self.wish.size, self.wish.listing, date_format)


def bar_dates(bars: Bars, size: BarSize, listing: Listing, date_format: int) -> list[str]:
    """Days for days and longer; else texts with the listing's zone (1) or epoch seconds (2)."""
    if not size.is_intraday:
        return wire_times.day_column(bars.day)
    if date_format == 2:
        return wire_times.epoch_column(bars.start)
    return wire_times.zoned_column(bars.start, listing.zone)


def serve(market: Market, request: requests.HistoricalData, now_ns: int, *, strict: bool = False) -> HistoryAnswer:
    found = market.listed(request.contract, now_ns, expired=request.include_expired)
    wish = history_request.read(request, found, now_ns, strict=strict)
    if isinstance(wish, Refusal):
        return HistoryAnswer(refusal=wish)
    if wish.what == "SCHEDULE":
        return HistoryAnswer(warning=wish.warning, wish=wish, schedule=schedule(wish))
    bars = _bars(market, wish, now_ns)
    if not len(bars):
        return HistoryAnswer(history_request.no_data(wish.listing, wish.what), wish.warning, wish)
    return HistoryAnswer(warning=wish.warning, wish=wish, bars=bars)


def _bars(market: Market, wish: Wish, now_ns: int) -> Bars:
    if wish.what in ("HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY"):
        return _volatility(market, wish, now_ns)
    return bars_between(market, wish.listing, wish.size, wish.what, wish.use_rth, wish.start_ns, wish.end_ns, now_ns)


def bars_between(
    market: Market,
    listing: Listing,
    size: BarSize,
    what: str,
    use_rth: bool,
    start_ns: int,
    end_ns: int,
    now_ns: int,
) -> Bars:
    """Bars of what happened in [start, end), adjusted as is known now: TRADES and quotes for splits, ADJUSTED_LAST
    for dividends too."""
    side = "TRADES" if what == "ADJUSTED_LAST" else what
    bars = cut(market.tape, listing, size, use_rth, start_ns, end_ns, side)
    if not len(bars):
        return bars
    bars = _adjusted(market, listing, bars, now_ns, with_dividends=what == "ADJUSTED_LAST")
    if side == "TRADES" and listing.contract.sec_type != "IND":
        return bars
    nothing = np.full(len(bars), -1.0 if side != "TRADES" else 0.0)
    return replace(bars, volume=nothing, average=nothing, trades=nothing)


def five_second_bars(market: Market, listing: Listing, what: str, use_rth: bool, after_ns: int, until_ns: int) -> Bars:
    """Whole five-second bars that end in (after, until]."""
    step = 5 * SECOND_NS
    bars = bars_between(
        market, listing, _FIVE_SECONDS, what, use_rth, after_ns // step * step, until_ns // step * step, until_ns
    )
    return bars.take((bars.end > after_ns) & (bars.end <= until_ns))


# Adjusting


def _adjusted(market: Market, listing: Listing, bars: Bars, now_ns: int, *, with_dividends: bool) -> Bars:
    actions = market.tape.source.actions(listing)
    if not actions:
        return bars
    spans = market.tape.spans(listing)
    today = int(spans.day[max(spans.before(now_ns), 0)])
    splits = split_factors(bars.day, actions, today)
    prices = splits
    if with_dividends:
        days, closes = _daily_closes(market, listing, today)
        closes = closes * split_factors(days, actions, today)
        factors = dividend_factors(days, closes, [action for action in actions if action.ex_day <= today])
        prices = splits * factors[np.searchsorted(days, bars.day).clip(0, len(days) - 1)]
    if (prices == 1).all():
        return bars
    open_, high, low, close, average = (
        _times(column, prices) for column in (bars.open, bars.high, bars.low, bars.close, bars.average)
    )
    volume = np.rint(bars.volume / splits)
    return replace(bars, open=open_, high=high, low=low, close=close, average=average, volume=volume)


def _times(values: Floats, factors: Floats) -> Floats:
    return np.where(factors == 1, values, np.round(values * factors, _ADJUSTED_PLACES))


def _daily_closes(market: Market, listing: Listing, today: int) -> tuple[Days, Floats]:
    """(days, closes of regular hours) up to and with `today`, raw."""
    spans = market.tape.spans(listing)
    regular = np.flatnonzero(spans.regular & (spans.day <= today))
    last = np.append(np.flatnonzero(np.diff(spans.day[regular])), len(regular) - 1)
    rows = regular[last]
    return spans.day[rows], spans.close[rows]


# Volatility


def _volatility(market: Market, wish: Wish, now_ns: int) -> Bars:
    """Daily bars of yearly volatility; each opens at the day before's."""
    earlier = wish.start_ns - 2 * _VOLATILITY_DAYS * DAY_NS
    listing = wish.listing
    bars = bars_between(market, listing, DAY, "TRADES", True, earlier, wish.end_ns, now_ns)
    if len(bars) <= _VOLATILITY_DAYS + 1:
        return bars.take(slice(0))
    returns = np.diff(np.log(bars.close))
    windows = np.lib.stride_tricks.sliding_window_view(returns, _VOLATILITY_DAYS)
    value = windows.std(axis=1, ddof=1) * np.sqrt(_TRADING_DAYS)
    if wish.what == "OPTION_IMPLIED_VOLATILITY":
        value = (1 - _PULL) * value + _PULL * float(np.median(value)) + _PREMIUM
    value = np.round(value, 6)
    shown = bars.take(slice(_VOLATILITY_DAYS + 1, None))
    before, after = value[:-1], value[1:]
    nothing = np.full(len(after), -1.0)
    shown = replace(
        shown,
        open=before,
        high=np.maximum(before, after),
        low=np.minimum(before, after),
        close=after,
        volume=nothing,
        average=nothing,
        trades=nothing,
    )
    return shown.take(shown.start >= wish.start_ns)


# Other answers


def schedule(wish: Wish) -> Schedule:
    table = wish.listing.regular if wish.use_rth else wish.listing.trading
    lo, hi = np.searchsorted(table.open, (wish.start_ns, wish.end_ns))
    zone = wish.listing.zone
    rows = tuple(
        (_dashed(opens, zone), _dashed(closes, zone), wire_times.day(label))
        for opens, closes, label in zip(
            table.open[lo:hi].tolist(), table.close[lo:hi].tolist(), table.label[lo:hi].tolist(), strict=True
        )
    )
    ends = (rows[0][0], rows[-1][1]) if rows else ("", "")
    return Schedule(*ends, zone, rows)


def _dashed(time_ns: int, zone: str) -> str:
    date, clock, _ = wire_times.zoned(time_ns, zone).split(" ")
    return f"{date}-{clock}"


def head_timestamp(market: Market, request: requests.HeadTimestamp, now_ns: int) -> str | Refusal:
    """When the first data are from: UTC text (format 1) or epoch seconds (2)."""
    found = market.listed(request.contract, now_ns, expired=request.include_expired)
    listing = history_request.the_one(request.contract.symbol or str(request.contract.con_id), found)
    if isinstance(listing, Refusal):
        return listing
    if request.what not in history_request.WHATS:
        return history_request.invalid(f"Historical data query type {request.what} is invalid.")
    if history_request.lacks(listing, request.what):
        return history_request.service_error(f"No head time stamp: {listing.contract.symbol} {request.what}")
    spans = market.tape.spans(listing)
    rows = np.flatnonzero(spans.regular) if request.use_rth else np.arange(len(spans))
    if not len(rows):
        return history_request.no_data(listing, request.what)
    first = int(spans.start[rows[0]])
    return str(first // SECOND_NS) if request.date_format == 2 else wire_times.utc_dashed(first)


class Ticks(NamedTuple):
    """Of MIDPOINT (epoch seconds, price, 0), of TRADES (epoch seconds, price, size), of BID_ASK (epoch seconds, bid,
    ask, bid size, ask size)."""

    what: str
    rows: list[tuple[float, ...]]


_MOST_TICKS = 1000
_TICK_WINDOW_DAYS = 10


def historical_ticks(market: Market, request: requests.HistoricalTicks, now_ns: int) -> Ticks | Refusal:
    """Up to 1000 ticks from `start` on, or before `end`: one for each second in which something was traded, or
    changed."""
    name = request.contract.symbol or str(request.contract.con_id)
    found = market.listed(request.contract, now_ns, expired=request.include_expired)
    listing = history_request.the_one(name, found)
    if isinstance(listing, Refusal):
        return listing
    if request.what not in ("TRADES", "MIDPOINT", "BID_ASK"):
        return history_request.invalid(f"Historical tick type {request.what} is invalid.")
    if bool(request.start) == bool(request.end):
        return history_request.invalid("Give either a start or an end time, and not both.")
    moment = history_request.read_time(request.start or request.end, listing.zone, now_ns)
    if moment is None:
        return Refusal(10314, history_request.BAD_END)
    if not 1 <= request.limit <= _MOST_TICKS:
        return history_request.invalid("The number of ticks must be between 1 and 1000.")
    if history_request.lacks(listing, request.what):
        return history_request.no_data(listing, request.what)
    return Ticks(request.what, _ticks(market, listing, request, moment[0], now_ns))


def _ticks(
    market: Market, listing: Listing, request: requests.HistoricalTicks, moment_ns: int, now_ns: int
) -> list[tuple[float, ...]]:
    """Read hour by hour, away from the moment, until there are enough."""
    step = 3600 * SECOND_NS
    forward = bool(request.start)
    found: list[tuple[float, ...]] = []
    edge = moment_ns
    for _ in range(_TICK_WINDOW_DAYS * 24):
        start, end = (edge, edge + step) if forward else (edge - step, edge)
        if start >= now_ns or len(found) >= request.limit:
            break
        rows = _ticks_between(market, listing, request, start, min(end, now_ns))
        found = found + rows if forward else rows + found
        edge = end if forward else start
    return found[: request.limit] if forward else found[-request.limit :]


def _ticks_between(
    market: Market, listing: Listing, request: requests.HistoricalTicks, start_ns: int, end_ns: int
) -> list[tuple[float, ...]]:
    bars = cut(market.tape, listing, BarSize("1 secs", 1), request.use_rth, start_ns, end_ns, "TRADES")
    if not len(bars):
        return []
    seconds = bars.start // SECOND_NS
    if request.what == "TRADES":
        keep = bars.volume > 0
        return list(zip(seconds[keep].tolist(), bars.close[keep].tolist(), bars.volume[keep].tolist(), strict=True))
    keep = np.append(True, bars.close[1:] != bars.close[:-1])
    span = np.searchsorted(market.tape.spans(listing).start, bars.start[keep], side="right") - 1
    bid, ask = (side(listing, bars.close[keep], span) for side in (market.tape.bid, market.tape.ask))
    if request.what == "MIDPOINT":
        return [
            (second, price, 0.0)
            for second, price in zip(seconds[keep].tolist(), ((bid + ask) / 2).tolist(), strict=True)
        ]
    sizes = [market.sizes(listing, second) for second in seconds[keep].tolist()]
    return [
        (second, low, high, *size)
        for second, low, high, size in zip(seconds[keep].tolist(), bid.tolist(), ask.tolist(), sizes, strict=True)
    ]
