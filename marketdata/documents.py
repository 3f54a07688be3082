"""Instruments, watchlists and corporate actions as documents."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Count, Prefetch

from domain.errors import BadInput
from marketdata import calendars
from marketdata.listings import DEFAULTS, instrument_meant, instrument_named, listing, number_of, reference
from marketdata.loaddocuments import HaltsKind, LengthKind, PacingKind, PlanKind
from marketdata.models import CorporateAction, Instrument, Watchlist, WatchlistMember
from marketdata.services import check_symbol, set_watchlist
from tradingsite.documents import Day, Document, Kind, Number, from_number, read, register, without_empty


class InstrumentDocument(Document):
    symbol: str
    name: str = ""
    kind: str = DEFAULTS["kind"]
    exchange: str = DEFAULTS["exchange"]
    primary: str = ""
    currency: str = DEFAULTS["currency"]
    calendar: str = "XNYS"
    tick: Number = Decimal("0.01")
    lot: Number = Decimal(1)
    multiplier: Number = Decimal(1)
    margin: Number | None = None
    con_id: int | None = None
    active: bool = True
    number: int = 1


class InstrumentKind(Kind[InstrumentDocument, Instrument]):
    name = "instrument"
    model = Instrument
    schema = InstrumentDocument
    key = "symbol"

    def name_of(self, document: InstrumentDocument) -> str:
        return listing(document, document.number)

    def named(self, name: str) -> Instrument | None:
        return instrument_named(name)

    def find(self, document: InstrumentDocument) -> Instrument | None:
        """By IB's contract id before the listing: a ticker passes from company to company, and bars must not."""
        if document.con_id is not None:
            found = Instrument.objects.filter(con_id=document.con_id).first()
            if found is not None:
                return found
        found = instrument_named(self.name_of(document))
        if found is not None and None not in (found.con_id, document.con_id):
            raise BadInput(
                f"con_id: the listing is held by contract {found.con_id}, not {document.con_id}; "
                "where it has passed to another company, make the held one inactive first"
            )
        return found

    def dump(self, unit: Instrument) -> dict[str, Any]:
        number = number_of(unit)
        values = without_empty(
            {
                **{name: getattr(unit, name) for name in ("symbol", "name", "kind", "exchange", "primary", "currency")},
                "calendar": unit.calendar,
                **{name: from_number(getattr(unit, name)) for name in ("tick", "lot", "multiplier", "margin")},
                "con_id": unit.con_id,
            }
        )
        return values | ({} if unit.active else {"active": False}) | ({} if number == 1 else {"number": number})

    def apply(self, document: InstrumentDocument, unit: Instrument | None) -> Instrument:
        if check_symbol(document.symbol) != document.symbol:
            raise BadInput("symbol: has spaces around it")
        calendars.sessions(document.calendar)
        row = unit or Instrument()
        for name, value in document:
            if name != "number":
                setattr(row, name, value)
        row.full_clean()
        row.save()
        return row


class WatchlistDocument(Document):
    name: str
    tags: str = ""
    members: list[str] = []


class WatchlistKind(Kind[WatchlistDocument, Watchlist]):
    name = "watchlist"
    model = Watchlist
    schema = WatchlistDocument
    after = ("instrument",)

    def rows(self) -> models.QuerySet[Watchlist]:
        members = WatchlistMember.objects.select_related("instrument")
        return Watchlist.objects.prefetch_related(Prefetch("members", members))

    def dump(self, unit: Watchlist) -> dict[str, Any]:
        members = [reference(member.instrument) for member in unit.members.all()]
        return without_empty({"name": unit.name, "tags": unit.tags, "members": members})

    def apply(self, document: WatchlistDocument, unit: Watchlist | None) -> Watchlist:
        row = unit or Watchlist()
        row.name, row.tags = document.name, document.tags
        row.full_clean()
        row.save()
        instruments = []
        for place, name in enumerate(document.members, 1):
            try:
                instruments.append(instrument_meant(name))
            except BadInput as error:
                raise BadInput(f"members, number {place}: {error}") from error
        doubled = {each.symbol for each in instruments if instruments.count(each) > 1}
        if doubled:
            raise BadInput(f"members: {', '.join(sorted(doubled))} listed twice")
        set_watchlist(name=row.name, instruments=instruments)
        return row


class ActionDocument(Document):
    ex_date: Day
    kind: str
    value: Number | None = None
    source: str = ""


class ActionsDocument(Document):
    instrument: str
    actions: list[dict[str, Any]]


class ActionsKind(Kind[ActionsDocument, Instrument]):
    """One document an instrument: all its splits, dividends and its delisting, by date."""

    name = "corporate_action"
    model = CorporateAction
    schema = ActionsDocument
    key = "instrument"
    after = ("instrument",)

    def rows(self) -> models.QuerySet[Instrument]:
        counted = Instrument.objects.annotate(actions=Count("corporate_actions"))
        return counted.filter(actions__gt=0).prefetch_related("corporate_actions")

    def unit_of(self, row: CorporateAction) -> Instrument:
        return row.instrument

    def named(self, name: str) -> Instrument | None:
        found = instrument_named(name)
        return None if found is None else self.rows().filter(pk=found.pk).first()

    def dump(self, unit: Instrument) -> dict[str, Any]:
        actions = sorted(unit.corporate_actions.all(), key=lambda row: (row.ex_date, row.kind))
        listed = [
            without_empty(
                {
                    "ex_date": row.ex_date.isoformat(),
                    "kind": row.kind,
                    "value": from_number(row.value),
                    "source": row.source,
                }
            )
            for row in actions
        ]
        return {"instrument": reference(unit), "actions": listed}

    def apply(self, document: ActionsDocument, unit: Instrument | None) -> Instrument:
        instrument = unit or instrument_meant(document.instrument)
        wanted: dict[tuple[dt.date, str], ActionDocument] = {}
        for number, values in enumerate(document.actions, 1):
            try:
                action = read(ActionDocument, values)
            except BadInput as error:
                raise BadInput(f"actions, number {number}: {error}") from error
            if (action.ex_date, action.kind) in wanted:
                raise BadInput(f"actions: {action.kind} of {action.ex_date} given twice")
            wanted[action.ex_date, action.kind] = action
        held = {(row.ex_date, row.kind): row for row in instrument.corporate_actions.all()}
        for key, row in held.items():
            if key not in wanted:
                row.delete()
        for key, action in wanted.items():
            row = held.get(key) or CorporateAction(instrument=instrument, ex_date=action.ex_date, kind=action.kind)
            if row.pk is None or (row.value, row.source) != (action.value, action.source):
                row.value, row.source = action.value, action.source
                row.full_clean()
                row.save()
        return instrument

    def remove(self, unit: Instrument) -> None:
        unit.corporate_actions.all().delete()


for kind in (InstrumentKind, WatchlistKind, ActionsKind, PlanKind, LengthKind, HaltsKind, PacingKind):
    register(kind())
