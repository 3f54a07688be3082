"""Load plans: which loads are due, without anybody asking for them."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import Max, Q
from django.utils import timezone

from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import calendars
from marketdata.contracts import basis_of, default_what
from marketdata.loadruns import queue_load
from marketdata.models import BarFile, Fetch, Instrument, LoadPlan, LoadRun, ProvenRange
from marketdata.models.loads import Mode
from marketdata.moments import as_ns
from marketdata.planning import LoadAsk, check_ask, due_ns
from marketdata.previews import gateway_now, plan_load
from tradingsite.runs import Run

MOST_MINUTES = 7 * 24 * 60

log = logging.getLogger(__name__)


def check_plan(plan: LoadPlan) -> None:
    """BadInput where no load can be what the plan asks for."""
    if not 1 <= plan.every_minutes <= MOST_MINUTES:
        raise BadInput(f"every_minutes: a plan comes round each 1 to {MOST_MINUTES:,} minutes (a week)")
    _ask(plan, Instrument(), timezone.now())


def set_due(*, plan: LoadPlan, now: dt.datetime) -> None:
    """Say anew when it is due, after it was made or changed: at once, or never where it is switched off."""
    plan.next_run_at = now if plan.enabled else None
    LoadPlan.objects.filter(pk=plan.pk).update(next_run_at=plan.next_run_at)


def start_due(now: dt.datetime) -> list[LoadRun]:
    """Queue what is missing of each plan that is due; the caller tells the workers.

    A plan is taken by moving `next_run_at` on, where it still stands as it was read: of two beats one wins. What a
    process that dies here has not queued is queued at the plan's next time, since it is still missing then. There is
    one open load of a series at most, and no budget to keep: the requests of all loads wait for their turn in one
    budget, tails before backfills, so that a plan that wants much takes long and keeps nobody else waiting.
    """
    started = []
    due = Q(next_run_at__isnull=True) | Q(next_run_at__lte=now)
    for plan in LoadPlan.objects.filter(due, enabled=True).order_by("next_run_at", "pk"):
        mine = LoadPlan.objects.filter(pk=plan.pk, enabled=True, next_run_at=plan.next_run_at)
        if plan.next_run_at is None:
            mine = LoadPlan.objects.filter(pk=plan.pk, enabled=True, next_run_at__isnull=True)
        following = now + dt.timedelta(minutes=plan.every_minutes)
        if mine.update(next_run_at=following, last_run_at=now):
            started += _queue_missing(plan, now)
    return started


def _queue_missing(plan: LoadPlan, now: dt.datetime) -> list[LoadRun]:
    found = []
    moment = gateway_now(now)
    for instrument in _worth_planning(plan, moment):
        try:
            ask = _ask(plan, instrument, moment)
            if plan_load(ask, moment, scheduled=True).requests:
                found.append(queue_load(ask=ask, origin=Run.Origin.SCHEDULE, plan=plan))
        except BadInput as error:
            log.warning("load plan %s: %s cannot be loaded: %s", plan, instrument.symbol, error)
            _note_failure(plan, instrument, now, error)
    return found


def _ask(plan: LoadPlan, instrument: Instrument, now: dt.datetime) -> LoadAsk:
    start = None if plan.start is None else plan.start.isoformat()
    return check_ask(
        instrument=instrument,
        timeframe=plan.timeframe,
        mode=plan.mode,
        what=plan.what,
        start=start,
        now_ns=as_ns(now),
    )


def _note_failure(plan: LoadPlan, instrument: Instrument, now: dt.datetime, error: BadInput) -> None:
    """A failed row, so that somebody sees it: one, not one each time."""
    series = {
        "instrument": instrument,
        "timeframe": plan.timeframe,
        "what": plan.what or default_what(instrument),
    }
    latest = LoadRun.objects.filter(**series).order_by("-created").first()
    if latest is None or latest.error != str(error):
        LoadRun.objects.create(
            **series,
            mode=plan.mode,
            plan=plan,
            origin=Run.Origin.SCHEDULE,
            state=Run.State.FAILED,
            finished=now,
            error=str(error),
        )


# ---- what is up to date, asked of all instruments at once ------------------------------------------------------------


class _Known(NamedTuple):
    """Of one kind of bars, by instrument: where the files end, and what is known after that. Times in nanoseconds."""

    ends: dict[int, int]
    answered: dict[int, list[tuple[int, int]]]


def _worth_planning(plan: LoadPlan, now: dt.datetime) -> list[Instrument]:
    """The plan's active members, without those that a load is open for and, of a tail, those whose bars reach as far
    as they can: a handful of queries however many there are, where planning each takes nine."""
    members = plan.watchlist.members.filter(instrument__active=True).select_related("instrument")
    by_what: dict[str, list[Instrument]] = {}
    for member in members:
        what = plan.what or default_what(member.instrument)
        by_what.setdefault(what, []).append(member.instrument)
    frame, now_ns = Timeframe(plan.timeframe), as_ns(now)
    found: list[Instrument] = []
    for what, instruments in by_what.items():
        free = _without_open_load(instruments, plan.timeframe, what)
        if plan.mode == Mode.TAIL:
            known = _known(free, plan.timeframe, what, now)
            free = [each for each in free if not _reaches_now(each, frame, known, now_ns)]
        found += free
    return found


def _without_open_load(instruments: list[Instrument], timeframe: str, what: str) -> list[Instrument]:
    is_open = Q(state__in=[Run.State.QUEUED, Run.State.RUNNING])
    rows = LoadRun.objects.filter(is_open, timeframe=timeframe, what=what)
    taken = set(rows.filter(instrument__in=_keys(instruments)).values_list("instrument_id", flat=True))
    return [each for each in instruments if each.pk not in taken]


def _known(instruments: list[Instrument], timeframe: str, what: str, now: dt.datetime) -> _Known:
    series = {"timeframe": timeframe, "what": what, "instrument__in": _keys(instruments)}
    by_key = {each.pk: each for each in instruments}
    ends: dict[int, int] = {}
    files = BarFile.objects.filter(**series, quarantined__isnull=True)
    for key, adjustment, end in files.values_list("instrument_id", "adjustment").annotate(Max("end")):
        if adjustment == basis_of(by_key[key], what):
            ends[key] = as_ns(end)
    answered: dict[int, list[tuple[int, int]]] = {}
    # A week: no tail of one that is kept up is longer, and the proofs of years need not be read for it.
    lately = now - dt.timedelta(days=7)
    proven = ProvenRange.objects.filter(**series, end__gte=lately)
    waiting = Fetch.objects.filter(**series, state=Fetch.State.FAILED, due__gt=now)
    for rows in (proven, waiting):
        for key, start, end in rows.values_list("instrument_id", "start", "end"):
            answered.setdefault(key, []).append((as_ns(start), as_ns(end)))
    return _Known(ends, answered)


def _reaches_now(instrument: Instrument, frame: Timeframe, known: _Known, now_ns: int) -> bool:
    """Whether bars, proofs and what waits after a failure leave nothing between the last bar and the newest complete
    one. False where planning has to look closer."""
    end_ns = known.ends.get(instrument.pk)
    if end_ns is None:
        return False
    try:
        last_ns = due_ns(calendars.sessions(instrument.calendar), frame, now_ns)
    except BadInput:
        return False  # planning says what is wrong
    for start, end in sorted(known.answered.get(instrument.pk, ())):
        if start > end_ns:
            break
        end_ns = max(end_ns, end)
    return end_ns >= last_ns


def _keys(instruments: Iterable[Instrument]) -> list[int]:
    return [each.pk for each in instruments]
