"""Lookup: the contracts of IB's that a symbol may be. It asks, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from domain.errors import BadInput
from domain.instrument import InstrumentKind
from gateway.answers import ContractDetails
from gateway.connection import Connection
from gateway.contract import Contract
from gateway.errors import Refused
from gateway.translate import SEC_TYPES
from marketdata import calendars
from marketdata.contracts import SHARES, is_one_month, names_of, pair_of, symbol_of
from marketdata.services import check_symbol

_NO_CONTRACT = 200
_SIMILAR = 5
_EXCHANGE_TRADED = frozenset({"ETF", "ETC", "ETN", "ETP"})
_KINDS = {"CASH": InstrumentKind.FOREX, "FUT": InstrumentKind.FUTURE, "IND": InstrumentKind.INDEX}


class Wanted(NamedTuple):
    """A symbol, and what narrows it; empty and 0 are open."""

    symbol: str
    kind: InstrumentKind | None = None
    exchange: str = ""
    currency: str = ""
    con_id: int = 0

    def __str__(self) -> str:
        as_, on, in_ = (f"as {self.kind}" if self.kind else "", self.exchange, self.currency)
        parts = (self.symbol, as_, f"on {on}" if on else "", f"in {in_}" if in_ else "")
        return " ".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        return self._asdict() | {"kind": str(self.kind or "")}


class Candidate(NamedTuple):
    """One of several contracts that a symbol may be."""

    con_id: int
    symbol: str
    kind: str
    name: str
    exchange: str
    primary: str
    currency: str
    expiry: str

    def __str__(self) -> str:
        place = self.primary or self.exchange
        expiry = f", expires {self.expiry}" if self.expiry else ""
        return f"{self.symbol} ({self.kind} on {place} in {self.currency}{expiry}, contract {self.con_id})"


def check_wanted(*, symbol: str, kind: str = "", exchange: str = "", currency: str = "", con_id: int = 0) -> Wanted:
    """BadInput where it cannot be asked for."""
    text = check_symbol(symbol).upper()
    kinds = [each.value for each in InstrumentKind]
    if kind and kind not in kinds:
        raise BadInput(f"{kind[:80]!r} is not a kind of instrument; known: {', '.join(kinds)}")
    place, money = exchange.strip().upper(), currency.strip().upper()
    if place and not (len(place) <= 16 and place.isascii() and place.replace(".", "").isalnum()):
        raise BadInput(f"{exchange[:80]!r} is not an exchange as IB writes it, such as SMART, NASDAQ or CME")
    if money and not (len(money) == 3 and money.isascii() and money.isalpha()):
        raise BadInput(f"{currency[:80]!r} is not a currency such as USD")
    if not 0 <= con_id < 2**31:
        raise BadInput(f"{con_id} is not a contract id of IB's; they are positive and below {2**31}")
    return Wanted(text, InstrumentKind(kind) if kind else None, place, money, con_id)


def look_up(connection: Connection, wanted: Wanted) -> tuple[ContractDetails, ...]:
    """The contracts of the first kind of which there are any, each id once: pair, stock, future, index.

    Raises GatewayError; empty where IB knows none.
    """
    if wanted.con_id:
        return ask(connection, Contract(con_id=wanted.con_id, exchange=wanted.exchange))
    refusal: Refused | None = None
    for contract in _guesses(wanted):
        try:
            found = ask(connection, contract)
        except Refused as error:  # of this kind alone, such as a currency that does not exist
            refusal = error
            continue
        if found:
            return found
    if refusal is not None:
        raise refusal
    return ()


def ask(connection: Connection, contract: Contract) -> tuple[ContractDetails, ...]:
    """The contracts that fit, each id once, of the exchange that has a calendar; none where IB says that none does."""
    try:
        found = connection.contract_details(contract)
    except Refused as error:
        if error.code != _NO_CONTRACT:
            raise
        return ()
    once: dict[int, ContractDetails] = {}
    for details in sorted(found, key=lambda each: not _has_calendar(each.contract)):
        once.setdefault(details.contract.con_id, details)
    return tuple(once.values())


def kind_of(details: ContractDetails) -> InstrumentKind:
    """BadInput for kinds that are not traded here (options, bonds …)."""
    sec_type = details.contract.sec_type
    if sec_type == "STK":
        return InstrumentKind.ETF if details.stock_type.upper() in _EXCHANGE_TRADED else InstrumentKind.STOCK
    if sec_type not in _KINDS:
        raise BadInput(
            f"contract {details.contract.con_id} ({details.contract.local_symbol}) is of IB's kind {sec_type}; stocks, "
            "funds, currency pairs, futures and indexes are known here"
        )
    return _KINDS[sec_type]


def candidate(details: ContractDetails) -> Candidate:
    return _candidate(details.contract, details.long_name, kind_of(details))


def similar(connection: Connection, wanted: Wanted) -> list[Candidate]:
    """What IB finds by a symbol like it; those of exactly this symbol first."""
    if wanted.con_id:
        return []
    found = [
        _candidate(each.contract, each.description, _KINDS.get(each.contract.sec_type, InstrumentKind.STOCK))
        for each in connection.matching_symbols(wanted.symbol)
        if each.contract.sec_type in SEC_TYPES.values()
    ]
    return sorted(found, key=lambda each: each.symbol != wanted.symbol)


def only_elsewhere(wanted: Wanted, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Of similar ones those that may be meant: of exactly this symbol and all that was said, such as a share that is
    not in USD where no currency was named."""
    return tuple(
        each
        for each in found
        if each.symbol == wanted.symbol
        and (wanted.kind is None or family(each.kind) == family(wanted.kind))
        and wanted.currency in ("", each.currency)
        and wanted.exchange in ("", "SMART", each.exchange, each.primary)
    )


