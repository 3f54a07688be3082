"""Prices out of a seed that look like a market's: the daily chain, from which spans follow for any listing.

Per process one chain over all weekdays: returns with clustered volatility and fat tails that share a common factor,
split into a part over night and one in regular hours, earnings days, and a slow pull towards steady growth.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import date
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import Action, Dividend, Split, split_factors
from domain.bars import Floats
from domain.sessions import Days
from domain.timeframe import DAY_NS, SECOND_NS
from gateway.simulator.catalogue import Character
from gateway.simulator.prices import Spans, on_grid
from gateway.simulator.records import Listing
from gateway.simulator.trading_hours import FIRST_DAY, LAST_DAY

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST, _LAST = FIRST_DAY.toordinal() - _EPOCH, LAST_DAY.toordinal() - _EPOCH
_REFERENCE = date(2025, 1, 2).toordinal() - _EPOCH
_TRADING_DAYS = 252.0
# Of the logarithm of volatility: what is left of it after a day, and its standard deviation.
_VOLATILITY_STAYS, _VOLATILITY_VARIES = 0.97, 0.35
_EARNINGS_EVERY = 63
_LEAST_UNIFORM = 1e-3
# Parts of a day's volume before, in and after regular hours.
_STOCK_VOLUME, _FUTURES_VOLUME = (0.015, 0.965, 0.02), (0.17, 0.80, 0.03)
_SPLIT_RATIOS = (2.0, 2.0, 2.0, 3.0, 4.0, 1.5)
_DIVIDEND_MONTHS = (2, 5, 8, 11)


class Chain(NamedTuple):
    """Natural logarithms of a process's prices on all weekdays: where the day begins before regular hours, their open
    and close, and where it ends after them; `sigma` is the day's volatility, `uniform` three pairs of random numbers
    for the extremes before, in and after regular hours."""

    day: Days
    early: Floats
    open: Floats
    close: Floats
    late: Floats
    sigma: Floats
    uniform: Floats


class WalkPrices:
    """A PriceSource. `characters` say by con_id how a listing moves; one without a character cannot be asked for."""

    def __init__(self, seed: int, characters: Mapping[int, Character]) -> None:
        self._seed = seed
        self._characters = characters
        self._chains: dict[str, Chain] = {}
        self._spans: dict[int, Spans] = {}
        self._actions: dict[int, tuple[Action, ...]] = {}
        self._days = _weekdays()
        self._common = _innovations(_random(seed, "market"), len(self._days))

    def spans(self, listing: Listing) -> Spans:
        if listing.con_id not in self._spans:
            self._spans[listing.con_id] = self._made(listing)
        return self._spans[listing.con_id]

    def key(self, listing: Listing) -> int:
        return zlib.crc32(self._characters[listing.con_id].process.encode())

    def actions(self, listing: Listing) -> tuple[Action, ...]:
        if listing.contract.sec_type != "STK":
            return ()
        if listing.con_id not in self._actions:
            self._actions[listing.con_id] = self._drawn_actions(listing)
        return self._actions[listing.con_id]

    def chain(self, character: Character) -> Chain:
        if character.process not in self._chains:
            self._chains[character.process] = self._drawn_chain(character)
        return self._chains[character.process]

    def _drawn_chain(self, character: Character) -> Chain:
        count = len(self._days)
        rng = _random(self._seed, f"process {character.process}")
        own = _innovations(rng, count)
        together = character.correlation
        alone = np.sqrt(1 - together**2)
        regular, overnight = (together * self._common[n] + alone * own[n] for n in range(2))
        sigma = character.volatility / np.sqrt(_TRADING_DAYS) * (abs(together) * self._common[2] + alone**2 * own[2])
        sigma /= abs(together) + alone**2
        if character.has_earnings:
            earnings = np.arange(count) % _EARNINGS_EVERY == rng.integers(_EARNINGS_EVERY)
            overnight = np.where(earnings, 4 * overnight, overnight)
        size = character.volatility / np.sqrt(_TRADING_DAYS)
        inside = regular * size * np.sqrt(1 - character.overnight)
        outside = overnight * size * np.sqrt(character.overnight)
        stays = float(np.exp(-1 / (_TRADING_DAYS * character.memory)))
        deviation = np.fromiter(accumulate((inside + outside).tolist(), lambda x, r: stays * x + r), np.float64, count)
        reference = int(np.searchsorted(self._days, _REFERENCE))
        trend = np.log(character.price) + character.growth * (self._days - _REFERENCE) / 365.25
        close = trend + deviation - deviation[reference]
        open_ = close - inside
        gap = np.append(open_[1:] - close[:-1], 0.0)
        before, after = 0.1 + 0.4 * rng.random(count), 0.25 * rng.random(count)
        early = np.append(open_[0], close[:-1] + before[1:] * gap[:-1])
        uniform = rng.uniform(_LEAST_UNIFORM, 1, (6, count))
        return Chain(self._days, early, open_, close, close + after * gap, sigma, uniform)

    def _made(self, listing: Listing) -> Spans:
        character = self._characters[listing.con_id]
        chain = self.chain(character)
        pieces = _pieces(listing)
        day, kind = pieces.day, pieces.kind
        row = np.searchsorted(chain.day, day)
        begin = np.choose(kind, [chain.early[row], chain.open[row], chain.close[row]])
        end = np.choose(kind, [chain.open[row], chain.close[row], chain.late[row]])
        # Outside regular hours little happens.
        sigma = chain.sigma[row] * np.array([0.35, 0.85, 0.25])[kind]
        high = _extreme(begin, end, sigma, chain.uniform[2 * kind, row], 1)
        low = _extreme(begin, end, sigma, chain.uniform[2 * kind + 1, row], -1)
        level = np.log(character.scale) - np.log(split_factors(day, self.actions(listing), _REFERENCE))
        level = level - np.log(_later_splits(day, self.actions(listing)))
        if listing.contract.sec_type == "FUT":
            level = level + character.carry * (int(listing.trading.label[-1]) - day) / 365.0
        prices = [on_grid(np.exp(value + level), listing.price_steps) for value in (begin, high, low, end)]
        open_, close = prices[0], prices[3]
        volume, halt_start, halt_end = self._traded(listing, character, pieces)
        return Spans(
            pieces.start,
            pieces.end,
            day,
            kind == 1,
            open_,
            np.maximum.reduce([prices[1], open_, close]),
            np.minimum.reduce([prices[2], open_, close]),
            close,
            volume,
            halt_start,
            halt_end,
            np.arange(len(day)),
        )

    def _traded(
        self, listing: Listing, character: Character, pieces: _Pieces
    ) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """(volume, start and end of a halt in seconds) of each piece."""
        chain = self.chain(character)
        rng = _random(self._seed, f"volume {listing.con_id}")
        busy = np.exp(0.3 * rng.standard_normal(len(chain.day)) - 0.05)
        busy *= 0.5 + 0.5 * chain.sigma / np.median(chain.sigma)
        parts = np.array(_STOCK_VOLUME if listing.contract.sec_type == "STK" else _FUTURES_VOLUME)
        has_hours = bool((pieces.kind != 1).any())
        part = parts[pieces.kind] if has_hours else np.ones(len(pieces.kind))
        row = np.searchsorted(chain.day, pieces.day)
        seconds = (pieces.end - pieces.start) // SECOND_NS
        usual = np.array([np.median(seconds[pieces.kind == n]) if (pieces.kind == n).any() else 1.0 for n in range(3)])
        volume = character.daily_volume * part * busy[row] * seconds / usual[pieces.kind]
        volume *= split_factors(pieces.day, self.actions(listing), _REFERENCE)
        volume *= _later_splits(pieces.day, self.actions(listing))
        chance, when, how_long = rng.random((3, len(chain.day)))
        halted = (pieces.kind == 1) & (chance[row] < character.halts_a_year / _TRADING_DAYS)
        halt_start = np.where(halted, 600 + (when[row] * (seconds - 2400)).astype(np.int64), 0)
        halt_end = np.where(halted, halt_start + 300 + (how_long[row] * 600).astype(np.int64), 0)
        return np.rint(volume), halt_start, halt_end

    def _drawn_actions(self, listing: Listing) -> tuple[Action, ...]:
        character = self._characters[listing.con_id]
        rng = _random(self._seed, f"actions {listing.con_id}")
        days = listing.regular.label
        days = days[(days > listing.head_ns // DAY_NS + 20)]
        splits = [
            Split(int(day), float(rng.choice(_SPLIT_RATIOS)))
            for day in days[rng.random(len(days)) < character.splits_a_year / _TRADING_DAYS]
        ]
        actions: list[Action] = list(splits)
        if character.dividend_yield:
            chain = self.chain(character)
            months = days.astype("datetime64[D]").astype("datetime64[M]")
            _, begins = np.unique(months, return_index=True)
            tenth = int(rng.integers(3, 15))
            for begin in begins.tolist():
                if int(months[begin].astype(np.int64)) % 12 + 1 in _DIVIDEND_MONTHS and begin + tenth < len(days):
                    day = int(days[begin + tenth])
                    value = float(np.exp(chain.close[np.searchsorted(chain.day, day) - 1])) * character.scale
                    value /= float(split_factors(np.array([day]), splits, _REFERENCE)[0])
                    value /= float(_later_splits(np.array([day]), splits)[0])
                    amount = round(value * character.dividend_yield / 4, 2)
                    if amount > 0:
                        actions.append(Dividend(day, amount))
        return tuple(sorted(actions, key=lambda action: action.ex_day))


class _Pieces(NamedTuple):
    """A listing's sessions cut into before (0), in (1) and after (2) regular hours."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    day: Days
    kind: NDArray[np.int64]


