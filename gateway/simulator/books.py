"""Accounts: cash by currency, positions, margin and profit. Money is float, in the currency that is said.

Stocks are paid in full, a currency pair moves cash in both of its currencies, a future moves cash when it is settled at
the end of its trading day. Positions are kept at average cost without commissions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from domain.errors import BadInput
from domain.positions import DUST, after_fill, after_split
from gateway.contract import Contract
from gateway.simulator.ledger import Ledger
from gateway.simulator.records import NAN, Holding, Listing

_FUTURES_MARGIN = 0.1
_MAINTENANCE_OF_FUTURE = 0.8
_FOREX_MARGIN = 0.03


class Quotes(Protocol):
    def find(self, contract: Contract) -> list[Listing]: ...

    def mark(self, con_id: int, now_ns: int) -> float: ...


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account's first deposit and base currency, and the margin for stocks as a fraction of their value."""

    cash: float = 1_000_000.0
    currency: str = "USD"
    stock_margin: float = 0.5
    stock_maintenance: float = 0.25

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cash) and self.cash >= 0):
            raise BadInput(f"account: cash must be a number >= 0, not {self.cash!r}")
        if not 0 < self.stock_maintenance <= self.stock_margin <= 1:
            raise BadInput("account: margins must satisfy 0 < stock_maintenance <= stock_margin <= 1")


@dataclass(slots=True)
class Position:
    """Units held of a listing. `owed` is, of a future, the sum of quantity x price since it was last settled.

    `day_base` is the value at the day's start, `day_flow` the money paid in (negative) and got out since then.
    """

    account: str
    listing: Listing
    quantity: float = 0.0
    average: float = 0.0
    realized: float = 0.0
    owed: float = 0.0
    day_base: float = 0.0
    day_flow: float = 0.0

    @property
    def is_future(self) -> bool:
        return self.listing.contract.sec_type == "FUT"

    @property
    def is_forex(self) -> bool:
        return self.listing.contract.sec_type == "CASH"

    @property
    def currency(self) -> str:
        return self.listing.contract.currency

    def value(self, price: float) -> float:
        return self.quantity * price * self.listing.multiplier

    def unrealized(self, price: float) -> float:
        return self.quantity * (price - self.average) * self.listing.multiplier

    def unsettled(self, price: float) -> float:
        """What a settlement at this price would pay."""
        return (self.quantity * price - self.owed) * self.listing.multiplier

    def day_pnl(self, price: float) -> float:
        return self.value(price) - self.day_base + self.day_flow

    def holding(self) -> Holding:
        return Holding(self.account, self.listing, self.quantity, self.average, self.realized)


class Worth(NamedTuple):
    """An account at a moment, in its base currency."""

    cash: float
    stocks: float
    gross: float
    unsettled: float
    unrealized: float
    realized: float
    daily: float
    initial: float
    maintenance: float

    @property
    def equity(self) -> float:
        return self.cash + self.stocks + self.unsettled