def unknown(wanted: Wanted, found: Iterable[Candidate]) -> BadInput:
    """The error of a symbol that IB does not know."""
    if wanted.con_id:
        place = f" on {wanted.exchange}" if wanted.exchange else ""
        return BadInput(f"IB knows no contract {wanted.con_id}{place}")
    near = "; ".join(str(each) for each in list(found)[:_SIMILAR])
    return BadInput(f"IB knows no {wanted}" + (f"; similar: {near}" if near else ""))


def family(kind: str) -> str:
    """The kinds that one ticker may be: people call a fund a stock."""
    return "share" if kind in SHARES else str(kind)


def _guesses(wanted: Wanted) -> Iterable[Contract]:
    """What to ask for, in this order."""
    symbol, kind, currency = wanted.symbol, wanted.kind, wanted.currency
    smart = wanted.exchange in ("", "SMART")
    place = "" if smart else wanted.exchange
    if kind in (None, InstrumentKind.FOREX):
        pair = pair_of(symbol)
        if pair is not None and currency in ("", pair[1]):
            yield Contract(symbol=pair[0], sec_type="CASH", exchange=place or "IDEALPRO", currency=pair[1])
        elif pair is None and kind is not None:
            yield Contract(symbol=symbol, sec_type="CASH", exchange=place or "IDEALPRO", currency=currency)
    if kind is None or kind in SHARES:
        # IB writes a space before the letter of a class in the US.
        name = symbol.replace(".", " ") if symbol[-2:-1] == "." and currency in ("", "USD") else symbol
        stock = Contract(symbol=name, sec_type="STK", exchange="SMART", currency=currency)
        if smart:
            yield stock._replace(currency=currency or "USD")
        else:
            yield stock._replace(primary_exchange=place)
            yield stock._replace(exchange=place)
    if kind in (None, InstrumentKind.FUTURE):
        future = Contract(sec_type="FUT", exchange=place, currency=currency)
        if is_one_month(symbol):
            yield future._replace(local_symbol=symbol)
        yield future._replace(symbol=symbol)
    if kind in (None, InstrumentKind.INDEX):
        yield Contract(symbol=symbol, sec_type="IND", exchange=place, currency=currency)


def _candidate(contract: Contract, name: str, kind: InstrumentKind) -> Candidate:
    return Candidate(
        contract.con_id,
        symbol_of(contract),
        kind.value,
        name,
        contract.exchange,
        contract.primary_exchange,
        contract.currency,
        contract.expiry if kind is InstrumentKind.FUTURE else "",
    )


def check_name(wanted: Wanted, details: ContractDetails, known_as: Iterable[str]) -> None:
    """BadInput where a contract id is of something of another name: a mistyped one must not become an instrument.
    `known_as`: tickers under which the id is held."""
    if wanted.symbol not in {*names_of(details.contract), *known_as}:
        raise BadInput(f"contract {wanted.con_id} is {symbol_of(details.contract)}, not {wanted.symbol}")


def _has_calendar(contract: Contract) -> bool:
    try:
        calendars.calendar_for(contract.exchange, InstrumentKind.STOCK)
    except BadInput:
        return False
    return True
