"""Names of instruments in documents.

An instrument is named by its listing: `SPY` is the stock on SMART in USD, and what differs from that is said:
`QQQ@ARCA`, `VOD@LSE/GBP`, `ES@CME/future`. `#2` is an inactive one whose listing another has taken.
"""

from __future__ import annotations

import re
from typing import Protocol

from django.db.models import Q

from domain.errors import UnknownName
from marketdata.models import Instrument

_LISTING = re.compile(
    r"(?P<symbol>[^@/#]+)(@(?P<exchange>[^@/#]+))?(/(?P<currency>[A-Z]{3}))?(/(?P<kind>[a-z]+))?(#(?P<number>\d{1,6}))?"
)
DEFAULTS = {"exchange": "SMART", "currency": "USD", "kind": "stock"}


class Listed(Protocol):
    symbol: str
    exchange: str
    currency: str
    kind: str


def listing(row: Listed, number: int = 1) -> str:
    """The name of an instrument in documents."""
    exchange = "" if row.exchange == DEFAULTS["exchange"] else f"@{row.exchange}"
    currency = "" if row.currency == DEFAULTS["currency"] else f"/{row.currency}"
    kind = "" if row.kind == DEFAULTS["kind"] else f"/{row.kind}"
    return f"{row.symbol}{exchange}{currency}{kind}" + ("" if number == 1 else f"#{number}")


def number_of(row: Instrument) -> int:
    """1, or the place of an inactive instrument among those of the same listing: the active one, then the oldest."""
    if row.active:
        return 1
    same = Instrument.objects.filter(
        symbol=row.symbol, exchange=row.exchange, currency=row.currency, kind=row.kind
    ).exclude(pk=row.pk)
    return 1 + same.filter(Q(active=True) | Q(pk__lt=row.pk)).count()


def reference(row: Instrument) -> str:
    return listing(row, number_of(row))


def instrument_named(name: str) -> Instrument | None:
    """The instrument of exactly that name."""
    found = _LISTING.fullmatch(name)
    if found is None:
        return None
    fields = {field: found[field] or default for field, default in DEFAULTS.items()}
    held = Instrument.objects.filter(symbol=found["symbol"], **fields).order_by("-active", "pk")
    number = int(found["number"] or 1)
    return held[number - 1 : number].first() if number else None


def instrument_meant(name: str) -> Instrument:
    """The instrument of that name, or the only active one that a shorter name can mean (`SPY` of SPY/etf)."""
    exact = instrument_named(name)
    if exact is not None:
        return exact
    found = _LISTING.fullmatch(name)
    if found is None or found["number"]:
        known = (reference(row) for row in Instrument.objects.active())
        raise UnknownName("instrument", name, known)
    return Instrument.objects.named(
        found["symbol"], exchange=found["exchange"], currency=found["currency"], kind=found["kind"]
    )
