"""Loads from IB on pages: asking for one, how far each is, what it cost, and the budget that all share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, F, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from domain.errors import BadInput
from domain.pacing import OPEN_REQUESTS
from domain.timeframe import Timeframe
from marketdata import pacing
from marketdata.asking import Wish, ask_for
from marketdata.loadforms import MODES
from marketdata.loadprogress import Progress, duration, seconds_left
from marketdata.loadruns import result_of
from marketdata.models import Fetch, HeadTime, Instrument, LoadRun
from marketdata.models.loads import TIMEFRAMES
from reports.pages.links import links, tone_of
from tradingsite import linkrows, runs
from tradingsite.runs import Run

FETCHES_SHOWN = 50
_LATEST = 5
_OUTCOME_TONES = {"up_to_date": "ok", "complete": "ok", "partial": "warning", "nothing": "bad", "restated": "warning"}
# State of a fetch: tone and word; what the word means is the state's own label.
_FETCH_WORDS = {
    "pending": ("queued", "to be asked"),
    "done": ("ok", "stored"),
    "empty": ("ok", "no bars exist"),
    "split": ("info", "halved"),
    "failed": ("bad", "failed"),
}
BUTTONS = (("tail", "Load the tail"), ("backfill", "Backfill"), ("full", "Load everything"))


class Steps(NamedTuple):
    """How far a load is: requests `done` of `total` (none before it has planned), `bars` stored, the time `left` in
    words, and its `position` among the `queued` (1: next; 0: it is not)."""

    done: int
    total: int
    bars: int
    left: str
    position: int
    queued: int


# ---- asking ------------------------------------------------------------------------------------------------------


@require_POST
def load_instrument(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for bars of one instrument, and go to the load; back to the instrument where there is none."""
    if not request.user.has_perm("marketdata.add_loadrun"):
        raise PermissionDenied("You may not load bars; a researcher, trader or admin may.")
    row = get_object_or_404(Instrument, pk=pk)
    given = {name: request.POST.get(name, "") for name in ("mode", "timeframe", "what")}
    if given["mode"] not in dict(MODES):
        raise BadRequest("mode must be one of tail, backfill and full.")
    wish = Wish(row, given["timeframe"], given["what"])
    try:
        asked = ask_for([wish], mode=given["mode"], person=request.user, now=timezone.now())
    except BadInput as error:
        messages.error(request, str(error))
        return redirect("instrument", pk)
    for run in asked.loads:
        if run.state == Run.State.QUEUED:
            runs.enqueue(run)
    for level, text in asked.tell():
        messages.add_message(request, level, text)
    return redirect("run", "loadrun", asked.loads[0].pk) if asked.loads else redirect("instrument", pk)


def of_instrument(request: HttpRequest, row: Instrument) -> dict[str, Any]:
    """What the page of an instrument says of its loads, and the buttons that ask for more."""
    if not request.user.has_perm("marketdata.view_loadrun"):
        return {}
    found = LoadRun.objects.filter(instrument=row).defer("config", "log_tail")
    latest = list(found.order_by("-created")[:_LATEST])
    gateway = linkrows.standing(linkrows.DATA)
    return {
        "may_load": row.active and request.user.has_perm("marketdata.add_loadrun"),
        "load_timeframes": [value for value, _label in TIMEFRAMES],
        "load_buttons": BUTTONS,
        "heads": list(HeadTime.objects.filter(instrument=row)),
        "loads": [{"run": run, "tone": _OUTCOME_TONES.get(run.outcome, "")} for run in latest],
        "gateway": gateway,
        "gateway_tone": tone_of(gateway.state),
    }


# ---- how far -----------------------------------------------------------------------------------------------------


