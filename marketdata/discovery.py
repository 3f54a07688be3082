"""Discovery: a symbol becomes the instrument of IB's contract, and what IB says of it is kept and refreshed.

The contract's id is the identity. The ticker of an id may change and then belong to another, so before a ticker is
written here IB is asked what became of the contract that has it here.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from domain.errors import BadInput
from domain.instrument import InstrumentKind
from gateway.answers import ContractDetails, PriceStep
from gateway.connection import Connection
from gateway.contract import Contract
from gateway.errors import NoAnswer
from marketdata import calendars, lookup
from marketdata.contracts import SHARES, contract_of, names_of, pair_of, symbol_of
from marketdata.lookup import Candidate, Wanted
from marketdata.models import Instrument, InstrumentDetails
from marketdata.services import check_symbol
from tradingsite.history import recording
from tradingsite.models import ConfigChange

FRESH = timedelta(days=1)
_PLACES = Decimal("0.0000000001")

log = logging.getLogger(__name__)


class Discovered(NamedTuple):
    """The instrument, or the candidates that somebody has to choose from. `notes`: what changed of other rows."""

    instrument: Instrument | None
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()


class _Known(NamedTuple):
    """A contract as IB describes it now, its price steps, and the columns of its row."""

    details: ContractDetails
    steps: tuple[PriceStep, ...]
    columns: dict[str, Any]

    @property
    def con_id(self) -> int:
        return self.details.contract.con_id

    @property
    def listing(self) -> tuple[str, ...]:
        """What no two active rows may share."""
        columns = self.columns
        return (columns["symbol"], columns["exchange"], columns["currency"], lookup.family(columns["kind"]))


# ---- what is held ------------------------------------------------------------------------------------------------


def is_fresh(instrument: Instrument, now: datetime) -> bool:
    """Whether IB was asked about it within the last day."""
    details = InstrumentDetails.objects.filter(instrument=instrument).first()
    return details is not None and now - details.refreshed < FRESH


def held(wanted: Wanted, now: datetime) -> Instrument | None:
    """The only active instrument that fits, if IB was asked about it within the last day."""
    rows = Instrument.objects.active().filter(con_id__isnull=False, symbol__in=_spellings(wanted.symbol))
    fitting = [
        row
        for row in rows
        if wanted.con_id in (0, row.con_id)
        and (wanted.kind is None or lookup.family(row.kind) == lookup.family(wanted.kind))
        and wanted.exchange in ("", row.exchange, row.primary)
        and wanted.currency in ("", row.currency)
    ]
    return fitting[0] if len(fitting) == 1 and is_fresh(fitting[0], now) else None


# ---- asking ------------------------------------------------------------------------------------------------------


def discover(connection: Connection, wanted: Wanted, now: datetime) -> Discovered:
    """Ask IB which contract is meant and hold it, or tell what there is to choose from: then nothing is written.

    Raises BadInput where IB knows nothing by that name, and GatewayError.
    """
    found = lookup.look_up(connection, wanted)
    if not found:
        near = lookup.similar(connection, wanted)
        candidates = lookup.only_elsewhere(wanted, near)
        if not candidates:
            raise lookup.unknown(wanted, near)
        return Discovered(None, candidates)
    if len(found) > 1:
        several = map(lookup.candidate, found)
        return Discovered(None, tuple(sorted(several, key=lambda each: (each.expiry, each.con_id))))
    if wanted.con_id:
        known_as = Instrument.objects.filter(con_id=wanted.con_id).values_list("symbol", flat=True)
        lookup.check_name(wanted, found[0], known_as)
    return _hold(connection, found[0], now)


def refresh(instrument: Instrument, connection: Connection, now: datetime | None = None) -> Discovered:
    """Ask IB about an instrument that is held; one without a contract id gets it.

    What IB lists no more (a future that has expired, a company that is gone) stays as it is. Raises BadInput where the
    row fits no contract, or several, and GatewayError.
    """
    now = now or timezone.now()
    found = lookup.ask(connection, contract_of(instrument))
    if len(found) == 1:
        return _hold(connection, found[0], now, instrument)
    if not found and instrument.con_id:
        InstrumentDetails.objects.filter(instrument=instrument).update(refreshed=now)
        note = f"{instrument}: IB lists its contract {instrument.con_id} no more"
        log.warning("discovery: %s", note)
        return Discovered(instrument, notes=(note,))
    asked = f"{instrument} ({instrument.kind} on {instrument.exchange} in {instrument.currency})"
    if not found:
        raise BadInput(f"{asked}: IB knows no such contract; correct the row, or give it the contract's id")
    several = "; ".join(str(lookup.candidate(each)) for each in found[:5])
    raise BadInput(f"{asked}: {len(found)} contracts fit: {several}; give the row the id of the one that is meant")


def _know(connection: Connection, details: ContractDetails) -> _Known:
    contract, kind = details.contract, lookup.kind_of(details)
    if not (math.isfinite(details.min_tick) and details.min_tick > 0):
        raise BadInput(f"contract {contract.con_id} ({contract.local_symbol}): IB names no price step of it")
    columns = {
        "con_id": contract.con_id,
        "symbol": check_symbol(symbol_of(contract)),
        "name": details.long_name[:120],
        "kind": kind.value,
        "exchange": contract.exchange,
        "primary": contract.primary_exchange,
        "currency": contract.currency,
        "calendar": _calendar_of(contract, kind),
        "tick": _exact(details.min_tick),
        "lot": _exact(_lot(details, kind)),
        "multiplier": _exact(float(contract.multiplier or 1)),
    }
    return _Known(details, _steps(connection, details), columns)


def _calendar_of(contract: Contract, kind: InstrumentKind) -> str:
    """An index in dollars is computed while New York trades, whoever publishes it."""
    if kind is InstrumentKind.INDEX and contract.currency == "USD":
        return "XNYS"
    return calendars.calendar_for(contract.primary_exchange or contract.exchange, kind, contract.symbol)


def _lot(details: ContractDetails, kind: InstrumentKind) -> float:
    """Parts of a share are told as a step too, but cannot be ordered through the API."""
    step = details.size_step if math.isfinite(details.size_step) and details.size_step > 0 else 1.0
    return max(step, 1.0) if kind in SHARES else step


def _steps(connection: Connection, details: ContractDetails) -> tuple[PriceStep, ...]:
    rule = _market_rule(details)
    if rule is None:
        return ()
    try:
        return connection.market_rule(rule)
    except NoAnswer:  # how IB says that it has no such rule
        return ()


def _market_rule(details: ContractDetails) -> int | None:
    rules = dict(details.market_rules)
    return rules.get(details.contract.exchange, next(iter(rules.values()), None))


def _exact(number: float) -> Decimal:
    return Decimal(repr(number)).quantize(_PLACES).normalize()


def _spellings(symbol: str) -> set[str]:
    """How people write the same symbol: EURUSD and EUR.USD, BRK.B and BRK B."""
    pair = pair_of(symbol)
    return {symbol, symbol.replace(" ", "."), symbol.replace(".", " ")} | (
        {"".join(pair), ".".join(pair)} if pair else set()
    )


# ---- holding -----------------------------------------------------------------------------------------------------


def _hold(
    connection: Connection, details: ContractDetails, now: datetime, asked: Instrument | None = None
) -> Discovered:
    """Write the contract into its row (`asked`, the one with its id, one that fits, a new one), and put right the rows
    whose tickers IB has given away. All or nothing; doing it again changes nothing."""
    first = _know(connection, details)
    known, gone = _affected(connection, first) if asked is None or asked.active else ({first.con_id: first}, [])
    rows = {row.con_id: row for row in Instrument.objects.filter(con_id__in=[*known, *gone])}
    own = rows.get(first.con_id)
    if own is None:
        own = asked or _fitting(first)
    elif asked is not None and asked.pk != own.pk:
        raise BadInput(
            f"{asked} (instrument {asked.pk}) is contract {first.con_id}, and so is instrument {own.pk} ({own}); "
            "make one of them inactive"
        )
    changed = [*rows.values(), *_in_the_way(first, own), *([own] if own else [])]
    about = {"actor": None, "source": ConfigChange.Source.GATEWAY, "reason": f"contract {first.con_id} as IB has it"}
    try:
        with recording(*changed, **about) as touched:
            notes = _make_way(known, gone, rows)
            for each in known.values():
                row = own if each is first else rows[each.con_id]
                active = asked.active if asked is not None and each is first else True
                notes += _retire(each, row) if active else []
                touched.append(_write(each, row, now, active, notes))
    except IntegrityError as error:
        raise BadInput(f"{first.columns['symbol']}: its instruments were changed meanwhile; ask again") from error
    except ValidationError as error:
        raise BadInput(f"contract {first.con_id}: {'; '.join(error.messages)}") from error
    for note in notes:
        log.warning("discovery: %s", note)
    return Discovered(Instrument.objects.get(con_id=first.con_id), notes=tuple(notes))


def _make_way(known: dict[int, _Known], gone: list[int], rows: dict[int | None, Instrument]) -> list[str]:
    """Take the rows out of each other's way: two that exchange their tickers would meet half way. Those that IB lists
    no more stay inactive; returns what is to be told of them."""
    first = next(iter(known))
    moving = [row.pk for con_id, row in rows.items() if con_id != first]
    Instrument.objects.filter(pk__in=moving).update(active=False)
    return [
        f"{rows[con_id]} (instrument {rows[con_id].pk}) is inactive: IB lists its contract {con_id} no more, and "
        f"contract {first} has the ticker"
        for con_id in gone
    ]


def _affected(connection: Connection, first: _Known) -> tuple[dict[int, _Known], list[int]]:
    """(contracts by id, ids that IB lists no more): `first`, the one that has its ticker here, the one that has the
    ticker which that one has now, and so on. BadInput where IB lists two of one ticker."""
    known, waiting = {first.con_id: first}, [first]
    gone: list[int] = []
    while waiting:
        others = _of_ticker(waiting.pop()).filter(con_id__isnull=False).exclude(con_id__in=[*known, *gone])
        for con_id in others.values_list("con_id", flat=True):
            found = lookup.ask(connection, Contract(con_id=con_id))
            if found:
                known[found[0].contract.con_id] = _know(connection, found[0])
                waiting.append(known[found[0].contract.con_id])
            else:
                gone.append(con_id)
    listings: dict[tuple[str, ...], int] = {}
    for each in known.values():
        other = listings.setdefault(each.listing, each.con_id)
        if other != each.con_id:
            raise BadInput(
                f"{each.columns['symbol']} is held as contract {each.con_id}, which IB lists still; make that "
                f"instrument inactive to hold contract {other} in its place"
            )
    return known, gone


def _of_ticker(known: _Known) -> Any:
    """Active rows that stand where this contract's row will."""
    columns = known.columns
    kinds = [kind.value for kind in InstrumentKind if lookup.family(kind) == lookup.family(columns["kind"])]
    return Instrument.objects.active().filter(
        symbol__in=_spellings(columns["symbol"]),
        exchange=columns["exchange"],
        currency=columns["currency"],
        kind__in=kinds,
    )


