"""What a run works on: settings, feeds, and the common timeline made from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import Action, Delisting, Dividend, Split
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries, Floats, Times
from domain.costs import FREE, Commission
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.orders import OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing
from domain.timeframe import DAY_NS, Timeframe

LONGEST_CLOSURE_DAYS = 4


class MarketAt(StrEnum):
    """Where a market order fills: at the next bar's open (what live can do) or at the close that decided it."""

    NEXT_OPEN = "next_open"
    CLOSE = "close"


DEFAULT_SIZING = Sizing()
DEFAULT_LIMITS = RiskLimits()


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run trades. Money in the account's currency.

    `volume_cap`: the largest share of a bar's volume that one order may take, the rest stays working; None = no cap.
    `default_order_type` market or limit; a default limit stands `limit_offset_bps` better than the close
    (negative: through it). `margin_rate`: margin per value for instruments without their own (1 = pay in full).
    `borrow_rate`: annual fee on short value. `trade_from_ns`: bars that end before it only warm up.
    """

    cash: float = 100_000.0
    commission: Commission = FREE
    slippage_bps: float = 0.0
    market_at: MarketAt = MarketAt.NEXT_OPEN
    volume_cap: float | None = None
    default_order_type: OrderType = OrderType.MARKET
    limit_offset_bps: float = 0.0
    time_in_force: TimeInForce = TimeInForce.DAY
    sizing: Sizing = DEFAULT_SIZING
    limits: RiskLimits = DEFAULT_LIMITS
    margin_rate: float = 1.0
    borrow_rate: float = 0.0
    trade_from_ns: int | None = None

    def __post_init__(self) -> None:
        for name in ("cash", "margin_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"run: {name} must be a positive number, not {value!r}")
        for name in ("slippage_bps", "borrow_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"run: {name} must be a number >= 0, not {value!r}")
        if self.volume_cap is not None and not 0 < self.volume_cap <= 1:
            raise BadInput(f"run: volume_cap is a fraction of a bar's volume in (0, 1], not {self.volume_cap!r}")
        if self.default_order_type not in (OrderType.MARKET, OrderType.LIMIT):
            raise BadInput(f"run: default_order_type is market or limit, not {self.default_order_type}")
        self.sizing.check()
        self.limits.check()


@dataclass(frozen=True, slots=True)
class Feed:
    """One instrument's input to a run.

    Without `sessions` a UTC date is a session and every bar is inside it. `actions` are applied as of the
    simulated day and only where the bars do not contain them yet (`bars.adjustment`).
    """

    instrument: Instrument
    bars: BarSeries
    actions: Sequence[Action] = ()
    sessions: SessionTable | None = None
    commission: Commission | None = None


@dataclass(slots=True, eq=False)
class Track:
    """A feed placed on the timeline: per-bar facts that the drivers need."""

    instrument: Instrument
    bars: BarSeries
    commission: Commission
    group: Times
    """Index of each bar's end on the timeline."""
    day: Times
    """Session label of each bar, in days since 1970."""
    in_session: NDArray[np.bool_]
    last_of_session: NDArray[np.bool_]
    first: int
    """First bar whose close may be traded on."""
    actions: dict[int, list[Action]] = field(default_factory=dict)
    """By the bar before whose open they take effect (a delisting: after whose close)."""

    @property
    def splits(self) -> list[tuple[int, float]]:
        return [(i, a.new_per_old) for i in sorted(self.actions) for a in self.actions[i] if isinstance(a, Split)]

    def session_starts(self) -> Times:
        """The first bar of each session that has bars."""
        return np.flatnonzero(np.concatenate([[True], self.day[1:] != self.day[:-1]]))

    def views(self) -> Iterator[tuple[int, int, BarSeries]]:
        """(first bar, one past last, what a strategy sees there): the bars up to there, in the units of that time."""
        lo = 0
        factor = np.ones(len(self.bars))
        for at, new_per_old in [*self.splits, (len(self.bars), 1.0)]:
            if at > lo:
                yield lo, at, _scaled(self.bars[:at], factor[:at]) if lo else self.bars[:at]
            factor[:at] /= new_per_old
            lo = max(at, lo)


