"""The per-bar driver: any strategy, every rule, one Python call per bar.

Order of one moment (all bars that end together): the day rolls, corporate actions take effect, working orders meet
their bars, then the kill switch looks at the closes, then the strategies decide, instrument by instrument in the
order of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from domain.bars import PRICE_COLUMNS, BarSeries, Floats
from domain.engine.book import Book
from domain.engine.setup import Setup, Track
from domain.errors import BadInput, UnknownName
from domain.indicators import atr, ewma_volatility
from domain.orders import CancelIntent, OrderIntent
from domain.sizing import Sizing, SizingKind
from domain.strategy import SignalSeries, Strategy, Targets, Wishes

NAN = float("nan")
INF = float("inf")
NEW_DAY, ACTIONS, BEFORE_CLOSE = 1, 2, 4


class BarContext:
    """What `on_bar` sees; `i` is the bar that just closed. Arrays of the future exist behind it, but no method
    reaches them."""

    __slots__ = ("_arrays", "_bars", "_book", "_k", "_lists", "i", "instrument")

    def __init__(self, book: Book, k: int, track: Track) -> None:
        self._book = book
        self._k = k
        self._bars = track.bars
        self._arrays: dict[str, Floats] = {}
        self._lists: dict[str, list[float]] = {}
        self.i = -1
        self.instrument = track.instrument

    def enter(self, view: BarSeries, columns: Mapping[str, Floats]) -> None:
        """Take up a view of the bars: at the beginning, and when a split changes the units."""
        arrays = {name: getattr(view, name) for name in (*PRICE_COLUMNS, "volume")}
        for name, column in columns.items():
            if len(column) != len(view):
                raise BadInput(f"indicator {name!r} has {len(column)} values for {len(view)} bars")
            arrays[name] = np.asarray(column, np.float64)
        self._arrays = arrays
        self._lists = {}

    def __getitem__(self, indicator: str) -> float:
        try:
            return self._lists[indicator][self.i]
        except KeyError:
            return self._list_of(indicator)[self.i]

    def _list_of(self, name: str) -> list[float]:
        """A column as a list, made when it is first read: its values are read faster than an array's."""
        values: list[float] = self._array_of(name).tolist()
        self._lists[name] = values
        return values

    def _array_of(self, name: str) -> Floats:
        if name not in self._arrays:
            raise UnknownName("bar column or indicator", name, self._arrays)
        return self._arrays[name]

    def history(self, column: str, bars: int) -> Floats:
        values = self._array_of(column)[max(self.i + 1 - bars, 0) : self.i + 1]
        values.flags.writeable = False
        return values

    @property
    def open(self) -> float:
        return self["open"]

    @property
    def high(self) -> float:
        return self["high"]

    @property
    def low(self) -> float:
        return self["low"]

    @property
    def close(self) -> float:
        return self["close"]

    @property
    def volume(self) -> float:
        return self["volume"]

    @property
    def start(self) -> int:
        return int(self._bars.start[self.i])

    @property
    def end(self) -> int:
        return int(self._bars.end[self.i])

    @property
    def position(self) -> float:
        return self._book.quantity[self._k]

    @property
    def average_price(self) -> float:
        return self._book.average[self._k] if self._book.quantity[self._k] else NAN

    @property
    def cash(self) -> float:
        return self._book.cash

    @property
    def equity(self) -> float:
        self._book.mark[self._k] = self._bars.close.item(self.i)
        return self._book.equity()

    @property
    def working_orders(self) -> int:
        return len(self._book.working[self._k])


class _Lane:
    """One instrument's strategy object with what it reads, moved from split to split."""

    __slots__ = ("context", "first", "k", "next_view", "on_bar", "strategy", "track", "views", "volatility")

    def __init__(self, book: Book, k: int, strategy: Strategy, sizing: Sizing) -> None:
        self.k = k
        self.track = book.tracks[k]
        self.first = self.track.first
        self.strategy = strategy
        self.context = BarContext(book, k, self.track)
        self.volatility: Floats | None = None
        self.views = [
            (lo, view, strategy.indicators(view), volatility_of(sizing, view, self.track.bars_per_year))
            for lo, _, view in self.track.views()
        ]
        self.on_bar: Callable[[Any], Wishes] = strategy.on_bar
        if strategy.is_vector():
            self.on_bar = _Stated(statements(strategy, self.track), self.first).on_bar
        self.next_view = 0
        self.move_to(self.first)

    def move_to(self, i: int) -> None:
        """Step into the view that bar i belongs to: at the start, and at each split."""
        while self.next_view < len(self.views) and self.views[self.next_view][0] <= i:
            _, view, columns, volatility = self.views[self.next_view]
            self.context.enter(view, columns)
            self.volatility = volatility
            self.next_view += 1


