"""What decides how bars are loaded, as documents: load plans, request lengths, halts, the pacing profile."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from django.conf import settings
from django.db import models
from django.db.models import Count
from django.utils import timezone
from pydantic import BeforeValidator

from domain.errors import BadInput, UnknownName
from domain.timeframe import Timeframe
from marketdata.listings import instrument_meant, instrument_named, reference
from marketdata.loadplans import check_plan, set_due
from marketdata.models import Halt, Instrument, LoadPlan, PacingBudget, RequestLength, Watchlist
from marketdata.models.loads import Mode
from tradingsite.documents import Day, Document, Kind, read, without_empty


def _read_moment(value: Any) -> Any:
    try:
        moment = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} is no time; write '2024-01-31T14:30:00Z'") from None
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no zone; write {value}Z for UTC")
    return moment


Moment = Annotated[dt.datetime, BeforeValidator(_read_moment)]


class PlanDocument(Document):
    name: str
    watchlist: str
    timeframe: str = Timeframe.D1.value
    what: str = ""
    mode: str = Mode.TAIL.value
    start: Day | None = None
    every_minutes: int = 5
    enabled: bool = True


class PlanKind(Kind[PlanDocument, LoadPlan]):
    """When it is due and when it ran are facts and not in the document."""

    name = "load_plan"
    model = LoadPlan
    schema = PlanDocument
    after = ("watchlist",)

    def rows(self) -> models.QuerySet[LoadPlan]:
        return LoadPlan.objects.select_related("watchlist")

    def dump(self, unit: LoadPlan) -> dict[str, Any]:
        values = {name: getattr(unit, name) for name in PlanDocument.model_fields}
        start = None if unit.start is None else unit.start.isoformat()
        return without_empty(values | {"watchlist": unit.watchlist.name, "start": start})

    def apply(self, document: PlanDocument, unit: LoadPlan | None) -> LoadPlan:
        row = unit or LoadPlan()
        for name, value in document:
            if name != "watchlist":
                setattr(row, name, value)
        watchlist = Watchlist.objects.filter(name=document.watchlist).first()
        if watchlist is None:
            known = Watchlist.objects.values_list("name", flat=True)
            raise BadInput(f"watchlist: {UnknownName('watchlist', document.watchlist, known)}")
        row.watchlist = watchlist
        row.full_clean()
        check_plan(row)
        row.save()
        set_due(plan=row, now=timezone.now())
        return row


class LengthDocument(Document):
    timeframe: str
    duration: str


class LengthKind(Kind[LengthDocument, RequestLength]):
    name = "request_length"
    model = RequestLength
    schema = LengthDocument
    key = "timeframe"

    def dump(self, unit: RequestLength) -> dict[str, Any]:
        return {"timeframe": unit.timeframe, "duration": unit.duration}

    def apply(self, document: LengthDocument, unit: RequestLength | None) -> RequestLength:
        row = unit or RequestLength(timeframe=document.timeframe)
        row.duration = document.duration
        row.full_clean()
        row.save()
        return row


class HaltDocument(Document):
    start: Moment
    end: Moment
    note: str = ""


class HaltsDocument(Document):
    instrument: str
    halts: list[dict[str, Any]]


class HaltsKind(Kind[HaltsDocument, Instrument]):
    """One document an instrument: all its halts, by time."""

    name = "halt"
    model = Halt
    schema = HaltsDocument
    key = "instrument"
    after = ("instrument",)

    def rows(self) -> models.QuerySet[Instrument]:
        counted = Instrument.objects.annotate(halted=Count("halts"))
        return counted.filter(halted__gt=0).prefetch_related("halts")

    def unit_of(self, row: Halt) -> Instrument:
        return row.instrument

    def named(self, name: str) -> Instrument | None:
        found = instrument_named(name)
        return None if found is None else self.rows().filter(pk=found.pk).first()

    def dump(self, unit: Instrument) -> dict[str, Any]:
        listed = [
            without_empty({"start": _written(row.start), "end": _written(row.end), "note": row.note})
            for row in sorted(unit.halts.all(), key=lambda row: row.start)
        ]
        return {"instrument": reference(unit), "halts": listed}

    def apply(self, document: HaltsDocument, unit: Instrument | None) -> Instrument:
        instrument = unit or instrument_meant(document.instrument)
        wanted: dict[dt.datetime, HaltDocument] = {}
        for number, values in enumerate(document.halts, 1):
            try:
                halt = read(HaltDocument, values)
            except BadInput as error:
                raise BadInput(f"halts, number {number}: {error}") from error
            if halt.start in wanted:
                raise BadInput(f"halts: two begin at {halt.start}")
            wanted[halt.start] = halt
        held = {row.start: row for row in instrument.halts.all()}
        for start, row in held.items():
            if start not in wanted:
                row.delete()
        for start, halt in wanted.items():
            row = held.get(start) or Halt(instrument=instrument, start=start)
            if row.pk is None or (row.end, row.note) != (halt.end, halt.note):
                row.end, row.note = halt.end, halt.note
                row.full_clean()
                row.save()
        return instrument

    def remove(self, unit: Instrument) -> None:
        unit.halts.all().delete()


class PacingDocument(Document):
    login: str
    profile: str


class PacingKind(Kind[PacingDocument, PacingBudget]):
    """How strict a login's budget is. The budget itself is a fact, made at its first request with the profile of
    PACING_AT_FIRST: one that still has that has no document, and one whose document is removed has it again."""

    name = "pacing_profile"
    model = PacingBudget
    schema = PacingDocument
    key = "login"

    def rows(self) -> models.QuerySet[PacingBudget]:
        return PacingBudget.objects.exclude(profile=settings.PACING_AT_FIRST)

    def dump(self, unit: PacingBudget) -> dict[str, Any]:
        return {"login": unit.login, "profile": unit.profile}

    def apply(self, document: PacingDocument, unit: PacingBudget | None) -> PacingBudget:
        held = PacingBudget.objects.filter(login=document.login).first()
        row = unit or held or PacingBudget(login=document.login)
        row.profile = document.profile
        row.full_clean()
        if row.pk is None:
            row.save()
        else:
            PacingBudget.objects.filter(pk=row.pk).update(profile=row.profile)
        return row

    def remove(self, unit: PacingBudget) -> None:
        PacingBudget.objects.filter(pk=unit.pk).update(profile=settings.PACING_AT_FIRST)


def _written(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