def steps_of(found: Iterable[Run]) -> dict[UUID, Steps]:
    """Of those that are loads and have not ended. A few queries, however many they are."""
    loads = [run for run in found if isinstance(run, LoadRun) and not run.ended]
    if not loads:
        return {}
    is_left = Q(state=Fetch.State.PENDING)
    counted = (
        Fetch.objects.filter(load_run__in=[run.pk for run in loads])
        .exclude(state=Fetch.State.SPLIT)
        .order_by()
        .values_list("load_run")
        .annotate(
            total=Count("pk"),
            done=Count("pk", filter=~is_left),
            did=Count("pk", filter=~is_left & Q(ended__gte=F("load_run__started"))),
            stored=Sum("bars"),
        )
    )
    known = {pk: (total, done, did, bars) for pk, total, done, did, bars in counted}
    queue = _queue() if any(run.state == Run.State.QUEUED for run in loads) else {}
    found_steps = {}
    for run in loads:
        total, done, did, bars = known.get(run.pk, (0, 0, 0, 0))
        left = _left(run, total, done, did) if run.state == Run.State.RUNNING and total else ""
        found_steps[run.pk] = Steps(done, total, bars or 0, left, queue.get(run.pk, 0), len(queue))
    return found_steps


def _left(run: LoadRun, total: int, done: int, did: int) -> str:
    """As `seconds_left` reckons it, by what this attempt has done since it began."""
    if run.started is None or done >= total:
        return ""
    elapsed = (timezone.now() - run.started).total_seconds()
    paced = 60 * pacing.minutes_for(total - done, Timeframe(run.timeframe), run.what)
    now, begun = Progress(done, total, 0, ""), Progress(done - did, total, 0, "")
    return duration(seconds_left(now, begun, elapsed, paced))


def _queue() -> dict[UUID, int]:
    """Places of the loads that wait for a worker, the next first."""
    waiting = (
        LoadRun.objects.filter(state=Run.State.QUEUED).order_by("priority", "created").values_list("pk", flat=True)
    )
    return {pk: number for number, pk in enumerate(waiting, 1)}


# ---- the budget --------------------------------------------------------------------------------------------------


def budget() -> dict[str, Any] | None:
    """The request budget and the gateway's state; None where nothing was ever loaded."""
    if not LoadRun.objects.exists():
        return None
    found = pacing.standing()
    waiting = [(priority.name.lower(), number) for priority, number in found.waiting.items() if number]
    return {
        "budget": found,
        "most_open": OPEN_REQUESTS,
        "waiting": waiting,
        "waiting_all": sum(number for _name, number in waiting),
        "is_limited": found.profile != "off",
        "frees": dt.timedelta(seconds=round(found.seconds)) if found.seconds >= 1 else None,
        "links": [each for each in links() if each["at"].role == linkrows.DATA],
    }


# ---- one load ----------------------------------------------------------------------------------------------------


def outcome(run: Run) -> dict[str, Any] | None:
    """What a load did and cost, so far."""
    if not isinstance(run, LoadRun):
        return None
    return {
        "run": run,
        "result": result_of(run),
        "steps": steps_of([run]).get(run.pk),
        "tone": _OUTCOME_TONES.get(run.outcome, ""),
        "restatements": list(run.restatements.all()[:1]),
        "gateway": linkrows.standing(linkrows.DATA),
    }


def fetches(request: HttpRequest, run: Run) -> dict[str, Any] | None:
    """The requests that a load was cut into, a page of them in the order in which they are asked; `show` narrows them
    to one state."""
    if not isinstance(run, LoadRun):
        return None
    show = request.GET.get("show", "")
    show = show if show in Fetch.State.values else ""
    after = int(text) if (text := request.GET.get("after", "")).isdecimal() and len(text) < 19 else 0
    rows = run.fetches.order_by("pk")
    numbers = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    page = list((rows.filter(state=show) if show else rows).filter(pk__gt=after)[: FETCHES_SHOWN + 1])
    return {
        "run": run,
        "fetches": [
            {"row": row, "tone": _FETCH_WORDS[row.state][0], "word": _FETCH_WORDS[row.state][1]}
            for row in page[:FETCHES_SHOWN]
        ],
        "states": [(value, _FETCH_WORDS[value][1], numbers[value]) for value in Fetch.State.values if value in numbers],
        "all": sum(numbers.values()),
        "show": show,
        "after": after,
        "more": page[FETCHES_SHOWN - 1].pk if len(page) > FETCHES_SHOWN else None,
        "is_daily": not Timeframe(run.timeframe).is_intraday,
    }
