"""What a run works on: settings, feeds, and the common timeline made from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import Action, Delisting, Dividend, Split
from domain.bars import COLUMNS, PRICE_COLUMNS, Adjustment, BarSeries, Floats, Times
from domain.costs import FREE, Commission
from domain.errors import BadInput, UnknownName
from domain.instrument import Instrument, InstrumentKind
from domain.orders import OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing, SizingKind
from domain.timeframe import DAY_NS, MINUTE_NS, Timeframe

LONGEST_CLOSURE_DAYS = 4


Member = TypeVar("Member", bound=StrEnum)


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
    `borrow_rate`: annual fee on short value. `trade_from_ns`: bars that end at or before it only warm up.
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
        # Plain texts are welcome ("close", "day"), but the drivers compare by identity.
        object.__setattr__(self, "market_at", member(MarketAt, "market_at", self.market_at))
        object.__setattr__(self, "time_in_force", member(TimeInForce, "time_in_force", self.time_in_force))
        kind = member(OrderType, "default_order_type", self.default_order_type)
        object.__setattr__(self, "default_order_type", kind)
        sizing = self.sizing._replace(kind=member(SizingKind, "sizing kind", self.sizing.kind))
        object.__setattr__(self, "sizing", sizing)
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


def member(kind: type[Member], name: str, value: str) -> Member:
    """The member of an enum, also by its plain text; UnknownName with a suggestion where there is none."""
    if value.__class__ is kind:
        return value
    if value not in [str(member) for member in kind]:
        raise UnknownName(name, str(value), [str(member) for member in kind])
    return kind(value)


@dataclass(frozen=True, slots=True)
class Feed:
    """One instrument's input to a run.

    Without `sessions` a UTC date is a session and every bar is inside it; where the data end before midnight, nobody
    knows then that the last session has closed (market-on-close and flat-at-close wait). `actions` are applied as of
    the simulated day and only where the bars do not contain them yet (`bars.adjustment`).
    """

    instrument: Instrument
    bars: BarSeries
    actions: Sequence[Action] = ()
    sessions: SessionTable | None = None
    commission: Commission | None = None
    anchor_day: int | None = None
    """Adjusted bars contain the splits up to this exchange date; None: up to their own last."""


@dataclass(eq=False)
class Track:
    """A feed placed on the timeline. What only some drivers need per bar is made when it is first asked for."""

    instrument: Instrument
    bars: BarSeries
    commission: Commission
    session_starts: Times
    """The first bar of each session that has bars."""
    session_labels: Times
    """The labels of those sessions, in days since 1970."""
    first: int
    """First bar whose close may be traded on."""
    actions: dict[int, list[Action]]
    """By the bar before whose open they take effect (a delisting: after whose close)."""
    regular: NDArray[np.bool_] | None
    """Which bars lie in regular hours; None: all."""
    reaches_close: bool
    """Whether the last bar is known to end its session."""
    bars_per_year: float
    """What turns the volatility of one bar into that of a year."""
    placed: Times | None
    """Index of each bar's end on the timeline; None: the timeline is this track's own."""

    @cached_property
    def group(self) -> Times:
        return np.arange(len(self.bars)) if self.placed is None else self.placed

    def last_bar(self, group: int) -> int:
        """The last bar that ended by a moment of the timeline; -1 where there is none."""
        if self.placed is None:
            return min(group, len(self.bars) - 1)
        return int(np.searchsorted(self.placed, group, side="right")) - 1

    @cached_property
    def day(self) -> Times:
        """Session label of each bar."""
        return np.repeat(self.session_labels, np.diff(self.session_starts, append=len(self.bars)))

    @cached_property
    def in_session(self) -> NDArray[np.bool_]:
        return np.ones(len(self.bars), np.bool_) if self.regular is None else self.regular

    @cached_property
    def last_of_session(self) -> NDArray[np.bool_]:
        """The last regular bar of each session."""
        last = np.zeros(len(self.bars), np.bool_)
        if self.regular is None:
            last[self.session_starts[1:] - 1] = True
            last[-1] = True
        else:
            rows = np.flatnonzero(self.regular)
            last[rows] = np.append(np.diff(self.day[rows]) != 0, True)
        last[-1] &= self.reaches_close
        return last

    @property
    def splits(self) -> list[tuple[int, float]]:
        return [(i, a.new_per_old) for i in sorted(self.actions) for a in self.actions[i] if isinstance(a, Split)]

    def views(self) -> Iterator[tuple[int, int, BarSeries]]:
        """(first bar, one past last, what a strategy sees there): the bars up to there, in the units of that time."""
        lo = 0
        factor = np.ones(len(self.bars))
        for at, new_per_old in [*self.splits, (len(self.bars), 1.0)]:
            if at > lo:
                yield lo, at, _scaled(self.bars[:at], factor[:at]) if lo else self.bars[:at]
            factor[:at] /= new_per_old
            lo = max(at, lo)


@dataclass(eq=False)
class Setup:
    """Everything a driver needs. `times` are the distinct bar ends of all tracks; same-bar order is the order of the
    tracks, which is the order of the feeds."""

    settings: RunSettings
    tracks: list[Track]
    times: Times
    first_group: int

    @cached_property
    def group_day(self) -> Times:
        """Session label of each moment: the latest of its bars'."""
        if len(self.tracks) == 1:
            return self.tracks[0].day
        days = np.full(len(self.times), np.iinfo(np.int64).min)
        for track in self.tracks:
            days[track.group] = np.maximum(days[track.group], track.day)
        return np.maximum.accumulate(days)

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
    if settings.sizing.kind in (SizingKind.ATR, SizingKind.VOLATILITY):
        warmup = max(warmup, settings.sizing.window + 1)  # before that no size is known, and a statement would be lost
    times = ends[0] if len(feeds) == 1 else np.unique(np.concatenate(ends))
    trade_from = settings.trade_from_ns
    first_group = 0 if trade_from is None else int(np.searchsorted(times, trade_from, side="right"))
    if first_group >= len(times):
        raise BadInput("run: no bar ends after trade_from; nothing to trade on")
    tracks = [_place(feed, settings, times, warmup, trade_from) for feed in feeds]
    return Setup(settings, tracks, times, first_group)


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
    bars = _read_only(feed.bars)
    starts, labels, regular = _sessions_of(feed)
    first = max(warmup - 1, 0)
    if trade_from is not None:
        first = max(first, int(np.searchsorted(bars.end, trade_from, side="right")))
    return Track(
        instrument=feed.instrument,
        bars=bars,
        commission=feed.commission or settings.commission,
        session_starts=starts,
        session_labels=labels,
        first=first,
        actions=_effective(feed, starts, labels),
        regular=regular,
        reaches_close=_reaches_close(bars, feed.sessions),
        bars_per_year=_bars_per_year(feed),
        placed=None if len(times) == len(bars) else np.searchsorted(times, bars.end),
    )


