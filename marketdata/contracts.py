"""How an instrument is asked for at IB: its contract, its usual bars and hours, and the basis of its prices."""

from __future__ import annotations

import re

from domain.bars import Adjustment
from domain.instrument import InstrumentKind
from gateway import translate
from gateway.contract import Contract
from marketdata.models import Instrument, InstrumentDetails, What

# A contract of one month, as exchanges write it: root, month, last digits of the year. ESTX50 is a root.
_ONE_MONTH = re.compile(r"[A-Z0-9]{1,5}[FGHJKMNQUVXZ](\d|[2-4]\d)")
_PAIR = re.compile(r"([A-Z]{3})\.?([A-Z]{3})")
SHARES = (InstrumentKind.STOCK, InstrumentKind.ETF)
_ALL_DAY = (InstrumentKind.FOREX, InstrumentKind.FUTURE)


def contract_of(instrument: Instrument) -> Contract:
    """What IB knows the instrument by: its id and exchange, else all that the row says.

    The id goes alone: with the ticker of yesterday beside it IB finds nothing. Raises gateway.errors.Refused for text
    that cannot be sent.
    """
    kind = InstrumentKind(instrument.kind)
    exchange = instrument.exchange
    if kind is InstrumentKind.FOREX and exchange in ("", "SMART"):
        exchange = "IDEALPRO"
    if instrument.con_id:
        return Contract(con_id=instrument.con_id, exchange=exchange)
    contract = translate.contract_for(
        instrument.as_domain(), exchange=exchange, primary_exchange=instrument.primary if kind in SHARES else ""
    )
    if kind is not InstrumentKind.FUTURE:
        return contract
    details = _details(instrument)
    if is_one_month(instrument.symbol):
        contract = contract._replace(symbol="", local_symbol=instrument.symbol)
    if details is not None:
        contract = contract._replace(expiry=details.expiry, trading_class=details.trading_class)
    return contract


def symbol_of(contract: Contract) -> str:
    """The symbol that an instrument gets here: EURUSD of a pair, ESZ6 of a future, BRK.B of a class of shares."""
    if contract.sec_type == "CASH":
        return f"{contract.symbol}{contract.currency}"
    if contract.sec_type == "FUT":
        return contract.local_symbol or contract.symbol
    return translate.symbol_of(contract)


def names_of(contract: Contract) -> frozenset[str]:
    """What an instrument of this contract may be called, in capitals."""
    names = {symbol_of(contract), translate.symbol_of(contract), contract.symbol, contract.local_symbol}
    return frozenset(name.upper() for name in names if name)


def pair_of(symbol: str) -> tuple[str, str] | None:
    """(EUR, USD) of EURUSD and of EUR.USD."""
    found = _PAIR.fullmatch(symbol)
    return None if found is None else (found[1], found[2])


def is_one_month(symbol: str) -> bool:
    """Whether it looks like a future of one month, such as ESZ6."""
    return _ONE_MONTH.fullmatch(symbol) is not None


def default_what(instrument: Instrument) -> str:
    """The bars that are meant where nobody says: pairs have no trades."""
    return What.MIDPOINT.value if instrument.kind == InstrumentKind.FOREX else What.TRADES.value


def regular_hours(instrument: Instrument) -> bool:
    """Whether IB is asked for regular hours alone. The calendars of pairs and futures cover the whole day."""
    return InstrumentKind(instrument.kind) not in _ALL_DAY


def basis_of(instrument: Instrument, what: str) -> Adjustment:
    """Which corporate actions IB's prices contain."""
    if what == What.ADJUSTED_LAST:
        return Adjustment.TOTAL
    return Adjustment.SPLIT if InstrumentKind(instrument.kind) in SHARES else Adjustment.RAW


def _details(instrument: Instrument) -> InstrumentDetails | None:
    return InstrumentDetails.objects.filter(instrument=instrument).first() if instrument.pk else None