def _pieces(listing: Listing) -> _Pieces:
    trading, regular = listing.trading, listing.regular
    row = np.searchsorted(regular.label, trading.label).clip(0, len(regular) - 1)
    has_regular = regular.label[row] == trading.label
    opens = np.where(has_regular, regular.open[row], trading.close)
    closes = np.where(has_regular, regular.close[row], trading.close)
    start = np.stack([trading.open, opens, closes], axis=1).ravel()
    end = np.stack([opens, closes, trading.close], axis=1).ravel()
    day = np.repeat(trading.label, 3)
    kind = np.tile(np.arange(3), len(trading))
    keep = (end > start) & (start >= listing.head_ns)
    return _Pieces(start[keep], end[keep], day[keep], kind[keep])


def _innovations(rng: np.random.Generator, count: int) -> Floats:
    """[3, count]: shocks in regular hours and over night, of variance near one, and their volatility."""
    shocks = rng.standard_normal((3, count))
    tails = np.sqrt(5.0 / rng.chisquare(7, (2, count)))
    step = _VOLATILITY_VARIES * np.sqrt(1 - _VOLATILITY_STAYS**2)
    log_volatility = np.fromiter(
        accumulate((step * shocks[2]).tolist(), lambda x, r: _VOLATILITY_STAYS * x + r), np.float64, count
    )
    volatility = np.exp(log_volatility - _VOLATILITY_VARIES**2 / 2)
    return np.stack([shocks[0] * tails[0] * volatility, shocks[1] * tails[1] * volatility, volatility])


def _extreme(begin: Floats, end: Floats, sigma: Floats, uniform: Floats, sign: int) -> Floats:
    """The highest (`sign` 1) or lowest (-1) value of a Brownian bridge, by the inverse of its distribution."""
    reach = np.sqrt((end - begin) ** 2 - 2 * sigma**2 * np.log(uniform))
    extreme: Floats = (begin + end + sign * reach) / 2
    return extreme


def _later_splits(days: Days, actions: tuple[Action, ...] | list[Split]) -> Floats:
    """What splits after the reference day have multiplied the number of shares with, by each day."""
    factors = np.ones(len(days))
    for action in actions:
        if isinstance(action, Split) and action.ex_day > _REFERENCE:
            factors[np.searchsorted(days, action.ex_day) :] *= action.new_per_old
    return factors


def _weekdays() -> Days:
    days = np.arange(_FIRST, _LAST + 1)
    return days[(days + 3) % 7 < 5]


def _random(seed: int, what: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(what.encode())]))