def _read_only(bars: BarSeries) -> BarSeries:
    """The same bars behind views that a strategy cannot write into."""
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        columns[name] = getattr(bars, name).view()
        columns[name].flags.writeable = False
    return replace(bars, **columns)


def _bars_per_year(feed: Feed) -> float:
    """By the calendar's trading time where there is one; else 252 days, of New York's hours for stocks and funds and
    of 24 hours for everything else."""
    frame, sessions = feed.bars.timeframe, feed.sessions
    if frame is Timeframe.W1:
        return 52.0
    a_year = 252.0
    if not frame.is_intraday:
        return a_year
    if sessions is not None:
        open_ns = sessions.close - sessions.open - (sessions.break_end - sessions.break_start)
        years = (int(sessions.close[-1]) - int(sessions.open[0])) / (365.25 * DAY_NS)
        # Shorter than a year of sessions says nothing about a year: take their mean day.
        days = len(sessions.label) / years if years >= 1 else a_year
        return float(np.mean(open_ns)) / frame.nanoseconds * days
    is_stock = feed.instrument.kind in (InstrumentKind.STOCK, InstrumentKind.ETF)
    return (390 if is_stock else 1440) * MINUTE_NS / frame.nanoseconds * a_year


def _reaches_close(bars: BarSeries, sessions: SessionTable | None) -> bool:
    """Whether the last bar ends its session; where the data stop earlier, nobody knows that no bar follows."""
    if not bars.timeframe.is_intraday:
        return True
    start, end = int(bars.start[-1]), int(bars.end[-1])
    if sessions is None:
        return end // DAY_NS > start // DAY_NS
    return bool(end >= sessions.close[np.searchsorted(sessions.close, start, side="right")])