@dataclass(slots=True, eq=False)
class Setup:
    """Everything a driver needs. `times` are the distinct bar ends of all tracks, `group_day` their session labels;
    same-bar order is the order of the tracks, which is the order of the feeds."""

    settings: RunSettings
    tracks: list[Track]
    times: Times
    group_day: Times
    first_group: int

    @property
    def symbols(self) -> list[str]:
        return [track.instrument.symbol for track in self.tracks]

    @property
    def pays_in_full(self) -> bool:
        """Whether having the cash is all that a purchase needs: long only, no margin."""
        own_margin = any(track.instrument.margin is not None for track in self.tracks)
        return self.settings.limits.long_only and self.settings.margin_rate == 1.0 and not own_margin

    @property
    def timeframe(self) -> Timeframe:
        return self.tracks[0].bars.timeframe


def prepare(feeds: Sequence[Feed], settings: RunSettings, warmup: int = 0) -> Setup:
    """Check the feeds against each other and place them on one timeline; BadInput says what does not fit."""
    _check(feeds, settings)
    ends = [feed.bars.end for feed in feeds]
    times = ends[0] if len(feeds) == 1 else np.unique(np.concatenate(ends))
    trade_from = settings.trade_from_ns
    first_group = 0 if trade_from is None else int(np.searchsorted(times, trade_from, side="right"))
    if first_group >= len(times):
        raise BadInput("run: no bar ends after trade_from; nothing to trade on")
    tracks = [_place(feed, settings, times, warmup, trade_from) for feed in feeds]
    if len(tracks) == 1:
        group_day = tracks[0].day
    else:
        group_day = np.full(len(times), np.iinfo(np.int64).min)
        for track in tracks:
            group_day[track.group] = np.maximum(group_day[track.group], track.day)
        group_day = np.maximum.accumulate(group_day)
    return Setup(settings, tracks, times, group_day, first_group)


def _check(feeds: Sequence[Feed], settings: RunSettings) -> None:
    if not feeds:
        raise BadInput("run: no instrument to trade")
    symbols = [feed.instrument.symbol for feed in feeds]
    if len(set(symbols)) != len(symbols):
        raise BadInput(f"run: an instrument is listed twice: {', '.join(sorted(symbols))}")
    frames = {feed.bars.timeframe for feed in feeds}
    if len(frames) > 1:
        raise BadInput(f"run: one timeframe per run, not {', '.join(sorted(frames))}")
    currencies = {feed.instrument.currency for feed in feeds}
    if len(currencies) > 1:
        raise BadInput(f"run: instruments in {', '.join(sorted(currencies))}; one currency per run")
    for feed in feeds:
        symbol = feed.instrument.symbol
        if not len(feed.bars):
            raise BadInput(f"run: no bars of {symbol}; import or load some first")
        if not feed.instrument.is_tradable:
            raise BadInput(f"run: {symbol} is an index; it cannot be bought, take a fund or future on it")
        if settings.volume_cap is not None and np.isnan(feed.bars.volume).any():
            raise BadInput(f"run: volume_cap needs volumes, and {symbol} has bars without; leave the cap out")
    if settings.limits.flat_at_close and not feeds[0].bars.timeframe.is_intraday:
        raise BadInput(f"run: flat_at_close needs intraday bars, not {feeds[0].bars.timeframe}")


