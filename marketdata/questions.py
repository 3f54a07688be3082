"""Questions to IB that are no loads: which contract a symbol is, and since when there is history. As runs, since only
the data worker has the connection to ask by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from domain.errors import BadInput
from domain.pacing import Priority
from domain.timeframe import Timeframe
from gateway.codes import PACED
from gateway.connection import Connection
from gateway.errors import ConnectionLost, GatewayError, NotReady, Refused
from gateway.history import HistoryRequest
from marketdata import discovery, lookup, pacing, proofs
from marketdata.contracts import contract_of, default_what, regular_hours
from marketdata.lookup import Wanted
from marketdata.models import BarFile, GatewayQuestion, HeadTime, Instrument
from marketdata.moments import as_datetime
from tradingsite import endings, linkrows, links
from tradingsite.attempts import Attempt, GiveWay
from tradingsite.runs import Run

FRESH = timedelta(days=1)
REFUSED_FRESH = timedelta(hours=1)
"""How long a question about ranges that failed is not asked again by itself."""
READY_SECONDS = 2.0


# ---- asking ------------------------------------------------------------------------------------------------------


def ask_which(*, wanted: Wanted, origin: str, started_by: Any = None) -> GatewayQuestion:
    """The open question which contract this is, or a new one. The caller enqueues it."""
    return _ask(GatewayQuestion.Kind.DISCOVER, wanted.symbol, None, wanted.as_dict(), origin, started_by)


def ask_ranges(*, instrument: Instrument, whats: Iterable[str], origin: str, started_by: Any = None) -> GatewayQuestion:
    """The open question since when there is history of these kinds, or a new one. The caller enqueues it."""
    config = {"instrument": instrument.pk, "symbol": instrument.symbol, "whats": sorted(whats)}
    return _ask(GatewayQuestion.Kind.RANGES, instrument.symbol, instrument, config, origin, started_by)


def whats_of(instrument: Instrument) -> set[str]:
    """The kinds of bars whose beginning is worth knowing: the usual one and those that are held."""
    held = BarFile.objects.filter(instrument=instrument).values_list("what", flat=True)
    return {proofs.head_of(what) for what in (default_what(instrument), *held)}


def _ask(
    kind: str, symbol: str, instrument: Instrument | None, config: dict[str, Any], origin: str, started_by: Any
) -> GatewayQuestion:
    is_open = Q(state__in=[Run.State.QUEUED, Run.State.RUNNING], cancel_requested__isnull=True)
    for row in GatewayQuestion.objects.filter(is_open, kind=kind, symbol=symbol, instrument=instrument):
        if row.config == config:
            return row
    return GatewayQuestion.objects.create(
        kind=kind, symbol=symbol, instrument=instrument, config=config, origin=origin, started_by=started_by
    )


# ---- what was answered -------------------------------------------------------------------------------------------


def answer_to(wanted: Wanted, now: datetime) -> dict[str, Any] | None:
    """What is known already, as `answer_question` writes it: an instrument that was asked about within the last day, or
    what the same question was answered with within the last day, if that still stands."""
    row = discovery.held(wanted, now)
    if row is not None:
        return {"instrument": row.pk, "candidates": [], "notes": []}
    answered = GatewayQuestion.objects.filter(
        kind=GatewayQuestion.Kind.DISCOVER,
        symbol=wanted.symbol,
        state=Run.State.SUCCEEDED,
        finished__gte=now - discovery.FRESH,
    )
    for question in answered.order_by("-finished"):
        if question.config == wanted.as_dict() and question.answer is not None:
            found = Instrument.objects.active().filter(pk=question.answer["instrument"], con_id__isnull=False).first()
            stands = question.answer["candidates"] or (found is not None and discovery.is_fresh(found, now))
            return question.answer if stands else None
    return None


def ranges_asked(instrument: Instrument, now: datetime) -> GatewayQuestion | None:
    """The question about ranges that is open, or failed so lately that it is not asked again."""
    lately = Q(state=Run.State.FAILED, finished__gte=now - REFUSED_FRESH)
    is_open = Q(state__in=[Run.State.QUEUED, Run.State.RUNNING], cancel_requested__isnull=True)
    rows = GatewayQuestion.objects.filter(lately | is_open, kind=GatewayQuestion.Kind.RANGES, instrument=instrument)
    return rows.order_by("-created").first()


# ---- answering, in the data worker -------------------------------------------------------------------------------


def answer_question(attempt: Attempt) -> None:
    """Ask IB, and keep the answer in the run. Where the gateway is not ready the run waits in the queue for it."""
    question: Any = attempt.run
    gateway = _gateway()
    answers = {GatewayQuestion.Kind.DISCOVER: _discover, GatewayQuestion.Kind.RANGES: _ranges}
    try:
        attempt.fields["answer"] = answers[question.kind](gateway, question, attempt)
    except (NotReady, ConnectionLost) as error:
        raise GiveWay(f"the gateway: {error.words}") from error
    except GatewayError as error:
        if error.words.startswith(PACED):  # the whole login waits
            pacing.pause()
            raise GiveWay(f"the gateway: {error.words}") from error
        raise BadInput(f"{question.symbol}: {_said(error)}") from error


def _gateway() -> Connection:
    """The data connection, ready."""
    gateway: Connection | None = links.connection("data")
    if gateway is None:
        raise GiveWay(f"the gateway is not ready: {linkrows.standing('data').cause or 'its connection is being made'}")
    try:
        gateway.wait_ready(READY_SECONDS)
    except GatewayError as error:  # also where a person must act: the question waits until somebody has
        raise GiveWay(f"the gateway is not ready: {_said(error)}") from error
    return gateway


def _discover(gateway: Connection, question: GatewayQuestion, attempt: Attempt) -> dict[str, Any]:
    wanted = lookup.check_wanted(**question.config)
    found = discovery.discover(gateway, wanted, timezone.now())
    for note in found.notes:
        attempt.write(note)
    if found.instrument is not None:
        attempt.fields["instrument"] = found.instrument
    return {
        "instrument": None if found.instrument is None else found.instrument.pk,
        "candidates": [each._asdict() for each in found.candidates],
        "notes": list(found.notes),
    }


def _ranges(gateway: Connection, question: GatewayQuestion, attempt: Attempt) -> dict[str, Any]:
    instrument = question.instrument
    if instrument is None:
        raise BadInput(f"{question.symbol}: its instrument was deleted meanwhile")
    heads: dict[str, str] = {}
    refused: dict[str, str] = {}
    for what in question.config["whats"]:
        try:
            heads[what] = ask_head(
                gateway, instrument, what, priority=Priority.TAIL, wait=lambda seconds: _wait(attempt, seconds)
            )[0].start.isoformat()
        except Refused as error:
            refused[what] = _said(error)
    if not heads:
        raise BadInput(f"{instrument}: " + "; ".join(f"{what}: {words}" for what, words in refused.items()))
    return {"heads": heads, "refused": refused}


def _wait(attempt: Attempt, seconds: float) -> None:
    """For the turn of a request."""
    attempt.report(0.0)
    if endings.worker_ends.wait(seconds):
        raise GiveWay("another worker: this one ends")


def ask_head(
    gateway: Connection, instrument: Instrument, what: str, *, priority: Priority, wait: Callable[[float], None]
) -> tuple[HeadTime, bool]:
    """Where the history of one kind begins, and whether IB had to be asked: it was not within the last day.

    Waits for its turn as `pacing.slot` does. Raises GatewayError.
    """
    known = HeadTime.objects.filter(instrument=instrument, what=what, asked__gt=timezone.now() - FRESH).first()
    if known is not None:
        return known, False
    contract, hours = contract_of(instrument), regular_hours(instrument)
    # IB counts it as a request for history.
    counted = pacing.ask_of(HistoryRequest(contract, Timeframe.D1, "1 D", what, hours))
    with pacing.slot(counted, priority, wait=wait):
        moment_ns = gateway.head_time_ns(contract, what, hours)
    row, _ = HeadTime.objects.update_or_create(
        instrument=instrument, what=what, defaults={"start": as_datetime(moment_ns), "asked": timezone.now()}
    )
    return row, True


def _said(error: GatewayError) -> str:
    """IB's words, and what a person can do."""
    return f"{error.words}; {error.remedy}" if error.remedy else error.words
