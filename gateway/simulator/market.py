"""Market: what is listed and what it costs, a function of the seed, the listing and the time and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import starmap
from typing import NamedTuple

import numpy as np

from domain.adjustments import Action, Dividend, Split
from domain.bars import Floats
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import SECOND_NS
from gateway.contract import Contract
from gateway.simulator.prices import PriceSource
from gateway.simulator.records import NAN, Listing, Quote, Step
from gateway.simulator.tape import Tape, mixed

_FUTURES = ("FUT",)
_LOT = {"STK": 100.0, "CASH": 250_000.0, "FUT": 1.0}
_MOST_LOTS = 40
_NO_QUOTE = Quote(0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN)


class _Day(NamedTuple):
    """Of the trading day whose spans begin in row `first`: the close before it, in today's shares."""

    first: int
    previous_close: float


class Market:
    """`find` answers as IB does: an empty field matches anything. What costs what comes from `source`."""

    def __init__(self, listings: Iterable[Listing], source: PriceSource, seed: int = 0) -> None:
        self._listings = tuple(listings)
        self._by_con_id = {listing.con_id: listing for listing in self._listings}
        if len(self._by_con_id) != len(self._listings):
            raise BadInput("market: two listings have one con_id")
        self._by_symbol: dict[str, list[Listing]] = {}
        for listing in self._listings:
            for name in {listing.contract.symbol, listing.contract.local_symbol}:
                self._by_symbol.setdefault(name.upper(), []).append(listing)
        self.seed = seed
        self.tape = Tape(seed, source)
        self._days: dict[int, _Day] = {}

    # What is listed

    def listings(self) -> Sequence[Listing]:
        return self._listings

    def by_con_id(self, con_id: int) -> Listing | None:
        return self._by_con_id.get(con_id)

    def find(self, contract: Contract) -> list[Listing]:
        """All listings that a partial contract may mean, expired futures too. Where it names an exchange other than
        the listing's own (a stock's primary one for SMART), the listing comes back as of that exchange."""
        if contract.con_id:
            listing = self._by_con_id.get(contract.con_id)
            candidates = [] if listing is None else [listing]
        else:
            name = contract.symbol or contract.local_symbol
            candidates = self._by_symbol.get(name.upper(), [])
        return [_as_asked(listing, contract) for listing in candidates if _matches(listing.contract, contract, listing)]

    def listed(self, contract: Contract, now_ns: int, *, expired: bool = False) -> list[Listing]:
        """What a request finds: those of `find` that still trade, unless it asks for `expired` ones too."""
        found = self.find(contract)
        return found if expired else [listing for listing in found if not self.is_expired(listing.con_id, now_ns)]

    def search(self, pattern: str) -> list[Listing]:
        """Stocks, indexes and pairs whose symbol begins with `pattern`, then those of which a word of the name does."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        known = [listing for listing in self._listings if listing.contract.sec_type not in _FUTURES]
        by_symbol = [listing for listing in known if listing.contract.symbol.upper().startswith(wanted)]
        by_name = [
            listing
            for listing in known
            if listing not in by_symbol and any(word.startswith(wanted) for word in listing.long_name.upper().split())
        ]
        return sorted(by_symbol, key=lambda listing: len(listing.contract.symbol)) + by_name

    def splits(self, con_id: int) -> tuple[Split, ...]:
        actions = self.tape.source.actions(self._listing(con_id))
        return tuple(action for action in actions if isinstance(action, Split))

    def actions(self, con_id: int) -> tuple[Action, ...]:
        return self.tape.source.actions(self._listing(con_id))

    def dividends(self, con_id: int) -> tuple[Dividend, ...]:
        actions = self.tape.source.actions(self._listing(con_id))
        return tuple(action for action in actions if isinstance(action, Dividend))

    # When it trades

    def is_expired(self, con_id: int, now_ns: int) -> bool:
        """Whether its last session is over; only futures end before the tables do."""
        return now_ns >= int(self._listing(con_id).trading.close[-1])

    def session(self, con_id: int, now_ns: int, outside_rth: bool) -> tuple[int, int] | None:
        """(open, close) of the session that is on; None where none is, or the listing has expired."""
        table = self._table(con_id, outside_rth)
        row = int(np.searchsorted(table.open, now_ns, side="right")) - 1
        if row < 0 or now_ns >= table.close[row]:
            return None
        return int(table.open[row]), int(table.close[row])

    def next_open(self, con_id: int, now_ns: int, outside_rth: bool) -> int:
        """The first session open after now; BadInput where there is none left (an expired future)."""
        table = self._table(con_id, outside_rth)
        row = int(np.searchsorted(table.open, now_ns, side="right"))
        if row == len(table):
            raise BadInput(f"{self._listing(con_id).contract.local_symbol} has no session any more")
        return int(table.open[row])

    def is_halted(self, con_id: int, now_ns: int) -> bool:
        spans = self.tape.spans(self._listing(con_id))
        row = spans.before(now_ns)
        if row < 0:
            return False
        second = (now_ns - int(spans.start[row])) // SECOND_NS
        return bool(spans.halt_start[row] <= second < spans.halt_end[row])

    # What it costs

    def quote(self, con_id: int, now_ns: int) -> Quote:
        """The market at this moment and the trading day so far; between two days the one that is over.

        Bid and ask are NaN while it is shut. A currency pair has no last price and no volume, an index no bid, ask
        and volume; `high` and `low` are of the middle and of the index. `open` is that of regular hours for stocks.
        """
        listing = self._listing(con_id)
        spans = self.tape.spans(listing)
        row = spans.before(now_ns)
        if row < 0:
            return _NO_QUOTE._replace(time_ns=now_ns)
        group = int(spans.group[row])
        path = self.tape.path(listing, group)
        over = path.over_at(row - group, now_ns)
        is_fresh = over == path.first[row - group]
        price = float(spans.open[row]) if is_fresh else float(path.close[over - 1])
        day = self._day(listing, row)
        high, low, volume = price, price, float(path.volume[over])
        if over:
            running = self.tape.running(listing, group)
            high, low = max(price, float(running.high[over - 1])), min(price, float(running.low[over - 1]))
        if group > day.first:
            earlier = slice(day.first, group)
            high, low = max(high, float(spans.high[earlier].max())), min(low, float(spans.low[earlier].min()))
            volume += float(np.nansum(spans.volume[earlier]))
        kind = listing.contract.sec_type
        halted = bool(spans.halt_end[row]) and self.is_halted(con_id, now_ns)
        bid = ask = bid_size = ask_size = NAN
        if kind != "IND" and now_ns < spans.end[row]:
            last, at = np.array([price]), np.array([row])
            bid, ask = float(self.tape.bid(listing, last, at)[0]), float(self.tape.ask(listing, last, at)[0])
            bid_size, ask_size = self.sizes(listing, now_ns // SECOND_NS)
        last_size = NAN if kind in ("CASH", "IND") else _last_size(path.volume, over)
        return Quote(
            now_ns,
            bid,
            bid_size,
            ask,
            ask_size,
            NAN if kind == "CASH" else price,
            last_size,
            NAN if kind in ("CASH", "IND") else volume,
            self._opened(listing, day.first, row),
            high,
            low,
            day.previous_close,
            halted,
        )

    def mark(self, con_id: int, now_ns: int) -> float:
        """What a position is valued at: the last price, of a currency pair the middle; NaN before the first."""
        listing = self._listing(con_id)
        spans = self.tape.spans(listing)
        row = spans.before(now_ns)
        if row < 0:
            return NAN
        if now_ns >= spans.end[row]:
            return float(spans.close[row])
        group = int(spans.group[row])
        path = self.tape.path(listing, group)
        over = path.over_at(row - group, now_ns)
        return float(spans.open[row]) if over == path.first[row - group] else float(path.close[over - 1])

    def steps(self, con_id: int, after_ns: int, until_ns: int) -> list[Step]:
        """The one-second pieces of the path that end in (after, until], halted ones left out. Where a piece continues
        the one before, it opens at that one's close."""
        listing = self._listing(con_id)
        spans = self.tape.spans(listing)
        steps: list[Step] = []
        for row in range(max(spans.before(after_ns), 0), spans.before(until_ns) + 1):
            group = int(spans.group[row])
            path = self.tape.path(listing, group)
            lo, hi = (path.over_at(row - group, moment) for moment in (after_ns, until_ns))
            if lo >= hi:
                continue
            start = int(spans.start[row]) + (np.arange(lo, hi) - int(path.first[row - group])) * SECOND_NS
            opens, closes = path.open[lo:hi], path.close[lo:hi]
            columns = [
                start,
                start + SECOND_NS,
                opens,
                np.maximum(opens, closes),
                np.minimum(opens, closes),
                closes,
                np.diff(path.volume[lo : hi + 1]),
            ]
            if path.halted is not None:
                columns = [column[~path.halted[lo:hi]] for column in columns]
            steps += starmap(Step, zip(*(column.tolist() for column in columns), strict=True))
        return steps

    def sizes(self, listing: Listing, second: int) -> tuple[float, float]:
        """Of the bid and the ask in this second since 1970."""
        lots = int(mixed(listing.con_id, np.array([second]))[0])
        lot = _LOT.get(listing.contract.sec_type, 1.0)
        return (1 + lots % _MOST_LOTS) * lot, (1 + lots // _MOST_LOTS % _MOST_LOTS) * lot

    # Inside

    def _listing(self, con_id: int) -> Listing:
        listing = self._by_con_id.get(con_id)
        if listing is None:
            raise BadInput(f"no listing has con_id {con_id}")
        return listing

    def _table(self, con_id: int, outside_rth: bool) -> SessionTable:
        listing = self._listing(con_id)
        return listing.trading if outside_rth else listing.regular

    def _day(self, listing: Listing, row: int) -> _Day:
        spans = self.tape.spans(listing)
        known = self._days.get(listing.con_id)
        if known is not None and known.first <= row and spans.day[known.first] == spans.day[row]:
            return known
        first = int(np.searchsorted(spans.day, spans.day[row]))
        before = np.flatnonzero(spans.regular[max(first - _LOOK_BACK, 0) : first])
        close = NAN
        if len(before):
            last = max(first - _LOOK_BACK, 0) + int(before[-1])
            close = float(spans.close[last])
            for split in self.splits(listing.con_id):
                if spans.day[last] < split.ex_day <= spans.day[row]:
                    close /= split.new_per_old
        self._days[listing.con_id] = day = _Day(first, close)
        return day

    def _opened(self, listing: Listing, first: int, row: int) -> float:
        spans = self.tape.spans(listing)
        if listing.contract.sec_type in _FUTURES:
            return float(spans.open[first])
        regular = np.flatnonzero(spans.regular[first : row + 1])
        return float(spans.open[first + int(regular[0])]) if len(regular) else NAN


# Spans before a day among which its previous regular close lies: of bars of a minute, some days.
_LOOK_BACK = 10_000


def _last_size(volume: Floats, over: int) -> float:
    """Of the newest second in which anything was traded, within the last minute; NaN where nothing was."""
    recent = np.diff(volume[max(over - 60, 0) : over + 1])
    traded = np.flatnonzero(recent)
    return float(min(recent[traded[-1]], 900.0)) if len(traded) else NAN


def _matches(held: Contract, asked: Contract, listing: Listing) -> bool:
    if asked.con_id:
        return not asked.exchange or _trades_at(asked.exchange, held, listing)
    if not (
        (not asked.symbol or asked.symbol.upper() == held.symbol)
        and (not asked.sec_type or asked.sec_type == held.sec_type)
        and (not asked.currency or asked.currency == held.currency)
        and (not asked.local_symbol or asked.local_symbol.upper() == held.local_symbol)
        and (not asked.trading_class or asked.trading_class == held.trading_class)
        and (not asked.exchange or _trades_at(asked.exchange, held, listing))
        and (not asked.primary_exchange or _is_home(asked.primary_exchange, held))
        and (not asked.multiplier or not held.multiplier or float(asked.multiplier) == listing.multiplier)
    ):
        return False
    # A month may be given for a day. The contract month and the month of the last trading day may differ (oil).
    if not asked.expiry:
        return True
    return held.expiry == asked.expiry if len(asked.expiry) == 8 else listing.contract_month == asked.expiry


def _trades_at(exchange: str, held: Contract, listing: Listing) -> bool:
    return exchange in (held.exchange, held.primary_exchange) or exchange in listing.valid_exchanges.split(",")


def _is_home(exchange: str, held: Contract) -> bool:
    names = ("NASDAQ", "ISLAND")
    return exchange == held.primary_exchange or {exchange, held.primary_exchange} <= set(names)


def _as_asked(listing: Listing, asked: Contract) -> Listing:
    if not asked.exchange or asked.exchange == listing.contract.exchange:
        return listing
    return replace(listing, contract=listing.contract._replace(exchange=asked.exchange))