def _place(feed: Feed, settings: RunSettings, times: Times, warmup: int, trade_from: int | None) -> Track:
    bars, sessions = feed.bars, feed.sessions
    n = len(bars)
    if sessions is None:
        day, in_session = bars.start // DAY_NS, np.ones(n, np.bool_)
    else:
        day, in_session = _in_sessions(feed.instrument, bars, sessions)
    last = in_session.copy()
    last[:-1] &= (day[1:] != day[:-1]) | ~in_session[1:]
    first = max(warmup - 1, 0)
    if trade_from is not None:
        first = max(first, int(np.searchsorted(bars.end, trade_from, side="right")))
    group = np.arange(n) if len(times) == n else np.searchsorted(times, bars.end)
    return Track(
        instrument=feed.instrument,
        bars=bars,
        commission=feed.commission or settings.commission,
        group=group,
        day=day,
        in_session=in_session,
        last_of_session=last,
        first=first,
        actions=_effective(feed, day),
    )


def _in_sessions(instrument: Instrument, bars: BarSeries, sessions: SessionTable) -> tuple[Times, NDArray[np.bool_]]:
    """Session label and regular-hours flag of each bar; a bar between two sessions belongs to the later one.

    Sessions are looked up among the bars, not bars among the sessions: 2,500 searches instead of a million.
    """
    if bars.start[0] < sessions.open[0] or bars.start[-1] >= sessions.close[-1]:
        raise BadInput(f"run: bars of {instrument.symbol} reach beyond the calendar {sessions.calendar}")
    lo = int(np.searchsorted(sessions.close, bars.start[0], side="right"))
    hi = int(np.searchsorted(sessions.close, bars.start[-1], side="right")) + 1
    ends = np.searchsorted(bars.start, sessions.close[lo:hi])
    day = np.repeat(sessions.label[lo:hi], np.diff(ends, prepend=0))
    if not bars.timeframe.is_intraday:
        return day, np.ones(len(bars), np.bool_)
    begins = np.searchsorted(bars.start, sessions.open[lo:hi])
    if not sessions.break_start[lo:hi].any() and int(np.sum(ends - begins)) == len(bars):
        return day, np.ones(len(bars), np.bool_)
    return day, sessions.session_index(bars.start) >= 0


def _effective(feed: Feed, day: Times) -> dict[int, list[Action]]:
    """Actions by bar, without those that the bars' prices contain already."""
    found: dict[int, list[Action]] = {}
    adjustment = feed.bars.adjustment
    splits = [action for action in feed.actions if isinstance(action, Split)]
    for action in sorted(feed.actions, key=lambda a: (a.ex_day, not isinstance(a, Split))):
        if isinstance(action, Split) and adjustment is not Adjustment.RAW:
            continue
        if isinstance(action, Dividend):
            if adjustment is Adjustment.TOTAL:
                continue
            if adjustment is Adjustment.SPLIT:
                later = math.prod(split.new_per_old for split in splits if split.ex_day > action.ex_day)
                action = Dividend(action.ex_day, action.amount / later)
        if isinstance(action, Delisting):
            at = _last_bar_before(feed, day, action.ex_day)
        else:
            at = int(np.searchsorted(day, action.ex_day))
            if at == 0 and day[0] > action.ex_day:
                continue
        if 0 <= at < len(day):
            found.setdefault(at, []).append(action)
    return found


def _last_bar_before(feed: Feed, day: Times, ex_day: int) -> int:
    """The bar after which a delisting leaves nothing; -1 where the bars end before that is known to be the last."""
    at = int(np.searchsorted(day, ex_day)) - 1
    if at == len(day) - 1:
        sessions = feed.sessions
        if sessions is None:
            following = int(day[-1]) + LONGEST_CLOSURE_DAYS
        else:
            following = int(sessions.label[min(np.searchsorted(sessions.label, day[-1]) + 1, len(sessions.label) - 1)])
        if ex_day > following:
            return -1
    return at


def _scaled(bars: BarSeries, factor: Floats) -> BarSeries:
    columns: dict[str, Any] = {name: getattr(bars, name) * factor for name in PRICE_COLUMNS}
    return replace(bars, **columns, volume=bars.volume / factor)