def _fitting(known: _Known) -> Instrument | None:
    """The row without an id, from an import or made by hand, that this contract is. BadInput where two could be."""
    columns = known.columns
    kinds = [kind.value for kind in InstrumentKind if lookup.family(kind) == lookup.family(columns["kind"])]
    rows = Instrument.objects.active().filter(
        con_id__isnull=True,
        symbol__in=_spellings(columns["symbol"]),
        currency=columns["currency"],
        kind__in=kinds,
        exchange__in={columns["exchange"], columns["primary"], *(["SMART"] if columns["kind"] == "forex" else [])},
        primary__in=["", columns["primary"]],
    )
    exact = [row for row in rows if row.exchange == columns["exchange"]]
    if len(exact) > 1:
        numbers = " and ".join(str(row.pk) for row in exact)
        raise BadInput(
            f"{columns['symbol']}: instruments {numbers} have this ticker; make all but one of them inactive"
        )
    return next(iter(exact), None) or (rows[0] if len(rows) == 1 else None)


def _in_the_way(known: _Known, row: Instrument | None) -> list[Instrument]:
    """Rows without an id that have the ticker which another row gets: nobody knows which contract their bars are of."""
    return [other for other in _of_ticker(known).filter(con_id__isnull=True) if row is None or other.pk != row.pk]