def _sessions_of(feed: Feed) -> tuple[Times, Times, NDArray[np.bool_] | None]:
    """First bar and label of each session with bars, and which bars are regular (None: all).

    A bar between two sessions belongs to the later one. Sessions are looked up among the bars, not bars among the
    sessions: 2,500 searches instead of a million.
    """
    bars, sessions = feed.bars, feed.sessions
    if sessions is None:
        day = bars.start // DAY_NS
        starts = np.flatnonzero(np.concatenate([[True], day[1:] != day[:-1]]))
        return starts, day[starts], None
    if bars.start[0] < sessions.open[0] or bars.start[-1] >= sessions.close[-1]:
        raise BadInput(f"run: bars of {feed.instrument.symbol} reach beyond the calendar {sessions.calendar}")
    lo = int(np.searchsorted(sessions.close, bars.start[0], side="right"))
    hi = int(np.searchsorted(sessions.close, bars.start[-1], side="right")) + 1
    ends = np.searchsorted(bars.start, sessions.close[lo:hi])
    begins = np.concatenate([[0], ends[:-1]])
    held = ends > begins
    starts, labels = begins[held], sessions.label[lo:hi][held]
    if not bars.timeframe.is_intraday:
        return starts, labels, None
    opens = np.searchsorted(bars.start, sessions.open[lo:hi])
    if not sessions.break_start[lo:hi].any() and int(np.sum(ends - opens)) == len(bars):
        return starts, labels, None
    return starts, labels, sessions.session_index(bars.start) >= 0


def _effective(feed: Feed, starts: Times, labels: Times) -> dict[int, list[Action]]:
    """Actions by bar, without those that the bars' prices contain already."""
    found: dict[int, list[Action]] = {}
    adjustment = feed.bars.adjustment
    anchor = int(labels[-1]) if feed.anchor_day is None else feed.anchor_day
    splits = [action for action in feed.actions if isinstance(action, Split)]
    for action in sorted(feed.actions, key=lambda a: (a.ex_day, not isinstance(a, Split))):
        if isinstance(action, Split) and adjustment is not Adjustment.RAW:
            continue
        if isinstance(action, Dividend):
            if adjustment is Adjustment.TOTAL:
                continue
            if adjustment is Adjustment.SPLIT:
                later = math.prod(split.new_per_old for split in splits if action.ex_day < split.ex_day <= anchor)
                action = Dividend(action.ex_day, action.amount / later)
        if isinstance(action, Delisting):
            at = _last_bar_before(feed, starts, labels, action.ex_day)
        else:
            session = int(np.searchsorted(labels, action.ex_day))
            if feed.bars.timeframe is Timeframe.W1 and (session == len(labels) or labels[session] != action.ex_day):
                session = _week_of(feed, starts, labels, action, session - 1)
            if session == len(labels) or (session == 0 and labels[0] > action.ex_day):
                continue
            at = int(starts[session])
        if at >= 0:
            found.setdefault(at, []).append(action)
    return found


def _week_of(feed: Feed, starts: Times, labels: Times, action: Action, session: int) -> int:
    """The weekly bar in which an action falls after its first day; BadInput where that is a split of raw bars."""
    if session < 0 or action.ex_day * DAY_NS > feed.bars.end[starts[session]]:
        return session + 1
    if isinstance(action, Split):
        raise BadInput(
            f"run: {feed.instrument.symbol} splits on {np.datetime64(action.ex_day, 'D')}, inside a weekly bar, whose "
            "raw prices are in both units; take split-adjusted bars, or days"
        )
    return session


def _last_bar_before(feed: Feed, starts: Times, labels: Times, ex_day: int) -> int:
    """The bar after which a delisting leaves nothing; -1 where the bars end before that is known to be the last."""
    session = int(np.searchsorted(labels, ex_day))
    if session < len(labels):
        return int(starts[session]) - 1
    sessions = feed.sessions
    if sessions is None:
        following = int(labels[-1]) + LONGEST_CLOSURE_DAYS
    else:
        following = int(sessions.label[min(np.searchsorted(sessions.label, labels[-1]) + 1, len(sessions.label) - 1)])
    return len(feed.bars) - 1 if ex_day <= following else -1


def _scaled(bars: BarSeries, factor: Floats) -> BarSeries:
    columns: dict[str, Any] = {name: getattr(bars, name) * factor for name in PRICE_COLUMNS}
    return replace(bars, **columns, volume=bars.volume / factor)
