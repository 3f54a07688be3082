"""Writes and use cases of market data that are not bars (those are in `store` and `importing`)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from domain.adjustments import Action, Delisting, Dividend, Split
from domain.errors import BadInput, UnknownName
from domain.instrument import InstrumentKind
from marketdata import calendars
from marketdata.models import CorporateAction, Instrument, Watchlist, WatchlistMember

# An allow-list: a symbol ends up in messages, reports and IB requests (never in a path).
_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9 .=^_-]{0,31}")
_EPOCH = dt.date(1970, 1, 1)
_KINDS = {Split: "split", Dividend: "dividend", Delisting: "delisting"}


class ActionReport(NamedTuple):
    """What recording corporate actions did, in actions."""

    added: int
    changed: int
    unchanged: int


def check_symbol(symbol: str) -> str:
    """The symbol, stripped; BadInput where it holds anything but letters, digits, spaces and . = ^ _ -"""
    text = symbol.strip()
    if not _SYMBOL.fullmatch(text) or ".." in text:
        raise BadInput(f"{symbol[:80]!r} is not a symbol; letters, digits, spaces and . = ^ _ - are, up to 32")
    return text


def describe_instrument(
    *,
    symbol: str,
    exchange: str = "",
    kind: InstrumentKind | str | None = None,
    currency: str = "",
    calendar: str = "",
) -> Instrument:
    """The active instrument that fits what is given, or a new one that is not saved yet (`pk` None).

    A new one is a stock on SMART in USD unless said otherwise, on the calendar of its exchange.
    """
    wanted = {"exchange": exchange, "kind": str(kind or ""), "currency": currency}
    try:
        found = Instrument.objects.named(check_symbol(symbol), **wanted)
    except UnknownName:
        found = Instrument(symbol=symbol.strip(), **{name: value for name, value in wanted.items() if value})
        found.calendar = calendar or calendars.calendar_for(found.exchange, InstrumentKind(found.kind), found.symbol)
        calendars.sessions(found.calendar)
        try:
            found.clean_fields()
        except ValidationError as error:
            faults = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
            raise BadInput(f"instrument {symbol}: {faults}") from error
        return found
    if calendar and calendar != found.calendar:
        raise BadInput(f"{symbol} is on calendar {found.calendar}, not {calendar}; change it in the admin")
    return found


def check_listing(
    *, symbol: str = "", exchange: str = "", kind: str = "", currency: str = "", calendar: str = ""
) -> None:
    """BadInput where no instrument, held or new, can be what is given. Empty means open."""
    listing = {"exchange": exchange, "kind": kind, "currency": currency}
    given = {name: value for name, value in listing.items() if value}
    if symbol or not Instrument.objects.active().filter(**given).exists():
        describe_instrument(symbol=symbol or "ANY", calendar=calendar, **listing)
    elif calendar:
        calendars.sessions(calendar)


def save_instrument(*, instrument: Instrument) -> Instrument:
    """Save a described instrument; where another process was faster, its row."""
    if instrument.pk is not None:
        return instrument
    try:
        with transaction.atomic():
            instrument.save()
    except IntegrityError:
        return Instrument.objects.named(
            instrument.symbol, exchange=instrument.exchange, kind=instrument.kind, currency=instrument.currency
        )
    return instrument


def actions_of(instrument: Instrument) -> list[Action]:
    """The instrument's corporate actions in date order, as `domain.adjustments` takes them."""
    actions: list[Action] = []
    for row in CorporateAction.objects.of(instrument):
        day = (row.ex_date - _EPOCH).days
        if row.kind == CorporateAction.Kind.DELISTING:
            actions.append(Delisting(day, None if row.value is None else float(row.value)))
        elif row.value is not None:
            actions.append((Split if row.kind == CorporateAction.Kind.SPLIT else Dividend)(day, float(row.value)))
    return actions


def record_actions(*, instrument: Instrument, actions: Iterable[Action], source: str) -> ActionReport:
    """Write corporate actions, the newest value winning; all or none. Repeating it changes nothing."""
    added = changed = unchanged = 0
    with transaction.atomic():
        held = {(row.ex_date, row.kind): row for row in CorporateAction.objects.of(instrument)}
        for action in actions:
            ex_date, kind, value = _EPOCH + dt.timedelta(days=action.ex_day), _KINDS[type(action)], _value_of(action)
            row = held.get((ex_date, kind))
            if row is None:
                held[ex_date, kind] = CorporateAction.objects.create(
                    instrument=instrument, ex_date=ex_date, kind=kind, value=value, source=source[:120]
                )
                added += 1
            elif row.value != value:
                row.value, row.source = value, source[:120]
                row.save(update_fields=["value", "source"])
                changed += 1
            else:
                unchanged += 1
    return ActionReport(added, changed, unchanged)


def set_watchlist(*, name: str, instruments: Sequence[Instrument]) -> bool:
    """Make the watchlist hold exactly these instruments in this order; returns whether anything changed."""
    with transaction.atomic():
        watchlist, created = Watchlist.objects.get_or_create(name=name)
        wanted = [instrument.pk for instrument in instruments]
        if list(watchlist.members.values_list("instrument_id", flat=True)) == wanted:
            return created
        watchlist.members.all().delete()
        WatchlistMember.objects.bulk_create(
            WatchlistMember(watchlist=watchlist, instrument=each, position=place)
            for place, each in enumerate(instruments)
        )
    return True


def _value_of(action: Action) -> Decimal | None:
    """To ten decimals, as the row keeps it."""
    if isinstance(action, Split):
        number: float | None = action.new_per_old
    else:
        number = action.amount if isinstance(action, Dividend) else action.price
    return None if number is None else Decimal(f"{number:.10f}")