def _retire(known: _Known, row: Instrument | None) -> list[str]:
    notes = []
    for other in _in_the_way(known, row):
        Instrument.objects.filter(pk=other.pk).update(active=False)
        notes.append(
            f"{other} (instrument {other.pk}) is inactive: it has no contract id, and its ticker is that of contract "
            f"{known.con_id}"
        )
    return notes


def _write(known: _Known, row: Instrument | None, now: datetime, active: bool, notes: list[str]) -> Instrument:
    """What a person may have chosen (exchange, calendar, lot, margin) stays as it is in a row that is there."""
    columns = dict(known.columns)
    if row is None:
        row = Instrument(**columns)
    else:
        for name in ("exchange", "calendar", "lot"):
            columns.pop(name)
        if row.symbol.upper() in names_of(known.details.contract):
            columns.pop("symbol")
        else:
            notes.append(f"{row} (instrument {row.pk}, contract {known.con_id}) is called {columns['symbol']} now")
        for name, value in columns.items():
            setattr(row, name, value)
    row.active = active
    row.full_clean(validate_unique=False, validate_constraints=False)
    row.save()
    _write_details(known, row, now)
    return row


def _write_details(known: _Known, row: Instrument, now: datetime) -> None:
    details, contract = known.details, known.details.contract
    InstrumentDetails.objects.update_or_create(
        instrument=row,
        defaults={
            "local_symbol": contract.local_symbol[:40],
            "trading_class": contract.trading_class[:40],
            "expiry": contract.expiry[:8] if row.kind == InstrumentKind.FUTURE else "",
            "stock_type": details.stock_type[:40],
            "isin": details.isin[:12],
            "zone": details.zone[:64],
            "trading_hours": details.trading_hours,
            "liquid_hours": details.liquid_hours,
            "market_rule": _market_rule(details),
            "price_steps": [[step.low_edge, step.step] for step in known.steps],
            "refreshed": now,
        },
    )