class _Stated:
    """A vector strategy in the per-bar loop: the same statements, one at a time."""

    __slots__ = ("rows",)

    def __init__(self, signals: SignalSeries, first: int) -> None:
        at = changes(signals.target, first).tolist()
        losses = signals.stop_loss if signals.stop_loss is not None else np.full(len(signals.target), NAN)
        profits = signals.take_profit if signals.take_profit is not None else np.full(len(signals.target), NAN)
        self.rows = {
            i: OrderIntent(target=float(signals.target[i]), stop_loss=_price(losses[i]), take_profit=_price(profits[i]))
            for i in at
        }

    def on_bar(self, context: BarContext) -> Wishes:
        return self.rows.get(context.i)


def _price(value: float) -> float | None:
    return float(value) if value == value else None


def changes(target: Targets, first: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows from `first` on that state something new: not NaN and not a repetition of the statement before."""
    stated = np.flatnonzero(target == target)
    stated = stated[np.searchsorted(stated, first) :]
    values = target[stated]
    new = np.ones(len(stated), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return stated[new]


def statements(strategy: Strategy, track: Track) -> SignalSeries:
    """The strategy's signals, each stretch between splits computed on prices in that stretch's units."""
    pieces: list[list[Any]] = []
    for lo, hi, view in track.views():
        signals = strategy.signals(view)
        for name, column in zip(signals._fields, signals, strict=True):
            if column is not None and len(column) != hi:
                raise BadInput(f"strategy {strategy.label()}: {name} has {len(column)} rows for {hi} bars")
        pieces.append([None if column is None else column[lo:] for column in signals])
    if len(pieces) == 1:
        joined = pieces[0]
    else:
        joined = [
            None if any(piece[c] is None for piece in pieces) else np.concatenate([piece[c] for piece in pieces])
            for c in range(3)
        ]
    target = np.asarray(joined[0])
    if target.dtype.kind != "f":
        target = target.astype(np.float64)
    return SignalSeries(target, joined[1], joined[2])


def volatility_of(sizing: Sizing, view: BarSeries, bars_per_year: float) -> Floats | None:
    """What the sizing needs per bar: the ATR, the annual EWMA volatility, or nothing."""
    if sizing.kind is SizingKind.ATR:
        return atr(view.high, view.low, view.close, sizing.window)
    if sizing.kind is SizingKind.VOLATILITY:
        decay = 1.0 - 2.0 / (sizing.window + 1.0)
        per_bar = ewma_volatility(view.close, decay, sizing.window)
        return per_bar * math.sqrt(bars_per_year)
    return None


def run_loop(setup: Setup, strategies: Sequence[Strategy], progress: Callable[[float], None] | None = None) -> Book:
    """Run one strategy object per track over all bars; the book holds what happened.

    `progress` is called now and then with the share done; it may raise to end the run.
    """
    book = Book(setup)
    lanes = [_Lane(book, k, strategy, setup.settings.sizing) for k, strategy in enumerate(strategies)]
    groups = len(setup.times)
    firsts = [int(lane.track.group[lane.first]) for lane in lanes if lane.first < len(lane.track.bars)]
    begin = min(firsts, default=groups)
    if begin < groups:
        book.day = int(setup.group_day[begin])
    stretch = _one_lane(book, lanes[0]) if len(lanes) == 1 else _many_lanes(book, lanes)
    chunk = max(groups // 100, 1)  # by percent: a strategy may be slow at each bar, however few there are
    for lo in range(begin, groups, chunk):
        stretch(lo, min(lo + chunk, groups))
        if book.halted_at is not None:
            break
        if progress is not None:
            progress(min(lo + chunk, groups) / groups)
    return book


Stretch = Callable[[int, int], None]


def _one_lane(book: Book, lane: _Lane) -> Stretch:
    """The loop over one instrument, where a moment is a bar. The mark is brought up to date where it is asked for."""
    flags = _flags(book.setup)
    armed = book.limits.has_kill_switch
    closes: list[float] = lane.track.bars.close.tolist()
    mark = book.mark
    context, on_bar = lane.context, lane.on_bar
    lanes, zero = [lane], [0]

    def stretch(lo: int, hi: int) -> None:
        changed, low, high = True, -INF, INF
        for i, flag, close in zip(range(lo, hi), flags[lo:hi], closes[lo:hi], strict=True):
            if flag:
                mark[0] = closes[i - 1]
                _open(book, lanes, zero, [i], i, flag)
                changed = True
            if book.busy:
                book.match_bar(0, i, i)
                changed = True
            context.i = i
            if changed or not low < close < high:
                mark[0] = close
                if armed and book.equity() <= book.kill_level:
                    book.halt(i)
                    return
                low, high = book.harmless_closes(0) if armed else (-INF, INF)
                changed = False
            if flag and flag & BEFORE_CLOSE:
                book.flatten_before_close(0, i, i)
            wishes = on_bar(context)
            if wishes is not None:
                mark[0] = close
                _submit(book, lane, i, i, wishes)
                changed = True
            if flag:
                book.delist(0, i, i)

    return stretch


def _many_lanes(book: Book, lanes: list[_Lane]) -> Stretch:
    """The loop over several instruments: all of a moment's bars are met before anybody decides on their closes."""
    flags = _flags(book.setup)
    armed = book.limits.has_kill_switch
    ks, bars, bounds = _steps(book.setup)
    closes: list[list[float]] = [lane.track.bars.close.tolist() for lane in lanes]
    mark = book.mark

    def stretch(lo: int, hi: int) -> None:
        for g in range(lo, hi):
            a, b = bounds[g], bounds[g + 1]
            members, at = ks[a:b], bars[a:b]
            if flags[g]:
                _open(book, lanes, members, at, g, flags[g])
            if book.busy:
                for k, i in zip(members, at, strict=True):
                    if book.working[k]:
                        book.match_bar(k, i, g)
            for k, i in zip(members, at, strict=True):
                lanes[k].context.i = i
                mark[k] = closes[k][i]
            if armed and book.equity() <= book.kill_level:
                book.halt(g)
                return
            for k, i in zip(members, at, strict=True):
                lane = lanes[k]
                if i < lane.first:
                    continue
                if flags[g] & BEFORE_CLOSE:
                    book.flatten_before_close(k, i, g)
                wishes = lane.on_bar(lane.context)
                if wishes is not None:
                    _submit(book, lane, i, g, wishes)
                if flags[g]:
                    book.delist(k, i, g)

    return stretch


def _submit(book: Book, lane: _Lane, i: int, g: int, wishes: Wishes) -> None:
    volatility = float(lane.volatility[i]) if lane.volatility is not None else NAN
    if isinstance(wishes, OrderIntent | CancelIntent):
        book.submit(lane.k, i, g, wishes, volatility)
        return
    for wish in wishes if isinstance(wishes, Sequence) else [wishes]:
        if not isinstance(wish, OrderIntent | CancelIntent):
            raise BadInput(
                f"strategy {lane.strategy.label()}: on_bar gave {str(wish)[:40]!r}; it gives intents, several, or None"
            )
        book.submit(lane.k, i, g, wish, volatility)


def _open(book: Book, lanes: list[_Lane], ks: list[int], bars: list[int], g: int, flag: int) -> None:
    """What happens before the bars of this moment: a new day, corporate actions."""
    if flag & NEW_DAY:
        book.start_day(g, int(book.setup.group_day[g]))
    if flag & ACTIONS:
        for k, i in zip(ks, bars, strict=True):
            book.apply_actions(k, i, g)
            lanes[k].move_to(i)


def _flags(setup: Setup) -> list[int]:
    """What besides bars happens at each moment."""
    flags = np.zeros(len(setup.times), np.int8)
    flags[1:][setup.group_day[1:] != setup.group_day[:-1]] |= NEW_DAY
    for track in setup.tracks:
        for i in track.actions:
            flags[track.group[i]] |= ACTIONS
        if setup.settings.limits.flat_at_close:
            flags[track.group[:-1][track.last_of_session[1:]]] |= BEFORE_CLOSE
    return flags.tolist()


def _steps(setup: Setup) -> tuple[list[int], list[int], list[int]]:
    """(track, bar) of every step in time order, same moment by track, and where each moment's steps begin."""
    tracks = setup.tracks
    count = len(setup.times)
    group = np.concatenate([track.group for track in tracks])
    track_of = np.concatenate([np.full(len(track.bars), k) for k, track in enumerate(tracks)])
    bar_of = np.concatenate([np.arange(len(track.bars)) for track in tracks])
    order = np.lexsort((track_of, group))
    bounds = np.searchsorted(group[order], np.arange(count + 1))
    return track_of[order].tolist(), bar_of[order].tolist(), bounds.tolist()