@dataclass(slots=True)
class Books:
    market: Quotes
    settings: dict[str, AccountSettings]
    ledger: Ledger
    cash: dict[tuple[str, str], float] = field(default_factory=dict)
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    changed_cash: set[tuple[str, str]] = field(default_factory=set)
    changed_positions: set[tuple[str, int]] = field(default_factory=set)
    _pairs: dict[tuple[str, str], Listing | None] = field(default_factory=dict)

    # What moves them

    def move_cash(self, now_ns: int, account: str, currency: str, amount: float, reason: str, **why: object) -> None:
        if amount:
            key = (account, currency)
            self.cash[key] = self.cash.get(key, 0.0) + amount
            self.changed_cash.add(key)
            self.ledger.append("cash", now_ns, account=account, currency=currency, amount=amount, reason=reason, **why)

    def position(self, account: str, listing: Listing) -> Position:
        key = (account, listing.con_id)
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = Position(account, listing)
        self.changed_positions.add(key)
        return found

    def trade(self, now_ns: int, account: str, listing: Listing, quantity: float, price: float, exec_id: str) -> float:
        """Book a signed fill; what it realises in the listing's currency, NaN where it only opens."""
        position = self.position(account, listing)
        opens = position.quantity * quantity >= 0
        position.quantity, position.average, points = after_fill(position.quantity, position.average, quantity, price)
        realized = points * listing.multiplier
        position.realized += realized
        self.pay(now_ns, position, 0.0, 0.0, quantity, price, exec_id)
        return NAN if opens else realized

    def pay(
        self,
        now_ns: int,
        position: Position,
        old_quantity: float,
        old_price: float,
        quantity: float,
        price: float,
        exec_id: str,
    ) -> None:
        """The money of a signed fill, or of what a correction changes of one."""
        points = quantity * price - old_quantity * old_price
        money = points * position.listing.multiplier
        position.day_flow -= money
        if position.is_future:
            position.owed += points
            return
        account = position.account
        if position.is_forex:
            symbol = position.listing.contract.symbol
            self.move_cash(now_ns, account, symbol, quantity - old_quantity, "trade", exec_id=exec_id)
        self.move_cash(now_ns, account, position.currency, -money, "trade", exec_id=exec_id)

    def charge(self, now_ns: int, account: str, listing: Listing, amount: float, currency: str, exec_id: str) -> None:
        self.move_cash(now_ns, account, currency, -amount, "commission", exec_id=exec_id)
        position = self.position(account, listing)
        position.day_flow -= amount * self.rate(currency, position.currency, now_ns)

    def settle(self, now_ns: int, position: Position, price: float) -> None:
        """Pay a future's gain or loss since it was last settled."""
        amount = position.unsettled(price)
        position.owed = position.quantity * price
        self.changed_positions.add((position.account, position.listing.con_id))
        self.move_cash(
            now_ns, position.account, position.currency, amount, "settlement", con_id=position.listing.con_id
        )

    def split(self, now_ns: int, position: Position, new_per_old: float, old_price: float) -> None:
        before = position.quantity
        lot = position.listing.size_step
        position.quantity, position.average, left = after_split(before, position.average, new_per_old, lot)
        self.changed_positions.add((position.account, position.listing.con_id))
        con_id = position.listing.con_id
        self.ledger.append(
            "position", now_ns, account=position.account, con_id=con_id, quantity=position.quantity - before,
            reason="split", new_per_old=new_per_old,
        )  # fmt: skip
        amount = left * old_price / new_per_old * position.listing.multiplier
        position.day_flow += amount
        self.move_cash(now_ns, position.account, position.currency, amount, "split", con_id=con_id)

    def pay_dividend(self, now_ns: int, position: Position, per_unit: float) -> None:
        amount = position.quantity * per_unit * position.listing.multiplier
        position.day_flow += amount
        con_id = position.listing.con_id
        self.changed_positions.add((position.account, con_id))
        self.move_cash(now_ns, position.account, position.currency, amount, "dividend", con_id=con_id)

    def start_day(self, now_ns: int) -> None:
        """Profit of the day and what was realised count from here; what is flat and settled is forgotten."""
        for key, position in list(self.positions.items()):
            if not position.quantity and abs(position.owed) < DUST:
                del self.positions[key]
            else:
                position.day_base = position.value(self.mark(position.listing, now_ns))
                position.day_flow = position.realized = 0.0
            self.changed_positions.add(key)

    # What they are worth

    def mark(self, listing: Listing, now_ns: int) -> float:
        """The price to value at; BadInput before the first."""
        price = self.market.mark(listing.con_id, now_ns)
        if price != price:
            raise BadInput(f"{listing.contract.symbol} has no price yet")
        return price

    def rate(self, currency: str, into: str, now_ns: int) -> float:
        """How much of `into` one unit of `currency` is."""
        if currency == into:
            return 1.0
        for one, other, price in ((currency, into, 1), (into, currency, -1)):
            pair = self._pair(one, other)
            if pair is not None:
                return float(self.mark(pair, now_ns) ** price)
        if "USD" not in (currency, into):
            return self.rate(currency, "USD", now_ns) * self.rate("USD", into, now_ns)
        raise BadInput(f"no market quotes {currency} in {into}")

    def _pair(self, symbol: str, currency: str) -> Listing | None:
        key = (symbol, currency)
        if key not in self._pairs:
            found = self.market.find(Contract(symbol=symbol, sec_type="CASH", currency=currency))
            self._pairs[key] = found[0] if found else None
        return self._pairs[key]

    def held(self, account: str) -> list[Position]:
        return [position for (owner, _), position in self.positions.items() if owner == account]

    def currencies(self, account: str) -> list[str]:
        base = self.settings[account].currency
        found = {currency for owner, currency in self.cash if owner == account}
        found |= {position.currency for position in self.held(account)}
        return [base, *sorted(found - {base})]

    def worth(self, account: str, now_ns: int) -> Worth:
        base = self.settings[account].currency
        cash = sum(
            amount * self.rate(currency, base, now_ns)
            for (owner, currency), amount in self.cash.items()
            if owner == account
        )
        stocks = gross = unsettled = unrealized = realized = daily = initial = maintenance = 0.0
        for position in self.held(account):
            price = self.mark(position.listing, now_ns)
            rate = self.rate(position.currency, base, now_ns)
            if position.is_future:
                unsettled += position.unsettled(price) * rate
            elif not position.is_forex:
                stocks += position.value(price) * rate
                gross += abs(position.value(price)) * rate
            unrealized += position.unrealized(price) * rate
            realized += position.realized * rate
            daily += position.day_pnl(price) * rate
            first, lasting = self.margin(account, position.listing, position.quantity, price)
            initial += first * rate
            maintenance += lasting * rate
        return Worth(cash, stocks, gross, unsettled, unrealized, realized, daily, initial, maintenance)

    def margins(self, account: str, units: Iterable[tuple[Listing, float]], now_ns: int) -> tuple[float, float]:
        """(initial, maintenance) of so many units of some listings, in the base currency."""
        base = self.settings[account].currency
        initial = maintenance = 0.0
        for listing, count in units:
            if count:
                first, lasting = self.margin(account, listing, count, self.mark(listing, now_ns))
                rate = self.rate(listing.contract.currency, base, now_ns)
                initial += first * rate
                maintenance += lasting * rate
        return initial, maintenance

    def margin(self, account: str, listing: Listing, units: float, price: float) -> tuple[float, float]:
        """(initial, maintenance) of so many units, in the listing's currency."""
        value = abs(units) * price * listing.multiplier
        kind = listing.contract.sec_type
        if kind == "FUT":
            own = listing.initial_margin
            initial = abs(units) * own if own == own else value * _FUTURES_MARGIN
            return initial, initial * _MAINTENANCE_OF_FUTURE
        if kind == "CASH":
            return value * _FOREX_MARGIN, value * _FOREX_MARGIN
        settings = self.settings[account]
        return value * settings.stock_margin, value * settings.stock_maintenance


def exposure(position: float, orders: Iterable[float]) -> float:
    """The most units that a position can come to by its working orders, whose signed quantities these are."""
    bought = position
    sold = position
    for quantity in orders:
        if quantity > 0:
            bought += quantity
        else:
            sold += quantity
    return max(abs(bought), abs(sold))


__all__ = ["AccountSettings", "Books", "Position", "Quotes", "Worth", "exposure"]
