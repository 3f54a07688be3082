"""A tiny market for tests of the exchange: four days of ten-minute sessions, paths written down or drawn."""

from dataclasses import dataclass, field

import numpy as np

from domain.adjustments import Dividend, Split
from domain.costs import IB_FIXED, IB_FOREX, IB_FUTURES
from domain.errors import BadInput
from domain.sessions import SessionTable
from gateway.contract import Contract
from gateway.simulator.records import Listing, Step

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
FIRST_DAY = 20_780  # 2026-11-23, a Monday
DAYS = 4
OPEN = FIRST_DAY * DAY + 14 * 3600 * SECOND + 30 * MINUTE
"""9:30 in New York on the first day: the regular session lasts ten minutes, five more are traded before and after."""
CLOSE = OPEN + 10 * MINUTE


def table(before=0, after=10 * MINUTE):
    days = FIRST_DAY + np.arange(DAYS)
    opens = OPEN + (days - FIRST_DAY) * DAY - before
    closes = OPEN + (days - FIRST_DAY) * DAY + after
    return SessionTable("fake", days, opens, closes, utc_offset=np.full(DAYS, -5 * 3600 * SECOND))


REGULAR = table()
EXTENDED = table(5 * MINUTE, 15 * MINUTE)


def stock(con_id, symbol, **more):
    contract = Contract(
        con_id, symbol, "STK", exchange="SMART", primary_exchange="NASDAQ", currency="USD", local_symbol=symbol
    )
    return Listing(contract, symbol, "America/New_York", REGULAR, EXTENDED, commission=IB_FIXED, **more)


AAA = stock(1, "AAA")
BBB = stock(2, "BBB")
EURUSD = Listing(
    Contract(3, "EUR", "CASH", exchange="IDEALPRO", currency="USD", local_symbol="EUR.USD"),
    "Euro",
    "America/New_York",
    EXTENDED,
    EXTENDED,
    price_steps=((0.0, 0.00005),),
    commission=IB_FOREX,
)
FUT = Listing(
    Contract(4, "FFF", "FUT", expiry="20261218", multiplier="50", exchange="CME", currency="USD", local_symbol="FFFZ6"),
    "Future",
    "America/New_York",
    REGULAR,
    EXTENDED,
    price_steps=((0.0, 0.25),),
    commission=IB_FUTURES,
    initial_margin=5_000.0,
)
IDX = Listing(
    Contract(5, "IDX", "IND", exchange="CBOE", currency="USD", local_symbol="IDX"), "Index", "America/New_York",
    REGULAR, REGULAR,
)  # fmt: skip
BASE = {1: 100.0, 2: 50.0, 3: 1.1, 4: 5_000.0, 5: 4_000.0}


@dataclass
class FakeMarket:
    """Prices stand at `BASE` but where `write` says otherwise, or wander everywhere with a seed."""

    seed: int | None = None
    listed: tuple[Listing, ...] = (AAA, BBB, EURUSD, FUT, IDX)
    halts: set[tuple[int, int]] = field(default_factory=set)
    corporate: dict[int, tuple] = field(default_factory=dict)
    asked: int = 0

    def __post_init__(self):
        self._seconds = {}
        self._starts = {}
        for listing in self.listed:
            spans = [
                np.arange(opens, closes, SECOND)
                for opens, closes in zip(listing.trading.open.tolist(), listing.trading.close.tolist(), strict=True)
            ]
            starts = np.concatenate(spans)
            self._starts[listing.con_id] = starts
            base, tick = BASE[listing.con_id], listing.tick
            rows = np.full((len(starts), 4), base)
            if self.seed is not None:
                random = np.random.default_rng([self.seed, listing.con_id])
                close = base + tick * np.cumsum(random.integers(-2, 3, len(starts)))
                open_ = np.concatenate([[base], close[:-1]])
                day_starts = np.cumsum([0] + [len(span) for span in spans[:-1]])
                open_[day_starts] += tick * random.integers(-40, 41, len(day_starts))
                rows = np.round(np.stack([open_, np.maximum(open_, close), np.minimum(open_, close), close], 1), 6)
            self._seconds[listing.con_id] = rows

    def write(self, listing, start_ns, *rows):
        """Say what the seconds from `start_ns` on do: (open, high, low, close) or one price; the last one stays."""
        at = int(np.searchsorted(self._starts[listing.con_id], start_ns))
        seconds = self._seconds[listing.con_id]
        for row in rows:
            seconds[at] = row if isinstance(row, tuple) else (row,) * 4
            at += 1
        seconds[at:] = seconds[at - 1, 3]

    def find(self, contract):
        asked = ("con_id", "symbol", "sec_type", "currency", "expiry")
        return [
            listing
            for listing in self.listed
            if all(getattr(contract, name) in (0, "", getattr(listing.contract, name)) for name in asked)
        ]

    def by_con_id(self, con_id):
        return next((listing for listing in self.listed if listing.con_id == con_id), None)

    def splits(self, con_id):
        return tuple(each for each in self.corporate.get(con_id, ()) if isinstance(each, Split))

    def dividends(self, con_id):
        return tuple(each for each in self.corporate.get(con_id, ()) if isinstance(each, Dividend))

    def mark(self, con_id, now_ns):
        """The close of the last second that is over; in a session's first second, its open."""
        starts, seconds = self._starts[con_id], self._seconds[con_id]
        row = int(np.searchsorted(starts, now_ns, side="right")) - 1
        if row < 0:
            return float(seconds[0, 0])
        if now_ns >= starts[row] + SECOND:
            return float(seconds[row, 3])
        is_first = row == 0 or starts[row - 1] + SECOND < starts[row]
        return float(seconds[row, 0] if is_first else seconds[row - 1, 3])

    def steps(self, con_id, after_ns, until_ns):
        self.asked += 1
        starts = self._starts[con_id]
        lo, hi = np.searchsorted(starts, (after_ns, until_ns))
        return [
            Step(start, start + SECOND, *row, 1_000.0)
            for start, row in zip(starts[lo:hi].tolist(), self._seconds[con_id][lo:hi].tolist(), strict=True)
            if start + SECOND <= until_ns and (con_id, start) not in self.halts
        ]

    def session(self, con_id, now_ns, outside_rth):
        sessions = self._table(con_id, outside_rth)
        row = int(np.searchsorted(sessions.open, now_ns, side="right")) - 1
        if row < 0 or now_ns >= sessions.close[row]:
            return None
        return int(sessions.open[row]), int(sessions.close[row])

    def next_open(self, con_id, now_ns, outside_rth):
        sessions = self._table(con_id, outside_rth)
        row = int(np.searchsorted(sessions.open, now_ns, side="right"))
        if row == len(sessions):
            raise BadInput("no session after that")
        return int(sessions.open[row])

    def _table(self, con_id, outside_rth):
        listing = self.by_con_id(con_id)
        return listing.trading if outside_rth else listing.regular
